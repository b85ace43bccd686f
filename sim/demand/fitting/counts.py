"""Counts of people over time, read from a CSV that others made: checked row by row, as a cumulative from zero.

Times are timestamps, durations ('2 h') or plain numbers under a column named after their unit ('hours'). Counts are
cumulative or of each interval. Lines that begin with '#' are comments.
"""

import csv
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sim.errors import BadInput
from sim.units import SECONDS, count, instant, number, seconds

Floats = NDArray[np.float64]
Kind = Literal["cumulative", "interval"]

LARGEST_FILE = 50_000_000  # bytes
TIME_WORDS = {"time", "times", "timestamp", "date", "datetime", "when", "elapsed", "t", "since", "after", *SECONDS}
# What people call the two kinds of counts; a stock of people can only grow, news of an interval go up and down.
STOCK_WORDS = {"cumulative", "cum", "total", "totals", "all", "users", "people", "accounts", "members"}
FLOW_WORDS = {"new", "per", "added", "daily", "hourly", "weekly", "interval", "increment", "delta"}
VALUE_WORDS = STOCK_WORDS | FLOW_WORDS | {"count", "counts", "signups", "registrations", "downloads", "value", "n"}


@dataclass(frozen=True)
class Counts:
    """A cumulative count: `totals` people by `times`, seconds after the beginning, both ascending and above 0.

    taken: how the file's numbers were understood, in words; start: the beginning, where the file or the caller tells.
    """

    times: Floats
    totals: Floats
    taken: str = ""
    start: datetime | None = None

    def __len__(self) -> int:
        return len(self.times)


@dataclass(frozen=True)
class Cell:
    """One cell with where it stands, for messages."""

    text: str
    place: str
    column: str

    def wrong(self, message: str, expected: str) -> BadInput:
        return BadInput(message, file=self.place, key=self.column, value=self.text, expected=expected)

    def read(self, reader: Callable[[Any], Any]) -> Any:
        try:
            return reader(self.text)
        except ValueError as wrong:
            raise self.wrong("this cell cannot be read", str(wrong).removeprefix("expected ")) from None


def read_counts(
    path: Path, *, time: str = "", value: str = "", counts: Kind | None = None, start: datetime | None = None
) -> Counts:
    """The counts of a CSV file. Raises BadInput that names the row for anything that is not clean.

    time, value: names of columns, found by name if not given; counts: what kind they are, recognised if not given;
    start: when it began (UTC), needed for timestamps of cumulative counts unless the first of these is 0.
    """
    path = Path(path)
    header, rows = read_table(path)
    time, value = columns(header, time, value, path)
    at = [Cell(cells[header.index(time)], place, time) for place, cells in rows]
    found = [Cell(cells[header.index(value)], place, value) for place, cells in rows]
    numbers = np.array([cell.read(count) for cell in found])
    taken, why = kind_of(value, found, numbers, counts)
    instants = [moment_of(cell) for cell in at]
    refuse_mixture(at, instants)
    times, begins = since_start(at, instants, start)
    refuse_disorder(at, times)
    if taken == "interval":
        return checked(at, *summed(at, times, numbers), why, begins)
    for before, after, cell in zip(numbers[:-1], numbers[1:], found[1:], strict=True):
        if after < before:
            raise cell.wrong(f"a cumulative count fell, from {before:g}", "no fall; or --counts interval")
    if times[0] == 0 and numbers[0] > 0:
        expected = "a row of 0 at the beginning, or --start with the date and time at which it began"
        raise found[0].wrong("people are counted already at the very beginning", expected)
    return checked(at, times, numbers, why, begins)


