"""Logs in the W3C extended format, whose '#Fields:' line names the columns: AWS CloudFront and Microsoft IIS."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sim.errors import BadInput
from sim.tables.coded import coded, of_words, plain
from sim.tables.files import Broken, Progress, RowBlock
from sim.tables.formats.combined_lines import cells
from sim.tables.formats.lines import blocks_in_order, whole_lines
from sim.tables.formats.reader import Head, Reader, Requests, timed

USERS = ("cs-username", "X-Forwarded-For", "x-forwarded-for", "cs(X-Forwarded-For)", "c-ip")  # behind a proxy
READ = (*USERS, "date", "time", "cs-method", "cs-uri-stem", "sc-status", "time-taken", "x-edge-result-type")
HITS = ("^(Refresh)?Hit$", "answers from the cache")
DIRECTIVE = re.compile(rb"^#[^\n]*\n", re.MULTILINE)


def fields_of(head: Head) -> list[str]:
    line = next((one for one in head.lines if one.startswith("#Fields:")), "")
    return line.removeprefix("#Fields:").split()


def is_cloudfront(head: Head) -> bool:
    return any(name.startswith("x-edge-") for name in fields_of(head))


class CloudFrontLog(Reader):
    """CloudFront's standard log: tab-separated, stamped when the answer was finished, `time-taken` in seconds."""

    name = "cloudfront"
    title = "a standard log of AWS CloudFront"

    def recognises(self, head: Head) -> bool:
        return is_cloudfront(head)

    def requests(self, head: Head) -> Requests:
        return w3c_requests(head, per=1.0, leave_out={"result": HITS})


class IisLog(Reader):
    """IIS: space-separated, UTC, stamped in practice when the answer was sent, `time-taken` in milliseconds."""

    name = "iis"
    title = "a W3C log of Microsoft IIS"

    def recognises(self, head: Head) -> bool:
        return bool(fields_of(head)) and not is_cloudfront(head)

    def requests(self, head: Head) -> Requests:
        notes = ("requests that HTTP.sys refused itself are in another file (HTTPERR)",)
        return w3c_requests(head, per=1e3, notes=notes)


def w3c_requests(head: Head, per: float, **more: Any) -> Requests:
    return Requests(
        blocks=partial(w3c_blocks, tabbed=is_cloudfront(head)),
        stamped="end",
        extra=timed("duration", per=per),  # the fields may change within a file
        zone="UTC",
        **more,
    )


def w3c_blocks(path: Path, broken: list[Broken], progress: Progress, tabbed: bool) -> Iterator[RowBlock]:
    mark = "\t" if tabbed else " "
    yield from blocks_in_order(lambda part: w3c_block(*part, mark), parts_of(path, progress), broken)


def parts_of(path: Path, progress: Progress) -> Iterator[tuple[int, bytes, list[str]]]:
    """The rows of a log in parts, with the number of the first line and the '#Fields:' line that holds for them."""
    names: list[str] = []
    for line, data in whole_lines(path, progress):
        begin = 0
        for found in DIRECTIVE.finditer(data):
            if found.start() > begin:
                yield line, data[begin : found.start()], names
            line += data.count(b"\n", begin, found.end())
            begin, text = found.end(), found[0].decode("utf-8", errors="replace").strip()
            if text.startswith("#Fields:"):
                names = text.removeprefix("#Fields:").split()
                missing = {"date", "time"} - set(names)
                if missing:
                    raise BadInput("the log does not say when its requests were", file=path, value=sorted(missing))
        if begin < len(data):
            yield line, data[begin:], names


def w3c_block(line: int, data: bytes, names: list[str], mark: str) -> tuple[RowBlock, list[Broken]]:
    """Some rows as columns of texts, and the lines that are none."""
    data = data if data.isascii() else data.decode("utf-8", errors="replace").encode()
    data = data.replace(b"\r\n", b"\n")
    there = [name for name in READ if name in names]
    plain_ones = tuple(place for place, name in enumerate(names) if name in USERS)
    cut = cells(data, mark, len(names), plain_ones, wanted=[names.index(name) for name in there]) if names else None
    columns, rows = cut or ([pa.array([], pa.string())] * len(READ), np.zeros(data.count(b"\n"), dtype=bool))
    texts = data.decode().split("\n") if not rows.all() else []
    split = mark if mark == "\t" else " "
    unfit = [Broken(line + int(k), texts[k][:200], len(texts[k].split(split))) for k in np.flatnonzero(~rows)]
    part = w3c_columns(dict(zip(there if cut else READ, columns, strict=True)), int(rows.sum()))
    return RowBlock(part, line + np.flatnonzero(rows)), [one for one in unfit if one.text]


def w3c_columns(part: dict[str, Any], n: int) -> dict[str, Any]:
    """The columns of requests; empty ones for fields that a log does not have."""
    empty = pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), pa.array([""] if n else [], pa.string()))
    user = empty
    for name in reversed([name for name in USERS if name in part]):
        user = plain(part[name]) if user is empty else pc.if_else(pc.equal(part[name], "-"), user, plain(part[name]))
    status = part.get("sc-status", empty)
    return {
        "time": coded(pc.binary_join_element_wise(plain(part["date"]), plain(part["time"]), "T")),
        "user": user,
        "method": part.get("cs-method", empty),
        "path": part.get("cs-uri-stem", empty),
        "status": of_words(status, lambda words: pc.replace_substring_regex(words, "^000$", "499")),  # the viewer left
        "duration": part.get("time-taken", empty),
        "result": part.get("x-edge-result-type", empty),
    }
