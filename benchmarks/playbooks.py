"""A study at full scale: twelve playbooks of the million-signup hour, some seeds each, all timelines recorded.

By the clock, on all cores, from the start of the first run to the last figures; run it on a machine that is otherwise
idle.
"""

import argparse
import os
import time

from rich.console import Console

from sim.cli.console import ready
from sim.scenario.load import load
from sim.scenario.parts import Recording
from sim.scenario.scenario import Scenario
from sim.studies.executors import Local
from sim.studies.runs import Runs
from sim.studies.store import Cell


def hour() -> Scenario:
    """The hour with every playbook of the launch that it is a part of, its own, and one that joins two of them."""
    launch, own = load("viral-image-launch").document["playbooks"], load("million-signup-hour")
    both = {"waitlist-and-degrade": [*launch["waitlist"], *launch["degrade"]]}
    return own.with_(playbooks={**launch, **own.document["playbooks"], **both})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="of each playbook (default 3; 30 are a whole study)")
    options = parser.parse_args()
    ready()
    scenario, recording = hour(), Recording(rows=False)
    cells = [
        Cell(scenario, name, seed, recording=recording)
        for seed in range(1, options.seeds + 1)
        for name in scenario.playbooks
    ]
    began = time.perf_counter()
    with Local() as executor:
        goodput = Runs(executor).ask(cells, lambda record: record.figures["goodput"])
    seconds = time.perf_counter() - began
    runs = f"{len(scenario.playbooks)} playbooks x {options.seeds} seeds"
    each, whole = seconds / len(cells), seconds / options.seeds * 30 / 60
    Console(width=100).print(
        f"{runs}: {seconds:.1f} s on {os.cpu_count()} cores, {each:.2f} s a run; 30 seeds would take {whole:.1f} min "
        f"(goodput {min(goodput):,.0f} to {max(goodput):,.0f} images a second)"
    )


if __name__ == "__main__":
    main()
