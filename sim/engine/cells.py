"""A service in cells: independent parts, each with its own people, GPUs and queue, run separately and added up.

Large services are built that way, so that a failure in one part stays there; it also lets one run use every core, with
memory for one cell per core.
"""

import time
from dataclasses import replace

import pandas as pd

from sim.engine.first_use import compile_now
from sim.engine.parallel import Progress, in_parallel
from sim.engine.play import Settings, play
from sim.model.streams import CELL, offspring
from sim.results.run import Run
from sim.results.timeline import added
from sim.scenario.scenario import Scenario


def play_cells(scenario: Scenario, how: Settings, processes: int | None, progress: Progress | None) -> Run:
    """One run of a scenario that has several cells, `processes` of them at once."""
    began = time.perf_counter()
    compile_now()
    cells = scenario.played_cells
    cell = scenario.with_(scale=scenario.scale / cells, cells=1)
    tasks = [(replace(how, seed=seed_of(how.seed, number)),) for number in range(cells)]
    runs = in_parallel(play, cell, tasks, processes=processes, progress=progress)
    return together(scenario, runs, how.seed, time.perf_counter() - began)


def seed_of(seed: int, cell: int) -> int:
    """The seed of one cell: different people in every cell, and the same ones under every playbook."""
    return int(offspring(seed, CELL, cell, 0))


def together(scenario: Scenario, runs: list[Run], seed: int, seconds: float) -> Run:
    """The runs of all cells as one. A decision that several cells took is listed once."""
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
        killed=first.killed,
        fleet=pd.concat([run.fleet for run in runs], ignore_index=True).sort_values("time", kind="stable"),
        manifest=manifest,
        timeline=added(timelines, first.manifest["warm_up"]),
    )
