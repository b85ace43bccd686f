"""Counts of people over time, read from a table and checked row by row, as a cumulative count from zero.

Times are timestamps, durations ('2 h') or plain numbers under a column named after their unit ('hours'). Counts are
cumulative or of each interval; a cumulative count may stand on a base, the people who were there before. Lines that
begin with '#' are comments.
"""

import math
import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sim.errors import BadInput
from sim.tables.columns import Column, read_columns, require
from sim.tables.formats.count_tables import ceiling_said, settled_points
from sim.tables.formats.instants import COMPACT, EPOCH, SERIAL, epoch_instants, serial_days, whole_days
from sim.tables.formats.reader import Head
from sim.tables.formats.sampled import FULL
from sim.tables.formats.series import GRID
from sim.tables.headers import column_names
from sim.tables.opening import without_comments
from sim.tables.times import Floats, timestamps
from sim.tables.written_dates import Order, in_iso
from sim.units import SECONDS, count, instant, number, seconds

Kind = Literal["cumulative", "interval"]

TIME_WORDS = {
    "from",
    "time",
    "times",
    "timestamp",
    "date",
    "datetime",
    "when",
    "elapsed",
    "t",
    "since",
    "after",
    *SECONDS,
}
# Words in the names of the two kinds of counts: all people so far, which can only grow, and those of each interval.
STOCK_WORDS = {"cumulative", "cum", "total", "totals", "all", "users", "people", "accounts", "members"}
FLOW_WORDS = {"new", "per", "added", "daily", "hourly", "weekly", "interval", "increment", "delta"}
ACTIVE_WORDS = {"dau", "wau", "mau", "active", "sessions", "visits", "pageviews"}
END_NAMES = ("to", "until", "till", "end", "ends")  # of columns that say when an interval ends
MULTIPLES = {"thousand": 1e3, "thousands": 1e3, "k": 1e3, "tsd": 1e3, "million": 1e6, "millions": 1e6, "mio": 1e6}
VALUE_WORDS = STOCK_WORDS | FLOW_WORDS | {"count", "counts", "signups", "registrations", "downloads", "value", "n"}
FEW = 0.2  # of the steps of a cumulative count: as many falls may be corrections
SMALL = 0.1  # of the count before: a correction is no larger
STEADY = 0.05  # from row to row: a stock whose changes are all smaller is no count of intervals
MOSTLY = 0.8  # of the last count: a first count as large as that was not reached from nothing
PLAIN_NUMBER = r"^[+-]?[\d.,_]+([eE][+-]?\d+)?$"  # with separators of thousands


@dataclass(frozen=True)
class Counts:
    """A cumulative count: `totals` people by `times`, seconds after the beginning (ascending), all above 0.

    Totals are over the base, and ascend but for corrections. taken: how the file's numbers were understood, in words;
    start: the beginning, where the file or the caller says; base: the people who were there before.
    """

    times: Floats
    totals: Floats
    taken: str = ""
    start: datetime | None = None
    base: float = 0.0

    @property
    def counted(self) -> float:
        """The people over the base by the last count."""
        return float(self.totals[-1])

    def __len__(self) -> int:
        return len(self.times)


def read_counts(
    path: Path,
    *,
    time: str = "",
    value: str = "",
    counts: Kind | None = None,
    start: datetime | None = None,
    base: float | None = None,
    dates: Order | None = None,
) -> Counts:
    """The counts of a table. Raises BadInput that names the row for anything that is not clean.

    time, value: names of columns, found by name if not given; counts: what kind they are, recognised if not given;
    start: when it began (UTC); base: people who were there before. Where neither is given, a first row that is the
    beginning of all and has people is the base. Small falls of a cumulative count are corrections: growth is net.
    """
    path = Path(path)
    if Head(path).line.lstrip().startswith(("{", "[")):
        expected = "a table of times and counts, as jq -r '.[] | [.day, .signups] | @csv' prints it of a list"
        raise BadInput("this file is JSON", file=path, expected=expected)
    names = column_names(path, without_comments)
    time, value = columns_of_counts(names, time, value, path)
    until, marked = (
        next((name for name in names if name.lower() in known and name not in (time, value)), None)
        for known in (END_NAMES, FULL)
    )
    table = read_columns(path, [name for name in (time, value, until, marked) if name], tidy=without_comments)
    table |= {name: dated(table[name], dates) for name in (time, until) if name}
    if newest_first(table[time]):
        table = {name: one.backwards() for name, one in table.items()}
    at, found = table[time], without_points(table[value])
    numbers = np.array(found.cells(count)) * (many := multiple_of(found))
    refuse_active(value, counts, path)
    taken, why = kind_of_counts(value, numbers, counts)
    why += f" {value!r} counts in units of {many:,.0f}." if many > 1 else ""
    times, begins = since_start(at, instants_of(at), start)
    refuse_disorder(at, times)
    if taken == "cumulative":
        return from_totals(at, found, numbers, times, begins, base, why)
    if base:
        raise BadInput("counts of intervals have no base", file=path, key="--base", value=base)
    refuse_stock(found, numbers)
    ends = since_start(table[until], instants_of(table[until]), begins)[0] if until else None
    if ends is None:
        refuse_holes(at, times)
    if per := rate_unit(value):
        numbers = numbers * (lengths(at, times, ends) / SECONDS[per])
        why += f" They are rates per {per}: times the length of each interval they make {numbers.sum():,.0f}."
    for said in ceiling_said(table[marked].texts.to_pylist() if marked else None, numbers):
        why += f" {said[0].upper()}{said[1:]}, and the fit takes it as the demand: 'meltpoint calibrate' does not."
    return without_nobody(at, *summed(at, times, numbers, ends), why, begins)


