"""Dates as people and spreadsheets write them, 31/03/2025 6:00 PM or Mar 31, 2025, in the form of ISO 8601.

Whether the day or the month is first is taken from the file: a part above 12, or days that ascend in one order only.
"""

import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sim.errors import BadInput
from sim.tables.coded import coded

Order = Literal["day-first", "month-first"]
CLEAR = r"^(\d{4}-\d\d?-\d\d?([T ]\d\d[\d:.]*([Zz]|\s?[+-]\d\d(:?\d\d)?)?)?|[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|)$"
WEEKDAY = r"(?:[A-Za-z]{2,9}\.?,? )?"
PARTED = re.compile(r"^(\d{1,2})([/.-])(\d{1,2})\2(\d{4}|\d\d)(?!\d)(.*)$")
YEAR_FIRST = re.compile(r"^(\d{4})([/.-])(\d{1,2})\2(\d{1,2})(?!\d)(.*)$")
NAMED = re.compile(rf"^{WEEKDAY}(\d{{1,2}})\.?[ /-]([^\W\d]{{3,9}})\.?,?[ /-](\d{{4}})(.*)$")
MONTH_FIRST = re.compile(rf"^{WEEKDAY}([^\W\d]{{3,9}})\.? (\d{{1,2}}),? (\d{{4}})(.*)$")
CTIME = re.compile(rf"^{WEEKDAY}([^\W\d]{{3,9}}) +(\d{{1,2}}) (\d\d:\d\d:\d\d(?: [A-Z]{{3,5}})?) (\d{{4}})$")
# Names of zones with one meaning, as EST, CST, IST and BST have several: hours before UTC.
HOURS = {"WET": 0, "WEST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3, "MSK": 3, "EDT": -4, "PDT": -7}
ZONES = {"Z": "Z", "UTC": "Z", "GMT": "Z"} | {name: f"{hours:+03d}:00" for name, hours in HOURS.items()}
CLOCK = re.compile(
    r"^[T,@: ]*(\d{1,2}):(\d\d)(?::(\d\d(?:[.,]\d+)?))?\s*([AaPp]\.?[Mm]\.?)?\s*"
    r"((?:UTC|GMT)?[+-]\d\d(?::?\d\d)?|[A-Z]{1,5})?( UTC| \([^()]+\))?$"  # GMT+0200 (Central European Summer Time)
)
HOUR = re.compile(r"^[T,@ ]+(\d{1,2})\s*(?:([AaPp])\.?[Mm]\.?|h|Uhr)?$")  # with no minutes behind it
PERIOD = re.compile(  # a week, a month or a quarter
    r"(?i)^(\d{4}[- ]?[WQ]\d{1,2}|[WQ]\d{1,2}[ /-]\d{4}|\d{4}[-/]\d\d|\d\d?/\d{4}|"
    r"(jan|feb|mar|mär|mrz|apr|may|mai|jun|jul|aug|sep|o[ck]t|nov|de[cz])\w*\.?,?[ -]'?\d{4}|(week|kw) ?\d+.*)$"
)
PERIODS = "these times are weeks, months or quarters, which do not say when they begin"
FIRST_DAY = "the first day of each, like 2025-03-24 for 2025-W13 and 2025-03-01 for Mar 2025"
MONTHS = {"janfebmaraprmayjunjulaugsepoctnovdec"[3 * k : 3 * k + 3]: k + 1 for k in range(12)}
MONTHS |= {"mär": 3, "mrz": 3, "mai": 5, "okt": 10, "dez": 12}


def in_iso(texts: Any, order: Order | None = None) -> Any:
    """Texts in which dates of other forms have that of ISO 8601; any other text stays as it is.

    order: of dates like 03/04/2025. Raises BadInput where it is not given, and the texts leave it open.
    """
    text = pa.types.is_dictionary(texts.type) and pa.types.is_string(texts.type.value_type)
    if not (text or pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type)):
        return texts
    if pc.all(pc.match_substring_regex(texts.dictionary if text else texts, CLEAR)).as_py() is not False:
        return texts
    codes = coded(texts)
    words = [(word or "").strip(" []") for word in codes.dictionary.to_pylist()]
    if periods := [word for word in words if PERIOD.match(word)]:
        raise BadInput(PERIODS, value=periods[0], expected=FIRST_DAY)
    parted = [PARTED.match(word) for word in words]
    if any(parted) and order is None:
        order = shown_order([parted[place] for place in codes.indices.to_pylist()])
    found = pa.array([iso(word, order) for word in words], pa.string())
    return found.take(codes.indices).cast(pa.string() if text else texts.type)


