"""The keys of JSON logs that are times, users, paths, statuses and durations, by their names and their programs."""

import re
from collections.abc import Iterable
from typing import Any

from sim.tables.names import ASKED, ERRORS, SUCCESS, plain_name, seconds_per, unit_of_time, whole_duration

# Names of times, and which instant each is ('' where programs differ).
TIMES = {
    **dict.fromkeys((*ASKED, "started_date_time"), "start"),
    **dict.fromkeys(("start_utc", "start_local", "start_time", "start_time_utc", "request_time_utc"), "start"),
    "start_time_unix": "start",  # with nano behind it, in OpenTelemetry
    "request_time_epoch": "start",
    "edge_start_timestamp": "start",  # Cloudflare
    **dict.fromkeys(("time_start", "req_time_sec"), "start"),  # Fastly, Akamai
    **dict.fromkeys(
        ("created_at", "created", "started_at", "start", "begin", "opened", "opened_at", "request_start"), "start"
    ),
    **dict.fromkeys(
        ("end_time", "finished_at", "completed_at", "finished", "completed", "ended_at", "time_iso8601", "time_local"),
        "end",
    ),
    "msec": "end",
    **dict.fromkeys(("ts", "time", "timestamp", "time_stamp", "time_generated", "datetime", "event_time"), ""),
    **dict.fromkeys(("date", "asctime"), ""),
}
USERS = (
    *("user", "user_id", "userid", "user_name", "account", "account_id", "client_id", "remote_user"),
    *("client_ip", "c_ip", "remote_addr", "remote_ip", "remote_address", "client_host", "client", "source_ip"),
    *("x_forwarded_for", "downstream_remote_address", "ip", "fwd", "cli_ip", "caller_ip_address"),
)
PATHS = (
    *("path", "uri", "request_uri", "cs_uri_stem", "request_path", "request_url", "url_path", "url", "endpoint"),
    *("resource_path", "client_request_uri", "req_path"),
)
KINDS = ("operation_name", "route", "kind", "type", "request")  # where no key is a path
STATUSES = (
    *("status", "status_code", "sc_status", "code", "origin_status", "downstream_status", "http_status"),
    *("response_code", "result_code", "edge_response_status", "http_status_code", "http_response_code"),
)
SIGNS = {  # of programs whose times are known, by keys that only they have
    ("ts", "duration", "status", "request.uri"): "end",  # Caddy
    ("StartUTC", "Duration"): "start",  # Traefik
    ("httpRequest.latency", "timestamp"): "start",  # Google Cloud: when the load balancer got the request
    ("request_time", "remote_addr"): "end",  # nginx: its variables
    ("request_time", "request"): "end",
    ("req.method", "responseTime"): "end",  # pino: when the request was completed
    ("x-edge-result-type", "time-taken"): "end",  # CloudFront
    ("attack", "seq", "latency"): "start",  # vegeta
    ("timestamp", "resultCode", "duration"): "start",  # Application Insights
    ("TimeGenerated", "ResultCode", "DurationMs"): "start",  # the same in Log Analytics
    ("time", "request_processing_time", "target_processing_time"): "end",  # AWS ALB, as Athena has it
    ("time_taken", "sc_status"): "end",  # IIS
    ("date", "time", "location", "time_taken"): "end",  # CloudFront, as Athena has it
    ("dyno", "connect", "service"): "end",  # Heroku's router
    ("controller", "action", "duration"): "end",  # Rails with lograge
    ("Duration", "OriginDuration", "time"): "end",  # Traefik without StartUTC: when it wrote the line
}
# Programs whose durations have a unit that no name says, by keys that only they have: Traefik, vegeta; Envoy and Istio,
# a browser (HAR), Kong, Application Insights, AWS Lambda, Rails.
IN_UNITS = {
    ("Duration", "OriginDuration"): 1e9,
    ("Duration", "StartUTC"): 1e9,
    ("attack", "seq", "latency"): 1e9,
    ("start_time", "duration", "response_code"): 1e3,
    ("startedDateTime", "time"): 1e3,
    ("latencies.request", "started_at"): 1e3,
    ("resultCode", "duration"): 1e3,
    ("@duration", "@timestamp"): 1e3,
    ("controller", "action", "duration"): 1e3,
}
AREA = re.compile(r"^(\d+)\s*[x×*]\s*(\d+)$")
DATED = re.compile(r"^\[?(\d{4}-\d\d-\d\d[T ]\d\d:|\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:)")


def unit_by_program(names: Iterable[str]) -> float:
    """The units of a duration in a second, by the program whose keys or columns these names are; 0 for another one."""
    there = set(names)
    return next((per for signs, per in IN_UNITS.items() if there.issuperset(signs)), 0.0)


