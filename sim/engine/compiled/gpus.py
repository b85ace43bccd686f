"""The compiled engine's GPUs: batches put on them, and the heap of idle ones."""

import numpy as np

from sim.engine.clock import COMPLETION
from sim.engine.compiled.calendar import FINISH, schedule
from sim.engine.compiled.crowd import habit_of, release
from sim.engine.compiled.queues import gpu_of
from sim.engine.compiled.records import BATCHES, FREE_BATCHES, LEAVING, NOBODY, STARTED
from sim.model.dispatch import batch_seconds, load_seconds
from sim.model.jit import njit
from sim.model.knobs import POWER, SLOWDOWN
from sim.model.losses import RUNS
from sim.model.standing import IN_SERVICE
from sim.model.streams import ATTEMPTS


@njit
def start(s, c, pool, gpu, spec, first, taken, now):  # type: ignore[no-untyped-def]
    """Put a batch on a GPU."""
    head = s.requests[first]
    size = taken * c.spec_images[spec]
    measured = c.seconds[s.table[pool, gpu], spec, size]
    pace, slowdown = s.pace[pool, gpu], s.pool_knobs[pool, SLOWDOWN]
    key, k = s.people[head.person].key, head.ask * ATTEMPTS + head.attempt
    law = c.noise_kind[spec], c.noise_shape[spec], c.noise_factors[spec]
    begun = is_begun(s, c, head)
    seconds = batch_seconds(measured, pace, law[0], law[1], law[2], slowdown, begun, c.seed, key, k)
    loading = 0.0
    if s.loaded[pool, gpu] != c.spec_model[spec]:
        s.loaded[pool, gpu] = c.spec_model[spec]
        if not begun:
            loading = load_seconds(c.load[pool, 0], c.load[pool, 1], c.load[pool, 2], c.seed, key, k)
            seconds += loading
    number = new_batch(s)
    batch = s.batches[number]
    batch.pool, batch.gpu, batch.spec, batch.size, batch.taken = pool, gpu, spec, size, taken
    batch.started, batch.seconds, batch.finished, batch.first = now, seconds, np.nan, first
    batch.power, batch.loading, batch.fate = s.pool_knobs[pool, POWER], loading, RUNS
    s.running[pool] += 1
    s.on[pool, gpu] = number
    if c.apart[pool]:
        s.until[pool, gpu] = now + loading + measured * (pace * slowdown)
    put_on(s, first, number, now)
    schedule(s, c, now + seconds, COMPLETION, gpu, FINISH, end_of(batch, number))


@njit
def end_of(batch, number):  # type: ignore[no-untyped-def]
    """The load of the moment at which a batch ends."""
    return (np.int64(batch.version) << 32) | number


@njit
def end_early(s, c, number, at, fate):  # type: ignore[no-untyped-def]
    """A batch will be stopped at an instant, before its end."""
    batch = s.batches[number]
    batch.fate, batch.seconds = fate, at - batch.started
    batch.loading = min(batch.loading, batch.seconds)
    if c.apart[batch.pool]:
        s.until[batch.pool, batch.gpu] = at
    batch.version = (batch.version + 1) & 0x7FFF
    schedule(s, c, at, COMPLETION, batch.gpu, FINISH, end_of(batch, number))


@njit
def is_begun(s, c, request):  # type: ignore[no-untyped-def]
    """Whether a request that is put on a GPU was in service as the run began."""
    if request.ask != 0 or request.attempt != 0:
        return False
    return habit_of(c, s.people[request.person]).standing == IN_SERVICE


@njit
def put_on(s, first, number, now):  # type: ignore[no-untyped-def]
    """The requests of a batch are on a GPU."""
    row = first
    while row != NOBODY:
        request = s.requests[row]
        request.dequeued, request.batch = now, number
        request.mark |= STARTED
        s.started[request.tier, request.feature] += 1
        s.waited[request.tier, request.feature] += now - request.arrived
        row = request.next


@njit
def new_batch(s):  # type: ignore[no-untyped-def]
    n = s.n
    if n[FREE_BATCHES] > 0:
        n[FREE_BATCHES] -= 1
        return s.free_batches[n[FREE_BATCHES]]
    n[BATCHES] += 1
    s.batches[n[BATCHES] - 1].version = 0
    return n[BATCHES] - 1


@njit
def free_batch(s, c, number):  # type: ignore[no-untyped-def]
    """Use a batch's record again, unless every row is recorded."""
    if not c.rows:
        s.batches[number].first = NOBODY
        s.free_batches[s.n[FREE_BATCHES]] = number
        s.n[FREE_BATCHES] += 1


@njit
def out_of_service(s, request):  # type: ignore[no-untyped-def]
    """One request of this account less in the service; after the last, a person who has left is gone."""
    person = s.people[request.person]
    person.in_flight -= 1
    if person.status == LEAVING and person.in_flight == 0:
        release(s, request.person)


@njit
def go_idle(s, c, pool, gpu):  # type: ignore[no-untyped-def]
    """Onto the pool's heap of idle GPUs; where GPUs have queues they are only counted."""
    idle, place = s.idle[pool], s.idle_count[pool]
    s.idle_count[pool] += 1
    if c.apart[pool]:
        return
    while place > 0 and idle[(place - 1) >> 1] > gpu:
        idle[place] = idle[(place - 1) >> 1]
        place = (place - 1) >> 1
    idle[place] = gpu


@njit
def woken(s, c, pool, q):  # type: ignore[no-untyped-def]
    """An idle GPU that serves this queue, if there is one (see has_idle), is idle no more: its number."""
    if not c.apart[pool]:
        return lowest_idle(s, pool)
    s.idle_count[pool] -= 1
    return gpu_of(c, pool, q)


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
