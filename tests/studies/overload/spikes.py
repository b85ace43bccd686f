"""The overload experiments of the literature as scenarios: a spike that ends, and retries that keep the queue full."""

from typing import Any

from sim.profile.profile import constant_profile
from sim.results.run import Run
from sim.results.timeline import ATTEMPTS, DONE, INTENTS
from sim.scenario.scenario import Scenario


def experiment_a(
    bound: int = 150, *, base: float = 5.0, lasting: float = 600.0, retries: int = 5, **more: Any
) -> Scenario:
    """HotOS'25 (Isaacs et al.): one server of 10 a second, 5 a second, 15 for ten minutes, 5 s timeout, 5 retries."""
    return spike(
        base=base,
        peak=15.0,
        quiet=300.0,
        lasting=lasting,
        after=1800.0,
        gpus=1,
        seconds=0.1,
        noise="exponential",
        timeout="5 s",
        retries=retries,
        bound=bound,
        **more,
    )


def experiment_d(bound: int = 2880, *, base: float = 8.0, retries: int = 3, **more: Any) -> Scenario:
    """The same in the size of images: 64 GPUs, 4 s an image, 8 a second, 24 for ten minutes, 60 s, 3 retries."""
    return spike(
        base=base,
        peak=24.0,
        quiet=900.0,
        lasting=600.0,
        after=2700.0,
        gpus=64,
        seconds=4.0,
        noise="none",
        timeout="60 s",
        retries=retries,
        bound=bound,
        **more,
    )


def spike(
    *,
    base: float,
    peak: float,
    quiet: float,
    lasting: float,
    after: float,
    gpus: int,
    seconds: float,
    noise: str,
    timeout: str,
    retries: int,
    bound: int,
    policies: list[dict[str, Any]] | None = None,
    backoff: dict[str, Any] | None = None,
    growth: float = 1.0,
    longest: str = "never",
    tells: bool = False,
    late: bool = False,
    record: str = "timeline",
) -> Scenario:
    """Everybody asks once and tries again as soon as patience is over; abandoned requests are served all the same."""
    steps = [{"policy": {"kind": "queue bound", "requests": bound}}, *(policies or [])]
    document = {
        "title": "A spike that ends",
        "horizon": f"{quiet + lasting + after} s",
        "control_tick": "1 s",
        "record": record,
        "tiers": {"all": {"share": 1}},
        "features": {"image": {"share": 1, "pool": "gpus", "slo": timeout, "spec": {"model": "model"}}},
        "pools": {"gpus": {"gpus": gpus}},
        "demand": [
            {"kind": "steady", "rate": f"{base} per s"},
            {"kind": "spike", "people": (peak - base) * lasting, "lasting": f"{lasting} s", "from": f"{quiet} s"},
        ],
        "behaviour": {
            "requests": {"kind": "fixed", "requests": 1},
            "patience": {"kind": "constant", "value": timeout},
            "retry": {
                "at_most": retries,
                "probability": 1,
                "after_leaving": 1,
                "hopeless": 0,
                "backoff": backoff or {"kind": "constant", "value": "0 s"},
                "growth": growth,
                "longest": longest,
            },
            "churn": 0,
            "returns": {"kind": "power law", "at_one_day": 0},
        },
        "serving": {"noise": {"kind": noise}, "tells_refusals": tells, "delivers_late": late},
        "playbooks": {"only": steps},
    }
    return Scenario.from_dict(document, profiles={"model": constant_profile("model", seconds)})


def at_the_end(run: Run, seconds: float = 300.0) -> tuple[float, float, float]:
    """First asks, attempts and images in time, each a second, over the end of a run."""
    if run.timeline is None:
        rows, begins = run.requests, run.horizon - seconds
        arrived = rows["arrived"] >= begins
        done = (rows["outcome"] == "served") & (rows["finished"] >= begins)
        found = [(arrived & (rows["attempt"] == 0)).sum(), arrived.sum(), done.sum()]
        return float(found[0] / seconds), float(found[1] / seconds), float(found[2] / seconds)
    bins = round(seconds / run.timeline.width)
    counts = run.timeline.counts[-bins:].sum(axis=(0, 1, 2)) / (bins * run.timeline.width)
    return float(counts[INTENTS]), float(counts[ATTEMPTS]), float(counts[DONE])


def recovered(run: Run) -> bool:
    """Whether more than nine of ten first asks are served at the end."""
    new, _, good = at_the_end(run)
    return good > 0.9 * new
