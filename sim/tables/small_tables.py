"""A small table as lists of texts: cut at its delimiter, without empty cells at the ends of lines, commas settled.

A comma within a number stands between thousands or before decimals. All numbers of the file are asked: 6,001.5 and
1,234,567 show thousands, 0,17 and 11,25 decimals, and a point before decimals leaves thousands to the comma.
"""

import csv
import re
from collections.abc import Iterable, Sequence

from sim.tables.files import delimiter, rows_begin

NUMBER = re.compile(r"^([+-]?\d[\d.,]*|[+-]?[.,]\d+)(\s*[A-Za-z%/µ].*)?$")  # perhaps with a unit behind it
GROUPED = re.compile(r"^[+-]?\d{1,3}(,\d{3})+$")
SHOW_THOUSANDS = re.compile(r"^[+-]?(\d{1,3}(,\d{3})+\.\d+|\d{1,3}(,\d{3}){2,}|\d+\.\d{1,2}|\d+\.\d{4,}|0\.\d+)$")
SHOW_DECIMALS = re.compile(r"^[+-]?(\d{1,3}(\.\d{3})+,\d+|\d*,\d{1,2}|\d*,\d{4,}|0\d*,\d+|\d{4,},\d+)$")


def cells_of(text: str) -> list[list[str]]:
    """The rows of a table; empty ones too. Numbers with commas have points, where it is certain what the comma is."""
    lines = re.split(r"\r\n|\r|\n", text)
    lines = lines[rows_begin(lines) :]
    mark = delimiter(next((line for line in lines if line.strip()), ""))
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=mark)]
    width = max((len(without_end(row)) for row in rows), default=0)
    return settled([row[:width] if any(row) else [] for row in rows], mark)


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


def with_point(cell: str, comma: str) -> str:
    found = NUMBER.match(cell)
    if not found or "," not in found[1]:
        return cell
    number = found[1].replace(",", "") if comma == "thousands" else found[1].replace(".", "").replace(",", ".")
    return number + (found[2] or "")
