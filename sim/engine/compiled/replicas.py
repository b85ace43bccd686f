"""The compiled engine's GPUs that run many requests at once: when each looks who is through and who may join."""

from sim.engine.clock import COMPLETION, JOIN
from sim.engine.compiled.calendar import FINISH, schedule
from sim.engine.compiled.queues import gpu_of
from sim.engine.compiled.records import NOBODY
from sim.model.jit import njit
from sim.model.losses import CANCELLED
from sim.model.passes import comes_off_first, passes_at, time_of


@njit
def promise(s, c, pool, q, spec, now):  # type: ignore[no-untyped-def]
    """Have the GPU with the fewest, or the one whose queue it is, look for a request that has come, if it has room."""
    size, best, least = c.together_size[pool, spec], NOBODY, 0
    first = gpu_of(c, pool, q) if c.apart[pool] else 0
    for gpu in range(first, min(first + 1, s.gpus[pool]) if c.apart[pool] else s.gpus[pool]):
        replica = s.replicas[pool, gpu]
        taken = replica.size + replica.promised
        room = taken == 0 if c.unlimited else taken + size <= c.most[pool] and not replica.doomed
        if room and (best == NOBODY or taken < least):
            best, least = gpu, taken
            if taken == 0:
                break
    if best == NOBODY and c.unlimited:
        best = s.gpus[pool]
        s.gpus[pool] += 1
        s.pace[pool, best] = 1.0
    if best != NOBODY:
        s.replicas[pool, best].promised += size
        look(s, c, pool, best, now)


@njit
def look_about(s, c, pool, now):  # type: ignore[no-untyped-def]
    """The number of GPUs has changed: those with room look at the queue."""
    looks = 0
    for gpu in range(s.gpus[pool]):
        replica = s.replicas[pool, gpu]
        room = replica.size + replica.promised < c.most[pool] and not replica.doomed
        if looks < s.queued[pool] and room:
            look(s, c, pool, gpu, now)
            looks += 1


@njit
def look(s, c, pool, gpu, now):  # type: ignore[no-untyped-def]
    """Have a GPU look at the queue as soon as others may join those on it."""
    replica = s.replicas[pool, gpu]
    due = replica.passes
    if replica.stays > 0:
        due = passes_at(replica.passes, replica.begun, replica.each, c.whole[pool], now)
    else:
        replica.begun = now
    if not replica.awaited or due < replica.due:
        look_at(s, c, pool, gpu, due, now)


@njit
def look_at(s, c, pool, gpu, due, now):  # type: ignore[no-untyped-def]
    """Have a GPU look when it has made `due` passes; of what else happens at that instant, arrivals come before."""
    replica = s.replicas[pool, gpu]
    replica.due, replica.awaited = due, 1
    replica.look += 1
    time = time_of(due, replica.passes, replica.begun, replica.each, now)
    kind = COMPLETION if time > now else JOIN
    schedule(s, c, time, kind, gpu, FINISH, -1 - ((replica.look << 16) | pool))


@njit
def share_until(replica, now):  # type: ignore[no-untyped-def]
    """GPU-seconds that somebody who was always on this GPU would have had of it."""
    return replica.share + (now - replica.since) / replica.stays if replica.stays > 0 else replica.share


@njit
def earlier(s, one, other):  # type: ignore[no-untyped-def]
    a, b = s.stays[one], s.stays[other]
    return comes_off_first(a.end, a.order, b.end, b.order)


@njit
def put_aboard(s, pool, gpu, number):  # type: ignore[no-untyped-def]
    """Onto the heap of a GPU's batches of one: first who is through first."""
    heap, place = s.members[pool, gpu], s.replicas[pool, gpu].stays
    s.replicas[pool, gpu].stays += 1
    while place > 0 and earlier(s, number, heap[(place - 1) >> 1]):
        heap[place] = heap[(place - 1) >> 1]
        place = (place - 1) >> 1
    heap[place] = number


@njit
def take_off(s, pool, gpu):  # type: ignore[no-untyped-def]
    """Off that heap: the one who is through first."""
    heap = s.members[pool, gpu]
    found = heap[0]
    s.replicas[pool, gpu].stays -= 1
    size = s.replicas[pool, gpu].stays
    last, place = heap[size], 0
    while 2 * place + 1 < size:
        child = 2 * place + 1
        if child + 1 < size and earlier(s, heap[child + 1], heap[child]):
            child += 1
        if not earlier(s, heap[child], last):
            break
        heap[place] = heap[child]
        place = child
    heap[place] = last
    return found


@njit
def come_off(s, c, pool, gpu):  # type: ignore[no-untyped-def]
    """The request that is through first leaves its GPU, of which it had its share. The number of its batch of one."""
    replica, number = s.replicas[pool, gpu], take_off(s, pool, gpu)
    batch = s.batches[number]
    s.aboard[pool, gpu, batch.spec] -= 1
    replica.size -= c.together_size[pool, batch.spec]
    s.here[pool] -= c.together_size[pool, batch.spec]
    batch.seconds = replica.share - s.stays[number].share
    return number


@njit
def leave_soon(s, c, pool, gpu, number, now):  # type: ignore[no-untyped-def]
    """A request that nobody waits for any more leaves its GPU as soon as others may join: before its end, or at it."""
    replica, heap = s.replicas[pool, gpu], s.members[pool, gpu]
    due = passes_at(replica.passes, replica.begun, replica.each, c.whole[pool], now)
    if not due < s.stays[number].end:
        return
    s.batches[number].fate, s.stays[number].end = CANCELLED, due
    place = 0
    while heap[place] != number:
        place += 1
    while place > 0 and earlier(s, number, heap[(place - 1) >> 1]):
        heap[place] = heap[(place - 1) >> 1]
        place = (place - 1) >> 1
    heap[place] = number
    look(s, c, pool, gpu, now)
