"""Figures of a run: pure functions of its timeline over a window of time.

Counts are those of the simulated slice; divide by run.scale for the whole service. A window is (from, until) in
seconds; None is from the scenario's warm-up to its horizon. Where a window does not begin and end with bins of the
recorded timeline, another is made from the rows; without every row, the window is rounded to whole bins.
"""

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.model.gateway import GRANTED_BEFORE, REASONS
from sim.policies.base import ABSENT
from sim.results import timeline as tl
from sim.results.counting import timeline_of
from sim.results.intents import Floats, Window, window_of
from sim.results.run import Run
from sim.results.saturation import BUSY, Balance, saturated
from sim.results.timeline import Timeline, bin_width, grid

Counts = NDArray[np.int64]

# Refusals because the pool has no room: work that came to it, and that it could not do.
FULL = ("queue bound", "expected wait", "shed", "limit", "shed for good")
FOR_CAPACITY = [tl.REASON + REASONS.index(reason) - 1 for reason in FULL]
REFUSED = slice(tl.REASON, tl.REASON + len(REASONS) - 1)  # the counts of refusals, one for each reason


def recorded(run: Run) -> Timeline:
    """The timeline of a run; made from its rows where the engine recorded none."""
    return timeline_of(run) if run.timeline is None else run.timeline


def counted(run: Run, edges: Floats | tuple[float, float]) -> Timeline:
    """A run counted between these edges: bins of its timeline added up, once for all figures, or its rows counted."""
    edges = np.asarray(edges, dtype=float)
    if run.timeline is None or (run.has_rows and not run.timeline.meets(edges)):
        return timeline_of(run, edges)
    key = edges.tobytes()
    if key not in run.sums:
        run.sums[key] = run.timeline.between(edges)
    return run.sums[key]


def outcomes(run: Run, by: str | list[str] | None = None, window: Window = None) -> pd.DataFrame:
    """Counts of what became of intents and attempts, in all or by tier and feature: one row per group.

    refused counts attempts and is split in refused_by; abandoned, retried and attempts count attempts too; the others
    count intents. attainment is a share.
    """
    found = counted(run, window_of(run, window)).counts[0]
    whole = group_counts(found.sum(axis=(0, 1)))
    if by is None:
        return pd.DataFrame([whole], index=["all"])
    rows = {key: group_counts(c) for key, c in grouped(run, by, found).items() if c[tl.ATTEMPTS]}
    index = pd.Index(list(rows), name=by) if isinstance(by, str) else pd.MultiIndex.from_tuples(list(rows), names=by)
    return pd.DataFrame(list(rows.values()), index=index, columns=list(whole))


def group_counts(c: Counts) -> dict[str, Any]:
    return {
        "intents": int(c[tl.INTENTS]),
        "served": int(c[tl.SERVED]),
        "in_time": int(c[tl.IN_TIME]),
        "degraded": int(c[tl.DEGRADED]),
        "lost": int(c[tl.LOST]),
        "unfinished": int(c[tl.INTENTS] - c[tl.SERVED] - c[tl.LOST]),
        "attempts": int(c[tl.ATTEMPTS]),
        "refused": int(c[REFUSED].sum()),
        "abandoned": int(c[tl.ABANDONED]),
        "retried": int(c[tl.RETRIED]),
        "attainment": float(c[tl.IN_TIME] / c[tl.DECIDED]) if c[tl.DECIDED] else math.nan,
    }


def grouped(run: Run, by: str | list[str], found: Counts) -> dict[Any, Counts]:
    """(tiers, features, ...) added up by tier, feature or both: one entry per group."""
    tiers, features = list(run.manifest["tiers"]), list(run.manifest["features"])
    if by == "tier":
        return dict(zip(tiers, found.sum(axis=1), strict=True))
    if by == "feature":
        return dict(zip(features, found.sum(axis=0), strict=True))
    assert by == ["tier", "feature"]
    return {(t, f): found[i, j] for i, t in enumerate(tiers) for j, f in enumerate(features)}


