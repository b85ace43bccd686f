"""M/M/100 at load 0.9: meltpoint against plain SimPy, Ciw, salabim, and a bare loop that only finds free servers."""

import argparse
import importlib.util
import time
from collections.abc import Callable

from peers import next_free, plain_simpy
from rich.console import Console
from rich.table import Table

from sim.cli.console import ready
from sim.engine.simulate import simulate
from sim.profile.profile import constant_profile
from sim.results.latencies import latency_samples
from sim.results.run import Run
from sim.scenario.scenario import Scenario

RATE, SERVERS = 90.0, 100
THEORY = 0.21694048 / (SERVERS - RATE)  # mean wait in seconds, by the Erlang C formula for this load


def scenario_of(customers: int, record: str) -> Scenario:
    """People who ask once, wait for ever, and are served for an exponential time of mean 1 s."""
    horizon = f"{customers / RATE} s"
    return Scenario.from_dict(
        {
            "title": "M/M/100",
            "horizon": horizon,
            "control_tick": horizon,
            "record": record,
            "tiers": {"all": {"share": 1}},
            "features": {"image": {"share": 1, "pool": "gpus", "slo": "10 s", "spec": {"model": "second"}}},
            "pools": {"gpus": {"gpus": SERVERS}},
            "demand": [{"kind": "steady", "rate": f"{RATE:g} per s"}],
            "behaviour": {
                "requests": {"kind": "fixed", "requests": 1},
                "patience": {"kind": "never"},
                "returns": {"kind": "power law", "at_one_day": 0},
            },
            "serving": {"noise": {"kind": "exponential"}},
        },
        profiles={"second": constant_profile("second", 1.0)},
    )


def ours(record: str) -> Callable[[int, int], float]:
    """A whole run, from people to tables; the mean wait."""

    def play(customers: int, seed: int) -> float:
        return mean_wait(simulate(scenario_of(customers, record), seed=seed))

    return play


def mean_wait(run: Run) -> float:
    """From the rows, or by Little's law from the time that requests waited."""
    if run.has_rows:
        return float(latency_samples(run, None, None, None)["served", "wait"][1].mean())
    assert run.timeline is not None
    return float(run.timeline.queue.sum() / run.timeline.counts[..., 0].sum())


def cases(size: int) -> list[tuple[str, Callable[[int, int], float], int]]:
    """What is timed, and with how many customers: the slow ones with fewer."""
    found = [
        ("meltpoint, timeline", ours("timeline"), size),
        ("meltpoint, every row", ours("rows"), size),
        ("bare loop, numba", next_free.play, size),
        ("plain SimPy", plain_simpy.play, size // 50),
    ]
    if importlib.util.find_spec("ciw") is not None:
        from peers import with_ciw

        found.append(("Ciw", with_ciw.play, size // 500))
    if importlib.util.find_spec("salabim") is not None:
        from peers import with_salabim

        found.append(("salabim", with_salabim.play, size // 500))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=10_000_000, help="of the fast ones (default 10 million)")
    parser.add_argument("--repeats", type=int, default=3, help="the least of so many wall times (default 3)")
    options = parser.parse_args()
    ready()
    rates: dict[str, float] = {}
    table = Table("", "customers", "a second", "mean wait", "meltpoint is faster by")
    for name, play, customers in cases(options.customers):
        play(1000, 1)  # what is compiled, or cached, at a first call
        walls = []
        for _ in range(options.repeats):
            began = time.perf_counter()
            wait = play(customers, 1)
            walls.append(time.perf_counter() - began)
        rates[name] = customers / min(walls)
        ratio = rates["meltpoint, timeline"] / rates[name]
        table.add_row(name, f"{customers:,}", f"{rates[name]:,.0f}", f"{1000 * wait:.2f} ms", f"{ratio:,.2f}")
    console = Console()
    console.print(table)
    console.print(f"Mean wait in theory (Erlang C): {1000 * THEORY:.2f} ms")


if __name__ == "__main__":
    main()
