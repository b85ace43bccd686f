"""The compiled engine's GPUs that run many requests at once: when each looks who is through and who may join."""

from sim.engine.clock import COMPLETION, JOIN
from sim.engine.compiled.calendar import FINISH, schedule
from sim.engine.compiled.memory import fetch
from sim.engine.compiled.queues import gpu_of
from sim.engine.compiled.records import CLOSED
from sim.model.jit import njit
from sim.model.losses import CANCELLED
from sim.model.passes import comes_off_first, passes_at, time_of

BATCH = 0xFFFFFFFF  # the bits of a member's key that are the number of its batch


@njit
def taken_on(s, pool, gpu):  # type: ignore[no-untyped-def]
    """Images (threads) that a GPU has, or has promised room at its next look; CLOSED where nobody may join."""
    return s.taken[pool, (s.taken.shape[1] >> 1) + gpu]


@njit
def now_takes(s, pool, gpu, taken):  # type: ignore[no-untyped-def]
    """Write that down, in a tree of which each place has the lesser of the two below it."""
    tree, place = s.taken[pool], (s.taken.shape[1] >> 1) + gpu
    tree[place] = taken
    while place > 1:
        place >>= 1
        least = min(tree[2 * place], tree[2 * place + 1])
        if tree[place] == least:
            return
        tree[place] = least


@njit
def open_or_closed(s, pool, gpu):  # type: ignore[no-untyped-def]
    """A GPU has promised nothing: what it has is taken, and all of it where nobody may join."""
    replica = s.replicas[pool, gpu]
    now_takes(s, pool, gpu, CLOSED if gpu >= s.gpus[pool] or replica.doomed else replica.size)


@njit
def emptiest(s, pool):  # type: ignore[no-untyped-def]
    """The GPU that has or has promised the fewest, of several the one with the lowest number."""
    tree, place = s.taken[pool], 1
    while 2 * place < len(tree):
        place *= 2
        if tree[place] > tree[place + 1]:
            place += 1
    return place - (len(tree) >> 1)


@njit
def promise(s, c, pool, q, spec, now):  # type: ignore[no-untyped-def]
    """Have the GPU with the fewest, or the one whose queue it is, look for a request that has come, if it has room."""
    size, apart = c.together_size[pool, spec], c.apart[pool]
    taken = taken_on(s, pool, gpu_of(c, pool, q)) if apart else s.taken[pool, 1]
    if c.unlimited and taken > 0:
        best, taken = s.gpus[pool], 0
        s.gpus[pool] += 1
        s.pace[pool, best], s.table[pool, best] = 1.0, pool
    elif taken + size > c.most[pool]:
        return
    else:
        best = gpu_of(c, pool, q) if apart else emptiest(s, pool)
    now_takes(s, pool, best, taken + size)
    look(s, c, pool, best, now)


@njit
def look_about(s, c, pool, now):  # type: ignore[no-untyped-def]
    """The number of GPUs has changed: those with room look at the queue."""
    looks = 0
    for gpu in range(s.gpus[pool]):
        if looks < s.queued[pool] and taken_on(s, pool, gpu) < c.most[pool]:
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
def put_aboard(s, pool, gpu, number, end):  # type: ignore[no-untyped-def]
    """Onto the heap of a GPU's batches of one: first who is through first. end: passes of the GPU by then."""
    replica = s.replicas[pool, gpu]
    key = (replica.joined << 32) | number
    rise(s.members[pool, gpu], replica.stays, end, key)
    replica.joined += 1
    replica.stays += 1


@njit
def rise(heap, place, end, key):  # type: ignore[no-untyped-def]
    """Move a member up from a place of the heap to its own."""
    while place > 0:
        above = heap[(place - 1) >> 1]
        if not comes_off_first(end, key, above.end, above.key):
            break
        heap[place].end, heap[place].key = above.end, above.key
        place = (place - 1) >> 1
    heap[place].end, heap[place].key = end, key


@njit
def take_off(s, pool, gpu):  # type: ignore[no-untyped-def]
    """Off that heap: the one who is through first."""
    heap = s.members[pool, gpu]
    found = heap[0].key & BATCH
    s.replicas[pool, gpu].stays -= 1
    size = s.replicas[pool, gpu].stays
    last, place = heap[size], 0
    while 2 * place + 1 < size:  # the hole sinks to the bottom, from where the last one, which was there, rises little
        child = 2 * place + 1
        if child + 1 < size:
            one, other = heap[child], heap[child + 1]
            child += comes_off_first(other.end, other.key, one.end, one.key)
        heap[place].end, heap[place].key = heap[child].end, heap[child].key
        place = child
    rise(heap, place, last.end, last.key)
    return found


@njit
def fetch_second(s, pool, gpu):  # type: ignore[no-untyped-def]
    """Fetch the stays of those who may be first once the first has left (what lies beyond a smaller heap is old)."""
    for place in range(1, min(3, s.members.shape[2])):
        fetch(s.stays, s.members[pool, gpu, place].key & BATCH)


@njit
def fetch_first(s, pool, gpu):  # type: ignore[no-untyped-def]
    """Fetch the records of the request that is through first, which its GPU's next look will need."""
    number = s.members[pool, gpu, 0].key & BATCH
    stay = s.stays[number]
    fetch(s.batches, number)
    fetch(s.requests, stay.request)
    fetch(s.people, stay.person)


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
    replica, heap, place = s.replicas[pool, gpu], s.members[pool, gpu], 0
    while heap[place].key & BATCH != number:
        place += 1
    due = passes_at(replica.passes, replica.begun, replica.each, c.whole[pool], now)
    if not due < heap[place].end:
        return
    s.batches[number].fate = CANCELLED
    rise(heap, place, due, heap[place].key)
    look(s, c, pool, gpu, now)
