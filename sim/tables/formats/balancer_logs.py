"""Access logs of load balancers and proxies: AWS's Application and Classic balancers, Envoy and HAProxy.

The Application balancers of AWS stamp the answer, and the request beside it; the others the request
(docs.aws.amazon.com, envoyproxy.io, docs.haproxy.org).
"""

import csv
from functools import partial
from itertools import compress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sim.tables.coded import of_words
from sim.tables.formats.combined_lines import cells, odd_lines, some
from sim.tables.formats.lines import CLF, QUOTED, Columns, clf_time, fits, pattern_blocks, request_columns, unquoted
from sim.tables.formats.reader import Head, Reader, Requests, timed
from sim.tables.times import Mask, matches

# Classic balancers of AWS: seconds until an instance got the request, of its answer, and until that was sent.
ELB = (
    r"^(?P<stamp>\d{4}-\d\d-\d\dT[\d:.]+Z) (?P<balancer>[^\s/]+) (?P<client>\S+:\d+) (?P<target>\S+:\d+|-) "
    r"(?P<t1>-?[\d.]+) (?P<t2>-?[\d.]+) (?P<t3>-?[\d.]+) (?P<status>\d{3}|-) (?P<tstatus>\d{3}|-) "
    rf"\d+ \d+ (?P<request>{QUOTED})(?: {QUOTED} \S+ \S+)?$"
)
ALB = (
    r"^(?P<type>https?|h2|grpcs|wss?) (?P<stamp>\d{4}-\d\d-\d\dT[\d:.]+Z) (?P<balancer>app/\S+) (?P<client>\S+) "
    r"(?P<target>\S+) (?P<t1>-?[\d.]+) (?P<t2>-?[\d.]+) (?P<t3>-?[\d.]+) (?P<status>\d{3}|-) (?P<tstatus>\d{3}|-) "
    rf"\S+ \S+ (?P<request>{QUOTED}) {QUOTED} \S+ \S+ \S+ {QUOTED} {QUOTED} {QUOTED} \S+ "
    r"(?P<created>\d{4}-\d\d-\d\dT[\d:.]+Z)(?: .*)?$"
)
ALB_PARTS = {"type": 0, "stamp": 1, "balancer": 2, "client": 3, "target": 4, "t2": 6, "status": 8, "tstatus": 9}
ALB_PARTS |= {"request": 12, "created": 21}
INSTANT = r"^\d{4}-\d\d-\d\dT[\d:.]+Z$"
ALB_FORMS = {
    "type": r"^(https?|h2|grpcs|wss?)$",
    "balancer": "^app/",
    "stamp": INSTANT,
    "created": INSTANT,
    "t2": r"^-?[\d.]+$",
    "status": r"^(\d{3}|-)$",
    "tstatus": r"^(\d{3}|-)$",
}
HOSTED = r" \w+://[^/ ]+"
ENVOY = (
    rf"^\[(?P<time>\d{{4}}-\d\d-\d\dT[\d:.]+Z)\] (?P<request>{QUOTED}) (?P<status>\d+) (?P<flags>\S+) "
    rf"(?:\S+ \S+ {QUOTED} )?\S+ \S+ (?P<duration>\d+|-) (?P<upstream>\d+|-) \"(?P<client>[^\"]*)\"(?: .*)?$"
)
HAPROXY = (
    r"^(?:.*?\s)?(?P<client>\S+):\d+ " + CLF + r" (?P<front>\S+) (?P<back>[^\s/]+)/(?P<server>\S+) "
    r"(?P<tr>-?\d+)/(?P<tw>-?\d+)/(?P<tc>-?\d+)/(?P<response>-?\d+)/(?P<total>\+?-?\d+) (?P<status>-?\d+) \+?\d+ "
    rf"\S+ \S+ (?P<ended>\S{{4}}) \S+ \S+ (?:\{{[^}}]*\}} )*(?P<request>{QUOTED})(?: .*)?$"
)


def known(texts: Any) -> Any:
    """Numbers as texts, '' for one below 0, by which these logs mean that something did not happen."""
    return pc.replace_substring_regex(texts, r"^(-.*|\+)", "")


class BalancerLog(Reader):
    """Access logs of AWS Application Load Balancers; they have the instant of the request beside that of the answer."""

    name = "alb"
    title = "an access log of an AWS Application Load Balancer"

    def recognises(self, head: Head) -> bool:
        return fits(head.line, ALB)

    def requests(self, head: Head) -> Requests:
        return Requests(
            blocks=partial(pattern_blocks, pattern=ALB, columns_of=alb_parts, quick=cut_alb),
            stamped="start",
            extra=timed("service"),
            notes=("arrivals are the request creation times; a target's seconds hold its own queue",),
        )


def alb_parts(part: dict[str, Any]) -> Columns:
    return alb_columns({**part, "request": unquoted(part["request"])})


