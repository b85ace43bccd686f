"""Output that all commands share: a progress bar, and columns of names."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
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


def ready(engine: str = "compiled") -> None:
    """Compile the engine, unless that was done on this machine before, ahead of any progress bar."""
    if engine == "compiled":
        compile_now()