def shown_order(found: Sequence[re.Match[str] | None]) -> Order:
    """The order of day and month in dates, in the order of their rows. Raises BadInput where both are possible."""
    dates = [one for one in found if one]
    one, two = (np.array([int(date[place]) for date in dates]) for place in (1, 3))
    year = np.array([int(date[4]) for date in dates])
    short = any(len(date[4]) == 2 for date in dates)
    what = "these dates may have the day first or the month first"
    if (one > 12).any() and (two > 12).any():
        what = "these are no dates of one order: both the first and the second part exceed 12"
    elif (two > 12).any():
        return "month-first"
    elif not short:  # 25/03/31 may begin with its year
        first, second = (in_order(year * 10_000 + 100 * month + day) for day, month in ((one, two), (two, one)))
        if (one > 12).any() or first != second or all(date[2] == "." for date in dates):
            return "day-first" if (one > 12).any() or first or dates[0][2] == "." else "month-first"
    raise BadInput(what, key="--dates", value=dates[0][0], expected="--dates day-first, or --dates month-first")


def in_order(days: NDArray[np.int64]) -> bool:
    return bool((np.diff(days) >= 0).all() or (np.diff(days) <= 0).all())


def iso(word: str, order: Order | None) -> str:
    """One date in the form of ISO 8601; another text as it is."""
    if found := PARTED.match(word):
        one, _, two, year, rest = found.groups()
        day, month = (one, two) if order == "day-first" else (two, one)
        return dated(word, year if len(year) == 4 else f"20{year}", int(month), int(day), rest)
    if found := YEAR_FIRST.match(word):
        return dated(word, found[1], int(found[3]), int(found[4]), found[5])
    if found := NAMED.match(word):
        return dated(word, found[3], month_of(found[2]), int(found[1]), found[4])
    if found := MONTH_FIRST.match(word):
        return dated(word, found[3], month_of(found[1]), int(found[2]), found[4])
    if found := CTIME.match(word):
        return dated(word, found[4], month_of(found[1]), int(found[2]), found[3])
    return word


def month_of(name: str) -> int:
    return MONTHS.get(name[:3].lower(), 0)


def dated(word: str, year: str, month: int, day: int, rest: str) -> str:
    """A date and the time of day behind it; the word itself where one of them is none."""
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return word
    date = f"{year}-{month:02d}-{day:02d}"
    if not rest.strip(" ,T"):
        return date
    if (bare := HOUR.match(rest)) and int(bare[1]) < 24:
        return f"{date}T{in_day(int(bare[1]), bare[2] or ''):02d}:00:00"
    clock = CLOCK.match(rest)
    if not clock:
        return word
    hour, minute, second, half, zone, _ = clock.groups()
    zone = re.sub("^(UTC|GMT)(?=[+-])", "", zone or ("UTC" if clock[6] == " UTC" else ""))
    if zone.isalpha() and zone not in ZONES:
        what = f"{zone} names no zone, or several"
        raise BadInput(
            what, value=word, expected="an offset in its place, like +02:00; or times without it, and --zone"
        )
    hours = in_day(int(hour), half or "")
    return f"{date}T{hours:02d}:{minute}:{(second or '00').replace(',', '.')}{ZONES.get(zone, zone)}"


def in_day(hour: int, half: str) -> int:
    """An hour of the day, of one with AM or PM behind it, or with nothing."""
    return hour % 12 + 12 * (half[0] in "Pp") if half else hour
