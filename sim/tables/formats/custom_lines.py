"""Logs of web servers with a format of their own: each part of a line is known by what it looks like.

Every line has the same parts: a time, a request, a status, perhaps an address and seconds with three decimals, as nginx
writes them. Of several such numbers the one that is never less than the others is the time of the whole request.
"""

import re
from functools import partial
from typing import Any

import numpy as np
import pyarrow.compute as pc

from sim.tables.coded import of_words
from sim.tables.formats.lines import CLF, HOSTS, Columns, clf_time, pattern_blocks, request_columns
from sim.tables.formats.reader import Head, Reader, Requests, timed
from sim.tables.formats.web_logs import is_usual
from sim.tables.times import written_seconds

PART = re.compile(r"\[[^\]]*\]|\"(?:[^\"\\]|\\.)*\"|\S+")
VERBS = r"(?:GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS)"
IPV6 = r"[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){7}|[0-9a-f:]*::[0-9a-f:.]*"  # 12:00:07 is a time of day
KINDS = {  # of parts, the first that fits
    "clf": r"\[\d\d/[A-Z][a-z][a-z]/\d{4}[: ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?: [+-]\d{4})?\]",
    "iso": r"\[?\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)\]?",
    "stamp": r"\[\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:[.,]\d+)?\]",
    "epoch": r"1\d{9}\.\d{3}",
    "date": r"\[?\d{4}[-/]\d\d[-/]\d\d",  # with a time of day behind it, as programs in Python write them
    "clock": r"\d\d:\d\d:\d\d(?:[.,]\d+)?\]?",
    "request": rf"\"{VERBS} \S+(?: HTTP/[\d.]+)?\"",
    "verb": rf"\"?{VERBS}\"?",
    "path": r"\"?/\S*\"?",
    "seconds": r"\"?(?:\d+\.\d{3}|\d+(?:\.\d+)?(?:s|ms|µs|us))\"?",
    "status": r"\"?[1-5]\d\d\"?",
    "address": rf"\"?(?:\d{{1,3}}(?:\.\d{{1,3}}){{3}}|{IPV6})(?::\d+)?\"?",
}
TIMES = ("iso", "epoch", "clf", "stamp")
ANY = r"(?:\[[^\]]*\]|\"(?:[^\"\\]|\\.)*\"|\S+)"
SECONDS = r"\"?(?:\d+\.\d{3}|\d+(?:\.\d+)?(?:s|ms|µs|us)|-)\"?"


def kind_of(part: str) -> str:
    return next((kind for kind, pattern in KINDS.items() if re.fullmatch(pattern, part)), "")


class CustomLog(Reader):
    """An access log of which the format is not known, in lines that all have the same parts."""

    name = "custom-log"
    title = "an access log with a format of its own"

    def recognises(self, head: Head) -> bool:
        return bool(layout_of(head))

    def requests(self, head: Head) -> Requests:
        layout = layout_of(head)
        read = ", ".join(f"{name} from part {place + 1}" for name, place in layout.items())
        first = parts_of(head)[0]
        twofold = [name for name in ("time", "request") if kind_of(first[layout[name]]) in ("date", "verb")]
        pattern = pattern_of(layout, twofold)
        has_times = "seconds" in layout
        return Requests(
            blocks=partial(pattern_blocks, pattern=pattern, columns_of=columns_of),
            stamped="either" if has_times else "",
            extra=timed("duration") if has_times else timed(),
            user="user" if "address" in layout else None,
            notes=(f"lines of no known format: {read}", HOSTS),
        )


def parts_of(head: Head) -> list[list[str]]:
    return [PART.findall(line) for line in head.lines[:200]]


def layout_of(head: Head) -> dict[str, int]:
    """The place of each part in the lines of a log; empty where they have none in common."""
    known = any(is_usual(line) for line in head.lines[:20])
    if len(head.lines) < 2 or known or head.line.startswith(("#", "{", "[{", ":::")):
        return {}
    rows = parts_of(head)
    width = min(map(len, rows))
    kinds = [{kind_of(row[place]) for row in rows} for place in range(width)]
    of = {kind: [place for place in range(width) if kinds[place] == {kind}] for kind in KINDS}
    found = {"time": next((of[kind][0] for kind in TIMES if of[kind]), -1)}
    if found["time"] < 0:
        found["time"] = next((place for place in of["date"] if place + 1 in of["clock"]), -1)
    found["request"] = next(iter(of["request"]), -1)
    if found["request"] < 0:
        found["request"] = next((place for place in of["verb"] if place + 1 in of["path"]), -1)
    after = [place for place in of["status"] if place > found["request"]]  # AWS's older balancers have it before
    found["status"] = next(iter([*after, *of["status"]]), -1)
    if min(found.values()) < 0:
        return {}
    if of["address"]:
        found["address"] = of["address"][0]
    lasting = [place for place in range(found["time"] + 1, width) if kinds[place] in ({"seconds"}, {"seconds", ""})]
    values = np.array([[number(row[place]) for place in lasting] for row in rows]).reshape(len(rows), -1)
    least = np.nan_to_num(values, nan=-1.0)
    whole = [place for k, place in enumerate(lasting) if (least[:, k] >= least.max(axis=1)).all()]
    return {**found, "seconds": whole[0]} if whole else found if not lasting else {}


def number(part: str) -> float:
    text = part.strip('"')
    found = float(text) if re.fullmatch(r"\d+\.\d{3}", text) else written_seconds(text)
    return np.nan if found is None else found


def pattern_of(layout: dict[str, int], twofold: list[str]) -> str:
    """The pattern of a line, with a group for each part that is read. twofold: names of those that are two parts."""
    groups = {place: rf"(?P<{name}>{SECONDS if name == 'seconds' else ANY})" for name, place in layout.items()}
    groups |= {layout[name]: rf"(?P<{name}>{ANY}\s+{ANY})" for name in twofold}
    second = {layout[name] + 1 for name in twofold}
    parts = [groups.get(place, ANY) for place in range(max(groups) + 1) if place not in second]
    return r"^\s*" + r"\s+".join(parts) + r"(?:\s.*)?$"


def columns_of(part: dict[str, Any]) -> Columns:
    def bare(texts: Any) -> Any:
        return pc.utf8_trim(texts, '[]"')

    request = bare(pc.replace_substring_regex(part["request"], r"\"?\s+\"?", " "))
    columns = {"time": of_words(part["time"], instants), **request_columns(request)}
    columns["status"] = bare(part["status"])
    if "address" in part:
        columns["user"] = pc.replace_substring_regex(bare(part["address"]), r"^(\d+\.\d+\.\d+\.\d+):\d+$", r"\1")
    if "seconds" in part:
        columns["duration"] = bare(part["seconds"])
    return columns, None


def instants(texts: Any) -> Any:
    """Times as ISO 8601, or seconds since 1970."""
    texts = pc.replace_substring_regex(texts, r"^(\[\d\d/[A-Z][a-z][a-z]/\d{4}) ", r"\1:")
    found = pc.extract_regex(texts, f"^{CLF}$")
    if not len(texts) or found[0].as_py() is None:
        plain = pc.replace_substring(pc.utf8_trim(texts, "[]"), ",", ".")
        return pc.replace_substring_regex(plain, r"^(\d{4})/(\d\d)/(\d\d)\s+", r"\1-\2-\3 ")
    return clf_time({field.name: found.field(field.name) for field in found.type})
