"""Logs of requests as JSON lines or logfmt: nginx, Caddy, Traefik, Google Cloud, traces of LLM services, programs.

Which key is what is recognised by its name in the first records; keys of objects within objects are joined by dots.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from sim.errors import BadInput, printable
from sim.tables.coded import of_words
from sim.tables.elapsed import ELAPSED, WAITED, spans, with_elapsed
from sim.tables.files import Broken, Progress, RowBlock
from sim.tables.formats.count_tables import counts_of
from sim.tables.formats.json_keys import (
    AREA,
    TIMES,
    first_of,
    path_of,
    rest_said,
    roles_of,
    side_of,
    stamped,
    time_of,
    unit_by_program,
    user_of,
)
from sim.tables.formats.lines import whole_lines
from sim.tables.formats.one_record import BEHIND, FEWEST_FIELDS, FIELD, flat, is_record, record_of
from sim.tables.formats.reader import (
    Asked,
    CountSeries,
    Head,
    Reader,
    Requests,
    as_text,
    in_chunks,
    is_listed,
    json_list,
    json_records,
    records_block,
    whole_text,
)
from sim.tables.formats.sampled import sampled
from sim.tables.formats.w3c_logs import HITS
from sim.tables.formats.web_logs import is_log_line
from sim.tables.in_order import in_order
from sim.tables.names import (
    AREAS,
    BEGUN,
    CREATED,
    ENDS,
    ERRORS,
    REQUEST_IDS,
    RETRY,
    SIZES,
    WEIGHTS,
    is_service,
    parts_of,
    plain_name,
    sampled_said,
    seconds_per,
    shown_per,
    status_of_error,
    unit_of_time,
    unread_said,
)
from sim.tables.times import written_seconds

CLOCK = re.compile(r"^\d\d:\d\d:\d\d")
MESSAGES = ("log", "message", "msg", "line", "textPayload", "@message", "MESSAGE", "body")
NAMED = "metadata.creationTimestamp"  # of objects of Kubernetes
LOGGED = {"level", "lvl", "severity", "logger", "msg", "message", "pid"}  # keys of a program's log, not of an export
NO_REQUEST = ("^no$", "records without a path, a status or a duration, as of a program's other messages")
OTHER = {  # keys of other documents
    *("request_throughput", "num_prompts", "benchmark_duration", "metadata"),
    *("metric", "resourceSpans", "MetricDataResults", "data.resultType"),
}


def first_records(head: Head) -> list[dict[str, Any]]:
    """The first records of a file, with flat keys."""
    line = head.line.lstrip()
    if line.startswith(("[", "{")) and is_listed(head):
        records = json_list(whole_text(head.path))[:200]
    elif line.startswith("{") or len(FIELD.findall(line)) >= FEWEST_FIELDS or BEHIND.match(line):
        records = [record_of(line.strip()) for line in head.lines[:200]]
    else:
        return []
    return [flat(one) for one in records if one]


class JsonCounts(Reader):
    """Records of an instant and numbers at even steps, which say nothing of a request: counts or gauges."""

    name = "json-counts"
    title = "samples or counts in JSON, a record per interval"
    general = True

    def recognises(self, head: Head) -> bool:
        records = first_records(head)
        if not records or any({"status", "duration", "user"} & roles_of(one).keys() for one in records[:3]):
            return False
        return sampled(rows_in(records)) is not None

    def counts(self, paths: Sequence[Path], asked: Asked) -> CountSeries:
        return counts_of(paths, asked, lambda path: rows_in([flat(one) for one in json_records(path)]))


def rows_in(records: list[dict[str, Any]]) -> list[list[str]]:
    """Records as the rows of a table, the names of their keys first."""
    names = list(dict.fromkeys(key for one in records for key in one))
    return [names, *([as_text(one.get(name)) for name in names] for one in records)]


class JsonLog(Reader):
    """One JSON object per request, or one line of logfmt; other records among them are left out."""

    name = "json-lines"
    title = "JSON lines, one object per request"
    general = True

    def recognises(self, head: Head) -> bool:
        records = first_records(head)
        other = any(OTHER & {*one, *(key.split(".")[0] for key in one)} for one in records if NAMED not in one)
        timed = [one for one in records if time_of(one)]
        if head.document and is_listed(head):  # which may hold anything with times
            timed = [one for one in timed if roles_of(one)]
        return not other and bool(timed)

    def requests(self, head: Head) -> Requests:
        records = first_records(head)
        asking = [one for one in records if roles_of(one)] or records
        there = {key: value for one in reversed(asking) for key, value in one.items() if value not in (None, "")}
        time, roles = time_of(there), roles_of(there)
        refuse_wrapped(records, roles, head.path)
        duration = roles.get("duration", "")
        sortable = is_listed(head) or not LOGGED & {plain_name(key.rpartition(".")[2]) for key in there}
        at = stamped(time, list(there)) or (("a list" if sortable else "") if duration else "start")
        per, said = per_second(duration, there, records)
        begun, ended = (first_of(names, there) for names in (BEGUN, (*ENDS, "edge_end_timestamp")))
        begun = "" if begun == time or not ended or plain_name(time.rpartition(".")[2]) not in CREATED else begun
        ended = "" if at != "start" or (duration and not begun) else ended
        date = first_of(("date",), there) if CLOCK.match(str(there[time])) else ""
        cached = "x-edge-result-type" in there
        sizes = sizes_in(there)
        columns = {"time": time, **roles, **sizes}
        columns |= {"result": "x-edge-result-type"} if cached else {}
        columns |= {"retry": again} if (again := first_of(RETRY, there)) else {}
        columns |= {"id": number} if (number := first_of(REQUEST_IDS, there)) else {}
        columns |= {name: key for name, key in (("begun", begun), ("ended", ended)) if key}
        read = ", ".join(f"{role} from {key!r}" for role, key in {"time": time, **roles}.items())
        extra = {name: (name, 1.0) for name in ("status", *sizes) if name in columns}
        parts = parts_of(there, partial(numbers_in, records), 1.0 if seconds_per(duration) else per)
        if duration or ended:
            named = "service_s" if is_service(duration, parts) and not ended else "duration_s"
            extra[named] = (ELAPSED if ended else "duration", 1.0)
        for what, (key, each) in parts.items():
            columns[what], extra[what] = key, (what, each)
        if begun:
            extra["wait_s"] = (WAITED, 1.0)
        keys = Keys(columns, per, date, schema_of(records, [*columns.values(), *([date] if date else [])]))
        return Requests(
            blocks=partial(timed_blocks if ended else json_blocks, keys=keys),
            stamped=at,
            extra=extra,
            unit=unit_of_times(time, there),
            user="user" if "user" in roles else None,
            kind="path" if "path" in roles else None,
            request="id" if number else None,
            retry="retry" if again else None,
            zone="UTC" if cached else None,
            leave_out={"asks": NO_REQUEST, **({"result": HITS} if cached else {})},
            notes=(
                *rest_said(head.document),
                *sampled_said(weight := first_of(WEIGHTS, there), numbers_in(records, weight)),
                f"read as JSON: {read}"
                + (f", wait from the time to {begun!r}" if begun else "")
                + (f", duration from the time to {ended!r}" if ended else ""),
                *([said] if said else []),
                *([] if duration or ended or parts or begun else unread_said(set(there) - {time}, TIMES)),
            ),
        )


def numbers_in(records: list[dict[str, Any]], key: str) -> list[float]:
    """The values of a key that are numbers."""
    return [float(one[key]) for one in records if isinstance(one.get(key), int | float)]


def per_second(duration: str, there: dict[str, Any], records: list[dict[str, Any]]) -> tuple[float, str]:
    """The number of units of a log's durations in a second, and a note where only their size shows the unit."""
    if not duration:
        return 1.0, ""
    if known := unit_by_program(there):
        return known, ""
    values = [one[duration] for one in records if duration in one]
    per, said = shown_per(duration, [found for one in values if (found := in_seconds(one, 1.0)) is not None])
    return per, "" if any(written_seconds(str(one)) is not None for one in values) else said


