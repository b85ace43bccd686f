"""The compiled engine's pools: lanes of waiting requests, batches formed from them, and GPUs that serve them."""

import numpy as np

from sim.chance import noise, sample
from sim.clock import COMPLETION, LINGER
from sim.compiled.heap import FINISH, LINGERED, push
from sim.compiled.state import (
    ABANDONED,
    BATCHES,
    MOMENTS,
    NOBODY,
    NONE,
    SEQ,
    SERVED,
)
from sim.jit import njit
from sim.streams import LOAD, SERVICE

ATTEMPTS = 1024  # room for the attempts of one ask in the k of a draw


@njit
def schedule(s, time, kind, number, what, a, b):  # type: ignore[no-untyped-def]
    """Put a moment on the calendar."""
    n = s.n
    push(s.heap, n[MOMENTS], time, (kind << 60) + number, n[SEQ], what, a, b)
    n[MOMENTS] += 1
    n[SEQ] += 1


@njit
def expected_wait(s, c, pool, priority):  # type: ignore[no-untyped-def]
    """Seconds until the work queued at this priority or before it is started, over all GPUs."""
    work = 0.0
    for place in range(s.lane_count[pool]):
        lane = s.lanes[pool, place]
        if lane.priority <= priority:
            work += lane.waiting * c.work[pool, lane.spec]
    return work / s.gpus[pool]


@njit
def lane_of(s, pool, priority, spec):  # type: ignore[no-untyped-def]
    """The lane of a priority and spec, made where there is none; `order` lists lanes by both."""
    count = s.lane_count[pool]
    for place in range(count):
        if s.lanes[pool, place].priority == priority and s.lanes[pool, place].spec == spec:
            return place
    lane = s.lanes[pool, count]
    lane.priority, lane.spec, lane.waiting = priority, spec, 0
    lane.head, lane.tail = NOBODY, NOBODY
    s.lane_count[pool] = count + 1
    rank = count
    while rank > 0:
        other = s.lanes[pool, s.lanes[pool, rank - 1].order]
        if other.priority < priority or (other.priority == priority and other.spec < spec):
            break
        s.lanes[pool, rank].order = s.lanes[pool, rank - 1].order
        rank -= 1
    s.lanes[pool, rank].order = count
    return count


@njit
def count(s, c, pool, place, row, sign):  # type: ignore[no-untyped-def]
    """Keep the queue's totals when a request joins (+1) or leaves it (-1)."""
    s.queued[pool] += sign
    s.waiting_images[pool, s.requests[row].spec] += sign * c.spec_images[s.requests[row].spec]
    s.lanes[pool, place].waiting += sign


@njit
def head_of(s, pool, place):  # type: ignore[no-untyped-def]
    """The first in a lane who still waits to be served: those taken out are passed over."""
    lane = s.lanes[pool, place]
    while lane.head != NOBODY and s.requests[lane.head].gone:
        lane.head = s.requests[lane.head].next
    if lane.head == NOBODY:
        lane.tail = NOBODY
    return lane.head


@njit
def join(s, c, row, now):  # type: ignore[no-untyped-def]
    """Put a granted request into its pool's queue and let a GPU start if one may."""
    request = s.requests[row]
    pool = c.pool_of[request.feature]
    place = lane_of(s, pool, request.priority, request.spec)
    lane = s.lanes[pool, place]
    request.next = NOBODY
    if head_of(s, pool, place) == NOBODY:
        lane.head = row
    else:
        s.requests[lane.tail].next = row
    lane.tail = row
    count(s, c, pool, place, row, 1)
    if c.linger[pool] > 0:
        schedule(s, now + c.linger[pool], LINGER, request.user, LINGERED, row, pool)
    wake_one(s, c, pool, now)


@njit
def wake_one(s, c, pool, now):  # type: ignore[no-untyped-def]
    """If a lane is ready, the idle GPU of the lowest number takes it; an unlimited pool gets one more GPU."""
    if s.idle_count[pool] == 0 and not c.unlimited:
        return
    if next_lane(s, c, pool) == NOBODY:
        return
    if s.idle_count[pool] > 0:
        serve(s, c, pool, lowest_idle(s, pool), now)
    else:
        gpu = s.gpus[pool]
        s.gpus[pool] += 1
        s.loaded[pool, gpu] = NOBODY
        s.pace[pool, gpu] = 1.0
        serve(s, c, pool, gpu, now)


@njit
def next_lane(s, c, pool):  # type: ignore[no-untyped-def]
    """The lane to serve next: of those ready the most urgent, then the one whose head came first."""
    best, best_head = NOBODY, NOBODY
    for rank in range(s.lane_count[pool]):
        place = s.lanes[pool, rank].order
        lane = s.lanes[pool, place]
        if best != NOBODY and lane.priority > s.lanes[pool, best].priority:
            break
        head = head_of(s, pool, place)
        if head == NOBODY:
            continue
        one = s.requests[head]
        full = s.waiting_images[pool, lane.spec] >= c.full[pool, lane.spec]
        if c.linger[pool] > 0 and not one.waited_out and not full:
            continue
        if best_head == NOBODY:
            best, best_head = place, head
        else:
            other = s.requests[best_head]
            if one.arrived < other.arrived or (one.arrived == other.arrived and one.user < other.user):
                best, best_head = place, head
    return best


