"""Moments still to come, in the order in which the readable engine would take them: a 4-ary heap of records."""

import numpy as np

from sim.jit import njit

# What happens at a moment; a and b say to whom.
FINISH, LINGERED, TIRED, GAVE_UP, AGAIN, NEXT, BACK, ADMITTED, INVITED = range(9)

MOMENT = np.dtype([("time", "f8"), ("code", "i8"), ("seq", "i8"), ("what", "i8"), ("a", "i8"), ("b", "i8")], align=True)


@njit
def before(x, y):  # type: ignore[no-untyped-def]
    """Whether moment x comes before y: by time, then kind and number (code), then who was scheduled first."""
    if x.time != y.time:
        return x.time < y.time
    if x.code != y.code:
        return x.code < y.code
    return x.seq < y.seq


@njit
def push(heap, size, time, code, seq, what, a, b):  # type: ignore[no-untyped-def]
    """Put a moment into a heap of `size`; there must be room."""
    place = size
    while place > 0:
        parent = (place - 1) >> 2
        above = heap[parent]
        if above.time < time or (
            above.time == time and (above.code < code or (above.code == code and above.seq < seq))
        ):
            break
        heap[place] = heap[parent]
        place = parent
    slot = heap[place]
    slot.time = time
    slot.code = code
    slot.seq = seq
    slot.what = what
    slot.a = a
    slot.b = b


@njit
def pop(heap, size):  # type: ignore[no-untyped-def]
    """Take the first moment off a heap of `size`; the caller has read it already."""
    last = size - 1
    place = 0
    while True:
        first = 4 * place + 1
        if first >= last:
            break
        best = first
        for child in range(first + 1, min(first + 4, last)):
            if before(heap[child], heap[best]):
                best = child
        if not before(heap[best], heap[last]):
            break
        heap[place] = heap[best]
        place = best
    heap[place] = heap[last]
