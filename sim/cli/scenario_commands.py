"""The commands that list shipped scenarios and describe what a scenario file may hold."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from sim import shipped
from sim.cli.console import Console, name_column, write_out
from sim.cli.places import write_file


def scenarios() -> None:
    """List the shipped scenarios with their playbooks and overrides."""
    from sim.scenario.load import load

    table = Table(name_column("scenario"), "question", "playbooks", "overrides")
    for name in shipped.names("scenarios", ".yaml"):
        loaded = load(name)
        table.add_row(name, loaded.question, ", ".join(loaded.playbooks), ", ".join(loaded.overrides))
    Console().print(table)
    Console().print(f"Files in {shipped.folder('scenarios')}", soft_wrap=True, highlight=False, markup=False)


def schema(
    out: Annotated[Path | None, typer.Option(help="Write it to this file.")] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="A page to read: each key with unit, default, source and an example.")
    ] = False,
) -> None:
    """Print the JSON Schema of scenario files.

    With it an editor completes and checks them while you write; in VS Code, name it under yaml.schemas.
    """
    from sim.scenario.reference import reference
    from sim.scenario.scenario import Scenario

    text = reference() if markdown else json.dumps(Scenario.model_json_schema(by_alias=True), indent=1) + "\n"
    if out is None:
        write_out(text)
    else:
        write_file(text, out)
