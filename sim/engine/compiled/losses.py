"""The compiled engine's losses: GPUs that are lost with what they run, and the people who wait for it again."""

import numpy as np

from sim.engine.clock import ABANDON, COMPLETION
from sim.engine.compiled import tally
from sim.engine.compiled.calendar import NOTICE_OVER, TIRED, schedule
from sim.engine.compiled.crowd import habit_of, standing
from sim.engine.compiled.gpus import end_early, free_batch
from sim.engine.compiled.pool import count, drop, serve, wake_one
from sim.engine.compiled.queues import queue_joined, queue_of
from sim.engine.compiled.records import KILLS, NOBODY, NONE, NOTIFIED, STARTED, TIMED, WAITED_OUT
from sim.engine.compiled.replicas import come_off, look, now_takes, open_or_closed, promise, share_until, taken_on
from sim.engine.compiled.requests import key_of, never_leaves
from sim.model.chance import quantile
from sim.model.gateway import WORK_LOST
from sim.model.jit import njit
from sim.model.losses import DOOMED, LOST
from sim.model.standing import patience_left, waited
from sim.model.streams import ATTEMPTS, PATIENCE, draw


@njit
def doom(s, c, pool, gpu, until):  # type: ignore[no-untyped-def]
    """A GPU is lost: what it still runs at an instant, now or later, is stopped then."""
    if c.many[pool]:
        replica = s.replicas[pool, gpu]
        replica.doomed, replica.until = 1, until
        open_or_closed(s, pool, gpu)
        schedule(s, c, until, COMPLETION, gpu, NOTICE_OVER, pool)
        return
    number = s.on[pool, gpu]
    batch = s.batches[number]
    if batch.started + batch.seconds > until:
        end_early(s, c, number, until, DOOMED)


@njit
def batch_lost(s, c, number, now):  # type: ignore[no-untyped-def]
    """A GPU is lost with its batch. Another, or what has its number, takes the next one."""
    batch = s.batches[number]
    pool, gpu = batch.pool, batch.gpu
    s.running[pool] -= 1
    batch.finished, batch.fate = now, LOST
    tally.spent(s, c, batch, now)
    row, last = batch.first, NOBODY
    while row != NOBODY:  # the last one first, so that they come into their lanes in order
        following = s.requests[row].next
        s.requests[row].next = last
        row, last = following, row
    row = last
    while row != NOBODY:
        following = s.requests[row].next
        give_up(s, c, pool, row, number, now)
        row = following
    free_batch(s, c, number)
    serve(s, c, pool, gpu, now)
    if gpu >= s.gpus[pool]:
        wake_one(s, c, pool, queue_of(c, pool, gpu), now)


@njit
def notice_over(s, c, pool, gpu, now):  # type: ignore[no-untyped-def]
    """A GPU that runs many requests at once is lost with those that it still runs."""
    replica = s.replicas[pool, gpu]
    if not replica.doomed or replica.until != now:
        return
    replica.share, replica.since = share_until(replica, now), now
    replica.doomed, replica.awaited = 0, 0
    replica.look += 1
    open_or_closed(s, pool, gpu)
    s.running[pool] -= replica.stays > 0
    while replica.stays > 0:
        number = come_off(s, c, pool, gpu)
        batch = s.batches[number]
        if gpu < s.gpus[pool]:
            now_takes(s, pool, gpu, taken_on(s, pool, gpu) - c.together_size[pool, batch.spec])
        batch.finished, batch.fate = now, LOST
        tally.spent_together(s, c, batch, now)
        give_up(s, c, pool, batch.first, number, now)
        promise(s, c, pool, queue_of(c, pool, gpu), batch.spec, now)
        free_batch(s, c, number)
    if gpu < s.gpus[pool]:
        look(s, c, pool, gpu, now)


@njit
def give_up(s, c, pool, row, number, now):  # type: ignore[no-untyped-def]
    """The work on a request is lost: it waits again where it waited before, or its user is refused."""
    request = s.requests[row]
    if c.rows:
        kill = s.kills[s.n[KILLS]]
        kill.request, kill.batch = row, number
        s.n[KILLS] += 1
    request.mark &= ~STARTED
    if request.outcome == NONE and not request.mark & TIMED and not never_leaves(s, c, request):
        wait_for_impatience(s, c, row)
    if c.repeats and (request.outcome == NONE or not c.notices):
        line_up_again(s, c, pool, row, now)
    else:
        request.dequeued = now
        drop(s, c, pool, queue_joined(s, c, pool, row), row, WORK_LOST)


@njit
def wait_for_impatience(s, c, row):  # type: ignore[no-untyped-def]
    """Put the end of a user's patience on the calendar, which was left out since the image was to come first."""
    request = s.requests[row]
    wish = s.people[request.wish]
    habit = habit_of(c, wish)
    kind, a, b = habit.patience_kind, habit.patience_a, habit.patience_b
    if request.mark & NOTIFIED:
        kind, a, b = habit.notified_kind, habit.notified_a, habit.notified_b
    u = draw(c.seed, PATIENCE, wish.key, wish.ask * ATTEMPTS + wish.attempt)
    there = standing(c, wish) > 0
    lasts = patience_left(kind, a, b, u, waited(c.arrives[wish.user])) if there else quantile(kind, a, b, u)
    request.mark |= TIMED
    schedule(s, c, request.arrived + lasts, ABANDON, request.user, TIRED, key_of(row, request))


@njit
def line_up_again(s, c, pool, row, now):  # type: ignore[no-untyped-def]
    """Put a request back into its lane, before those that came later."""
    request, q = s.requests[row], queue_joined(s, c, pool, row)
    lane = s.lanes[q, request.lane]
    before, after = NOBODY, lane.head
    while after != NOBODY and s.requests[after].arrived < request.arrived:
        before, after = after, s.requests[after].next
    request.dequeued, request.batch, request.next = np.nan, before, after
    request.mark |= WAITED_OUT
    if before == NOBODY:
        lane.head = row
    else:
        s.requests[before].next = row
    if after == NOBODY:
        lane.tail = row
    else:
        s.requests[after].batch = row
    count(s, c, pool, q, request.lane, now, 1)
