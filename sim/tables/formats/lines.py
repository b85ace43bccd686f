"""Logs with one request per line, read by a pattern as columns of texts, block by block."""

from collections.abc import Callable, Iterable, Iterator
from itertools import compress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sim.errors import BadInput
from sim.tables.coded import joined, of_words, plain, stored_like
from sim.tables.files import BLOCK, Broken, Progress, RowBlock
from sim.tables.hashes import Hashes
from sim.tables.in_order import in_order
from sim.tables.opening import BOM, UNREADABLE, opened
from sim.tables.times import Mask, matches

HOSTS = "a host may stand for many people behind one address"  # a note
LONGEST_LINE = 1_000_000  # bytes
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
QUOTED = r"\"(?:[^\"\\]|\\.)*\""  # a quote within it is escaped by a backslash
REQUEST = r"^(?P<method>[A-Z]+) (?P<path>\S+)(?: HTTP/[\d.]+)?$"
PROBE = "(probe)"  # the path of what asks whether a service is well, and of nothing that it makes
PROBES = (
    r"(?i)/(health(z|[-_]?check)?(/live|/ready)?|livez|readyz|metrics|ping|haproxy\?stats.*|favicon\.ico|robots\.txt)/?"
    r"([?#].*)?$"
)
PROBE_ROWS = (r"^\(probe\)$", "health checks, scrapes of metrics and preflights (/health, /metrics, OPTIONS)")
# day/month/year:time zone, in brackets; HAProxy has milliseconds and no zone.
CLF = (
    r"\[(?P<day>\d\d)/(?P<month>[A-Z][a-z][a-z])/(?P<year>\d{4}):"
    r"(?P<clock>\d\d:\d\d:\d\d(?:\.\d+)?)(?P<zone> [+-]\d{4})?\]"
)

Columns = tuple[dict[str, Any], Hashes | None]  # of texts, and numbers for what is in no column
Made = Callable[[dict[str, Any]], Columns]
Quick = Callable[[bytes], tuple[Columns, Mask] | None]
T = TypeVar("T")


def nothing(_: bytes) -> None:
    """No lines are found without the pattern."""


def pattern_blocks(
    path: Path, broken: list[Broken], progress: Progress, pattern: str, columns_of: Made, quick: Quick = nothing
) -> Iterator[RowBlock]:
    """The lines of a log that fit a pattern; columns_of makes columns of its groups. Others go into `broken`.

    quick: finds the columns of most lines without the pattern, and says of which.
    """

    def read(numbered: tuple[int, bytes]) -> tuple[RowBlock, list[Broken]]:
        return lines_block(numbered[1], numbered[0], pattern, columns_of, quick)

    yield from blocks_in_order(read, whole_lines(path, progress), broken)


def blocks_in_order(
    read: Callable[[T], tuple[RowBlock, list[Broken]]], parts: Iterable[T], broken: list[Broken]
) -> Iterator[RowBlock]:
    """What is read of each part of a log, some parts at a time; lines that do not fit go into `broken`."""
    for block, unfit in in_order(read, parts):
        broken += unfit
        if len(block.lines):
            yield block


def whole_lines(path: Path, progress: Progress) -> Iterator[tuple[int, bytes]]:
    """A file in parts of whole lines, each with the number of its first line."""
    stream, raw = opened(path)
    size, line, rest = max(path.stat().st_size, 1), 1, b""
    try:
        with raw:
            while data := stream.read(BLOCK):
                data = rest + (data.removeprefix(BOM) if line == 1 and not rest else data)
                cut = data.rfind(b"\n") + 1
                data, rest = data[:cut], data[cut:]
                count = data.count(b"\n")
                if len(rest) > LONGEST_LINE:
                    found = f"line {line + count} is longer than {LONGEST_LINE:,} bytes"
                    raise BadInput("this is no log", file=path, value=found, expected="one request per line")
                if data:
                    yield line, data
                line += count
                progress(raw.tell() / size)
            if rest:
                yield line, rest + b"\n"
    except UNREADABLE as problem:
        raise BadInput(f"the log cannot be read ({problem})", file=path) from None


def lines_block(data: bytes, line: int, pattern: str, columns_of: Made, quick: Quick) -> tuple[RowBlock, list[Broken]]:
    """Lines as columns of texts, and those that do not fit."""
    found = quick(data)
    if found is None:
        lines = line + np.arange(data.count(b"\n"))
        parts, fits, unfit = pattern_parts(data.split(b"\n")[:-1], lines, pattern)
        columns, same = columns_of(parts)
        return RowBlock(columns, lines[fits], same), unfit
    (columns, same), fits = found
    if fits.all():
        return RowBlock(columns, line + np.arange(len(fits)), same), []
    left = list(compress(data.split(b"\n"), ~fits))
    parts, fit, unfit = pattern_parts(left, line + np.flatnonzero(~fits), pattern)
    others, other = columns_of(parts)
    lines = line + np.concatenate([np.flatnonzero(fits), np.flatnonzero(~fits)[fit]])
    order = np.argsort(lines)
    whole = {name: joined([values, stored_like(values, others[name])]) for name, values in columns.items()}
    numbers = None if same is None or other is None else np.concatenate([same, other])[order]
    return RowBlock(
        {name: values.take(pa.array(order)) for name, values in whole.items()}, lines[order], numbers
    ), unfit


def pattern_parts(whole: list[bytes], lines: Any, pattern: str) -> tuple[dict[str, Any], Mask, list[Broken]]:
    """The groups of lines that fit a pattern, which lines do, and the others; lines: the number of each."""
    texts = pa.array([text.rstrip(b"\r").decode("utf-8", errors="replace") for text in whole], pa.string())
    found = pc.extract_regex(texts, pattern)
    fits = pc.is_valid(found).to_numpy(zero_copy_only=False)
    unfit = [Broken(int(lines[place]), texts[int(place)].as_py().strip()) for place in np.flatnonzero(~fits)]
    kept = found.filter(pa.array(fits))
    return {field.name: kept.field(field.name) for field in kept.type}, fits, [line for line in unfit if line.text]


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
    found = of_words(request, lambda words: pc.extract_regex(words, REQUEST))
    return {
        "method": pc.fill_null(pc.struct_field(found, "method"), ""),
        "path": pc.fill_null(pc.struct_field(found, "path"), ""),
        "asked": request,
    }


def with_probes(columns: dict[str, Any]) -> dict[str, Any]:
    """Columns of a log with PROBE as the path of health checks, scrapes of metrics and preflights."""
    if "path" not in columns:
        return columns
    path, method = columns["path"], columns.get("method")
    probe = of_words(path, lambda words: matches(words, PROBES))
    if method is not None:
        probe |= of_words(method, lambda words: matches(words, "^OPTIONS$"))
    if not probe.any():
        return columns
    found = pc.if_else(pa.array(probe), pa.scalar(PROBE), plain(path))
    return {**columns, "path": stored_like(path, found)}


def shortened_path(paths: Any, depth: int) -> Any:
    """The first parts of paths without their query: '/api/images' of '/api/images/77?size=2' at depth 2."""

    def shortened(words: Any) -> Any:
        bare = pc.replace_substring_regex(words, r"[?#].*$", "")
        head = pc.struct_field(pc.extract_regex(bare, rf"^(?P<head>(?:/[^/]*){{0,{depth}}})"), "head")
        return pc.if_else(pc.equal(head, ""), bare, head)  # '*' has no parts, and at depth 0 nothing is cut

    return of_words(paths, shortened)


def unquoted(texts: Any) -> Any:
    return pc.utf8_slice_codeunits(texts, 1, -1)
