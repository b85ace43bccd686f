"""What a run means in numbers: pure functions of its tables over a window of time.

Counts are those of the simulated slice; divide by run.scale for the whole service. A window is (from, until) in
seconds; None is from the scenario's warm-up to its horizon. Where a run has a timeline and a window begins and ends
with its bins, counts come from there, and are the same (tests/test_timeline.py); where it has not every row, they all
do, a window is rounded to whole bins, and quantiles are off by sim.results.timeline.ERROR of themselves at most.
"""

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.errors import BadInput
from sim.model.gateway import (
    EXPIRED,
    REASONS,
)
from sim.model.request import ABANDONED, REFUSED, SERVED, UNFINISHED
from sim.results import binned
from sim.results.run import Run
from sim.results.timeline import bin_width, grid

Window = tuple[float, float] | None
Floats = NDArray[np.float64]

LOST = "lost"
ROUNDING = 1e-9  # of sums of seconds: a queue of one may come out a little shorter
SATURATED = 0.98  # a pool whose GPUs are busy this share of a bin, with a queue, is saturated


def window_of(run: Run, window: Window) -> tuple[float, float]:
    return (float(run.manifest["warm_up"]), run.horizon) if window is None else window


def intents(run: Run, window: Window = None) -> pd.DataFrame:
    """One row a wish for an image, with all its attempts: what became of it, and how long it took.

    Columns: user, ask, tier, feature, wanted (first arrival), attempts, outcome (served, lost, unfinished), reason
    (why the last attempt was refused), degraded, latency (wanted to image; inf where there was none), slo, in_time,
    decided (False where the horizon came before one could say), images. The window is on `wanted`.
    """
    rows = every_row(run)
    first, last = ends_of_intents(rows)
    ending = served_or_last(rows, first, last)
    outcome, retry = rows["outcome"].array[ending], rows["retry"].to_numpy()[last]
    wanted = rows["arrived"].to_numpy()[first]
    served = np.asarray(outcome == SERVED)
    pending = ~served & (np.asarray(outcome == UNFINISHED) | retry)
    latency = np.where(served, rows["finished"].to_numpy()[ending] - wanted, math.inf)
    slo = looked_up(rows["feature"], {n: f["slo"] for n, f in run.manifest["features"].items()})[first]
    images = looked_up(rows["asked"], {n: s["images"] for n, s in run.manifest["specs"].items()})[first]
    table = pd.DataFrame(
        {
            **{name: rows[name].array[first] for name in ("user", "ask", "tier", "feature")},
            "wanted": wanted,
            "reason": rows["reason"].array[last],
            "attempts": rows["attempt"].to_numpy()[last] + 1,
            "outcome": pd.Categorical.from_codes(
                np.where(served, 0, np.where(pending, 2, 1)), pd.Index([SERVED, LOST, UNFINISHED])
            ),
            "degraded": served & (rows["level"].to_numpy()[ending] > 0),
            "latency": latency,
            "slo": slo,
            "in_time": latency <= slo,
            "decided": served | ~pending | (run.horizon - wanted > slo),
            "images": images.astype(int),
        }
    )
    begin, end = window_of(run, window)
    if begin <= 0 and end >= run.horizon:
        return table
    return table[(table["wanted"] >= begin) & (table["wanted"] < end)].reset_index(drop=True)


def every_row(run: Run) -> pd.DataFrame:
    """The request table. Raises BadInput where not every row was recorded."""
    if not run.has_rows:
        raise BadInput("not every row of this run was recorded", key="record", expected="rows")
    return run.requests


def ends_of_intents(rows: pd.DataFrame) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where in the request table each intent's first and last attempts stand, in order of the first."""
    to_first = rows["first"].to_numpy()
    numbers = np.arange(len(rows), dtype=to_first.dtype)
    last = np.empty(len(rows), dtype=np.intp)
    last[to_first] = numbers  # of those with the same first, the last stays
    first = np.flatnonzero(to_first == numbers)
    return first, last[first]


