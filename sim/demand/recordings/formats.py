"""The known formats of recordings: what each column means, and the traps of each format."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sim.demand.recordings.not_requests import (
    STATUS_NAMES,
    refuse_counting,
    refuse_counts,
    refuse_lines,
    refuse_percentiles,
    refuse_samples,
)
from sim.errors import BadInput
from sim.tables.elapsed import ELAPSED, WAITED, spans
from sim.tables.files import Broken, Progress, RowBlock
from sim.tables.formats import readers, recognised
from sim.tables.formats.guess import looks_like
from sim.tables.formats.json_keys import stamped, unit_by_program
from sim.tables.formats.lines import PROBE_ROWS
from sim.tables.formats.reader import Head, Reader, Requests
from sim.tables.formats.sampled import is_counted
from sim.tables.headers import TOTAL, VALUE, column_names, header
from sim.tables.names import (
    AREAS,
    ASKED,
    BEGUN,
    CLOCKS,
    CREATED,
    DATES,
    ENDS,
    ERRORS,
    REQUEST_IDS,
    RETRY,
    SIZES,
    SUCCESS,
    WEIGHTS,
    is_service,
    parts_of,
    plain_name,
    sampled_said,
    seconds_per,
    shown_per,
    unit_of_time,
    unread_said,
    whole_duration,
    zone_in,
)
from sim.tables.times import floats, matches, times_of_day
from sim.tables.written_dates import FIRST_DAY, PERIOD, PERIODS


@dataclass(frozen=True)
class Extra:
    """A further column of numbers: the column's value divided by `per`, or 1 where its text is `equals`, else 0.

    area: texts are like 1024x768, and the number is the side of a square as large. outcome: texts say what became of a
    request, and the number is a status of HTTP; errors: texts are errors, empty where there was none.
    """

    column: str
    per: float = 1.0
    equals: str = ""
    area: bool = False
    outcome: bool = False
    errors: bool = False


@dataclass(frozen=True)
class Layout:
    """The columns of a format that hold times, users and requests.

    roles: the column of each role: time, user, images, kind, request (and status, which only --keep asks for).
    unit: of times that are numbers; zone: of times without one, where the format's publisher says or implies it.
    real_repeats: rows that are equal in every column are different requests. step: seconds between two ticks of the
    recording's clock, if it is coarse. stamped: which instant the times are, 'start' or 'end' of a request; 'either' or
    '' where the format leaves it open. requests: rows are requests, in any order, and how a reader reads them.
    leave_out: rows that are none, by column: a pattern, and what such rows are.
    join: columns of dates and of times of day, read as one. until: columns of later stamps of a request, by the column
    of seconds up to them that is made.
    """

    name: str
    columns: tuple[str, ...] = ()
    roles: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Extra] = field(default_factory=dict)
    unit: str | None = None
    zone: str | None = None
    real_repeats: bool = False
    step: float | None = None
    notes: tuple[str, ...] = ()
    stamped: str = "start"
    requests: Requests | None = None
    leave_out: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    join: tuple[str, ...] = ()
    until: Mapping[str, str] = field(default_factory=dict)

    @property
    def blocks(self) -> Callable[[Path, list[Broken], Progress], Iterator[RowBlock]] | None:
        """How its rows are read, where it is no table."""
        return self.requests.blocks if self.requests else None


GENTD26 = Layout(
    name="gentd26",
    columns=("gmt_create", "predict_type", "predict_status", "exec_time_seconds", "groupId", "num_images_per_prompt"),
    roles={
        "time": "gmt_create",
        "user": "groupId",
        "images": "num_images_per_prompt",
        "kind": "predict_type",
        "status": "predict_status",
    },
    extra={
        "latency_s": Extra("exec_time_seconds"),
        "steps": Extra("num_inference_steps"),
        "loras": Extra("num_lora"),
        "succeeded": Extra("predict_status", equals="SUCCEED"),
    },
    zone="UTC",
    # All 19 equal rows are of one user, a script that sends several requests a second and waits about ten seconds for
    # each: of those sent within one second some have equal latencies, some do not, and other rows lie between them.
    real_repeats=True,
    step=1.0,
    notes=(
        "exec_time_seconds is from the request to the image, queueing included: kept as latency_s, not as service time",
        "the publisher shifted the clock: hours of the day are not local ones",
    ),
)
FLEET = Layout(
    name="gentd26-fleet",
    columns=("timestamp_anon", "value", "container_ip"),
    roles={"time": "timestamp_anon", "pod": "container_ip"},
    extra={"service_s": Extra("value", per=1000.0)},
    unit="s",
    step=57.0,
    notes=(
        "a row is one minute in which a pod completed jobs, not one arrival",
        "minutes are 57 s apart: 24 h were compressed by the publisher; kept as recorded",
    ),
)
AZURE = Layout(
    name="azure-llm",
    columns=("TIMESTAMP", "ContextTokens", "GeneratedTokens"),
    roles={"time": "TIMESTAMP"},
    extra={"context_tokens": Extra("ContextTokens"), "generated_tokens": Extra("GeneratedTokens")},
    zone="UTC",
)
SERVEGEN = Layout(name="servegen", columns=("client", "t_s", "rate_rps", "cv", "dist", "p1", "p2"))
CSV = Layout(name="csv")
FORMATS = {layout.name: layout for layout in (GENTD26, FLEET, AZURE, SERVEGEN, CSV)}

TIME_NAMES = (
    *ASKED,
    *("time", "timestamp", "ts", "t", "datetime", "date_time", "created_at", "created", "time_generated", "time_local"),
    *("start_time", "started_at", "event_time", "time_stamp", "time_iso8601", "date_hour"),
    *("start", "request_start", "begin", "opened", "opened_at", "date"),
    *("request_start_time", "start_ts", "start_timestamp", "t_start"),
    *("zeitstempel", "zeitpunkt", "zeit", "uhrzeit", "datum", "horodatage", "heure", "fecha", "hora"),
)
USER_NAMES = (
    *(
        "user",
        "user_id",
        "userid",
        "username",
        "user_name",
        "client",
        "client_id",
        "customer",
        "account",
        "client_ip",
        "usr_id",
    ),
    *("benutzer", "nutzer", "kunde", "utilisateur", "usuario"),
)
IMAGES_NAMES = ("images", "num_images", "n_images", "image_count", "images_count", "number_of_images", "num_outputs")
KIND_NAMES = ("kind", "type", "endpoint", "path", "feature")
SERVER_NAMES = ("server", "agent", "gpu", "replica", "pod")

REDIRECTS = (r"^30[178]$", "redirects, whose targets have rows of their own")
SLURM_STEPS = (r"^\d+\S*\.(batch|extern|interactive|\d+)$", "steps of a job of Slurm")

DATED = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d|[A-Za-z]{3,9}\.? \d")  # how a date begins


def detected_layout(path: Path) -> Layout:
    """The format of a table, by its first line. Raises BadInput where it holds no arrivals."""
    names = header(path)
    refuse_counts(path, names)
    if set(FLEET.columns) == set(names):
        if "pipeline_inference" in path.name:
            return FLEET
        raise BadInput(
            "rows of this file are measurements per pod and minute, not arrivals",
            file=path,
            expected="pipeline_inference_data_anon.csv, which has a row for each pod-minute with completed jobs; "
            "--format gentd26-fleet takes this file all the same",
        )
    for layout in (GENTD26, AZURE, SERVEGEN):
        if set(layout.columns) <= set(names):
            return layout
    return CSV


def layout_by_names(path: Path, asked: Mapping[str, str | None]) -> Layout:
    """The layout of any table: the columns asked for, else those with usual names."""
    head = Head(path)
    if head.line.lstrip().startswith(("{", "[{")):
        what = f"no request is found in this file, which looks like {looks_like(head)}"
        expected = "JSON lines or a JSON list with one object per request, each with a key like time, timestamp or ts"
        raise BadInput(what, file=path, expected=expected)
    names = column_names(path)
    refuse_percentiles(names, path)
    usual = {"user": USER_NAMES, "images": IMAGES_NAMES, "kind": KIND_NAMES, "server": SERVER_NAMES}
    usual |= {"request": REQUEST_IDS, "retry": RETRY}
    roles = {role: name for role, likely in usual.items() if (name := asked.get(role) or column_named(likely, names))}
    likely = [name for name in names if name != asked.get("time") and seconds_per(name) is not None]
    duration = whole_duration(likely, lambda name: numbers_of(path, name))
    join = () if asked.get("time") else date_and_clock(path, names)
    time = " ".join(join) or asked.get("time") or time_column(path, names, duration)
    refuse_lines(head, path)
    begun, end = (column_named(likely, names) or stamp_with_unit(likely, names) for likely in (BEGUN, ENDS))
    begun = "" if join or begun == time or not end or unit_of_time(time)[0] not in CREATED else begun
    duration = "" if begun else duration
    extra, notes = numbers_named(path, names, duration)
    at = stamped(time, names)
    if duration and not at:
        notes.append(f"{time!r} is taken for when each request came; --stamped end if it is when the answer was sent")
    until = spans(begun, "" if join or at == "end" or (not begun and (duration or "service_s" in extra)) else end)
    for what, made in (("wait_s", WAITED), ("duration_s", ELAPSED)):
        if made in until:
            extra[what] = Extra(made)
            notes.append(f"a {what.removesuffix('_s')} is the time from {time!r} to {until[made]!r}")
    if not {"duration_s", "service_s", "wait_s"} & extra.keys():
        notes += unread_said([name for name in names if name != time], (*TIME_NAMES[1:], *ENDS, *BEGUN))
    unit = unit_of_time(time)[1]
    if unit:
        notes.append(f"times are in {unit}, as the name {time!r} says, if they are numbers")
    return Layout(
        name="csv",
        roles={"time": time, **roles},
        extra=extra,
        stamped=at or "start",
        unit=unit,
        zone=zone_in(time),
        leave_out={time: (TOTAL, "rows of totals"), **({"JobID": SLURM_STEPS} if "JobID" in names else {})},
        join=join,
        notes=tuple(notes),
        until=until,
    )


def column_named(likely: Iterable[str], names: Sequence[str]) -> str:
    """The first of these usual names that a table has, as the table writes it; '' if it has none."""
    there = {plain_name(name): name for name in reversed(names)}
    return next((there[name] for name in likely if name in there), "")


def stamp_with_unit(likely: Iterable[str], names: Sequence[str]) -> str:
    """The first of these usual names that a table has with a unit, like finished_ms; '' if it has none."""
    there = {stem: name for name in reversed(names) for stem, unit in [unit_of_time(name)] if unit}
    return next((there[name] for name in likely if name in there), "")


def date_and_clock(path: Path, names: Sequence[str]) -> tuple[str, ...]:
    """The columns of dates and of times of day, where a table has both."""
    date, clock = (column_named(likely, names) for likely in (DATES, CLOCKS))
    parts = [column_named((part,), names) for part in ("hour", "minute", "second")]
    if date and all(parts[:2]):
        return (date, *filter(None, parts))
    both = date and clock and np.isfinite(times_of_day(first_texts(path, clock))).any()
    return (date, clock) if both else ()


def time_column(path: Path, names: list[str], duration: str) -> str:
    """The column of times by its name: of the beginning, of the end beside a duration, or one with its unit."""
    end = column_named(ENDS, names) if duration else ""
    dated = [name for name in names if any(map(DATED.match, first_texts(path, name).to_pylist()))]
    found = column_named(TIME_NAMES, dated) or column_named(TIME_NAMES, names) or end or time_with_unit(path, names)
    if found:
        return found
    for name in names:
        for text in filter(PERIOD.match, first_texts(path, name).to_pylist()):
            raise BadInput(PERIODS, file=path, key=name, value=text, expected=FIRST_DAY)
    expected = "one of its columns, if it is a table (the first line must name them)"
    if any(VALUE.match(name) for name in names):
        expected = "a first line that names the columns, like 'time,status,duration_s'; this one holds values"
    what = f"no column has the name of a time; the file looks like {looks_like(Head(path))}"
    raise BadInput(what, file=path, key="--time", expected=expected)


def numbers_named(path: Path, names: Sequence[str], duration: str) -> tuple[dict[str, Extra], list[str]]:
    """Further columns of numbers by their usual names; and a note where the size of durations shows their unit."""
    found: dict[str, Extra] = {}
    error = column_named(ERRORS, names)
    if status := column_named((*STATUS_NAMES, *SUCCESS), names):
        found["status"] = Extra(status, outcome=True)
    elif error and not matches(first_texts(path, error), r"^-?\d+\.\d+$").any():
        found["status"] = Extra(error, errors=True)
    many = [name for name in names if counts_several(path, name)]
    if many and not (found or duration or column_named(USER_NAMES, names)):
        refuse_counting(path, many[0], numbers_of(path, many[0])[0])
    notes = [f"warning: {name!r} is not read, each row is one request" for name in many]
    if area := column_named(AREAS, names):
        found["side"] = Extra(area, area=True)
    found |= {what: Extra(name) for what, likely in SIZES.items() if (name := column_named(likely, names))}
    per, said = shown_per(duration, numbers_of(path, duration)) if duration else (1.0, "")
    if duration and seconds_per(duration) == 0 and (known := unit_by_program(names)):
        per, said = known, ""
    parts = parts_of(names, lambda name: numbers_of(path, name), 1.0 if seconds_per(duration) else per)
    found |= {what: Extra(name, per=each) for what, (name, each) in parts.items()}
    if duration:
        found["service_s" if is_service(duration, parts) else "duration_s"] = Extra(duration, per=per)
    if weight := column_named(WEIGHTS, names):
        notes += sampled_said(weight, numbers_of(path, weight))
    return found, [*notes, *([said] if said else [])]


def counts_several(path: Path, name: str) -> bool:
    """Whether a column counts requests by its name, more than one in some rows."""
    return is_counted(name) and any(value > 1 for value in numbers_of(path, name))


def time_with_unit(path: Path, names: list[str]) -> str:
    """A column with the name of a time and a unit, like arrival_ms; '' without one.

    A bare time_ms may be how long a request took: it is a time only if its numbers ascend.
    """
    for name in names:
        stem, unit = unit_of_time(name)
        if unit and stem in TIME_NAMES and seconds_per(name) is None:
            values = numbers_of(path, name)
            if stem not in ("time", "t") or (len(values) > 1 and bool((np.diff(values) >= 0).all())):
                return name
    return ""


def first_texts(path: Path, name: str) -> Any:
    names, *rows = Head(path).rows or [[]]
    found = [row[names.index(name)] for row in rows if len(row) == len(names)] if name in names else []
    return pa.array(found, pa.string())


def numbers_of(path: Path, name: str) -> list[float]:
    found = floats(first_texts(path, name))
    return [float(value) for value in found[np.isfinite(found)]]


def chosen_reader(path: Path, name: str | None) -> Reader | None:
    """The reader of this name, else the one that recognises the file; None for a table with a layout of its own."""
    by_name = {reader.name: reader for reader in readers()}
    if name is not None and name not in by_name and name not in FORMATS:
        expected = ", ".join([*FORMATS, *by_name])
        raise BadInput("there is no such format", key="--format", value=name, expected=expected)
    return recognised(path) if name is None else by_name.get(name)


def layout_of_requests(reader: Reader, requests: Requests) -> Layout:
    """The layout of a file whose rows a reader makes into columns."""
    roles = {"time": "time", "user": requests.user, "kind": requests.kind, "server": requests.server}
    roles |= {"request": requests.request, "retry": requests.retry}
    extra = {name: Extra(column, per=per, outcome=name == "status") for name, (column, per) in requests.extra.items()}
    others = {"path": PROBE_ROWS} if requests.kind == "path" else {}
    others |= {column: REDIRECTS for name, (column, _) in requests.extra.items() if name == "status"}
    return Layout(
        name=reader.name,
        roles={role: column for role, column in roles.items() if column},
        extra=extra,
        unit=requests.unit,
        zone=requests.zone,
        real_repeats=True,  # a client may ask for the same twice within a tick
        notes=requests.notes,
        stamped=requests.stamped,
        requests=requests,
        leave_out={**requests.leave_out, **others},
    )


def layout_of(path: Path, name: str | None, asked: Mapping[str, str | None]) -> Layout:
    """The layout of this name, else the detected one; columns that were asked for replace its own."""
    layout = FORMATS[name] if name is not None else detected_layout(path)
    if layout is CSV:
        if name is None:
            refuse_samples(path, asked.get("time"))
        return layout_by_names(path, asked)
    given = {role: column for role, column in asked.items() if column}
    names = header(path) if layout.columns else []
    missing = [column for column in layout.columns if column not in names]
    if missing:
        expected = f"its columns: {', '.join(layout.columns)}"
        raise BadInput(f"this file is not of the format {layout.name}", file=path, value=missing[0], expected=expected)
    extra = {key: one for key, one in layout.extra.items() if one.column in names or not layout.columns}
    return replace(layout, roles={**layout.roles, **given}, extra=extra)
