"""Batches that close by themselves, before a GPU is free: renewal theory, and cases by hand."""

import numpy as np
import pytest

from sim.demand.recordings.trace import recording
from sim.engine.simulate import simulate
from sim.profile.profile import constant_profile
from sim.results.run import Run
from sim.scenario.scenario import Scenario
from tests.random_scenarios import PLAIN, plain

AHEAD = {"closes": "when full or timed out"}


def replayed(came: list[float], service: float = 1.0, **pool) -> Run:
    """Requests at these instants."""
    document = {
        **PLAIN,
        "features": {"image": {**PLAIN["features"]["image"], "spec": {"model": "model"}}},
        "pools": {"gpus": {"gpus": 1, "max_batch": 4, **AHEAD, **pool}},
        "demand": {"kind": "trace", "file": "came"},
    }
    profiles = {"model": constant_profile("model", service, largest_batch=4)}
    return simulate(Scenario.from_dict(document, profiles=profiles, traces={"came": recording(np.array(came), "came")}))


@pytest.mark.parametrize(
    ("timer", "size", "delay"),
    [
        ("from the oldest", 3.08680439, 0.1202499476),
        ("from the last close", 2.411313256, 0.09755463617),
        ("from the last close, as polled", 2.915509055, 0.1168643582),
    ],
)
def test_sizes_and_delays_are_those_of_renewal_theory(timer, size, delay):
    """Poisson arrivals of 10 a second, full at 4, linger 0.25 s: exact sums over the arrivals in a renewal."""
    scenario = plain(
        {"model": constant_profile("model", 0.01, largest_batch=4)},
        horizon="2 h",
        features={"image": {"spec": {"model": "model"}}},
        pools={"gpus": {"gpus": 50, "max_batch": 4, "linger": "0.25 s", "timer": timer, **AHEAD}},
        demand=[{"kind": "steady", "rate": "10 per s"}],
    )
    run = simulate(scenario)
    assert run.batches["size"].mean() == pytest.approx(size, rel=0.01)
    assert (run.requests["started"] - run.requests["arrived"]).mean() == pytest.approx(delay, rel=0.015)


@pytest.mark.parametrize(
    ("timer", "started"),
    [
        ("from the oldest", [1.5, 1.5, 6.5]),
        ("from the last close", [1.0, 2.0, 6.0]),
        ("from the last close, as polled", [1.0, 2.0, 6.0]),
    ],
)
def test_after_a_pause_a_batch_of_one_closes_at_once(timer, started):
    assert replayed([1.0, 1.4, 6.0], linger="0.5 s", timer=timer).requests["started"].tolist() == started


def test_a_closed_batch_stays_small_unless_others_may_join_it():
    """Service takes 10 s: the batch that times out at 2.5 s waits until 11.5 s, and two come meanwhile."""
    came = [1.0, 2.0, 3.0, 4.0]
    sizes = {
        late: replayed(came, 10.0, linger="0.5 s", late_joiners=late).batches["size"].tolist() for late in (False, True)
    }
    assert sizes == {False: [1, 1, 1, 1], True: [1, 3]}


@pytest.mark.parametrize("wrong", [{"timer": "from the last close"}, {"late_joiners": True}])
def test_a_timer_of_its_own_needs_batches_that_close_by_themselves(wrong):
    with pytest.raises(ValueError, match="when full or timed out"):
        plain(pools={"gpus": wrong})
