"""Counts of people over time, read from a table and checked row by row, as a cumulative count from zero.

Times are timestamps, durations ('2 h') or plain numbers under a column named after their unit ('hours'). Counts are
cumulative or of each interval. Lines that begin with '#' are comments.
"""

import math
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from sim.errors import BadInput
from sim.tables.columns import Column, read_columns, require
from sim.tables.files import column_names, without_comments
from sim.tables.times import Floats
from sim.units import SECONDS, count, instant, number, seconds

Kind = Literal["cumulative", "interval"]

TIME_WORDS = {"time", "times", "timestamp", "date", "datetime", "when", "elapsed", "t", "since", "after", *SECONDS}
# Words in the names of the two kinds of counts: all people so far, which can only grow, and those of each interval.
STOCK_WORDS = {"cumulative", "cum", "total", "totals", "all", "users", "people", "accounts", "members"}
FLOW_WORDS = {"new", "per", "added", "daily", "hourly", "weekly", "interval", "increment", "delta"}
VALUE_WORDS = STOCK_WORDS | FLOW_WORDS | {"count", "counts", "signups", "registrations", "downloads", "value", "n"}
PLAIN_NUMBER = r"^[+-]?[\d.,_]+([eE][+-]?\d+)?$"  # with separators of thousands


@dataclass(frozen=True)
class Counts:
    """A cumulative count: `totals` people by `times`, seconds after the beginning, both ascending and above 0.

    taken: how the file's numbers were understood, in words; start: the beginning, where the file or the caller says.
    """

    times: Floats
    totals: Floats
    taken: str = ""
    start: datetime | None = None

    def __len__(self) -> int:
        return len(self.times)


def read_counts(
    path: Path, *, time: str = "", value: str = "", counts: Kind | None = None, start: datetime | None = None
) -> Counts:
    """The counts of a table. Raises BadInput that names the row for anything that is not clean.

    time, value: names of columns, found by name if not given; counts: what kind they are, recognised if not given;
    start: when it began (UTC), needed for timestamps of cumulative counts unless the first of these is 0.
    """
    path = Path(path)
    time, value = columns_of_counts(column_names(path, without_comments), time, value, path)
    table = read_columns(path, (time, value), tidy=without_comments)
    at, found = table[time], table[value]
    numbers = np.array(found.cells(count))
    taken, why = kind_of_counts(value, numbers, counts)
    times, begins = since_start(at, instants_of(at), start)
    refuse_disorder(at, times)
    if taken == "interval":
        return without_nobody(at, *summed(at, times, numbers), why, begins)
    fell = np.append(False, np.diff(numbers) < 0)
    found.refuse(fell, "a count not below the one before; or --counts interval", "a cumulative count fell")
    if times[0] == 0 and numbers[0] > 0:
        expected = "a row of 0 at the beginning, or --start with the date and time at which it began"
        raise found.wrong(0, expected, "people are counted already at the very beginning")
    return without_nobody(at, times, numbers, why, begins)


def words_in(name: str) -> list[str]:
    return re.findall(r"[a-z]+", name.lower())


def columns_of_counts(names: list[str], time: str, value: str, path: Path) -> tuple[str, str]:
    """The names of the column of times and of counts: as given, else by their words, else the only column left."""
    if len(names) < 2:
        raise BadInput("this table has one column", file=path, value=names, expected="a column of times and of counts")
    require([time] if time else [], names, path, "--time")
    require([value] if value else [], names, path, "--value")
    if time and time == value:
        raise BadInput("times and counts cannot be one column", file=path, key="--value", value=value)
    if len(names) == 2 and (time or value):
        other = next(name for name in names if name not in (time, value)) if not (time and value) else ""
        return time or other, value or other
    time = time or column_by_words("--time", [c for c in names if c != value], TIME_WORDS, path)
    return time, value or column_by_words("--value", [c for c in names if c != time], VALUE_WORDS, path)


