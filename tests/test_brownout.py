"""Brownout: its controller against a plant that can be solved by hand, the spread of ticks, and both engines."""

import math
from itertools import pairwise

import numpy as np
import pytest
from pydantic import ValidationError

from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.model.controls import Controls, PoolTelemetry, Telemetry
from sim.policies.base import counted
from sim.policies.playbook import Step
from sim.policies.quality import Brownout, dimmed, spread
from sim.scenario.checks import check_step
from tests.random_scenarios import plain

FULL, LESS = 0.07, 0.001  # seconds of work of a request at full and at lesser quality


# The controller.


def test_the_dimmer_follows_the_published_equations():
    assert dimmed(0.5, 2.0, set_point=1) == pytest.approx(0.5 - 0.5 / 2 * 0.1 * 1)
    assert dimmed(0.5, 0.5, set_point=1) == pytest.approx(0.5 + 0.5 / 0.5 * 0.1 * 0.05)
    assert dimmed(0.5, 1.0, set_point=1) == 0.5
    assert dimmed(0.5, 2.0, set_point=1, pole=0.5) == pytest.approx(0.5 - 0.5 / 2 * 0.5 * 1)


def test_the_dimmer_stays_in_its_range_and_where_nobody_was_served():
    assert dimmed(0.5, 1e-9, set_point=1) == 1
    assert dimmed(0.01, 1e9, set_point=1, floor=0.01) == 0.01
    assert [dimmed(0.3, latency, set_point=1) for latency in (math.nan, 0.0)] == [0.3, 0.3]


def test_it_rises_ten_times_slower_than_it_falls_at_the_same_error():
    rise, fall = dimmed(0.5, 1.0, set_point=1.5) - 0.5, 0.5 - dimmed(0.5, 1.0, set_point=0.5)
    assert fall == pytest.approx(10 * rise)


def test_it_never_falls_by_more_than_a_tenth_a_tick():
    assert dimmed(0.5, 1e12, set_point=1) == pytest.approx(0.45)


def work(theta: float) -> float:
    """Seconds of work of a request, on average."""
    return theta * FULL + (1 - theta) * LESS


def solved(rate: float, capacity: float) -> float:
    """The dimmer at which the rate is just what can be done."""
    return (capacity / rate - LESS) / (FULL - LESS)


def backlogged(rate: float, capacity: float, ticks: int) -> list[tuple[float, float]]:
    """Dimmer and latency at each tick of a second, where what cannot be done waits for the next."""
    theta, backlog, path = 0.5, 0.0, []
    for _ in range(ticks):
        backlog = max(0.0, backlog + rate * work(theta) - capacity)
        latency = (work(theta) + backlog) / capacity
        theta = dimmed(theta, latency, set_point=1)
        path.append((theta, latency))
    return path


@pytest.mark.parametrize("rate", [20, 40, 100])
def test_it_settles_where_the_work_is_just_what_can_be_done(rate):
    settled = np.array(backlogged(rate, 1.0, 4000)[-2000:])
    assert settled[:, 0].mean() == pytest.approx(solved(rate, 1.0), rel=0.02)


def test_full_quality_where_it_can_be_afforded_and_the_floor_where_nothing_can():
    assert solved(10, 1.0) > 1
    assert backlogged(10, 1.0, 500)[-1] == (1.0, pytest.approx(FULL))
    assert solved(1100, 1.0) < 0
    theta, latency = backlogged(1100, 1.0, 500)[-1]
    assert theta == 0.001
    assert latency > 10


def queueing(rate: float, capacities: list[float], bare: float) -> list[tuple[float, float]]:
    """The same where latency is a bare time and a wait as in a queue of one server, ten set points at most."""
    theta, path = 0.5, []
    for capacity in capacities:
        load = rate * work(theta) / capacity
        wait = work(theta) / capacity / (1 - load) if load < 1 else math.inf
        theta = dimmed(theta, min(10.0, bare + wait), set_point=1)
        path.append((theta, min(10.0, bare + wait)))
    return path


def test_it_keeps_the_set_point_falls_within_ten_ticks_and_recovers_ten_times_slower():
    path = queueing(20, [1.0] * 600 + [0.5] * 600 + [1.0] * 1200, bare=0.5)
    before, low, after = (path[end - 1] for end in (600, 1200, 2400))
    for theta, latency in (before, low, after):
        assert 0 < theta < 1
        assert latency == pytest.approx(1, rel=0.01)
    assert solved(20, 0.5) * 0.9 < low[0] < solved(20, 0.5)
    half_way = (before[0] + low[0]) / 2
    fall = next(tick for tick, (theta, _) in enumerate(path[600:]) if theta < half_way)
    rise = next(tick for tick, (theta, _) in enumerate(path[1200:]) if theta > half_way)
    assert fall < 10
    assert rise >= 10 * fall


# The ticks.


@pytest.mark.parametrize("share", [0.0, 0.1, 1 / 3, 0.5, 0.7, 0.999, 1.0])
def test_a_share_of_the_ticks_is_spread_as_evenly_as_can_be(share):
    owed, chosen = 0.0, []
    for tick in range(1, 1001):
        one, owed = spread(owed, share)
        chosen.append(one)
        assert abs(sum(chosen) - share * tick) < 1
    gaps = {later - earlier for earlier, later in pairwise(np.flatnonzero(chosen))}
    assert len(gaps) <= 2


