"""From typing the command to the first simulated event, once everything is compiled: a fresh process each time."""

import subprocess
import sys
import time

from rich.console import Console

from sim.console import ready

FIRST_EVENT = """
import time
began = time.perf_counter()
from sim.load import load
from sim.simulate import simulate
simulate(load("steady"), progress=lambda now: print(time.perf_counter() - began) or exit() if now > 0 else None)
"""


def main() -> None:
    ready()
    walls = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", FIRST_EVENT], check=True, capture_output=True)  # noqa: S603
        walls.append(time.perf_counter() - began)
    Console().print(f"Process start, imports and a warm start to the first simulated minute: {min(walls):.2f} s")


if __name__ == "__main__":
    main()
