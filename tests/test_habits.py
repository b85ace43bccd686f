"""Callers in a closed loop, and tiers with patience and returns of their own, against queueing theory."""

import math

import numpy as np
import pytest

from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.profile.profile import constant_profile
from sim.scenario.habits import asks_of_callers
from tests.random_scenarios import plain
from tests.studies.theory.closed_forms import erlang_a
from tests.studies.theory.measures import share_never_started, throughput
from tests.studies.theory.queues import CONSTANT, queue, replicate, z


def loop(in_flight, think="0 s", **fields):
    law = think if isinstance(think, dict) else {"kind": "constant", "value": think}
    return {"kind": "callers", "in_flight": in_flight, "think": law, **fields}


def machine_repairman(callers: int, think: float, seconds: float, gpus: int) -> float:
    """Throughput of M/M/c//N, from its birth and death equations: n of N inside, (N - n) / think come, min(n, c) go."""
    weights = [1.0]
    for n in range(1, callers + 1):
        weights.append(weights[-1] * (callers - n + 1) / think * seconds / min(n, gpus))
    chances = np.array(weights) / sum(weights)
    return float(chances @ np.minimum(np.arange(callers + 1), gpus)) / seconds


@pytest.mark.parametrize(("callers", "gpus"), [(6, 4), (12, 4), (3, 1)])
def test_throughput_of_callers_is_that_of_machines_and_repairmen(callers, gpus):
    waves = [loop(callers, {"kind": "exponential", "mean": "3 s"})]
    scenario = queue(waves=waves, gpus=gpus, lasting=6000, warm_up=100)
    (served,) = replicate(scenario, throughput)
    assert abs(z(served, machine_repairman(callers, 3.0, 1.0, gpus))) < 3.5


@pytest.mark.parametrize(("think", "each"), [("0 s", 1.0), ("3 s", 0.25)])
def test_below_saturation_each_caller_asks_once_in_its_time_and_pause(think, each):
    run = simulate(queue(waves=[loop(8, think)], gpus=8, noise=CONSTANT, lasting=1000), seed=1)
    assert len(run.requests) == 8 * (1000 * each)


def test_where_gpus_are_few_there_are_always_as_many_requests_in_flight_as_callers():
    run = simulate(queue(waves=[loop(8)], gpus=2, lasting=500), seed=1)
    rows = run.requests
    over = rows["finished"].fillna(math.inf).to_numpy()
    for instant in (1.0, 100.0, 499.0):
        assert ((rows["arrived"] <= instant) & (over > instant)).sum() == 8


def test_callers_who_are_refused_pause_and_go_on_and_bring_nobody():
    room = [{"policy": {"kind": "queue bound", "requests": 0}}]
    demand = {"waves": [loop(3, pause="9 s")], "word_of_mouth": {"market": 100, "shared": 1, "signups": 5}}
    run = simulate(plain(demand=demand, always=room, horizon="90 s"), seed=1)
    assert len(run.users) == 3
    refused = run.requests[run.requests["outcome"] == "refused"]
    assert len(refused) == pytest.approx(2 * 90 / 9, abs=2)


def test_callers_ask_for_one_feature_keep_no_hours_and_divide_into_a_slice():
    features = {"edit": {"share": 0, "pool": "gpus", "slo": "60 s", "spec": {"model": "quick"}}}
    demand = {"waves": [loop(4, feature="edit")], "season": {"daily_peak_to_mean": 3, "burstiness": 2}}
    run = simulate(plain(features=features, demand=demand), seed=1)
    assert set(run.requests["feature"]) == {"edit"}
    assert len(run.users) == 4
    with pytest.raises(BadInput, match="in_flight"):
        plain(demand=[loop(3)], pools={"gpus": {"gpus": 2}}).with_(scale="1/2")
    with pytest.raises(BadInput, match="no feature 'pictures'"):
        plain().with_(demand=[loop(3, feature="pictures")])


def test_what_callers_ask_is_known_before_the_run():
    scenario = plain(demand=[loop(2, "4 s")], pools={"gpus": {"gpus": 2}})
    asked = len(simulate(scenario, seed=1).requests)
    assert asks_of_callers(scenario, scenario.demand.waves[0]) == pytest.approx(asked, abs=2)


def test_a_patience_that_both_tiers_state_is_erlang_a():
    scenario = queue(rate=5.0, gpus=4, lasting=4000, warm_up=100, tiers={"free": 0.5, "paid": 0.5})
    own = {"patience": {"kind": "exponential", "mean": "2 s"}}
    (gone,) = replicate(scenario.with_(tiers={"free": own, "paid": own}), share_never_started)
    assert abs(z(gone, erlang_a(5.0, 1.0, 4, 2.0).abandoned)) < 3.5


@pytest.mark.parametrize("engine", ["compiled", "simpy"])
def test_each_tier_waits_as_long_as_it_says(engine):
    """Nobody is served: after t seconds a share 1 - exp(-t / mean) of each tier has left."""
    means = {"free": 100.0, "paid": 300.0}
    tiers = {
        name: {"share": 0.5, "patience": {"kind": "exponential", "mean": f"{mean} s"}} for name, mean in means.items()
    }
    crowd = [{"kind": "spike", "people": 2000, "lasting": "1 ms"}]
    stuck = {"slow": constant_profile("slow", 1e5)}
    run = simulate(plain(profiles=stuck, tiers=tiers, demand=crowd, horizon="150 s"), seed=1, engine=engine)
    for name, mean in means.items():
        left = run.requests.query(f"tier == '{name}'")["outcome"].eq("abandoned")
        share = 1 - math.exp(-150 / mean)
        assert abs(left.mean() - share) < 3.5 * math.sqrt(share * (1 - share) / len(left))


@pytest.mark.parametrize("engine", ["compiled", "simpy"])
def test_each_tier_comes_back_on_its_own_days(engine):
    """By day d a share B(a, b + d) / B(a, b) = 1 / (d + 1) of a = b = 1 has not left; half of these come each day."""
    own = {"kind": "beta geometric", "a": 1, "b": 1, "use": 0.5}
    tiers = {"free": {"share": 0.5}, "paid": {"share": 0.5, "returns": own}}
    crowd = [{"kind": "spike", "people": 2000, "lasting": "1 ms"}]
    scenario = plain(tiers=tiers, demand=crowd, horizon="2.5 days", pools={"gpus": {"gpus": 2000}})
    asks = simulate(scenario, seed=1, engine=engine).requests
    assert set(asks.query("ask > 0")["tier"]) == {"paid"}
    paid = asks.query("tier == 'paid'")
    share = paid["arrived"].between(86400 * 0.5, 86400 * 1.5).sum() / paid["user"].nunique()
    assert abs(share - 0.25) < 3.5 * math.sqrt(0.25 * 0.75 / paid["user"].nunique())
