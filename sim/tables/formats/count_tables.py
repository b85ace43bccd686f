"""Counts per interval as dashboards and shops export them: Grafana's CSV, and any table of counts."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sim.errors import BadInput
from sim.tables.formats.reader import Asked, CountSeries, Floats, Head, Reader, whole_text
from sim.tables.headers import TOTAL
from sim.tables.names import plain_name
from sim.tables.small_tables import cells_of
from sim.tables.times import STAMP, matches, timestamps
from sim.tables.written_dates import in_iso

REFUSALS = re.compile(r"(?i)(4xx|5xx|429|503|refus|reject|throttl|limited|denied|error|fail|drop)")
NO_COUNTS = re.compile(r"(?i)(time|latency|duration|percent|util|seconds|queue|running|waiting|bytes|cpu|memory|gpu)")
EPOCH = re.compile(r"^[1-9]\d{8,18}(\.\d+)?$")
IN_HEADER = re.compile(r"^.*?[\s(\[]([^\s()\[\]]+)[)\]]?$")  # a unit behind the name of a series
OTHER_UNIT = re.compile(r"[(\[](ms|s|us|µs|%|°?C|W|GiB|MiB|bytes?|percent)[)\]]$")
CELL = re.compile(r"^(-?[\d,]*\.?\d+)\s*([KMBkmb](?![a-z]|in))?\s*(.*)$")
LARGE = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9}
UNITS = {  # of cells: how many seconds a count is for
    "req/s": 1.0,
    "reqps": 1.0,
    "rps": 1.0,
    "ops/s": 1.0,
    "/s": 1.0,
    "c/s": 1.0,
    "req/min": 60.0,
    "reqpm": 60.0,
    "rpm": 60.0,
    "ops/min": 60.0,
    "opm": 60.0,
    "/min": 60.0,
    "c/m": 60.0,
    "cpm": 60.0,
}
PER = {"per-second": 1.0, "per-minute": 60.0}
COUNTED = {
    "anfragen",
    "aufrufe",
    "zugriffe",
    "requetes",
    "requêtes",
    "peticiones",
    "admitted",
    "requests",
    "request",
    "count",
    "counts",
    "asks",
    "hits",
    "arrivals",
    "calls",
    "visits",
}
GROUPED = re.compile(r"^\d{1,3}([.,]\d{3})+$")
WHOLE = re.compile(r"^\d+([.,]0*|([.,]\d{3})+)?$")
ROLES = re.compile(
    r"(^|_)(id|name|user|client|customer|account|host|ip|status|code|kind|type|path|endpoint|images?|tokens?|steps?|size)$"
)
LEAST_STEP = 10.0  # seconds between rows that are counts whatever the column of times is named
FEWEST_ROWS = 3  # at even steps
FULL = {"full", "capped", "at_cap", "sold_out", "ceiling"}
BESIDE = FULL | {"to", "until"}
TIMED = {
    "zeit",
    "zeitpunkt",
    "zeitstempel",
    "datum",
    "horodatage",
    "heure",
    "fecha",
    "hora",
    "time",
    "timestamp",
    "date",
    "datetime",
    "from",
    "hour",
    "minute",
    "interval",
    "period",
    "begin",
    "start",
}


def instants(texts: Sequence[str], asked: Asked, path: Path) -> np.ndarray:
    """Nanoseconds since 1970 of texts: dates, or numbers since 1970 in s, ms, us or ns, as their size shows.

    Raises BadInput for a time that cannot be read, or has no zone.
    """
    if texts and all(EPOCH.match(text) for text in texts):
        return epoch_instants(np.array(texts, dtype=float))
    try:
        found = timestamps(in_iso(pa.array(texts, pa.string()), asked.dates), asked.zone or "UTC")
    except BadInput as wrong:
        raise BadInput(wrong.message, file=path, key=wrong.key, value=wrong.value, expected=wrong.expected) from None
    if not found.known.all():
        value, expected = texts[int(np.argmin(found.known))], "a date and time like 2025-03-31 18:00:00"
        raise BadInput("this time cannot be read", file=path, value=value, expected=expected)
    if asked.zone is None and not found.zoned.all():
        expected = (
            "--zone with the zone of the clock (of the browser, for what a dashboard exported), like Europe/Paris"
        )
        raise BadInput("times have no zone", file=path, key="--zone", value=texts[0], expected=expected)
    return found.instants


def roughly_iso(texts: Sequence[str]) -> Any:
    """Dates in the form of ISO 8601, the day first where nothing shows their order: enough to know them as dates."""
    try:
        return in_iso(pa.array(texts, pa.string()))
    except BadInput:
        return in_iso(pa.array(texts, pa.string()), "day-first")


def epoch_instants(numbers: Floats) -> np.ndarray:
    """Nanoseconds since 1970, to the microsecond, of numbers whose size shows their unit (seconds: 9 or 10 digits)."""
    unit = 1e3 ** max(math.floor((math.log10(float(np.median(numbers))) - 8.0) / 3.0), 0)
    return np.asarray(np.round(numbers / unit * 1e6).astype(np.int64) * 1000)


def step_of(begins: np.ndarray, path: Path) -> float:
    """The least step between instants, seconds."""
    steps = np.diff(np.unique(begins))
    if not len(steps):
        raise BadInput("one row has no length", file=path, expected="counts of two intervals or more")
    return float(steps.min()) / 1e9


def on_grid(begins: np.ndarray, values: Floats, grid: np.ndarray, missing: float) -> Floats:
    found = np.full(len(grid), missing)
    found[np.searchsorted(grid, begins)] = values
    return found


def grid_of(begins: np.ndarray, step: float) -> np.ndarray:
    return np.asarray(np.arange(begins.min(), begins.max() + 1, round(step * 1e9)), dtype=np.int64)


def settled(series: dict[str, Floats], asked: Asked, path: Path) -> dict[str, Floats]:
    """Series of which the sum is all that was asked. Raises BadInput where it is open whether refusals are in it."""
    refused = {name: values for name, values in series.items() if REFUSALS.search(name)}
    rest = {name: values for name, values in series.items() if name not in refused}
    if not refused or not rest or asked.refused == "beside":
        return series
    if asked.refused == "inside":
        return rest
    asks, turned = (float(np.nansum(list(part.values()))) for part in (rest, refused))
    what = f"{', '.join(refused)}: are these refusals within {', '.join(rest)}, or beside them?"
    expected = f"inside: {asks:,.0f} requests in all; beside: {asks + turned:,.0f}"
    raise BadInput(what, file=path, key="--refused", expected=expected)


class GrafanaCsv(Reader):
    """A panel of Grafana as CSV, series joined by time, perhaps with units in the cells."""

    name = "grafana"
    title = "a panel of Grafana (CSV, joined by time)"

    def recognises(self, head: Head) -> bool:
        rows = [row for row in cells_of("\n".join(head.lines[:200])) if row]
        names = rows[0] if rows else []
        if [name.lower() for name in names] == ["series", "time", "value"]:
            return True
        if len(names) < 2 or len(rows) < 2 or plain_name(names[0]) not in TIMED:
            return False
        if names[0] != "Time":
            others = {plain_name(name) for name in names[1:]} - BESIDE
            one = len(others) == 1 and others <= COUNTED  # a table of counts
            return not one and not any(map(ROLES.search, others)) and evenly_counted(rows, LEAST_STEP)
        quoted = any(line.startswith('"Time"') for line in head.lines[:2])
        return quoted or any(unit_of(cell) for cell in rows[1][1:]) or evenly_counted(rows)

    def counts(self, paths: Sequence[Path], asked: Asked) -> CountSeries:
        path, begins = paths[0], None
        series: dict[str, Floats] = {}
        notes: list[str] = []
        for file in paths:
            names, *rows = joined_by_time(without_totals(cells_of(whole_text(file)), notes))
            at = instants([row[0] for row in rows], asked, file)
            if begins is not None and not np.array_equal(at, begins):
                raise BadInput("these files have other times", file=file, expected=f"the times of {paths[0].name}")
            begins = at
            for place, name in enumerate(names[1:], 1):
                cells = [row[place] if place < len(row) else "" for row in rows]
                if (values := counted(cells, name, asked, step_of(at, file), file)) is None:
                    notes.append(f"{name} is no count of requests: left out")
                else:
                    series[name] = values
        if begins is None or not series:
            raise BadInput("no series of this file is a count of requests", file=path)
        step = step_of(begins, path)
        if any(LARGE_CELL.search(text) for text in [whole_text(path)]):
            notes.append("cells in K or M are rounded to three figures")
        return CountSeries(begins, np.full(len(begins), step), series, tuple(notes))


def without_totals(rows: list[list[str]], notes: list[str]) -> list[list[str]]:
    """The rows of a table that are not empty, and no totals; a note says what was left out."""
    kept = [row for row in rows if row and not re.match(TOTAL, row[0])]
    if len(kept) < (left := sum(map(bool, rows))):
        notes.append(f"{left - len(kept)} rows of totals: left out")
    return kept


def evenly_counted(rows: list[list[str]], least: float = 0.0) -> bool:
    """Whether rows come at even steps (seconds, at least) and hold numbers, as no recording of requests does."""
    cells = without_totals(rows[1:50], [])
    if len(cells) < FEWEST_ROWS or not all(not cell or CELL.match(cell) for row in cells for cell in row[1:]):
        return False
    times = [row[0] for row in cells]
    numbers = all(EPOCH.match(time) for time in times)
    at = epoch_instants(np.array(times, dtype=float)) if numbers else timestamps(roughly_iso(times)).instants
    steps = np.unique(np.diff(at))
    return len(steps) == 1 and abs(float(steps[0])) >= least * 1e9


def joined_by_time(rows: list[list[str]]) -> list[list[str]]:
    """A table with a column per series, also of one with a row per series and time."""
    if [name.lower() for name in rows[0]] != ["series", "time", "value"]:
        return rows
    names = list(dict.fromkeys(row[0] for row in rows[1:]))
    found = {(row[1], row[0]): row[2] for row in rows[1:] if len(row) == len(rows[0])}
    times = sorted({row[1] for row in rows[1:]})
    return [["Time", *names], *([time, *(found.get((time, name), "") for name in names)] for time in times)]


LARGE_CELL = re.compile(r"\d [KMB] ")


def unit_of(cell: str) -> str:
    found = CELL.match(cell.strip())
    return found[3].strip() if found else ""


def unreadable(cell: str, match: re.Match[str] | None) -> bool:
    """Whether a cell holds a number that nothing says how to read; one with letters alone has no value."""
    return "," in match[1] if match else bool(re.search(r"\d", cell))


def counted(cells: list[str], name: str, asked: Asked, step: float, path: Path) -> Floats | None:
    """The counts of a series in each step; None where its unit or name says that it counts no requests."""
    found = [CELL.match(cell.strip()) for cell in cells]
    units = {match[3].strip() for match in found if match and match[3].strip()}
    if not units and (named := IN_HEADER.match(name.strip())) and named[1] in UNITS:
        units = {named[1]}
    if len(units) > 1 or (units and not units <= UNITS.keys()):
        return None
    if not units and (NO_COUNTS.search(name) or OTHER_UNIT.search(name)):
        return None
    wrong = next((cell for cell, match in zip(cells, found, strict=True) if unreadable(cell, match)), "")
    if wrong:
        raise BadInput("this value cannot be read", file=path, key=name, value=wrong, expected="a number like 1200.5")
    if units:
        each = step / UNITS[next(iter(units))]
    elif asked.values is None:
        expected = "per-second, per-minute or per-interval; of totals that grow: 'meltpoint demand fit' with this file"
        raise BadInput(
            "the unit of this series is not in the file", file=path, key="--values", value=name, expected=expected
        )
    else:
        if asked.values == "counter":
            expected = "per-second, per-minute or per-interval; totals that grow are for 'meltpoint demand fit'"
            raise BadInput("a table is not read as a counter", file=path, key="--values", expected=expected)
        each = 1.0 if asked.values == "per-interval" else step / PER[asked.values]
    numbers = [float(match[1]) * LARGE[(match[2] or "").upper()] if match else np.nan for match in found]
    return np.array(numbers) * each


class CountTable(Reader):
    """Any table with one row per interval: a column of times and one of counts, perhaps one that says it was full."""

    name = "counts"
    title = "a table of counts, one row per interval"

    def recognises(self, head: Head) -> bool:
        names = [plain_name(name) for name in head.names if name]
        if GrafanaCsv().recognises(head):
            return False
        others = set(names) - TIMED - BESIDE
        return len(others) == 1 and others <= COUNTED and len(names) > 1 and dated_and_whole(head)

    def counts(self, paths: Sequence[Path], asked: Asked) -> CountSeries:
        notes: list[str] = []
        rows = [row for path in paths for row in without_totals(cells_of(whole_text(path)), notes)]
        names = [plain_name(name) for name in rows[0]]
        rows = [row for row in rows if [plain_name(cell) for cell in row] != names]
        column = {name: [row[place].strip() for row in rows] for place, name in enumerate(names)}
        begins = instants(column[next(name for name in names if name in TIMED)], asked, paths[0])
        if (np.diff(begins) <= 0).any():
            raise BadInput(
                "rows are not in order of time", file=paths[0], expected="each interval once, the oldest first"
            )
        name = next(name for name in names if name in COUNTED)
        values = np.array([whole_count(text, paths[0], name) for text in settled_points(column[name])])
        steps = np.diff(begins) / 1e9
        notes += ceiling_said(column, values)
        return CountSeries(begins, np.append(steps, np.median(steps)), {name: values}, tuple(notes))


def without_points(texts: Sequence[str]) -> list[str]:
    return [re.sub("[.,]", "", text) if GROUPED.match(text) else text for text in texts]


def settled_points(texts: list[str]) -> list[str]:
    """Counts without the points between thousands, which 1.234 beside 990 shows: decimals would be in both."""
    grouped = [bool(GROUPED.match(text)) for text in texts]
    below = any(re.match(r"^\d{1,3}$", text) for text in texts)
    rest = all(one or re.match(r"^\d{0,3}$", text) for one, text in zip(grouped, texts, strict=True))
    return without_points(texts) if any(grouped) and below and rest else texts


def whole_count(text: str, path: Path, name: str) -> float:
    """A count, nan of an empty cell; 1.234 is refused, as counts are whole and its point may stand for thousands."""
    if GROUPED.match(text):
        expected = "a whole number like 1234; the point in it may stand between thousands"
        raise BadInput("this is no count", file=path, key=name, value=text, expected=expected)
    try:
        return float(text.replace(",", "")) if text else np.nan
    except ValueError:
        raise BadInput("this is no count", file=path, key=name, value=text, expected="a number like 1234") from None


def dated_and_whole(head: Head) -> bool:
    """Whether the first rows have dates and counts that are whole numbers, mostly above 1."""
    names = [plain_name(name) for name in head.names if name]
    count = next(place for place, name in enumerate(names) if name in COUNTED)
    time = next(place for place, name in enumerate(names) if name in TIMED)
    rows = [row for row in without_totals(cells_of("\n".join(head.lines[:50])), []) if len(row) == len(names)][1:]
    numbers = [float(without_points([row[count]])[0]) for row in rows if WHOLE.match(row[count])]
    dated = matches(roughly_iso([row[time] for row in rows]), STAMP)
    return bool(dated.all()) and 1 < len(numbers) == len(rows) and bool(np.mean(np.array(numbers) > 1) > 0.5)


def ceiling_said(column: dict[str, list[str]], values: Floats) -> tuple[str, ...]:
    """A note on intervals that were full: what was refused in them is not in the counts."""
    marked = next((texts for name, texts in column.items() if name in FULL), None)
    top = np.nanmax(values)
    full = np.array([text not in ("", "0", "no", "false") for text in marked]) if marked else values == top
    if marked is None and full.sum() < max(3, 0.02 * len(values)):
        return ()
    what = "marked as full" if marked else f"at the ceiling of {top:g}"
    return (f"{int(full.sum())} of {len(values)} intervals are {what}: what was asked in them is at least the count",)
