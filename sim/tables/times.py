"""Times in texts, as people and programs write them: timestamps, dates, times of day, durations; numbers and sizes.

Each function takes a pyarrow array of texts and says nan (or not known) where a text is none of its kind.
"""

import re
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sim.errors import BadInput
from sim.tables.coded import repeats
from sim.tables.names import PER, UNITS
from sim.tables.small_tables import comma_in, thousands_in, ungrouped, with_point

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]

NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
PLAIN = r"^(?P<sign>[+-]?)(?P<whole>\d{1,19})\.?(?P<part>\d*)$"
STAMP = r"^\d{4}-\d{1,2}-\d{1,2}"
ZONED = r"^\d{4}-\d{1,2}-\d{1,2}(.*[Zz]|[T ]\d{1,2}.*[+-]\d\d(:?\d\d)?)$"  # the hour may be without minutes
TIME_OF_DAY = r"^(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d(?:\.\d*)?))?\s*(?P<half>[AaPp][Mm])?$"
LENGTHS = {word: 1 / PER[unit] for word, unit in UNITS.items()} | {"µs": 1e-6, "μs": 1e-6, "m": 60.0}
LENGTH = re.compile(rf"^(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>{'|'.join(LENGTHS)})$")
CLOCKED = re.compile(r"^(?:(?P<day>\d+)[. ])?(?P<hour>\d+):(?P<minute>\d\d):(?P<second>\d\d(?:\.\d*)?)$")
MINUTES = re.compile(r"^(?P<minute>\d{1,2}):(?P<second>\d\d\.\d+)$")  # decimals show that it is no time of day
COMPOUND = re.compile(  # 1m2.5s as Go writes it, and PT1M2.5S of ISO 8601
    r"(?i)^(?:P(?:(?P<day>\d+)D)?T?)?(?:(?P<hour>\d+)h)?\s*(?:(?P<minute>\d+)m)?\s*(?:(?P<second>\d+(?:\.\d+)?)s)?$"
)
INSTANT = pa.timestamp("ns", tz="UTC")
AREA = r"^(?P<width>\d{1,5})\s*[x×*]\s*(?P<height>\d{1,5})$"
NEAR = (pd.Timestamp("1701-01-01").value, pd.Timestamp("2200-01-01").value)  # ns since 1970 that are read by pyarrow
MIDNIGHT = r"[ T]00:00(:00(\.0+)?)?$"  # behind a date, as spreadsheets have it
DATES = {r"^\d{4}-\d\d-\d\d$": "%Y-%m-%d", r"^\d{8}$": "%Y%m%d", r"^\d{6}$": "%y%m%d"}


def matches(texts: Any, pattern: str) -> Mask:
    return np.asarray(pc.match_substring_regex(texts, pattern).to_numpy(zero_copy_only=False), dtype=bool)


def floats(texts: Any, numeric: Mask | None = None) -> Floats:
    """Numbers to the last bit; nan where a text is none. numeric: which are, where that is known already."""
    plain = pc.replace_substring_regex(texts, r"^\+", "")
    chosen = pc.if_else(
        pa.array(matches(texts, NUMBER) if numeric is None else numeric), plain, pa.scalar("nan", texts.type)
    )
    return np.asarray(pc.cast(chosen, pa.float64()).to_numpy(zero_copy_only=False))


def nanoseconds(texts: Any, values: Floats, digits: int) -> NDArray[np.int64]:
    """Numbers times 10^digits as whole numbers, exactly, where a float64 since 1970 would be 0.2 us off.

    values: the same numbers as floats.
    """
    found = pc.extract_regex(texts, PLAIN)
    whole = whole_numbers(pc.struct_field(found, "whole"))
    part = pc.fill_null(pc.struct_field(found, "part"), "")
    tail = whole_numbers(pc.utf8_slice_codeunits(pc.utf8_rpad(part, digits + 1, "0"), 0, digits))
    with np.errstate(invalid="ignore", over="ignore"):
        exact = whole * 10**digits + tail
        exact = np.where(np.asarray(pc.equal(pc.struct_field(found, "sign"), "-").fill_null(False)), -exact, exact)
        rough = np.nan_to_num(values * 10.0**digits, nan=0.0, posinf=9e18, neginf=-9e18)
        # Not near where a text has an exponent, so that there are no digits to count, or where digits overflow.
        near = np.abs(exact - rough) <= 1e-6 * np.abs(rough) + 1
        return np.where(near, exact, np.clip(rough, -9e18, 9e18).astype(np.int64))


