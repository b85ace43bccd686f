"""Images in time, as asked for and degraded, and what they are worth together at the quality that a scenario states."""

from sim.results.intents import window_of
from sim.results.metrics import counted
from sim.results.run import Run
from sim.results.timeline import IMAGES, IMAGES_DEGRADED
from sim.scenario.parts import Feature

USUAL = Feature.model_fields["degraded_quality"].default  # where a run was saved before there was a quality


def images_in_time(run: Run) -> dict[str, float]:
    """Images of the slice that came in time: as_asked, degraded, and worth, where a degraded one counts by its quality.

    The quality of a degraded image is stated for each feature (degraded_quality); one as asked for counts as 1.
    """
    found = counted(run, window_of(run, None)).counts[0].sum(axis=0)[:, [IMAGES, IMAGES_DEGRADED]]
    as_asked, degraded = (float(part) for part in found.sum(axis=0))
    worth = as_asked + sum(
        float(facts.get("degraded_quality", USUAL)) * float(found[place, 1])
        for place, facts in enumerate(run.manifest["features"].values())
    )
    return {"as_asked": as_asked, "degraded": degraded, "worth": worth}
