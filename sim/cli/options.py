"""Options that several commands share: the scenario, its override and settings, and checks of output files."""

from pathlib import Path
from typing import Annotated, Any

import typer

from sim.errors import BadInput

LONGEST_NAME = 200  # bytes: names beside it are a little longer

ScenarioArgument = Annotated[str, typer.Argument(help="A shipped scenario (see: meltpoint scenarios) or a file.")]
Override = Annotated[str | None, typer.Option(help="Apply one of the scenario's named overrides.")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set one dotted key, e.g. pools.fleet.gpus=9000. Repeatable."),
]


def parsed(sets: list[str] | None) -> dict[str, Any]:
    """--set arguments as keys and values, values read as YAML reads them."""
    from sim.scenario.load import plain_value

    settings = {}
    for setting in sets or []:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip():
            expected = "KEY=VALUE, like pools.fleet.gpus=9000"
            raise BadInput("--set takes a key and a value", value=setting, expected=expected)
        settings[key.strip()] = plain_value(text, key.strip())
    return settings


def refuse_places(figure: Path | None, out: Path | None) -> None:
    """Raise BadInput, before minutes of work, where the figure or the table cannot be written."""
    if figure is not None and figure.suffix not in (".png", ".svg"):
        raise BadInput("a figure is a PNG or an SVG", file=figure, expected="a name ending in .png or .svg")
    for path in (figure, out):
        if path is not None and (path.is_dir() or not path.parent.is_dir()):
            raise BadInput("this file cannot be written", file=path, expected="a file in a folder that is there")
