"""Warm-up: how much of the beginning of a steady run its empty start distorts (MSER-5)."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from sim.results.metrics import pool_timeline, recorded
from sim.results.run import Run
from sim.wording import duration

BATCH = 5  # observations
FEWEST = 20  # bins, below which no beginning can be told apart from chance


class WarmUp(NamedTuple):
    """What to leave out. dropped: observations; statistic: the squared standard error that this makes least; mean: of
    the rest; at_limit: half was not enough, so that the series still drifts, and no warm-up helps.
    """

    dropped: int
    statistic: float
    mean: float
    at_limit: bool


def mser(series: ArrayLike) -> WarmUp:
    """MSER-5 (White 1997; White, Cobb and Spratt 2000): the truncation with the least squared standard error.

    The series is taken in means of five observations; at most half of them are dropped. An incomplete last batch is
    left out. Raises ValueError for fewer than two batches.
    """
    values = np.asarray(series, dtype=float)
    z = values[: len(values) // BATCH * BATCH].reshape(-1, BATCH).mean(axis=1)
    m = len(z)
    if m < 2:
        raise ValueError("expected two batches or more")
    kept = m - np.arange(m // 2 + 1)
    after = np.cumsum(z[::-1])[::-1][: len(kept)] / kept
    squares = np.array([float(((z[d:] - after[d]) ** 2).sum()) for d in range(len(kept))])
    best = int(np.argmin(squares / kept**2))
    return WarmUp(best * BATCH, float(squares[best] / kept[best] ** 2), float(after[best]), best == m // 2)


def suggested(run: Run) -> float:
    """The warm-up in seconds that MSER-5 leaves out of a run with steady demand; inf where it still drifts at its end.

    The series is the work in all pools, GPUs busy and requests waiting, in the bins of the timeline. nan where demand
    changes over time, as in a launch: there the beginning is what is asked about.
    """
    demand = run.manifest["scenario"].get("demand", [])
    waves = demand if isinstance(demand, list) else demand.get("waves", [])
    others = {} if isinstance(demand, list) else {name: part for name, part in demand.items() if name != "waves"}
    if not waves or any(wave.get("kind") != "steady" for wave in waves) or any(others.values()):
        return math.nan
    width = recorded(run).width
    tables = [pool_timeline(run, pool, width) for pool in run.manifest["pools"]]
    loads = [table["utilisation"].fillna(0) * table["gpus"] + table["queued"] for table in tables]
    work = np.sum([load.to_numpy(float) for load in loads], axis=0)
    if len(work) < FEWEST:
        return math.nan
    found = mser(work)
    return math.inf if found.at_limit else found.dropped * width


def warm_up_sentences(run: Run) -> list[str]:
    """What a reader of steady figures must know: that they count the empty start, or that nothing has settled."""
    found, set_to = suggested(run), run.manifest["warm_up"]
    if math.isinf(found):
        return ["NOT SETTLED: the work in the pools still drifts (MSER-5), so no figure here is one of a steady state."]
    if found > set_to:
        return [f"The first {duration(found)} are an empty start (MSER-5): warm_up: {found:g} s omits it."]
    return []
