"""The compiled engine's pools: lanes of waiting requests, batches formed from them, and GPUs that take them."""

import numpy as np

from sim.engine.clock import LINGER
from sim.engine.compiled import tally
from sim.engine.compiled.calendar import LINGERED, schedule
from sim.engine.compiled.forming import (
    close_batch,
    fill_slot,
    first_open,
    forget_empty,
    join_batch,
    leave_batch,
    slot_is_free,
)
from sim.engine.compiled.gpus import go_idle, out_of_service, start, woken
from sim.engine.compiled.lanes import append, lane_of, unlink
from sim.engine.compiled.memory import fetch
from sim.engine.compiled.queues import count_inside, has_idle, queue_joined, queue_of, work_in
from sim.engine.compiled.records import (
    DROPPED,
    GONE,
    NOBODY,
    NONE,
    REFUSED,
    RETRY,
    SWITCHED_OFF,
    TAKEN,
    WAITED_OUT,
)
from sim.engine.compiled.replicas import open_or_closed, promise
from sim.engine.compiled.requests import free, key_of, never_leaves
from sim.model.balancing import NO_MODEL
from sim.model.dispatch import UNFORMED, comes_before, is_ready, time_to_start, times_out
from sim.model.dropping import dropped
from sim.model.gateway import EXPIRED
from sim.model.jit import njit
from sim.model.knobs import CODEL, EXPIRE, LIFO, NO_SHARING, ORDER, SHARING
from sim.model.sharing import whose_turn


@njit
def expected_wait(s, c, pool, priority):  # type: ignore[no-untyped-def]
    """Seconds until the work queued at this priority or a more urgent one is started."""
    work = 0.0
    for gpu in range(max(s.gpus[pool], 1) if c.apart[pool] else 1):
        work += work_in(s, c, pool, queue_of(c, pool, gpu), priority)
    return time_to_start(work, s.gpus[pool])


@njit
def count(s, c, pool, q, place, now, sign):  # type: ignore[no-untyped-def]
    """Keep the totals when a request joins (+1) a queue of the pool or leaves it (-1)."""
    tally.time_passes(s, c, pool, now)
    s.queued[pool] += sign
    count_in_queue(s, c, q, place, sign)


@njit
def count_in_queue(s, c, q, place, sign):  # type: ignore[no-untyped-def]
    """The same in the queue alone."""
    lane = s.lanes[q, place]
    s.waits[q] += sign
    s.waiting_images[q, lane.spec] += sign * c.spec_images[lane.spec]
    s.flow_waiting[q, lane.flow] += sign
    lane.waiting += sign


@njit
def remove(s, c, row, now):  # type: ignore[no-untyped-def]
    """Take a request out of the queue whose user has left; its lane passes over it."""
    request = s.requests[row]
    pool = c.pool_of[request.feature]
    q = queue_joined(s, c, pool, row)
    request.dequeued = now
    count_inside(s, c, pool, q, -1)
    count(s, c, pool, q, request.lane, now, -1)
    if c.ahead[pool]:
        leave_batch(s, q, request.lane, row)


@njit
def order_of(s, c, pool):  # type: ignore[no-untyped-def]
    """The order of those who wait; batches that are closed start in the order in which they did."""
    order = s.pool_knobs[pool, ORDER]
    return 0.0 if order == LIFO and c.ahead[pool] else order


@njit
def next_of(s, c, pool, q, place):  # type: ignore[no-untyped-def]
    """The request of a lane to be served next: of those that wait the first, or the last."""
    lane = s.lanes[q, place]
    lifo = order_of(s, c, pool) == LIFO
    row = lane.tail if lifo else lane.head
    while row != NOBODY and s.requests[row].mark & GONE:
        unlink(s, lane, row)
        free(s, c, row)
        row = lane.tail if lifo else lane.head
    return row


@njit
def may_drop(s, pool):  # type: ignore[no-untyped-def]
    """Whether this pool drops requests when their turn comes."""
    return s.pool_knobs[pool, EXPIRE] < np.inf or s.pool_knobs[pool, CODEL] > 0.0


@njit
def join(s, c, row, q, priority, spec, flow, now):  # type: ignore[no-untyped-def]
    """Put a granted request into its queue and let a GPU start if one may."""
    request = s.requests[row]
    pool = c.pool_of[request.feature]
    place = lane_of(s, q, priority, spec, flow)
    request.next, request.lane = NOBODY, place
    if c.apart[pool]:
        s.stands[row] = q
    count_inside(s, c, pool, q, 1)
    if c.many[pool]:
        line_up(s, c, pool, q, place, row, now)
        promise(s, c, pool, q, spec, now)
        return
    plain = c.linger[pool] == 0.0 and not may_drop(s, pool) and s.pool_knobs[pool, SHARING] == NO_SHARING
    if plain and not c.ahead[pool] and s.waits[q] == 0 and has_idle(s, c, pool, q):
        start(s, c, pool, woken(s, c, pool, q), spec, row, 1, now)  # no need to queue
        return
    line_up(s, c, pool, q, place, row, now)
    if c.ahead[pool]:
        join_batch(s, c, pool, q, place, row, now)
    if c.linger[pool] > 0 and (c.slots[pool] > 0 or not c.ahead[pool]):
        schedule(s, c, now + c.linger[pool], LINGER, request.user, LINGERED, key_of(row, request))
    wake_one(s, c, pool, q, now)


