"""The time of each row of a recording: timestamps or numbers, read to the nanosecond, with the problems of each row."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sim.errors import BadInput
from sim.tables.formats.instants import COMPACT, are_sheet_days, by_order, serial_days, whole_days
from sim.tables.names import PER
from sim.tables.small_tables import comma_in, with_point
from sim.tables.times import NUMBER, STAMP, TIME_OF_DAY, Mask, floats, matches, nanoseconds, timestamps, whole
from sim.tables.written_dates import Order, in_iso

DIGITS = {
    "s": 9,
    "ms": 6,
    "us": 3,
    "ns": 0,
}  # decimals of a nanosecond in each unit of instants; durations may be in min and h too
SHORTENED = r"^\d(\.\d{0,5})?[eE]\+?\d+$"  # of an epoch in any unit, which so is known to minutes at best
DECIMAL_COMMA, FEWEST_COMMAS = r"^\d+,\d+$", 3  # and rows of such numbers
SECOND = 10**9
EARLIEST = int(pd.Timestamp("1990-01-01").value)
LATEST = int(pd.Timestamp("2100-01-01").value)
LONGEST = 10 * 365.25 * 86400.0  # s: no recording is longer


@dataclass(frozen=True)
class RecordedTimes:
    """The times of all rows.

    seconds: float64 (n,), after `start`; nan where a time cannot be used.
    start: nanoseconds since 1970 in UTC of time 0, a whole second; None where times are numbers without an epoch.
    marks: the rows that have each problem, by its name in the table of problems.
    assumed: the guesses that were made, in words.
    tick: seconds between two ticks of a coarse clock, else 0.
    """

    seconds: NDArray[np.float64]
    start: int | None
    marks: dict[str, Mask]
    assumed: tuple[str, ...] = ()
    tick: float = 0.0


def read_times(
    texts: Any,
    *,
    unit: str | None = None,
    zone: str | None = None,
    usual: str | None = None,
    dates: Order | None = None,
) -> RecordedTimes:
    """Times in texts: all numbers (of `unit`), or all dates and times; rows of the rarer sort are marked.

    zone: the zone of times that name none; usual: the same as the format has it, where times without one are no
    problem. Numbers as large as an epoch are seconds since 1970; the unit is guessed by their size unless it is given.
    dates: the order of day and month, where the texts do not show it.
    """
    if pa.types.is_timestamp(texts.type):  # read already: each names its zone
        seconds, start, marks = on_axis(whole(texts), np.ones(len(texts), dtype=bool))
        return RecordedTimes(seconds, start, marks)
    texts, said = tidied(texts, unit, dates)
    numeric, dated = matches(texts, NUMBER), matches(texts, STAMP)
    if not (numeric | dated).any():
        if len(texts) and matches(texts, TIME_OF_DAY).all():
            expected = "a date before each time, in the same cell or in a column named date"
            raise BadInput("these are times of day without a date", value=texts[0].as_py(), expected=expected)
        raise BadInput(
            "no row has a time that can be read",
            value=texts[0].as_py() if len(texts) else None,
            expected="numbers, or dates and times like 2025-03-31 18:00:07.25+00:00",
        )
    are_numbers = numeric.sum() >= dated.sum()
    found = from_numbers(texts, numeric, unit) if are_numbers else from_timestamps(texts, dated, zone, usual)
    marks = {**found.marks, "mixed types": dated if are_numbers else numeric}
    marks["unreadable times"] = ~numeric & ~dated | found.marks.get("unreadable times", False)
    return RecordedTimes(found.seconds, found.start, marks, (*said, *found.assumed))


def tidied(texts: Any, unit: str | None, dates: Order | None) -> tuple[Any, tuple[str, ...]]:
    """Texts with dates in ISO 8601 and points before decimals, where these are certain; and a guess, in words."""
    if matches(texts, r"^\s|\s$").any():
        texts = pc.utf8_trim_whitespace(texts)
    texts = in_iso(texts, dates)
    if unit is None and are_sheet_days(texts):
        days = pa.array(serial_days(texts.to_pylist()), pa.string())
        return days, ("times are read as days of a spreadsheet; --time-unit says otherwise",)
    if unit is None and len(texts) and matches(texts[:100], COMPACT.pattern).all():
        return pa.array(whole_days(texts.to_pylist()), pa.string()), ()
    if matches(texts[:100], DECIMAL_COMMA).sum() >= FEWEST_COMMAS and not matches(texts, f"{NUMBER}|{STAMP}").any():
        values = texts.to_pylist()
        if comma := comma_in(values, ";"):
            texts = pa.array([with_point(one, comma) for one in values], pa.string())
    return texts, ()


def from_numbers(texts: Any, numeric: Mask, unit: str | None) -> RecordedTimes:
    """Times that are numbers: since 1970 where they are of that size, else since the recording's own zero."""
    values = floats(texts, numeric)
    likely = units_since_1970(values)
    epoch = bool(likely) if unit is None else unit in likely
    assumed = []
    if unit is None:
        unit = likely[0] if likely else "s"
        what = "instants since 1970" if epoch else "times since the recording's own zero"
        assumed.append(f"times are numbers without a unit: read as {what} in {unit}")
    if epoch and matches(texts, SHORTENED).all():
        expected = "all digits of each time; in a spreadsheet, cells formatted as numbers before they are exported"
        what = "this time has lost its last digits, as a spreadsheet shows large numbers"
        raise BadInput(what, value=texts[0].as_py(), expected=expected)
    if not epoch:
        seconds = values / PER[unit]
        absurd = numeric & ~(np.abs(seconds) <= LONGEST)
        seconds[absurd] = np.nan
        return RecordedTimes(seconds, None, {"absurd times": absurd, "negative times": seconds < 0}, tuple(assumed))
    return RecordedTimes(*on_axis(nanoseconds(texts, values, DIGITS[unit]), numeric), tuple(assumed))


