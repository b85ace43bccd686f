"""Every policy under the same overload: how much of the goodput at capacity is left at several times that load."""

from typing import Any

import pandas as pd

from sim.engine.parallel import Progress, in_parallel
from sim.engine.simulate import simulate
from sim.model.gateway import REASONS
from sim.policies.playbook import KINDS, example
from sim.results.run import Run
from sim.results.timeline import ATTEMPTS, IMAGES, IMAGES_DEGRADED, REASON
from sim.scenario.load import load
from sim.scenario.scenario import Scenario

NOTHING = "nothing"
CAPACITY = 1.0
LASTING, SETTLED = 3600.0, 1200.0  # seconds of a run, and those left out at its start


def at_load(share: float) -> Scenario:
    """The surge's service under a steady load of this share of its capacity; one ask a person, a patience of 60 s."""
    base = load("surge", override="study")
    rate = share * capacity(base)
    demand = {**base.document["demand"], "waves": [{"kind": "steady", "rate": f"{rate!r} per second"}]}
    document = {**base.document, "demand": demand, "horizon": f"{LASTING} s", "warm_up": f"{SETTLED} s"}
    return Scenario.from_dict(document, profiles=base.used_profiles)


def capacity(scenario: Scenario) -> float:
    """Images a second that the surge's pool can serve as asked."""
    feature = scenario.features["image"]
    seconds = scenario.used_profiles[feature.spec.model].batch_seconds(feature.spec.spec, 1)
    return scenario.pools[feature.pool].gpus / seconds


def study(
    loads: list[float], kinds: list[str] | None = None, seeds: int = 1, progress: Progress | None = None
) -> pd.DataFrame:
    """One row a policy, load and seed: policy, load, seed, goodput (images in time a second over capacity, as asked and
    degraded), as_asked (of these), refused (share of attempts), turns (of knobs, an hour).

    The first policy is none at all. A load of 1, with which others compare, is always among them.
    """
    wanted = [NOTHING, *(KINDS if kinds is None else kinds)]
    tasks = [
        (kind, share, seed) for kind in wanted for share in sorted({CAPACITY, *loads}) for seed in range(1, seeds + 1)
    ]
    return pd.DataFrame(in_parallel(one, None, tasks, progress=progress))


def one(_: None, kind: str, share: float, seed: int, progress: Progress) -> dict[str, Any]:
    """One row."""
    scenario = at_load(share)
    run = simulate(scenario, [] if kind == NOTHING else [example(kind)], seed=seed)
    progress(1.0)
    return {"policy": kind, "load": share, "seed": seed, **figures(run, capacity(scenario))}


def figures(run: Run, capacity: float) -> dict[str, float]:
    """What the study says of a run: after it has settled."""
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


def kept(table: pd.DataFrame) -> pd.DataFrame:
    """Goodput at each load over that at capacity, of the same policy: one row a policy, a column a load."""
    means = table.groupby(["policy", "load"], sort=False)["goodput"].mean().unstack()
    return means.div(means[CAPACITY], axis=0)
