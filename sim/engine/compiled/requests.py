"""The compiled engine's requests: a record per attempt, kept for the sample if wanted, and used again once over."""

import numpy as np

from sim.engine.compiled.crowd import habit_of
from sim.engine.compiled.queues import queue_joined
from sim.engine.compiled.records import FREE_REQUESTS, KEPTS, NOBODY, NOTIFIED, STARTED
from sim.model.chance import NEVER
from sim.model.jit import njit
from sim.model.streams import ATTEMPTS, SAMPLE, draw


@njit
def key_of(row, request):  # type: ignore[no-untyped-def]
    """The load of an event about a request: its record, and enough to tell whether the record is still its own."""
    return (row << 32) | ((request.ask * ATTEMPTS + request.attempt) & 0xFFFFFFFF)


@njit
def is_of(request, user, load):  # type: ignore[no-untyped-def]
    """Whether a record is still that of the request that an event is about."""
    return request.user == user and (request.ask * ATTEMPTS + request.attempt) & 0xFFFFFFFF == load & 0xFFFFFFFF


@njit
def never_leaves(s, c, request):  # type: ignore[no-untyped-def]
    """Whether its user has unlimited patience."""
    habit = habit_of(c, s.people[request.person])
    return (habit.notified_kind if request.mark & NOTIFIED else habit.patience_kind) == NEVER


@njit
def settle(s, c, row):  # type: ignore[no-untyped-def]
    """A request is over: it is written down if its user is in the sample, and its record is used again."""
    if not c.rows:
        keep(s, c, row)
        free(s, c, row)


@njit
def free(s, c, row):  # type: ignore[no-untyped-def]
    """Use a request's record again, unless every row is recorded."""
    if not c.rows:
        s.requests[row].user = NOBODY
        s.free_requests[s.n[FREE_REQUESTS]] = row
        s.n[FREE_REQUESTS] += 1


@njit
def keep(s, c, row):  # type: ignore[no-untyped-def]
    """Write down a request of a user who is in the sample."""
    request = s.requests[row]
    if c.sampled <= 0 or draw(c.seed, SAMPLE, s.people[request.person].key, 0) >= c.sampled:
        return
    kept = s.kept[s.n[KEPTS]]
    s.n[KEPTS] += 1
    copy(kept, request)
    q = queue_joined(s, c, c.pool_of[request.feature], row)
    kept.spec = request.asked if request.lane < 0 else s.lanes[q, request.lane].spec
    kept.finished, kept.gpu_seconds, kept.first_token, kept.tokens = np.nan, np.nan, np.nan, np.nan
    kept.batch = NOBODY
    if request.mark & STARTED:
        kept.batch = request.batch
        batch = s.batches[request.batch]
        kept.finished, kept.gpu_seconds = batch.finished, batch.seconds / batch.taken
        if c.whole[batch.pool]:
            stay = s.stays[request.batch]
            kept.first_token, kept.tokens = stay.first_token, stay.tokens


@njit
def copy(kept, request):  # type: ignore[no-untyped-def]
    kept.arrived, kept.dequeued, kept.left = request.arrived, request.dequeued, request.left
    kept.user, kept.ask, kept.attempt = request.user, request.ask, request.attempt
    kept.asked, kept.tier, kept.feature, kept.level = request.asked, request.tier, request.feature, request.level
    kept.reason, kept.outcome, kept.mark = request.reason, request.outcome, request.mark
