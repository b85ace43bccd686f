"""Waits over time: the median and the 95 % quantile of each tier, from the rows of a run."""

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.model.request import SERVED
from sim.results.intents import attempts_in, intents, window_of
from sim.results.latencies import quantiles, samples_by_group
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
        for tier, sample in samples_by_group(tiers, np.column_stack([times, values])):
            place = np.clip(np.searchsorted(edges, sample[:, 0], side="right") - 1, 0, bins - 1).astype(np.int16)
            order = np.argsort(place, kind="stable")  # of 16 bits: counted rather than compared
            cuts = np.searchsorted(place[order], np.arange(bins + 1))
            values = sample[order, 1]
            for number in range(bins):
                found = quantiles(values[cuts[number] : cuts[number + 1]])
                known = {name: found[name] if found["n"] >= fewest else math.nan for name, fewest in FEWEST.items()}
                rows.append({"what": what, "tier": tier, "time": edges[number], **known, "n": found["n"]})
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
