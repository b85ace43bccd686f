"""A service in cells: independent parts, each with its people, its GPUs and its queue, run apart and added up.

That is how large services are built, so that what goes wrong in one part stays there; it is also what lets one run use
every core, with memory for one cell a core.
"""

import time
from typing import Any

import pandas as pd

from sim.demand.recordings.trace import Trace
from sim.engine.parallel import Progress, in_parallel
from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.model.streams import CELL, offspring
from sim.profile.profile import Profile
from sim.results.run import Run
from sim.results.timeline import added
from sim.scenario.scenario import Scenario

Given = tuple[dict[str, Any], dict[str, Profile], dict[str, Trace], str, bool]


def simulate_cells(
    scenario: Scenario,
    playbook: str | None = None,
    *,
    seed: int = 1,
    engine: str = "compiled",
    unlimited: bool = False,
    processes: int | None = None,
    progress: Progress | None = None,
) -> Run:
    """One run of a scenario, all its cells; where there is one, the same as simulate().

    processes: at most so many cells at once, one a core where None. progress is called with the share that is done.
    """
    cells, horizon = scenario.played_cells, scenario.horizon
    if cells == 1:
        report = None if progress is None else lambda now: progress(now / horizon)
        return simulate(scenario, playbook, seed=seed, engine=engine, unlimited=unlimited, progress=report)
    if engine != "compiled":
        raise BadInput("this engine keeps no timeline, from which cells are added up", key="engine", value=engine)
    began = time.perf_counter()
    document = {**scenario.document, "scale": scenario.scale / cells, "cells": 1}
    given = (document, scenario.used_profiles, scenario.traces, engine, unlimited)
    tasks = [(playbook, seed_of(seed, cell)) for cell in range(cells)]
    runs = in_parallel(one_cell, given, tasks, processes=processes, progress=progress)
    return together(scenario, runs, seed, time.perf_counter() - began)


def seed_of(seed: int, cell: int) -> int:
    """The seed of one cell: other people than in the next cell, and the same under every playbook."""
    return int(offspring(seed, CELL, cell, 0))


def one_cell(given: Given, playbook: str | None, seed: int, progress: Progress) -> Run:
    """One cell: a slice of the service."""
    document, profiles, traces, engine, unlimited = given
    scenario = Scenario.from_dict(document, profiles=profiles, traces=traces)
    run = simulate(
        scenario,
        playbook,
        seed=seed,
        engine=engine,
        unlimited=unlimited,
        progress=lambda now: progress(now / scenario.horizon),
    )
    progress(1.0)
    return run


def together(scenario: Scenario, runs: list[Run], seed: int, seconds: float) -> Run:
    """The runs of all cells as one. A decision that several cells took alike stands once."""
    first = runs[0]
    decisions = pd.concat([run.decisions for run in runs], ignore_index=True).drop_duplicates()
    facts = {
        name: {**pool, "gpus": sum(run.manifest["pools"][name]["gpus"] for run in runs)}
        for name, pool in first.manifest["pools"].items()
    }
    manifest = {
        **first.manifest,
        "seed": seed,
        "scale": scenario.scale,
        "cells": len(runs),
        "pools": facts,
        "wall_seconds": round(seconds, 3),
        "scenario": scenario.document,
    }
    timelines = [run.timeline for run in runs if run.timeline is not None]
    return Run(
        requests=first.requests,
        batches=first.batches,
        users=first.users,
        decisions=decisions.sort_values("time", kind="stable", ignore_index=True),
        fleet=pd.concat([run.fleet for run in runs], ignore_index=True).sort_values("time", kind="stable"),
        manifest=manifest,
        timeline=added(timelines, first.manifest["warm_up"]),
    )
