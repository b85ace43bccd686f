"""Logs of requests as JSON lines or logfmt: nginx, Caddy, Traefik, Google Cloud, traces of LLM services, programs.

Which key is what is recognised by its name in the first records; keys of objects within objects are joined by dots.
"""

import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from sim.tables.files import Broken, Progress, RowBlock
from sim.tables.formats.reader import Head, Reader, Requests, in_chunks, json_lines, json_list, json_object, whole_text
from sim.tables.names import AREAS, SIZES, plain_name, seconds_per, shown_per

# Names of times, and which instant each is ('' where programs differ).
TIMES = {
    **dict.fromkeys(
        ("start_utc", "start_local", "start_time", "start_time_utc", "request_time_utc", "arrival_time", "arrived"),
        "start",
    ),
    **dict.fromkeys(("arrival", "arrived_at", "received_at", "created_at", "created", "started_at", "start"), "start"),
    **dict.fromkeys(
        ("end_time", "finished_at", "completed_at", "finished", "completed", "ended_at", "time_iso8601", "time_local"),
        "end",
    ),
    "msec": "end",
    **dict.fromkeys(("ts", "time", "timestamp", "time_stamp", "time_generated", "datetime", "event_time", "date"), ""),
}
IN_MILLISECONDS = {"start_time", "duration", "response_code"}  # the keys of Envoy, and of Istio
USERS = (
    *("user", "user_id", "userid", "user_name", "account", "account_id", "client_id", "remote_user"),
    *("client_ip", "c_ip", "remote_addr", "remote_ip", "remote_address", "client_host", "client", "source_ip"),
    *("x_forwarded_for", "downstream_remote_address"),
)
PATHS = (
    *("path", "uri", "request_uri", "cs_uri_stem", "request_path", "request_url", "url_path", "url", "endpoint"),
    *("operation_name", "route", "kind", "type", "request"),
)
STATUSES = (
    *("status", "status_code", "sc_status", "code", "origin_status", "downstream_status", "http_status"),
    *("response_code", "result_code"),
)
SIGNS = {  # of programs whose times are known, by keys that only they have
    ("ts", "duration", "status"): "end",  # Caddy
    ("StartUTC", "Duration"): "start",  # Traefik
    ("httpRequest.latency", "timestamp"): "start",  # Google Cloud: when the load balancer got the request
    ("request_time", "remote_addr"): "end",  # nginx: its variables
    ("request_time", "request"): "end",
    ("req.method", "responseTime"): "end",  # pino: when the request was completed
    ("x-edge-result-type", "time-taken"): "end",  # CloudFront
}
FIELD = re.compile(r"([\w.@-]+)=(\"(?:[^\"\\]|\\.)*\"|\S*)")  # of logfmt
FEWEST_FIELDS = 3
AREA = re.compile(r"^(\d+)\s*[x×*]\s*(\d+)$")
CLOCK = re.compile(r"^\d\d:\d\d:\d\d")
WITH_UNIT = re.compile(r"^(-?\d+(?:\.\d+)?)\s*(ns|us|µs|μs|ms|s|m)$")
UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}
NO_REQUEST = ("^no$", "records without a path, a status or a duration, as of a program's other messages")
OTHER = (
    "request_throughput",
    "num_prompts",
    "metrics",
    "resourceSpans",
    "metadata",
    "metric",
    "benchmark_duration",
    "MetricDataResults",
    "data",
)


