"""Counts per interval as dashboards and shops export them: CloudWatch's metrics, Grafana's CSV, any table of counts."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from sim.errors import BadInput
from sim.tables.files import delimiter
from sim.tables.formats.reader import Asked, CountSeries, Floats, Head, Reader, json_object, whole_text
from sim.tables.times import STAMP, timestamps

REFUSALS = re.compile(r"(?i)(4xx|5xx|429|503|refus|reject|throttl|limited|denied|error|fail|drop)")
NO_COUNTS = re.compile(r"(?i)(time|latency|duration|percent|util|seconds|queue|running|waiting|bytes|cpu|memory|gpu)")
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
COUNTED = {"admitted", "requests", "request", "count", "counts", "asks", "hits", "arrivals", "calls", "visits"}
FULL = {"full", "capped", "at_cap", "sold_out", "ceiling"}
TIMED = {"time", "timestamp", "date", "datetime", "from", "hour", "minute", "interval", "period", "begin", "start"}


def instants(texts: Sequence[str], zone: str | None, path: Path) -> np.ndarray:
    """Nanoseconds since 1970 of texts. Raises BadInput for a time that cannot be read, or has no zone."""
    found = timestamps(pa.array(texts, pa.string()), zone or "UTC")
    if not found.known.all():
        value, expected = texts[int(np.argmin(found.known))], "a date and time like 2025-03-31 18:00:00"
        raise BadInput("this time cannot be read", file=path, value=value, expected=expected)
    if zone is None and not found.zoned.all():
        expected = (
            "--zone with the zone of the clock (of the browser, for what a dashboard exported), like Europe/Paris"
        )
        raise BadInput("times have no zone", file=path, key="--zone", value=texts[0], expected=expected)
    return found.instants


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


class CloudWatch(Reader):
    """`aws cloudwatch get-metric-data`: newest first, without statistic or period; a Sum of nothing has no sample."""

    name = "cloudwatch"
    title = "metrics of AWS CloudWatch (get-metric-data, JSON)"

    def recognises(self, head: Head) -> bool:
        return "MetricDataResults" in head.document

    def counts(self, paths: Sequence[Path], asked: Asked) -> CountSeries:
        results = [one for path in paths for one in json_object(whole_text(path))["MetricDataResults"]]
        path, notes = paths[0], []
        read: dict[str, tuple[np.ndarray, Floats]] = {}
        for one in results:
            label = str(one.get("Label") or one.get("Id"))
            if one.get("StatusCode") == "PartialData":
                expected = "all pages of the answer (NextToken)"
                raise BadInput(
                    "a part of these data is missing", file=path, key=label, value="PartialData", expected=expected
                )
            if NO_COUNTS.search(label):
                notes.append(f"{label} is no count: left out")
            elif one.get("Timestamps"):
                begins = instants([str(text) for text in one["Timestamps"]], asked.zone, path)
                values = np.array(one["Values"], dtype=float)
                before = read.get(label, (np.empty(0, np.int64), np.empty(0)))
                read[label] = (np.append(before[0], begins), np.append(before[1], values))
        if not read:
            raise BadInput("no metric of this file is a count", file=path, expected="one like RequestCount, as a Sum")
        every = np.concatenate([begins for begins, _ in read.values()])
        step = step_of(every, path)
        grid = grid_of(every, step)
        series = {label: on_grid(begins, values, grid, 0.0) for label, (begins, values) in read.items()}
        notes.append(f"the period is the least step, {step:g} s; counts are taken as sums, their stamps as beginnings")
        for label, (begins, _) in read.items():
            if not REFUSALS.search(label) and len(grid) > len(begins):
                notes.append(f"{label}: no sample for {len(grid) - len(begins)} of {len(grid)} periods: 0 for a sum")
        return CountSeries(grid, np.full(len(grid), step), settled(series, asked, path), tuple(notes))


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
        quoted = head.line.startswith('"Time",') and len(head.names) > 1
        cells = next(csv.reader(head.lines[1:2]), [])
        return quoted or (head.names[:1] == ["Time"] and any(unit_of(cell) for cell in cells[1:]))

    def counts(self, paths: Sequence[Path], asked: Asked) -> CountSeries:
        path, series, notes, begins = paths[0], {}, [], None
        for file in paths:
            rows = [row for row in csv.reader(whole_text(file).splitlines()) if row]
            at = instants([row[0] for row in rows[1:]], asked.zone, file)
            if begins is not None and not np.array_equal(at, begins):
                raise BadInput("these files have other times", file=file, expected=f"the times of {paths[0].name}")
            begins = at
            for place, name in enumerate(rows[0][1:], 1):
                cells = [row[place] if place < len(row) else "" for row in rows[1:]]
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


LARGE_CELL = re.compile(r"\d [KMB] ")


def unit_of(cell: str) -> str:
    found = CELL.match(cell.strip())
    return found[3].strip() if found else ""


def counted(cells: list[str], name: str, asked: Asked, step: float, path: Path) -> Floats | None:
    """The counts of a series in each step; None where its unit or name says that it counts no requests."""
    found = [CELL.match(cell.strip()) for cell in cells]
    units = {match[3].strip() for match in found if match and match[3].strip()}
    if len(units) > 1 or (units and not units <= UNITS.keys()) or (not units and NO_COUNTS.search(name)):
        return None
    if units:
        each = step / UNITS[next(iter(units))]
    elif asked.values is None:
        expected = "per-second, per-minute or per-interval, as the panel says"
        raise BadInput(
            "the unit of this series is not in the file", file=path, key="--values", value=name, expected=expected
        )
    else:
        each = 1.0 if asked.values == "per-interval" else step / PER[asked.values]
    numbers = [
        float(match[1].replace(",", "")) * LARGE[(match[2] or "").upper()] if match else np.nan for match in found
    ]
    return np.array(numbers) * each


class CountTable(Reader):
    """Any table with one row per interval: a column of times and one of counts, perhaps one that says it was full."""

    name = "counts"
    title = "a table of counts, one row per interval"

    def recognises(self, head: Head) -> bool:
        names = [name.lower() for name in head.names]
        if head.line.startswith('"Time",'):  # a panel of Grafana
            return False
        others = set(names) - TIMED - FULL - {"to", "until"}
        return len(others) == 1 and others <= COUNTED and len(names) > 1 and dated_and_whole(head)

    def counts(self, paths: Sequence[Path], asked: Asked) -> CountSeries:
        texts = [whole_text(path).splitlines() for path in paths]
        rows = [row for lines in texts for row in csv.reader(lines, delimiter=delimiter(texts[0][0])) if row]
        names = [name.strip().lower() for name in rows[0]]
        rows = [row for row in rows if [cell.strip().lower() for cell in row] != names]
        column = {name: [row[place].strip() for row in rows] for place, name in enumerate(names)}
        begins = instants(column[next(name for name in names if name in TIMED)], asked.zone, paths[0])
        if (np.diff(begins) <= 0).any():
            raise BadInput(
                "rows are not in order of time", file=paths[0], expected="each interval once, the oldest first"
            )
        name = next(name for name in names if name in COUNTED)
        values = np.array([float(text) if text else np.nan for text in column[name]])
        steps = np.diff(begins) / 1e9
        return CountSeries(begins, np.append(steps, np.median(steps)), {name: values}, ceiling_said(column, values))


def dated_and_whole(head: Head) -> bool:
    """Whether the first rows have dates and counts that are whole numbers, mostly above 1."""
    names = [name.lower() for name in head.names]
    count = next(place for place, name in enumerate(names) if name in COUNTED)
    time = next(place for place, name in enumerate(names) if name in TIMED)
    rows = [row for row in csv.reader(head.lines[1:50], delimiter=delimiter(head.line)) if len(row) == len(names)]
    numbers = [float(row[count]) for row in rows if re.match(r"^\d+(\.0*)?$", row[count].strip())]
    dated = all(re.match(STAMP, row[time].strip()) for row in rows)
    return dated and 1 < len(numbers) == len(rows) and bool(np.mean(np.array(numbers) > 1) > 0.5)


def ceiling_said(column: dict[str, list[str]], values: Floats) -> tuple[str, ...]:
    """A note on intervals that were full: what was refused in them is not in the counts."""
    marked = next((texts for name, texts in column.items() if name in FULL), None)
    top = np.nanmax(values)
    full = np.array([text not in ("", "0", "no", "false") for text in marked]) if marked else values == top
    if marked is None and full.sum() < max(3, 0.02 * len(values)):
        return ()
    what = "marked as full" if marked else f"at the ceiling of {top:g}"
    return (f"{int(full.sum())} of {len(values)} intervals are {what}: what was asked in them is at least the count",)