@njit
def time_out(s, c, load, now):  # type: ignore[no-untyped-def]
    """The time of a batch that closes by itself may be over."""
    place, pool, q = (-1 - load) >> 40, ((-1 - load) >> 32) & 0xFF, (-1 - load) & 0xFFFFFFFF
    former = s.formers[q, place]
    due = times_out(c.timer[pool], c.linger[pool], former.first, former.closed, former.came)
    if former.open > 0 and now >= due:
        close_batch(s, c, pool, q, place, now)
        wake_one(s, c, pool, q, now)


@njit
def line_up(s, c, pool, q, place, row, now):  # type: ignore[no-untyped-def]
    """Put a request that has come at the end of its lane."""
    append(s, q, place, row)
    count(s, c, pool, q, place, now, 1)


@njit
def wake_one(s, c, pool, q, now):  # type: ignore[no-untyped-def]
    """If a lane is ready, an idle GPU takes it, that of the lowest number; an unlimited pool gets one more GPU."""
    if c.many[pool]:
        return
    if c.slots[pool] > 0:
        form(s, c, pool, q)
    idle = has_idle(s, c, pool, q)
    if not (idle or c.unlimited) or next_batch(s, c, pool, q) == NOBODY:
        return
    if idle:
        gpu = woken(s, c, pool, q)
    else:
        gpu = s.gpus[pool]
        s.gpus[pool] += 1
        s.loaded[pool, gpu] = NOBODY
        s.pace[pool, gpu], s.table[pool, gpu] = 1.0, pool
    serve(s, c, pool, gpu, now)


@njit
def form(s, c, pool, q):  # type: ignore[no-untyped-def]
    """While a slot is free, close a batch of what waits, of the lane whose turn it is."""
    forget_empty(s, pool, q)
    while slot_is_free(s, c, pool):
        place = next_lane(s, c, pool, q)
        if place == NOBODY:
            return
        fill_slot(s, c, pool, q, place)


@njit
def next_batch(s, c, pool, q):  # type: ignore[no-untyped-def]
    """The lane that a free GPU takes a batch from: where a free slot closes batches, they run in that order."""
    if c.slots[pool] == 0:
        return next_lane(s, c, pool, q)
    best, least = NOBODY, UNFORMED
    for place in range(s.lane_count[q]):
        if s.lanes[q, place].waiting > s.formers[q, place].open:
            number = s.formed[next_of(s, c, pool, q, place)]
            if number < least:
                best, least = place, number
    return best


@njit
def head_of(s, c, pool, q, place):  # type: ignore[no-untyped-def]
    """The request that would head the next batch of a lane."""
    return first_open(s, q, place) if c.slots[pool] > 0 else next_of(s, c, pool, q, place)


@njit
def next_lane(s, c, pool, q):  # type: ignore[no-untyped-def]
    """The lane to serve next: of those ready the most urgent, of the flow whose turn it is, then by order."""
    if s.waits[q] == 0:
        return NOBODY
    if s.lane_count[q] == 1 and c.many[pool] and s.pool_knobs[pool, SHARING] == NO_SHARING:
        return 0
    slots = c.slots[pool] > 0
    sharing, best = s.pool_knobs[pool, SHARING] > 0.0, NOBODY
    flows = s.flows[q] if sharing else 1
    s.ready[:flows] = NOBODY
    for rank in range(s.lane_count[q]):
        place = s.lanes[q, rank].order
        lane = s.lanes[q, place]
        if best != NOBODY and lane.priority > s.lanes[q, best].priority:
            break
        if lane.waiting == 0 or (slots and s.formers[q, place].open == 0):
            continue
        candidate = head_of(s, c, pool, q, place)
        lingered = s.requests[candidate].mark & WAITED_OUT != 0
        images = s.formers[q, place].open * c.spec_images[lane.spec] if slots else s.waiting_images[q, lane.spec]
        if c.ahead[pool] and not slots:
            if lane.waiting == s.formers[q, place].open:
                continue
        elif not is_ready(c.linger[pool], lingered, images, c.full[pool, lane.spec]):
            continue
        flow = lane.flow if sharing else 0
        if s.ready[flow] == NOBODY or head_comes_before(s, c, pool, q, candidate, place, s.ready[flow]):
            best = s.ready[flow] = place
    if best == NOBODY or not sharing:
        return s.ready[0]
    turn = whose_turn(s.deficits[q], s.weights[q], s.ready, s.flow_waiting[q], flows, c.quantum[pool])
    return s.ready[turn]


@njit
def head_comes_before(s, c, pool, q, row, place, rival):  # type: ignore[no-untyped-def]
    """Whether the next request of one lane is served before that of a rival lane of the same priority."""
    one, other = s.requests[row], s.requests[head_of(s, c, pool, q, rival)]
    work, other_work = c.work[pool, s.lanes[q, place].spec], c.work[pool, s.lanes[q, rival].spec]
    order = order_of(s, c, pool)
    return comes_before(order, work, one.arrived, one.user, other_work, other.arrived, other.user)


