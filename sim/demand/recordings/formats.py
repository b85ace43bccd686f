"""The known formats of recordings: what each column means, and the traps of each format."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sim.demand.recordings.access_log import is_log_line
from sim.errors import BadInput
from sim.tables.files import column_names, first_line, header


@dataclass(frozen=True)
class Extra:
    """A further column of numbers: the column's value divided by `per`, or 1 where its text is `equals`, else 0."""

    column: str
    per: float = 1.0
    equals: str = ""


@dataclass(frozen=True)
class Layout:
    """The columns of a format that hold times, users and requests.

    roles: the column of each role: time, user, images, kind (and status, which only --keep asks for).
    unit: of times that are numbers; zone: of times without one, where the format's publisher says or implies it.
    real_repeats: rows that are equal in every column are different requests. step: seconds between two ticks of the
    recording's clock, if it is coarse.
    """

    name: str
    columns: tuple[str, ...]
    roles: Mapping[str, str]
    extra: Mapping[str, Extra] = field(default_factory=dict)
    unit: str | None = None
    zone: str | None = None
    real_repeats: bool = False
    step: float | None = None
    notes: tuple[str, ...] = ()


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
ACCESS_LOG = Layout(
    name="access-log",
    columns=(),
    roles={"time": "time", "user": "user", "kind": "path", "status": "status"},
    extra={"status": Extra("status"), "bytes": Extra("bytes")},
    real_repeats=True,  # a host may request a path twice in a second
    step=1.0,
    notes=("a host may stand for many people behind one address",),
)
SERVEGEN = Layout(name="servegen", columns=("client", "t_s", "rate_rps", "cv", "dist", "p1", "p2"), roles={})
CSV = Layout(name="csv", columns=(), roles={})
FORMATS = {layout.name: layout for layout in (GENTD26, FLEET, AZURE, SERVEGEN, CSV, ACCESS_LOG)}

TIME_NAMES = ("time", "timestamp", "ts", "t", "arrived", "arrival", "arrival_time", "datetime", "date", "created_at")
USER_NAMES = ("user", "user_id", "userid", "client", "client_id", "customer", "account")
IMAGES_NAMES = ("images", "num_images", "n_images")
KIND_NAMES = ("kind", "type", "endpoint", "path", "feature")

# Headers of recordings that hold counts or rates, not arrivals.
COUNTS = ({"period", "count"}, {"timestamp", "value"}, {"timestamp_anon", "value", "container_ip", "request_type"})


def detected_layout(path: Path) -> Layout:
    """The format of a file, by its first line. Raises BadInput where it holds no arrivals."""
    line = first_line(path)
    if line and is_log_line(line):
        return ACCESS_LOG
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


def refuse_counts(path: Path, names: list[str]) -> None:
    """Raises BadInput for a recording of counts or rates."""
    if set(names) in COUNTS:
        raise BadInput(
            "rows of this file are counts or rates per period, not arrivals: it does not say when each request came",
            file=path,
            value=", ".join(names),
            expected="one row per request; or --format csv with --time, if a row is one request",
        )


def layout_by_names(path: Path, asked: Mapping[str, str | None]) -> Layout:
    """The layout of any table: the columns asked for, else those with usual names."""
    names = column_names(path)
    lower = {name.lower(): name for name in names}
    usual = {"time": TIME_NAMES, "user": USER_NAMES, "images": IMAGES_NAMES, "kind": KIND_NAMES}
    roles = {}
    for role, likely in usual.items():
        name = asked.get(role) or next((lower[n] for n in likely if n in lower), None)
        if name:
            roles[role] = name
    if "time" not in roles:
        raise BadInput(
            "no column has the name of a time",
            file=path,
            key="--time",
            expected=f"one of the columns: {', '.join(names)} (the first line must name them)",
        )
    return Layout(name="csv", columns=(), roles=roles)


def layout_of(path: Path, name: str | None, asked: Mapping[str, str | None]) -> Layout:
    """The layout of this name, else the detected one; columns that were asked for replace its own."""
    if name is not None and name not in FORMATS:
        raise BadInput("there is no such format", key="--format", value=name, expected=", ".join(FORMATS))
    layout = FORMATS[name] if name is not None else detected_layout(path)
    if layout is CSV:
        return layout_by_names(path, asked)
    given = {role: column for role, column in asked.items() if column}
    names = header(path) if layout.columns else []
    missing = [column for column in layout.columns if column not in names]
    if missing:
        expected = f"its columns: {', '.join(layout.columns)}"
        raise BadInput(f"this file is not of the format {layout.name}", file=path, value=missing[0], expected=expected)
    extra = {key: one for key, one in layout.extra.items() if one.column in names or not layout.columns}
    return replace(layout, roles={**layout.roles, **given}, extra=extra)
