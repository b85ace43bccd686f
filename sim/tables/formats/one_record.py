"""One line of JSON or of logfmt, perhaps behind a time, as an object with flat keys."""

import re
from typing import Any

from sim.tables.formats.json_keys import roles_of, time_of
from sim.tables.formats.reader import json_object

FIELD = re.compile(r"([\w.@-]+)=(\"(?:[^\"\\]|\\.)*\"|\S*)")  # of logfmt
FEWEST_FIELDS = 3
BEHIND = re.compile(  # a record behind a time, as routers, kubectl and containers print it
    r"^[^={\"]*?(?P<time>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?)"
    r"[^={]*?(?=\{|(?<![\w.@-])[\w.@-]+=)"
)
LENGTH = {"seconds", "nanos"}  # of a duration as protocol buffers have it


def flat(record: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Keys of objects within an object joined by dots."""
    found: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, dict) and set(value) == {"$date"}:  # of MongoDB
            found[f"{prefix}{key}"] = value["$date"]
        elif isinstance(value, dict) and value and set(value) <= LENGTH:
            found[f"{prefix}{key}"] = f"{float(value.get('seconds', 0)) + float(value.get('nanos', 0)) / 1e9:.9f}s"
        elif isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def record_of(text: str) -> dict[str, Any]:
    """A line of JSON or of logfmt as an object; empty if it is neither. A time before it is its own, if it has none."""
    if not text.startswith("{") and (before := BEHIND.match(text)):
        found = record_of(text[before.end() :])
        timed = not found or time_of(flat(found))
        return found if timed else {"time": before["time"].replace(",", "."), **found}
    if text.startswith("{"):
        return json_object(text)
    fields = FIELD.findall(text)
    rest = FIELD.sub("", text).strip() if len(fields) >= FEWEST_FIELDS else text
    return {} if rest else {key: value.strip('"') for key, value in fields}


def is_record(text: str) -> bool:
    """Whether a text is a record of a request: with its duration or status."""
    found = flat(record_of(text)) if re.match(r"\{|\w+=", text) else {}
    return bool(found) and bool({"duration", "status"} & roles_of({"time": "0", **found}).keys())
