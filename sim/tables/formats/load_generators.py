"""Requests that load generators log: JMeter's JTL, hey's and vegeta's CSV, Gatling's log, ab's table.

Each row is one request at its start.
"""

import csv
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from sim.tables.files import Broken, Progress, RowBlock, table_blocks
from sim.tables.formats.reader import Head, Reader, Requests, in_chunks, timed
from sim.tables.opening import opened_text

SENT = "the rate is what the load generator sent, which may follow the answers"
VEGETA = ("time", "status", "duration", "out", "in", "error", "body", "attack", "seq", "method", "path")
GATLING = re.compile(  # groups and the name of a request, its start and end in ms since 1970, and what became of it
    r"^REQUEST\t(?:.*\t)?(?P<path>[^\t]*)\t(?P<begin>\d{13})\t(?P<end>\d{13})\t(?P<outcome>OK|KO)(?P<why>.*)$"
)
# Nanoseconds since 1970, a status (0 without an answer), nanoseconds.
VEGETA_LINE = re.compile(r"^1\d{18},(0|[1-5]\d\d),\d+,\d+,\d+,")


def renamed(path: Path, broken: list[Broken], progress: Progress, names: dict[str, str]) -> Iterator[RowBlock]:
    """The rows of a table, some of its columns under the names that they have for requests."""
    for block in table_blocks(path, broken, progress):
        yield RowBlock({name: block.columns[column] for name, column in names.items()}, block.lines)


class JMeter(Reader):
    """`jmeter -l FILE`: samples with the instant of the request (as shipped) and milliseconds."""

    name = "jmeter"
    title = "samples of JMeter (JTL as CSV)"

    def recognises(self, head: Head) -> bool:
        return {"timeStamp", "elapsed", "label", "responseCode"} <= set(head.names)

    def requests(self, head: Head) -> Requests:
        names = {"time": "timeStamp", "duration": "elapsed", "path": "label", "status": "responseCode"}
        about = {"about": "responseMessage"} if "responseMessage" in head.names else {}
        return Requests(
            blocks=partial(renamed, names=names | about),
            stamped="start",
            extra=timed("duration", per=1e3),
            leave_out={"about": ("^Number of samples in transaction", "sums of a transaction's samples")}
            if about
            else {},
            user=None,
            notes=(SENT, "stamps are starts, as JMeter is shipped (sampleresult.timestamp.start=true)"),
        )


class Hey(Reader):
    """`hey -o csv`: seconds of each request, and the offset of its start from that of the test."""

    name = "hey"
    title = "requests of hey (CSV)"

    def recognises(self, head: Head) -> bool:
        return {"response-time", "status-code", "offset"} <= set(head.names)

    def requests(self, head: Head) -> Requests:
        names = {"time": "offset", "duration": "response-time", "status": "status-code"}
        return Requests(
            blocks=partial(renamed, names=names),
            stamped="start",
            extra=timed("duration"),
            unit="s",
            user=None,
            kind=None,
            notes=(SENT,),
        )


class ApacheBench(Reader):
    """`ab -g FILE`: requests by their duration, with the second of the start and milliseconds in all."""

    name = "ab"
    title = "requests of ApacheBench (ab -g)"

    def recognises(self, head: Head) -> bool:
        return {"starttime", "seconds", "ctime", "ttime"} <= set(head.names)

    def requests(self, head: Head) -> Requests:
        names = {"time": "seconds", "duration": "ttime"}
        return Requests(
            blocks=partial(renamed, names=names),
            stamped="start",
            extra={"duration_s": ("duration", 1e3)},
            unit="s",
            user=None,
            kind=None,
            notes=(SENT,),
        )


class Gatling(Reader):
    """simulation.log, which Gatling wrote as text: a line for each request with its start and its end."""

    name = "gatling"
    title = "the log of a simulation of Gatling"

    def recognises(self, head: Head) -> bool:
        return any(map(GATLING.match, head.lines[:100]))

    def requests(self, head: Head) -> Requests:
        return Requests(
            blocks=lambda *how: in_chunks(gatling_rows(*how), ("time", "duration", "status", "path")),
            stamped="start",
            extra=timed("duration", per=1e3),
            unit="ms",
            user=None,
            notes=(SENT,),
        )


def gatling_rows(path: Path, broken: list[Broken], progress: Progress) -> Iterator[tuple[int, dict[str, Any]]]:
    with opened_text(path) as text:
        for number, line in enumerate(text, 1):
            if found := GATLING.match(line):
                code = re.search(r"found (\d{3})", found["why"])
                status = "200" if found["outcome"] == "OK" else code[1] if code else "500"
                lasted = str(int(found["end"]) - int(found["begin"]))
                yield number, {"time": found["begin"], "duration": lasted, "status": status, "path": found["path"]}
            elif line.startswith("REQUEST"):
                broken.append(Broken(number, line[:200].rstrip()))


class VegetaCsv(Reader):
    """`vegeta encode --to csv`: no names; nanoseconds since 1970, the status, nanoseconds, and so on."""

    name = "vegeta"
    title = "results of vegeta (CSV)"

    def recognises(self, head: Head) -> bool:
        return bool(VEGETA_LINE.match(head.line)) and head.line.count(",") >= len(VEGETA) - 1

    def requests(self, head: Head) -> Requests:
        return Requests(
            blocks=lambda *how: in_chunks(vegeta_rows(*how), ("time", "status", "duration", "method", "path")),
            stamped="start",
            extra=timed("duration", per=1e9),
            unit="ns",
            user=None,
            notes=(SENT,),
        )


def vegeta_rows(path: Path, broken: list[Broken], progress: Progress) -> Iterator[tuple[int, dict[str, Any]]]:
    with opened_text(path) as text:
        rows = csv.reader(text)
        for row in rows:
            if len(row) >= len(VEGETA):
                found = dict(zip(VEGETA, row, strict=False))
                yield rows.line_num, {**found, "path": re.sub(r"^\w+://[^/]+", "", found["path"])}
            elif row:
                broken.append(Broken(rows.line_num, ",".join(row)[:200], len(row)))
