"""Every policy under the same overload: how much of the goodput at capacity is left at several times that load."""

from functools import partial

import pandas as pd

from sim.model.gateway import REASONS
from sim.policies.playbook import KINDS, example
from sim.results.run import Run
from sim.results.timeline import ATTEMPTS, IMAGES, IMAGES_DEGRADED, REASON
from sim.scenario.load import load
from sim.scenario.scenario import Scenario
from sim.studies.executors import Report, asked, working
from sim.studies.store import Cell

NOTHING = "nothing"
CAPACITY = 1.0
LASTING, SETTLED = 3600.0, 1200.0  # seconds of a run, and of its beginning that is left out


def at_load(share: float) -> Scenario:
    """The surge's service under a steady load of this share of its capacity; one ask a person, a patience of 60 s."""
    base = load("surge", override="study")
    rate = share * capacity(base)
    waves = [{"kind": "steady", "rate": f"{rate!r} per second"}]
    return base.with_(demand={"waves": waves}, horizon=f"{LASTING} s", warm_up=f"{SETTLED} s")


def capacity(scenario: Scenario) -> float:
    """Images a second that the surge's pool can serve as asked."""
    feature = scenario.features["image"]
    seconds = scenario.used_profiles[feature.spec.model].batch_seconds(feature.spec.spec, 1)
    return scenario.pools[feature.pool].replicas / seconds


def policies_under_load(
    loads: list[float], kinds: list[str] | None = None, seeds: int = 1, progress: Report | None = None
) -> pd.DataFrame:
    """One row per policy, load and seed: policy, load, seed, and the figures of the run.

    The first policy is none at all. A load of 1, with which others are compared, is always among the loads.
    """
    scenarios = {share: at_load(share) for share in sorted({CAPACITY, *loads})}
    wanted = [NOTHING, *(KINDS if kinds is None else kinds)]
    rows = [(kind, share, seed) for kind in wanted for share in scenarios for seed in range(1, seeds + 1)]
    cells = [Cell(scenarios[share], [] if kind == NOTHING else [example(kind)], seed) for kind, share, seed in rows]
    with working(None, None) as there:
        found = asked(there, partial(figures, capacity=capacity(scenarios[CAPACITY])), cells, progress)
    done = len(found) // (len(scenarios) * seeds) * len(scenarios) * seeds  # policies with all their loads
    return pd.DataFrame(
        [
            {"policy": kind, "load": share, "seed": seed, **row}
            for (kind, share, seed), row in zip(rows[:done], found[:done], strict=True)
        ]
    )


def figures(run: Run, capacity: float) -> dict[str, float]:
    """Figures of a run after it has settled.

    goodput: images in time per second over capacity, as asked for or degraded; as_asked: of these, the former; refused:
    share of attempts; turns: changes of knobs per hour.
    """
    assert run.timeline is not None
    first = round(SETTLED / run.timeline.width)
    counts = run.timeline.counts[first:].sum(axis=(0, 1, 2))
    images = float(counts[IMAGES] + counts[IMAGES_DEGRADED])
    attempts = max(float(counts[ATTEMPTS]), 1.0)
    could = capacity * (LASTING - SETTLED)
    return {
        "goodput": images / could,
        "as_asked": float(counts[IMAGES]) / could,
        "refused": float(counts[REASON : REASON + len(REASONS) - 1].sum()) / attempts,
        "turns": 3600.0 * float((run.decisions["time"] >= SETTLED).sum()) / (LASTING - SETTLED),
    }
