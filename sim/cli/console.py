"""Output that all commands share: a progress bar, and columns of names."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from sim.engine.first_use import compile_now


def name_column(title: str) -> Column:
    """A column of names, never cut, because people type them."""
    return Column(title, no_wrap=True)


@contextmanager
def progress_bar(title: str, done: str = "simulated") -> Iterator[Callable[[float], None]]:
    """A bar on standard error for a share from 0 to 1; without a terminal, only one line at the end."""
    console = Console(stderr=True, highlight=False)
    began = time.perf_counter()
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn())
    times = (TextColumn("{task.percentage:.0f} %"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    with Progress(*columns, *times, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(title, total=1.0)
        yield lambda share: bar.update(task, completed=share)
    console.print(Text(f"{title}: {done} in {time.perf_counter() - began:.1f} s"))


@contextmanager
def runs_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for the runs that a study has done of those planned so far: how many, how fast, and the time left."""
    console = Console(stderr=True, highlight=False)
    began, runs = time.perf_counter(), 0
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    times = (TextColumn("runs, {task.fields[rate]}"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    with Progress(*columns, *times, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(title, total=None, rate="")

        def report(done: int, planned: int) -> None:
            nonlocal runs
            runs = done
            rate = done / max(time.perf_counter() - began, 1e-9)
            said = f"{rate:.1f} a second" if rate >= 1 else f"{60 * rate:.1f} a minute"
            bar.update(task, completed=done, total=planned, rate=said)

        yield report
    console.print(Text(f"{title}: {runs:,} runs in {time.perf_counter() - began:.1f} s"))


def ready(engine: str = "compiled") -> None:
    """Compile the engine, unless that was done on this machine before, ahead of any progress bar."""
    if engine == "compiled":
        compile_now()
