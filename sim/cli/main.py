"""The meltpoint command: all its commands, in the order in which a newcomer needs them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from sim.cli.check_command import demand_check
from sim.cli.demand_commands import demand_app
from sim.cli.policy_command import policies
from sim.cli.profile_commands import profile_app
from sim.cli.run_commands import compare, report, run
from sim.cli.scenario_commands import scenarios, schema
from sim.cli.size_command import size
from sim.cli.store_command import store
from sim.cli.storm_commands import map_storms, rescue
from sim.cli.sweep_command import sweep
from sim.cli.validate_command import validate
from sim.errors import BadInput

SECTIONS = {
    "Simulate": ("run", "compare", "report"),
    "Choose what to simulate": ("scenarios", "policies"),
    "Ask more of a scenario": ("size", "sweep", "rescue", "map", "store"),
    "Bring your own data": ("demand", "profile", "validate"),
    "Write scenario files": ("schema",),
}


class InSections(TyperGroup):
    """Lists the commands section by section."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for names in SECTIONS.values() for name in names]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        longest = max(map(len, self.commands))
        for title, names in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(name.ljust(longest), self.commands[name].get_short_help_str(90)) for name in names]
                )


app = typer.Typer(
    cls=InSections,
    help="When do the GPUs melt, and which playbook keeps the service alive?\n\n"
    "Start with: meltpoint run steady, then meltpoint compare viral-image-launch --override small --seeds 3\n\n"
    "'meltpoint COMMAND --help' explains a command and its options.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (run, compare, report, scenarios, policies, size, sweep, rescue, store, validate, schema):
    app.command()(command)
app.command("map")(map_storms)
app.add_typer(demand_app, name="demand")
demand_app.command("check")(demand_check)
app.add_typer(profile_app, name="profile")


@contextmanager
def messages_for_wrong_input() -> Iterator[None]:
    """Wrong input ends in one message and exit code 2."""
    try:
        yield
    except BadInput as wrong:
        Console(stderr=True, highlight=False, soft_wrap=True).print(Text(f"meltpoint: {wrong}"))
        sys.exit(2)
    except (KeyboardInterrupt, SystemExit) as end:  # the library turns an interrupt into exit code 130
        if isinstance(end, SystemExit) and end.code != 130:
            raise
        Console(stderr=True).print("meltpoint: interrupted")
        sys.exit(130)


def main() -> None:
    """The console entry point."""
    with messages_for_wrong_input():
        app()


if __name__ == "__main__":
    main()
