"""The runs of one study: looked up in the store or made, each once, and counted for a progress bar."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from sim.errors import BadInput
from sim.results.run import Run
from sim.studies.executors import Executor, Report, Shard, made, whole, working
from sim.studies.run_record import Record
from sim.studies.store import Cell, Store, opened

T = TypeVar("T")


@dataclass
class Runs:
    """Asks runs for figures, and keeps the figures alone, so that memory does not grow with the runs."""

    executor: Executor
    store: Store | None = None
    report: Report | None = None
    done: int = field(default=0, init=False)
    planned: int = field(default=0, init=False)
    made: int = field(default=0, init=False)  # those that were not in the store

    def ask(self, cells: Sequence[Cell], read: Callable[[Record], T]) -> list[T]:
        """read(record) of every cell, in order."""
        found = dict(self.each(cells, read))
        return [found[place] for place in range(len(cells))]

    def each(self, cells: Sequence[Cell], read: Callable[[Record], T]) -> Iterator[tuple[int, T]]:
        """The place of each cell and read(record), as they are known: those in the store first."""
        self.planned = max(self.planned, self.done + len(cells))
        missing = []
        for place, cell in enumerate(cells):
            record = self.store.get(cell.key) if self.store is not None and cell.keyed else None
            if record is None:
                missing.append(place)
            else:
                yield place, self.one(record, read)
        if isinstance(self.executor, Shard) and (self.store is None or not all(cells[p].keyed for p in missing)):
            expected = "--store FOLDER; no own policies"
            raise BadInput("the runs of a shard must be kept", key="--shard", expected=expected)
        here = self.executor.here
        call = partial(made, store=self.store if here else None)
        for number, record in self.executor.each(call, [cells[place] for place in missing]):
            self.made += 1
            if not here:
                self.keep(cells[missing[number]], record)
            yield missing[number], self.one(record, read)

    def whole(self, cells: Sequence[Cell], read: Callable[[Record], T]) -> Iterator[tuple[int, T, Run]]:
        """As each, with the run itself: it is always made, because the store has records alone."""
        self.planned = max(self.planned, self.done + len(cells))
        for place, (record, run) in self.executor.each(whole, cells):
            self.made += 1
            self.keep(cells[place], record)
            yield place, self.one(record, read), run

    def keep(self, cell: Cell, record: Record) -> None:
        if self.store is not None and cell.keyed:
            self.store.put(cell, record)

    def one(self, record: Record, read: Callable[[Record], T]) -> T:
        self.done += 1
        if self.report is not None:
            self.report(self.done, self.planned)
        return read(record)


@contextmanager
def running(
    executor: Executor | None, processes: int | None, store: Store | Path | str | bool | None, report: Report | None
) -> Iterator[Runs]:
    """The runs of a study, made by the executor that was given, or on this machine."""
    with working(executor, processes) as there:
        yield Runs(there, opened(store), report)
