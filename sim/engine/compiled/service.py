"""The compiled engine's service: images are done, perhaps late; users whose patience is over leave."""

import numpy as np

from sim.engine.compiled import tally
from sim.engine.compiled.gateway import deposit
from sim.engine.compiled.gpus import end_early, out_of_service
from sim.engine.compiled.pool import remove
from sim.engine.compiled.queues import count_inside, queue_of
from sim.engine.compiled.records import (
    ABANDONED,
    DELIVERED,
    GONE,
    NOBODY,
    NONE,
    PRESENT,
    RETRY,
    SERVED,
    STARTED,
    WISHING,
)
from sim.engine.compiled.replicas import leave_soon
from sim.engine.compiled.requests import keep, settle
from sim.model.jit import njit
from sim.model.knobs import BUDGET, PER_SUCCESS
from sim.model.losses import CANCELLED


@njit
def images_done(s, c, number, now):  # type: ignore[no-untyped-def]
    """A batch is done: users who still wait for it are served."""
    batch = s.batches[number]
    s.running[batch.pool] -= 1
    hand_out(s, c, batch, now)
    tally.spent(s, c, batch, now)


@njit
def hand_out(s, c, batch, now):  # type: ignore[no-untyped-def]
    """Every image of a batch goes to its user."""
    batch.finished = now
    count_inside(s, c, batch.pool, queue_of(c, batch.pool, batch.gpu), -batch.taken)
    row = batch.first
    while row != NOBODY:
        request = s.requests[row]
        out_of_service(s, request)
        if request.outcome == NONE:
            image_served(s, c, request, now)
            if c.delivers_late:
                s.present[request.wish, PRESENT] = DELIVERED
        elif c.delivers_late and batch.fate != CANCELLED and wants_still(s, request):
            deliver(s, c, row, now)
        row = request.next


@njit
def image_served(s, c, request, now):  # type: ignore[no-untyped-def]
    """A request gets its image."""
    request.outcome = SERVED
    if s.retries[BUDGET] == PER_SUCCESS:
        deposit(s)
    s.served[request.tier, request.feature] += 1
    s.latency[request.tier, request.feature] += now - request.arrived
    tally.image_served(s, c, request.tier * len(c.slo) + request.feature, request, now)


@njit
def wants_still(s, request):  # type: ignore[no-untyped-def]
    """Whether the user who has left a request still wants an image, and has none yet."""
    wish = s.people[request.wish]
    same = wish.user == request.user and wish.ask == request.ask and wish.status == WISHING
    return same and s.present[request.wish, PRESENT] != DELIVERED


@njit
def deliver(s, c, row, now):  # type: ignore[no-untyped-def]
    """An image is done whose user had given it up and still wants it: they wait no longer for another."""
    request = s.requests[row]
    tally.not_left(s, c, request.tier * len(c.slo) + request.feature, request)
    request.left = np.nan
    image_served(s, c, request, now)
    present = s.present[request.wish, PRESENT]
    s.present[request.wish, PRESENT] = DELIVERED
    if present == NOBODY:
        return
    other = s.requests[present]
    if other.outcome == NONE:
        abandon(s, c, present, now)
        if other.mark & GONE:
            keep(s, c, present)
    else:  # it was refused, and nobody said so
        other.mark &= ~RETRY
        settle(s, c, present)


@njit
def abandon(s, c, row, now):  # type: ignore[no-untyped-def]
    """The user waits no longer. If the service notices, a queued request is taken out; else it is served."""
    request = s.requests[row]
    request.left, request.outcome = now, ABANDONED
    tally.left(s, c, request.tier * len(c.slo) + request.feature, request.arrived, now)
    if np.isnan(request.dequeued) and c.notices:
        request.mark |= GONE
        remove(s, c, row, now)
        out_of_service(s, request)
    elif c.cancels and request.mark & STARTED and np.isnan(s.batches[request.batch].finished):
        stop_if_unwanted(s, c, request.batch, now)


@njit
def stop_if_unwanted(s, c, number, now):  # type: ignore[no-untyped-def]
    """Somebody has left what a GPU works on: it stops, once nobody waits for it any more."""
    batch = s.batches[number]
    if c.many[batch.pool]:
        leave_soon(s, c, batch.pool, batch.gpu, number, now)
        return
    row = batch.first
    while row != NOBODY:
        if s.requests[row].outcome != ABANDONED:
            return
        row = s.requests[row].next
    end_early(s, c, number, now, CANCELLED)
