"""A comparison as a folder: its tables, and a run of each playbook (see sim.studies.answer_folder)."""

from dataclasses import fields
from pathlib import Path

from sim.errors import BadInput
from sim.results.folder import in_file
from sim.results.run import Run
from sim.studies.answer_folder import read_answer, write_answer
from sim.studies.compare import Comparison

FORMAT = "meltpoint-comparison/1"
COMPARISON = "comparison.json"


def save_comparison(comparison: Comparison, runs: list[Run], folder: Path) -> Path:
    """Write a comparison and the runs of its first seed into a new folder, all of it or nothing. Raises BadInput."""
    parts = {field.name: getattr(comparison, field.name) for field in fields(comparison)}
    write_answer(parts, dict(zip(comparison.playbooks, runs, strict=True)), Path(folder), COMPARISON, FORMAT)
    return Path(folder)


def load_comparison(folder: Path) -> tuple[Comparison, list[Run]]:
    """A comparison saved before, and its runs. Raises BadInput where it is damaged, or there is none."""
    folder = Path(folder)
    parts, runs = read_answer(folder, COMPARISON, FORMAT, "playbooks")
    with in_file(folder / COMPARISON):
        comparison = Comparison(**parts)
        names = comparison.playbooks
        if set(comparison.table["playbook"]) != set(names) or comparison.baseline not in names:
            raise BadInput("the tables are of other playbooks", key="playbooks", value=names)
    return comparison, runs
