"""Studies as one table in a CSV file, with when and with what they were made: what is kept of a full study."""

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from sim.results.manifest import versions
from sim.validation.study import COLUMNS, Study

RESULTS = ["study", *COLUMNS]
NUMBERS = ["actual", "predicted", "low", "high"]
SAID = "# "  # what lines before the table begin with


def made_now() -> str:
    """The date, and the versions of what a result depends on."""
    with_what = ", ".join(f"{name} {number}" for name, number in versions().items())
    return f"Made {datetime.now(UTC):%d %B %Y} with {with_what}."


def write_results(studies: list[Study], path: Path) -> None:
    """A row a figure: RESULTS, six digits, under lines that say when and with what, and each study's notes."""
    said = [made_now(), *[f"{study.name}: {note}" for study in studies for note in study.notes]]
    tables = [study.table.assign(study=study.name)[RESULTS] for study in studies]
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(f"{SAID}{line}\n" for line in said)
        pd.concat(tables).to_csv(file, index=False, float_format="%.6g")


def read_results(path: Path) -> tuple[str, pd.DataFrame]:
    """When and with what a file of results was made, and its rows."""
    lines = path.read_text(encoding="utf-8").splitlines()
    said = [line for line in lines if line.startswith(SAID)]
    numbers = {name: [""] for name in NUMBERS}
    return said[0].removeprefix(SAID), pd.read_csv(path, skiprows=len(said), keep_default_na=False, na_values=numbers)
