"""The runs of one study: looked up in the store or made, each once, and counted for a progress bar."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from sim.studies.executors import Executor
from sim.studies.run_record import Record
from sim.studies.store import Cell, Store

T = TypeVar("T")
Report = Callable[[int, int], None]  # called with the runs that are done, and with those planned so far


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
            record = None if self.store is None else self.store.get(cell.key)
            if record is None:
                missing.append(place)
            else:
                yield place, self.one(record, read)
        for number, record in self.executor.records([cells[place] for place in missing], self.store):
            self.made += 1
            yield missing[number], self.one(record, read)

    def one(self, record: Record, read: Callable[[Record], T]) -> T:
        self.done += 1
        if self.report is not None:
            self.report(self.done, self.planned)
        return read(record)
