"""From typing a command to the end of a small run, once everything is compiled: a fresh process each time."""

import subprocess
import sys
import time

from rich.console import Console

from sim.cli.console import ready

FIRST_RUN = 'from sim.scenario.load import load; from sim.engine.simulate import simulate; simulate(load("steady"))'


def main() -> None:
    ready()
    walls = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", FIRST_RUN], check=True, capture_output=True)  # noqa: S603
        walls.append(time.perf_counter() - began)
    Console().print(f"Process start, imports, a warm start and a run of 7,000 requests: {min(walls):.2f} s")


if __name__ == "__main__":
    main()
