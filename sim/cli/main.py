"""The meltpoint command: all its commands, in the order in which a newcomer needs them."""

import atexit
import gc
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer import Option
from typer.core import TyperGroup

from sim.cli.calibrate_command import backtest, calibrate
from sim.cli.check_command import demand_check
from sim.cli.console import INTERRUPTED, TERMINATED, Console, careful_streams
from sim.cli.decide_command import decide
from sim.cli.demand_commands import demand_app
from sim.cli.explore_command import explore
from sim.cli.money_command import money
from sim.cli.profile_commands import profile_app
from sim.cli.promise_command import check
from sim.cli.run_commands import compare, report, run
from sim.cli.runbook_command import export_app, runbook, shadow
from sim.cli.scenario_commands import policies, scenarios, schema
from sim.cli.size_command import size
from sim.cli.store_command import store
from sim.cli.storm_commands import map_storms, order_by, rescue
from sim.cli.story_command import story
from sim.cli.sweep_command import sensitivity, sweep, tune
from sim.cli.validate_command import validate
from sim.cli.watch_command import watch
from sim.engine.parallel import load_beside
from sim.errors import BadInput, printable

SECTIONS: dict[str, dict[str, Any]] = {
    "Simulate": {"run": run, "compare": compare, "report": report, "story": story},
    "Choose what to simulate": {"scenarios": scenarios, "policies": policies},
    "Ask more of a scenario": {
        "size": size,
        "check": check,
        "decide": decide,
        "sensitivity": sensitivity,
        "sweep": sweep,
        "tune": tune,
        "explore": explore,
        "money": money,
        "rescue": rescue,
        "order-by": order_by,
        "map": map_storms,
        "store": store,
    },
    "Take it into production": {"runbook": runbook, "watch": watch, "shadow": shadow, "export": export_app},
    "Bring your own data": {
        "calibrate": calibrate,
        "backtest": backtest,
        "demand": demand_app,
        "profile": profile_app,
        "validate": validate,
    },
    "Write scenario files": {"schema": schema},
}

MANY_RUNS = {"compare", "story", "backtest", *SECTIONS["Ask more of a scenario"]} - {"store", "explore"}


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
    "Start with: meltpoint run steady, then meltpoint compare viral-image-launch --seeds 3\n\n"
    "'meltpoint COMMAND --help' explains a command and its options.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for section in SECTIONS.values():
    for name, made in section.items():
        if isinstance(made, typer.Typer):
            app.add_typer(made, name=name)
        else:
            app.command(name)(made)
demand_app.command("check")(demand_check)


@app.callback()
def options(
    context: typer.Context,
    debug: Annotated[
        bool, Option("--debug", help="Where the machine fails (disk, memory), also write a full report of it.")
    ] = False,
) -> None:
    """Options of all commands; the report itself is written in `messages_for_wrong_input`."""
    if context.invoked_subcommand in MANY_RUNS and "--help" not in sys.argv:
        load_beside()


@contextmanager
def messages_for_wrong_input() -> Iterator[None]:
    """Wrong input, and a machine that fails, end in one message and exit code 2.

    A disk that is full, a file that cannot be read, no memory left, a name that cannot be encoded: none is a fault of
    this program, so a traceback would not help; every other exception is, and keeps its traceback.
    """
    try:
        yield
    except BadInput as wrong:
        Console(stderr=True).print_line(f"meltpoint: {wrong}")
        sys.exit(2)
    except (OSError, MemoryError, UnicodeError) as failure:
        Console(stderr=True).print_line(f"meltpoint: {failed(failure)}")
        sys.exit(2)
    except (KeyboardInterrupt, SystemExit) as end:  # the library turns an interrupt into exit code 130
        code = end.code if isinstance(end, SystemExit) else INTERRUPTED
        if code in (INTERRUPTED, TERMINATED):
            Console(stderr=True).print_line(
                "meltpoint: interrupted" if code == INTERRUPTED else "meltpoint: terminated"
            )
        sys.exit(code)


def failed(failure: Exception) -> str:
    """What failed, in one message; with --debug, where the full report of it was written."""
    reason = getattr(failure, "strerror", None) or str(failure) or "out of memory"
    known = {
        OSError: "a file or the disk cannot be used",
        MemoryError: "there is not enough memory; a smaller 'scale' or 'record: timeline' needs less",
        UnicodeError: "a name or text cannot be encoded",
    }
    what = next(words for kind, words in known.items() if isinstance(failure, kind))
    file = getattr(failure, "filename", None)
    if "--debug" not in sys.argv:
        debug = "report:   meltpoint --debug COMMAND ... writes one"
    else:
        with tempfile.NamedTemporaryFile(
            "w", prefix="meltpoint-", suffix=".txt", encoding="ascii", errors="backslashreplace", delete=False
        ) as report:
            report.write(traceback.format_exc())
        debug = f"report:   {report.name}"
    message = BadInput(f"{what} ({printable(reason)})", file=file)
    return f"{message}\n  {debug}"


def main() -> None:
    """The console entry point."""
    careful_streams()
    gc.set_threshold(50_000, 20, 20)  # imports and figures make a million objects, hardly any of them garbage
    atexit.register(gc.freeze)  # nor does the end of a process gain by looking for garbage, which takes 0.3 s
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # it would read what every package here declares
    with messages_for_wrong_input():
        app()


if __name__ == "__main__":
    main()
