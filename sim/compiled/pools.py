"""The compiled engine's pools: lanes of waiting requests, batches formed from them, and GPUs that serve them."""

from sim.clock import LINGER
from sim.compiled import tally
from sim.compiled.calendar import LINGERED, schedule
from sim.compiled.gpus import go_idle, lowest_idle, out_of_service, start
from sim.compiled.memory import fetch
from sim.compiled.records import ABANDONED, GONE, NOBODY, WAITED_OUT
from sim.compiled.requests import free, key_of
from sim.jit import njit


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
def count(s, c, pool, place, now, sign):  # type: ignore[no-untyped-def]
    """Keep the queue's totals when a request joins (+1) or leaves it (-1)."""
    tally.time_passes(s, c, pool, now)
    lane = s.lanes[pool, place]
    s.queued[pool] += sign
    s.waiting_images[pool, lane.spec] += sign * c.spec_images[lane.spec]
    lane.waiting += sign


@njit
def head_of(s, c, pool, place):  # type: ignore[no-untyped-def]
    """The first in a lane who still waits to be served: those taken out are passed over."""
    lane = s.lanes[pool, place]
    while lane.head != NOBODY and s.requests[lane.head].mark & GONE:
        gone = lane.head
        lane.head = s.requests[gone].next
        free(s, c, gone)
    if lane.head == NOBODY:
        lane.tail = NOBODY
    return lane.head


@njit
def join(s, c, row, priority, spec, now):  # type: ignore[no-untyped-def]
    """Put a granted request into its pool's queue and let a GPU start if one may."""
    request = s.requests[row]
    pool = c.pool_of[request.feature]
    place = lane_of(s, pool, priority, spec)
    lane = s.lanes[pool, place]
    request.next, request.lane = NOBODY, place
    if s.queued[pool] == 0 and s.idle_count[pool] > 0 and c.linger[pool] == 0.0:  # no need to queue
        start(s, c, pool, lowest_idle(s, pool), spec, row, 1, now)
        return
    if head_of(s, c, pool, place) == NOBODY:
        lane.head = row
    else:
        s.requests[lane.tail].next = row
    lane.tail = row
    count(s, c, pool, place, now, 1)
    if c.linger[pool] > 0:
        schedule(s, c, now + c.linger[pool], LINGER, request.user, LINGERED, key_of(row, request))
    wake_one(s, c, pool, now)


@njit
def wake_one(s, c, pool, now):  # type: ignore[no-untyped-def]
    """If a lane is ready, the idle GPU of the lowest number takes it; an unlimited pool gets one more GPU."""
    if s.idle_count[pool] == 0 and not c.unlimited:
        return
    place = next_lane(s, c, pool)
    if place == NOBODY:
        return
    if s.idle_count[pool] > 0:
        gpu = lowest_idle(s, pool)
    else:
        gpu = s.gpus[pool]
        s.gpus[pool] += 1
        s.loaded[pool, gpu] = NOBODY
        s.pace[pool, gpu] = 1.0
    take(s, c, pool, place, gpu, now)


@njit
def next_lane(s, c, pool):  # type: ignore[no-untyped-def]
    """The lane to serve next: of those ready the most urgent, then the one whose head came first."""
    best, best_head = NOBODY, NOBODY
    if s.queued[pool] == 0:
        return NOBODY
    for rank in range(s.lane_count[pool]):
        place = s.lanes[pool, rank].order
        lane = s.lanes[pool, place]
        if best != NOBODY and lane.priority > s.lanes[pool, best].priority:
            break
        if lane.waiting == 0:
            continue
        head = head_of(s, c, pool, place)
        one = s.requests[head]
        full = s.waiting_images[pool, lane.spec] >= c.full[pool, lane.spec]
        if c.linger[pool] > 0 and not one.mark & WAITED_OUT and not full:
            continue
        if best_head == NOBODY:
            best, best_head = place, head
        else:
            other = s.requests[best_head]
            if one.arrived < other.arrived or (one.arrived == other.arrived and one.user < other.user):
                best, best_head = place, head
    return best


@njit
def look_into_queue(s, pool):  # type: ignore[no-untyped-def]
    """Have fetched what the next batch will need: who is first in each lane is here already (see take)."""
    for place in range(min(s.lane_count[pool], 4)):
        head = s.lanes[pool, place].head
        if head != NOBODY:
            request = s.requests[head]
            fetch(s.people, request.person)
            fetch(s.requests, request.next)


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
        lane = s.lanes[pool, source]
        if lane.waiting == 0 or lane.spec != spec or (rank >= 0 and source == place):
            continue
        while room >= each:
            row = head_of(s, c, pool, source)
            if row == NOBODY:
                break
            lane.head = s.requests[row].next
            if lane.head == NOBODY:
                lane.tail = NOBODY
            count(s, c, pool, source, now, -1)
            s.requests[row].next = NOBODY
            if first == NOBODY:
                first = row
            else:
                s.requests[last].next = row
            last = row
            room -= each
            taken += 1
        fetch(s.requests, lane.head)  # of the next batch
    start(s, c, pool, gpu, spec, first, taken, now)


@njit
def leave(s, c, row, now):  # type: ignore[no-untyped-def]
    """The user's patience is over. If the service notices, a queued request is taken out; else it is served."""
    request = s.requests[row]
    request.left, request.outcome = now, ABANDONED
    tally.left(s, c, request.tier * len(c.slo) + request.feature, request.arrived, now)
    if request.batch == NOBODY and c.notices:
        request.mark |= GONE
        count(s, c, c.pool_of[request.feature], request.lane, now, -1)
        out_of_service(s, request)
