"""How long people waited: quantiles of waits and latencies, from rows or, within a known error, from histograms."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.model.request import OUTCOMES, SERVED
from sim.results import binned
from sim.results.metrics import Window, attempts_in, intents
from sim.results.run import Run

Floats = NDArray[np.float64]

QUANTILES = (0.5, 0.95, 0.99)


def latencies(run: Run, by: str | None = None, window: Window = None) -> pd.DataFrame:
    """Wait and latency quantiles in seconds. Served only and all intents are different rows, never mixed up.

    served, wait: arrival to start of the attempt that was served; served, latency: its arrival to its image; all
    intents, latency: first wanted to image, inf where there was none.
    """
    rows = {}
    if run.has_rows:
        for (of, what), (group_of, values) in latency_samples(run, by, window).items():
            for group, sample in grouped(group_of, values):
                rows[of, what, group] = quantiles(sample)
    else:
        for key, buckets in binned.histograms(run, by).items():  # of the whole window: that is what is recorded
            found = {f"p{q * 100:.0f}": binned.quantile(buckets, q) for q in QUANTILES}
            rows[key] = {**found, "n": int(buckets.sum())}
    index = pd.MultiIndex.from_tuples(list(rows), names=["of", "what", "group"])
    return pd.DataFrame(list(rows.values()), index=index, columns=["p50", "p95", "p99", "n"])


def latency_samples(run: Run, by: str | None, window: Window) -> dict[tuple[str, str], tuple[Any, Floats]]:
    """The values behind latencies(), with the group of each (None: of one group)."""
    attempts, wishes = attempts_in(run, window), intents(run, window)
    served = np.asarray(attempts["outcome"].cat.codes == OUTCOMES.index(SERVED))
    arrived, started, finished = (attempts[name].to_numpy()[served] for name in ("arrived", "started", "finished"))
    decided = wishes["decided"].to_numpy()
    of_served = None if by is None else attempts[by].array[served]
    of_wishes = None if by is None else wishes[by].array[decided]
    return {
        ("served", "wait"): (of_served, started - arrived),
        ("served", "latency"): (of_served, finished - arrived),
        ("all intents", "latency"): (of_wishes, wishes["latency"].to_numpy()[decided]),
    }


def grouped(group_of: Any, values: Floats) -> Iterator[tuple[str, Floats]]:
    """Each group's values, in the order of the groups."""
    if group_of is None:
        yield "all", values
        return
    for code, name in enumerate(group_of.categories):
        mine = values[group_of.codes == code]
        if len(mine):
            yield str(name), mine


def quantiles(values: Floats) -> dict[str, float]:
    """p50, p95, p99 and the number of values; a quantile is a value of the sample, so that inf stays inf."""
    if len(values) == 0:
        return {**{f"p{q * 100:.0f}": math.nan for q in QUANTILES}, "n": 0}
    ranks = [max(math.ceil(q * len(values)) - 1, 0) for q in QUANTILES]  # of the inverted distribution function
    sorted_there = np.partition(values, ranks)
    found = {f"p{q * 100:.0f}": float(sorted_there[rank]) for q, rank in zip(QUANTILES, ranks, strict=True)}
    return {**found, "n": len(values)}
