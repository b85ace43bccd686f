"""What commands that take a scenario have in common: its argument, overrides and single settings."""

from typing import Annotated, Any

import typer

from sim.errors import BadInput

ScenarioArgument = Annotated[str, typer.Argument(help="A shipped scenario (see: meltpoint scenarios) or a file.")]
Override = Annotated[str | None, typer.Option(help="Apply one of the scenario's named overrides.")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set one dotted key, e.g. pools.fleet.gpus=9000. Repeatable."),
]


def parsed(sets: list[str] | None) -> dict[str, Any]:
    """--set arguments as keys and values, values read as YAML reads them."""
    from sim.load import plain_value

    settings = {}
    for setting in sets or []:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip():
            expected = "KEY=VALUE, like pools.fleet.gpus=9000"
            raise BadInput("--set takes a key and a value", value=setting, expected=expected)
        settings[key.strip()] = plain_value(text, key.strip())
    return settings