@njit
def serve(s, c, pool, gpu, now):  # type: ignore[no-untyped-def]
    """A free GPU takes the next batch, or goes idle."""
    q = queue_of(c, pool, gpu)
    while gpu < s.gpus[pool]:
        if c.slots[pool] > 0:
            form(s, c, pool, q)
        place = next_batch(s, c, pool, q)
        if place == NOBODY:
            go_idle(s, c, pool, gpu)
            return
        if take(s, c, pool, q, place, gpu, now):
            return
    s.loaded[pool, gpu] = SWITCHED_OFF


@njit
def take(s, c, pool, q, place, gpu, now):  # type: ignore[no-untyped-def]
    """A batch headed by the lane's next request and filled with others of its spec, the urgent ones first.

    Whether there is one: every request taken may have been dropped.
    """
    spec = s.lanes[q, place].spec
    first, taken = pick(s, c, pool, q, place, c.full[pool, spec], now)
    if taken > 0:
        start(s, c, pool, gpu, spec, first, taken, now)
    return taken > 0


@njit
def pick(s, c, pool, q, place, room, now):  # type: ignore[no-untyped-def]
    """Take requests for `room` images off the queue: this lane's, then others of its spec. The first; how many."""
    spec = s.lanes[q, place].spec
    each, formed = c.spec_images[spec], NOBODY
    first, last, taken, dropping = NOBODY, NOBODY, 0, may_drop(s, pool)
    for rank in range(-1, 0 if c.ahead[pool] else s.lane_count[q]):
        source = place if rank < 0 else s.lanes[q, rank].order
        lane = s.lanes[q, source]
        if lane.waiting == 0 or lane.spec != spec or (rank >= 0 and source == place):
            continue
        while room >= each:
            row = next_of(s, c, pool, q, source)
            if row == NOBODY:
                break
            if c.ahead[pool]:
                if formed != NOBODY and formed != s.formed[row]:
                    break
                formed = s.formed[row]
            unlink(s, lane, row)
            count(s, c, pool, q, source, now, -1)
            request = s.requests[row]
            request.dequeued, request.next = now, NOBODY
            if dropping:
                waited, seconds = now - request.arrived, c.seconds[pool, spec, c.full[pool, spec]]
                if dropped(s.pool_knobs[pool], s.codel[q], waited, seconds, s.waits[q], now):
                    drop(s, c, pool, q, row, EXPIRED)
                    continue
            if first == NOBODY:
                first = row
            else:
                s.requests[last].next = row
            last = row
            room -= each
            if s.pool_knobs[pool, SHARING] != NO_SHARING:
                s.deficits[q, lane.flow] -= c.work[pool, spec]
            taken += 1
        fetch(s.requests, lane.head)  # of the next batch
    if formed != NOBODY and formed == s.formers[q, place].closes:
        s.formers[q, place].room = 0
    if formed != NOBODY and c.slots[pool] > 0:
        s.forms[pool, TAKEN] = max(s.forms[pool, TAKEN], formed)
    return first, taken


@njit
def drop(s, c, pool, q, row, reason):  # type: ignore[no-untyped-def]
    """A request that was granted is dropped. Its user, if still there, goes on at the end of this moment."""
    request = s.requests[row]
    count_inside(s, c, pool, q, -1)
    out_of_service(s, request)
    if request.outcome == NONE:
        request.outcome, request.reason = REFUSED, reason
        s.refused[request.tier, request.feature] += 1
        tally.dropped(s, c, request.tier * len(c.slo) + request.feature, request)
        if not c.tells_refusals and not never_leaves(s, c, request):
            request.mark |= RETRY  # found out when patience is over
            return
    s.dropped[s.n[DROPPED]] = row
    s.n[DROPPED] += 1


@njit
def resize(s, c, pool, gpus, now):  # type: ignore[no-untyped-def]
    """Change the number of GPUs: the highest numbers leave first, each after its batch; new ones hold no model."""
    before, idle = s.gpus[pool], s.idle_count[pool]
    if c.many[pool]:
        s.gpus[pool] = gpus
        for gpu in range(min(gpus, before), max(gpus, before)):
            open_or_closed(s, pool, gpu)
        return
    if c.apart[pool]:
        for gpu in range(gpus, before):
            s.holds[pool, gpu] = NO_MODEL
            if has_idle(s, c, pool, queue_of(c, pool, gpu)):
                s.loaded[pool, gpu] = SWITCHED_OFF
                s.idle_count[pool] -= 1
        idle = 0
    else:
        s.idle_count[pool] = 0
    s.gpus[pool] = gpus
    for place in range(idle):
        gpu = s.idle[pool, place]
        if gpu < gpus:
            go_idle(s, c, pool, gpu)
        else:
            s.loaded[pool, gpu] = SWITCHED_OFF
    for gpu in range(before, gpus):
        if s.loaded[pool, gpu] == SWITCHED_OFF:
            s.loaded[pool, gpu] = NOBODY
            serve(s, c, pool, gpu, now)