def refused_by(run: Run, by: str | None = None, window: Window = None) -> pd.DataFrame:
    """Refused attempts by reason: one row per reason, in all or with a column per tier or feature."""
    found = counted(run, window_of(run, window)).counts[0, :, :, REFUSED]
    reasons = pd.Index(REASONS[1:], name="reason")
    if by is None:
        table = pd.DataFrame({"refused": found.sum(axis=(0, 1))}, index=reasons)
    else:
        columns = {name: numbers for name, numbers in grouped(run, by, found).items() if numbers.sum()}
        table = pd.DataFrame(columns, index=reasons)
        table.columns.name = by
    return table[table.sum(axis=1) > 0]


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
    if run.manifest["unlimited"]:  # one GPU more for whoever would have to wait
        return np.diff(edges) * float(run.manifest["pools"][pool]["gpus"])
    return in_state(run, pool, "change", edges)


def in_state(run: Run, pool: str, state: str, edges: Floats) -> Floats:
    """GPU-seconds in a state (a column of the fleet table) between each edge and the next."""
    change = run.fleet[state].to_numpy(float)
    if not change.any():  # most runs have no failures, moves or orders
        return np.zeros(len(edges) - 1)
    mine = run.fleet["pool"].to_numpy(object) == pool
    times, change = run.fleet["time"].to_numpy(float)[mine], change[mine]
    if len(times) == 1:  # the GPUs that it begins with, and no change after
        return np.diff(change[0] * np.maximum(edges - times[0], 0.0))
    return np.diff([float(change @ np.clip(edge - times, 0.0, None)) for edge in edges])


def paid(run: Run, pool: str, edges: Floats) -> Floats:
    """GPU-seconds of a pool that are paid between each edge and the next, as its `pays` says."""
    pays = run.manifest["pools"][pool]["pays"]
    absent = [in_state(run, pool, state, edges) for state in ABSENT if pays.get(state, True)]
    return np.asarray(capacity(run, pool, edges) + sum(absent))


def features_of(run: Run, pool: str) -> list[int]:
    """The places of the features that a pool serves."""
    return [place for place, facts in enumerate(run.manifest["features"].values()) if facts["pool"] == pool]


def pool_timeline(run: Run, pool: str, width: float | None = None, begin: float = 0.0) -> pd.DataFrame:
    """A pool over time from `begin`, one row per bin, indexed by the bin's start in seconds.

    gpus: mean in service; offered, offered_first: GPU-seconds wanted per second over these, by all attempts and by
    first attempts, at the spec they asked for, without model loads (nan where there are none); utilisation: the share
    of GPUs that are busy, made up of serving (also what is lost later) and loading (models); queued: mean requests
    waiting; saturated (see sim.results.saturation).
    """
    edges = bins(run, default_bin(run) if width is None else width, begin)
    return load_over_time(run, pool, counted(run, edges))


def load_over_time(run: Run, pool: str, line: Timeline) -> pd.DataFrame:
    """The table of pool_timeline in the bins of a timeline."""
    seconds = line.seconds[:, :, features_of(run, pool)].sum(axis=(1, 2))
    serving, loading = seconds[:, tl.USEFUL] + seconds[:, tl.WASTED] + seconds[:, tl.LOST_WORK], seconds[:, tl.LOADING]
    per, widths = capacity(run, pool, line.edges), np.diff(line.edges)
    there = np.where(per > 0, per, np.nan)
    busy = np.where(per > 0, (serving + loading) / there, (serving > 0).astype(float))  # the last may still finish
    over = np.maximum(busy, 1.0)  # GPUs that leave finish their batch, and rounding
    return pd.DataFrame(
        {
            "gpus": per / widths,
            "offered": seconds[:, tl.OFFERED] / there,
            "offered_first": seconds[:, tl.OFFERED_FIRST] / there,
            "utilisation": busy / over,
            "serving": np.where(per > 0, serving / there, busy) / over,
            "loading": np.where(per > 0, loading / there, 0.0) / over,
            "queued": line.queue[:, list(run.manifest["pools"]).index(pool)] / widths,
            "saturated": saturated(balance_of(run, pool, line, per, busy)),
        },
        index=pd.Index(line.edges[:-1], name="time"),
    )


