"""What stands beside the simulation: verdict, saving and report against the runs of a command; starts; a comparison.

CPU seconds (user and system) of this process and of those that it starts, the least of several, so that other work on
the machine changes them little; the comparison by the clock. The first table is of ratios.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sim.cli.console import ready
from sim.engine.simulate import simulate
from sim.report import render
from sim.results.verdict import sentences, verdict
from sim.scenario.load import load
from sim.studies.unlimited import with_demand

SCENARIO = "million-signup-hour"
ALONE = [sys.executable, "-m", "sim.cli.main"]
COMMANDS = {
    "a run in Python": [
        *(sys.executable, "-c"),
        'from sim.scenario.load import load; from sim.engine.simulate import simulate; simulate(load("steady"))',
    ],
    "meltpoint --help": [*ALONE, "--help"],
    "meltpoint schema": [*ALONE, "schema"],
    "meltpoint run steady": [*ALONE, "run", "steady"],
}
COMPARED = ["compare", "viral-image-launch", "--seeds", "3", "--no-store", "--yes", "--set", "scale=1/6000"]


def cpu() -> float:
    """CPU seconds of this process and of the processes that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def least(call: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """The least CPU time of several calls, and what the last one gave."""
    times = []
    for _ in range(repeats):
        began = cpu()
        found = call()
        times.append(cpu() - began)
    return min(times), found


def one_command(scale: str, repeats: int) -> Table:
    """The parts of `meltpoint run`, as shares of its two simulations."""
    scenario = load(SCENARIO, sets={"scale": scale})
    simulated, run = least(lambda: simulate(scenario, processes=1), repeats)
    unlimited, run = least(lambda: with_demand(run, scenario, processes=1), repeats)
    table = Table("part", "CPU s", "of the simulations", title=f"{SCENARIO}, slice {scale}, every row")
    known = verdict(run)  # as the command hands it on
    with tempfile.TemporaryDirectory() as folder:
        places = iter(range(repeats))
        parts = {
            "verdict": lambda: sentences(verdict(replace(run))),  # a run that knows nothing of itself yet
            "saving": lambda: run.save(Path(folder) / str(next(places))),
            "report": lambda: render([run], None, [replace(known)]),  # whose figures are found when they are shown
        }
        found = {name: least(call, repeats)[0] for name, call in parts.items()}
    both = simulated + unlimited
    table.add_row("simulations", f"{both:.2f}", "1")
    for name, seconds in [*found.items(), ("all beside", sum(found.values()))]:
        table.add_row(name, f"{seconds:.2f}", f"{seconds / both:.2f}")
    table.add_row("verdict of the run alone", f"{found['verdict']:.2f}", f"{found['verdict'] / simulated:.2f}")
    return table


def commands(repeats: int) -> Table:
    """Whole processes, from their start to their end."""
    table = Table("process", "CPU s")
    with tempfile.TemporaryDirectory() as folder:

        def called(words: list[str]) -> None:
            subprocess.run(words, check=True, capture_output=True, cwd=folder)  # noqa: S603

        for name, words in COMMANDS.items():
            table.add_row(name, f"{least(partial(called, words), repeats)[0]:.2f}")
        began = time.perf_counter()
        called([*ALONE, *COMPARED])
        compared = time.perf_counter() - began  # by the clock: its processes are not children of this one
        table.add_row(
            "compare: ten playbooks, 3 seeds, 0.1 M attempts a run, its report", f"{compared:.1f} by the clock"
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", default="1/10", help="the slice of the million-signup hour (default 1/10)")
    parser.add_argument("--repeats", type=int, default=3, help="of which the least counts (default 3)")
    options = parser.parse_args()
    ready()
    small = load("steady")
    render([with_demand(simulate(small), small)], None)  # what a process does once is no part of these shares
    console = Console(width=100)
    console.print(one_command(options.scale, options.repeats))
    console.print(commands(options.repeats))


if __name__ == "__main__":
    main()
