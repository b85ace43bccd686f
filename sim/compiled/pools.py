"""The compiled engine's pools: lanes of waiting requests, batches formed from them, and GPUs that serve them."""

import numpy as np

from sim.chance import noise, sample
from sim.clock import COMPLETION, LINGER
from sim.compiled import tally
from sim.compiled.calendar import FINISH, LINGERED, schedule
from sim.compiled.memory import fetch
from sim.compiled.people import release
from sim.compiled.state import (
    ABANDONED,
    BATCHES,
    FREE_BATCHES,
    FREE_REQUESTS,
    GONE,
    KEPTS,
    LEAVING,
    NOBODY,
    NONE,
    SERVED,
    WAITED_OUT,
)
from sim.jit import njit
from sim.streams import LOAD, SAMPLE, SERVICE, draw

ATTEMPTS = 1024  # room for the attempts of one ask in the k of a draw


@njit
def key_of(row, request):  # type: ignore[no-untyped-def]
    """What an event about a request carries: its record, and enough to know that it is still this one's."""
    return (row << 32) | ((request.ask * ATTEMPTS + request.attempt) & 0xFFFFFFFF)


@njit
def is_of(request, user, load):  # type: ignore[no-untyped-def]
    """Whether a record is still that of the request that an event is about."""
    return request.user == user and (request.ask * ATTEMPTS + request.attempt) & 0xFFFFFFFF == load & 0xFFFFFFFF


@njit
def settle(s, c, row):  # type: ignore[no-untyped-def]
    """A request has gone its way: it is written down if its user is in the sample, and its record used again."""
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
    kept.spec = request.asked if request.lane < 0 else s.lanes[c.pool_of[request.feature], request.lane].spec
    kept.finished, kept.gpu_seconds = np.nan, np.nan
    if request.batch >= 0:
        batch = s.batches[request.batch]
        kept.finished, kept.gpu_seconds = batch.finished, batch.seconds / batch.taken


@njit
def copy(kept, request):  # type: ignore[no-untyped-def]
    kept.arrived, kept.started, kept.left = request.arrived, request.started, request.left
    kept.user, kept.ask, kept.attempt = request.user, request.ask, request.attempt
    kept.asked, kept.tier, kept.feature, kept.level = request.asked, request.tier, request.feature, request.level
    kept.reason, kept.outcome, kept.mark = request.reason, request.outcome, request.mark


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
def start(s, c, pool, gpu, spec, first, taken, now):  # type: ignore[no-untyped-def]
    """Put a batch on a GPU."""
    head = s.requests[first]
    size = taken * c.spec_images[spec]
    seconds = c.seconds[pool, spec, size] * s.pace[pool, gpu]
    key, k = s.people[head.person].key, head.ask * ATTEMPTS + head.attempt
    seconds *= noise(c.noise_kind[spec], c.noise_sigma[spec], c.seed, SERVICE, key, k)
    if s.loaded[pool, gpu] != c.spec_model[spec]:
        s.loaded[pool, gpu] = c.spec_model[spec]
        seconds += sample(c.load[pool, 0], c.load[pool, 1], c.load[pool, 2], c.seed, LOAD, key, k)
    number = new_batch(s)
    batch = s.batches[number]
    batch.pool, batch.gpu, batch.spec, batch.size, batch.taken = pool, gpu, spec, size, taken
    batch.started, batch.seconds, batch.finished, batch.first = now, seconds, np.nan, first
    row = first
    while row != NOBODY:
        request = s.requests[row]
        request.started, request.batch = now, number
        s.started[request.tier, request.feature] += 1
        s.waited[request.tier, request.feature] += now - request.arrived
        row = request.next
    schedule(s, c, now + seconds, COMPLETION, gpu, FINISH, number)


@njit
def new_batch(s):  # type: ignore[no-untyped-def]
    n = s.n
    if n[FREE_BATCHES] > 0:
        n[FREE_BATCHES] -= 1
        return s.free_batches[n[FREE_BATCHES]]
    n[BATCHES] += 1
    return n[BATCHES] - 1


@njit
def free_batch(s, c, number):  # type: ignore[no-untyped-def]
    """Use a batch's record again, unless every row is recorded."""
    if not c.rows:
        s.batches[number].first = NOBODY
        s.free_batches[s.n[FREE_BATCHES]] = number
        s.n[FREE_BATCHES] += 1


@njit
def images_done(s, c, number, now):  # type: ignore[no-untyped-def]
    """A batch is done: those who still wait for it are served."""
    batch = s.batches[number]
    batch.finished = now
    row = batch.first
    while row != NOBODY:
        request = s.requests[row]
        out_of_service(s, request)
        if request.outcome == NONE:
            request.outcome = SERVED
            s.served[request.tier, request.feature] += 1
            tally.image_served(s, c, request.tier * len(c.slo) + request.feature, request, now)
        row = request.next
    tally.spent(s, c, batch, now)


@njit
def out_of_service(s, request):  # type: ignore[no-untyped-def]
    """One request of this account less in the service; if it was the last of somebody who has left, they are gone."""
    person = s.people[request.person]
    person.in_flight -= 1
    if person.status == LEAVING and person.in_flight == 0:
        release(s, request.person)


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
