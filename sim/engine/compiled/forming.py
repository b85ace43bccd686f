"""The compiled engine's batches that close before a GPU takes them: when they do, and which requests are in them."""

from sim.engine.clock import LINGER
from sim.engine.compiled.calendar import LINGERED, schedule
from sim.engine.compiled.records import FORMED, GONE, NOBODY, TAKEN
from sim.model.dispatch import POLLED, UNFORMED, closes_with, has_slot, times_out
from sim.model.jit import njit


@njit
def join_batch(s, c, pool, q, place, row, now):  # type: ignore[no-untyped-def]
    """Where batches close by themselves: put a request into the last one if it may, else into the open one."""
    former, spec = s.formers[q, place], s.lanes[q, place].spec
    each = c.spec_images[spec]
    if former.room >= each:
        s.formed[row] = former.closes
        former.room -= each
        return
    former.open += 1
    if c.slots[pool] > 0:
        s.formed[row] = UNFORMED
        return
    former.came = now
    s.formed[row] = former.closes + 1
    if former.open == 1:
        former.first = now
    timer, linger, full = c.timer[pool], c.linger[pool], c.full[pool, spec]
    if closes_with(timer, linger, former.first, former.closed, former.open * each, each, full, now):
        close_batch(s, c, pool, q, place, now)
    elif former.open == 1 or timer == POLLED:
        due = times_out(timer, linger, former.first, former.closed, now)
        schedule(s, c, due, LINGER, s.requests[row].user, LINGERED, -1 - ((place << 40) | (pool << 32) | q))


@njit
def close_batch(s, c, pool, q, place, now):  # type: ignore[no-untyped-def]
    former, spec = s.formers[q, place], s.lanes[q, place].spec
    former.room = c.full[pool, spec] - former.open * c.spec_images[spec] if c.takes_late[pool] else 0
    former.open, former.closed = 0, now
    former.closes += 1


@njit
def leave_batch(s, q, place, row):  # type: ignore[no-untyped-def]
    """Its user has left; where they were the last one of a closed batch, nobody joins it."""
    former = s.formers[q, place]
    if s.formed[row] > former.closes:
        former.open -= 1
    elif s.lanes[q, place].waiting == former.open:
        former.room = 0


@njit
def slot_is_free(s, c, pool):  # type: ignore[no-untyped-def]
    """Whether a batch may close, where a free slot closes them."""
    return has_slot(s.running[pool], s.forms[pool, FORMED] - s.forms[pool, TAKEN], c.slots[pool], s.gpus[pool])


@njit
def forget_empty(s, pool, q):  # type: ignore[no-untyped-def]
    """Closed batches that everybody has left give their slots back once no others wait."""
    for place in range(s.lane_count[q]):
        if s.lanes[q, place].waiting > s.formers[q, place].open:
            return
    s.forms[pool, TAKEN] = s.forms[pool, FORMED]


@njit
def first_open(s, q, place):  # type: ignore[no-untyped-def]
    """The first request of a lane that waits and is in no closed batch."""
    row = s.lanes[q, place].head
    while row != NOBODY and (s.requests[row].mark & GONE or s.formed[row] != UNFORMED):
        row = s.requests[row].next
    return row


@njit
def fill_slot(s, c, pool, q, place):  # type: ignore[no-untyped-def]
    """Close a batch of the requests that wait in a lane, as many as it takes."""
    former, spec = s.formers[q, place], s.lanes[q, place].spec
    each, room, row = c.spec_images[spec], c.full[pool, spec], first_open(s, q, place)
    s.forms[pool, FORMED] += 1
    while row != NOBODY and room >= each:
        if not s.requests[row].mark & GONE and s.formed[row] == UNFORMED:
            s.formed[row] = s.forms[pool, FORMED]
            former.open -= 1
            room -= each
        row = s.requests[row].next
    former.closes = s.forms[pool, FORMED]
    former.room = room if c.takes_late[pool] else 0