def read_table(path: Path) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """The header and the rows of a CSV, each row with the place it stands at ('file:line')."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise BadInput("this file is too large", file=path, expected=f"at most {LARGEST_FILE} bytes")
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput("this file is not UTF-8 text", file=path) from None
    except (OSError, ValueError) as wrong:
        reason = getattr(wrong, "strerror", None) or "no file can have this name"
        raise BadInput(f"this file cannot be read ({reason})", file=path) from None
    lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip() and not line.startswith("#")]
    if not lines:
        raise BadInput("this file is empty", file=path, expected="a header and rows of times and counts")
    mark = max(",;\t", key=lines[0][1].count)
    try:
        cells = [next(csv.reader([line], delimiter=mark, skipinitialspace=True, strict=True)) for _, line in lines]
    except csv.Error as wrong:
        raise BadInput(f"this is no CSV: {wrong}", file=path, expected="one row a line, quotes closed") from None
    header = [name.strip() for name in cells[0]]
    rows = [(f"{path}:{n}", row) for (n, _), row in zip(lines[1:], cells[1:], strict=True)]
    refuse_shape(path, header, rows)
    return header, rows


def refuse_shape(path: Path, header: list[str], rows: list[tuple[str, list[str]]]) -> None:
    """Two columns with different names, at least one row, and no row shorter or longer than the header."""
    if len(header) < 2:
        raise BadInput("this table has one column", file=path, value=header, expected="a column of times and of counts")
    if len(set(header)) < len(header):
        raise BadInput("two columns have one name", file=path, value=header, expected="names that differ")
    if not rows:
        raise BadInput("this table has a header only", file=path, expected="rows of times and counts")
    for place, row in rows:
        if len(row) != len(header):
            expected = f"{len(header)} cells, as in the header; numbers like 1,000 in quotes"
            raise BadInput(f"this row has {len(row)} cells", file=place, value=row, expected=expected)


def words(name: str) -> list[str]:
    return re.findall(r"[a-z]+", name.lower())


def columns(header: list[str], time: str, value: str, path: Path) -> tuple[str, str]:
    """The names of the column of times and of counts: as given, else by their words, else the only one that is left."""
    for option, name in (("--time", time), ("--value", value)):
        if name and name not in header:
            raise BadInput("there is no such column", file=path, key=option, value=name, expected=", ".join(header))
    if time and time == value:
        raise BadInput("times and counts cannot be one column", file=path, key="--value", value=value)
    if len(header) == 2 and (time or value):
        other = next(name for name in header if name not in (time, value)) if not (time and value) else ""
        return time or other, value or other
    time = time or the_one("--time", [c for c in header if c != value], TIME_WORDS, path)
    return time, value or the_one("--value", [c for c in header if c != time], VALUE_WORDS, path)


def the_one(option: str, names: list[str], known: set[str], path: Path) -> str:
    """The one column whose name has a known word in it; of two in all that say nothing, times come first."""
    found = [name for name in names if known & set(words(name))]
    # 'users per day' is a count, though a day is a time.
    found = [name for name in found if option != "--time" or not VALUE_WORDS & set(words(name))] or found
    if len(found) == 1:
        return found[0]
    if not found and len(names) == (2 if option == "--time" else 1):
        return names[0]
    what = "several columns could be meant" if found else "no column has a name that says what it is"
    raise BadInput(what, file=path, key=option, value=found or names, expected=f"{option} with the column's name")


def kind_of(name: str, cells: list[Cell], numbers: Floats, given: Kind | None) -> tuple[Kind, str]:
    """Whether counts are cumulative or of intervals, and by what that was recognised, as a sentence."""
    if given is not None:
        return given, f"The counts are taken as {given}, as asked."
    stock, flow = STOCK_WORDS & set(words(name)), FLOW_WORDS & set(words(name))
    falls = bool(np.any(np.diff(numbers) < 0))
    if flow:
        return "interval", f"The counts are taken as those of each interval, since the column is named {name!r}."
    if stock or not falls:
        why = f"the column is named {name!r}" if stock else "they never fall"
        return "cumulative", f"The counts are taken as cumulative, since {why}; --counts interval says otherwise."
    return "interval", "The counts are taken as those of each interval, since they fall; --counts says otherwise."


def moment_of(cell: Cell) -> float | datetime:
    """A cell of times: a timestamp, or seconds after the beginning."""
    units = [word for word in words(cell.column) if word in SECONDS]
    if re.fullmatch(r"\s*[+-]?[\d.,_]+(?:[eE][+-]?\d+)?\s*", cell.text) and cell.text.strip() != "0":
        if not units:
            expected = "a timestamp, '2 h', or a column named after the unit, like 'hours'"
            raise cell.wrong("this time has no unit", expected)
        return float(cell.read(lambda text: seconds(f"{number(text, 'a number')!r} {units[-1]}")))
    found: float | datetime = cell.read(instant)
    if found == float("inf"):
        raise cell.wrong("this time never comes", "a timestamp, or a duration like '2 h'")
    return found


def refuse_mixture(cells: list[Cell], instants: list[float | datetime]) -> None:
    """Timestamps and durations do not go together."""
    for cell, found in zip(cells, instants, strict=True):
        if isinstance(found, datetime) != isinstance(instants[0], datetime):
            like = "timestamps" if isinstance(instants[0], datetime) else "durations"
            raise cell.wrong("timestamps and durations are mixed", f"{like}, as in the first row")


def since_start(
    cells: list[Cell], instants: list[float | datetime], start: datetime | None
) -> tuple[Floats, datetime | None]:
    """Seconds after the beginning, and the beginning if it is known: as given, or the first timestamp."""
    moments = [found for found in instants if isinstance(found, datetime)]
    if not moments:
        return np.array(instants, dtype=float), start
    begins = start or moments[0]
    times = np.array([(found - begins).total_seconds() for found in moments])
    for cell, after in zip(cells, times, strict=True):
        if after < 0 and start is not None:
            raise cell.wrong("this is before the start", f"not before {start:%Y-%m-%d %H:%M} UTC (--start)")
    return times, begins


def refuse_disorder(cells: list[Cell], times: Floats) -> None:
    for cell, before, after in zip(cells[1:], times[:-1], times[1:], strict=True):
        if after == before:
            raise cell.wrong("this time comes twice", "each time once")
        if after < before:
            raise cell.wrong("this time is before that of the row above", "rows in order of time")


def summed(cells: list[Cell], times: Floats, numbers: Floats) -> tuple[Floats, Floats]:
    """Counts of intervals as a cumulative at their ends.

    A row tells when its interval begins if the first row is at the beginning of all; else it tells when it ends. The
    last of intervals told by their beginnings is taken as long as the one before.
    """
    if times[0] > 0:
        return times, np.cumsum(numbers)
    if len(times) < 2:
        raise cells[0].wrong("one interval alone has no length", "at least two rows")
    return np.append(times[1:], 2 * times[-1] - times[-2]), np.cumsum(numbers)


def checked(cells: list[Cell], times: Floats, totals: Floats, taken: str, start: datetime | None) -> Counts:
    """Without the rows before anybody came: their logarithm is no number, and a curve from 0 says them anyway."""
    some = totals > 0
    if not some.any():
        raise BadInput("nobody came in these data", file=cells[0].place.rpartition(":")[0], expected="a count above 0")
    return Counts(times[some], totals[some], taken, start)
