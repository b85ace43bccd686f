"""Logs with one request per line, read by a pattern as columns of texts, block by block."""

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sim.errors import BadInput
from sim.tables.files import BLOCK, Broken, Progress, RowBlock, opened

LONGEST_LINE = 1_000_000  # bytes
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
QUOTED = r"\"(?:[^\"\\]|\\.)*\""  # a quote within it is escaped by a backslash
REQUEST = r"^(?P<method>[A-Z]+) (?P<path>\S+)(?: HTTP/[\d.]+)?$"
# day/month/year:time zone, in brackets; HAProxy has milliseconds and no zone.
CLF = (
    r"\[(?P<day>\d\d)/(?P<month>[A-Z][a-z][a-z])/(?P<year>\d{4}):"
    r"(?P<clock>\d\d:\d\d:\d\d(?:\.\d+)?)(?P<zone> [+-]\d{4})?\]"
)


def pattern_blocks(
    path: Path, broken: list[Broken], progress: Progress, pattern: str, columns_of: Callable[[dict[str, Any]], Any]
) -> Iterator[RowBlock]:
    """The lines of a log that fit a pattern; columns_of makes columns of its groups. Others go into `broken`."""
    stream, raw = opened(path)
    size, line, rest = max(path.stat().st_size, 1), 1, b""
    try:
        with raw:
            while data := stream.read(BLOCK):
                *whole, rest = (rest + data).split(b"\n")
                if len(rest) > LONGEST_LINE:
                    found = f"line {line + len(whole)} is longer than {LONGEST_LINE:,} bytes"
                    raise BadInput("this is no log", file=path, value=found, expected="one request per line")
                yield lines_block(whole, line, broken, pattern, columns_of)
                line += len(whole)
                progress(raw.tell() / size)
            if rest:
                yield lines_block([rest], line, broken, pattern, columns_of)
    except (OSError, EOFError, zlib.error) as problem:
        raise BadInput(f"the log cannot be read ({problem})", file=path) from None


def lines_block(
    whole: list[bytes], line: int, broken: list[Broken], pattern: str, columns_of: Callable[[dict[str, Any]], Any]
) -> RowBlock:
    """Lines as columns of texts."""
    lines = line + np.arange(len(whole))
    texts = pa.array([text.rstrip(b"\r").decode("utf-8", errors="replace") for text in whole], pa.string())
    found = pc.extract_regex(texts, pattern)
    fits = pc.is_valid(found).to_numpy(zero_copy_only=False)
    unfit = [Broken(int(lines[place]), texts[int(place)].as_py().strip()) for place in np.flatnonzero(~fits)]
    broken += [line for line in unfit if line.text]
    kept = found.filter(pa.array(fits))
    return RowBlock(columns_of({field.name: kept.field(field.name) for field in kept.type}), lines[fits])


def fits(line: str, pattern: str) -> bool:
    return bool(pc.match_substring_regex(pa.scalar(line), pattern).as_py())


def clf_time(part: dict[str, Any]) -> Any:
    """Times of the Common Log Format as ISO 8601, with their zone where they have one."""
    month = pc.index_in(part["month"], value_set=pa.array(MONTHS))
    number = pc.utf8_lpad(pc.cast(pc.add(month, 1), pa.string()), 2, "0")
    date = pc.binary_join_element_wise(part["year"], pc.fill_null(number, "??"), part["day"], "-")
    zone = pc.utf8_trim_whitespace(pc.fill_null(part["zone"], ""))
    return pc.binary_join_element_wise(date, "T", part["clock"], zone, "")


def request_columns(request: Any) -> dict[str, Any]:
    """Method and path of request lines like 'GET /v1/images HTTP/1.1'; '' where a line is none."""
    found = pc.extract_regex(request, REQUEST)
    return {
        "method": pc.fill_null(pc.struct_field(found, "method"), ""),
        "path": pc.fill_null(pc.struct_field(found, "path"), ""),
        "asked": request,
    }


def shortened_path(paths: Any, depth: int) -> Any:
    """The first parts of paths without their query: '/api/images' of '/api/images/77?size=2' at depth 2."""
    bare = pc.replace_substring_regex(paths, r"[?#].*$", "")
    head = pc.struct_field(pc.extract_regex(bare, rf"^(?P<head>(?:/[^/]*){{0,{depth}}})"), "head")
    return pc.if_else(pc.equal(head, ""), bare, head)  # '*' has no parts, and at depth 0 nothing is cut
