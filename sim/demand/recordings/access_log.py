"""Access logs of web servers, Common and Combined Log Format (httpd.apache.org/docs/current/logs.html), as columns."""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sim.errors import BadInput
from sim.tables.files import BLOCK, Broken, Progress, RowBlock, opened

# host ident authuser [day/month/year:time zone] "request" status bytes, and whatever follows (referer, agent, ...).
# A quote within the request is escaped by a backslash.
LINE = (
    r"^(?P<host>\S+) \S+ (?P<authuser>\S+|\"[^\"]*\") "
    r"\[(?P<day>\d\d)/(?P<month>[A-Z][a-z][a-z])/(?P<year>\d{4}):(?P<clock>\d\d:\d\d:\d\d) (?P<zone>[+-]\d{4})\] "
    r"\"(?P<request>(?:[^\"\\]|\\.)*)\" (?P<status>\d{3}|-) (?P<bytes>\d+|-)(?: .*)?$"
)
REQUEST = r"^(?P<method>[A-Z]+) (?P<path>\S+)(?: HTTP/[\d.]+)?$"
LONGEST_LINE = 1_000_000  # bytes
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def is_log_line(line: str) -> bool:
    return bool(pc.match_substring_regex(pa.scalar(line), LINE).as_py())


def log_blocks(path: Path, broken: list[Broken], progress: Progress, depth: int) -> Iterator[RowBlock]:
    """The rows of an access log, unpacked where its name ends in .gz; lines of another shape go into `broken`.

    Columns: user (the login name, else the host), host, time (ISO 8601 with its zone), method, path (its first `depth`
    parts, without the query), status, bytes.
    """
    stream, raw = opened(path)
    size, line, rest = max(path.stat().st_size, 1), 1, b""
    try:
        with raw:
            while data := stream.read(BLOCK):
                *whole, rest = (rest + data).split(b"\n")
                if len(rest) > LONGEST_LINE:
                    found = f"line {line + len(whole)} is longer than {LONGEST_LINE:,} bytes"
                    raise BadInput("this is no access log", file=path, value=found, expected="one request per line")
                yield log_block(whole, line, broken, depth)
                line += len(whole)
                progress(raw.tell() / size)
            if rest:
                yield log_block([rest], line, broken, depth)
    except (OSError, EOFError, zlib.error) as problem:
        raise BadInput(f"the log cannot be read ({problem})", file=path) from None


def log_block(whole: list[bytes], line: int, broken: list[Broken], depth: int) -> RowBlock:
    """Lines as columns of texts."""
    lines = line + np.arange(len(whole))
    texts = pa.array([text.rstrip(b"\r").decode("utf-8", errors="replace") for text in whole], pa.string())
    found = pc.extract_regex(texts, LINE)
    fits = pc.is_valid(found).to_numpy(zero_copy_only=False)
    unfit = [Broken(int(lines[place]), texts[int(place)].as_py().strip()) for place in np.flatnonzero(~fits)]
    broken += [line for line in unfit if line.text]
    return RowBlock(log_columns(found.filter(pa.array(fits)), depth), lines[fits])


def log_columns(found: Any, depth: int) -> dict[str, Any]:
    """The columns of the lines that fit."""
    part = {name: found.field(name) for name in (field.name for field in found.type)}
    month = pc.index_in(part["month"], value_set=pa.array(MONTHS))
    number = pc.utf8_lpad(pc.cast(pc.add(month, 1), pa.string()), 2, "0")
    date = pc.binary_join_element_wise(part["year"], pc.fill_null(number, "??"), part["day"], "-")
    request = pc.extract_regex(part["request"], REQUEST)
    asked = pc.fill_null(pc.struct_field(request, "path"), "")
    anonymous = pc.equal(part["authuser"], "-")
    return {
        "time": pc.binary_join_element_wise(date, "T", part["clock"], part["zone"], ""),
        "user": pc.if_else(anonymous, part["host"], part["authuser"]),
        "host": part["host"],
        "method": pc.fill_null(pc.struct_field(request, "method"), ""),
        "path": shortened_path(asked, depth),
        "asked": part["request"],
        "status": part["status"],
        "bytes": part["bytes"],
    }


def shortened_path(paths: Any, depth: int) -> Any:
    """The first parts of paths without their query: '/api/images' of '/api/images/77?size=2' at depth 2."""
    bare = pc.replace_substring_regex(paths, r"[?#].*$", "")
    head = pc.struct_field(pc.extract_regex(bare, rf"^(?P<head>(?:/[^/]*){{0,{depth}}})"), "head")
    return pc.if_else(pc.equal(head, ""), bare, head)  # '*' has no parts, and at depth 0 nothing is cut
