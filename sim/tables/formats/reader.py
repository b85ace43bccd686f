"""The interface of readers of file formats, and the kinds of rows that they find: requests, counts, load points."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, TypeGuard

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sim.errors import BadInput, printable
from sim.schema import with_keys_once
from sim.tables.files import Broken, Progress, RowBlock, parquet_blocks
from sim.tables.headers import header, is_parquet
from sim.tables.opening import all_bytes, first_lines, opened
from sim.tables.small_tables import cells_of
from sim.tables.written_dates import Order

Floats = NDArray[np.float64]
REFUSED = (429, 503)  # statuses by which a service turns a request away
SHOWN = 200  # rows of a table that show what it is
CHUNK = 100_000  # rows of a block


class Head:
    """The beginning of a file, by which readers recognise it."""

    def __init__(self, path: Path):
        self.path = path

    @cached_property
    def lines(self) -> list[str]:
        """The first lines that are not empty, without one that is cut off; none of a Parquet file."""
        found = first_lines(self.path)
        return [line for line in (found[:-1] or found) if line.strip()]

    @cached_property
    def line(self) -> str:
        return self.lines[0] if self.lines else ""

    @cached_property
    def names(self) -> list[str]:
        """The columns, if the first line names any."""
        return header(self.path)

    @cached_property
    def rows(self) -> list[list[str]]:
        """The first rows of a table, its names first, also of a Parquet file; empty ones are left out."""
        if is_parquet(self.path):
            return table_cells(self.path, SHOWN)
        lines = first_lines(self.path)
        return filled(cells_of("\n".join((lines[:-1] or lines)[:SHOWN])))

    @cached_property
    def record(self) -> dict[str, Any]:
        """The first line as a JSON object; empty if it is none."""
        return json_object(self.line, strict=False)

    @cached_property
    def document(self) -> dict[str, Any]:
        """The whole file as one JSON object; empty if it is none."""
        if not self.line.lstrip().startswith("{") or (self.record and len(self.lines) > 1):  # JSON lines are none
            return {}
        return json_document(self.path)

    @cached_property
    def listed(self) -> dict[str, Any]:
        """The first object of the file's one JSON list; empty if it is none."""
        return next(iter(json_list(whole_text(self.path))), {}) if self.line.lstrip().startswith("[") else {}


def table_cells(path: Path, most: int | None = None) -> list[list[str]]:
    """The rows of a table of moderate size as texts, its names first; of a Parquet file without columns of lists.

    most: rows that are enough.
    """
    if not is_parquet(path):
        return filled(cells_of(whole_text(path)))
    rows: list[list[str]] = []
    for block in parquet_blocks(path, lambda _: None):
        columns = [values.slice(0, most).to_pylist() for values in block.columns.values()]
        rows += [list(block.columns)] * (not rows) + [list(row) for row in zip(*columns, strict=True)]
        if most is not None and len(rows) > most:
            break
    return rows


def filled(rows: list[list[str]]) -> list[list[str]]:
    return [row for row in rows if any(row)]


