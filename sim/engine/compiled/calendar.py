"""Moments still to come, in the order in which the readable engine would take them.

The horizon is cut into buckets of equal length. A moment is written at the end of its bucket, whatever else is there;
when a bucket's turn comes its moments are sorted, and are the run that is played next. What is scheduled for the bucket
being played goes onto a small heap beside the run. So a moment costs the same whether a thousand are pending or a
hundred million, where a heap of them all would miss every cache (Brown 1988, calendar queues; Tang et al. 2005, ladder
queues). Buckets keep their moments in chunks, which are used again.
"""

import numpy as np

from sim.engine.compiled.memory import fetch
from sim.engine.compiled.records import CHUNK, CURRENT, FREE_CHUNK, NOBODY, RUN_AT, RUN_END, SEQ, SOON, SPARE_CHUNKS
from sim.model.jit import njit

# The kinds of moments.
FINISH, LINGERED, TIRED, GAVE_UP, AGAIN, NEXT, BACK, ADMITTED, INVITED, SCRIPT, NOTICE_OVER = range(11)
WHAT = 15  # the bits of a code that say so

EMPTY, RUN, HEAP, OVERFULL = range(4)


@njit
def code_of(kind, number, what):  # type: ignore[no-untyped-def]
    """The number that settles ties at one instant: by kind (see sim.engine.clock), then by user or GPU."""
    return (kind << 60) + (number << 4) + what


@njit
def schedule(s, c, time, kind, number, what, load):  # type: ignore[no-untyped-def]
    """Put a moment on the calendar, unless it lies beyond the horizon. load: what it is about."""
    if not time < c.horizon:
        return
    n = s.n
    bucket = int(time * c.buckets_a_second)
    if bucket <= n[CURRENT]:
        push(s, time, code_of(kind, number, what), load)
        return
    b = s.buckets[bucket]
    place = b.filled % CHUNK
    if place == 0:
        chunk = n[FREE_CHUNK]
        n[FREE_CHUNK] = s.follows[chunk]
        n[SPARE_CHUNKS] -= 1
        s.follows[chunk] = NOBODY
        if b.filled == 0:
            b.head = chunk
        else:
            s.follows[b.tail] = chunk
        b.tail = chunk
    moment = s.moments[b.tail * CHUNK + place]
    moment.time, moment.code, moment.load = time, code_of(kind, number, what), load
    b.filled += 1


@njit
def peek(s, c, limit):  # type: ignore[no-untyped-def]
    """Where the first moment stands: EMPTY (none before `limit`), at the front of the RUN, or on top of the HEAP.

    OVERFULL: the next bucket holds more than the run can.
    """
    n = s.n
    if n[RUN_AT] == n[RUN_END]:
        if n[SOON] > 0:
            return HEAP
        last = min(int(limit * c.buckets_a_second), len(s.buckets) - 1)
        while n[CURRENT] < last:
            if s.buckets[n[CURRENT] + 1].filled > len(s.run):
                return OVERFULL
            n[CURRENT] += 1
            if s.buckets[n[CURRENT]].filled > 0:
                sort_bucket(s, c, n[CURRENT])
                return RUN
        return EMPTY
    if n[SOON] == 0:
        return RUN
    first, top = s.run[n[RUN_AT]], s.soon[0]
    if top.time < first.time or (top.time == first.time and top.code < first.code):
        return HEAP
    return RUN


