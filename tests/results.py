"""The results of full studies as they were committed, and how far a prediction may move from them."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

from sim.validation.study import Row
from sim.validation.study_file import COMMENT

FOLDER = Path(__file__).parent.parent / "docs" / "results"
MOVED = 0.05  # of itself


@cache
def committed(study: str) -> tuple[str, pd.DataFrame]:
    """When and with what a study was made, and its rows."""
    return read_results(FOLDER / f"{study}.csv")


def keys(study: str) -> list[tuple[str, str]]:
    """The key of a study's rows: the case and the figure."""
    table = committed(study)[1]
    return list(zip(table["case"], table["figure"], strict=True))


def assert_unmoved(study: str, rows: Iterable[Row]) -> int:
    """Every prediction is within MOVED of the committed one. How many there are."""
    before = dict(zip(keys(study), committed(study)[1]["predicted"], strict=True))
    found = list(rows)
    for row in found:
        assert row.predicted == pytest.approx(before[row.case, row.figure], rel=MOVED, nan_ok=True), row
    return len(found)


def read_results(path: Path) -> tuple[str, pd.DataFrame]:
    """The date and versions of a file of results, and its rows."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = [line for line in lines if line.startswith(COMMENT)]
    numbers = {name: [""] for name in ("actual", "predicted", "low", "high")}
    return comments[0].removeprefix(COMMENT), pd.read_csv(
        path, skiprows=len(comments), keep_default_na=False, na_values=numbers
    )