def sizes_in(there: dict[str, Any]) -> dict[str, str]:
    """The keys of pixels, steps and tokens, by what they say."""
    found: dict[str, str] = {name: name for name in ("input_length", "output_length", "images") if name in there}
    found |= {what: key for what, names in SIZES.items() if (key := first_of(names, there))}
    area = first_of(AREAS, there)
    return {"side": area, **found} if area and AREA.match(str(there[area])) else found


def unit_of_times(time: str, there: dict[str, Any]) -> str | None:
    """The unit of times that are numbers: as their key names it; traces with token counts, as of Mooncake, have ms."""
    traced = "input_length" in there and isinstance(there[time], int | float) and there[time] < 1e9
    return "ms" if traced else unit_of_time(time.rpartition(".")[2])[1]


def refuse_wrapped(records: list[dict[str, Any]], roles: dict[str, str], path: Path) -> None:
    """Raises BadInput for records of a collector (Docker, Loki, CloudWatch Logs) with lines of another log in them."""
    if {"status", "duration"} & roles.keys():
        return
    for record in records:
        for key in MESSAGES:
            text = str(record.get(key, "")).strip()
            if is_log_line(text) or is_record(text):
                what = f"each record holds a line of another log in its key {key!r}"
                expected = f"those lines alone, as 'jq -r .{key}' prints them"
                raise BadInput(what, file=path, value=text, expected=expected)


