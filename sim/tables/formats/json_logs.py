"""Logs of requests as JSON lines: nginx with a JSON format, Caddy, Traefik, Google Cloud, traces of LLM services.

Which key is what is recognised by its name in the first lines; keys of objects within objects are joined by dots.
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from sim.errors import BadInput
from sim.tables.files import Broken, Progress, RowBlock
from sim.tables.formats.reader import Head, Reader, Requests, in_chunks, json_lines

# Keys of times, and which instant each is ('' where programs differ).
TIMES = {
    "StartUTC": "start",
    "StartLocal": "start",
    "start_time": "start",
    "startTime": "start",
    "request_time_utc": "start",
    "arrival_time": "start",
    "arrived": "start",
    "arrival": "start",
    "arrived_at": "start",
    "received_at": "start",
    "created_at": "start",
    "start": "start",
    "end_time": "end",
    "finished_at": "end",
    "completed_at": "end",
    "time_iso8601": "end",
    "time_local": "end",
    "msec": "end",
    "ts": "",
    "time": "",
    "timestamp": "",
    "@timestamp": "",
    "timeStamp": "",
    "datetime": "",
    "date": "",
}
# Keys of durations, and what to divide them by for seconds; a text with a unit, like '4.1s', needs none.
DURATIONS = {
    "request_time": 1.0,
    "duration": 1.0,
    "Duration": 1e9,
    "duration_s": 1.0,
    "duration_ms": 1e3,
    "latency_s": 1.0,
    "latency_ms": 1e3,
    "latency_us": 1e6,
    "duration_us": 1e6,
    "duration_ns": 1e9,
    "elapsed_ms": 1e3,
    "response_time_ms": 1e3,
    "response_time_s": 1.0,
    "timeTaken": 1.0,
    "properties.timeTaken": 1.0,
    "httpRequest.latency": 1.0,
}
IN_MILLISECONDS = {"start_time", "duration", "response_code"}  # the keys of Envoy, and of Istio
USERS = (
    "user",
    "user_id",
    "user.id",
    "userid",
    "account",
    "client_id",
    "remote_user",
    "request.client_ip",
    "remote_addr",
    "request.remote_ip",
    "ClientHost",
    "client_ip",
    "remote_ip",
    "httpRequest.remoteIp",
    "clientIP",
    "properties.clientIP",
    "client",
    "x_forwarded_for",
    "downstream_remote_address",
)
PATHS = (
    "path",
    "uri",
    "request_uri",
    "request.uri",
    "RequestPath",
    "httpRequest.requestUrl",
    "requestUri",
    "url",
    "endpoint",
    "kind",
    "type",
    "request",
)
STATUSES = (
    *("status", "status_code", "code", "OriginStatus", "DownstreamStatus", "httpRequest.status", "httpStatus"),
    "response_code",
)
SIGNS = {  # of programs whose times are known, by keys that only they have
    ("ts", "duration", "status"): "end",  # Caddy
    ("StartUTC", "Duration"): "start",  # Traefik
    ("httpRequest.latency", "timestamp"): "start",  # Google Cloud: when the load balancer got the request
    ("request_time", "remote_addr"): "end",  # nginx: its variables
    ("request_time", "request"): "end",
}
WITH_UNIT = re.compile(r"^(-?\d+(?:\.\d+)?)\s*(ns|us|µs|μs|ms|s|m)$")
UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}
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


def first_of(keys: Any, there: dict[str, Any]) -> str:
    """The first of some keys that has a value, or else one within an object of another name: http.status for status."""
    found = next((key for key in keys if there.get(key) not in (None, "")), "")
    last = {last_of(key): key for key in reversed(there) if there[key] not in (None, "")}
    return found or next((last[key] for key in keys if key in last), "")


def last_of(key: str) -> str:
    return key.rpartition(".")[2]


class JsonLog(Reader):
    """One JSON object per request."""

    name = "json-lines"
    title = "JSON lines, one object per request"

    def recognises(self, head: Head) -> bool:
        record = head.record
        return bool(record) and not set(OTHER) & set(record) and bool(first_of(TIMES, flat(record)))

    def requests(self, head: Head) -> Requests:
        keys = flat(head.record)
        time, duration = first_of(TIMES, keys), first_of(DURATIONS, keys)
        stamped = next(
            (is_at for signs, is_at in SIGNS.items() if set(signs) <= set(keys)),
            TIMES[time] if time in TIMES else TIMES[time.rpartition(".")[2]],
        )
        if not stamped:
            stamped = "" if duration else "start"
        roles = {"user": first_of(USERS, keys), "path": first_of(PATHS, keys), "status": first_of(STATUSES, keys)}
        columns = {"time": time, "duration": duration, **roles}
        read = {role: key for role, key in columns.items() if key}
        tokens: dict[str, str] = {name: name for name in ("input_length", "output_length", "images") if name in keys}
        per = 1e3 if set(keys) >= IN_MILLISECONDS else DURATIONS.get(duration, DURATIONS.get(last_of(duration), 1.0))
        trace = "input_length" in keys and isinstance(keys[time], int | float) and keys[time] < 1e9
        return Requests(
            blocks=partial(json_blocks, keys={**read, **tokens}, per=per),
            stamped=stamped,
            extra={
                **({"duration_s": ("duration", 1.0)} if duration else {}),
                **({"status": ("status", 1.0)} if roles["status"] else {}),
                **{name: (name, 1.0) for name in tokens},
            },
            unit="ms" if trace else None,  # request traces with token counts, as published by Mooncake
            user="user" if roles["user"] else None,
            kind="path" if roles["path"] else None,
            notes=("read as JSON: " + ", ".join(f"{role} from {key!r}" for role, key in read.items()),),
        )


def json_blocks(
    path: Path, broken: list[Broken], progress: Progress, keys: dict[str, str], per: float
) -> Iterator[RowBlock]:
    return in_chunks(json_rows(path, broken, progress, keys, per), list(keys))


def json_rows(
    path: Path, broken: list[Broken], progress: Progress, keys: dict[str, str], per: float
) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, record in json_lines(path, broken, progress):
        cells = flat(record)
        row = {role: cells.get(key) for role, key in keys.items()}
        if "duration" in row:
            row["duration"] = in_seconds(row["duration"], per)
        if keys.get("user") == "downstream_remote_address":  # with a port, which differs with each connection
            row["user"] = re.sub(r":\d+$", "", str(row["user"]))
        if "path" in row:
            row["path"] = path_of(str(row["path"] or ""))
        if row.get("time") is None:
            raise BadInput("a record has no time", file=f"{path}:{number}", key=keys["time"], value=record)
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
