"""Output that all commands share: a console on which names from files cannot act, a progress bar, columns of names."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import rich.console
from rich import box
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.table import Column, Table
from rich.text import Text

from sim.errors import printable_lines
from sim.wording import counted

if TYPE_CHECKING:
    from sim.scenario.scenario import Scenario

NO_ANSWER = 1  # exit code where nothing that was asked about will do, as where a check finds a promise broken
INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM  # exit codes of processes that were asked to end
WORTH_SAYING = 20.0  # seconds
PLAIN: Any = {"box": box.SIMPLE_HEAD, "padding": 0, "show_edge": False}  # a table with one line, under its head


class Console(rich.console.Console):
    """A console that shows control characters as escapes, and whose reader may go away without that being a fault."""

    def __init__(self, **how: Any):
        super().__init__(highlight=False, **how)

    def print_line(self, text: str) -> None:
        """Print a text as it is, with no markup read in it, in one line however long it is."""
        self.print(Text(text), soft_wrap=True)

    def render(self, renderable: Any, options: rich.console.ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            fine = segment.control or segment.text.isprintable()
            yield segment if fine else Segment(printable_lines(segment.text), segment.style)

    def on_broken_pipe(self) -> None:
        """'meltpoint run ... | head -1': what comes after the first line is written to nobody, and the work goes on."""
        discard_output()


def discard_output() -> None:
    """Let standard output lead nowhere from now on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def write_out(text: str) -> None:
    """Write a text for another program to standard output, as it is."""
    try:
        if sys.stdout is not None:
            sys.stdout.write(text)
            sys.stdout.flush()
    except BrokenPipeError:
        discard_output()


def say(lines: list[str]) -> None:
    """Print sentences, the first one in bold."""
    console = Console()
    console.print()
    for number, line in enumerate(lines):
        console.print(Text(line, style="bold" if number == 0 else ""))


def say_where(what: str, path: object) -> None:
    """Print where something was written."""
    Console().print_line(f"{what} in {path}")


def careful_streams() -> None:
    """Write characters that the terminal's encoding lacks as escapes, and end as cleanly on SIGTERM as on Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, end_cleanly)


def end_cleanly(*_: object) -> NoReturn:
    """Leave by an exception, so that unfinished files are removed and other processes are ended."""
    raise SystemExit(TERMINATED)


def name_column(title: str) -> Column:
    """A column of names, never cut, because people type them."""
    return Column(title, no_wrap=True)


@contextmanager
def progress_bar(title: str, done: str = "simulated") -> Iterator[Callable[[float], None]]:
    """A bar on standard error for a share from 0 to 1; without a terminal, only one line at the end."""
    console, began = Console(stderr=True), time.perf_counter()
    with bar_on(console, TextColumn("{task.percentage:.0f} %")) as bar:
        task = bar.add_task(title, total=1.0)
        yield lambda share: bar.update(task, completed=share)
    console.print(Text(f"{title}: {done} in {time.perf_counter() - began:.1f} s"))


@contextmanager
def runs_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for the runs that a study has done of those planned so far: how many, how fast, and the time left."""
    console, began, runs = Console(stderr=True), time.perf_counter(), 0
    with bar_on(console, MofNCompleteColumn(), TextColumn("runs, {task.fields[rate]}")) as bar:
        task = bar.add_task(title, total=None, rate="")

        def report(done: int, planned: int) -> None:
            nonlocal runs
            runs = done
            rate = done / max(time.perf_counter() - began, 1e-9)
            said = f"{rate:.1f} a second" if rate >= 1 else f"{60 * rate:.1f} a minute"
            bar.update(task, completed=done, total=planned, rate=said)

        yield report
    console.print(Text(f"{title}: {counted(runs, 'run')} in {time.perf_counter() - began:.1f} s"))


def bar_on(console: Console, *how_far: ProgressColumn) -> Progress:
    """A bar with a title, columns that say how far it is, and the time; not shown without a terminal."""
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), *how_far)
    times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    return Progress(*columns, *times, console=console, disable=not console.is_terminal, transient=True)


def announce_size(
    scenario: "Scenario", playbook: str | None, *, runs: int = 1, processes: int | None = None, yes: bool = False
) -> None:
    """Say what a large run will take; raise BadInput where this machine cannot hold it, unless `yes`."""
    from sim.studies.estimate import estimate, refuse_too_large

    found = estimate(scenario, playbook)
    parts = scenario.played_cells if runs == 1 else runs
    at_once = min(parts, processes or os.cpu_count() or 1)
    if not yes:
        refuse_too_large(found, at_once=at_once)
    if found.seconds > WORTH_SAYING or found.memory > 2e9:
        Console(stderr=True).print_line(f"About {found.sentence(runs)}.")


def ready(engine: str = "compiled") -> None:
    """Compile the engine, unless that was done on this machine before, ahead of any progress bar."""
    from sim.engine.first_use import compile_now

    if engine == "compiled":
        compile_now()


def text_table(*heads: str | Column, rows: Iterable[tuple[str, ...]], **how: Any) -> Table:
    """A table whose cells are only text: nothing in them is read as markup. how: as for rich's Table."""
    table = Table(*heads, **how)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def print_table(table: Any, *, intervals: bool = True) -> None:
    """A table of the report in the terminal: names are never cut, and figures stand to the right."""
    shown = Table(title=Text(table.caption), title_justify="left", title_style="", **PLAIN)
    for place, head in enumerate(table.head):
        justify: Any = "left" if place < table.labels else "right"
        names = head in ("playbook", "configuration")
        shown.add_column(Text("" if head == "rank" else head), justify=justify, no_wrap=names)
    for row in table.rows:
        shown.add_row(*(Text(cell if intervals else cell.partition("\n")[0]) for cell in row))
    console = Console()
    console.print()
    console.print(shown)
