"""Output that all commands share: a progress bar, and columns of names."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from sim.engine.estimate import estimate, refuse_too_large
from sim.engine.first_use import compile_now
from sim.scenario.scenario import Scenario

WORTH_SAYING = 20.0  # seconds


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


def announce_size(
    scenario: Scenario, playbook: str | None, *, runs: int = 1, processes: int | None = None, yes: bool = False
) -> None:
    """Say what a large run will take; raise BadInput where this machine cannot hold it, unless `yes`."""
    found = estimate(scenario, playbook)
    parts = scenario.played_cells if runs == 1 else runs
    at_once = min(parts, processes or os.cpu_count() or 1)
    if not yes:
        refuse_too_large(found, at_once=at_once)
    if found.seconds > WORTH_SAYING or found.memory > 2e9:
        Console(stderr=True, highlight=False, soft_wrap=True).print(Text(f"About {found.sentence(runs)}."))


def ready(engine: str = "compiled") -> None:
    """Compile the engine, unless that was done on this machine before, ahead of any progress bar."""
    if engine == "compiled":
        compile_now()
