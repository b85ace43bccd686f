"""A comparison as a folder: its tables as CSV, a run of each playbook, and a manifest with the checksum of each."""

from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import ValidationError

from sim.errors import BadInput
from sim.results.folder import MANIFEST, damaged, in_file, new_folder, read_facts, verify, write_facts
from sim.results.manifest_schema import Part, Sha256
from sim.results.run import Run, load_run
from sim.studies.compare import Comparison

FORMAT = "meltpoint-comparison/1"
COMPARISON = "comparison.json"
FILES = {"table": "runs.csv"}  # of a table whose file has another name
Kind = Literal["bool", "int64", "float64", "str"]


class Facts(Part):
    """The manifest of a comparison. columns: by table, the kind of each column; plain: what is no table."""

    format: str
    columns: dict[str, dict[str, Kind]]
    plain: dict[str, Any]
    files: dict[str, Sha256]
    sha256: Sha256


def save_comparison(comparison: Comparison, runs: list[Run], folder: Path) -> Path:
    """Write a comparison and the runs of its first seed into a new folder, all of it or nothing. Raises BadInput."""
    parts = {field.name: getattr(comparison, field.name) for field in fields(comparison)}
    tables = {name: part for name, part in parts.items() if isinstance(part, pd.DataFrame)}
    facts = {
        "format": FORMAT,
        "columns": {name: {column: kind_of(table[column]) for column in table} for name, table in tables.items()},
        "plain": {name: part for name, part in parts.items() if name not in tables},
    }
    with new_folder(Path(folder)) as unfinished:
        for name, table in tables.items():
            table.to_csv(unfinished / file_of(name), index=False)
        for name, run in zip(comparison.playbooks, runs, strict=True):
            run.save(unfinished / name)
        runs_of = [f"{name}/{MANIFEST}" for name in comparison.playbooks]
        write_facts(facts, unfinished, COMPARISON, [*map(file_of, tables), *runs_of])
    return Path(folder)


def load_comparison(folder: Path) -> tuple[Comparison, list[Run]]:
    """A comparison saved before, and its runs. Raises BadInput where it is damaged, or there is none."""
    folder = Path(folder)
    read = read_facts(folder, COMPARISON, FORMAT)
    try:
        facts = Facts.model_validate(read)
    except ValidationError as wrong:
        raise damaged(wrong, read, Facts, folder / COMPARISON) from None
    names = [str(name) for name in facts.plain.get("playbooks", [])]
    if any("/" in name or name.startswith(".") for name in names):
        raise BadInput("a playbook is no folder here", file=folder / COMPARISON, key="playbooks", value=names)
    wanted = [*map(file_of, facts.columns), *(f"{name}/{MANIFEST}" for name in names)]
    verify(folder, COMPARISON, read, wanted)
    with in_file(folder / COMPARISON):
        tables: dict[str, Any] = {
            name: read_table(folder / file_of(name), dict(kinds)) for name, kinds in facts.columns.items()
        }
        comparison = Comparison(**tables, **facts.plain)
        if set(comparison.table["playbook"]) != set(names) or comparison.baseline not in names:
            raise BadInput("the tables are of other playbooks", key="playbooks", value=names)
    return comparison, [load_run(folder / name) for name in names]


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