def units_since_1970(values: NDArray[np.float64]) -> list[str]:
    """The units in which numbers are instants since 1970 of the years 1990 to 2099, by their median."""
    middle = float(np.nanmedian(values))
    return [unit for unit, digits in DIGITS.items() if EARLIEST / 10**digits <= middle < LATEST / 10**digits]


def refuse_other_unit(texts: Any, name: str, unit: str) -> None:
    """Raises BadInput where the name of a column says a unit and its numbers are since 1970 in another one."""
    if pa.types.is_timestamp(texts.type) or unit not in DIGITS:
        return
    values = floats(texts[:1000])
    if not np.isfinite(values).any():
        return
    likely = units_since_1970(values)
    if likely and unit not in likely:
        what = f"the name of this column says {unit}, and its numbers are those of instants since 1970 in {likely[0]}"
        expected = f"--time-unit {likely[0]}, or --time-unit {unit}"
        raise BadInput(what, key=name, value=texts[0].as_py(), expected=expected)


def on_axis(instants: NDArray[np.int64], known: Mask) -> tuple[NDArray[np.float64], int | None, dict[str, Mask]]:
    """Seconds after the whole second of the first usable instant, that second, and the rows that are not usable."""
    usable = known & (instants >= EARLIEST) & (instants < LATEST)
    absurd = known & ~usable
    if not usable.any():
        return np.full(len(instants), np.nan), None, {"absurd times": absurd}
    start = int(instants[usable].min()) // SECOND * SECOND
    after = np.where(usable, instants, start) - start
    seconds = after / 1e9
    if after.max() >= 2**53:  # a division of exact floats is rounded once; above 104 days whole seconds and rests apart
        seconds = np.where(after < 2**53, seconds, after // SECOND + (after % SECOND) / 1e9)
    seconds[~usable] = np.nan
    return seconds, start, {"absurd times": absurd}


def from_timestamps(texts: Any, dated: Mask, zone: str | None, usual: str | None) -> RecordedTimes:
    """Times that are dates with a time of day."""
    found = timestamps(texts, zone or usual or "UTC")
    ordered = found.ambiguous.any() and not found.zoned.any()
    if ordered:
        at, lost = by_order(texts, found, zone or usual or "UTC")
        ordered = not lost.any()
        found = replace(found, instants=at, ambiguous=lost)
    seconds, start, marks = on_axis(found.instants, found.known & dated)
    marks["unreadable times"] = dated & ~found.known
    bare, zoned = dated & ~found.zoned, dated & found.zoned
    if not zone and not (usual and (bare == dated).all()):
        marks["mixed zones" if zoned.any() else "no zone"] = bare
    elif zone and zoned.any():
        marks["mixed zones"] = bare
    marks["clock change"] = dated & found.ambiguous
    assumed = [f"times have no zone: read as {zone or usual}"] if (bare.any() and (zone or usual)) else []
    if ordered:
        assumed.append(
            "of the hour that came twice, as clocks changed, the order of the rows shows which is the second"
        )
    return RecordedTimes(seconds, start, marks, tuple(assumed))
