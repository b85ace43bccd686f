"""The real week at full scale: 130 million people and 700 million images, in cells, on every core."""

import argparse
import resource
import time

from rich.console import Console

from sim.cli.console import progress_bar, ready
from sim.engine.simulate import simulate
from sim.results.verdict import sentences, verdict
from sim.scenario.load import load
from sim.wording import amount

GIGABYTE = 1 << 20  # kilobytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--playbook", default="march-2025")
    parser.add_argument("--processes", type=int, default=None, help="one a core where not given")
    options = parser.parse_args()
    ready()
    began = time.perf_counter()
    scenario = load("chatgpt-images-week")
    with progress_bar(scenario.title) as report:
        run = simulate(scenario, options.playbook, processes=options.processes, progress=report)
    found = verdict(run)
    wall = time.perf_counter() - began
    own, others = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    console = Console()
    for line in sentences(found):
        console.print(line)
    console.print(
        f"{amount(found.counts['attempts'])} attempts in {wall / 60:.1f} min, {found.counts['attempts'] / wall:,.0f} a "
        f"second; largest process {max(own, others) / GIGABYTE:.1f} GB, this one {own / GIGABYTE:.1f} GB"
    )


if __name__ == "__main__":
    main()