@njit
def serve(s, c, pool, gpu, now):  # type: ignore[no-untyped-def]
    """A free GPU takes the next batch, or goes idle."""
    place = next_lane(s, c, pool)
    if place == NOBODY:
        go_idle(s, pool, gpu)
    else:
        take(s, c, pool, place, gpu, now)


@njit
def take(s, c, pool, place, gpu, now):  # type: ignore[no-untyped-def]
    """A batch headed by the lane's first, filled with requests of the same spec, the urgent ones first."""
    spec = s.lanes[pool, place].spec
    each = c.spec_images[spec]
    room = c.full[pool, spec]
    first, last, taken = NOBODY, NOBODY, 0
    for rank in range(-1, s.lane_count[pool]):
        source = place if rank < 0 else s.lanes[pool, rank].order
        if s.lanes[pool, source].spec != spec or (rank >= 0 and source == place):
            continue
        while room >= each:
            row = head_of(s, pool, source)
            if row == NOBODY:
                break
            s.lanes[pool, source].head = s.requests[row].next
            if s.lanes[pool, source].head == NOBODY:
                s.lanes[pool, source].tail = NOBODY
            count(s, c, pool, source, row, -1)
            s.requests[row].next = NOBODY
            if first == NOBODY:
                first = row
            else:
                s.requests[last].next = row
            last = row
            room -= each
            taken += 1
    start(s, c, pool, gpu, first, taken, now)


@njit
def start(s, c, pool, gpu, first, taken, now):  # type: ignore[no-untyped-def]
    """Put a batch on a GPU."""
    head = s.requests[first]
    spec = head.spec
    size = taken * c.spec_images[spec]
    key, k = s.people[head.user].key, head.ask * ATTEMPTS + head.attempt
    factor = noise(c.noise_kind[spec], c.noise_sigma[spec], c.seed, SERVICE, key, k)
    seconds = c.seconds[pool, spec, size] * s.pace[pool, gpu] * factor
    if s.loaded[pool, gpu] != c.spec_model[spec]:
        s.loaded[pool, gpu] = c.spec_model[spec]
        seconds += sample(c.load[pool, 0], c.load[pool, 1], c.load[pool, 2], c.seed, LOAD, key, k)
    number = s.n[BATCHES]
    s.n[BATCHES] += 1
    batch = s.batches[number]
    batch.pool, batch.gpu, batch.spec, batch.size = pool, gpu, spec, size
    batch.started, batch.seconds, batch.finished, batch.first = now, seconds, np.nan, first
    row = first
    while row != NOBODY:
        request = s.requests[row]
        request.started, request.batch, request.gpu_seconds = now, number, seconds / taken
        s.started[request.tier, request.feature] += 1
        s.waited[request.tier, request.feature] += now - request.arrived
        row = request.next
    schedule(s, now + seconds, COMPLETION, gpu, FINISH, number, pool)


@njit
def images_done(s, number, now):  # type: ignore[no-untyped-def]
    """A batch is done: those who still wait for it are served."""
    batch = s.batches[number]
    batch.finished = now
    row = batch.first
    while row != NOBODY:
        request = s.requests[row]
        request.finished = now
        s.people[request.user].in_flight -= 1
        if request.outcome == NONE:
            request.outcome = SERVED
            s.served[request.tier, request.feature] += 1
        row = request.next


@njit
def leave(s, c, row, now):  # type: ignore[no-untyped-def]
    """The user's patience is over. If the service notices, a queued request is taken out; else it is served."""
    request = s.requests[row]
    request.left, request.outcome = now, ABANDONED
    if np.isnan(request.started) and c.notices:
        request.gone = 1
        pool = c.pool_of[request.feature]
        count(s, c, pool, lane_of(s, pool, request.priority, request.spec), row, -1)
        s.people[request.user].in_flight -= 1


@njit
def go_idle(s, pool, gpu):  # type: ignore[no-untyped-def]
    """Onto the pool's heap of idle GPUs."""
    idle, place = s.idle[pool], s.idle_count[pool]
    s.idle_count[pool] += 1
    while place > 0 and idle[(place - 1) >> 1] > gpu:
        idle[place] = idle[(place - 1) >> 1]
        place = (place - 1) >> 1
    idle[place] = gpu


@njit
def lowest_idle(s, pool):  # type: ignore[no-untyped-def]
    """Off the pool's heap of idle GPUs: the lowest number."""
    idle = s.idle[pool]
    found = idle[0]
    s.idle_count[pool] -= 1
    size = s.idle_count[pool]
    last, place = idle[size], 0
    while 2 * place + 1 < size:
        child = 2 * place + 1
        if child + 1 < size and idle[child + 1] < idle[child]:
            child += 1
        if idle[child] >= last:
            break
        idle[place] = idle[child]
        place = child
    idle[place] = last
    return found
