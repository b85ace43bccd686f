"""Spreadsheets (.xlsx, .ods) as CSV text, their first sheet with rows; they need the extra 'sheets'."""

import csv
import io
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from sim.errors import BadInput

ZIP = b"PK\x03\x04"


def sheet_as_csv(path: Path) -> bytes:
    """The first sheet that has rows, as CSV. Raises BadInput for a zip of another kind, and without the libraries."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (OSError, zipfile.BadZipFile) as wrong:
        raise BadInput(f"this archive cannot be read ({wrong})", file=path) from None
    engine: Literal["openpyxl", "odf"] = "openpyxl" if "xl/workbook.xml" in names else "odf"
    if not names & {"xl/workbook.xml", "content.xml"}:
        raise BadInput("this is a zip archive of other files", file=path, expected="one of the files in it, unpacked")
    try:
        sheets: dict[str, Any] = pd.read_excel(path, sheet_name=None, header=None, engine=engine)
    except ImportError as missing:
        expected = "pip install 'meltpoint[sheets]', or the sheet saved as CSV"
        raise BadInput(f"reading spreadsheets needs {missing.name or engine}", file=path, expected=expected) from None
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as wrong:
        raise BadInput(f"this spreadsheet cannot be read ({wrong})", file=path) from None
    sheet = next((sheet for sheet in sheets.values() if len(sheet)), None)
    if sheet is None:
        raise BadInput("this spreadsheet has no rows", file=path)
    filled = sheet.notna()
    sheet = sheet.loc[filled.any(axis=1).idxmax() :, filled.any()]  # a table may stand anywhere in its sheet
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([as_cell(value) for value in row] for row in sheet.itertuples(index=False))
    return text.getvalue().encode()


def as_cell(value: Any) -> str:
    """One cell as a CSV has it: dates in ISO 8601, whole numbers without a point, nothing for an empty one."""
    if value is None or value is pd.NaT or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
