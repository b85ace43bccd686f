"""What the compiled engine knows: its records and arrays, how they are laid out, and how they grow."""

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.experimental import structref
from numpy.typing import NDArray

from sim.compiled.heap import MOMENT
from sim.jit import njit
from sim.rules import LIMITER, fresh_limiter

NOBODY = -1

# Outcomes of a request, as numbers.
NONE, SERVED, REFUSED, ABANDONED = range(4)

PERSON = np.dtype(
    [
        ("key", "i8"),
        ("arrives", "f8"),
        ("born", "f8"),
        ("admitted", "f8"),
        ("left", "f8"),
        ("activity", "f8"),
        ("loyalty", "f8"),
        ("fate", "f8"),
        ("invited_by", "i8"),
        ("accounts", "i4"),
        ("in_flight", "i4"),
        ("asks", "i4"),  # scripted ones until now
        ("source", "i4"),
        ("tier", "i2"),
        ("region", "i2"),
        ("newcomer", "i1"),
        ("waiting", "i1"),  # on the waitlist
    ],
    align=True,
)

# One wish in progress, or the place between two of them in a person's life.
WANT = np.dtype(
    [
        ("user", "i8"),
        ("since", "f8"),
        ("ask", "i4"),
        ("attempt", "i4"),
        ("day", "i4"),
        ("number", "i4"),
        ("wanted", "i4"),
        ("feature", "i2"),
        ("images", "i2"),  # the place of the number of images in those the feature offers
        ("again", "i1"),
        ("life", "i1"),  # part of a life, not of a script
    ],
    align=True,
)

REQUEST = np.dtype(
    [
        ("user", "i8"),
        ("want", "i8"),
        ("arrived", "f8"),
        ("started", "f8"),
        ("finished", "f8"),
        ("left", "f8"),
        ("gpu_seconds", "f8"),
        ("batch", "i8"),
        ("next", "i8"),  # in its lane, then in its batch
        ("priority", "i8"),
        ("ask", "i4"),
        ("attempt", "i4"),
        ("asked", "i4"),
        ("spec", "i4"),
        ("tier", "i2"),
        ("feature", "i2"),
        ("level", "i2"),
        ("reason", "i1"),
        ("outcome", "i1"),
        ("retry", "i1"),
        ("notified", "i1"),
        ("gone", "i1"),  # taken out of its lane, where it still stands
        ("waited_out", "i1"),
    ],
    align=True,
)

BATCH = np.dtype(
    [
        ("started", "f8"),
        ("seconds", "f8"),
        ("finished", "f8"),
        ("first", "i8"),
        ("pool", "i4"),
        ("gpu", "i4"),
        ("spec", "i4"),
        ("size", "i4"),
    ],
    align=True,
)

LANE = np.dtype(
    [("priority", "i8"), ("spec", "i8"), ("head", "i8"), ("tail", "i8"), ("waiting", "i8"), ("order", "i8")]
)

# Places in State.n, the counters.
PEOPLE, WANTS, FREE, REQUESTS, BATCHES, MOMENTS, SEQ, ARRIVAL, ASK, LIMITERS = range(10)
LINE_HEAD, LINE_TAIL, WAITLISTED, SIGNUPS, ARRIVED, GATE_OPEN, ARRIVAL_SEQ, ASK_SEQ = range(10, 18)
COUNTERS = 18


class State(NamedTuple):
    """All that changes. Arrays have room to spare; `n` says how much of each is used."""

    n: NDArray[np.int64]
    heap: NDArray[Any]
    people: NDArray[Any]
    wants: NDArray[Any]
    free: NDArray[np.int64]  # wants that are over
    requests: NDArray[Any]
    batches: NDArray[Any]
    line: NDArray[np.int64]  # the waitlist: wants, in order
    limiters: NDArray[np.float64]
    limiter_of: NDArray[np.int64]  # (people, meters)
    lanes: NDArray[Any]  # (pools, lanes), in order of creation
    lane_count: NDArray[np.int64]
    waiting_images: NDArray[np.int64]  # (pools, specs)
    queued: NDArray[np.int64]
    gpus: NDArray[np.int64]
    idle: NDArray[np.int64]  # (pools, GPUs): a heap, the lowest number first
    idle_count: NDArray[np.int64]
    loaded: NDArray[np.int64]  # (pools, GPUs): the model served last
    pace: NDArray[np.float64]  # (pools, GPUs)
    arrivals: NDArray[np.float64]  # (tiers, features), since the last tick, as the rest
    refused: NDArray[np.float64]
    served: NDArray[np.float64]
    started: NDArray[np.float64]
    waited: NDArray[np.float64]