@njit
def sort_bucket(s, c, bucket):  # type: ignore[no-untyped-def]
    """Make a bucket's moments the run, in order; equal ones stay in the order in which they were scheduled.

    They are spread over as many slots as there are moments, by time, which leaves next to nothing to insertion sort.
    """
    count = s.buckets[bucket].filled
    places, slots = s.places, min(count, len(s.places) - 2)
    begin, a_second = bucket / c.buckets_a_second, slots * c.buckets_a_second
    for slot in range(slots + 2):
        places[slot] = 0
    chunk, left = s.buckets[bucket].head, count
    while left > 0:
        following = s.follows[chunk]
        if left > CHUNK:
            fetch_chunk(s, following)
        for i in range(chunk * CHUNK, chunk * CHUNK + min(left, CHUNK)):
            places[slot_of(s.moments[i].time, begin, a_second, slots) + 1] += 1
        left -= min(left, CHUNK)
        chunk = following
    for slot in range(slots):
        places[slot + 1] += places[slot]
    chunk, left = s.buckets[bucket].head, count
    while left > 0:
        for i in range(chunk * CHUNK, chunk * CHUNK + min(left, CHUNK)):
            moment = s.moments[i]
            slot = slot_of(moment.time, begin, a_second, slots)
            s.run[places[slot]] = moment
            places[slot] += 1
        left -= min(left, CHUNK)
        after = s.follows[chunk]
        s.follows[chunk] = s.n[FREE_CHUNK]
        s.n[FREE_CHUNK] = chunk
        s.n[SPARE_CHUNKS] += 1
        chunk = after
    insertion_sort(s.run, count)
    s.buckets[bucket].filled = 0
    s.n[RUN_AT], s.n[RUN_END] = 0, count


@njit
def fetch_chunk(s, chunk):  # type: ignore[no-untyped-def]
    """Fetch all moments of a chunk: of each cache line at least one."""
    for place in range(0, CHUNK, 2):
        fetch(s.moments, chunk * CHUNK + place)


@njit
def slot_of(time, begin, a_second, slots):  # type: ignore[no-untyped-def]
    """The slot of an instant: never a later one for an earlier instant."""
    return min(max(int((time - begin) * a_second), 0), slots - 1)


@njit
def insertion_sort(run, count):  # type: ignore[no-untyped-def]
    """Sort moments that are nearly in order, by time and code; equal ones keep their order."""
    for i in range(1, count):
        time, code, load = run[i].time, run[i].code, run[i].load
        place = i
        while place > 0 and (
            run[place - 1].time > time or (run[place - 1].time == time and run[place - 1].code > code)
        ):
            run[place] = run[place - 1]
            place -= 1
        if place < i:
            moment = run[place]
            moment.time, moment.code, moment.load = time, code, load


@njit
def before(x, y):  # type: ignore[no-untyped-def]
    """Whether moment x of the heap comes before y: by time, then code, then order of scheduling."""
    if x.time != y.time:
        return x.time < y.time
    if x.code != y.code:
        return x.code < y.code
    return x.seq < y.seq


@njit
def push(s, time, code, load):  # type: ignore[no-untyped-def]
    """Put a moment onto the heap, which is 4-ary."""
    heap, place = s.soon, s.n[SOON]
    s.n[SOON] += 1
    s.n[SEQ] += 1
    while place > 0:
        above = heap[(place - 1) >> 2]
        if above.time < time or (above.time == time and above.code <= code):  # equal: it was there first
            break
        heap[place] = above
        place = (place - 1) >> 2
    slot = heap[place]
    slot.time, slot.code, slot.load, slot.seq = time, code, load, s.n[SEQ]


@njit
def pop(s):  # type: ignore[no-untyped-def]
    """Take the top off the heap; the caller has read it already."""
    heap = s.soon
    s.n[SOON] -= 1
    last, place = s.n[SOON], 0
    while True:
        best = 4 * place + 1
        if best >= last:
            break
        for child in range(best + 1, min(best + 4, last)):
            if before(heap[child], heap[best]):
                best = child
        if not before(heap[best], heap[last]):
            break
        heap[place] = heap[best]
        place = best
    heap[place] = heap[last]


BUCKETS = 1 << 18  # at most
A_BUCKET = 8192  # moments: they fit the second cache while sorted, and so do the ends of the buckets to come


def buckets_for(moments: float) -> int:
    """The number of buckets to cut the horizon into, so that each gets about A_BUCKET of these moments."""
    return int(np.clip(moments / A_BUCKET, 64, BUCKETS))
