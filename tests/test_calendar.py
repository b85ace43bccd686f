"""Moments leave the compiled engine's calendar as they would SimPy's heap: by time, then code, then as scheduled."""

import heapq
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.engine.compiled.calendar import EMPTY, HEAP, OVERFULL, RUN, code_of, peek, pop, schedule
from sim.engine.compiled.constants import Constants
from sim.engine.compiled.memory import records
from sim.engine.compiled.records import (
    CHUNK,
    CURRENT,
    FREE_CHUNK,
    MOMENT,
    NOBODY,
    RUN_AT,
    RUN_END,
    SOON,
    SOONER,
    SPARE_CHUNKS,
)
from sim.engine.compiled.room import roomy, with_chunks
from sim.engine.compiled.state import fresh_state
from sim.engine.compiled.view import View

Moment = tuple[float, int, int]  # when, its code, and what it is about: here its index in the order of scheduling


class Calendar:
    """A calendar by itself, with next to no room: its arrays grow when they must, as the engine's do."""

    def __init__(self, horizon: float, buckets: int):
        nothing: dict[str, Any] = dict.fromkeys(Constants._fields, 0)
        self.grid = View(Constants(**{**nothing, "horizon": horizon, "buckets_a_second": buckets / horizon}))
        one: dict[str, Any] = {"bins": 1, "largest": 1, "times": 1}
        state = fresh_state(1, 1, 1, 1, [1], buckets=buckets + 2, rows=False, sampled=False, **one)
        self.met: set[str] = set()
        self.scheduled = 0
        self.hold(state._replace(run=records(1, MOMENT), soon=records(1, SOONER)))

    def hold(self, state) -> None:
        self.state, self.ref = state, View(state)

    def put(self, time: float, kind: int, number: int, what: int) -> Moment:
        """Schedule a moment, and say which."""
        s, n = self.state, self.state.n
        if n[SPARE_CHUNKS] == 0:
            self.hold(with_chunks(s, 1))
        if n[SOON] == len(s.soon):
            self.hold(self.state._replace(soon=roomy(s.soon, n[SOON], 1)))
        moment = time, code_of(kind, number, what), self.scheduled
        schedule.direct(self.ref, self.grid, time, kind, number, what, self.scheduled)
        self.scheduled += 1
        return moment

    def first_before(self, limit: float) -> Moment | None:
        """Take the first moment if it comes before an instant."""
        s, n = self.state, self.state.n
        where = peek.direct(self.ref, self.grid, limit)
        while where == OVERFULL:
            self.met.add("a bucket that is longer than the run")
            s = s._replace(run=roomy(s.run, 0, int(s.buckets["filled"].max())))
            self.hold(s)
            where = peek.direct(self.ref, self.grid, limit)
        if where == EMPTY:
            return None
        assert where in (RUN, HEAP)
        top = s.run[n[RUN_AT]] if where == RUN else s.soon[0]
        moment = float(top["time"]), int(top["code"]), int(top["load"])
        if moment[0] >= limit:
            return None
        if where == RUN:
            n[RUN_AT] += 1
        else:
            self.met.add("the heap beside the run")
            pop.direct(self.ref)
        return moment

    def chunks(self) -> tuple[list[int], int]:
        """The chunks that are free, and how many there are."""
        free, chunk = [], self.state.n[FREE_CHUNK]
        while chunk != NOBODY:
            free.append(int(chunk))
            chunk = self.state.follows[chunk]
        return free, len(self.state.follows)


# Times on a coarse grid, so that many coincide, with others between; few numbers settle ties.
TIMES = st.one_of(st.integers(0, 24).map(lambda n: n / 2), st.floats(0, 12))
TIES = st.tuples(st.integers(0, 5), st.integers(0, 2), st.integers(0, 1))
GRIDS = st.tuples(st.sampled_from([10.0, 7.3]), st.integers(1, 6))


@settings(max_examples=50)
@given(grid=GRIDS, given_=st.lists(st.tuples(TIMES, TIES), max_size=120))
def test_moments_come_in_the_order_of_a_stable_sort_by_time_and_code(grid, given_):
    calendar = Calendar(*grid)
    put = [calendar.put(time, *ties) for time, ties in given_]
    inside = sorted((moment for moment in put if moment[0] < grid[0]), key=lambda moment: moment[:2])
    assert [calendar.first_before(grid[0]) for _ in inside] == inside
    assert calendar.first_before(grid[0]) is None


