"""Counts per interval as dashboards, databases and people export them: Grafana's CSV, and any table of samples."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sim.errors import BadInput
from sim.tables.formats.instants import instants
from sim.tables.formats.reader import Asked, CountSeries, Floats, Head, Reader, table_cells
from sim.tables.formats.sampled import FULL, NOTHING, Places, body_of, places_of, sampled, time_in, unfolded
from sim.tables.formats.series import EVERY, PER, REFUSALS, differences, lengths, on_clock, settled
from sim.tables.headers import TOTAL
from sim.tables.names import plain_name, zone_in
from sim.tables.small_tables import ungrouped

# Names of what is no count of requests, as dashboards have them beside counts.
NO_COUNTS = re.compile(
    r"(?i)((^|[^a-z])(time|uptime|runtime)s?([^a-z]|$)|response.?time|latency|duration|percent|util|seconds|queue|running|"
    r"in.?flight|pending|concurren|backlog|"
    r"waiting|bytes|_span(days)?$|cpu|memory|temperature|power|voltage|clocks|dcgm|gpus?$|p\d\d)"
)
SHARE = re.compile(r"(^|_)(share|ratio|pct|percentage|fraction|(error|failure|refusal|rejection)_rate)$")
QUOTED = re.compile(r"\"[^\"]*\"")  # of a label, which may name anything
BESIDE = re.compile(  # names of what stands beside a count of requests and is none: people, sizes, figures of a window
    r"(^|_)(max|maximum|min|minimum|peak|stddev)(_|$)|"
    r"(^|_)(users?|accounts?|sessions?|people|customers?|images?|tokens?|spend|cost)(_|$)(?!(\w+_)?(requests?|calls|hits)$)"
)
PEAK = re.compile(r"(^|_)(max|maximum|peak|min|minimum)(_|$)")  # of a window, and not all that came in it
IN_HEADER = re.compile(r"^.*?[\s(\[]([^\s()\[\]]+)[)\]]?$")  # a unit behind the name of a series
OTHER_UNIT = re.compile(
    r"[(\[](?!count|number|n\b|sum|utc|gmt|local)[^\s()\[\]]{1,9}[)\]]$|_in_[a-z]+s$", re.IGNORECASE
)
CELL = re.compile(r"^(-?(?:[\d,]*\.?\d+)(?:[eE][+-]?\d+)?)\s*(K|Mil|M|Bil|B|Tri|T|k|m|b)?(?![a-zA-Z])\s*(.*)$")
LARGE = {"": 1.0, "K": 1e3, "M": 1e6, "MIL": 1e6, "B": 1e9, "BIL": 1e9, "T": 1e12, "TRI": 1e12}
LARGE_CELL = re.compile(r"\d ?(K|M|Mil|B|Bil)( |$)")
UNITS = {  # of cells and names: how many seconds a count is for
    **dict.fromkeys(("req/s", "reqps", "rps", "ops/s", "/s", "c/s", "counts/s", "cps", "requests/s", "req/sec"), 1.0),
    **dict.fromkeys(
        ("req/min", "reqpm", "rpm", "ops/min", "opm", "/min", "c/m", "cpm", "counts/min", "c/min", "req/m"), 60.0
    ),
}
RATES = {  # ends of names of rates, and their seconds
    **dict.fromkeys(("rps", "qps", "per_second", "per_sec"), 1.0),
    **dict.fromkeys(("rpm", "per_minute", "per_min"), 60.0),
    "per_hour": 3600.0,
    "per_day": 86400.0,
}
GROUPED = re.compile(r"^\d{1,3}([.,]\d{3})+$")
WHOLE = re.compile(r"^\d+([.,]0*|([.,]\d{3})+)?$")
LONG = {"series", "metric", "name", "field"}  # of tables of Grafana and InfluxDB with a row per series and time

AS = re.compile(r"\.as_(count|rate)\(\)")  # of a query of Datadog: of each interval, a second
FEWEST_RISING = 8  # counts: by chance as many never fall once in 40,000 tables
MOSTLY = 0.8  # of the steps of totals are above 0
FEWEST_PARTS = 2  # series of which another is the sum
NO_SERIES, A_COUNT = "no series of this file is a count of requests", "requests per interval, or a rate of them"


@dataclass(frozen=True)
class Series:
    """The cells of one series. column: what it is; counted: whether that says that it counts requests in each row."""

    cells: list[str]
    column: str
    counted: bool


@dataclass(frozen=True)
class Columns:
    """The series of a table, by name.

    begins: ns since 1970, ascending; ends: where a column says them; full: marks of intervals that were at a ceiling.
    """

    begins: NDArray[np.int64]
    series: dict[str, Series]
    ends: NDArray[np.int64] | None = None
    full: list[str] | None = None


def read_columns(path: Path, table: list[list[str]], asked: Asked, notes: list[str]) -> Columns:
    """The series of a table, in order of time. Raises BadInput for a time that comes twice."""
    names, *rest = table = unfolded(table)
    if totals := sum(bool(re.match(TOTAL, row[0])) for row in rest):
        notes.append(f"{totals} rows of totals: left out")
    body = body_of(table)
    places = places_of(names, body)
    if places is None:
        what = "no column of this table has numbers beside its times"
        raise BadInput(what, file=path, value=names, expected=f"a column of {A_COUNT}")
    asked = replace(asked, zone=asked.zone or next((zone for k in places.times if (zone := zone_in(names[k]))), None))
    if places.labels and len({tuple(row[k] for k in places.labels) for row in body}) > 1:
        return long_columns(path, names, body, places, asked)
    if not has_long_names(names, places):
        refuse_gauges(names, body, places, path)
    begins, rows = in_order(body, places, asked, path)
    columns = [list(cells) for cells in zip(*rows, strict=True)]
    series = {names[k]: Series(columns[k], names[k], k in places.counted) for k in places.values}
    ends = instants(columns[places.end], asked.zone, asked.dates, path) if places.end >= 0 else None
    full = next((columns[k] for k, name in enumerate(names) if plain_name(name) in FULL), None)
    return Columns(begins, series, ends, full)


def has_long_names(names: list[str], places: Places) -> bool:
    """Whether the name of a series is in a column of names, as Grafana writes it."""
    return any(plain_name(names[k]) in LONG for k in places.labels)


def long_columns(path: Path, names: list[str], body: list[list[str]], places: Places, asked: Asked) -> Columns:
    """The series of a table with a row for each series and time."""
    own = not has_long_names(names, places)
    if own:
        refuse_gauges(names, body, places, path)
    groups: dict[tuple[str, ...], list[list[str]]] = {}
    for row in body:
        groups.setdefault(tuple(row[k] for k in places.labels), []).append(row)
    ordered = {label: in_order(rows, places, asked, path) for label, rows in groups.items()}
    begins = np.unique(np.concatenate([at for at, _ in ordered.values()]))
    series = {}
    for label, (at, rows) in ordered.items():
        for k in places.values:
            name = " ".join([*label, *([names[k]] if len(places.values) > 1 else [])])
            cells = np.array([row[k] for row in rows], dtype=object)
            found = on_clock(at, cells, begins, "0" if k in places.counted else "").tolist()
            series[name] = Series(found, names[k] if own else name, k in places.counted)
    return Columns(begins, series)


def refuse_gauges(names: list[str], body: list[list[str]], places: Places, path: Path) -> None:
    """Raises BadInput where no column can count requests, before a zone or a unit is asked for."""
    each, asked = np.ones(len(body)), Asked(values="per-interval")
    for k in places.values:
        if k in places.counted or counted([row[k] for row in body], names[k], asked, each, path) is not None:
            return
    raise BadInput(NO_SERIES, file=path, value=[names[k] for k in places.values], expected=A_COUNT)


def in_order(
    rows: list[list[str]], places: Places, asked: Asked, path: Path
) -> tuple[NDArray[np.int64], list[list[str]]]:
    """The instants of the rows of one series, ascending, and the rows in this order."""
    texts = [time_in(row, places.times) for row in rows]
    at = instants(texts, asked.zone, asked.dates, path)
    order = np.argsort(at, kind="stable")
    twice = np.flatnonzero(np.diff(at[order]) == 0)
    if len(twice):
        place = int(order[twice[0] + 1])
        value = ", ".join([texts[place], *(rows[place][k] for k in (*places.labels, *places.values))])
        raise BadInput("this time comes twice", file=path, value=value, expected="one row per interval and series")
    return at[order], [rows[int(k)] for k in order]


def counts_of(
    paths: Sequence[Path], asked: Asked, cells_in: Callable[[Path], list[list[str]]] = table_cells
) -> CountSeries:
    """The counts of tables: parts of one recording, or, where their times are the same, other series.

    cells_in: the rows of a file as texts, the names first.
    Raises BadInput where a unit, a zone or the place of refusals must be asked for.
    """
    notes: list[str] = []
    whole, *parts = [read_columns(path, cells_in(path), asked, notes) for path in paths]
    for path, part in zip(paths[1:], parts, strict=True):
        whole = joined(whole, part, path)
    begins = whole.begins
    lasts, said = lengths(begins, whole.ends, paths[0])
    beside = {name for name, one in whole.series.items() if BESIDE.search(plain_name(one.column))}
    if not any(EVERY.search(one.column) for name, one in whole.series.items() if name not in beside):
        beside = set()
    named = [name for name, one in whole.series.items() if one.counted]
    if named:  # others say the same in another way, or something else
        beside |= set() if has_labels(whole) else of_the_same(named, whole, paths[0])
        beside |= {
            name
            for name, one in whole.series.items()
            if not one.counted and (SHARE.search(plain_name(one.column)) or not REFUSALS.search(one.column))
        }
    read = {
        name: None
        if name in beside
        else counted(one.cells, one.column, asked, lasts, paths[0], whole=one.counted or bool(named))
        for name, one in whole.series.items()
    }
    series = {name: values for name, values in read.items() if values is not None}
    if not series:
        raise BadInput(NO_SERIES, file=paths[0], value=list(read), expected=A_COUNT)
    notes += [*said, *(f"{name} is no count of requests: left out" for name in read if name not in series)]
    if any(LARGE_CELL.search(cell) for one in whole.series.values() for cell in one.cells):
        notes.append("cells in K or M are rounded to three figures")
    if asked.values == "counter":
        known = {name: np.isfinite(values) for name, values in series.items()}
        notes += [
            f"{name} began anew, {fell} falls: its count since is taken, a lower bound"
            for name, values in series.items()
            if (fell := int((np.diff(values[known[name]]) < 0).sum()))
        ]
        series = {name: differences(begins[k], series[name][k], begins) for name, k in known.items()}
        begins, lasts = begins[:-1], np.diff(begins) / 1e9
    elif len(series) == 1:
        only = next(iter(series.values()))
        notes += ceiling_said(whole.full, only)
        if asked.values is None:
            refuse_totals(only, next(iter(series)), paths[0])
    if total := total_of(series):
        notes.append(f"{total} is the sum of the others: left out")
        del series[total]
    whole_known = series if total else settled(series, asked, paths[0], sure=False)  # parts of a total are all asks
    return CountSeries(begins, lasts, whole_known, tuple(notes))


def has_labels(table: Columns) -> bool:
    """Whether several series are of one column, as in a table with a row for each series and time."""
    return len({one.column for one in table.series.values()}) < len(table.series)


def of_the_same(named: list[str], table: Columns, path: Path) -> set[str]:
    """Of columns that all count the requests of each row, those that repeat the first one.

    Raises BadInput where they differ.
    """
    first, *others = named
    if any(table.series[name].cells != table.series[first].cells for name in others):
        expected = "one of them, without the others"
        raise BadInput("several columns count requests, and differ", file=path, value=named, expected=expected)
    return set(others)


def total_of(series: dict[str, Floats]) -> str:
    """The series that is the sum of all others, of which two or more are above 0; '' if there is none."""
    if sum(float(np.nansum(values)) > 0 for values in series.values()) < FEWEST_PARTS + 1:
        return ""
    whole = np.sum(list(series.values()), axis=0)
    return next((name for name, values in series.items() if np.allclose(2 * values, whole, rtol=1e-6, atol=1e-9)), "")


def joined(one: Columns, two: Columns, path: Path) -> Columns:
    """Two tables as one: other series at the same times, or the same series at other times."""
    if np.array_equal(one.begins, two.begins) and not one.series.keys() & two.series.keys():
        return replace(one, series=one.series | two.series)
    if one.series.keys() != two.series.keys() or (one.ends is None) != (two.ends is None):
        what = "these files hold other series at other times"
        expected = f"the same series at other times ({', '.join(one.series)}), or others at the same"
        raise BadInput(what, file=path, value=list(two.series), expected=expected)
    begins = np.concatenate([one.begins, two.begins])
    order = np.argsort(begins, kind="stable")
    if (np.diff(begins[order]) == 0).any():
        raise BadInput("this file has a time that another one has too", file=path, expected="each interval once")

    def both(first: list[str], second: list[str]) -> list[str]:
        return [(first + second)[k] for k in order]

    series = {name: replace(part, cells=both(part.cells, two.series[name].cells)) for name, part in one.series.items()}
    ends = None if one.ends is None or two.ends is None else np.concatenate([one.ends, two.ends])[order]
    return Columns(begins[order], series, ends, both(one.full, two.full) if one.full and two.full else None)


class GrafanaCsv(Reader):
    """A panel of Grafana as CSV, series joined by time or a row per series and time, perhaps with units in cells."""

    name = "grafana"
    title = "a panel of Grafana (CSV, joined by time)"
    general = True

    def recognises(self, head: Head) -> bool:
        names = head.rows[0] if head.rows else []
        lower = {name.lower() for name in names}
        if {"time", "value"} <= lower and len(lower & LONG) == len(names) - 2 == 1:
            return True
        if len(names) < 2 or len(head.rows) < 2 or names[0] != "Time" or not places_of(names, body_of(head.rows)):
            return False
        quoted = any(line.startswith('"Time"') for line in head.lines[:2])
        return quoted or any(unit_of(cell) for cell in head.rows[1][1:]) or sampled(head.rows) is not None

    def counts(self, paths: Sequence[Path], asked: Asked) -> CountSeries:
        return counts_of(paths, asked)


class CountTable(Reader):
    """Any table with one row per interval: a column of times and one of counts, perhaps one that says it was full."""

    name = "counts"
    title = "a table of samples or counts, a row per interval"
    general = True

    def recognises(self, head: Head) -> bool:
        return sampled(head.rows) is not None and not GrafanaCsv().recognises(head)

    def counts(self, paths: Sequence[Path], asked: Asked) -> CountSeries:
        return counts_of(paths, asked)


def unit_of(cell: str) -> str:
    found = CELL.match(cell.strip())
    return found[3].strip() if found else ""


def counted(
    cells: list[str], name: str, asked: Asked, lasts: Floats, path: Path, *, whole: bool = False
) -> Floats | None:
    """The counts of a series in each interval; None where its unit or name says that it counts no requests.

    whole: its name says that it counts requests, and whole numbers are those of each interval.
    """
    cells = ["" if cell.strip().lower() in NOTHING else cell for cell in cells]
    bare = [re.sub("[.,]", "", cell) if GROUPED.match(cell) else cell for cell in cells]
    if whole and asked.values is None and all(not cell or WHOLE.match(cell) for cell in bare):
        return np.array([whole_count(cell, path, name) for cell in settled_points(cells)])
    found = [CELL.match(ungrouped(cell.strip())) for cell in cells]
    units = {match[3].strip() for match in found if match and match[3].strip()}
    if not units and (named := IN_HEADER.match(name.strip())) and named[1] in UNITS:
        units = {named[1]}
    bare_name = QUOTED.sub("", name)
    if asked.values is None and PEAK.search(plain_name(bare_name)):
        return None
    gauge = not units and not whole and (NO_COUNTS.search(bare_name) or OTHER_UNIT.search(bare_name))
    if gauge or len(units) > 1 or not units <= UNITS.keys():
        return None
    for cell, match in zip(cells, found, strict=True):
        if "," in match[1] if match else re.search(r"\d", cell):  # a cell with letters alone has no value
            expected = "a number like 1200.5"
            raise BadInput("this value cannot be read", file=path, key=name, value=cell, expected=expected)
    numbers = np.array([float(match[1]) * LARGE[(match[2] or "").upper()] if match else np.nan for match in found])
    per = seconds_counted(units, name, asked, path)
    return numbers * lasts / per if per else numbers


def seconds_counted(units: set[str], name: str, asked: Asked, path: Path) -> float:
    """The seconds that a number of a series is for; 0 where that is its interval. Raises BadInput where it is open."""
    if asked.values == "counter":
        return 0.0
    if units:
        return UNITS[next(iter(units))]
    if asked.values is not None:
        return PER.get(asked.values, 0.0)
    if said := AS.search(name):
        return 0.0 if said[1] == "count" else 1.0
    for end, per in RATES.items():
        if f"_{plain_name(name)}".endswith(f"_{end}"):
            return per
    expected = "per-second, per-minute, per-interval or counter; of people: 'meltpoint demand fit' with this file"
    what = "the unit of this series is not in the file"
    raise BadInput(what, file=path, key="--values", value=name, expected=expected)


def settled_points(texts: list[str]) -> list[str]:
    """Counts without the points between thousands, which 1.234 beside 990 shows: decimals would be in both."""
    grouped = [bool(GROUPED.match(text)) for text in texts]
    below = any(re.match(r"^\d{1,3}$", text) for text in texts)
    rest = all(one or re.match(r"^\d{0,3}$", text) for one, text in zip(grouped, texts, strict=True))
    if any(grouped) and below and rest:
        return [re.sub("[.,]", "", text) if one else text for one, text in zip(grouped, texts, strict=True)]
    return texts


def whole_count(text: str, path: Path, name: str) -> float:
    """A count, nan of an empty cell; 1.234 is refused, as counts are whole and its point may stand for thousands."""
    if GROUPED.match(text):
        expected = "a whole number like 1234; the point in it may stand between thousands"
        raise BadInput("this is no count", file=path, key=name, value=text, expected=expected)
    return float(text.replace(",", "")) if text else np.nan


def refuse_totals(values: Floats, name: str, path: Path) -> None:
    """Raises BadInput for counts that only grow, as totals since a beginning do."""
    steps = np.diff(values)
    if len(values) >= FEWEST_RISING and (steps >= 0).all() and (steps > 0).mean() > MOSTLY and values[0] > 0:
        what = "these counts never fall: they may be those of each interval, or totals since a beginning"
        asks = f"{values.sum():,.0f} requests", f"{values[-1] - values[0]:,.0f}"
        expected = f"per-interval: {asks[0]}; counter: {asks[1]}"
        raise BadInput(what, file=path, key="--values", value=name, expected=expected)


def ceiling_said(marked: list[str] | None, values: Floats) -> tuple[str, ...]:
    """A note on intervals that were full, by their marks or their counts: refusals in them are not in the counts."""
    top = np.nanmax(values)
    full = np.array([text not in ("", "0", "no", "false") for text in marked]) if marked else values == top
    if marked is None and full.sum() < max(3, 0.02 * len(values)):
        return ()
    what = "marked as full" if marked else f"at the ceiling of {top:g}"
    return (f"{int(full.sum())} of {len(values)} intervals are {what}: what was asked in them is at least the count",)
