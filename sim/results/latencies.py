"""How long people waited, in all and over time: quantiles, exact from rows or within a known error from histograms."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.model.request import OUTCOMES, SERVED
from sim.results.intents import Floats, Window, attempts_in, intents, token_times, window_of
from sim.results.metrics import grouped, recorded
from sim.results.run import Run
from sim.results.timeline import FIRST_TOKEN, LATENCIES, middles
from sim.wording import duration

Counts = NDArray[np.int64]

QUANTILES = (0.5, 0.95, 0.99)
TOKENS_IN_WORDS = {"first token": "Time to the first token", "per token": "Time per token"}
BINS = 72  # of the window
FEWEST = {"p50": 5, "p95": 40}  # values in a bin for a quantile: beyond the p95 of 40 lie two


def latencies(
    run: Run, by: str | None = None, window: Window = None, *, wishes: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Wait and latency quantiles in seconds, of the served and of all intents.

    served, wait: arrival to start of the attempt that was served; served, latency: its arrival to its image; all
    intents, latency: first wanted to image, inf where there was none. Of the requests served by pools that run steps:
    first token, from the attempt's arrival; per token, the mean time from one to the next. wishes: intents(run,
    window), where that is there already. Raises BadInput for a window of a run without every row, whose histograms are
    of the whole run.
    """
    rows = {}
    if run.has_rows or window is not None:
        for (of, what), (group_of, values) in latency_samples(run, by, window, wishes).items():
            for group, sample in samples_by_group(group_of, values):
                rows[of, what, group] = quantiles(sample)
    else:
        for key, buckets in histograms(run, by).items():
            found = {f"p{q * 100:.0f}": quantile(buckets, q) for q in QUANTILES}
            rows[key] = {**found, "n": int(buckets.sum())}
    index = pd.MultiIndex.from_tuples(list(rows), names=["of", "what", "group"])
    return pd.DataFrame(list(rows.values()), index=index, columns=["p50", "p95", "p99", "n"])


def latency_samples(
    run: Run, by: str | None, window: Window, wishes: pd.DataFrame | None
) -> dict[tuple[str, str], tuple[Any, Floats]]:
    """The values behind latencies(), with the group of each (None: of one group)."""
    attempts = attempts_in(run, window)
    wishes = intents(run, window) if wishes is None else wishes
    served = np.flatnonzero(attempts["outcome"].cat.codes == OUTCOMES.index(SERVED))  # places: quicker than a mask
    arrived, started, finished = (attempts[name].to_numpy()[served] for name in ("arrived", "started", "finished"))
    decided = np.flatnonzero(wishes["decided"])
    of_served = None if by is None else attempts[by].array[served]
    of_wishes = None if by is None else wishes[by].array[decided]
    found = {
        ("served", "wait"): (of_served, started - arrived),
        ("served", "latency"): (of_served, finished - arrived),
        ("all intents", "latency"): (of_wishes, wishes["latency"].to_numpy()[decided]),
    }
    for kind, seconds in zip(LATENCIES[FIRST_TOKEN:], token_times(attempts, served), strict=False):
        some = seconds.notna().to_numpy()
        found[kind] = (None if of_served is None else of_served[some], seconds.to_numpy()[some])
    return found


def samples_by_group(group_of: Any, values: Floats) -> Iterator[tuple[str, Floats]]:
    if group_of is None:
        yield "all", values
        return
    for code, name in enumerate(group_of.categories):
        mine = values[np.flatnonzero(group_of.codes == code)]
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


def histograms(run: Run, by: str | None) -> dict[tuple[str, str, str], Counts]:
    """The histogram of each kind of latency and group, from the warm-up on."""
    found: dict[tuple[str, str, str], Counts] = {}
    for (of, what), buckets in zip(LATENCIES, recorded(run).latencies, strict=False):
        parts = {"all": buckets.sum(axis=(0, 1))} if by is None else grouped(run, by, buckets)
        found |= {(of, what, str(group)): numbers for group, numbers in parts.items() if by is None or numbers.sum()}
    return found


def quantile(histogram: Counts, share: float) -> float:
    """The value that stands for the bucket in which a quantile lies; nan without values."""
    total = int(histogram.sum())
    if total == 0:
        return math.nan
    rank = max(math.ceil(share * total), 1)  # of the inverted distribution function, as from rows
    return float(middles()[np.searchsorted(np.cumsum(histogram), rank)])


def distribution(histogram: Counts) -> tuple[Floats, Floats]:
    """The points at which a distribution rises: seconds, and the share of values up to there."""
    some = np.flatnonzero(histogram[:-1])
    return np.maximum(middles()[some], 1e-3), np.cumsum(histogram)[some] / histogram.sum()


def latency_sentence(found: pd.DataFrame) -> str:
    """The quantiles of a table of latencies() in words: of all requests, and of those that were served."""
    rows: dict[Any, Any] = found.to_dict("index")
    if not rows["all intents", "latency", "all"]["n"]:
        return "No request was decided, so there is no latency."

    def words(of: str, what: str = "latency") -> str:
        values = rows[of, what, "all"]
        called = {"p50": "median", "p95": "p95", "p99": "p99"}
        return ", ".join(f"{name} {in_words(values[q])}" for q, name in called.items())

    said = f"Latency of all requests: {words('all intents')}; "
    said += f"of those that were served, from their last attempt: {words('served')}."
    for of, what in LATENCIES[FIRST_TOKEN:]:
        if rows.get((of, what, "all"), {"n": 0})["n"]:
            said += f" {TOKENS_IN_WORDS[what]} of those that were served in steps: {words(of, what)}."
    return said


def in_words(seconds: float) -> str:
    """A quantile of latency; 'never' where the requests beyond it got nothing."""
    return duration(seconds) if math.isfinite(seconds) else "never"


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
    served, judged = np.flatnonzero(attempts["outcome"] == SERVED), np.flatnonzero(wishes["decided"])
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