@dataclass(frozen=True)
class Keys:
    """Where the columns of a log are: the key of each, what to divide durations by, and the key of the date.

    types: of the values of each key, where all rows of a part have the same, so that a part is read at once.
    """

    of: dict[str, str]
    per: float
    date: str
    types: Any

    @property
    def shown(self) -> list[str]:
        """The columns of which a record of a request has one; one of its beginning, under its id, may have a path."""
        ends = ("status", "duration")
        roles = [role for role in (ends if {"id", *ends} <= set(self.of) else ("path", *ends)) if role in self.of]
        return [role for role in roles if role != "status" or not self.errors]

    @property
    def errors(self) -> bool:
        """Whether what became of a request is in the key of an error, which a request without one may lack."""
        return plain_name(self.of.get("status", "").rpartition(".")[2]) in ERRORS


def schema_of(records: list[dict[str, Any]], keys: Iterable[str]) -> Any:
    """The types of some keys of first records; None where a key has several, or a list."""
    types: dict[str, Any] = {}
    for key in keys:
        kinds = {type(one[key]) for one in records if one.get(key) is not None}
        kind = pa.string() if kinds == {str} else pa.int64() if kinds == {int} else pa.float64()
        if not kinds or not (kinds == {str} or kinds <= {int, float}):
            return None
        place = types
        *outer, last = key.split(".")
        for name in outer:
            place = place.setdefault(name, {})
        place[last] = kind
        types[key] = kind  # where the dot is in the name itself
    return pa.schema([pa.field(name, typed(kind)) for name, kind in types.items()])


def typed(kind: Any) -> Any:
    if isinstance(kind, dict):
        return pa.struct([pa.field(name, typed(one)) for name, one in kind.items()])
    return kind


def timed_blocks(path: Path, broken: list[Broken], progress: Progress, keys: Keys) -> Iterator[RowBlock]:
    """The rows of a log with the start and the end of each request, and how long it took."""
    later = {name: name if name in keys.of else "" for name in ("begun", "ended")}
    yield from with_elapsed(json_blocks(path, broken, progress, keys), "time", spans(later["begun"], later["ended"]))


def json_blocks(path: Path, broken: list[Broken], progress: Progress, keys: Keys) -> Iterator[RowBlock]:
    if is_listed(Head(path)):
        yield from in_chunks(rows_of(enumerate(json_list(whole_text(path)), 1), keys), [*keys.of, "asks"])
        return
    for block, unfit in in_order(lambda part: block_of(*part, keys), whole_lines(path, progress)):
        broken += unfit
        if len(block.lines):
            yield block


def block_of(line: int, data: bytes, keys: Keys) -> tuple[RowBlock, list[Broken]]:
    """Some lines as columns of texts, and those that are no records."""
    if keys.types is not None and (columns := columns_at_once(data, keys)):
        return RowBlock(columns, line + np.arange(data.count(b"\n"))), []
    texts = [text.decode("utf-8-sig", errors="replace").strip() for text in data.split(b"\n")]
    found = [(line + place, text, record_of(text)) for place, text in enumerate(texts) if text]
    unfit = [Broken(number, printable(text[:200])) for number, text, record in found if not record]
    rows = list(rows_of(((number, record) for number, _, record in found if record), keys))
    return records_block([row for _, row in rows], [number for number, _ in rows], [*keys.of, "asks"]), unfit