def whole_numbers(texts: Any) -> NDArray[np.int64]:
    """Digits as int64, 0 where there are none or too many."""
    fits = pc.fill_null(pc.match_substring_regex(texts, r"^([0-8]?\d{18}|\d{1,17})$"), False)  # below 2^63 for sure
    digits = pc.if_else(fits, texts, pa.scalar("0", texts.type))
    return np.asarray(pc.cast(digits, pa.int64()).to_numpy(zero_copy_only=False))


@dataclass(frozen=True)
class Timestamps:
    """Dates with or without a time of day, of ISO 8601.

    instants: nanoseconds since 1970 in UTC, where known. zoned: the text names its zone. ambiguous: a change of the
    clocks made this local time happen twice or never.
    """

    instants: NDArray[np.int64]
    known: Mask
    zoned: Mask
    ambiguous: Mask


def timestamps(texts: Any, zone: str = "UTC") -> Timestamps:
    """Timestamps in texts; zone: of those that name none."""
    if repeats(texts):
        coded = texts.dictionary_encode()  # recordings to the second say the same second often
        words, places = coded.dictionary, coded.indices.to_numpy()
    else:
        words, places = texts, np.arange(len(texts))
    zoned = matches(words, ZONED)
    if zoned.all() and (fast := instants_of(words)) is not None:
        full = np.ones(len(places), dtype=bool)
        return Timestamps(whole(fast)[places], known=full, zoned=full, ambiguous=~full)
    local = matches(words, STAMP) & ~zoned
    date = pd.Series(words.to_pylist(), dtype=object)
    instants = pd.Series(pd.NaT, index=date.index, dtype="datetime64[ns]")
    ambiguous = np.zeros(len(words), dtype=bool)
    if zoned.any():
        aware = pd.to_datetime(date[zoned], format="ISO8601", errors="coerce", utc=True)
        instants[zoned] = in_nanoseconds(aware.dt.tz_localize(None))
    if local.any():
        naive = in_nanoseconds(pd.to_datetime(date[local], format="ISO8601", errors="coerce"))
        instants[local], ambiguous[local] = in_utc(naive, zone)
    raw = instants.to_numpy(dtype="datetime64[ns]").astype(np.int64)
    known = instants.notna().to_numpy()
    return Timestamps(raw[places], known[places], zoned[places], ambiguous[places])


def instants_of(words: Any) -> Any | None:
    """Texts with a zone as instants, by pyarrow; None where one has none, or is written in a way it does not know."""
    try:
        found = pc.cast(words, INSTANT)
    except pa.ArrowInvalid:
        return None
    near = len(found) and all(NEAR[0] < one.value < NEAR[1] for one in pc.min_max(found).values())
    return found if near else None


def whole(instants: Any) -> NDArray[np.int64]:
    """Instants as nanoseconds since 1970."""
    return np.asarray(pc.cast(instants, pa.int64()).to_numpy())


def in_nanoseconds(dates: pd.Series) -> pd.Series:
    """Dates as nanoseconds; NaT where they are outside the years 1700 to 2200, which nanoseconds nearly cover."""
    return dates.where(dates.dt.year.between(1700, 2200)).dt.as_unit("ns")


