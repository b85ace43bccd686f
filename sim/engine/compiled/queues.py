"""The compiled engine's queues: one for each pool or, where its GPUs have one each, one for each GPU.

A queue is a row of the tables of lanes and totals. Queues of GPUs stand behind those of pools, GPU by GPU.
"""

from sim.model.balancing import LEAST_WORK, candidates, seconds_ahead, sent_to
from sim.model.dispatch import work_ahead
from sim.model.jit import njit
from sim.model.knobs import SLOWDOWN
from sim.model.streams import ATTEMPTS


@njit
def queue_of(c, pool, gpu):  # type: ignore[no-untyped-def]
    """The queue that a GPU serves."""
    return c.first_queue[pool] + c.queue_step[pool] * gpu


@njit
def gpu_of(c, pool, q):  # type: ignore[no-untyped-def]
    """The GPU that serves a queue, in a pool in which each has its own."""
    return (q - c.first_queue[pool]) // c.queue_step[pool]


@njit
def queue_joined(s, c, pool, row):  # type: ignore[no-untyped-def]
    """The queue that a request has joined."""
    return s.stands[row] if c.apart[pool] else pool


@njit
def work_in(s, c, table, q, priority):  # type: ignore[no-untyped-def]
    """GPU-seconds that wait in a queue at this priority or a more urgent one. table: the row of times that counts."""
    work = 0.0
    for place in range(s.lane_count[q]):
        lane = s.lanes[q, place]
        work += work_ahead(priority, lane.priority, lane.waiting, c.work[table, lane.spec])
    return work


@njit
def queue_for(s, c, pool, gpus, row, spec, priority, now):  # type: ignore[no-untyped-def]
    """The queue that a request joins where this number of GPUs is in service; without any it is the first one's."""
    if not c.apart[pool]:
        return pool
    request, rule, gpus, load = s.requests[row], c.dispatch[pool], max(gpus, 1), s.outstanding[pool]
    if rule == LEAST_WORK or c.keeps[pool]:
        ahead = s.load
        for gpu in range(gpus):
            q, slower = queue_of(c, pool, gpu), s.pace[pool, gpu] * s.pool_knobs[pool, SLOWDOWN]
            until = s.until[pool, gpu] if s.outstanding[pool, gpu] > s.waits[q] else 0.0
            ahead[gpu] = seconds_ahead(work_in(s, c, s.table[pool, gpu], q, priority), slower, until, now)
        load = ahead if rule == LEAST_WORK else load
    key, k = s.people[request.person].key, request.ask * ATTEMPTS + request.attempt
    s.turn[pool] += 1
    if not c.keeps[pool]:
        return queue_of(c, pool, sent_to(rule, gpus, load, s.turn[pool] - 1, c.seed, key, k))
    model = c.spec_model[spec]
    count = candidates(s.chosen, s.holds[pool], model, s.load, c.affinity[pool], gpus)
    for place in range(count):  # in ascending order, so none is needed again
        s.load[place] = load[s.chosen[place]]
    gpu = s.chosen[sent_to(rule, count, s.load, s.turn[pool] - 1, c.seed, key, k)]
    s.holds[pool, gpu] = model
    return queue_of(c, pool, gpu)


@njit
def count_inside(s, c, pool, q, sign):  # type: ignore[no-untyped-def]
    """Keep the number of requests that wait or run when some come or go."""
    s.inside[pool] += sign
    if c.apart[pool]:
        s.outstanding[pool, gpu_of(c, pool, q)] += sign


@njit
def has_idle(s, c, pool, q):  # type: ignore[no-untyped-def]
    """Whether a GPU that serves this queue is idle."""
    if not c.apart[pool]:
        return s.idle_count[pool] > 0
    gpu = gpu_of(c, pool, q)
    return gpu < s.gpus[pool] and s.outstanding[pool, gpu] == s.waits[q]