def served_or_last(rows: pd.DataFrame, first: NDArray[np.intp], last: NDArray[np.intp]) -> NDArray[np.intp]:
    """Where each intent's served attempt stands (an earlier one, where images are delivered late), or its last."""
    served = np.flatnonzero(rows["outcome"] == SERVED)
    ending = np.empty(len(rows), dtype=np.intp)
    ending[first] = last
    ending[rows["first"].to_numpy()[served]] = served
    return ending[first]


def looked_up(names: pd.Series, figures: dict[str, float]) -> Floats:
    """A figure for each row by its name: each of a few names is looked up once, not once a row."""
    if not isinstance(names.dtype, pd.CategoricalDtype):
        names = names.astype("category")
    known = np.array([figures.get(str(name), math.nan) for name in names.cat.categories] + [math.nan])
    return known[names.cat.codes.to_numpy()]


def attainment(wishes: pd.DataFrame) -> float:
    """SLO attainment: of the intents that can be judged, the share with an image in time; nan where there are none."""
    judged = wishes[wishes["decided"]]
    return float(judged["in_time"].mean()) if len(judged) else math.nan


def outcomes(run: Run, by: str | list[str] | None = None, window: Window = None) -> pd.DataFrame:
    """Counts of what became of intents and attempts, in all or by tier and feature: one row a group.

    refused counts attempts and is split in refused_by; abandoned, retried and attempts count attempts too; the others
    count intents. attainment is a share.
    """
    span = window_of(run, window)
    if binned.serves(run, *span):
        return binned.outcomes(run, by, span)
    wishes, attempts = intents(run, window), attempts_in(run, window)
    if by is None:
        return pd.DataFrame([group_counts(wishes, attempts)], index=["all"])
    keys = [by] if isinstance(by, str) else by
    nobody = wishes.iloc[:0]
    wished = dict(iter(wishes.groupby(keys, observed=True)))
    # By attempts, not wishes: in a window may lie the retries of a group that wished for nothing new in it.
    rows: dict[Any, dict[str, Any]] = {
        key if len(keys) > 1 else key[0]: group_counts(wished.get(key, nobody), group)
        for key, group in attempts[[*keys, "outcome", "attempt"]].groupby(keys, observed=True)
    }
    index = pd.MultiIndex.from_tuples(list(rows), names=keys) if len(keys) > 1 else pd.Index(list(rows), name=keys[0])
    return pd.DataFrame(list(rows.values()), index=index, columns=list(group_counts(nobody, attempts.iloc[:0])))


def attempts_in(run: Run, window: Window = None) -> pd.DataFrame:
    begin, end = window_of(run, window)
    rows = every_row(run)
    if begin <= 0 and end >= run.horizon:
        return rows  # all of it: a copy of millions of rows would take its time
    return rows[(rows["arrived"] >= begin) & (rows["arrived"] < end)]


def group_counts(wishes: pd.DataFrame, attempts: pd.DataFrame) -> dict[str, Any]:
    outcome = wishes["outcome"].value_counts()
    return {
        "intents": len(wishes),
        "served": int(outcome[SERVED]),
        "in_time": int(wishes["in_time"].sum()),
        "degraded": int(wishes["degraded"].sum()),
        "lost": int(outcome[LOST]),
        "unfinished": int(outcome[UNFINISHED]),
        "attempts": len(attempts),
        "refused": int((attempts["outcome"] == REFUSED).sum()),
        "abandoned": int((attempts["outcome"] == ABANDONED).sum()),
        "retried": int((attempts["attempt"] > 0).sum()),
        "attainment": attainment(wishes),
    }


def refused_by(run: Run, by: str | None = None, window: Window = None) -> pd.DataFrame:
    """Refused attempts by reason: one row a reason, in all or a column a tier or feature."""
    span = window_of(run, window)
    if binned.serves(run, *span):
        return binned.refused_by(run, by, span)
    refused = attempts_in(run, window)
    refused = refused[refused["outcome"] == REFUSED]
    if by is None:
        return refused.groupby("reason", observed=True).size().to_frame("refused")
    return refused.groupby(["reason", by], observed=True).size().unstack(fill_value=0)


