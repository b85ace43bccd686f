"""Logs with one request per line, read by a pattern as columns of texts, block by block."""

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sim.errors import BadInput
from sim.tables.files import BLOCK, BOM, Broken, Progress, RowBlock, opened
from sim.tables.times import Mask, of_words

LONGEST_LINE = 1_000_000  # bytes
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
QUOTED = r"\"(?:[^\"\\]|\\.)*\""  # a quote within it is escaped by a backslash
REQUEST = r"^(?P<method>[A-Z]+) (?P<path>\S+)(?: HTTP/[\d.]+)?$"
# day/month/year:time zone, in brackets; HAProxy has milliseconds and no zone.
CLF = (
    r"\[(?P<day>\d\d)/(?P<month>[A-Z][a-z][a-z])/(?P<year>\d{4}):"
    r"(?P<clock>\d\d:\d\d:\d\d(?:\.\d+)?)(?P<zone> [+-]\d{4})?\]"
)

Quick = Callable[[bytes], tuple[dict[str, Any], Mask] | None]


def pattern_blocks(
    path: Path,
    broken: list[Broken],
    progress: Progress,
    pattern: str,
    columns_of: Callable[[dict[str, Any]], Any],
    quick: Quick = lambda _: None,
) -> Iterator[RowBlock]:
    """The lines of a log that fit a pattern; columns_of makes columns of its groups. Others go into `broken`.

    quick: finds the groups of most lines without the pattern, and says of which.
    """
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
                yield lines_block(data, line, broken, pattern, columns_of, quick)
                line += count
                progress(raw.tell() / size)
            if rest:
                yield lines_block(rest + b"\n", line, broken, pattern, columns_of, quick)
    except (OSError, EOFError, zlib.error) as problem:
        raise BadInput(f"the log cannot be read ({problem})", file=path) from None


def lines_block(
    data: bytes,
    line: int,
    broken: list[Broken],
    pattern: str,
    columns_of: Callable[[dict[str, Any]], Any],
    quick: Quick,
) -> RowBlock:
    """Lines as columns of texts."""
    found = quick(data) if data else None
    if found is None:
        parts, fits = pattern_parts(data.split(b"\n")[:-1], line, broken, pattern)
        return RowBlock(columns_of(parts), (line + np.arange(len(fits)))[fits])
    parts, fits = found
    lines, rest = line + np.flatnonzero(fits), np.flatnonzero(~fits)
    if len(rest):
        whole = data.split(b"\n")
        others, fit = pattern_parts([whole[place] for place in rest], line + rest, broken, pattern)
        lines = np.concatenate([lines, line + rest[fit]])
        order = np.argsort(lines)
        parts = {name: pa.concat_arrays([values, others[name]]).take(pa.array(order)) for name, values in parts.items()}
        lines = lines[order]
    return RowBlock(columns_of(parts), lines)


def pattern_parts(whole: list[bytes], first: Any, broken: list[Broken], pattern: str) -> tuple[dict[str, Any], Mask]:
    """The groups of lines that fit a pattern, and which lines do; first: the first line's number, or that of each."""
    lines = first + np.arange(len(whole)) if np.ndim(first) == 0 else first
    texts = pa.array([text.rstrip(b"\r").decode("utf-8", errors="replace") for text in whole], pa.string())
    found = pc.extract_regex(texts, pattern)
    fits = pc.is_valid(found).to_numpy(zero_copy_only=False)
    unfit = [Broken(int(lines[place]), texts[int(place)].as_py().strip()) for place in np.flatnonzero(~fits)]
    broken += [line for line in unfit if line.text]
    kept = found.filter(pa.array(fits))
    return {field.name: kept.field(field.name) for field in kept.type}, fits


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


def shortened_path(paths: Any, depth: int) -> Any:
    """The first parts of paths without their query: '/api/images' of '/api/images/77?size=2' at depth 2."""

    def shortened(words: Any) -> Any:
        bare = pc.replace_substring_regex(words, r"[?#].*$", "")
        head = pc.struct_field(pc.extract_regex(bare, rf"^(?P<head>(?:/[^/]*){{0,{depth}}})"), "head")
        return pc.if_else(pc.equal(head, ""), bare, head)  # '*' has no parts, and at depth 0 nothing is cut

    return of_words(paths, shortened)
