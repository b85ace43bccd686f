"""When each row of a recording was: texts of instants, or numbers of seconds, read to the nanosecond."""

from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sim.errors import BadInput

Mask = NDArray[np.bool_]

NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
PLAIN = r"^(?P<sign>[+-]?)(?P<whole>\d{1,19})\.?(?P<part>\d*)$"
STAMP = r"^\d{4}-\d{1,2}-\d{1,2}"
ZONED = r":\d\d.*(Z|z|[+-]\d\d(:?\d\d)?)$"
DIGITS = {"s": 9, "ms": 6, "us": 3, "ns": 0}  # decimals of a nanosecond in each unit
SECOND = 10**9
EARLIEST = int(pd.Timestamp("1990-01-01").value)
LATEST = int(pd.Timestamp("2100-01-01").value)
LONGEST = 10 * 365.25 * 86400.0  # s: no recording is longer


@dataclass(frozen=True)
class Clock:
    """The times of all rows.

    seconds: float64 (n,), after `start`; nan where a time cannot be used.
    start: nanoseconds of time 0 since 1970 in UTC, a whole second; None where times are numbers without an epoch.
    marks: which rows have which problem, by its name in the table of problems.
    assumed: what was guessed, in words.
    """

    seconds: NDArray[np.float64]
    start: int | None
    marks: dict[str, Mask]
    assumed: tuple[str, ...] = ()


def read_clock(texts: Any, *, unit: str | None = None, zone: str | None = None, usual: str | None = None) -> Clock:
    """Times out of texts: all numbers (of `unit`), or all dates and times of ISO 8601; the rarer sort is a problem.

    zone: what zone times without one are in; usual: the same, known from the format, and no problem either.
    Numbers of the size of an epoch are instants since 1970; their unit is told from their size unless it is given.
    """
    texts = pc.utf8_trim_whitespace(texts)
    numeric, dated = matches(texts, NUMBER), matches(texts, STAMP)
    if not (numeric | dated).any():
        raise BadInput(
            "no row has a time that can be read",
            value=texts[0].as_py() if len(texts) else None,
            expected="numbers, or dates and times like 2025-03-31 18:00:07.25+00:00",
        )
    if numeric.sum() >= dated.sum():
        clock = numbers(texts, numeric, unit)
        mixed, neither = dated, ~numeric & ~dated
    else:
        clock = stamps(texts, dated, zone, usual)
        mixed, neither = numeric, ~numeric & ~dated
    marks = {**clock.marks, "mixed types": mixed}
    marks["unreadable times"] = neither | clock.marks.get("unreadable times", False)
    return Clock(clock.seconds, clock.start, marks, clock.assumed)


def matches(texts: Any, pattern: str) -> Mask:
    return np.asarray(pc.match_substring_regex(texts, pattern).to_numpy(zero_copy_only=False), dtype=bool)


def floats(texts: Any, numeric: Mask) -> NDArray[np.float64]:
    """Numbers to the last bit; nan where a text is none."""
    plain = pc.replace_substring_regex(texts, r"^\+", "")
    chosen = pc.if_else(pa.array(numeric), plain, pa.scalar("nan", texts.type))
    return np.asarray(pc.cast(chosen, pa.float64()).to_numpy(zero_copy_only=False))


def numbers(texts: Any, numeric: Mask, unit: str | None) -> Clock:
    """Times that are numbers: since 1970 where they are of that size, else since the recording's own zero."""
    values = floats(texts, numeric)
    middle = float(np.nanmedian(values))
    sizes = {u: EARLIEST / 10**digits <= middle < LATEST / 10**digits for u, digits in DIGITS.items()}
    likely = [u for u, fits in sizes.items() if fits]
    epoch = bool(likely) if unit is None else sizes[unit]
    assumed = []
    if unit is None:
        unit = likely[0] if likely else "s"
        what = "instants since 1970" if epoch else "times since the recording's own zero"
        assumed.append(f"times are numbers without a unit: read as {what} in {unit}")
    if not epoch:
        seconds = values / 10.0 ** (9 - DIGITS[unit])
        absurd = numeric & ~(np.abs(seconds) <= LONGEST)
        seconds[absurd] = np.nan
        return Clock(seconds, None, {"absurd times": absurd, "negative times": seconds < 0}, tuple(assumed))
    return Clock(*on_axis(nanoseconds(texts, values, DIGITS[unit]), numeric), tuple(assumed))


