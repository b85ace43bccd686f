"""Waits over time: the median and the 95 % quantile of each tier, from the rows of a run."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.model.request import SERVED
from sim.results.intents import attempts_in, intents, window_of
from sim.results.latencies import quantiles
from sim.results.run import Run

Floats = NDArray[np.float64]

BINS = 72  # of the window
FEWEST = {"p50": 5, "p95": 40}  # values in a bin for a quantile: beyond the p95 of 40 lie two


def waits_over_time(run: Run, bins: int = BINS) -> pd.DataFrame:
    """Quantiles of waits in seconds: one row per kind of wait, tier and bin, with p50, p95 and n; from the warm-up on.

    what: 'wait', arrival to start of the attempts that were served, by arrival; 'latency', of all requests, from wanted
    to image, by when they were wanted, inf where half (or 5 %) of them got none. time: the bin's start in seconds. nan
    where a bin has too few values (FEWEST). Raises BadInput for a run without every row.
    """
    begin, end = window_of(run, None)
    edges = np.linspace(begin, end, bins + 1)
    rows = []
    for what, (tiers, times, values) in samples(run).items():
        cuts = [0, *np.searchsorted(times, edges[1:-1]).tolist(), len(times)]  # both tables are in order of time
        parts = [(tiers.codes[since:until], values[since:until]) for since, until in pairwise(cuts)]
        for code, tier in enumerate(tiers.categories):
            found = [known_quantiles(mine[group == code]) for group, mine in parts]
            if any(q["n"] for q in found):
                rows += [{"what": what, "tier": tier, "time": t, **q} for t, q in zip(edges, found, strict=False)]
    return pd.DataFrame(rows, columns=["what", "tier", "time", *FEWEST, "n"])


def samples(run: Run) -> dict[str, tuple[Any, Floats, Floats]]:
    """By kind of wait: the tiers, instants and seconds of its values."""
    attempts, wishes = attempts_in(run), intents(run)  # both from the warm-up on
    served, judged = (attempts["outcome"] == SERVED).to_numpy(), wishes["decided"].to_numpy()
    arrived, started = (attempts[name].to_numpy()[served] for name in ("arrived", "started"))
    wanted, latency = (wishes[name].to_numpy()[judged] for name in ("wanted", "latency"))
    return {
        "wait": (attempts["tier"].array[served], arrived, started - arrived),
        "latency": (wishes["tier"].array[judged], wanted, latency),
    }


def known_quantiles(values: Floats) -> dict[str, float]:
    """p50 and p95 of some values, nan where they are too few for it, and how many they are."""
    found = quantiles(values)
    known = {name: found[name] if found["n"] >= fewest else math.nan for name, fewest in FEWEST.items()}
    return {**known, "n": found["n"]}
