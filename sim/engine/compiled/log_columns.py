"""The compiled engine's records as columns, each record read once."""

import numpy as np

from sim.engine.compiled.constants import Constants
from sim.engine.compiled.records import ABANDONED, NOBODY, NONE, NOTIFIED, RETRY, STARTED
from sim.engine.compiled.state import State
from sim.model.jit import njit
from sim.model.request import OUTCOMES, UNFINISHED
from sim.results.log import OF_TOKENS, Columns

REQUESTS = {
    "user": "i4",
    "ask": "i4",
    "attempt": "i2",
    "tier": "i1",
    "feature": "i1",
    "arrived": "f8",
    "started": "f8",
    "dequeued": "f8",
    "finished": "f8",
    "left": "f8",
    "outcome": "i1",
    "reason": "i1",
    "asked": "i2",
    "spec": "i2",
    "level": "i1",
    "batch": "i4",
    "gpu_seconds": "f8",
    "retry": "?",
    "notified": "?",
    "first": "i4",
}
BATCHES = {
    "pool": "i2",
    "gpu": "i4",
    "spec": "i2",
    "size": "i4",
    "started": "f8",
    "finished": "f8",
    "seconds": "f8",
    "loading": "f8",
    "power": "f8",
}
UNDECIDED = OUTCOMES.index(UNFINISHED)


def request_columns(s: State, c: Constants, count: int) -> Columns:
    """All requests, in the order of their arrival."""
    columns = {name: np.empty(count, dtype=kind) for name, kind in REQUESTS.items()}
    write_requests.direct(s.requests, s.batches, s.lanes, s.stands, c.apart, c.pool_of, count, *columns.values())
    if c.whole.any():
        mine = c.whole[c.pool_of[columns["feature"]]] & (columns["batch"] != NOBODY)
        for name in OF_TOKENS:
            columns[name] = np.full(count, np.nan)
            columns[name][mine] = s.stays[name][columns["batch"][mine]]
    return columns


@njit
def write_requests(  # type: ignore[no-untyped-def]
    requests,
    batches,
    lanes,
    stands,
    apart,
    pool_of,
    count,
    user,
    ask,
    attempt,
    tier,
    feature,
    arrived,
    started,
    dequeued,
    finished,
    left,
    outcome,
    reason,
    asked,
    spec,
    level,
    batch,
    gpu_seconds,
    retry,
    notified,
    first,
):
    for row in range(count):
        r = requests[row]
        user[row], ask[row], attempt[row] = r.user, r.ask, r.attempt
        tier[row], feature[row], level[row] = r.tier, r.feature, r.level
        arrived[row], dequeued[row], left[row] = r.arrived, r.dequeued, r.left
        outcome[row] = UNDECIDED if r.outcome == NONE else r.outcome - 1
        reason[row], asked[row], first[row], batch[row] = r.reason, r.asked, r.first, NOBODY
        pool = pool_of[r.feature]
        q = stands[row] if apart[pool] else pool
        spec[row] = r.asked if r.lane == NOBODY else lanes[q, r.lane].spec
        retry[row], notified[row] = r.mark & RETRY != 0, r.mark & NOTIFIED != 0
        started[row], finished[row], gpu_seconds[row] = np.nan, np.nan, np.nan
        if r.mark & STARTED:
            batch[row], started[row] = r.batch, r.dequeued
            b = batches[r.batch]
            finished[row], gpu_seconds[row] = b.finished, b.seconds / b.taken


def kept_columns(s: State, c: Constants, count: int) -> Columns:
    """The requests of a sample, in the order in which they were over."""
    rows = s.kept[:count]
    columns = {name: rows[name] for name in REQUESTS if name in (rows.dtype.names or ()) and name != "first"}
    if c.whole.any():
        columns |= {name: rows[name] for name in OF_TOKENS}
    outcome = np.where(rows["outcome"] == NONE, UNDECIDED, rows["outcome"] - 1)
    marks = {"retry": rows["mark"] & RETRY != 0, "notified": rows["mark"] & NOTIFIED != 0}
    started = np.where(rows["mark"] & STARTED != 0, rows["dequeued"], np.nan)
    return columns | marks | {"outcome": outcome, "started": started, "batch": np.full(count, NOBODY)}


def killed_columns(s: State, count: int) -> Columns:
    """The requests whose work was lost, each with the batch it was in."""
    of = s.kills["batch"][:count]
    shares = s.batches["seconds"][of] / s.batches["taken"][of]
    return {"request": s.kills["request"][:count], "batch": of, "gpu_seconds": shares}


def batch_columns(s: State, count: int) -> Columns:
    """All batches, in the order in which they started."""
    columns = {name: np.empty(count, dtype=kind) for name, kind in BATCHES.items()}
    write_batches.direct(s.batches, count, *columns.values())
    return columns


@njit
def write_batches(batches, count, pool, gpu, spec, size, started, finished, seconds, loading, power):  # type: ignore[no-untyped-def]
    for row in range(count):
        b = batches[row]
        pool[row], gpu[row], spec[row], size[row] = b.pool, b.gpu, b.spec, b.size
        started[row], finished[row] = b.started, b.finished
        seconds[row], loading[row], power[row] = b.seconds, b.loading, b.power


def people_columns(s: State, count: int) -> Columns:
    """Everybody who arrived or was known beforehand, by user."""
    return {name: s.past[name][:count] for name in s.past.dtype.names or ()}


assert OUTCOMES.index("abandoned") == ABANDONED - 1
