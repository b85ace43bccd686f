"""Figures of a run from its timeline: the same as from its rows, for windows that begin and end with a bin."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.model.gateway import REASONS
from sim.results.run import Run
from sim.results.timeline import (
    ABANDONED,
    ATTEMPTS,
    DECIDED,
    DEGRADED,
    DONE,
    DONE_DEGRADED,
    IMAGES,
    IMAGES_DEGRADED,
    IN_TIME,
    INTENTS,
    JUDGED,
    KEPT,
    LATENCIES,
    LEFT,
    LOST,
    OFFERED,
    OFFERED_FIRST,
    REASON,
    RETRIED,
    SERVED,
    USEFUL,
    WASTED,
    Timeline,
    middles,
)

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

OVER_TIME = {  # what sim.results.metrics.timeline shows, and the counts it is the sum of
    "intents": [INTENTS],
    "attempts": [ATTEMPTS],
    "served": [DONE],
    "degraded": [DONE_DEGRADED],
    "refused": [REASON + place for place in range(len(REASONS) - 1)],
    "abandoned": [LEFT],
}


def serves(run: Run, *instants: float) -> bool:
    """Whether figures between these instants can be had from the timeline: exactly, or there are no rows to ask."""
    if run.timeline is None:
        return False
    places = np.array(instants) / run.timeline.width
    return not run.has_rows or bool(np.all(np.abs(places - np.rint(places)) < 1e-6))


def line(run: Run) -> Timeline:
    assert run.timeline is not None
    return run.timeline


def places(run: Run, edges: Floats) -> NDArray[np.int64]:
    """The first bin after each edge."""
    return np.clip(np.rint(np.asarray(edges) / line(run).width).astype(int), 0, len(line(run).counts))


def between(values: NDArray, at: NDArray[np.int64]) -> NDArray:
    """Sums over the bins from each place to the next, along the first axis."""
    sums = np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, axis=0)])
    return np.diff(sums[at], axis=0)


def counts(run: Run, window: tuple[float, float]) -> Counts:
    """(tiers, features, COUNTS) of a window."""
    found: Counts = between(line(run).counts, places(run, np.array(window)))[0]
    return found


def figures(c: Counts) -> dict[str, Any]:
    """The counts of one group by the names of sim.results.metrics.outcomes."""
    return {
        "intents": int(c[INTENTS]),
        "served": int(c[SERVED]),
        "in_time": int(c[IN_TIME]),
        "degraded": int(c[DEGRADED]),
        "lost": int(c[LOST]),
        "unfinished": int(c[INTENTS] - c[SERVED] - c[LOST]),
        "attempts": int(c[ATTEMPTS]),
        "refused": int(c[REASON : REASON + len(REASONS) - 1].sum()),
        "abandoned": int(c[ABANDONED]),
        "retried": int(c[RETRIED]),
        "attainment": attainment(c),
    }


def attainment(c: Counts) -> float:
    return float(c[IN_TIME] / c[DECIDED]) if c[DECIDED] else float("nan")


def groups(run: Run, by: str | list[str], found: NDArray) -> dict[Any, NDArray]:
    """(tiers, features, ...) added up by tier, feature or both: an entry a group."""
    names = {"tier": list(run.manifest["tiers"]), "feature": list(run.manifest["features"])}
    if isinstance(by, str):
        sums = found.sum(axis=1 if by == "tier" else 0)
        return dict(zip(names[by], sums, strict=True))
    assert by == ["tier", "feature"]
    return {(t, f): found[i, j] for i, t in enumerate(names["tier"]) for j, f in enumerate(names["feature"])}


def outcomes(run: Run, by: str | list[str] | None, window: tuple[float, float]) -> pd.DataFrame:
    found = counts(run, window)
    if by is None:
        return pd.DataFrame([figures(found.sum(axis=(0, 1)))], index=["all"])
    rows = {key: figures(c) for key, c in groups(run, by, found).items() if c[ATTEMPTS]}
    index = pd.Index(list(rows), name=by) if isinstance(by, str) else pd.MultiIndex.from_tuples(list(rows), names=by)
    return pd.DataFrame(list(rows.values()), index=index, columns=list(figures(found.sum(axis=(0, 1)))))


def refused_by(run: Run, by: str | None, window: tuple[float, float]) -> pd.DataFrame:
    found = counts(run, window)[:, :, REASON : REASON + len(REASONS) - 1]
    reasons = pd.Index(REASONS[1:], name="reason")
    if by is None:
        table = pd.DataFrame({"refused": found.sum(axis=(0, 1))}, index=reasons)
    else:
        columns = {name: numbers for name, numbers in groups(run, by, found).items() if numbers.sum()}
        table = pd.DataFrame(columns, index=reasons)
        table.columns.name = by
    return table[table.sum(axis=1) > 0]


def histograms(run: Run, by: str | None) -> dict[tuple[str, str, str], Counts]:
    """The histogram of each kind of latency and group, from the warm-up on."""
    found: dict[tuple[str, str, str], Counts] = {}
    for (of, what), buckets in zip(LATENCIES, line(run).latencies, strict=True):
        parts = {"all": buckets.sum(axis=(0, 1))} if by is None else groups(run, by, buckets)
        found |= {(of, what, str(group)): numbers for group, numbers in parts.items() if by is None or numbers.sum()}
    return found


def quantile(histogram: Counts, share: float) -> float:
    """The value that stands for the bucket in which a quantile lies; nan without values."""
    total = int(histogram.sum())
    if total == 0:
        return float("nan")
    rank = max(int(np.ceil(share * total)), 1)  # of the inverted distribution function, as from rows
    return float(middles()[np.searchsorted(np.cumsum(histogram), rank)])


def curve(histogram: Counts) -> tuple[Floats, Floats]:
    """A distribution in the points where it rises: seconds, and the share of values up to there."""
    some = np.flatnonzero(histogram[:-1])
    return np.maximum(middles()[some], 1e-3), np.cumsum(histogram)[some] / histogram.sum()


def windows(run: Run, edges: Floats) -> tuple[Counts, Counts]:
    """Of the requests granted in each window, how many can be judged, and got their image in time."""
    found = between(line(run).counts[..., [JUDGED, KEPT]].sum(axis=(1, 2)), places(run, edges))
    return found[:, 0], found[:, 1]


def images(run: Run, window: tuple[float, float]) -> tuple[float, float]:
    """Images that came in time, at the spec asked for and degraded."""
    found = counts(run, window).sum(axis=(0, 1))
    return float(found[IMAGES]), float(found[IMAGES_DEGRADED])


def per_bin(run: Run, edges: Floats, *columns: int) -> Counts:
    """Counts of everybody between edges."""
    found: Counts = between(line(run).counts[..., list(columns)].sum(axis=(1, 2, 3)), places(run, edges))
    return found


def signups(run: Run, edges: Floats) -> Counts:
    found: Counts = between(line(run).signups, places(run, edges))
    return found


def of_pool(run: Run, pool: str) -> list[int]:
    """The features that a pool serves."""
    return [place for place, f in enumerate(run.manifest["features"].values()) if f["pool"] == pool]


def load(run: Run, pool: str, edges: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """GPU-seconds asked for between edges, in all and for the first time, GPU-seconds spent, and queue-seconds."""
    at = places(run, edges)
    found = between(line(run).seconds[:, :, of_pool(run, pool)].sum(axis=(1, 2)), at)
    queue = between(line(run).queue[:, list(run.manifest["pools"]).index(pool)], at)
    return found[:, OFFERED], found[:, OFFERED_FIRST], found[:, USEFUL] + found[:, WASTED], queue


def work(run: Run, pool: str, spans: list[tuple[float, float]]) -> pd.DataFrame:
    """GPU-hours inside some spans by tier, feature and whether they were wasted."""
    spent = sum(between(line(run).seconds, places(run, np.array(span)))[0] for span in spans)
    tiers, features = list(run.manifest["tiers"]), list(run.manifest["features"])
    rows = [
        (tier, features[f], wasted, float(spent[t, f, column]) / 3600)
        for t, tier in enumerate(tiers)
        for f in of_pool(run, pool)
        for wasted, column in ((False, USEFUL), (True, WASTED))
        if spent[t, f, column] > 0
    ]
    return pd.DataFrame(rows, columns=["tier", "feature", "wasted", "hours"]).astype({"wasted": bool, "hours": float})


def peak(run: Run, pool: str) -> tuple[float, float, float, int]:
    """The longest queue, since when, seconds until empty, and requests waiting at the horizon."""
    length, at, drain, left = line(run).peaks[list(run.manifest["pools"]).index(pool)]
    return float(length), float(at), 0.0 if length == 0 else float(drain), int(left)