def json_list(text: str) -> list[dict[str, Any]]:
    """The objects of a JSON list, or of the first within a document; none if a text is another thing."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return []
    within = [found]
    for one in within:  # which grows: outer parts first
        if rows := rows_within(one):
            return rows
        if isinstance(one, list) and one and all(isinstance(part, dict) for part in one):
            return one
        within += one.values() if isinstance(one, dict) else []
    return []


def rows_within(one: Any) -> list[dict[str, Any]]:
    """The rows of a part of a document as objects: of CloudWatch's Logs Insights, Azure's Log Analytics, ClickHouse."""
    if isinstance(one, dict) and holds(one.get("meta"), "name") and isinstance(one.get("data"), list):
        names = [column["name"] for column in one["meta"]]
        return [row if isinstance(row, dict) else dict(zip(names, row, strict=False)) for row in one["data"]]
    if isinstance(one, list) and one and all(isinstance(row, list) and holds(row, "field", "value") for row in one):
        return [{cell["field"]: cell["value"] for cell in row} for row in one]
    if holds(one, "columns", "rows") and holds(one[0]["columns"], "name"):
        names = [column["name"] for column in one[0]["columns"]]
        return [dict(zip(names, row, strict=False)) for row in one[0]["rows"]]
    return []


def is_listed(head: Head) -> bool:
    """Whether a file is one JSON list, or one document with a list in it, and no lines of JSON."""
    return head.line.lstrip().startswith("[") or any(isinstance(part, dict | list) for part in head.document.values())


def holds(listed: Any, *keys: str) -> TypeGuard[list[dict[str, Any]]]:
    """Whether a part of a document is a list of objects, of which the first has these keys."""
    return isinstance(listed, list) and bool(listed) and isinstance(listed[0], dict) and set(keys) <= set(listed[0])


def json_object(text: str, *, strict: bool = True) -> dict[str, Any]:
    """The object that a text holds; empty if it is none, or, where strict, has a key twice."""
    try:
        found = json.loads(text, object_pairs_hook=with_keys_once if strict else None)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def json_document(path: Path) -> dict[str, Any]:
    """The object that a file of moderate size holds; empty if it is none, or has a key twice."""
    return json_object(whole_text(path))


def whole_text(path: Path) -> str:
    """A file of moderate size as text. Raises BadInput for a larger one."""
    return all_bytes(*opened(path), path).decode("utf-8-sig", errors="replace")


def timed(*names: str, per: float = 1.0) -> dict[str, tuple[str, float]]:
    """Columns of times, of which `per` make a second, as duration_s, wait_s and so on; and that of the status."""
    return {**{f"{name}_s": (name, per) for name in names}, "status": ("status", 1.0)}


@dataclass(frozen=True)
class Requests:
    """A file of which each row is one request.

    blocks: yields its rows as columns of texts; those named time, user, path and status have that meaning.
    stamped: whether times are those of the request ('start') or of the answer ('end'); '' if the format leaves it open,
    and 'a list' if moreover its rows are perhaps sorted by their times.
    extra: further numbers by name: a column, and what to divide it by. duration_s, wait_s and service_s are seconds.
    unit, zone: of times that have none; step: seconds between two ticks of their clock, where the format says.
    leave_out: rows that are no requests of the service, by column: a pattern, and what such rows are.
    user, kind, server, request: the columns that say who asked, for what, who served, which rows are of one request;
    retry: that says which row repeats an earlier one. asks_unit: where the unit of durations is open, what is wrong, a
    value, and what is expected.
    """

    blocks: Callable[[Path, list[Broken], Progress], Iterator[RowBlock]]
    stamped: str = ""
    extra: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    unit: str | None = None
    zone: str | None = None
    leave_out: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    user: str | None = "user"
    kind: str | None = "path"
    server: str | None = None
    request: str | None = None
    retry: str | None = None
    notes: tuple[str, ...] = ()
    asks_unit: tuple[str, str, str] | None = None


@dataclass(frozen=True)
class CountSeries:
    """Counts of requests or people per interval.

    begins: nanoseconds since 1970 (UTC), ascending; lasts: seconds; series: counts by name, nan is unknown.
    """

    begins: NDArray[np.int64]
    lasts: Floats
    series: dict[str, Floats]
    notes: tuple[str, ...] = ()

    @property
    def total(self) -> Floats:
        """The counts of all series together; an unknown one counts as 0."""
        return np.sum([np.nan_to_num(values) for values in self.series.values()], axis=0)


@dataclass(frozen=True)
class LoadPoint:
    """One row of a load test, times in seconds.

    component: pipeline, prefill or decode; concurrency: requests in flight, rate: requests a second that were sent,
    None where the file does not say. batch: inputs a request holds, as the file says. latency: by quantile and mean, as
    the client saw it. compute: seconds of the server's work on one batch. throughput: requests answered a second;
    errors: share of requests that failed.
    """

    component: str = "pipeline"
    batch: int | None = None
    concurrency: float | None = None
    rate: float | None = None
    latency: Mapping[str, float] = field(default_factory=dict)
    compute: float | None = None
    throughput: float | None = None
    errors: float | None = None
    row: str = ""


@dataclass(frozen=True)
class Asked:
    """Facts about a file that it does not contain and the user gives.

    zone: of times without one. values: 'per-second', 'per-minute', 'per-interval' or 'counter'. refused: whether
    refusals are 'inside' the counts of requests or 'beside' them. dates: the order of day and month.
    """

    zone: str | None = None
    values: str | None = None
    refused: str | None = None
    dates: Order | None = None


@contextmanager
def reading(path: Path, title: str) -> Iterator[None]:
    """Turns what a damaged file does to a reader into one message: a key, a cell or a type that its format has not."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, pa.ArrowException) as wrong:
        what = f"this looks like {title}, and a part of it is not as that format has it ({printable(str(wrong))})"
        raise BadInput(what, file=path, expected="a whole file, as it was written") from None