def in_utc(local: pd.Series, zone: str) -> tuple[pd.Series, Mask]:
    """Local times in UTC, and which of them a change of the clocks made happen twice, or never.

    Of two instants the first is taken, and for a time that never was the instant of the change.
    """
    try:
        place = ZoneInfo(zone)
    except (OSError, ValueError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        expected = "a name like UTC or Europe/Paris"
        raise BadInput("there is no such time zone", key="--zone", value=zone, expected=expected) from None
    strict = local.dt.tz_localize(place, ambiguous="NaT", nonexistent="NaT")
    summer = np.ones(len(local), dtype=bool)
    taken = local.dt.tz_localize(place, ambiguous=summer, nonexistent="shift_forward")
    ambiguous = (strict.isna() & local.notna()).to_numpy()
    return taken.dt.tz_convert("UTC").dt.tz_localize(None), ambiguous


def days_of_dates(texts: Any) -> Floats:
    """Days since 1970, of dates like 2025-03-31, 20250331 or 250331."""
    found = np.full(len(texts), np.nan)
    for pattern, form in DATES.items():
        rows = matches(texts, pattern)
        if rows.any():
            days = pd.to_datetime(pd.Series(texts.filter(pa.array(rows)).to_pylist()), format=form, errors="coerce")
            found[rows] = (days - pd.Timestamp(0)) / pd.Timedelta(days=1)
    return found


def times_of_day(texts: Any) -> Floats:
    """Seconds since midnight, of times like 18:00:07 or 6:00:07 PM. A day may end at 24:00:00."""
    found = pc.extract_regex(texts, TIME_OF_DAY)
    hour, minute, second = (number_in(found, name) for name in ("hour", "minute", "second"))
    second = np.nan_to_num(second)  # 18:00 is 18:00:00
    half = np.asarray(pc.fill_null(pc.utf8_lower(pc.struct_field(found, "half")), "").to_pylist(), dtype=object)
    hour = np.where(half == "", hour, hour % 12 + 12.0 * (half == "pm"))
    beyond = (hour > 24) | (minute > 59) | (second >= 61) | ((hour == 24) & (minute + second > 0))
    return np.where(beyond, np.nan, 3600 * hour + 60 * minute + second)


def decimals(texts: Any) -> Floats:
    """Numbers as `floats` reads them, also with commas where all texts together show what these are."""
    if not matches(texts, r"\d[, '’\x{A0}\x{202F}]\d").any():
        return floats(texts)
    cells = [ungrouped(text) for text in texts.to_pylist()]
    if comma := comma_in(cells, ";") or thousands_in(cells):
        cells = [with_point(cell, comma) for cell in cells]
    return floats(pa.array(cells, pa.string()))


def written_seconds(text: str) -> float | None:
    """Seconds of a text with its unit: '4.1s', '200 ms', '1m2.5s', 'PT2.5S', '0:03:20'; None for another."""
    text = text.strip()
    size = text[1:] if text[:1] in ("+", "-") else text
    found = LENGTH.match(size) or CLOCKED.match(size) or MINUTES.match(size) or COMPOUND.match(size)
    if not found or not re.search(r"\d", size):
        return None
    if found.re is LENGTH:
        seconds = float(found["number"]) * LENGTHS[found["unit"]]
    else:
        parts = found.groupdict()
        day, hour, minute, second = (float(parts.get(name) or 0.0) for name in ("day", "hour", "minute", "second"))
        seconds = ((day * 24 + hour) * 60 + minute) * 60 + second
    return -seconds if text[:1] == "-" else seconds


def lengths(texts: Any, per: float = 1.0) -> Floats:
    """Seconds of numbers, of which `per` make a second, and of texts as written_seconds reads them; nan for others."""
    values = decimals(texts) / per
    rest = np.flatnonzero(np.isnan(values))
    found = [written_seconds(text) for text in texts.take(pa.array(rest)).to_pylist()]
    values[rest] = [np.nan if one is None else one for one in found]
    return values


def sides(texts: Any) -> Floats:
    """Pixels along the side of a square as large as a picture of 1024x768; nan where a text is no such size."""
    found = pc.extract_regex(texts, AREA)
    return np.asarray(np.sqrt(number_in(found, "width") * number_in(found, "height")))


def number_in(found: Any, group: str) -> Floats:
    """A group of a matched pattern as numbers; nan where the text did not match, or has no such group."""
    return floats(pc.fill_null(pc.struct_field(found, group), ""))