ROOM = 1100  # moments, people and the like that one moment can add at most: an image invites up to 1000


def grown(array: NDArray[Any], used: int, axis: int = 0, spare: int = ROOM) -> NDArray[Any]:
    """The array with room for `spare` more along an axis, twice as long where it has not."""
    if array.shape[axis] >= used + spare:
        return array
    shape = list(array.shape)
    shape[axis] = max(2 * array.shape[axis], used + 2 * spare)
    larger = np.full(shape, NOBODY) if array.dtype == np.int64 else np.zeros(shape, dtype=array.dtype)
    larger[tuple(slice(0, n) for n in array.shape)] = array
    return larger


def with_room(s: State) -> State:
    """The state with room in everything for what the next moment can add."""
    n = s.n
    people = grown(s.people, n[PEOPLE])
    most = int(s.gpus.max())
    pace = s.pace
    if pace.shape[1] < most + 2:
        pace = np.ones((pace.shape[0], 2 * most + 2))
        pace[:, : s.pace.shape[1]] = s.pace
    limiters = s.limiters
    if len(limiters) < n[LIMITERS] + 2:
        limiters = np.empty((2 * len(limiters) + 2, LIMITER))
        limiters[: len(s.limiters)] = s.limiters
    return s._replace(
        heap=grown(s.heap, n[MOMENTS]),
        people=people,
        wants=grown(s.wants, n[WANTS]),
        free=grown(s.free, n[WANTS]),
        requests=grown(s.requests, n[REQUESTS]),
        batches=grown(s.batches, n[BATCHES]),
        line=grown(s.line, n[LINE_TAIL]),
        limiters=limiters,
        limiter_of=grown(s.limiter_of, n[PEOPLE]),
        lanes=grown(s.lanes, int(s.lane_count.max()), axis=1, spare=2),
        idle=grown(s.idle, most, axis=1, spare=2),
        loaded=grown(s.loaded, most, axis=1, spare=2),
        pace=pace,
    )


def fresh_state(pools: int, specs: int, tiers: int, features: int, meters: int, gpus: list[int]) -> State:
    """Nothing has happened; every GPU is idle."""
    most = max(gpus)
    idle = np.tile(np.arange(most + 2), (pools, 1))
    counts = [np.zeros((tiers, features)) for _ in range(5)]
    state = State(
        n=np.zeros(COUNTERS, dtype=np.int64),
        heap=np.zeros(0, dtype=MOMENT),
        people=np.zeros(0, dtype=PERSON),
        wants=np.zeros(0, dtype=WANT),
        free=np.zeros(0, dtype=np.int64),
        requests=np.zeros(0, dtype=REQUEST),
        batches=np.zeros(0, dtype=BATCH),
        line=np.zeros(0, dtype=np.int64),
        limiters=np.empty((0, LIMITER)),
        limiter_of=np.zeros((0, meters), dtype=np.int64),
        lanes=np.zeros((pools, 4), dtype=LANE),
        lane_count=np.zeros(pools, dtype=np.int64),
        waiting_images=np.zeros((pools, specs), dtype=np.int64),
        queued=np.zeros(pools, dtype=np.int64),
        gpus=np.array(gpus, dtype=np.int64),
        idle=idle,
        idle_count=np.array(gpus, dtype=np.int64),
        loaded=np.full((pools, most + 2), NOBODY),
        pace=np.ones((pools, most + 2)),
        arrivals=counts[0],
        refused=counts[1],
        served=counts[2],
        started=counts[3],
        waited=counts[4],
    )
    state.n[GATE_OPEN] = 1
    state.n[LIMITERS] = 1  # row 0 stands for users without limits
    state = with_room(state)
    state.limiters[0] = fresh_limiter()
    return state


# Compiled functions get the state by reference: passing dozens of arrays by value from function to function would cost
# more than all they do.


@structref.register
class StateType(types.StructRef):
    """The compiled code's view of State."""


class StateRef(structref.StructRefProxy):
    """A reference to the arrays of a State."""


structref.define_proxy(StateRef, StateType, list(State._fields))


@njit
def referred(s):  # type: ignore[no-untyped-def]
    """The reference that compiled functions take for a State; new arrays need a new one."""
    return StateRef(
        s.n,
        s.heap,
        s.people,
        s.wants,
        s.free,
        s.requests,
        s.batches,
        s.line,
        s.limiters,
        s.limiter_of,
        s.lanes,
        s.lane_count,
        s.waiting_images,
        s.queued,
        s.gpus,
        s.idle,
        s.idle_count,
        s.loaded,
        s.pace,
        s.arrivals,
        s.refused,
        s.served,
        s.started,
        s.waited,
    )