def cut_alb(data: bytes) -> tuple[Columns, Mask] | None:
    """The columns of lines that are cut at spaces as the first is, and which lines these are."""
    good = ~odd_lines(data)
    kept = data if good.all() else b"\n".join([*compress(data.split(b"\n"), good), b""])
    width = len(next(csv.reader([kept.partition(b"\n")[0].decode()], delimiter=" "), []))
    wanted = tuple(ALB_PARTS.values())
    cut = cells(kept, " ", width, (1, 3, 21), quoted=True, wanted=wanted) if width > max(wanted) else None
    if cut is None or len(cut[1]) != good.sum():  # a quote without its end
        return None
    parts = dict(zip(ALB_PARTS, cut[0], strict=True))
    fits = np.ones(int(cut[1].sum()), dtype=bool)
    for name, pattern in ALB_FORMS.items():
        fits &= of_words(parts[name], lambda words, p=pattern: matches(words, p))  # type: ignore[misc]
    good[np.flatnonzero(good)[~cut[1]]] = False
    good[np.flatnonzero(good)[~fits]] = False
    return alb_columns({name: some(values, fits) for name, values in parts.items()}), good


def alb_columns(part: dict[str, Any]) -> Columns:
    client = pc.replace_substring_regex(part["client"], r":\d+$", "")
    return {
        "time": part["created"],
        "user": client,
        **request_columns(of_words(part["request"], lambda words: pc.replace_substring_regex(words, HOSTED, " "))),
        "status": part["status"],
        "service": of_words(part["t2"], known),
        "answered": part["stamp"],
        "target": part["target"],
    }, None


class ClassicBalancerLog(Reader):
    """Access logs of AWS Classic Load Balancers: three parts of each request's time, the first with the surge queue."""

    name = "elb"
    title = "an access log of an AWS Classic Load Balancer"

    def recognises(self, head: Head) -> bool:
        return fits(head.line, ELB)

    def requests(self, head: Head) -> Requests:
        return Requests(
            blocks=partial(pattern_blocks, pattern=ELB, columns_of=elb_columns),
            stamped="start by default",
            extra=timed("duration", "wait", "service"),
            notes=("wait_s is the time in the balancer (its surge queue), service_s that of the instance",),
        )


def elb_columns(part: dict[str, Any]) -> Columns:
    """Times of -1 mean that the request reached no instance, or that none answered: it has no duration then."""
    seconds = [pc.cast(part[name], pa.float64()) for name in ("t1", "t2", "t3")]
    reached = pc.and_(pc.and_(*(pc.greater_equal(one, 0.0) for one in seconds[:2])), pc.greater_equal(seconds[2], 0.0))
    total = pc.cast(pc.round(pc.add(pc.add(*seconds[:2]), seconds[2]), 6), pa.string())
    return {
        "time": part["stamp"],
        "user": pc.replace_substring_regex(part["client"], r":\d+$", ""),
        **request_columns(pc.replace_substring_regex(unquoted(part["request"]), HOSTED, " ")),
        "status": part["status"],
        "wait": known(part["t1"]),
        "service": known(part["t2"]),
        "duration": pc.if_else(reached, total, ""),
    }, None


class EnvoyLog(Reader):
    """Envoy's default access log: the start of the request, and milliseconds until the last byte was sent."""

    name = "envoy"
    title = "an access log of Envoy"

    def recognises(self, head: Head) -> bool:
        return fits(head.line, ENVOY)

    def requests(self, head: Head) -> Requests:
        return Requests(
            blocks=partial(pattern_blocks, pattern=ENVOY, columns_of=envoy_columns),
            stamped="start",
            extra=timed("duration", "upstream", per=1e3),
            notes=("status 0 is a client that hung up (DC); upstream_s holds the queue of the service behind",),
        )


def envoy_columns(part: dict[str, Any]) -> Columns:
    return {
        "time": part["time"],
        "user": part["client"],
        **request_columns(unquoted(part["request"])),
        "status": part["status"],
        "flags": part["flags"],
        "duration": part["duration"],
        "upstream": part["upstream"],
    }, None


class HaproxyLog(Reader):
    """HAProxy's HTTP log: the start of the request, and milliseconds in the queue, connecting and of the response."""

    name = "haproxy"
    title = "an HTTP log of HAProxy"

    def recognises(self, head: Head) -> bool:
        return fits(head.line, HAPROXY)

    def requests(self, head: Head) -> Requests:
        return Requests(
            blocks=partial(pattern_blocks, pattern=HAPROXY, columns_of=haproxy_columns),
            stamped="start",
            extra=timed("duration", "wait", "service", per=1e3),
            zone="UTC",
            server="server",
            notes=(
                "the time in brackets is the request's; it has no zone: UTC unless --zone says otherwise",
                "wait_s is the time in HAProxy's queue, of requests that were thrown out or hung up there too",
            ),
        )


def haproxy_columns(part: dict[str, Any]) -> Columns:
    """service is Tc + Tr, empty where no server was reached; a client that left in the queue (C*) has status 499."""
    reached = pc.and_(pc.greater_equal(whole(part["tc"]), 0), pc.greater_equal(whole(part["response"]), 0))
    service = pc.cast(pc.add(whole(part["tc"]), whole(part["response"])), pa.string())
    left = pc.and_(pc.match_substring_regex(part["ended"], "^C"), pc.equal(part["status"], "-1"))
    return {
        "time": clf_time(part),
        "user": part["client"],
        **request_columns(unquoted(part["request"])),
        "status": pc.if_else(left, "499", part["status"]),
        "wait": known(part["tw"]),
        "service": pc.if_else(reached, service, ""),
        "duration": known(part["total"]),
        "server": part["server"],
        "ended": part["ended"],
    }, None


def whole(texts: Any) -> Any:
    return pc.cast(texts, pa.int64())
