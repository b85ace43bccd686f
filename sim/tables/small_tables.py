"""A small table as lists of texts: cut at its delimiter, without empty cells at the ends of lines, commas settled.

A comma within a number stands between thousands or before decimals. All numbers of the file are asked: 6,001.5 and
1,234,567 show thousands, 0,17 and 11,25 decimals, and a point before decimals leaves thousands to the comma.
"""

import csv
import re
from collections.abc import Iterable, Sequence

from sim.tables.headers import rows_begin, table_head

SPACED = re.compile(r"^[+-]?\d{1,3}([ '’\u00a0\u202f]\d{3})+(?=([.,]\d+)?(\s*[A-Za-z%/µ].*)?$)")
NUMBER = re.compile(r"^([+-]?\d[\d.,]*|[+-]?[.,]\d+)(\s*[A-Za-z%/µ].*)?$")  # perhaps with a unit behind it
GROUPED = re.compile(r"^[+-]?\d{1,3}(,\d{3})+$")
SHOW_THOUSANDS = re.compile(r"^[+-]?(\d{1,3}(,\d{3})+\.\d+|\d{1,3}(,\d{3}){2,}|\d+\.\d{1,2}|\d+\.\d{4,}|0\.\d+)$")
SHOW_DECIMALS = re.compile(r"^[+-]?(\d{1,3}(\.\d{3})+,\d+|\d*,\d{1,2}|\d*,\d{4,}|0\d*,\d+|\d{4,},\d+)$")


def cells_of(text: str, *, several: bool = False) -> list[list[str]]:
    """The rows of a table, its names first; empty ones too. Commas are settled where it is certain what they are.

    several: the text holds several tables, which are all read.
    """
    lines = re.split(r"\r\n|\r|\n", text)
    head = table_head(lines)
    kept = lines[rows_begin(lines) :] if several else lines[head.skip :]
    cut = csv.reader((f"{line}\n" for line in kept), delimiter=head.mark)
    rows = [[ungrouped(cell.strip()) for cell in row] for row in cut]
    rows = rows if several else [head.names, *rows]
    width = max((len(without_end(row)) for row in rows), default=0)
    return settled([row[:width] if any(row) else [] for row in rows], head.mark)


def ungrouped(cell: str) -> str:
    """A number without the spaces or apostrophes between its thousands."""
    return SPACED.sub(lambda found: re.sub(r"[^\d+-]", "", found[0]), cell)


def without_end(row: Sequence[str]) -> Sequence[str]:
    """A row without the empty cells at its end."""
    filled = [place for place, cell in enumerate(row) if cell]
    return row[: filled[-1] + 1] if filled else []


def settled(rows: list[list[str]], mark: str) -> list[list[str]]:
    """The same rows, with points before decimals and nothing between thousands; a comma that may be either stays."""
    comma = comma_in((cell for row in rows for cell in row), mark)
    return [[with_point(cell, comma) for cell in row] for row in rows] if comma else rows


def comma_in(cells: Iterable[str], mark: str) -> str:
    """What commas in numbers are: 'thousands' or 'decimals'; '' where there are none, or they may be either.

    mark: the delimiter. Where it is a comma, one within a cell stood between quotes, and decimals are not written so.
    """
    numbers = [found[1] for cell in cells if (found := NUMBER.match(cell))]
    if not any("," in one for one in numbers):
        return ""
    thousands = any(map(SHOW_THOUSANDS.match, numbers))
    decimals = any(map(SHOW_DECIMALS.match, numbers))
    if thousands and not decimals:
        return "thousands"
    if decimals and not thousands and mark != ",":
        return "decimals"
    return "thousands" if mark == "," and not decimals else ""


def thousands_in(cells: Iterable[str]) -> str:
    """'thousands' where a column has 1,457 beside 954, and no decimals, which would be in both; else ''."""
    there = [cell for cell in cells if NUMBER.match(cell)]
    rest = [cell for cell in there if not GROUPED.match(cell)]
    return "thousands" if rest and len(rest) < len(there) and all(re.match(r"^\d{1,3}$", cell) for cell in rest) else ""


def with_point(cell: str, comma: str) -> str:
    found = NUMBER.match(cell)
    if not found or "," not in found[1]:
        return cell
    number = found[1].replace(",", "") if comma == "thousands" else found[1].replace(".", "").replace(",", ".")
    return number + (found[2] or "")
