"""The compiled engine's lanes: requests of one priority, spec and flow in a queue, as a list linked both ways."""

from sim.engine.compiled.memory import fetch
from sim.engine.compiled.records import LANES, NOBODY
from sim.model.jit import njit


@njit
def lane_of(s, q, priority, spec, flow):  # type: ignore[no-untyped-def]
    """The lane of a queue for a priority, spec and flow, made where there is none; `order` lists lanes by all three."""
    count = s.lane_count[q]
    for place in range(count):
        lane = s.lanes[q, place]
        if lane.priority == priority and lane.spec == spec and lane.flow == flow:
            return place
    lane = s.lanes[q, count]
    lane.priority, lane.spec, lane.flow, lane.waiting = priority, spec, flow, 0
    lane.head, lane.tail = NOBODY, NOBODY
    s.lane_count[q] = count + 1
    s.n[LANES] = max(s.n[LANES], count + 1)
    rank = count
    while rank > 0:
        other = s.lanes[q, s.lanes[q, rank - 1].order]
        if other.priority < priority:
            break
        if other.priority == priority and (other.spec < spec or (other.spec == spec and other.flow < flow)):
            break
        s.lanes[q, rank].order = s.lanes[q, rank - 1].order
        rank -= 1
    s.lanes[q, rank].order = count
    return count


@njit
def unlink(s, lane, row):  # type: ignore[no-untyped-def]
    """Take a request off either end of its lane."""
    request = s.requests[row]
    if lane.head == row:
        lane.head = request.next
        if lane.head == NOBODY:
            lane.tail = NOBODY
        else:
            s.requests[lane.head].batch = NOBODY
    else:
        lane.tail = request.batch
        s.requests[lane.tail].next = NOBODY


@njit
def append(s, q, place, row):  # type: ignore[no-untyped-def]
    lane = s.lanes[q, place]
    s.requests[row].batch = lane.tail
    if lane.tail == NOBODY:
        lane.head = row
    else:
        s.requests[lane.tail].next = row
    lane.tail = row


@njit
def prefetch_heads(s, q):  # type: ignore[no-untyped-def]
    """Fetch the records that the next batch will need; the heads of lanes have been fetched already (see take)."""
    for place in range(min(s.lane_count[q], 4)):
        head = s.lanes[q, place].head
        if head != NOBODY:
            request = s.requests[head]
            fetch(s.people, request.person)
            fetch(s.requests, request.next)
