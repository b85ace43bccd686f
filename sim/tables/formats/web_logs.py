"""Access logs of web servers, nginx and Apache, in their usual layouts.

Servers write a line when the answer was sent. nginx and Tomcat stamp that instant, Apache that of the request
(nginx.org, httpd.apache.org, tomcat.apache.org).
"""

from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sim.tables.coded import coded, of_words, plain
from sim.tables.formats.access_parts import FORWARDED, WHOLE, client_in_pieces, unit_question, units_of
from sim.tables.formats.balancer_logs import ALB, ELB, ENVOY, HAPROXY
from sim.tables.formats.combined_lines import Shape, is_empty, shape_of
from sim.tables.formats.lines import (
    CLF,
    HOSTS,
    QUOTED,
    Columns,
    clf_time,
    fits,
    nothing,
    pattern_blocks,
    request_columns,
    unquoted,
)
from sim.tables.formats.reader import Head, Reader, Requests, timed
from sim.tables.hashes import row_hashes, text_hashes
from sim.tables.names import PER
from sim.tables.times import Mask, matches

# [virtual host:port] host ident authuser [time] "request" status bytes, and whatever follows (referer, agent, ...).
COMBINED = (
    r"^(?:(?P<vhost>[^\s\[\]\"]+:\d+) )?(?P<host>\S+) \S+ (?P<authuser>\S+|\"[^\"]*\") (?P<stamp>"
    + CLF
    + rf") (?P<request>{QUOTED}) (?P<status>\d{{3}}|-) (?P<bytes>\d+|-)(?P<rest> .*)?$"
)
MOSTLY = 0.5  # of the lines
# The duration among what follows: a name and a number, or a number at the end of the line.
NAMES = r"(?i)\b(?:rt|(?:request|req|response|resp|total|process|processing)_time|duration|latency|elapsed|took)"
NAMED = rf"{NAMES}(?:_s|_sec|_seconds)?[=:]\"?(?P<duration>\d+\.\d+)s?(?:[^m\w]|$)"
NAMED_MS = rf"{NAMES}(?:_in)?_(?:ms|msec|millis)[=:]\"?(?P<duration>\d+(?:\.\d+)?)"
BEHIND_MS = rf"{NAMES}[=:]\"?(?P<duration>\d+(?:\.\d+)?) ?ms\b"
LAST = r"(?:\"|^) (?P<duration>\d+(?:\.\d+)?)[ ,:\d.\-]*$"  # of several the first: nginx's own before the upstream's
LAST_MS = r"(?:\"|^)(?: -)? (?P<duration>\d+(?:\.\d+)?) ?ms$"
TRAEFIK = r'" \d+ "[^"]*" "[^"]*" \d+ms$'  # behind the agent: its count of requests, router and service
LAST_S = r"(?:\"|^) (?P<duration>\d+(?:\.\d+)?)s$"
INGRESS = r"\" \d+ (?P<duration>\d+\.\d+) \[[^\"]*$"  # of Kubernetes: bytes of the request, its seconds, [upstream] ...
QUOTED_LAST = r" \"(?P<duration>\d+(?:\.\d+)?)\"$"
QUOTED_PAIR = r" \"(?P<duration>\d+\.\d+)\" \"[\d., :\-]+\"$"  # nginx's own seconds, and the upstream's
MICROSECONDS = r"(?:\bD[=:]|[ *]\d+/)(?P<duration>\d+)\**$"  # Apache's %D by name, or behind %T as in 3/3143000
BEHIND_T = r" \d+ (?P<duration>\d+)$"  # Apache's %D behind its whole seconds, %T
TIMED = (NAMED, NAMED_MS, BEHIND_MS, LAST, LAST_MS, LAST_S, INGRESS, QUOTED_LAST, QUOTED_PAIR, MICROSECONDS)
IN_UNITS = {
    NAMED_MS: 1e3,
    BEHIND_MS: 1e3,
    LAST_MS: 1e3,
    LAST_S: 1.0,
    BEHIND_T: 1e6,
}  # those with their unit, and what to divide by
REQUEST_LINE = r"\"(GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS) \S+( HTTP/[\d.]+)?\" [1-5]\d\d\b"


def is_usual(line: str) -> bool:
    """Whether a line is of one of the usual layouts."""
    return any(fits(line, pattern) for pattern in (ALB, COMBINED, ELB, ENVOY, HAPROXY))


def is_log_line(text: str) -> bool:
    """Whether the text of a record or a cell is a line of a log of requests, of a usual layout or another."""
    return is_usual(text.strip()) or fits(text, REQUEST_LINE)


class AccessLog(Reader):
    """Common and Combined Log Format, of nginx or Apache, perhaps with a virtual host before and a duration after."""

    name = "access-log"
    title = "an access log (Common or Combined Log Format)"

    def recognises(self, head: Head) -> bool:
        return bool(head.line) and fits(head.line, COMBINED)

    def requests(self, head: Head) -> Requests:
        usual = [line for line in head.lines if fits(line, COMBINED)]
        texts = pc.extract_regex(pa.array(usual, pa.string()), COMBINED)
        rests = pc.fill_null(pc.struct_field(texts, "rest"), "")
        pattern = next((one for one in TIMED if pc.all(pc.match_substring_regex(rests, one)).as_py()), "")
        pattern = BEHIND_T if pattern == LAST and all(map(is_pair, rests.to_pylist())) else pattern
        hosted = pc.any(pc.not_equal(pc.fill_null(pc.struct_field(texts, "vhost"), ""), "")).as_py()
        stamped, extra, said, asks = "start" if hosted else "", timed(), "", None
        if pattern:
            stamped, per, said, asks = stamp_and_unit(pattern, texts, rests)
            extra = timed("duration", per=per)
        notes = (HOSTS, *([said] if said else []))
        behind = bool(usual) and float(matches(rests, FORWARDED).mean()) >= MOSTLY
        if behind:
            notes = ("users are the addresses that a proxy in front forwards (X-Forwarded-For)", *notes)
        shape = shape_of(usual[0], texts[0].as_py()) if usual and pattern != QUOTED_PAIR else None
        return Requests(
            blocks=partial(
                pattern_blocks,
                pattern=COMBINED,
                columns_of=partial(combined_columns, duration=pattern, behind=behind),
                quick=partial(cut_columns, shape=shape, duration=pattern, behind=behind) if shape else nothing,
            ),
            stamped=stamped,
            extra={**extra, "bytes": ("bytes", 1.0)},
            notes=notes,
            asks_unit=asks,
        )


