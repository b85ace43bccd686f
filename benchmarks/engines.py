"""How fast the two engines are on the same question: attempts a second of a whole run, and their ratio."""

import argparse
import time

from rich.console import Console
from rich.table import Table

from sim.console import ready
from sim.load import load
from sim.run import Run
from sim.scenario import Scenario
from sim.simulate import simulate

LAUNCH = {"scale": "1/2000", "horizon": "9 days"}


def timed(scenario: Scenario, playbook: str, engine: str, repeats: int) -> tuple[Run, float]:
    """A run and the least of several wall times, from people to tables, seconds."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        run = simulate(scenario, playbook, engine=engine)
        times.append(time.perf_counter() - began)
    return run, min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="wall times are the least of so many (default 3)")
    repeats = parser.parse_args().repeats
    ready()
    table = Table("scenario", "playbook", "attempts", "simpy, a second", "compiled, a second", "ratio")
    cases = [("viral-image-launch", name, LAUNCH) for name in ("none", "march-2025")] + [
        ("creative-studio", "none", {})
    ]
    for name, playbook, sets in cases:
        scenario = load(name, sets=sets)
        run, compiled = timed(scenario, playbook, "compiled", repeats)
        _, readable = timed(scenario, playbook, "simpy", 1)
        n = len(run.requests)
        rates = f"{n / readable:,.0f}", f"{n / compiled:,.0f}"
        table.add_row(name, playbook, f"{n:,}", *rates, f"{readable / compiled:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