def from_totals(
    at: Column, found: Column, numbers: Floats, times: Floats, begins: datetime | None, base: float | None, why: str
) -> Counts:
    """A cumulative count over its base, with the corrections in it named. Raises BadInput for one that falls."""
    found.refuse(
        np.append(False, falls_in(numbers)) & (not corrected(numbers)),
        "a cumulative count with few and small falls (corrections); or --counts interval, if each row counts its own",
        "a cumulative count fell",
    )
    under = base_of(found, times, numbers, base)
    grown = numbers - under
    below = np.append(False, grown[1:] < 0) if times[0] == 0 else grown < 0
    found.refuse(below, f"at least {under:,.0f}", "a count is below the base")
    said = " ".join([why, *base_said(under, given=base is not None), *falls_said(at, numbers)])
    return without_nobody(at, times, grown, said, begins, under)


def base_of(found: Column, times: Floats, numbers: Floats, given: float | None) -> float:
    """The people who were there before: as given, or those of a first row that is the beginning of all."""
    if given is not None:
        if times[0] == 0 and numbers[0] != given:
            raise found.wrong(0, f"{given:,.0f}, as --base says", "another number is counted at the very beginning")
        return given
    if times[0] == 0:
        return float(numbers[0])
    if len(numbers) >= 3 and numbers[0] >= MOSTLY * numbers[-1]:
        share = f"{100 * numbers[0] / numbers[-1]:.3g} %"
        expected = "--base with the people who were there before, like 9.7M; or --base 0, if it began from nothing"
        raise found.wrong(0, expected, f"{share} of the last count are there in the first row")
    return 0.0


def falls_in(numbers: Floats) -> NDArray[np.bool_]:
    return np.asarray(np.diff(numbers) < 0)


def corrected(numbers: Floats) -> bool:
    """Whether the falls of a count are few and small enough for corrections: deletions, or a recount."""
    falls, steps = falls_in(numbers), np.diff(numbers)
    few = falls.sum() <= FEW * len(steps)
    return bool(few and np.all(-steps[falls] <= SMALL * numbers[:-1][falls]))


def base_said(base: float, *, given: bool) -> list[str]:
    if base == 0:
        return []
    known = "as --base says" if given else "the first row; --start or --base says otherwise"
    return [f"The base is {base:,.0f} people who were there before ({known}): fitted are those who come on top."]


def falls_said(at: Column, numbers: Floats) -> list[str]:
    """The corrections of a cumulative count in words."""
    falls, steps = np.flatnonzero(falls_in(numbers)), np.diff(numbers)
    if not len(falls):
        return []
    each = [f"by {-steps[k]:,.0f} at {at.texts[int(k) + 1].as_py()}" for k in falls]
    if len(each) == 1:
        return [f"The count falls once, {each[0]}: taken as a correction, so that growth is net of it."]
    return [
        f"The count falls {len(each)} times, {', '.join(each)}: taken as corrections, so that growth is net of them."
    ]


def refuse_stock(found: Column, numbers: Floats) -> None:
    """A column named like a stock that hardly changes is one: its sum would count everybody in every row."""
    named = set(words_in(found.name))
    if len(numbers) < 3 or not STOCK_WORDS & named or FLOW_WORDS & named:
        return
    if np.all(np.abs(np.diff(numbers)) < STEADY * numbers[:-1]):
        expected = (
            f"--counts cumulative, and --base with what was there before; the sum of the rows would be "
            f"{numbers.sum():,.0f} people. If each row does count its own, name the column 'new {found.name}'"
        )
        message = "these are no counts of intervals: they hardly change from row to row, as the size of a stock"
        raise BadInput(message, file=found.file, key="--counts", value="interval", expected=expected)


def refuse_holes(at: Column, times: Floats) -> None:
    """Counts of intervals of one length, of which some have no row: they would be taken for nobody."""
    steps = np.diff(times)
    least = float(steps.min(initial=math.inf))
    parts = np.round(steps / least)
    if (np.abs(steps / least - parts) < 0.1).all() and (parts == 1).sum() >= max(GRID * len(parts), 1):
        expected = "a row for each interval, with 0 where nobody came; a column 'to' with their ends; or totals so far"
        at.refuse(np.append(False, parts > 1), expected, "no row counts the time before this one")


