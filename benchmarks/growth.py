"""The cost of an attempt in runs of a hundred thousand to a hundred million: it should be the same."""

import argparse
import time

from rich.console import Console
from rich.table import Table

from sim.cli.console import ready
from sim.engine.simulate import simulate
from sim.scenario.load import load

A_WHOLE_HOUR = 4.7e6  # attempts
SIZES = (1e5, 1e6, 1e7, 1e8)


def seconds_of(attempts: float, repeats: int) -> tuple[int, float]:
    """Attempts of a service of that size in its million-signup hour, and the least of several wall times."""
    times = attempts / A_WHOLE_HOUR
    sets = {
        "record": "timeline",
        "pools.fleet.gpus": round(4000 * times),
        "demand.waves": [
            {"kind": "spike", "people": 1e6 * times, "lasting": "1 hour", "from": "1 hour"},
            {"kind": "steady", "rate": f"{100e3 * times} per hour", "account_age": "1 year"},
        ],
    }
    scenario = load("million-signup-hour", sets=sets)
    walls = []
    for _ in range(repeats):
        began = time.perf_counter()
        run = simulate(scenario, "quota-priority-degrade")
        walls.append(time.perf_counter() - began)
    assert run.timeline is not None
    return int(run.timeline.counts[..., 8].sum()), min(walls)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=float, default=1e8, help="attempts of the largest (default 100 million)")
    most = parser.parse_args().most
    ready()
    seconds_of(1e5, 1)
    table = Table("attempts", "wall", "ns an attempt", "against the first")
    first = 0.0
    for size in SIZES:
        if size > most:
            break
        attempts, wall = seconds_of(size, 3 if size < 1e7 else 1)
        each = 1e9 * wall / attempts
        first = first or each
        table.add_row(f"{attempts:,}", f"{wall:.2f} s", f"{each:,.0f}", f"{each / first:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