def nanoseconds(texts: Any, values: NDArray[np.float64], digits: int) -> NDArray[np.int64]:
    """Whole nanoseconds of decimal texts, exactly, where a float64 since 1970 would be 0.2 us off."""
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


def on_axis(instants: NDArray[np.int64], known: Mask) -> tuple[NDArray[np.float64], int | None, dict[str, Mask]]:
    """Seconds after the whole second in which the first usable instant lies; that second; and who is not usable."""
    usable = known & (instants >= EARLIEST) & (instants < LATEST)
    absurd = known & ~usable
    if not usable.any():
        return np.full(len(instants), np.nan), None, {"absurd times": absurd}
    start = int(instants[usable].min()) // SECOND * SECOND
    after = np.where(usable, instants, start) - start
    # A division of exact floats is rounded once; above 2^53 ns (104 days) whole seconds and the rest go apart.
    seconds = np.where(after < 2**53, after / 1e9, after // SECOND + (after % SECOND) / 1e9)
    return np.where(usable, seconds, np.nan), start, {"absurd times": absurd}


def stamps(texts: Any, dated: Mask, zone: str | None, usual: str | None) -> Clock:
    """Times that are dates with a time of day."""
    coded = texts.dictionary_encode()  # recordings to the second say the same second often
    words, places = coded.dictionary, coded.indices.to_numpy()
    zoned = matches(words, ZONED)
    date = pd.Series(words.to_pylist(), dtype=object)
    instants = pd.Series(pd.NaT, index=date.index, dtype="datetime64[ns]")
    if zoned.any():
        aware = pd.to_datetime(date[zoned], format="ISO8601", errors="coerce", utc=True)
        instants[zoned] = aware.dt.tz_localize(None).dt.as_unit("ns")
    naive = matches(words, STAMP) & ~zoned
    unclear = np.zeros(len(words), dtype=bool)
    if naive.any():
        local = pd.to_datetime(date[naive], format="ISO8601", errors="coerce").dt.as_unit("ns")
        instants[naive], unclear[naive] = in_utc(local, zone or usual or "UTC")
    known = instants.notna().to_numpy()
    raw = instants.to_numpy(dtype="datetime64[ns]").astype(np.int64)
    seconds, start, marks = on_axis(raw[places], (known[places]) & dated)
    marks["unreadable times"] = dated & ~known[places]
    bare = dated & naive[places]
    if not zone and not (usual and (bare == dated).all()):
        marks["mixed zones" if (dated & zoned[places]).any() else "no zone"] = bare
    elif zone and (dated & zoned[places]).any():
        marks["mixed zones"] = bare
    marks["clock change"] = dated & unclear[places]
    assumed = [f"times have no zone: read as {zone or usual}"] if (bare.any() and (zone or usual)) else []
    return Clock(seconds, start, marks, tuple(assumed))


def in_utc(local: pd.Series, zone: str) -> tuple[pd.Series, Mask]:
    """Local times in UTC, and which of them a change of the clocks made happen twice, or never.

    The first of two is taken, and for one that never was the instant of the change.
    """
    try:
        place = ZoneInfo(zone)
    except (OSError, ValueError) as wrong:  # ZoneInfoNotFoundError is a KeyError
        raise no_zone(zone) from wrong
    except KeyError:
        raise no_zone(zone) from None
    strict = local.dt.tz_localize(place, ambiguous="NaT", nonexistent="NaT")
    summer = np.ones(len(local), dtype=bool)
    taken = local.dt.tz_localize(place, ambiguous=summer, nonexistent="shift_forward")
    unclear = (strict.isna() & local.notna()).to_numpy()
    return taken.dt.tz_convert("UTC").dt.tz_localize(None), unclear


def no_zone(zone: str) -> BadInput:
    return BadInput("there is no such time zone", key="--zone", value=zone, expected="a name like UTC or Europe/Paris")