def is_pair(rest: str) -> bool:
    """Whether a line ends with whole seconds, and with the microseconds of which these are."""
    last = rest.split()[-2:]
    return len(last) == 2 and all(map(str.isdigit, last)) and int(last[1]) // 10**6 == int(last[0])


def stamp_and_unit(pattern: str, texts: Any, rests: Any) -> tuple[str, float, str, tuple[str, str, str] | None]:
    """Which instant the stamps of lines with a duration are, what to divide it by, and a note where that is a guess.

    texts: the groups of COMBINED in the first lines; rests: what follows their bytes. Last, what to ask for where the
    lines leave the unit open.
    """
    if pattern in IN_UNITS:
        traefik = pattern == LAST_MS and pc.all(pc.match_substring_regex(rests, TRAEFIK)).as_py()
        return "start by default" if traefik else "either", IN_UNITS[pattern], "", None
    sample = pc.struct_field(pc.extract_regex(rests, pattern), "duration")
    if pc.any(pc.match_substring(sample, ".")).as_py():
        return "either", 1.0, "", None
    units, shown = units_of(of_words(pc.struct_field(texts, "stamp"), stamp_time), sample)
    if pattern == MICROSECONDS and not shown:
        units = ["us"]
    why = ", by the order of the lines, which are written at their ends" if shown else ""
    said = f"the number at the end of each line is taken for {WHOLE[units[0]]}{why}"
    asks = unit_question(units, sample) if len(units) > 1 else None
    return "start by default", PER[units[0]], said, asks


def combined_columns(part: dict[str, Any], duration: str, behind: bool = False) -> Columns:
    rest = pc.fill_null(part["rest"], "")
    found = duration_found(rest, duration) if duration else None
    client = pc.fill_null(pc.struct_field(pc.extract_regex(rest, FORWARDED), "client"), "") if behind else None
    return request_line({**part, "request": unquoted(part["request"])}, found, client), text_hashes(rest)


def cut_columns(data: bytes, shape: Shape, duration: str, behind: bool = False) -> tuple[Columns, Mask] | None:
    """The columns of lines of the usual shape, and which lines these are."""
    cut = shape.parts(data)
    if cut is None:
        return None
    parts, rest, good = cut
    found = duration_in_pieces(rest, duration, quoted=shape.pieces > 3) if duration else None
    client = client_in_pieces(rest) if behind and shape.pieces > 3 else None
    return (
        request_line(parts, found, client),
        row_hashes(rest) if rest else np.zeros(int(good.sum()), np.uint64),
    ), good


def request_line(part: dict[str, Any], duration: Any, client: Any = None) -> dict[str, Any]:
    """The columns of lines; client: forwarded addresses, which go before that of the host."""
    host = part["host"]
    if client is not None:
        host = pc.if_else(pc.equal(client, ""), plain(host), client)
    anonymous = pc.equal(plain(part["authuser"]), "-")
    user = host if pc.all(anonymous).as_py() else part["authuser"]
    if pc.any(anonymous).as_py() and user is not host:
        user = pc.if_else(anonymous, plain(host), plain(user))
    columns = {
        "time": of_words(part["stamp"], stamp_time),
        "user": user,
        "host": part["host"],
        **request_columns(part["request"]),
        "status": part["status"],
        "bytes": part["bytes"],
    }
    return columns if duration is None else {**columns, "duration": duration}


def duration_found(rest: Any, pattern: str) -> Any:
    return pc.fill_null(pc.struct_field(pc.extract_regex(rest, pattern), "duration"), "")


def duration_in_pieces(rest: list[Any], pattern: str, quoted: bool) -> Any:
    """The duration in what follows the bytes of each line: words, or pieces of which the first is quoted, and so on."""

    def found(piece: Any, before: str = "", after: str = "") -> Any:
        return of_words(
            piece, lambda words: duration_found(pc.binary_join_element_wise(before, words, after, ""), pattern)
        )

    if not quoted:
        return found(coded(pc.binary_join_element_wise(*map(plain, rest), " ")), " ") if rest else None
    if pattern in (LAST, LAST_MS, LAST_S, INGRESS):
        return found(rest[-1], '"')
    if pattern == QUOTED_LAST:
        ends = of_words(rest[-1], is_empty)
        if len(rest) > 2:
            ends &= of_words(rest[-3], lambda words: matches(words, " $"))
        each = found(rest[-2], ' "', '"')
        return each if ends.all() else pc.if_else(pa.array(ends), plain(each), "")
    best = found(rest[0])
    for piece in rest[1:]:
        each = found(piece)
        if pc.any(pc.not_equal(each.dictionary, "")).as_py():
            none = of_words(best, is_empty)
            best = each if none.all() else pc.if_else(pa.array(none), plain(each), plain(best))
    return best


def stamp_time(stamps: Any) -> Any:
    found = pc.extract_regex(stamps, CLF)
    return clf_time({field.name: found.field(field.name) for field in found.type})