def refuse_active(name: str, counts: Kind | None, path: Path) -> None:
    """Who was active is counted again in each interval, and is neither new nor all so far."""
    if counts is None and ACTIVE_WORDS & set(words_in(name)) and not FLOW_WORDS & set(words_in(name)) - {"daily"}:
        what = "people who were active in each interval are counted again and again: they are no signups"
        expected = "new people of each interval, or all so far; or --counts, if this column holds one of these"
        raise BadInput(what, file=path, key="--value", value=name, expected=expected)


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
    falls = bool(falls_in(numbers).any())
    if flow:
        return "interval", f"The counts are taken as those of each interval, since the column is named {name!r}."
    if stock or not falls or corrected(numbers):
        why = f"the column is named {name!r}" if stock else "they hardly ever fall" if falls else "they never fall"
        return "cumulative", f"The counts are taken as cumulative, since {why}; --counts interval says otherwise."
    return "interval", "The counts are taken as those of each interval, since they fall; --counts says otherwise."


def without_points(found: Column) -> Column:
    """Counts without points between thousands, 1.2K as 1.2k. Raises BadInput for 1.234, if no other has decimals."""
    texts = [re.sub(r"(?<=\d) ?K$", "k", text) for text in settled_points(found.texts.to_pylist())]
    found = replace(found, texts=pa.array(texts, pa.large_string()))
    if not any(re.match(r"^(0\.\d+|\d+\.(\d{1,2}|\d{4,}))$", text) for text in texts):
        expected = "a whole number like 1234; the point in it may stand between thousands"
        found.refuse(found.match(r"^\d{1,3}(\.\d{3})+$"), expected, "this is no count")
    return found


def newest_first(at: Column) -> bool:
    """Whether dates descend from row to row, as stores and dashboards list them."""
    found = timestamps(at.texts)
    return len(at) > 1 and bool(found.known.all()) and bool((np.diff(found.instants) < 0).all())


def dated(at: Column, dates: Order | None) -> Column:
    """Times in the form of ISO 8601: also of numbers since 1970, and of days of a spreadsheet."""
    texts = at.texts.to_pylist()
    if all(map(COMPACT.match, texts)):  # 20250331, as analytics have it
        return replace(at, texts=pa.array(whole_days(texts), pa.large_string()))
    if not any(word in SECONDS for word in words_in(at.name)):
        if all(map(EPOCH.match, texts)):
            return replace(at, texts=pa.array(iso_of(epoch_instants(np.array(texts, dtype=float))), pa.large_string()))
        if all(map(SERIAL.match, texts)):
            return replace(at, texts=pa.array(serial_days(texts), pa.large_string()))
    try:
        return replace(at, texts=in_iso(at.texts, dates))
    except BadInput as wrong:
        line = at.lines[at.texts.to_pylist().index(wrong.value)]
        raise wrong.but(file=f"{at.file}:{line}") from None


def iso_of(instants: NDArray[np.int64]) -> list[str]:
    zero = datetime(1970, 1, 1)
    return [f"{(zero + timedelta(microseconds=int(one) // 1000)).isoformat(sep=' ')}+00:00" for one in instants]


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


def multiple_of(found: Column) -> float:
    """The unit of a column like 'users (thousands)': 1,000; 1 where its name has none or its cells have their own."""
    plain = bool(found.match(r"^[\d.,\s]*$").all())
    return next((MULTIPLES[word] for word in reversed(words_in(found.name)) if plain and word in MULTIPLES), 1.0)


def rate_unit(name: str) -> str:
    """The unit of time of a column of rates, like 'hour' of 'signups_per_hour'; '' for one of counts."""
    words = words_in(name)
    return words[-1] if len(words) > 1 and words[-2] in ("per", "an", "a") and words[-1] in SECONDS else ""


def lengths(at: Column, times: Floats, ends: Floats | None) -> Floats:
    """Seconds of each interval. Raises BadInput where one does not last."""
    lasts = (summed(at, times, times)[0] if ends is None else ends) - (times if ends is not None else before(times))
    at.refuse(lasts <= 0, "an interval that ends after it begins", "this interval does not last")
    return lasts


def before(times: Floats) -> Floats:
    """Where intervals without a column of ends begin: at their times, or at the time of the row above."""
    return times if times[0] == 0 else np.append(0.0, times[:-1])


def summed(at: Column, times: Floats, numbers: Floats, ends: Floats | None = None) -> tuple[Floats, Floats]:
    """Counts of intervals as a cumulative count at their ends: as given, else as the times say.

    Times are the beginnings of intervals if the first row is at the beginning of all, else their ends. The last of
    intervals given by their beginnings is taken to be as long as the one before.
    """
    if ends is not None:
        return ends, np.cumsum(numbers)
    if times[0] > 0:
        return times, np.cumsum(numbers)
    if len(times) < 2:
        raise at.wrong(0, "at least two rows", "one interval alone has no length")
    return np.append(times[1:], 2 * times[-1] - times[-2]), np.cumsum(numbers)


def without_nobody(
    at: Column, times: Floats, totals: Floats, taken: str, start: datetime | None, base: float = 0.0
) -> Counts:
    """The counts without rows of 0 people, which have no logarithm and which a curve from 0 implies anyway."""
    some = totals > 0
    if not some.any():
        raise BadInput("nobody came in these data", file=at.file, expected="a count above 0")
    return Counts(times[some], totals[some], taken, start, base)
