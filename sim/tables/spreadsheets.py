"""Spreadsheets (.xlsx, .ods) as CSV text: their first sheet with a table, and others like it; they need 'sheets'."""

import csv
import io
import zipfile
import zlib
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from sim.errors import BadInput

FEWEST = 3  # rows of a table, its names among them
ZIP = b"PK\x03\x04"
LARGEST = 500_000_000  # bytes of a file that is unpacked from a zip


def sheet_as_csv(path: Path) -> bytes:
    """The first sheet with a table, else with rows, as CSV, and below it the rows of sheets with the same first row.

    Of a zip with one file in it, that file.

    Raises BadInput for a zip of another kind, and without the libraries.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            files = [one for one in archive.infolist() if not one.is_dir() and not one.filename.startswith("__MACOSX")]
            if len(files) == 1 and files[0].file_size <= LARGEST:
                return archive.read(files[0])
    except (OSError, RuntimeError, NotImplementedError, zlib.error, zipfile.BadZipFile) as wrong:
        raise BadInput(f"this archive cannot be read ({wrong})", file=path) from None
    engine: Literal["openpyxl", "odf"] = "openpyxl" if "xl/workbook.xml" in names else "odf"
    if not names & {"xl/workbook.xml", "content.xml"}:
        raise BadInput("this is a zip archive of other files", file=path, expected="one of the files in it, unpacked")
    try:
        sheets: dict[str, Any] = pd.read_excel(path, sheet_name=None, header=None, engine=engine)
    except ImportError as missing:
        expected = "pip install 'meltpoint[sheets]', or the sheet saved as CSV"
        raise BadInput(f"reading spreadsheets needs {missing.name or engine}", file=path, expected=expected) from None
    except (ValueError, LookupError, TypeError, OSError, SyntaxError, zlib.error, zipfile.BadZipFile) as wrong:
        raise BadInput(f"this spreadsheet cannot be read ({wrong})", file=path) from None
    there = [trimmed(sheet) for sheet in sheets.values() if sheet.notna().any(axis=None)]
    if not there:
        raise BadInput("this spreadsheet has no rows", file=path)
    first = next((sheet for sheet in there if is_table(sheet)), there[0])
    rows = rows_of(first)
    for more in [rows_of(sheet) for sheet in there if sheet is not first]:
        rows += more[1:] if more[0] == rows[0] else []
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def trimmed(sheet: Any) -> Any:
    """A sheet without the empty rows above and the empty columns beside its table, which may stand anywhere in it."""
    filled = sheet.notna()
    return sheet.loc[filled.any(axis=1).idxmax() :, filled.any()]


def is_table(sheet: Any) -> bool:
    """Whether a sheet has several columns, and numbers or dates in several rows of one: a cover of words has not."""
    values = sheet.map(lambda value: isinstance(value, int | float | date | time) and value == value)
    return len(sheet) >= FEWEST and sheet.shape[1] > 1 and bool((values.sum() >= FEWEST - 1).any())


def rows_of(sheet: Any) -> list[list[str]]:
    return [[as_cell(value) for value in row] for row in sheet.itertuples(index=False)]


def as_cell(value: Any) -> str:
    """One cell as a CSV has it: dates in ISO 8601, whole numbers without a point, nothing for an empty one."""
    if value is None or value is pd.NaT or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
