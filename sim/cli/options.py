"""Options that several commands share: the scenario, its override and settings, and checks of output files."""

from pathlib import Path
from typing import Annotated, Any

import typer

from sim.errors import BadInput

ScenarioArgument = Annotated[str, typer.Argument(help="A shipped scenario (see: meltpoint scenarios) or a file.")]
Override = Annotated[str | None, typer.Option(help="Apply one of the scenario's named overrides.")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set one dotted key, e.g. pools.fleet.gpus=9000. Repeatable."),
]
Processes = Annotated[int | None, typer.Option(min=1, help="Runs at once; one per core if not given.")]
StoreFolder = Annotated[
    Path | None,
    typer.Option("--store", help="Where runs are kept; a folder in your cache if not given."),
]
NoStore = Annotated[bool, typer.Option("--no-store", help="Keep no runs, and use none that are kept.")]


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


def named(texts: str | None) -> list[str]:
    """Names that were given with commas between them, each once."""
    return list(dict.fromkeys(name.strip() for name in (texts or "").split(",") if name.strip()))


def a_share(key: str, text: str) -> float:
    """A share of an option, like '90%'. Raises BadInput."""
    from sim.units import fraction

    try:
        return fraction(text)
    except ValueError as wrong:
        expected = str(wrong).removeprefix("expected ")
        raise BadInput("this is not a share", key=f"--{key}", value=text, expected=expected) from None


def refuse_places(figure: Path | None, out: Path | None) -> None:
    """Raise BadInput, before minutes of work, where the figure or the table cannot be written."""
    if figure is not None and figure.suffix not in (".png", ".svg"):
        raise BadInput("a figure is a PNG or an SVG", file=figure, expected="a name ending in .png or .svg")
    for path in (figure, out):
        if path is not None and (path.is_dir() or not path.parent.is_dir()):
            raise BadInput("this file cannot be written", file=path, expected="a file in a folder that is there")