@settings(max_examples=50)
@given(given_=st.lists(st.tuples(st.integers(1, 3), st.just(0), st.integers(0, 2)), max_size=120))
def test_so_do_those_scheduled_while_their_bucket_is_played(given_):
    calendar = Calendar(10.0, 1)
    begin = calendar.put(0.0, 0, 0, 0)
    assert calendar.first_before(10.0) == begin
    put = [calendar.put(*moment, 0) for moment in given_]
    assert [calendar.first_before(10.0) for _ in put] == sorted(put, key=lambda moment: moment[:2])
    assert put == [] or "the heap beside the run" in calendar.met


@settings(max_examples=100)
@given(
    grid=GRIDS,
    first=st.lists(st.tuples(TIMES, TIES), max_size=80),
    later=st.lists(st.tuples(st.one_of(st.just(0.0), TIMES), TIES), max_size=120),
    ticks=st.lists(TIMES, max_size=6),
)
def test_a_calendar_in_play_gives_what_a_heap_would(grid, first, later, ticks):
    """Each moment that is played puts another on the calendar while there are any, and so does each tick."""
    calendar, more = Calendar(*grid), iter(later)
    heap = [moment for time, ties in first if (moment := calendar.put(time, *ties))[0] < grid[0]]
    heapq.heapify(heap)

    def go_on(now: float) -> None:
        for delay, ties in more:
            if (moment := calendar.put(now + delay, *ties))[0] < grid[0]:
                heapq.heappush(heap, moment)
            return

    for tick in [*sorted(tick for tick in ticks if tick < grid[0]), grid[0]]:
        while (moment := calendar.first_before(tick)) is not None:
            assert moment == heapq.heappop(heap)
            go_on(moment[0])
        assert not heap or heap[0][0] >= tick
        if tick < grid[0]:
            go_on(tick)
    assert not heap
    n = calendar.state.n
    assert (n[SOON], n[RUN_AT]) == (0, n[RUN_END])


def played(calendar: Calendar, moments: int, delay: float) -> list[Moment]:
    """Play on; each moment puts one of its like `delay` later on the calendar, so that there are always as many."""
    found = []
    for _ in range(moments):
        moment = calendar.first_before(calendar.grid.of.horizon)
        assert moment is not None
        found.append(moment)
        calendar.put(moment[0] + delay, 4, moment[2] % 7, 0)
    return found


def test_chunks_are_used_again():
    calendar = Calendar(1000.0, 500)
    for number in range(100):
        calendar.put(number / 10, 4, number % 7, 0)
    found = played(calendar, 5000, delay=10.1)
    assert found == sorted(found, key=lambda moment: moment[:2])
    assert calendar.state.n[CURRENT] > 200
    free, chunks = calendar.chunks()
    assert chunks < 40, "not more than at once were in use"
    assert len(set(free)) == len(free) == calendar.state.n[SPARE_CHUNKS]
    while calendar.first_before(1000.0) is not None:
        pass
    assert sorted(calendar.chunks()[0]) == list(range(chunks)), "in the end all of them are free"


def test_the_heap_and_long_buckets_are_met():
    calendar = Calendar(10.0, 2)
    for number in range(3 * CHUNK):
        calendar.put(number % 3, 4, number, 0)
    played(calendar, 2 * CHUNK, delay=0.5)
    assert calendar.met == {"a bucket that is longer than the run", "the heap beside the run"}


@pytest.mark.parametrize("spread", [0.0, 1e-9, 1.0], ids=["one instant", "a billionth of a second", "all of it"])
def test_a_bucket_may_hold_more_than_there_are_slots_to_sort_it_by(spread):
    n, rng = 20_000, np.random.default_rng(1)
    calendar = Calendar(1.0, 1)
    assert n > 2 * len(calendar.state.places)
    times, numbers = 0.999 * spread * rng.random(n), rng.integers(0, 50, n)
    put = [calendar.put(float(time), 4, int(number), 0) for time, number in zip(times, numbers, strict=True)]
    assert [calendar.first_before(1.0) for _ in put] == sorted(put, key=lambda moment: moment[:2])


def test_nothing_is_scheduled_at_the_horizon_or_for_never():
    calendar = Calendar(10.0, 3)
    for time in (10.0, 11.0, np.inf, np.nan):
        calendar.put(time, 0, 0, 0)
    last = calendar.put(float(np.nextafter(10.0, 0.0)), 0, 0, 0)
    assert calendar.first_before(10.0) == last
    assert calendar.first_before(10.0) is None


def test_ties_are_settled_by_kind_then_by_number():
    order = [(kind, number) for kind in range(6) for number in (0, 1, 2**31, 2**55)]
    codes = [code_of(kind, number, 15 - kind) for kind, number in order]
    assert codes == sorted(codes)
    assert len(set(codes)) == len(codes)
