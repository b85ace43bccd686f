"""The compiled engine's ends: images are done, perhaps late; who waits no longer leaves."""

import numpy as np

from sim.engine.compiled import tally
from sim.engine.compiled.gateway import deposit
from sim.engine.compiled.gpus import out_of_service
from sim.engine.compiled.pools import count
from sim.engine.compiled.records import ABANDONED, DELIVERED, GONE, NOBODY, NONE, PRESENT, RETRY, SERVED, WISHING
from sim.engine.compiled.requests import keep, settle
from sim.model.jit import njit
from sim.model.knobs import BUDGET, PER_SUCCESS


@njit
def images_done(s, c, number, now):  # type: ignore[no-untyped-def]
    """A batch is done: those who still wait for it are served."""
    batch = s.batches[number]
    batch.finished = now
    s.running[batch.pool] -= 1
    s.inside[batch.pool] -= batch.taken
    row = batch.first
    while row != NOBODY:
        request = s.requests[row]
        out_of_service(s, request)
        if request.outcome == NONE:
            image_served(s, c, request, now)
            if c.delivers_late:
                s.present[request.wish, PRESENT] = DELIVERED
        elif c.delivers_late and wants_still(s, request):
            deliver(s, c, row, now)
        row = request.next
    tally.spent(s, c, batch, now)


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
    """Whether who has left a request has no image yet, and has not given up the wish."""
    wish = s.people[request.wish]
    same = wish.user == request.user and wish.ask == request.ask and wish.status == WISHING
    return same and s.present[request.wish, PRESENT] != DELIVERED


@njit
def deliver(s, c, row, now):  # type: ignore[no-untyped-def]
    """An image is done that its user had given up, and still wants: they wait no longer for another."""
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
        leave(s, c, present, now)
        if other.mark & GONE:
            keep(s, c, present)
    else:  # it was refused, and nobody said so
        other.mark &= ~RETRY
        settle(s, c, present)


@njit
def leave(s, c, row, now):  # type: ignore[no-untyped-def]
    """The user's patience is over. If the service notices, a queued request is taken out; else it is served."""
    request = s.requests[row]
    request.left, request.outcome = now, ABANDONED
    tally.left(s, c, request.tier * len(c.slo) + request.feature, request.arrived, now)
    if np.isnan(request.dequeued) and c.notices:
        request.mark |= GONE
        request.dequeued = now
        s.inside[c.pool_of[request.feature]] -= 1
        count(s, c, c.pool_of[request.feature], request.lane, now, -1)
        out_of_service(s, request)
