"""Tables of samples, known by their shape: rows at even steps of a clock, with numbers of one or several series.

Requests do not come at even steps, and a table of them says whose they are and what became of them. A row per instant,
or as many rows at each instant as there are series, is a count or a gauge whatever its columns are named.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sim.errors import BadInput
from sim.tables.formats.instants import instants
from sim.tables.headers import TOTAL
from sim.tables.names import CLOCKS, DATES, plain_name, seconds_per, unit_of_time
from sim.tables.times import MIDNIGHT
from sim.tables.written_dates import Order

Rows = list[list[str]]

TIMED = {*DATES, *CLOCKS, "timestamp", "time_stamp", "ts", "t", "datetime", "date_time", "zeitpunkt", "zeitstempel"}
TIMED |= {"horodatage", "from", "minute", "date_hour", "begin", "start", "start_time", "begin_time", "bucket"}
TIMED |= {"period_start", "interval_start", "window_start"}
TIMED |= {"week", "week_start", "week_of", "month", "month_start", "day_start", "hour_start"}
ENDS = {"to", "until", "end", "end_time", "period_end", "interval_end", "window_end"}
FULL = {"full", "capped", "at_cap", "sold_out", "ceiling"}
COUNTED = {"anfragen", "aufrufe", "zugriffe", "requetes", "requêtes", "peticiones", "admitted", "requests", "request"}
COUNTED |= {"count", "counts", "asks", "hits", "arrivals", "calls", "visits", "invocations"}
BESIDE_COUNTS = {"num", "number", "of", "n", "no", "http", "api", "records", "documents"}
NUMBERS_ROWS = {"id", "row", "nr", "no", "index", "unnamed_0", "", "row_id", "row_number"}
# What a request has, and a sample at an even step has not: whose it is; what it was, and what became of it.
WHOSE = re.compile(r"(^|(?<!per)_)(id|user|client|customer|account|ip|uuid)$")
REQUEST = re.compile(r"(^|_)(status|code|type|kind|path|url|endpoint|method)$")
ROUTE = re.compile(r"^([A-Z]+ )?/")  # the name of a series: what was asked for
SERIES = re.compile(
    r"(^|_)(name|host|instance|index|pod|node|job|service|series|metric|region|zone|cluster|device)$|^(gpu|table)$"
)
NUMBER = re.compile(r"^[+-]?(\d[\d,.]*|\.\d+)([eE][+-]?\d+)?\s*([A-Za-zµ%°/][A-Za-z%°/²³]*( ?[A-Za-z/%]+)*)?$")
NOTHING = {"", "-", "n/a", "[n/a]", "na", "nan", "null", "none", "undefined", "[not supported]", "not available"}
CLOCK_CELL = re.compile(r"^(\d{1,2}(:\d\d){0,2}(\s*[AaPp][Mm])?)(\s*[-–]\s*\d{1,2}(:\d\d){0,2}(\s*[AaPp][Mm])?)?$")
HOURS = re.compile(r"(?i)^(\d{1,2})\s*(h|hrs?|uhr)$")  # 9h
RANGE = re.compile(r"\s+[-–]\s+\d.*$")  # to the end of an interval
FEWEST_CLOCKS = 6  # columns named after times of day: a table with a row per day
FEWEST_ROWS, FEWEST_GAPS, FEWEST_ROUGH = 3, 6, 8  # at even steps, at such with gaps, and at roughly even ones
LEAST_STEP = 10.0  # s, of fewer rows than those
MOST_JITTER = 0.1  # of a step, for steps that are roughly even
# Shares: of steps that are the least one, exactly and roughly; of what may not be even for other reasons.
USUAL, ROUGHLY_ONE, ROUGH = 0.5, 0.6, 0.9


@dataclass(frozen=True)
class Places:
    """The columns of a table of samples, by place.

    times: one column, or a date and a time of day; end: of an interval, -1 where there is none; labels: the names of
    series; values: numbers; counted: those of them that count requests by their name.
    """

    times: tuple[int, ...]
    end: int
    labels: tuple[int, ...]
    values: tuple[int, ...]
    counted: tuple[int, ...]


def is_counted(name: str) -> bool:
    """Whether a column counts requests in each row by its name, like requests or request_count."""
    words = set(plain_name(name).split("_"))
    return bool(words & COUNTED) and words <= COUNTED | BESIDE_COUNTS


def says_of_request(head: str) -> bool:
    """Whether a column says what a request was, or what became of it."""
    return bool(REQUEST.search(plain_name(head))) and not ROUTE.match(head)


def is_series(name: str) -> bool:
    """Whether a column says which of several machines or services a sample is of, like host or gpu_id."""
    return bool(SERIES.search(name.removesuffix("_id")))


def are_numbers(cells: Sequence[str]) -> bool:
    known = [cell for cell in cells if cell.strip().lower() not in NOTHING and re.search(r"\d", cell)]
    return bool(known) and all(NUMBER.match(cell.strip()) for cell in known)


def time_places(names: Sequence[str], rows: Rows) -> tuple[int, ...]:
    """The columns of times, by name: a date and a time of day, or one; none where no name is that of a time."""
    date = next((k for k, name in enumerate(names) if name in DATES), -1)
    clock = next((k for k, name in enumerate(names) if name in CLOCKS), -1)
    if min(date, clock) >= 0 and all(CLOCK_CELL.match(row[clock].strip()) for row in rows[:50]):
        return date, clock
    found = [k for k, name in enumerate(names) if name in TIMED or unit_of_time(name)[0] in TIMED]
    several = [k for k in found if len({row[k] for row in rows}) > 1]  # others are of the whole table
    return tuple((several or found)[:1])


def time_in(row: Sequence[str], times: tuple[int, ...]) -> str:
    """The time of a row, of a date and a clock both: '2025-03-31 18:00'; of a range where it begins."""
    if len(times) == 1:
        return RANGE.sub("", row[times[0]].strip())
    date, clock = (row[place].strip() for place in times)
    found = CLOCK_CELL.match(clock)
    clock = found[1] if found else clock
    return f"{re.sub(MIDNIGHT, '', date)} {clock}{':00' if clock.isdigit() else ''}"


def body_of(rows: Rows) -> Rows:
    """The rows below the names, as wide as these, without totals and repeated names."""
    width = len(rows[0])
    full = [[*row[:width], *[""] * (width - len(row))] for row in rows[1:]]
    return [row for row in full if row != rows[0] and not re.match(TOTAL, row[0])]


def unfolded(rows: Rows) -> Rows:
    """A table with a row per day and a column per time of day as one with a row per interval; another as it is."""
    rows = [[HOURS.sub(r"\1", name.strip()) for name in rows[0]], *rows[1:]] if rows else rows
    clocks = [k for k, name in enumerate(rows[0]) if CLOCK_CELL.match(name)] if rows else []
    if len(clocks) < FEWEST_CLOCKS or len(clocks) != len(rows[0]) - 1 or plain_name(rows[0][0]) not in DATES:
        return rows
    found = [[row[0], rows[0][k], row[k]] for row in body_of(rows) for k in clocks]
    return [[rows[0][0], "time", "counts of each column"], *found]


def sampled(rows: Rows) -> Places | None:
    """The columns of a table of samples; None where rows may be requests. rows: the first ones, the names first."""
    if not rows or len(rows[0]) < 2:
        return None
    rows = unfolded(rows)
    names, body = [plain_name(name) for name in rows[0]], body_of(rows)
    found = places_of(rows[0], body)
    whose = [k for k, name in enumerate(names) if WHOSE.search(name) and not is_series(name)]
    if found is None or any(not is_running_number(names[k], [row[k] for row in body]) for k in whose):
        return None
    at = times_of([time_in(row, found.times) for row in body])
    if at is None:
        return None
    if found.counted and not found.labels and mostly_above_one(body, found.counted):
        return found
    if found.end >= 0 and not found.labels and are_intervals(at, times_of([row[found.end].strip() for row in body])):
        return found
    distinct, rows_at = np.unique(at, return_counts=True)
    usual = int(np.bincount(rows_at).argmax())
    if not even(distinct):
        return None
    if usual == 1 and rows_at.max() == 1:
        own = any(map(says_of_request, rows[0])) or any(len({row[k] for row in body}) > 1 for k in found.labels)
        return None if own and not (found.counted and found.labels) else found
    several = bool(found.labels) and (bool(found.counted) or float((rows_at == usual).mean()) >= ROUGH)
    keys = {(time_in(row, found.times), *(row[k] for k in found.labels)) for row in body}
    return found if several and len(keys) >= ROUGH * len(body) else None


def places_of(heads: Sequence[str], body: Rows) -> Places | None:
    """The columns by their names and cells; None without a time or a number."""
    names = [plain_name(name) for name in heads]
    times = time_places(names, body)
    end = next((k for k, name in enumerate(names) if {name, unit_of_time(name)[0]} & ENDS and k not in times), -1)
    if not times or not body:
        return None
    others = [k for k, name in enumerate(names) if k not in (*times, end) and name not in FULL]
    texts = {k: [row[k] for row in body] for k in others}
    others = [k for k in others if not is_running_number(names[k], texts[k])]
    numbers = {k for k in others if are_numbers(texts[k])}
    named = {k for k in others if is_series(names[k]) or says_of_request(heads[k])}
    values = [k for k in others if k in numbers - named and seconds_per(heads[k]) is None]
    labels = [k for k in others if k in named or (k not in numbers and any(texts[k]))]
    if len({time_in(row, times) for row in body}) == len(body) > 1:  # another label in each row names no series
        labels = [k for k in labels if len(set(texts[k])) < len(body)]
    counted = tuple(k for k in values if is_counted(heads[k]))
    return Places(times, end, tuple(labels), tuple(values), counted) if values else None


def are_intervals(begins: NDArray[np.int64], ends: NDArray[np.int64] | None) -> bool:
    """Whether each row ends as the next begins, as periods do and requests do not; they may differ in length."""
    if ends is None or len(begins) < FEWEST_ROWS or not (ends > begins).all():
        return False
    return float((ends[:-1] == begins[1:]).mean()) >= ROUGH


def is_running_number(name: str, cells: Sequence[str]) -> bool:
    """Whether a column numbers the rows of its table."""
    if name not in NUMBERS_ROWS or not all(cell.isdigit() for cell in cells):
        return False
    steps = set(np.diff([int(cell) for cell in cells]).tolist())
    return steps in ({1}, {-1})


def mostly_above_one(body: Rows, counted: tuple[int, ...]) -> bool:
    """Whether a column of counts holds numbers that are mostly above 1, which images of a request are not."""
    cells = [re.sub(r"[,.](?=\d{3}\b)", "", row[k].strip()) for row in body for k in counted]
    numbers = [float(cell.replace(",", ".")) for cell in cells if re.match(r"^\d+([.,]\d*)?$", cell)]
    return bool(numbers) and float(np.mean(np.array(numbers) > 1)) > USUAL


def times_of(texts: Sequence[str]) -> NDArray[np.int64] | None:
    """Instants (ns since 1970) good enough to compare, the day first where nothing shows it; None without."""
    orders: tuple[Order | None, ...] = (None, "day-first")
    for order in orders:
        with suppress(BadInput):
            return instants(texts, "UTC", order, Path())
    return None


def even(at: NDArray[np.int64]) -> bool:
    """Whether ascending instants are those of a clock: most steps are one step, the others (gaps) multiples of it.

    Of few rows all steps must be one, of ten seconds or more: on a coarse clock a few requests come so by chance.
    """
    if len(at) < FEWEST_ROWS:
        return False
    steps = np.diff(at) / 1e9
    least = float(steps.min())
    parts = steps / least
    exact = bool((np.abs(parts - np.round(parts)) * least < 2e-3).all())
    once = float((np.round(parts) == 1).mean())
    if exact and (once == 1.0 or len(at) >= FEWEST_GAPS) and (least >= LEAST_STEP or len(at) >= FEWEST_ROUGH):
        return once >= USUAL
    parts = steps / float(np.median(steps))
    near = (np.abs(parts - np.round(parts)) < MOST_JITTER) & (parts > USUAL)
    mostly = float((near & (np.round(parts) == 1)).mean()) >= ROUGHLY_ONE
    return len(at) >= FEWEST_ROUGH and float(near.mean()) >= ROUGH and mostly
