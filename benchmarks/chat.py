"""An hour of chat at a million requests, with continuous batching: requests simulated a second, of CPU time.

Forty GPUs run up to 64 chats each, of a geometric length; below what they can serve, and a little above, where a
queue grows all hour. CPU time, of one core, from people to tables.
"""

import argparse
import time

from rich.console import Console
from rich.table import Table

from sim.cli.console import ready
from sim.engine.simulate import simulate
from sim.profile.profile import load_profile
from sim.results.timeline import ATTEMPTS
from sim.scenario.parts import Recording
from sim.scenario.scenario import Scenario
from sim.shipped import find

RATES = {"busy": 255, "overloaded": 280}  # a second


def scenario_of(rate: float) -> Scenario:
    return Scenario.from_dict(
        {
            "title": "an hour of chat",
            "horizon": "1 h",
            "tiers": {"all": {"share": 1}},
            "features": {
                "chat": {
                    "share": 1,
                    "pool": "gpus",
                    "slo": "60 s",
                    "spec": {"model": "chat", "side": 1024, "steps": 200},
                    "length": {"kind": "geometric"},
                }
            },
            "pools": {"gpus": {"gpus": 40, "runs": "steps", "max_batch": 64}},
            "demand": [{"kind": "steady", "rate": f"{rate} per s"}],
            "behaviour": {
                "requests": {"kind": "fixed", "requests": 1},
                "patience": {"kind": "never"},
                "returns": {"kind": "power law", "at_one_day": 0},
            },
        },
        profiles={"chat": load_profile(find("profiles", "chat-8b-h100-eager", ".json"))},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="the least of these counts (default 5)")
    repeats = parser.parse_args().repeats
    ready()
    table = Table("load", "recorded", "requests", "CPU", "requests a second")
    for load, rate in RATES.items():
        scenario = scenario_of(rate)
        for recorded in (Recording(rows=False), Recording()):
            seconds = []
            for _ in range(repeats + 1):  # the first one loads machine code
                began = time.process_time()
                run = simulate(scenario, recording=recorded)
                seconds.append(time.process_time() - began)
            requests = int(run.timeline.counts[..., ATTEMPTS].sum()) if run.timeline is not None else len(run.requests)
            how = "every row" if recorded.rows else "timeline"
            table.add_row(
                load, how, f"{requests:,}", f"{min(seconds[1:]):.2f} s", f"{requests / min(seconds[1:]):,.0f}"
            )
    Console().print(table)


if __name__ == "__main__":
    main()
