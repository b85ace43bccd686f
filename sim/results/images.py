"""Images in time, as asked for and degraded, and what they are worth together at the quality that a scenario states."""

from sim.results.intents import window_of
from sim.results.metrics import counted
from sim.results.run import Run
from sim.results.timeline import IMAGES, IMAGES_DEGRADED
from sim.scenario.parts import Feature


def qualities(run: Run) -> list[float]:
    """What a degraded image of each feature is worth; the default where a run was saved before there was a quality."""
    usual = Feature.model_fields["degraded_quality"].default
    return [float(facts.get("degraded_quality", usual)) for facts in run.manifest["features"].values()]


def images_in_time(run: Run) -> dict[str, float]:
    """Images of the slice that came in time: as_asked, degraded, and worth, where a degraded one counts by its quality.

    The quality of a degraded image is stated for each feature (degraded_quality); one as asked for counts as 1.
    """
    found = counted(run, window_of(run, None)).counts[0].sum(axis=0)[:, [IMAGES, IMAGES_DEGRADED]]
    as_asked, degraded = (float(part) for part in found.sum(axis=0))
    worth = as_asked + sum(quality * float(number) for quality, number in zip(qualities(run), found[:, 1], strict=True))
    return {"as_asked": as_asked, "degraded": degraded, "worth": worth}