def seen(now: float = 0.0, latency: float = math.nan, *, served: int = 10) -> Telemetry:
    """A service that served so many of the first tier's images since the last tick, with this mean latency."""
    zero, number = np.zeros((2, 2)), np.zeros((2, 2))
    number[0, 0] = 0 if math.isnan(latency) else served
    latencies = number * (0 if math.isnan(latency) else latency)
    pools = {"gpus": PoolTelemetry(4, 4, 0, 4, 0.0)}
    return Telemetry(now, pools, zero, zero, number, zero, zero, latencies, 0, 0)


def levels(policy: Brownout, latencies: list[float], tick: float = 10.0) -> list[float]:
    """The level of the first tier's images after each tick."""
    found = []
    for number, latency in enumerate(latencies):
        controls = Controls(["free", "plus"], ["image", "video"])
        policy.act(seen(number * tick, latency), controls)
        found.append(controls.knob("level", "free", "image"))
    return found


def test_half_of_the_ticks_are_lesser_until_latencies_are_known():
    assert levels(Brownout(set_point="10 s"), [math.nan] * 6) == [0, 1, 0, 1, 0, 1]
    assert levels(Brownout(set_point="10 s", start=1), [math.nan] * 6) == [0] * 6
    assert levels(Brownout(set_point="10 s", start=0.25, level=2), [math.nan] * 5) == [0, 2, 2, 2, 0]


def test_long_latencies_make_ever_more_ticks_lesser():
    found = levels(Brownout(set_point="10 s", start=1), [100.0] * 100)
    assert [sum(found[n : n + 20]) for n in (0, 20, 80)] == [11, 19, 20]


def test_it_measures_over_its_window_those_it_is_for():
    policy, controls = Brownout(set_point="10 s", window="30 s", tiers=["free"]), Controls(["free", "plus"], ["a", "b"])
    found = [policy.measured(seen(at, t), controls) for at, t in ((0, 5), (10, 10), (20, 30), (30, 20))]
    assert found == [5, 7.5, 15, 20]
    assert policy.measured(seen(40, 70, served=20), controls) == pytest.approx((10 * 30 + 10 * 20 + 20 * 70) / 40)
    others = Brownout(set_point="10 s", tiers=["plus"])
    assert math.isnan(others.measured(seen(0, 5), controls))
    assert Brownout(set_point="10 s").measured(seen(0, 5), controls) == 5


def test_its_window_is_five_set_points_where_it_is_not_given():
    policy, controls = Brownout(set_point="10 s"), Controls(["free", "plus"], ["a", "b"])
    for at in (0, 10, 20, 30, 40):
        policy.measured(seen(at, 100.0), controls)
    assert policy.measured(seen(50, 40.0), controls) == 88


def test_counts_are_summed_over_tiers_and_features():
    controls = Controls(["free", "plus"], ["image", "video"])
    counts = np.array([[1.0, 2.0], [4.0, 8.0]])
    assert counted(counts, controls, None, None) == 15
    assert counted(counts, controls, ["plus"], ["image"]) == 4
    assert counted(counts, controls, None, ["video"]) == 10


def test_it_leaves_the_level_of_others_alone_at_full_quality():
    controls = Controls(["free", "plus"], ["image", "video"])
    controls.set(level=2)
    Brownout(set_point="10 s", start=1).act(seen(), controls)
    assert controls.knob("level", "free", "image") == 2


@pytest.mark.parametrize(
    "wrong", [{"set_point": 0}, {"pole": 1}, {"pole": 0}, {"floor": 0}, {"start": 0}, {"window": 0}, {"level": 0}]
)
def test_its_settings_must_make_sense(wrong):
    with pytest.raises(ValidationError):
        Brownout(**{"set_point": "10 s", **wrong})


# A run.


def crowded():
    """More than one GPU can do as asked, less than it can do at the lesser level."""
    return plain(
        horizon="60 min",
        control_tick="5 s",
        features={"image": {"ladder": [{"model": "quick"}]}},
        demand=[{"kind": "steady", "rate": "12 per min"}],
        pools={"gpus": {"gpus": 1, "max_batch": 1}},
    )


@pytest.mark.parametrize("update", [{"tiers": ["gold"]}, {"features": ["music"]}])
def test_names_that_the_scenario_lacks_are_told(update):
    policy = Brownout(set_point="10 s", **update)
    with pytest.raises(BadInput, match=r"gold|music"):
        levels(policy, [math.nan])
    step = Step.model_construct(policy=policy, from_=0.0, until=math.inf)
    with pytest.raises(ValueError, match=r"playbooks.one.0.policy.*(gold|music)"):
        check_step(crowded(), step, "playbooks.one.0")


def test_it_keeps_the_mean_latency_near_its_set_point():
    latencies, full, without = [], [], simulate(crowded()).requests
    for seed in (1, 2, 3):
        requests = simulate(crowded(), [Brownout(set_point="30 s", window="30 s")], seed=seed).requests
        settled = requests[requests["arrived"].between(1200, 3000)]
        latencies.append((settled["finished"] - settled["arrived"]).mean())
        full.append((settled["level"] == 0).mean())
    assert (without["finished"] - without["arrived"]).mean() > 300
    assert np.mean(latencies) == pytest.approx(30, rel=0.5)  # it swings
    affordable = (1 / 0.2 - 3) / (10 - 3)  # one request in five seconds; three seconds of work, or ten
    assert affordable / 2 < np.mean(full) < affordable
