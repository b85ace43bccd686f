"""Instants of samples: dates, numbers since 1970 in any unit, days of a spreadsheet; local times when clocks change."""

import math
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from sim.errors import BadInput
from sim.tables.times import Floats, Mask, Timestamps, floats, matches, timestamps
from sim.tables.written_dates import Order, in_iso

EPOCH = re.compile(r"^[1-9](\d{8,18}(\.\d+)?|\.\d{8,}[eE]\+?\d+)$")
COMPACT = re.compile(  # 20250331, perhaps with an hour, minutes and seconds; of ten digits an epoch would be after 2030
    r"^((?:19|20)\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?:T?([01]\d|2[0-3])([0-5]\d)?([0-5]\d)?)?(Z?)$"
)
SERIAL = re.compile(r"^[34567]\d{4}(\.\d+)?$")  # days since the end of 1899, from 1982 on
SHEET = r"^[34567]\d{4}\.\d{4,}$"  # days since the end of 1899, as spreadsheets hold times
SHEET_SPAN = 1000.0  # days: no recording of a spreadsheet is longer
HALF_AN_HOUR = 1_800_000_000_000  # ns
CLOCK_CHANGE = "times with their zone, or in UTC; or all times of the hour that came twice, in their order"


def serial_days(texts: Sequence[str]) -> list[str]:
    """Days of a spreadsheet (Excel, LibreOffice) as dates of ISO 8601, to the millisecond."""
    zero = datetime(1899, 12, 30)
    days = [timedelta(milliseconds=round(float(text) * 86_400_000)) for text in texts]
    return [(zero + one).isoformat(sep=" ", timespec="milliseconds") for one in days]


def whole_days(texts: Sequence[str]) -> list[str]:
    """Dates like 20250331 or 20250331T1805 in the form of ISO 8601, where all texts are such; else the texts."""
    found = [COMPACT.match(text) for text in texts]
    if not found or not all(found):
        return list(texts)
    days = [(one, f"{one[1]}-{one[2]}-{one[3]}") for one in found if one]
    return [f"{day}T{one[4]}:{one[5] or '00'}:{one[6] or '00'}{one[7]}" if one[4] else day for one, day in days]


def are_sheet_days(texts: Any) -> bool:
    """Whether times are days of a spreadsheet: numbers of that size, with the decimals that seconds of a day take."""
    if not len(texts) or not matches(texts[:1000], SHEET).all() or not matches(texts, SHEET).all():
        return False
    days = floats(texts)
    return bool(days.max() - days.min() < SHEET_SPAN)


def epoch_instants(numbers: Floats) -> NDArray[np.int64]:
    """Nanoseconds since 1970, to the microsecond, of numbers whose size shows their unit (seconds: 9 or 10 digits)."""
    unit = 1e3 ** max(math.floor((math.log10(float(np.median(numbers))) - 8.0) / 3.0), 0)
    return np.asarray(np.round(numbers / unit * 1e6).astype(np.int64) * 1000)


def instants(texts: Sequence[str], zone: str | None, dates: Order | None, path: Path) -> NDArray[np.int64]:
    """Nanoseconds since 1970 of times in the order of their rows: dates, days of a spreadsheet, or numbers since 1970.

    Raises BadInput for a time that cannot be read, has no zone, or came twice as clocks changed and is not in order.
    """
    if texts and all(EPOCH.match(text) for text in texts) and not all(map(COMPACT.match, texts)):
        return epoch_instants(np.array(texts, dtype=float))
    written = serial_days(texts) if texts and all(SERIAL.match(text) for text in texts) else whole_days(texts)
    try:
        words = in_iso(pa.array(written, pa.string()), dates)
        found = timestamps(words, zone or "UTC")
    except BadInput as wrong:
        raise wrong.but(file=path) from None
    if not found.known.all():
        value, expected = texts[int(np.argmin(found.known))], "a date and time like 2025-03-31 18:00:00"
        raise BadInput("this time cannot be read", file=path, value=value, expected=expected)
    if zone is None and not found.zoned.all():
        expected = (
            "--zone with the zone of the clock (of the browser, for what a dashboard exported), like Europe/Paris"
        )
        raise BadInput("times have no zone", file=path, key="--zone", value=texts[0], expected=expected)
    if not found.ambiguous.any():
        return found.instants
    found_at, lost = by_order(words, found, zone or "UTC")
    if lost.any():
        what = "the clock was changed at this time, so it came twice or never"
        raise BadInput(what, file=path, value=texts[int(np.argmax(lost))], expected=CLOCK_CHANGE)
    return found_at


def by_order(words: Any, found: Timestamps, zone: str) -> tuple[NDArray[np.int64], Mask]:
    """Instants of local times of which some came twice as clocks changed, by their order; and those it leaves open."""
    local = pd.to_datetime(pd.Series(words.to_pylist(), dtype=object), format="ISO8601", errors="coerce", utc=True)
    second, lost = second_times(local.to_numpy(dtype="datetime64[ns]").astype(np.int64), found.ambiguous)
    naive = local.dt.tz_localize(None)
    taken = naive.dt.tz_localize(ZoneInfo(zone), ambiguous=~second, nonexistent="NaT")
    lost |= taken.isna().to_numpy() & found.ambiguous
    moved = taken.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(dtype="datetime64[ns]").astype(np.int64)
    return np.where(found.ambiguous & ~lost, moved, found.instants), lost


def second_times(local: NDArray[np.int64], twice: Mask) -> tuple[Mask, Mask]:
    """Which local times, in order, are those after the clock was put back; and which of them nothing decides.

    twice: times that came twice or never. In a run of them the clock was put back where a time is no later than the
    one before.
    """
    backward = len(local) > 1 and local[-1] < local[0]
    order = np.arange(len(local))[:: -1 if backward else 1]
    at, twice = local[order], twice[order]
    second, lost = np.zeros(len(at), dtype=bool), np.zeros(len(at), dtype=bool)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], twice, [False]]).astype(int)))
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        steps = np.diff(at[begin:end])
        back = np.flatnonzero(steps <= 0)
        back = back if len(back) == 1 else np.flatnonzero(steps <= -HALF_AN_HOUR)  # of logs that are nearly in order
        if len(back) == 1:
            second[begin + back[0] + 1 : end] = True
        else:
            lost[begin:end] = True
    placed = np.empty(len(at), dtype=np.int64)
    placed[order] = np.arange(len(at))
    return second[placed], lost[placed]
