"""The results of full studies as they were committed, and how far a prediction may move from them."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

from sim.validation.results import read_results
from sim.validation.study import Row

FOLDER = Path(__file__).parent.parent / "docs" / "results"
MOVED = 0.05  # of itself


@cache
def committed(study: str) -> tuple[str, pd.DataFrame]:
    """When and with what a study was made, and its rows."""
    return read_results(FOLDER / f"{study}.csv")


def assert_unmoved(study: str, rows: Iterable[Row]) -> int:
    """Every prediction is within MOVED of the committed one; theory's by engine. How many there are."""
    table = committed(study)[1]
    engine = table["note"].str.partition(",")[0].where(table["study"] == "theory", "")
    before = dict(zip(zip(table["case"], table["figure"], engine, strict=True), table["predicted"], strict=True))
    count = 0
    for count, row in enumerate(rows, start=1):  # noqa: B007
        engine_ = row.note.partition(",")[0] if study == "theory" else ""
        assert row.predicted == pytest.approx(before[row.case, row.figure, engine_], rel=MOVED, nan_ok=True), row
    return count
