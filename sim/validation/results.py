"""Studies as one table in a CSV file, with when and with what they were made: what is kept of a full study."""

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from sim.manifest import versions
from sim.validation.study import COLUMNS, Study

RESULTS = ["study", *COLUMNS]
NUMBERS = ["actual", "predicted", "low", "high"]
MADE = "# "  # what the first line begins with


def made_now() -> str:
    """The date, and the versions of what a result depends on."""
    with_what = ", ".join(f"{name} {number}" for name, number in versions().items())
    return f"Made {datetime.now(UTC):%d %B %Y} with {with_what}."


def write_results(studies: list[Study], path: Path) -> None:
    """A row a figure: RESULTS, under a line that says when and with what. Six figures; nothing where there is none."""
    tables = [study.table.assign(study=study.name)[RESULTS] for study in studies]
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(f"{MADE}{made_now()}\n")
        pd.concat(tables).to_csv(file, index=False, float_format="%.6g")


def read_results(path: Path) -> tuple[str, pd.DataFrame]:
    """When and with what a file of results was made, and its rows."""
    with path.open(encoding="utf-8") as file:
        made = file.readline().removeprefix(MADE).strip()
        return made, pd.read_csv(
            file, keep_default_na=False, na_values={c: [""] for c in ("actual", "predicted", "low", "high")}
        )