class Reader:
    """Reads one format. A class in this folder with a name is found; it overrides what its files hold."""

    name: ClassVar[str]
    title: ClassVar[str]  # what such a file is, for messages
    general: ClassVar[bool] = False  # whether it knows tables by their shape alone, and so comes after all others

    def recognises(self, head: Head) -> bool:
        raise NotImplementedError

    def requests(self, head: Head) -> Requests | None:
        """How to read the requests of a file; None if it holds none."""
        return None

    def counts(self, paths: Sequence[Path], asked: Asked) -> CountSeries | None:
        """The counts per interval of a file; None if it holds none."""
        return None

    def load_points(self, path: Path) -> list[LoadPoint] | None:
        """The rows of a load test; None if it is none."""
        return None

    def figures(self, paths: Sequence[Path]) -> str:
        """What a file says in figures, where it holds neither requests nor counts; a sentence."""
        return ""


def records_block(rows: list[dict[str, Any]], lines: Sequence[int], columns: Sequence[str]) -> RowBlock:
    """Rows that were read one by one, as columns of texts."""
    texts = {name: pa.array([as_text(row.get(name)) for row in rows], pa.string()) for name in columns}
    return RowBlock(texts, np.asarray(lines, dtype=np.int64))


def as_text(value: Any) -> str:
    if value is None:
        return ""
    return repr(value) if isinstance(value, float) else str(value)


def json_lines(path: Path, broken: list[Broken], progress: Progress) -> Iterator[tuple[int, dict[str, Any]]]:
    """The JSON objects of a file, one a line or all in one list, each with the number of its line, or its place."""
    if Head(path).line.lstrip().startswith("["):
        yield from enumerate(json_list(whole_text(path)), 1)
        return
    stream, raw = opened(path)
    size, number = max(path.stat().st_size, 1), 0
    with raw:
        for data in stream:
            number += 1
            text = data.decode("utf-8-sig", errors="replace").strip()
            found = json_object(text)
            if found:
                yield number, found
            elif text:
                broken.append(Broken(number, printable(text[:200])))
            if number % 10_000 == 0:
                progress(raw.tell() / size)


def json_records(path: Path) -> list[dict[str, Any]]:
    """All JSON objects of a file, one a line or in one list, also within a document; other lines are left out."""
    if is_listed(Head(path)) and (found := json_list(whole_text(path))):
        return found
    return [found for _, found in json_lines(path, [], lambda _: None)]


def in_chunks(rows: Iterator[tuple[int, dict[str, Any]]], columns: Sequence[str]) -> Iterator[RowBlock]:
    """Rows in blocks of moderate size."""
    while chunk := list(islice(rows, CHUNK)):
        yield records_block([row for _, row in chunk], [number for number, _ in chunk], columns)
