"""Where the runs of a study are made: in this process, or in others of this machine; `cluster` has other machines."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import cpu_count
from typing import Any, ClassVar, Protocol, Self, TypeVar

import numpy as np

from sim.engine.first_use import compile_now
from sim.engine.parallel import workers
from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.results.run import Run
from sim.results.timeline import bin_width
from sim.scenario.parts import Recording
from sim.scenario.scenario import Scenario
from sim.studies.estimate import ATTEMPT_SECONDS, simple_counts
from sim.studies.run_record import Record, record_of
from sim.studies.store import Cell, Store

T = TypeVar("T")
Report = Callable[[int, int], None]  # called with the runs that are done, and with those planned so far
SHORT = 1.0  # seconds of work below which starting processes does not pay
DEATHS = 3  # of processes with the same run in them, after which it is given up


class Executor(Protocol):
    """Calls a function of a module with each of some cells, wherever that is.

    here: whether the call sees this machine's disk.
    """

    here: ClassVar[bool]

    def each(self, call: Callable[[Cell], T], cells: Sequence[Cell]) -> Iterator[tuple[int, T]]:
        """The place of each cell and what the call returned, in the order in which they are done."""
        ...

    def close(self) -> None:
        """End its processes."""


@dataclass
class Local:
    """This machine. processes: how many runs at once, one per core where None; they start when they would pay.

    That is when the runs asked for take longer than processes need to start, or those of earlier calls did: a study
    that asks again and again for a few short runs goes on to ask for more. meanwhile: called once, while other
    processes make the first runs.
    """

    here: ClassVar[bool] = True
    processes: int | None = None
    meanwhile: Callable[[], object] | None = None
    seconds: float = field(default=0.0, init=False)  # of the last run made in this process
    spent: float = field(default=0.0, init=False)  # seconds of all of them
    pool: ProcessPoolExecutor | None = field(default=None, init=False)
    stack: ExitStack = field(default_factory=ExitStack, init=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stack.__exit__(*error)  # type: ignore[arg-type]
        self.pool = None

    def close(self) -> None:
        self.__exit__(None, None, None)

    def each(self, call: Callable[[Cell], T], cells: Sequence[Cell]) -> Iterator[tuple[int, T]]:
        """Runs are made here until it is known that the rest takes long enough for processes to pay."""
        compile_now()
        count, place = self.processes or cpu_count(), 0
        least = simple_counts(cells[0].scenario)[1] * ATTEMPT_SECONDS if cells else 0.0
        while place < len(cells):
            rest = len(cells) - place
            pays = self.pool is not None or max(self.spent, rest * max(self.seconds, least)) > SHORT
            if count > 1 and rest > 1 and pays:
                yield from self.in_processes(call, cells, range(place, len(cells)), count)
                return
            began = time.perf_counter()
            yield place, call(cells[place])
            self.seconds, place = time.perf_counter() - began, place + 1
            self.spent += self.seconds

    def in_processes(
        self, call: Callable[[Cell], T], cells: Sequence[Cell], places: Sequence[int], count: int
    ) -> Iterator[tuple[int, T]]:
        """A process that dies takes all others of its pool along: another pool makes what they had not done."""
        left, deaths = list(places), 0
        while left:
            if self.pool is None:
                self.pool = self.stack.enter_context(workers(count))
            waiting: dict[Future[T], int] = {self.pool.submit(call, cells[p]): p for p in left}
            if (begin := self.meanwhile) is not None:
                self.meanwhile = None
                begin()
            try:
                while waiting:
                    for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                        found = future.result()
                        place = waiting.pop(future)
                        left.remove(place)
                        deaths = 0
                        yield place, found
            except BrokenProcessPool:
                self.close()
                deaths += 1
                if deaths == DEATHS:
                    why = "the processes that make these runs are killed again and again, perhaps for want of memory"
                    script = "in a script, the call under: if __name__ == '__main__':"
                    expected = f"fewer --processes, or a smaller 'scale'; {script}"
                    raise BadInput(why, expected=expected) from None


@contextmanager
def working(executor: Executor | None, processes: int | None) -> Iterator[Executor]:
    """The executor that was given, which stays open; else one of this machine."""
    if executor is not None:
        yield executor
    else:
        with Local(processes) as own:
            yield own


def itself(one: T) -> T:
    """What is asked of a run, or its record, that is wanted as it is."""
    return one


def asked(executor: Executor, ask: Callable[[Run], T], cells: Sequence[Cell], report: Report | None = None) -> list[T]:
    """ask(run) of every cell's run, in order; an interrupt gives those up to the first that is not done."""
    found: dict[int, T] = {}
    try:
        for place, one in executor.each(partial(answer, ask=ask), cells):
            found[place] = one
            if report is not None:
                report(len(found), len(cells))
    except KeyboardInterrupt:
        first = next(place for place in range(len(cells)) if place not in found)
        return [found[place] for place in range(first)]
    return [found[place] for place in range(len(cells))]


def run_of(cell: Cell) -> Run:
    """Make the run of a cell, whose cells share this process."""
    how: dict[str, Any] = {"seed": cell.seed, "engine": cell.engine, "unlimited": cell.unlimited}
    return simulate(cell.scenario, cell.playbook, **how, recording=cell.recording, processes=1)


def answer(cell: Cell, ask: Callable[[Run], T]) -> T:
    return ask(run_of(cell))


def made(cell: Cell, store: Store | None) -> Record:
    """Make one run and keep its record, in whichever process this is."""
    bare = cell.recording is None and cell.engine == "compiled" and meets_bins(cell.scenario)
    record = record_of(run_of(replace(cell, recording=Recording(rows=False)) if bare else cell))
    if store is not None and cell.keyed:
        store.put(cell, record)
    return record


def whole(cell: Cell) -> tuple[Record, Run]:
    """A run with its record."""
    run = run_of(cell)
    return record_of(run), run


def meets_bins(scenario: Scenario) -> bool:
    """Whether warm-up and windows begin and end with the bins of a timeline, so that nothing else need be recorded."""
    width = bin_width(scenario.horizon)
    lasting = scenario.horizon - scenario.warm_up
    windows = max(1, round(lasting / scenario.alive.window))
    edges = np.array([scenario.warm_up, lasting / windows]) / width
    return bool(np.all(np.abs(edges - np.rint(edges)) < 1e-6))


class ShardDone(Exception):
    """The runs of a shard are made; the study waits for the other shards."""

    def __init__(self, made: int, all_runs: int) -> None:
        self.made, self.runs = made, all_runs


@dataclass
class Shard:
    """The n-th part (1, 2, ...) of a study's runs, the same part on every machine; raises ShardDone after them."""

    here: ClassVar[bool] = True
    inner: Executor
    part: int
    parts: int

    def each(self, call: Callable[[Cell], T], cells: Sequence[Cell]) -> Iterator[tuple[int, T]]:
        mine = [place for place, cell in enumerate(cells) if int(cell.key[:12], 16) % self.parts == self.part - 1]
        for number, found in self.inner.each(call, [cells[place] for place in mine]):
            yield mine[number], found
        if cells:
            raise ShardDone(len(mine), len(cells))

    def close(self) -> None:
        self.inner.close()
