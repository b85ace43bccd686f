"""The columns of a small table, read whole; any cell that cannot be used is refused with its file, line and column."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sim.errors import BadInput, printable
from sim.tables import times
from sim.tables.files import Broken, table_blocks
from sim.tables.headers import TOTAL, column_names
from sim.tables.opening import Tidy
from sim.tables.times import Floats, Mask

MOST_LISTED, LONGEST = 12, 40  # names in a message, and letters of one


@dataclass(frozen=True)
class Column:
    """One column: a pyarrow array of its texts, stripped (empty is missing), and the line of each."""

    name: str
    texts: Any
    lines: NDArray[np.int64]
    file: Path

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def given(self) -> Mask:
        """The cells that are not empty."""
        return np.asarray(pc.not_equal(self.texts, "").to_numpy(zero_copy_only=False), dtype=bool)

    def match(self, pattern: str) -> Mask:
        return times.matches(self.texts, pattern)

    def keep(self, rows: Mask) -> "Column":
        return replace(self, texts=self.texts.filter(pa.array(rows)), lines=self.lines[rows])

    def backwards(self) -> "Column":
        """The same cells, the last first."""
        order = np.arange(len(self))[::-1]
        return replace(self, texts=self.texts.take(pa.array(order)), lines=self.lines[order])

    def wrong(self, row: int, expected: str, message: str = "this value cannot be read") -> BadInput:
        """The error for one cell."""
        where = f"{self.file}:{self.lines[row]}"
        return BadInput(message, file=where, key=self.name, value=self.texts[row].as_py(), expected=expected)

    def refuse(self, wrong: Mask, expected: str, message: str = "this value cannot be read") -> None:
        """Raise BadInput for the first cell that is wrong."""
        if wrong.any():
            raise self.wrong(int(np.argmax(wrong)), expected, message)

    def numbers(self, expected: str = "a number", *, low: float = -np.inf, missing: bool = False) -> Floats:
        """Finite numbers from `low` up. missing: cells may be empty, which is nan."""
        found = times.floats(self.texts)
        self.refuse(~(np.isfinite(found) & (found >= low)) & (self.given | (not missing)), expected)
        return found

    def cells(self, read: Callable[[Any], Any]) -> list[Any]:
        """Each cell as read by a function of one text (of sim.units)."""
        found = []
        for row, text in enumerate(self.texts.to_pylist()):
            try:
                found.append(read(text))
            except ValueError as wrong:
                raise self.wrong(row, str(wrong).removeprefix("expected ")) from None
        return found


def read_columns(path: Path, names: Iterable[str] | None = None, *, tidy: Tidy | None = None) -> dict[str, Column]:
    """The columns of a CSV or Parquet file by name; names: only these, which it must have.

    Raises BadInput for a file without rows, and for a line with too few or too many cells.
    """
    there = column_names(path, tidy)
    wanted = None if names is None else list(names)
    require(wanted or [], there, path)
    broken: list[Broken] = []
    blocks = list(table_blocks(path, broken, lambda _: None, tidy))
    if broken:
        line = broken[0]
        message = f"this line is not a row: it has {line.cells} cells"
        expected = f"{len(there)} cells, as in the first line; a value with a comma in it, like 1,000, in quotes"
        raise BadInput(message, file=f"{path}:{line.line}", value=line.text, expected=expected)
    if not sum(len(block.lines) for block in blocks):
        raise BadInput("the table has no rows", file=path, expected="a first line that names the columns, and rows")
    flat = list(blocks[0].columns)  # a Parquet file may have columns of lists as well
    require(wanted or [], flat, path)
    lines = np.concatenate([block.lines for block in blocks])
    found = {}
    for name in flat if wanted is None else wanted:
        whole = pa.chunked_array([block.columns[name] for block in blocks]).cast(pa.large_string()).combine_chunks()
        found[name] = Column(name, pc.utf8_trim_whitespace(whole), lines, path)
    return without_total(found)


def without_total(columns: dict[str, Column]) -> dict[str, Column]:
    """Columns without a last row of totals, which its first cell names."""
    first = next(iter(columns.values()))
    rows = np.ones(len(first), dtype=bool)
    rows[-1] = not first.match(TOTAL)[-1]
    return columns if rows.all() else {name: one.keep(rows) for name, one in columns.items()}


def require(names: Iterable[str], there: Sequence[str], path: Path, key: str = "", value: object = None) -> None:
    """Raises BadInput for the first name that is not a column. key, value: the option by which it was asked for."""
    for name in names:
        if name not in there:
            expected = f"one of its columns: {listed(there)}"
            raise BadInput("the file has no such column", file=path, key=key, value=value or name, expected=expected)


def listed(names: Sequence[str]) -> str:
    """Names for a message: a few of them, none of them long."""
    more = f", and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return ", ".join(printable(name[:LONGEST]) for name in names[:MOST_LISTED]) + more or "none"
