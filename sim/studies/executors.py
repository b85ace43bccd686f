"""Where the runs of a study are made: in this process, or in others of this machine; each is kept as it is done."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing import cpu_count
from typing import Protocol, Self

import numpy as np

from sim.engine.first_use import compile_now
from sim.engine.parallel import workers
from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.results.timeline import bin_width
from sim.scenario.parts import Recording
from sim.scenario.scenario import Scenario
from sim.studies.run_record import Record, record_of
from sim.studies.store import Cell, Store

SHORT = 4.0  # seconds of work below which starting processes, which takes two, does not pay
DEATHS = 3  # of processes with the same run in them, after which it is given up


class Executor(Protocol):
    """Makes runs: yields the place of each among the cells, and its record, in the order in which they are done."""

    def records(self, cells: Sequence[Cell], store: Store | None) -> Iterator[tuple[int, Record]]: ...

    def close(self) -> None:
        """End its processes."""


@dataclass
class Local:
    """This machine. processes: how many runs at once, one per core where None; they start when they would pay."""

    processes: int | None = None
    seconds: float = field(default=0.0, init=False)  # of the longest run made in this process
    pool: ProcessPoolExecutor | None = field(default=None, init=False)
    stack: ExitStack = field(default_factory=ExitStack, init=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stack.__exit__(*error)  # type: ignore[arg-type]
        self.pool = None

    def close(self) -> None:
        self.__exit__(None, None, None)

    def records(self, cells: Sequence[Cell], store: Store | None) -> Iterator[tuple[int, Record]]:
        """Runs are made here until it is known that the rest takes long enough for processes to pay."""
        compile_now()
        count, place = self.processes or cpu_count(), 0
        while place < len(cells):
            rest = len(cells) - place
            if count > 1 and rest > 1 and (self.pool is not None or rest * self.seconds > SHORT):
                yield from self.in_processes(cells, range(place, len(cells)), count, store)
                return
            began = time.perf_counter()
            yield place, made(cells[place], store)
            self.seconds, place = time.perf_counter() - began, place + 1

    def in_processes(
        self, cells: Sequence[Cell], places: Sequence[int], count: int, store: Store | None
    ) -> Iterator[tuple[int, Record]]:
        """A process that dies takes all others of its pool along: another pool makes what they had not done."""
        left, deaths = list(places), 0
        while left:
            if self.pool is None:
                self.pool = self.stack.enter_context(workers(count))
            waiting: dict[Future[Record], int] = {self.pool.submit(made, cells[p], store): p for p in left}
            try:
                while waiting:
                    for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                        record = future.result()
                        place = waiting.pop(future)
                        left.remove(place)
                        deaths = 0
                        yield place, record
            except BrokenProcessPool:
                self.close()
                deaths += 1
                if deaths == DEATHS:
                    why = "the processes that make these runs are killed again and again, perhaps for want of memory"
                    raise BadInput(why, expected="fewer --processes, or a smaller 'scale'") from None


def made(cell: Cell, store: Store | None) -> Record:
    """Make one run and keep its record, in whichever process this is."""
    s = cell.scenario
    recording = Recording(rows=False) if meets_bins(s) else s.recording
    run = simulate(s, cell.playbook, seed=cell.seed, unlimited=cell.unlimited, recording=recording, processes=1)
    record = record_of(run)
    if store is not None:
        store.put(cell, record)
    return record


def meets_bins(scenario: Scenario) -> bool:
    """Whether warm-up and windows begin and end with the bins of a timeline, so that nothing else need be recorded."""
    width = bin_width(scenario.horizon)
    lasting = scenario.horizon - scenario.warm_up
    windows = max(1, round(lasting / scenario.alive.window))
    edges = np.array([scenario.warm_up, lasting / windows]) / width
    return bool(np.all(np.abs(edges - np.rint(edges)) < 1e-6))
