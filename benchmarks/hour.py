"""The million-signup hour, end to end (load, people, run, tables, verdict): the compiled engine against the readable.

With retries, people who leave, a quota, priorities and degradation; the same slice on both engines, and the whole hour
on the compiled one.
"""

import argparse
import time
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from sim.cli.console import ready
from sim.engine.simulate import simulate
from sim.results.verdict import verdict
from sim.scenario.load import load

SCENARIO, PLAYBOOK = "million-signup-hour", "quota-priority-degrade"


@dataclass(frozen=True)
class Timing:
    """One way to run it; seconds."""

    attempts: float
    run: float  # people and run, tables made
    whole: float  # with loading the scenario and judging the run


def timed(scale: str, engine: str, record: str, repeats: int) -> Timing:
    """The least of several wall times."""
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        scenario = load(SCENARIO, sets={"scale": scale, "record": record})
        loaded = time.perf_counter()
        run = simulate(scenario, PLAYBOOK, engine=engine)
        played = time.perf_counter()
        attempts = verdict(run).counts["attempts"]
        found.append(Timing(attempts, played - loaded, time.perf_counter() - began))
    return min(found, key=lambda timing: timing.whole)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", default="1/10", help="the slice that both engines play (default 1/10)")
    parser.add_argument("--repeats", type=int, default=3, help="of the compiled engine (default 3)")
    options = parser.parse_args()
    ready()
    timed("1/1000", "compiled", "rows", 1)
    slice_ = options.scale
    slow = timed(slice_, "simpy", "rows", 1)
    cases = [
        ("readable, every row", slice_, slow),
        ("compiled, every row", slice_, timed(slice_, "compiled", "rows", options.repeats)),
        ("compiled, timeline", slice_, timed(slice_, "compiled", "timeline", options.repeats)),
        ("compiled, every row", "1", timed("1", "compiled", "rows", options.repeats)),
        ("compiled, timeline", "1", timed("1", "compiled", "timeline", options.repeats)),
    ]
    table = Table("engine", "slice", "attempts", "end to end", "attempts a second", "of the run alone", "ratio")
    for name, scale, found in cases:
        whole = found.attempts / found.whole
        table.add_row(
            name,
            scale,
            f"{found.attempts:,.0f}",
            f"{found.whole:.2f} s",
            f"{whole:,.0f}",
            f"{found.attempts / found.run:,.0f}",
            f"{whole / (slow.attempts / slow.whole):.1f}",
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
