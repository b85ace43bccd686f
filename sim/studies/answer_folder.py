"""The answer of a study as a folder: its tables as CSV, runs of it, and a manifest with the checksum of each."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from sim.errors import BadInput
from sim.results.folder import MANIFEST, damaged, in_file, read_facts, verify, write_facts
from sim.results.manifest_schema import Crc32, Part, Sha256
from sim.results.run import Run, load_run
from sim.studies.compare import Comparison
from sim.studies.decide import Decision
from sim.studies.demand_multiple import Multiple
from sim.studies.size import Size
from sim.writing import new_folder

COMPARISON, COMPARISON_FORMAT = "comparison.json", "meltpoint-comparison/2"
SIZE, SIZE_FORMAT = "size.json", "meltpoint-size/3"
DECISION, DECISION_FORMAT = "decision.json", "meltpoint-decision/2"
FILES = {"table": "runs.csv"}  # of a table whose file has another name
RUN = "run"  # the folder of the one run that a size or a decision keeps
Kind = Literal["bool", "int64", "float64", "str"]
Answer = list[Size] | list[Multiple] | Decision


class Facts(Part):
    """The manifest of an answer. columns: by table, the kind of each column; plain: what is no table."""

    format: str
    columns: dict[str, dict[str, Kind]]
    plain: dict[str, Any]
    files: dict[str, Crc32]
    sha256: Sha256


def write_answer(parts: Mapping[str, Any], runs: Mapping[str, Run], folder: Path, name: str, form: str) -> None:
    """Write an answer into a new folder, all of it or nothing. Raises BadInput.

    parts: tables, and plain values; runs: by the names of their folders; name, form: of the manifest.
    """
    tables = {part: value for part, value in parts.items() if isinstance(value, pd.DataFrame)}
    facts = {
        "format": form,
        "columns": {part: {str(c): kind_of(table[c]) for c in table} for part, table in tables.items()},
        "plain": {part: value for part, value in parts.items() if part not in tables},
    }
    with new_folder(folder) as unfinished:
        for part, table in tables.items():
            table.to_csv(unfinished / file_of(part), index=False)
        for inside, run in runs.items():
            run.save(unfinished / inside)
        files = [*map(file_of, tables), *(f"{inside}/{MANIFEST}" for inside in runs)]
        write_facts(facts, unfinished, name, files)


def read_answer(folder: Path, name: str, form: str, folders: str) -> tuple[dict[str, Any], list[Run]]:
    """The parts and runs of an answer saved before; folders: the part that names those of its runs. Raises BadInput."""
    read = read_facts(folder, name, form)
    try:
        facts = Facts.model_validate(read)
    except ValidationError as wrong:
        raise damaged(wrong, read, Facts, folder / name) from None
    names = [str(one) for one in facts.plain.get(folders, [])]
    if any("/" in one or one.startswith(".") for one in names):
        raise BadInput("this is no folder here", file=folder / name, key=folders, value=names)
    verify(folder, name, read, [*map(file_of, facts.columns), *(f"{one}/{MANIFEST}" for one in names)])
    with in_file(folder / name):
        tables = {part: read_table(folder / file_of(part), dict(kinds)) for part, kinds in facts.columns.items()}
    return {**facts.plain, **tables}, [load_run(folder / one) for one in names]


def save_comparison(comparison: Comparison, runs: list[Run], folder: Path) -> Path:
    """Write a comparison and the runs of its first seed into a new folder, all of it or nothing. Raises BadInput."""
    parts = {field.name: getattr(comparison, field.name) for field in fields(comparison)}
    write_answer(parts, dict(zip(comparison.playbooks, runs, strict=True)), folder, COMPARISON, COMPARISON_FORMAT)
    return folder


def load_comparison(folder: Path) -> tuple[Comparison, list[Run]]:
    """A comparison saved before, and its runs. Raises BadInput where it is damaged, or there is none."""
    parts, runs = read_answer(folder, COMPARISON, COMPARISON_FORMAT, "playbooks")
    with in_file(folder / COMPARISON):
        comparison = Comparison(**parts)
        names = comparison.playbooks
        if set(comparison.table["playbook"]) != set(names) or comparison.baseline not in names:
            raise BadInput("the tables are of other playbooks", key="playbooks", value=names)
    return comparison, runs


def save_sizes(found: Sequence[Size | Multiple], answers: pd.DataFrame, run: Run | None, folder: Path) -> None:
    """Write what `size` found into a new folder. answers: a row per answer, for other programs; run: of the first."""
    every = [one.table.assign(playbook=one.playbook, answer=place) for place, one in enumerate(found)]
    looks = [table for table in every if len(table)] or every[:1]  # an empty one beside others makes texts of numbers
    kept = {} if run is None else {RUN: run}
    kind = "sizes" if isinstance(found[0], Size) else "multiples"
    parts = {"looks": pd.concat(looks, ignore_index=True), kind: [plain(one) for one in found], "folders": [*kept]}
    write_answer({**parts, "answers": answers}, kept, folder, SIZE, SIZE_FORMAT)


def load_size(folder: Path) -> tuple[list[Size] | list[Multiple], list[Run]]:
    """What `size` found, and a run of its first answer where there is one. Raises BadInput."""
    parts, runs = read_answer(folder, SIZE, SIZE_FORMAT, "folders")
    with in_file(folder / SIZE):
        name, kind = ("sizes", Size) if "sizes" in parts else ("multiples", Multiple)
        known, looks = TypeAdapter[Any](kind), dict([*parts["looks"].groupby("answer")])
        none = parts["looks"].iloc[:0]
        tables = [looks.get(place, none).drop(columns=["playbook", "answer"]) for place in range(len(parts[name]))]
        return [known.validate_python({**one, "table": t}) for one, t in zip(parts[name], tables, strict=True)], runs


def save_decision(found: Decision, run: Run, folder: Path) -> None:
    """Write a decision into a new folder; run: of the option chosen."""
    parts = {"options": found.options, "runs": found.runs, "decision": plain(found), "folders": [RUN]}
    write_answer(parts, {RUN: run}, folder, DECISION, DECISION_FORMAT)


def load_decision(folder: Path) -> tuple[Decision, list[Run]]:
    """A decision, and a run of its choice. Raises BadInput."""
    parts, runs = read_answer(folder, DECISION, DECISION_FORMAT, "folders")
    with in_file(folder / DECISION):
        tables = {name: parts[name] for name in ("options", "runs")}
        return TypeAdapter(Decision).validate_python({**parts["decision"], **tables}), runs


def plain(found: Size | Multiple | Decision) -> dict[str, Any]:
    """All of an answer that is no table, as JSON has it."""
    parts = {field.name: getattr(found, field.name) for field in fields(found)}
    rest = {name: part for name, part in parts.items() if not isinstance(part, pd.DataFrame)}
    return dict(json.loads(to_json(rest, inf_nan_mode="strings")))


def file_of(table: str) -> str:
    return FILES.get(table, f"{table}.csv")


def kind_of(column: pd.Series) -> str:
    """The kind of a column's values: those of a text are 'str', however pandas keeps them."""
    kind = str(column.dtype)
    return kind if kind in ("bool", "int64", "float64") else "str"


def read_table(path: Path, kinds: dict[str, Kind]) -> pd.DataFrame:
    """A table with the values that were written, to the last bit; texts are never taken for something else."""
    if not kinds:  # no rows of people were recorded, say
        return pd.DataFrame()
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if list(table.columns) != list(kinds):
        raise BadInput("this table has other columns", file=path, expected=", ".join(kinds))
    return table.assign(**{name: read_column(table[name].tolist(), kind) for name, kind in kinds.items()})


def read_column(texts: list[str], kind: Kind) -> pd.Series:
    """The values behind the texts of a column. Raises ValueError."""
    values: dict[str, Any] = {
        "float64": lambda text: float(text or "nan"),
        "int64": int,
        "bool": {"True": True, "False": False}.get,
    }
    return pd.Series([values.get(kind, str)(text) for text in texts], dtype=kind)