def occupancy(starts: Floats, ends: Floats, edges: Floats) -> Floats:
    """Mean number of intervals [start, end) open during each bin between edges; an interval without end stays open."""

    widths = np.diff(edges)

    def passed(instants: Floats) -> tuple[NDArray[np.int_], Floats]:
        # How many came before each bin, and the seconds from those in it to its end: no large numbers that would
        # have to cancel.
        place = np.searchsorted(edges, instants, side="right") - 1  # of nan: beyond the last bin
        inside = (place >= 0) & (place < len(widths))
        rest = np.bincount(place[inside], edges[place[inside] + 1] - instants[inside], len(widths)).astype(float)
        return np.cumsum(np.bincount(place + 1, minlength=len(edges)))[: len(widths)], rest

    (begun, beginning), (over, ending) = passed(starts), passed(ends)
    return begun - over + (beginning - ending) / widths


def was_granted(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Which attempts were let in; some of them may have been dropped when their turn came."""
    return (rows["outcome"] != REFUSED) | (rows["reason"] == REASONS[EXPIRED])


def queue_spans(run: Run, pool: str) -> tuple[Floats, Floats]:
    """When each granted request joined a pool's queue and left it (nan: it was still there at the horizon)."""
    granted = (every_row(run)["pool"] == pool) & was_granted(run.requests)
    rows = run.requests.loc[granted, ["arrived", "dequeued"]]
    return rows["arrived"].to_numpy(), rows["dequeued"].to_numpy()


def bins(run: Run, width: float, begin: float = 0.0) -> Floats:
    """Edges of bins of about `width` seconds from `begin` to the horizon; those of recorded bins, where they meet."""
    edges = np.linspace(begin, run.horizon, max(1, round((run.horizon - begin) / width)) + 1)
    recorded = grid(run.horizon)
    nearest = recorded[np.clip(np.rint(edges / bin_width(run.horizon)).astype(int), 0, len(recorded) - 1)]
    return np.where(np.abs(edges - nearest) < 1e-9 * run.horizon, nearest, edges)


def default_bin(run: Run) -> float:
    """A bin that makes some 200 of the horizon, but none shorter than 10 s."""
    return max(10.0, run.horizon / 216)


def capacity(run: Run, pool: str, edges: Floats) -> Floats:
    """GPU-seconds that a pool had in service between each edge and the next."""
    changes = run.fleet[run.fleet["pool"] == pool]
    times, change = changes["time"].to_numpy(float), changes["change"].to_numpy(float)
    if run.manifest["unlimited"]:  # one GPU more for whoever would have to wait
        return np.diff(edges) * float(run.manifest["pools"][pool]["gpus"])
    had = np.array([float(change @ np.clip(edge - times, 0.0, None)) for edge in edges])
    return np.diff(had)


def pool_timeline(run: Run, pool: str, width: float | None = None, begin: float = 0.0) -> pd.DataFrame:
    """A pool over time from `begin`, a row a bin, indexed by the bin's start in seconds.

    gpus: mean in service; offered, offered_first: GPU-seconds arriving a second over these, with retries and without,
    at the spec asked for (nan where there are none); utilisation; queued: mean requests waiting; saturated.
    """
    edges = bins(run, default_bin(run) if width is None else width, begin)
    per = capacity(run, pool, edges)
    if binned.serves(run, *edges):
        offered, offered_first, spent, waited = binned.load(run, pool, edges)
        return loads(edges, per, offered, offered_first, spent, waited / np.diff(edges))
    rows = every_row(run).loc[run.requests["pool"] == pool, ["asked", "arrived", "attempt"]]
    work = looked_up(rows["asked"], run.manifest["pools"][pool]["gpu_seconds"])
    arrived, first = rows["arrived"].to_numpy(), rows["attempt"].to_numpy() == 0
    load = [np.histogram(arrived[m], edges, weights=work[m])[0] for m in (np.ones(len(rows), bool), first)]
    batches = run.batches.loc[run.batches["pool"] == pool, ["started", "finished"]]
    spent = occupancy(batches["started"].to_numpy(), batches["finished"].to_numpy(), edges) * np.diff(edges)
    return loads(edges, per, load[0], load[1], spent, occupancy(*queue_spans(run, pool), edges))


def loads(
    edges: Floats, per: Floats, offered: Floats, offered_first: Floats, spent: Floats, queued: Floats
) -> pd.DataFrame:
    """The table of pool_timeline from GPU-seconds: in service, offered, offered for the first time, spent."""
    there = np.where(per > 0, per, np.nan)
    busy = np.where(per > 0, spent / there, (spent > 0).astype(float))  # the last may still finish a batch
    return pd.DataFrame(
        {
            "gpus": per / np.diff(edges),
            "offered": offered / there,
            "offered_first": offered_first / there,
            "utilisation": np.clip(busy, 0.0, 1.0),  # against rounding
            "queued": queued,
            "saturated": (busy >= SATURATED - ROUNDING) & (queued >= 1 - ROUNDING),
        },
        index=pd.Index(edges[:-1], name="time"),
    )


def timeline(run: Run, width: float | None = None) -> pd.DataFrame:
    """The service over time, a row a bin: signups, intents, attempts and their outcomes (at the instant of each)."""
    edges = bins(run, default_bin(run) if width is None else width)
    index = pd.Index(edges[:-1], name="time")
    if binned.serves(run, *edges):
        counted = {name: binned.per_bin(run, edges, *columns) for name, columns in binned.OVER_TIME.items()}
        return pd.DataFrame({"signups": binned.signups(run, edges), **counted}, index=index)
    rows, users = every_row(run), run.users

    def per_bin(instants: pd.Series) -> NDArray[np.int64]:
        return np.histogram(instants.dropna().to_numpy(), edges)[0]

    served = rows["outcome"] == SERVED
    return pd.DataFrame(
        {
            "signups": per_bin(users.loc[users["newcomer"], "arrives"]),
            "intents": per_bin(rows.loc[rows["attempt"] == 0, "arrived"]),
            "attempts": per_bin(rows["arrived"]),
            "served": per_bin(rows.loc[served & (rows["level"] == 0), "finished"]),
            "degraded": per_bin(rows.loc[served & (rows["level"] > 0), "finished"]),
            "refused": per_bin(rows.loc[rows["outcome"] == REFUSED, "arrived"]),
            "abandoned": per_bin(rows["left"]),
        },
        index=index,
    )


def peak_queue(run: Run, pool: str) -> dict[str, float]:
    """The longest queue after the warm-up: requests, when, and seconds until next empty (nan: not before the end)."""
    if run.timeline is not None:
        peak, at, drain, _ = binned.peak(run, pool)
        return {"peak": peak, "at": at, "drain": drain}
    starts, ends = queue_spans(run, pool)
    if len(starts) == 0:
        return {"peak": 0.0, "at": math.nan, "drain": 0.0}
    ends = ends[~np.isnan(ends)]
    times = np.concatenate([starts, ends])
    # At one instant joins come before starts: a request that meets an idle GPU is in the queue for no time at all.
    order = np.lexsort((np.repeat([0, 1], [len(starts), len(ends)]), times))
    length = np.cumsum(np.repeat([1, -1], [len(starts), len(ends)])[order])
    times = times[order]
    begin = window_of(run, None)[0]
    until = np.append(times[1:], math.inf)
    lasting = (until > times) & (until > begin)
    length, times = length[lasting], np.maximum(times[lasting], begin)
    top = int(np.argmax(length))
    if length[top] <= 0:
        return {"peak": 0.0, "at": math.nan, "drain": 0.0}
    empty = np.flatnonzero(length[top:] == 0)
    drain = times[top + empty[0]] - times[top] if len(empty) else math.nan
    return {"peak": float(length[top]), "at": float(times[top]), "drain": float(drain)}


def saturation(run: Run, pool: str, width: float | None = None) -> dict[str, float]:
    """When a pool is saturated after the warm-up: first (seconds; nan: never), total seconds, still at the horizon."""
    bins_ = pool_timeline(run, pool, width, begin=window_of(run, None)[0])
    hot = bins_["saturated"].to_numpy()
    lengths = np.diff(np.append(bins_.index.to_numpy(), run.horizon))
    first = float(bins_.index[hot][0]) if hot.any() else math.nan
    return {"first": first, "total": float(lengths[hot].sum()), "at_horizon": float(hot[-1])}
