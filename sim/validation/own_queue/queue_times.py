"""The times of a queue's log on one axis: timestamps, dates with times of day, or plain seconds."""

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.errors import BadInput
from sim.tables import times
from sim.tables.columns import Column
from sim.tables.names import PER, unit_of_time
from sim.tables.times import Floats

DAY = 86_400.0
LATEST = 1e11  # s: some three thousand years
WITH_TIME = r"^\d{4}-\d\d-\d\d[T ]\d{1,2}:\d\d"  # a date alone does not say when somebody came
TOO_LARGE = "seconds; a number this large may be milliseconds"


@dataclass(frozen=True)
class Axis:
    """The meaning of second 0, midnight of the log's first day, for each of the three kinds of times."""

    kind: str  # 'seconds', 'stamps' or 'dates'
    zero: float  # seconds, of a plain number; nanoseconds since 1970, of a timestamp; days since 1970, of a date
    first: date | None  # the first day's date, where known
    zoned: bool = False


def axis_of(column: Column, dates: Column | None) -> Axis:
    """The axis of a log, by its arrivals (and their dates, where these are a column). Raises BadInput."""
    if dates is not None:
        days = days_of(dates)
        if np.isnan(days).all():
            raise BadInput("no row has a date", file=dates.file, key=dates.name)
        return Axis("dates", float(np.nanmin(days)), calendar_day(float(np.nanmin(days))))
    if not column.given.any():
        raise BadInput("no row has a time", file=column.file, key=column.name)
    if column.match(times.NUMBER).any():
        return Axis("seconds", float(np.floor(np.nanmin(plain_seconds(column)) / DAY) * DAY), None)
    day = float(nanoseconds_of(column)[column.given].min() // int(DAY * 1e9))
    return Axis("stamps", day * DAY * 1e9, calendar_day(day), bool(column.match(times.ZONED).any()))


def calendar_day(days: float) -> date:
    return pd.Timestamp(0).date() + pd.Timedelta(days=days).to_pytimedelta()


def instants(column: Column, dates: Column | None, axis: Axis) -> Floats:
    """Seconds after the axis' zero, float64 (n,); nan where a cell, or its date, is empty. Raises BadInput."""
    if axis.kind == "dates":
        assert dates is not None
        return (days_of(dates) - axis.zero) * DAY + clock_times(column)
    if axis.kind == "seconds":
        return plain_seconds(column) - axis.zero
    return np.where(column.given, (nanoseconds_of(column) - int(axis.zero)) / 1e9, np.nan)


def per_second(column: Column) -> float:
    """The units of a column's numbers in a second, by the unit in its name, like wait_ms; 1 without one."""
    unit = unit_of_time(column.name)[1]
    return PER[unit] if unit else 1.0


def plain_seconds(column: Column) -> Floats:
    """Numbers of seconds, or of the unit in the column's name; nan where a cell is empty."""
    found = times.floats(column.texts) / per_second(column)
    column.refuse(np.abs(found) > LATEST, TOO_LARGE)
    column.refuse(column.given & np.isnan(found), "a number of seconds")
    return found


def nanoseconds_of(column: Column) -> NDArray[np.int64]:
    """Timestamps in nanoseconds since 1970, in UTC where they name no zone; any number where a cell is empty."""
    found = times.timestamps(column.texts)
    expected = "a date and time like 2025-03-31 18:00:07.25, or a number of seconds; or --map date=COLUMN"
    column.refuse(column.given & ~(found.known & column.match(WITH_TIME)), expected)
    return found.instants


def days_of(column: Column) -> Floats:
    """Dates as days since 1970; nan where a cell is empty."""
    found = times.days_of_dates(column.texts)
    column.refuse(column.given & np.isnan(found), "a date like 2025-03-31, 20250331 or 250331")
    return found


def clock_times(column: Column) -> Floats:
    """Times of day as seconds since midnight; nan where a cell is empty."""
    found = times.times_of_day(column.texts)
    column.refuse(column.given & np.isnan(found), "a time of day like 18:00:07 or 6:00:07 PM")
    return found


def durations_of(column: Column) -> Floats:
    """Seconds, of numbers in the unit of the column's name, or of texts like 0:03:20 or 45 s; nan of an empty cell."""
    found = times.lengths(column.texts, per_second(column))
    column.refuse(column.given & np.isnan(found), "a number of seconds, or a duration like 0:03:20")
    column.refuse(np.abs(found) > LATEST, TOO_LARGE)
    return found