def balance_of(run: Run, pool: str, line: Timeline, per: Floats, busy: Floats) -> Balance:
    """What came to a pool and what it could do, bin by bin, in requests of the mean work of those that came.

    per: GPU-seconds in service; busy: the share of them that was used.
    """
    mine, widths = features_of(run, pool), np.diff(line.edges)
    counts, seconds = line.counts[:, :, mine].sum(axis=1), line.seconds[:, :, mine].sum(axis=1)
    attempts, granted = counts[:, :, tl.ATTEMPTS], counts[:, :, tl.ATTEMPTS] - at_the_door(counts)
    turned_away = counts[:, :, FOR_CAPACITY].sum(axis=2) * share_of(seconds[:, :, tl.OFFERED], attempts)
    came = (seconds[:, :, tl.GRANTED] + turned_away).sum(axis=1)
    work = seconds[:, :, tl.GRANTED].sum() / max(granted.sum(), 1) or 1.0
    facts = [run.manifest["features"][list(run.manifest["features"])[place]] for place in mine]
    full = np.array([1 / fact["batches"] for fact in facts])  # requests in a full batch
    each = float(np.average(full, weights=attempts.sum(axis=0))) if attempts.any() else 1.0
    each /= run.manifest["pools"][pool]["gpus_per_replica"]
    return Balance(
        came=came / work,
        able=(per - seconds[:, :, tl.LOADING].sum(axis=1)) / work,
        waiting=line.queue[:, list(run.manifest["pools"]).index(pool)] / widths,
        idle=busy < BUSY,
        batching=per / widths * each + granted.sum(axis=1) / widths * run.manifest["pools"][pool]["linger"],
        parts=run.manifest["cells"],
    )


def at_the_door(counts: Counts) -> Counts:
    """Attempts refused when they came; those that are dropped later have been granted."""
    later = counts[..., [tl.REASON + reason - 1 for reason in GRANTED_BEFORE]].sum(axis=-1)
    return np.asarray(counts[..., REFUSED].sum(axis=-1) - later)


def share_of(part: Floats, whole: Counts) -> Floats:
    """The quotient, 0 where there is nothing."""
    return np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)


def timeline(run: Run, width: float | None = None) -> pd.DataFrame:
    """The service over time, one row per bin: signups, intents, attempts and, when they happen, their outcomes."""
    line = counted(run, bins(run, default_bin(run) if width is None else width))
    counts = line.counts.sum(axis=(1, 2))
    return pd.DataFrame(
        {
            "signups": line.signups,
            "intents": counts[:, tl.INTENTS],
            "attempts": counts[:, tl.ATTEMPTS],
            "served": counts[:, tl.DONE],
            "degraded": counts[:, tl.DONE_DEGRADED],
            "refused": counts[:, REFUSED].sum(axis=1),
            "abandoned": counts[:, tl.LEFT],
        },
        index=pd.Index(line.edges[:-1], name="time"),
    )


def peak_queue(run: Run, pool: str) -> dict[str, float]:
    """The longest queue after the warm-up: requests, when, seconds until next empty (nan: not before the end).

    left: requests still waiting at the horizon.
    """
    peak, at, drain, left = recorded(run).peaks[list(run.manifest["pools"]).index(pool)].tolist()
    return {"peak": peak, "at": at, "drain": 0.0 if peak == 0 else drain, "left": left}


def stretches(flags: pd.Series, horizon: float) -> list[tuple[float, float]]:
    """The spans (from, until) in seconds over which a flag of a timeline is set."""
    starts = flags.index.to_numpy()
    ends = np.append(starts[1:], horizon)
    spans: list[tuple[float, float]] = []
    for up, start, end in zip(flags.to_numpy(), starts.tolist(), ends.tolist(), strict=True):
        if up and spans and spans[-1][1] == start:
            spans[-1] = (spans[-1][0], end)
        elif up:
            spans.append((start, end))
    return spans


def qualities(run: Run) -> list[float]:
    """What a degraded image of each feature is worth."""
    return [float(facts["degraded_quality"]) for facts in run.manifest["features"].values()]


def images_in_time(run: Run) -> dict[str, float]:
    """Images of the slice that came in time: as_asked, degraded, and worth, where a degraded one counts by its quality.

    The quality of a degraded image is stated for each feature (degraded_quality); one as asked for counts as 1.
    """
    found = counted(run, window_of(run, None)).counts[0].sum(axis=0)[:, [tl.IMAGES, tl.IMAGES_DEGRADED]]
    as_asked, degraded = (float(part) for part in found.sum(axis=0))
    worth = as_asked + sum(quality * float(number) for quality, number in zip(qualities(run), found[:, 1], strict=True))
    return {"as_asked": as_asked, "degraded": degraded, "worth": worth}
