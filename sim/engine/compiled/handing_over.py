"""The compiled engine's requests that wait for a GPU which leaves: they are sent to others by their pool's rule."""

from sim.engine.compiled.forming import join_batch
from sim.engine.compiled.lanes import append, lane_of
from sim.engine.compiled.pool import count_in_queue, wake_one
from sim.engine.compiled.queues import count_inside, queue_for, queue_of
from sim.engine.compiled.records import GONE, MOVING, NOBODY
from sim.engine.compiled.replicas import promise
from sim.engine.compiled.requests import free
from sim.engine.compiled.room import slack
from sim.model.jit import njit


@njit
def dissolve(s, c, pool, first, last):  # type: ignore[no-untyped-def]
    """Take all requests off the queues of GPUs first, ..., last - 1: they are MOVING, the urgent of each first."""
    for gpu in range(last - 1, first - 1, -1):
        q = queue_of(c, pool, gpu)
        for rank in range(s.lane_count[q] - 1, -1, -1):
            place = s.lanes[q, rank].order
            lane = s.lanes[q, place]
            row = lane.tail
            while row != NOBODY:
                request = s.requests[row]
                earlier = request.batch
                if request.mark & GONE:
                    free(s, c, row)
                else:
                    count_in_queue(s, c, q, place, -1)
                    count_inside(s, c, pool, q, -1)
                    request.next = s.n[MOVING]
                    s.n[MOVING] = row
                row = earlier
            lane.head, lane.tail = NOBODY, NOBODY
            if c.ahead[pool]:
                s.formers[q, place].open = s.formers[q, place].room = 0


@njit
def hand_over(s, c, pool, gpus, now):  # type: ignore[no-untyped-def]
    """Send MOVING requests to this number of GPUs. Whether all are: else an array must grow first."""
    while s.n[MOVING] != NOBODY:
        if slack(s, c) <= 0:
            return False
        row = s.n[MOVING]
        request, before = s.requests[row], s.stands[row]
        s.n[MOVING] = request.next
        lane = s.lanes[before, request.lane]
        spec, flow = lane.spec, lane.flow
        q = queue_for(s, c, pool, gpus, row, spec, lane.priority, now)
        s.weights[q, flow], s.flows[q] = s.weights[before, flow], max(s.flows[q], flow + 1)
        place = lane_of(s, q, lane.priority, spec, flow)
        request.next, request.lane, s.stands[row] = NOBODY, place, q
        append(s, q, place, row)
        count_in_queue(s, c, q, place, 1)
        count_inside(s, c, pool, q, 1)
        if c.many[pool]:
            promise(s, c, pool, q, spec, now)
        elif c.ahead[pool]:
            join_batch(s, c, pool, q, place, row, now)
    return True


@njit
def wake_all(s, c, pool, now):  # type: ignore[no-untyped-def]
    """Idle GPUs begin with what was sent to them. Whether all have: else an array must grow first."""
    for gpu in range(s.gpus[pool]):
        if slack(s, c) <= 0:
            return False
        wake_one(s, c, pool, queue_of(c, pool, gpu), now)
    return True