def column_by_words(option: str, names: list[str], known: set[str], path: Path) -> str:
    """The one column whose name has a known word in it; of two columns without one, times come first."""
    found = [name for name in names if known & set(words_in(name))]
    # 'users per day' is a count, though a day is a time.
    found = [name for name in found if option != "--time" or not VALUE_WORDS & set(words_in(name))] or found
    if len(found) == 1:
        return found[0]
    if not found and len(names) == (2 if option == "--time" else 1):
        return names[0]
    what = "several columns could be meant" if found else "no column has a name that says what it is"
    raise BadInput(what, file=path, key=option, value=found or names, expected=f"{option} with the column's name")


def kind_of_counts(name: str, numbers: Floats, given: Kind | None) -> tuple[Kind, str]:
    """Whether counts are cumulative or of intervals, and how that was recognised, as a sentence."""
    if given is not None:
        return given, f"The counts are taken as {given}, as requested."
    stock, flow = STOCK_WORDS & set(words_in(name)), FLOW_WORDS & set(words_in(name))
    falls = bool(np.any(np.diff(numbers) < 0))
    if flow:
        return "interval", f"The counts are taken as those of each interval, since the column is named {name!r}."
    if stock or not falls:
        why = f"the column is named {name!r}" if stock else "they never fall"
        return "cumulative", f"The counts are taken as cumulative, since {why}; --counts interval says otherwise."
    return "interval", "The counts are taken as those of each interval, since they fall; --counts says otherwise."


def instants_of(at: Column) -> list[float | datetime]:
    """Each cell of times: a timestamp, or seconds after the beginning. Raises BadInput where both occur."""
    plain = at.match(PLAIN_NUMBER) & ~at.match("^0$")
    units = [word for word in words_in(at.name) if word in SECONDS]
    if not units:
        at.refuse(plain, "a timestamp, '2 h', or a column named after the unit, like 'hours'", "this time has no unit")
    unit_of = dict.fromkeys(at.texts.filter(pa.array(plain)).to_pylist(), units[-1] if units else "")
    found = at.cells(
        lambda text: seconds(f"{number(text, 'a number')!r} {unit_of[text]}") if text in unit_of else instant(text)
    )
    at.refuse(
        np.array([one == math.inf for one in found]), "a timestamp, or a duration like '2 h'", "this time never comes"
    )
    dated = np.array([isinstance(one, datetime) for one in found])
    like = "timestamps" if dated[0] else "durations"
    at.refuse(dated != dated[0], f"{like}, as in the first row", "timestamps and durations are mixed")
    return found


def since_start(at: Column, instants: list[float | datetime], start: datetime | None) -> tuple[Floats, datetime | None]:
    """Seconds after the beginning, and the beginning if it is known: as given, or the first timestamp."""
    moments = [found for found in instants if isinstance(found, datetime)]
    if not moments:
        return np.array(instants, dtype=float), start
    begins = start or moments[0]
    times = np.array([(found - begins).total_seconds() for found in moments])
    if start is not None:
        at.refuse(times < 0, f"not before {start:%Y-%m-%d %H:%M} UTC (--start)", "this is before the start")
    return times, begins


def refuse_disorder(at: Column, times: Floats) -> None:
    steps = np.append(1.0, np.diff(times))
    at.refuse(steps == 0, "each time once", "this time comes twice")
    at.refuse(steps < 0, "rows in order of time", "this time is before that of the row above")


def summed(at: Column, times: Floats, numbers: Floats) -> tuple[Floats, Floats]:
    """Counts of intervals as a cumulative count at their ends.

    Times are the beginnings of intervals if the first row is at the beginning of all, else their ends. The last of
    intervals given by their beginnings is taken to be as long as the one before.
    """
    if times[0] > 0:
        return times, np.cumsum(numbers)
    if len(times) < 2:
        raise at.wrong(0, "at least two rows", "one interval alone has no length")
    return np.append(times[1:], 2 * times[-1] - times[-2]), np.cumsum(numbers)


def without_nobody(at: Column, times: Floats, totals: Floats, taken: str, start: datetime | None) -> Counts:
    """The counts without rows of 0 people, which have no logarithm and which a curve from 0 implies anyway."""
    some = totals > 0
    if not some.any():
        raise BadInput("nobody came in these data", file=at.file, expected="a count above 0")
    return Counts(times[some], totals[some], taken, start)
