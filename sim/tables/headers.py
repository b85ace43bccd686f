"""The head of a table in a text: the line that names its columns, below titles, comments, hints and blank lines."""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sim.errors import BadInput
from sim.tables.opening import Tidy, first_lines, opened

MARKS = ",;\t|"
MOST_LINES = 200  # of a text, which show what its table looks like
NO_ROW = re.compile(r"#|sep=.$|\+[-+]+\+$", re.IGNORECASE)
RULE = re.compile(r"^[|+\-:= ]*--[|+\-:= ]*$")  # a line under the names, as psql and Markdown draw it
VALUE = re.compile(r"^[+-]?[.,]?\d[\d.,:/ TZ+-]*$")  # a number or a date, as no column is named
TIME_UNIT = re.compile(r"^[\[(]?(s|ms|us|ns)[\])]?$")
UNIT = re.compile(
    r"^[\[(]?(s|ms|us|µs|ns|sec|seconds|milliseconds|min|minutes|h|hours|utc|gmt|count|counts|number|#|%|n|req/s|1/s|rps|"
    r"px|pixels|bytes|B|kB|MB|GB|steps|tokens|images|text|string|-)?[\])]?$",
    re.IGNORECASE,
)
TOTAL = (  # also what psql and mysql write below
    r"(?i)^\s*(?:(grand |sub)?(totals?|sum|summe|gesamt|insgesamt|overall|average|mean)\s*:?|\(?\d+ rows?\b.*|"
    r"\+[-+]+\+)\s*$"
)


@dataclass(frozen=True)
class TableHead:
    """The names of a table's columns, the delimiter, and how many lines stand before its first row."""

    names: list[str]
    mark: str
    skip: int


def delimiter(line: str) -> str:
    return max(MARKS, key=line.count)


def filled(row: Sequence[str]) -> int:
    """The number of a row's cells, without empty ones at its end."""
    return next((place + 1 for place in range(len(row) - 1, -1, -1) if row[place].strip()), 0)


def rows_begin(lines: list[str]) -> int:
    """The place of the first row: after empty lines, comments, and the hint sep=; by which Excel knows the delimiter.

    Comments are lines with # before a line of names; before numbers the last of them has the names.
    """
    rows = [place for place, line in enumerate(lines) if line.strip()]
    first = next((place for place in rows if not NO_ROW.match(lines[place])), len(lines))
    named = first < len(lines) and not any(
        cell.strip("\"' ")[:1].isdigit() for cell in re.split(f"[{MARKS}]", lines[first])
    )
    return first if named or first in rows[:1] else max((place for place in rows if place < first), default=first)


def table_head(lines: list[str]) -> TableHead:
    """The head of the table in some lines: in the fullest line of names, with the delimiter by which it is found.

    Where no line is one of names, the first row is taken for it.
    """
    lines = lines[:MOST_LINES]
    begin = rows_begin(lines)
    found = [head for mark in MARKS if (head := head_by(lines, begin, mark))]
    if found:
        place, _, row, mark = min(found)
    else:
        place = next((k for k in range(begin, len(lines)) if lines[k].strip()), len(lines))
        mark = delimiter(lines[place]) if place < len(lines) else ","
        row = rows_of(lines[place : place + 1], mark)[0][2] if place < len(lines) else []
        place += 1
    names = [" ".join(cell.split()) for cell in row[: filled(row)]]
    under, skip = next(((k, line) for k, line in enumerate(lines[place:], place) if line.strip()), (place, ""))
    if RULE.match(skip):
        return TableHead(names, mark, under + 1)
    units = [cell.strip() for cell in rows_of([skip], mark)[0][2]] if skip else []
    if names and any(units) and len(units) >= len(names) > 1 and all(map(UNIT.match, units)):
        return TableHead([with_unit(*both) for both in zip(names, units, strict=False)], mark, under + 1)
    return TableHead(names, mark, place)


def head_by(lines: list[str], begin: int, mark: str) -> tuple[int, int, list[str], str] | None:
    """The line of names of a table cut at this mark: the line after it, less its cells, the cells and the mark."""
    rows = [(at, end, row) for at, end, row in rows_of(lines[begin:], mark) if not NO_ROW.match(",".join(row))]
    widths = Counter(filled(row) for _, _, row in rows if filled(row))
    if not widths:
        return None
    usual = max(widths, key=lambda width: (widths[width], width))
    full = [k for k, (_, _, row) in enumerate(rows) if filled(row) >= usual and usual > 1]
    starts = [k for k in full if are_names(rows[k][2]) and (k == full[0] or not filled(rows[k - 1][2]))]
    if not starts:
        return None
    ends = [*starts[1:], len(rows)]
    best = max(range(len(starts)), key=lambda k: (ends[k] - starts[k], -k))
    _, end, row = rows[starts[best]]
    return begin + end, -filled(row), row, mark


def rows_of(lines: list[str], mark: str) -> list[tuple[int, int, list[str]]]:
    """The rows of some lines, each with the places of its first line and of the line after it."""
    reader, at, found = csv.reader((line + "\n" for line in lines), delimiter=mark, skipinitialspace=True), 0, []
    try:
        for row in reader:
            found.append((at, reader.line_num, row))
            at = reader.line_num
    except csv.Error:  # a field longer than any name
        pass
    return found


def are_names(row: Sequence[str]) -> bool:
    cells = [cell.strip() for cell in row[: filled(row)]]
    return len(set(cells)) == len(cells) and all(cells[1:]) and not any(map(VALUE.match, cells))


def with_unit(name: str, unit: str) -> str:
    """A name with the unit of time that stands under it: latency_ms."""
    found = TIME_UNIT.match(unit)
    if found and not name.lower().endswith(f"_{found[1]}"):
        return f"{name}_{found[1]}"
    return f"{name} (UTC)" if unit.strip("[()]").upper() in ("UTC", "GMT") else name


def is_parquet(path: Path) -> bool:
    stream, raw = opened(path)
    with raw:
        return stream is raw and raw.read(4) == b"PAR1"


def header(path: Path, tidy: Tidy | None = None) -> list[str]:
    """The column names of a CSV or Parquet file; of any other text, its first line split at the delimiter."""
    if is_parquet(path):
        try:
            return list(pq.ParquetFile(path).schema_arrow.names)
        except (OSError, pa.ArrowException) as wrong:
            raise BadInput(f"this is not a Parquet file ({wrong})", file=path) from None
    return table_head(first_lines(path, tidy)).names


def column_names(path: Path, tidy: Tidy | None = None) -> list[str]:
    """The header of a table, without delimiters at its end. Raises BadInput unless it names each column once."""
    return checked_names(header(path, tidy), path)


def checked_names(names: list[str], path: Path) -> list[str]:
    if not names:
        raise BadInput("the file is empty", file=path, expected="a first line that names the columns, and rows")
    names = ["row" if not names[0] and len(names) > 1 and "row" not in names else names[0], *names[1:]]
    if len(set(names)) < len(names) or not all(names):
        expected = "a first line that names each column once"
        raise BadInput("the first line does not name the columns", file=path, value=names, expected=expected)
    return names
