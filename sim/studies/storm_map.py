"""The map of recovery: at which load, how high a spike and how many retries a service gets up again after the spike."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from sim.demand.recordings.trace import Trace
from sim.engine.cells import simulate_cells
from sim.engine.first_use import compile_now
from sim.engine.parallel import Progress, in_parallel
from sim.engine.simulate import chosen
from sim.errors import BadInput
from sim.profile.profile import Profile
from sim.results.manifest import feature_entry
from sim.results.storms import recovered, stable_load
from sim.scenario.scenario import Scenario

Given = tuple[dict[str, Any], dict[str, Profile], dict[str, Trace], str]


def storm_map(
    scenario: Scenario,
    loads: Sequence[float],
    spikes: Sequence[float],
    retries: Sequence[int],
    *,
    playbook: str | None = None,
    seeds: int = 3,
    processes: int | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """How many seeds recover in each cell of load x spike x retries, in this order.

    loads: everyday first asks over capacity. spikes: the rate in the spike over the everyday rate; 1 is no spike.
    retries: at most so many an ask. The scenario has one steady wave and one spike, whose beginning and length stay.
    Columns: load, spike, retries, seeds, recovered, share, stable (the load up to which theory says that it always
    recovers, 1 / (1 + r)). Raises BadInput.
    """
    name, _ = chosen(scenario, playbook)
    if seeds < 1 or not (loads and spikes and retries):
        raise BadInput("a map takes loads, spikes, retries and a seed", key="seeds", value=seeds, expected="1 or more")
    for key, numbers, least in (("loads", loads, 0.0), ("spikes", spikes, 1.0), ("retries", retries, 0.0)):
        for number in numbers:
            if not least <= number <= 1000 or (key == "loads" and number == 0):
                expected = "a load above 0" if key == "loads" else f"numbers from {least:g} to 1000"
                raise BadInput("this is no place on a map", key=key, value=number, expected=expected)
    waves(scenario)
    compile_now()
    cells = list(product(loads, spikes, retries))
    given = (scenario.document, scenario.used_profiles, scenario.traces, name)
    tasks = [(cell, seed) for cell in cells for seed in range(1, seeds + 1)]
    at(scenario, max(loads), max(spikes), max(retries))  # before minutes of work: it can be simulated
    ends = in_parallel(one, given, tasks, processes=processes, progress=progress)
    count = np.array(ends, dtype=int).reshape(len(cells), seeds).sum(axis=1)
    table = pd.DataFrame(cells, columns=["load", "spike", "retries"]).assign(seeds=seeds, recovered=count)
    return table.assign(share=table["recovered"] / seeds, stable=[stable_load(1.0, r) for r in table["retries"]])


def one(given: Given, cell: tuple[float, float, int], seed: int, progress: Progress) -> bool:
    """Whether one run of one cell has recovered at the end."""
    document, profiles, traces, playbook = given
    scenario = Scenario.from_dict(document, profiles=profiles, traces=traces)
    run = simulate_cells(at(scenario, *cell), playbook, seed=seed, processes=1, progress=progress)
    progress(1.0)
    return recovered(run)


def at(scenario: Scenario, load: float, spike: float, retries: int) -> Scenario:
    """The scenario at one place of the map. Raises BadInput where it cannot be simulated there."""
    document = scenario.document
    steady, burst = waves(scenario)
    wave = next(w for w in scenario.demand.waves if w.kind == "spike")
    rate = load * people_served(scenario)
    changed = {
        steady: {**demand_of(document)[steady], "rate": f"{rate!r} per s", "times": 1},
        burst: {**demand_of(document)[burst], "people": (spike - 1.0) * rate * wave.lasting, "times": 1},
    }
    behaviour = document.get("behaviour") or {}
    retry = {**(behaviour.get("retry") or {}), "at_most": int(retries)}
    listed = [changed.get(place, entry) for place, entry in enumerate(demand_of(document))]
    demand = listed if isinstance(document["demand"], list) else {**document["demand"], "waves": listed}
    there = {**document, "demand": demand, "behaviour": {**behaviour, "retry": retry}}
    try:
        return Scenario.from_dict(there, profiles=scenario.used_profiles, traces=scenario.traces)
    except ValidationError as wrong:
        why = wrong.errors()[0]["msg"].removeprefix("Value error, ")
        place = f"load {load:g}, spike {spike:g}, retries {retries}"
        raise BadInput(f"the map goes too far: {why}", value=place, expected="less of it") from None


def demand_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The waves of a scenario, however its demand is written."""
    demand = document["demand"]
    return demand if isinstance(demand, list) else demand.get("waves") or []


def waves(scenario: Scenario) -> tuple[int, int]:
    """Where the steady wave and the spike stand in the list of waves. Raises BadInput where there is anything else."""
    kinds = [wave["kind"] for wave in demand_of(scenario.document)]
    if sorted(kinds) != ["spike", "steady"] or scenario.demand.clients or scenario.demand.traces:
        expected = "one steady wave and one spike, as in retry-storm"
        raise BadInput(
            "a map turns one steady wave and one spike", key="demand", value=", ".join(kinds), expected=expected
        )
    return kinds.index("steady"), kinds.index("spike")


def people_served(scenario: Scenario) -> float:
    """People a second whose asks take all GPUs of the tightest pool, at full scale."""
    work = dict.fromkeys(scenario.pools, 0.0)
    for feature in scenario.features.values():
        work[feature.pool] += feature.share * feature_entry(scenario, feature)["gpu_seconds"]
    asks = min(scenario.pools[pool].gpus / seconds for pool, seconds in work.items() if seconds > 0)
    return asks / scenario.behaviour.requests.average
