"""The map of recovery: after which spike, at which load and with how many retries a service recovers."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd

from sim.errors import BadInput
from sim.results.manifest import feature_entry
from sim.results.retry_rules import stable_load
from sim.results.storms import recovered
from sim.scenario.scenario import Scenario
from sim.studies.executors import Executor, Report, asked, working
from sim.studies.playbook_names import name_of
from sim.studies.store import Cell


def storm_map(
    scenario: Scenario,
    loads: Sequence[float],
    spikes: Sequence[float],
    retries: Sequence[int],
    *,
    playbook: str | None = None,
    seeds: int = 3,
    executor: Executor | None = None,
    processes: int | None = None,
    progress: Report | None = None,
) -> pd.DataFrame:
    """How many seeds recover at each place on the map: load x spike x retries, in this order.

    loads: everyday first asks over capacity. spikes: the rate in the spike over the everyday rate; 1 is no spike.
    retries: the most per ask. The scenario has one steady wave and one spike, whose beginning and length stay.
    Columns: load, spike, retries, seeds, recovered, share, stable (the load up to which theory says that it always
    recovers, 1 / (1 + r)). An interrupt
    gives the places that are done (attrs: planned, how many there would be). Raises BadInput.
    """
    name = name_of(scenario, playbook)
    if seeds < 1 or not (loads and spikes and retries):
        raise BadInput("a map takes loads, spikes, retries and a seed", key="seeds", value=seeds, expected="1 or more")
    for key, numbers, least in (("loads", loads, 0.0), ("spikes", spikes, 1.0), ("retries", retries, 0.0)):
        for number in numbers:
            if not least <= number <= 1000 or (key == "loads" and number == 0):
                expected = "a load above 0" if key == "loads" else f"numbers from {least:g} to 1000"
                raise BadInput("this is no place on a map", key=key, value=number, expected=expected)
    waves(scenario)
    places = list(product(loads, spikes, retries))
    there = [at(scenario, *place) for place in places]  # before minutes of work: each can be simulated
    cells = [Cell(changed, name, seed) for changed in there for seed in range(1, seeds + 1)]
    with working(executor, processes) as at_work:
        ends = asked(at_work, recovered, cells, progress)
    done = len(ends) // seeds
    count = np.array(ends[: done * seeds], dtype=int).reshape(done, seeds).sum(axis=1)
    table = pd.DataFrame(places[:done], columns=["load", "spike", "retries"]).assign(seeds=seeds, recovered=count)
    table.attrs["planned"] = len(places)
    return table.assign(share=table["recovered"] / seeds, stable=[stable_load(1.0, r) for r in table["retries"]])


def at(scenario: Scenario, load: float, spike: float, retries: int) -> Scenario:
    """The scenario at one place on the map. Raises BadInput where it cannot be simulated there."""
    steady, burst = (f"demand.waves.{place}" for place in waves(scenario))
    wave = next(w for w in scenario.demand.waves if w.kind == "spike")
    rate = load * people_served(scenario)
    changes = {
        steady: {"rate": f"{rate!r} per s", "times": 1},
        burst: {"people": (spike - 1.0) * rate * wave.lasting, "times": 1},
        "behaviour.retry.at_most": int(retries),
    }
    try:
        return scenario.with_(**changes)
    except BadInput as wrong:
        place = f"load {load:g}, spike {spike:g}, retries {retries}"
        why = f"the map goes too far: {wrong.expected or wrong.message}"
        raise BadInput(why, key=wrong.key, value=place, expected="less of it") from None


def waves(scenario: Scenario) -> tuple[int, int]:
    """Where the steady wave and the spike stand in the list of waves. Raises BadInput for any other demand."""
    kinds = [wave.kind for wave in scenario.demand.waves]
    if sorted(kinds) != ["spike", "steady"] or scenario.demand.clients or scenario.demand.traces:
        expected = "one steady wave and one spike, as in retry-storm"
        raise BadInput(
            "a map varies one steady wave and one spike", key="demand", value=", ".join(kinds), expected=expected
        )
    return kinds.index("steady"), kinds.index("spike")


def people_served(scenario: Scenario) -> float:
    """People a second whose asks take all GPUs of the tightest pool, at full scale."""
    work = dict.fromkeys(scenario.pools, 0.0)
    for feature in scenario.features.values():
        work[feature.pool] += feature.share * feature_entry(scenario, feature)["gpu_seconds"]
    asks = min(scenario.pools[pool].gpus / seconds for pool, seconds in work.items() if seconds > 0)
    return asks / scenario.behaviour.requests.average