def flat(record: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Keys of objects within an object joined by dots."""
    found: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def first_of(names: Iterable[str], there: dict[str, Any]) -> str:
    """The first key with a value that has one of some names, or else one within an object of another name."""
    filled = [key for key in there if there[key] not in (None, "")]
    whole = {plain_name(key): key for key in reversed(filled)}
    last = {plain_name(key.rpartition(".")[2]): key for key in reversed(filled)}
    ends = {"_".join(plain_name(key).split("_")[-2:]): key for key in reversed(filled)}
    return next((found[name] for found in (whole, last, ends) for name in names if name in found), "")


def record_of(text: str) -> dict[str, Any]:
    """A line of JSON or of logfmt as an object; empty if it is neither."""
    if text.startswith("{"):
        return json_object(text)
    fields = FIELD.findall(text)
    rest = FIELD.sub("", text).strip() if len(fields) >= FEWEST_FIELDS else text
    return {} if rest else {key: value.strip('"') for key, value in fields}


def first_records(head: Head) -> list[dict[str, Any]]:
    """The first records of a file, with flat keys."""
    line = head.line.lstrip()
    if line.startswith("["):
        records = json_list(whole_text(head.path))[:200]
    elif line.startswith("{") or len(FIELD.findall(line)) >= FEWEST_FIELDS:
        records = [record_of(line.strip()) for line in head.lines[:200]]
    else:
        return []
    return [flat(one) for one in records if one]


class JsonLog(Reader):
    """One JSON object per request, or one line of logfmt; other records among them are left out."""

    name = "json-lines"
    title = "JSON lines, one object per request"

    def recognises(self, head: Head) -> bool:
        records = first_records(head)
        other = any(set(OTHER) & {key.split(".")[0] for key in one} for one in records)
        return not other and any(first_of(TIMES, one) for one in records)

    def requests(self, head: Head) -> Requests:
        records = first_records(head)
        kinds = [asked for one in records if (asked := roles_of(one))]
        fullest = max(kinds, key=len, default={}) if kinds else {}
        keys = {key: value for one in reversed(records) for key, value in one.items() if roles_of(one) or not fullest}
        roles = roles_of(keys)
        time = first_of(TIMES, keys)
        duration = roles.get("duration", "")
        stamped = next((at for signs, at in SIGNS.items() if set(signs) <= set(keys)), at_of(time))
        if not stamped:
            stamped = "" if duration else "start"
        known = [in_seconds(one[duration], 1.0) for one in records if duration in one]
        per, said = shown_per(duration, [value for value in known if value is not None]) if duration else (1.0, "")
        if set(keys) >= IN_MILLISECONDS:
            per, said = 1e3, ""
        if duration and any(WITH_UNIT.match(str(one.get(duration, ""))) for one in records):
            said = ""
        if duration == "Duration" and "StartUTC" in keys:
            per, said = 1e9, ""
        date = first_of(("date",), keys) if CLOCK.match(str(keys[time])) else ""
        read = {"time": time, **roles}
        tokens: dict[str, str] = {name: name for name in ("input_length", "output_length", "images") if name in keys}
        tokens |= {what: key for what, names in SIZES.items() if (key := first_of(names, keys))}
        if "side" not in tokens and (area := first_of(AREAS, keys)) and AREA.match(str(keys[area])):
            tokens["side"] = area
        trace = "input_length" in keys and isinstance(keys[time], int | float) and keys[time] < 1e9
        said_as = "read as JSON: " + ", ".join(f"{role} from {key!r}" for role, key in read.items())
        results = {"result": "x-edge-result-type"} if "x-edge-result-type" in keys else {}
        return Requests(
            blocks=partial(json_blocks, keys={**read, **tokens, **results}, per=per, date=date),
            stamped=stamped,
            extra={
                **({"duration_s": ("duration", 1.0)} if duration else {}),
                **({"status": ("status", 1.0)} if "status" in roles else {}),
                **{name: (name, 1.0) for name in tokens},
            },
            unit="ms" if trace else None,  # request traces with token counts, as published by Mooncake
            user="user" if "user" in roles else None,
            kind="path" if "path" in roles else None,
            zone="UTC" if results else None,
            leave_out={"asks": NO_REQUEST, **({"result": HITS} if results else {})},
            notes=(said_as, *([said] if said else [])),
        )


HITS = ("^(Refresh)?Hit$", "answers from the cache")


def at_of(key: str) -> str:
    return TIMES.get(plain_name(key), TIMES.get(plain_name(key.rpartition(".")[2]), ""))


def roles_of(record: dict[str, Any]) -> dict[str, str]:
    """The keys of a record that say how long a request took, whose it was, for what, and what became of it."""
    if not first_of(TIMES, record):
        return {}
    lasted = [key for key in record if record[key] not in (None, "") and seconds_per(key) is not None]
    first = [key for key in lasted if not plain_name(key).startswith("upstream")]
    roles = {
        "duration": min(first or lasted, key=len, default=""),
        "user": first_of(USERS, record),
        "path": first_of(PATHS, record),
        "status": first_of(STATUSES, record),
    }
    return {role: key for role, key in roles.items() if key}


def json_blocks(
    path: Path, broken: list[Broken], progress: Progress, keys: dict[str, str], per: float, date: str
) -> Iterator[RowBlock]:
    return in_chunks(json_rows(path, broken, progress, keys, per, date), [*keys, "asks"])


def json_rows(
    path: Path, broken: list[Broken], progress: Progress, keys: dict[str, str], per: float, date: str
) -> Iterator[tuple[int, dict[str, Any]]]:
    shown = [role for role in ("path", "status", "duration") if role in keys]
    for number, record in json_lines(path, broken, progress, record_of):
        cells = flat(record)
        row = {role: cells.get(key) for role, key in keys.items()}
        if row["time"] is None:
            row["time"] = cells.get(first_of(TIMES, cells))
        asks = not shown or any(row[role] is not None for role in shown)
        if not asks or row["time"] is None:
            row["asks"] = "no"
        if row["time"] is None:
            row["time"] = "1970-01-01T00:00:00Z"  # of a record that is left out
        if "side" in row and (area := AREA.match(str(row["side"]))):
            row["side"] = (int(area[1]) * int(area[2])) ** 0.5
        if date:
            row["time"] = f"{cells.get(date)}T{row['time']}"
        if "duration" in row:
            row["duration"] = in_seconds(row["duration"], per)
        if keys.get("user") == "downstream_remote_address":  # with a port, which differs with each connection
            row["user"] = re.sub(r":\d+$", "", str(row["user"]))
        if "path" in row:
            row["path"] = path_of(str(row["path"] or ""))
        yield number, row


def in_seconds(value: Any, per: float) -> float | None:
    """A duration in seconds: a text with its unit, or a number of which `per` make a second; None for none."""
    if isinstance(value, str) and (found := WITH_UNIT.match(value.strip())):
        return float(found[1]) * UNITS[found[2]]
    try:
        return float(value) / per
    except (TypeError, ValueError):
        return None


def path_of(text: str) -> str:
    """The path of a request line or an address: '/v1/images' of 'POST /v1/images HTTP/1.1'."""
    words = text.split(" ")
    text = words[1] if len(words) == 3 else text
    return re.sub(r"^\w+://[^/]+", "", text)
