"""Texts of a queue's log as seconds: instants with or without a date column, plain seconds, and durations."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.errors import BadInput

DAY = 86_400.0
LATEST = 1e11  # s: some three thousand years
NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
TIME_OF_DAY = r"(\d{1,2}):(\d\d)(?::(\d\d(?:\.\d*)?))?\s*([AaPp][Mm])?"
DURATION = r"([+-]?)(\d+):(\d\d):(\d\d(?:\.\d*)?)"
STAMP = r"\d{4}-\d\d-\d\d[T ]\d{1,2}:\d\d.*"
ZONED = r".*:\d\d.*(?:[Zz]|[+-]\d\d(?::?\d\d)?)"
DATES = {r"\d{4}-\d\d-\d\d": "%Y-%m-%d", r"\d{8}": "%Y%m%d", r"\d{6}": "%y%m%d"}

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Texts:
    """One column of a log: its texts, stripped, and where each stands. Empty is missing."""

    values: pd.Series
    lines: NDArray[np.int64]
    column: str
    file: Path

    def refuse(self, wrong: NDArray[np.bool_], expected: str) -> None:
        """Raise BadInput for the first text that is wrong."""
        if wrong.any():
            row = int(np.argmax(wrong))
            key = f"{self.column}, row {self.lines[row]}"
            raise BadInput(
                "this value cannot be read", file=self.file, key=key, value=self.values[row], expected=expected
            )

    @property
    def given(self) -> NDArray[np.bool_]:
        """Which are not empty."""
        return np.asarray(self.values != "", dtype=bool)

    def match(self, pattern: str) -> NDArray[np.bool_]:
        return np.asarray(self.values.str.fullmatch(pattern), dtype=bool)


@dataclass(frozen=True)
class Axis:
    """What second 0 is: midnight of the log's first day. Numbers, dates and times of day have an axis of their own."""

    kind: str  # 'seconds', 'stamps' or 'dates'
    zero: float  # seconds, of a plain number; nanoseconds since 1970 of a stamp; days since 1970 of a date
    first: date | None  # the first day's date, where known
    zoned: bool = False


def axis_of(texts: Texts, dates: Texts | None) -> Axis:
    """The axis of a log, by its arrivals (and their dates, where these are a column). Raises BadInput."""
    if dates is not None:
        days = days_of(dates)
        if np.isnan(days).all():
            raise BadInput("no row has a date", file=dates.file, key=dates.column)
        return Axis("dates", float(np.nanmin(days)), first_day(float(np.nanmin(days))))
    if texts.match(NUMBER).any():
        seconds = numbers(texts)
        return Axis("seconds", float(np.floor(np.nanmin(seconds) / DAY) * DAY), None)
    zoned = bool(texts.match(ZONED).any())
    stamps = nanoseconds(texts)
    if not texts.given.any():
        raise BadInput("no row has a time", file=texts.file, key=texts.column)
    day = float(stamps[texts.given].min() // int(DAY * 1e9))
    return Axis("stamps", day * DAY * 1e9, first_day(day), zoned)


def first_day(days: float) -> date:
    return pd.Timestamp(0).date() + pd.Timedelta(days=days).to_pytimedelta()


def instants(texts: Texts, dates: Texts | None, axis: Axis) -> Floats:
    """Seconds after the axis' zero, float64 (n,); nan where a text, or its date, is missing. Raises BadInput."""
    if axis.kind == "dates":
        assert dates is not None
        return (days_of(dates) - axis.zero) * DAY + times_of_day(texts)
    if axis.kind == "seconds":
        return numbers(texts) - axis.zero
    return np.where(texts.given, (nanoseconds(texts) - int(axis.zero)) / 1e9, np.nan)


def numbers(texts: Texts) -> Floats:
    """Plain seconds; nan where missing."""
    texts.refuse(texts.given & ~texts.match(NUMBER), "a number of seconds")
    found = np.asarray(pd.to_numeric(texts.values.where(texts.values != "")), dtype=np.float64)
    texts.refuse(np.abs(found) > LATEST, "seconds: so large a number is milliseconds, or none")
    return found


def nanoseconds(texts: Texts) -> NDArray[np.int64]:
    """Instants in nanoseconds since 1970; those without a zone as they stand. Missing ones are 0."""
    expected = "a date and time like 2025-03-31 18:00:07.25, or a number of seconds; or --map date=COLUMN"
    texts.refuse(texts.given & ~texts.match(STAMP), expected)
    found = pd.to_datetime(texts.values.where(texts.values != ""), format="ISO8601", utc=True, errors="coerce")
    texts.refuse(texts.given & np.asarray(found.isna()), expected)
    return np.asarray(found.fillna(pd.Timestamp(0, tz="UTC")).dt.as_unit("ns").astype(np.int64))


def days_of(texts: Texts) -> Floats:
    """Dates as days since 1970; nan where missing."""
    found = np.full(len(texts.values), np.nan)
    for pattern, form in DATES.items():
        rows = texts.match(pattern)
        if rows.any():
            days = pd.to_datetime(texts.values[rows], format=form, errors="coerce")
            found[rows] = (days - pd.Timestamp(0)) / pd.Timedelta(days=1)
    texts.refuse(texts.given & np.isnan(found), "a date like 2025-03-31, 20250331 or 250331")
    return found


def times_of_day(texts: Texts) -> Floats:
    """Seconds since midnight; nan where missing. A day may end at 24:00:00."""
    expected = "a time of day like 18:00:07 or 6:00:07 PM"
    texts.refuse(texts.given & ~texts.match(TIME_OF_DAY), expected)
    parts = texts.values.str.extract(f"^{TIME_OF_DAY}$")
    hour, minute, second = (pd.to_numeric(parts[place]).fillna(0.0).to_numpy(dtype=np.float64) for place in range(3))
    half = parts[3].str.lower().to_numpy(dtype=object)
    late = (half == "pm").astype(np.float64)
    hour = np.where(pd.isna(half), hour, hour % 12 + 12 * late)
    beyond = (hour > 24) | (minute > 59) | (second >= 61) | ((hour == 24) & (minute + second > 0))
    texts.refuse(texts.given & beyond, expected)
    return np.where(texts.given, 3600 * hour + 60 * minute + second, np.nan)


def durations(texts: Texts) -> Floats:
    """Seconds, from numbers or texts like 0:03:20; nan where missing."""
    timed = texts.match(DURATION)
    texts.refuse(texts.given & ~timed & ~texts.match(NUMBER), "a number of seconds, or a duration like 0:03:20")
    parts = texts.values.str.extract(f"^{DURATION}$")
    hour, minute, second = (pd.to_numeric(parts[place]).to_numpy(dtype=np.float64) for place in (1, 2, 3))
    sign = np.where(parts[0] == "-", -1.0, 1.0)
    plain = pd.to_numeric(texts.values.where(texts.given & ~timed)).to_numpy(dtype=np.float64)
    texts.refuse(np.abs(plain) > LATEST, "seconds: so large a number is milliseconds, or none")
    return np.where(timed, sign * (3600 * hour + 60 * minute + second), plain)