def first_of(names: Iterable[str], there: dict[str, Any]) -> str:
    """The first key with a value that has one of some names, or else one within an object of another name."""
    filled = [
        key
        for key in there
        if there[key] not in (None, "") and (not isinstance(there[key], bool) or plain_name(key) in SUCCESS)
    ]
    whole = {plain_name(key): key for key in reversed(filled)}
    last = {plain_name(key.rpartition(".")[2]): key for key in reversed(filled)}
    ends = {"_".join(plain_name(key).split("_")[-2:]): key for key in reversed(filled)}
    return next((found[name] for found in (whole, last, ends) for name in names if name in found), "")


def time_of(record: dict[str, Any]) -> str:
    """The key of the time: by its name, perhaps with a unit like ts_ms, or a requestTime that is a date."""
    found = first_of(TIMES, record)
    if found:
        return found
    for key, value in record.items():
        stem, unit = unit_of_time(key.rpartition(".")[2])
        if value not in (None, "") and unit and stem in TIMES and seconds_per(key) is None:
            return key
    return next((key for key, value in record.items() if is_dated_request(key, value)), "")


def is_dated_request(key: str, value: Any) -> bool:
    """Whether a requestTime is an instant, as in AWS's API Gateway, and not how long the request took, as in nginx."""
    return plain_name(key.rpartition(".")[2]) == "request_time" and bool(DATED.match(str(value)))


def stamped(key: str, names: Iterable[str]) -> str:
    """Which instant the times of a key are, by its name or by the program whose keys or columns these names are."""
    there = {*names, *map(plain_name, names)}
    by_program = next((at for signs, at in SIGNS.items() if there.issuperset(signs)), "")
    return at_of(key) if plain_name(key.rpartition(".")[2]) in ASKED else by_program or at_of(key)


def at_of(key: str) -> str:
    """Which instant the times of a key are: 'start' or 'end', '' where programs differ."""
    last = key.rpartition(".")[2]
    if plain_name(last) == "request_time":
        return "start"
    names = plain_name(key), plain_name(last), unit_of_time(last)[0]
    return next((TIMES[name] for name in names if name in TIMES), "")


def roles_of(record: dict[str, Any]) -> dict[str, str]:
    """The keys of a record that say how long a request took, whose it was, for what, and what became of it."""
    if not (time := time_of(record)):
        return {}
    known = ["time"] if plain_name(time) == "started_date_time" else []  # HAR
    known += [key for key in ("latencies.request",) if key in record]  # Kong
    known += ["service"] if {"dyno", "connect", "service"} <= set(record) else []  # Heroku
    filled = [key for key in record if key != time and record[key] not in (None, "")]
    lasted = [key for key in filled if seconds_per(key) is not None and not is_dated_request(key, record[key])]
    first = [key for key in lasted if not plain_name(key).startswith(("upstream", "origin"))]
    roles = {
        "duration": known[0] if known else whole_duration(first or lasted, lambda key: numbers_in(record[key])),
        "user": first_of(USERS, record),
        "path": first_of(PATHS, record) or first_of(KINDS, record),
        "status": first_of((*STATUSES, *SUCCESS), record) or first_of(ERRORS, record),
    }
    return {role: key for role, key in roles.items() if key}


def numbers_in(value: Any) -> list[float]:
    """A value as a list of its number; empty where it is none."""
    try:
        return [float(value)]
    except (TypeError, ValueError):
        return []


def side_of(text: str) -> str:
    """Pixels along the side of a square as large as a picture of 1024x768; a number as it is."""
    area = AREA.match(text)
    return str((int(area[1]) * int(area[2])) ** 0.5) if area else text


def user_of(text: str, key: str) -> str:
    """A user's name; of an address with a port, which differs with each connection, the address."""
    return re.sub(r":\d+$", "", text) if key == "downstream_remote_address" else text


def path_of(text: str) -> str:
    """The path of a request line or an address: '/v1/images' of 'POST /v1/images HTTP/1.1'."""
    words = text.split(" ")
    text = words[1] if len(words) == 3 else text
    return re.sub(r"^\w+://[^/]+", "", text)


def rest_said(document: dict[str, Any]) -> list[str]:
    """A warning where an answer of Elasticsearch holds a part of what was found."""
    hits = document.get("hits")
    if not isinstance(hits, dict) or not isinstance(hits.get("hits"), list):
        return []
    total, here = hits.get("total"), len(hits["hits"])
    found = total.get("value", here) if isinstance(total, dict) else total or here
    return [f"warning: {here:,} of {found:,} requests that were found are in this file"] * (found > here)