def columns_at_once(data: bytes, keys: Keys) -> dict[str, Any] | None:
    """The columns of lines that are all JSON with values of the same types; None where they are not."""
    try:
        table = pa.json.read_json(
            pa.BufferReader(data),
            pa.json.ReadOptions(use_threads=False, block_size=len(data) + 1),
            pa.json.ParseOptions(explicit_schema=keys.types, unexpected_field_behavior="ignore"),
        ).combine_chunks()
    except pa.ArrowInvalid:
        return None
    if len(table) != data.count(b"\n") or not data.isascii():
        return None

    def column(key: str) -> Any:
        first, *inner = key.split(".")
        values = table[first].combine_chunks()
        return pc.coalesce(pc.struct_field(values, inner), table[key].combine_chunks()) if inner else values

    found = {role: column(key) for role, key in keys.of.items()}
    unseen = any(values.null_count == len(table) for role, values in found.items() if "." in keys.of[role])
    if found["time"].null_count or unseen:  # a name with a dot may be in an object
        return None
    none = np.logical_and.reduce([found[role].is_null() for role in keys.shown]) if keys.shown else np.zeros(len(table))
    made = {role: pc.fill_null(pc.cast(values, pa.string()), "") for role, values in found.items()}
    if "duration" in found:
        lasted = found["duration"]
        made["duration"] = (
            each_word(made["duration"], lambda text: duration_text(text, keys.per))
            if pa.types.is_string(lasted.type)
            else pc.fill_null(pc.cast(pc.divide(pc.cast(lasted, pa.float64()), keys.per), pa.string()), "")
        )
    if keys.date:
        made["time"] = pc.binary_join_element_wise(column(keys.date), made["time"], "T")
    made |= {role: each_word(made[role], read) for role, read in readings(keys).items()}
    return {**made, "asks": pa.array(np.where(none, "no", ""), pa.string())}


def readings(keys: Keys) -> dict[str, Callable[[str], str]]:
    """The functions that read the texts of some columns."""
    user = partial(user_of, key=keys.of.get("user", ""))
    known: dict[str, Callable[[str], str]] = {"path": path_of, "side": side_of, "user": user}
    known |= {"status": status_of_error} if keys.errors else {}
    return {role: read for role, read in known.items() if role in keys.of}


def each_word(texts: Any, read: Callable[[str], str]) -> Any:
    return of_words(texts, lambda words: pa.array([read(word) for word in words.to_pylist()], pa.string()))


def rows_of(records: Iterable[tuple[int, dict[str, Any]]], keys: Keys) -> Iterator[tuple[int, dict[str, Any]]]:
    """The columns of records, one by one."""
    for number, record in records:
        cells = flat(record)
        row = {role: cells.get(key) for role, key in keys.of.items()}
        if row["time"] is None:
            row["time"] = cells.get(time_of(cells))
        if row["time"] is None or (keys.shown and all(row[role] is None for role in keys.shown)):
            row["asks"] = "no"
        if row["time"] is None:
            row["time"] = "1970-01-01T00:00:00Z"  # of a record that is left out
        if keys.date:
            row["time"] = f"{cells.get(keys.date)}T{row['time']}"
        if "duration" in row:
            row["duration"] = duration_text(row["duration"], keys.per)
        row |= {role: read(as_text(row[role])) for role, read in readings(keys).items()}
        yield number, row


def in_seconds(value: Any, per: float) -> float | None:
    """A duration in seconds: a text with its unit, or a number of which `per` make a second; None for none."""
    if isinstance(value, str) and (found := written_seconds(value)) is not None:
        return found
    try:
        return float(value) / per
    except (TypeError, ValueError):
        return None


def duration_text(value: Any, per: float) -> str:
    """A duration in seconds as a text; what cannot be read as it is, so that it is reported."""
    found = in_seconds(value, per)
    return as_text(value if found is None else found)
