"""A service in cells is the sum of its cells, whichever process runs which."""

import math

import numpy as np
import pandas as pd
import pytest

from sim.engine.cells import seed_of
from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.results.run import Run
from sim.results.verdict import sentences, verdict
from sim.scenario.load import load
from sim.scenario.parts import Recording
from sim.scenario.scenario import Scenario
from tests.random_scenarios import PROFILES, plain

CELLS, RATE = 4, 40
STEPS = [{"policy": {"kind": "queue bound", "requests": 8}, "from": "2 min"}]
PEOPLE = {"patience": {"kind": "exponential", "mean": "2 min"}, "retry": {"at_most": 2}}


def in_cells(cells: int = CELLS, **settings) -> Scenario:
    """A service of eight GPUs that is somewhat overloaded, in so many cells."""
    demand = [{"kind": "steady", "rate": f"{RATE} per min"}]
    pools, books = {"gpus": {"gpus": 8}}, {"none": [], "bounded": STEPS}
    return plain(
        cells=cells, record="timeline", demand=demand, behaviour=PEOPLE, pools=pools, playbooks=books, **settings
    )


@pytest.fixture(scope="module")
def whole() -> Run:
    return simulate(in_cells(), "bounded", processes=1)


@pytest.fixture(scope="module")
def parts() -> list[Run]:
    """Each cell by itself: a quarter of the service, with people of its own."""
    cell = in_cells().with_(cells=1, scale=1 / CELLS)
    return [simulate(cell, "bounded", seed=seed_of(1, number)) for number in range(CELLS)]


def test_counts_are_those_of_all_cells(whole, parts):
    assert whole.timeline is not None
    for name in ("counts", "seconds", "queue", "signups", "latencies"):
        expected = np.sum([part.timeline.arrays()[name] for part in parts], axis=0)
        np.testing.assert_allclose(whole.timeline.arrays()[name], expected, rtol=1e-12, err_msg=name)
    found, alone = verdict(whole), [verdict(part) for part in parts]
    for name in ("intents", "served", "in_time", "lost", "refused", "abandoned", "retried", "unfinished", "attempts"):
        assert found.counts[name] == sum(v.counts[name] for v in alone)
    assert found.counts["intents"] == found.counts["served"] + found.counts["lost"] + found.counts["unfinished"]
    assert found.dollars == pytest.approx(np.mean([v.dollars for v in alone]))  # each speaks of the whole service
    assert found.energy["kwh"] == pytest.approx(sum(v.energy["kwh"] for v in alone), nan_ok=True)
    assert found.signups["came"] == sum(v.signups["came"] for v in alone)
    assert found.pools[0].gpus == 8
    assert found.pools[0].queued_at_horizon == sum(v.pools[0].queued_at_horizon for v in alone)


def test_cells_have_people_of_their_own_and_together_those_of_the_service(parts):
    came = [part.timeline.signups.tolist() for part in parts]
    assert all(one != other for place, one in enumerate(came) for other in came[:place])
    expected = RATE * 10
    assert abs(sum(map(sum, came)) - expected) / math.sqrt(expected) < 3.5


def test_it_does_not_matter_how_many_processes_run_the_cells(whole):
    two = simulate(in_cells(), "bounded", processes=2)
    for name, counted in whole.timeline.arrays().items():
        np.testing.assert_array_equal(counted, two.timeline.arrays()[name], err_msg=name)
    pd.testing.assert_frame_equal(whole.decisions, two.decisions)
    assert {**whole.manifest, "wall_seconds": 0} == {**two.manifest, "wall_seconds": 0}


def test_every_cell_has_the_same_playbook_and_a_decision_stands_once(whole, parts):
    pd.testing.assert_frame_equal(whole.decisions, parts[0].decisions)
    assert whole.decisions["time"].tolist() == [120.0]


def test_a_manifest_says_how_many_cells_there_are_and_is_that_of_the_whole(whole):
    assert (whole.manifest["cells"], whole.manifest["seed"], whole.manifest["scale"]) == (CELLS, 1, 1.0)
    assert whole.manifest["pools"]["gpus"]["gpus"] == whole.manifest["pools"]["gpus"]["gpus_in_full"] == 8
    again = Scenario.from_dict(whole.manifest["scenario"], profiles=PROFILES)
    assert again.played_cells == CELLS
    assert sentences(verdict(whole))[0].startswith(("ALIVE", "NOT ALIVE"))


def test_playbooks_meet_the_same_people_in_every_cell(whole):
    free = simulate(in_cells(), "none", processes=1)
    assert free.timeline.signups.tolist() == whole.timeline.signups.tolist()


def test_a_slice_of_a_service_in_cells_has_fewer_of_them():
    assert [in_cells(4, scale=scale).played_cells for scale in (1, 0.5, 0.25)] == [4, 2, 1]
    half = simulate(in_cells(4, scale=0.5), processes=1)
    assert (half.manifest["cells"], half.manifest["scale"], half.manifest["pools"]["gpus"]["gpus"]) == (2, 0.5, 4)


def test_progress_rises_until_the_last_tick():
    told = []
    simulate(in_cells(control_tick="1 s"), processes=1, progress=told.append)
    assert told == sorted(told)
    assert 0.98 < told[-1] <= 1


def test_what_cells_cannot_do_is_refused():
    with pytest.raises(BadInput, match="no timeline"):
        simulate(in_cells(), engine="simpy")
    with pytest.raises(BadInput, match="cannot be added up"):
        simulate(in_cells(), recording=Recording(rows=True))
    with pytest.raises(BadInput, match=r"record\s+expected: timeline"):
        plain(cells=2, pools={"gpus": {"gpus": 2}})


def test_the_longest_queue_of_all_is_that_of_a_bin(whole):
    queue = whole.timeline.queue[:, 0] / whole.timeline.width
    assert verdict(whole).pools[0].peak_queue == queue.max() > 0


@pytest.mark.parametrize(("gpus", "cells"), [(8, 3), (7, 3), (6, 4), (2, 4)])
def test_a_fleet_that_does_not_divide_into_its_cells_is_refused_when_loading(gpus, cells):
    """Rounded in each cell it would be another fleet, and cost another price."""
    with pytest.raises(BadInput, match=f"{gpus} GPUs do not divide into {cells} cells"):
        load("steady", sets={"pools.gpus.gpus": gpus, "cells": cells, "record": "timeline"})
