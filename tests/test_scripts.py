"""Scripted requests come when they were meant to, whatever the service does: API clients and replayed recordings."""

import math
from datetime import UTC, datetime

import numpy as np
import pytest

from sim.demand.recordings.trace import Trace
from sim.demand.scripts import Clients
from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.policies.shedding import Shed
from sim.results.metrics import outcomes, pool_timeline
from sim.scenario.people import people_of
from sim.scenario.scenario import Scenario
from tests.random_scenarios import PLAIN, PROFILES, plain

HOUR = 3600.0


def clients(**settings) -> Clients:
    return Clients.model_validate({"kind": "clients", "clients": 1, "rate": "1 per s", "skew": 0, **settings})


def instants(one: Clients, *, horizon: float, seed: int = 1, scale: float = 1.0) -> np.ndarray:
    return one.script(0, begins=0.0, horizon=horizon, scale=scale, seed=seed).instants


@pytest.mark.parametrize("cv", [0.5, 1.0, 2.2])
def test_gaps_of_a_client_have_the_mean_and_variation_it_says(cv):
    gaps = np.diff(instants(clients(cv=cv), horizon=20_000))
    n = len(gaps)
    assert abs(gaps.mean() - 1) / (cv / math.sqrt(n)) < 3.5
    kurtosis = 3 + 6 * cv**2  # of a Gamma of shape 1 / cv^2
    assert abs(gaps.var() / cv**2 - 1) / math.sqrt((kurtosis - 1) / n) < 3.5


@pytest.mark.parametrize("cv", [0.5, 2.2])
def test_a_client_is_as_busy_at_the_start_as_ever(cv):
    first = np.array([len(instants(clients(cv=cv), horizon=2, seed=seed)) for seed in range(800)])
    assert abs(first.mean() - 2) / (first.std(ddof=1) / math.sqrt(len(first))) < 3.5


def test_clients_differ_and_keep_their_mean():
    one = clients(clients=400, skew=1, cv=1)
    script = one.script(0, begins=0.0, horizon=200.0, scale=1.0, seed=3)
    rates = np.bincount(script.person, minlength=400) / 200
    assert abs(np.log(rates[rates > 0]).std(ddof=1) - 1) < 3.5 / math.sqrt(2 * 400) + 0.1  # and counting noise
    assert abs(rates.mean() - 1) * math.sqrt(400 * 200) < 3.5


@pytest.mark.parametrize(("many", "rate", "lasting"), [(1, "0.4 per s", 86_400.0), (10, "0.04 per s", 86_400.0)])
@pytest.mark.parametrize("skew", [0, 1.5, 3])
def test_clients_keep_their_total_however_unequal_they_are(many, rate, lasting, skew):
    """0.4 a second for a day is 34,560, give or take 186 (Poisson), for every seed."""
    one = clients(clients=many, rate=rate, skew=skew, cv=1)
    found = np.array([len(instants(one, horizon=lasting, seed=seed)) for seed in range(8)])
    off = (found - 34_560) / 186
    assert np.abs(off).max() < 3.5
    assert abs(off.sum() / math.sqrt(len(off))) < 3.5


def test_the_skew_shares_out_the_total_as_a_lognormal_does():
    """Of 400 clients with sigma 1.5 the top tenth make Phi(1.5 - 1.2816) = 59 % of all requests."""
    script = clients(clients=400, skew=1.5, rate="2 per s").script(0, begins=0.0, horizon=200.0, scale=1.0, seed=2)
    by_client = np.sort(np.bincount(script.person, minlength=400))[::-1]
    assert by_client[:40].sum() / by_client.sum() == pytest.approx(0.586, abs=0.12)


def test_a_slice_of_the_clients_is_simulated():
    assert set(clients(clients=100).script(0, begins=0.0, horizon=50.0, scale=0.1, seed=1).person) == set(range(10))


@pytest.mark.parametrize(("scale", "whole"), [(0.01, 1), (0.017, 1), (0.16, 4)])
def test_a_slice_of_few_clients_asks_for_no_more_than_its_share(scale, whole):
    n = 25
    counts = []
    for seed in range(40):
        script = clients(clients=n, cv=1).script(0, begins=0.0, horizon=400.0, scale=scale, seed=seed)
        counts.append(len(script.instants))
        assert script.person.max() < whole
    mean = n * scale * 400
    assert abs(np.mean(counts) - mean) / math.sqrt(mean / len(counts)) < 3.5


def test_clients_that_began_long_ago_are_as_busy_as_ever_and_cost_nothing_to_draw():
    counts = [len(clients(cv=1).script(0, begins=-4e9, horizon=10.0, scale=1.0, seed=s).instants) for s in range(300)]
    assert abs(np.mean(counts) - 10) / math.sqrt(10 / len(counts)) < 3.5
    over = clients(lasting="1 day").script(0, begins=-4e9, horizon=10.0, scale=1.0, seed=1)
    assert len(over.instants) == 0


def test_only_so_many_clients_are_simulated_one_by_one():
    many = clients(clients="1M", rate="1 per year")
    assert many.script(0, begins=0.0, horizon=10.0, scale=1e-3, seed=1).person.size < 1000
    with pytest.raises(BadInput, match="more clients than a run can hold"):
        many.script(0, begins=0.0, horizon=10.0, scale=1.0, seed=1)


def test_a_longer_horizon_only_adds_requests():
    short, long = (instants(clients(clients=5), horizon=h) for h in (50, 100))
    assert short.tolist() == [t for t in long.tolist() if t < 50]


def trace_of(times, users=None, images=None, kinds=None, *, length=None, users_known=True) -> Trace:
    n = len(times)
    named = tuple(dict.fromkeys(kinds or [""]))
    return Trace(
        times=np.array(times, dtype=float),
        user=np.array(users if users is not None else range(n), dtype=np.int64),
        images=np.array(images if images is not None else [1] * n, dtype=np.int16),
        kind=np.array([named.index(k) for k in kinds or [""] * n], dtype=np.int16),
        kinds=named,
        start=datetime(2025, 1, 1, tzinfo=UTC),
        length=float(times[-1] if length is None else length),
        users_known=users_known,
        source="by hand",
        sha256="0" * 64,
        recorded_as="csv",
    )


def replaying(trace: Trace, features=None, **settings) -> Scenario:
    document = {**PLAIN, "pools": {"gpus": {"gpus": 50, "max_batch": 4}}}
    document |= {"demand": {"kind": "trace", "file": "recorded", **settings}, "features": features or PLAIN["features"]}
    return Scenario.from_dict(document, profiles=PROFILES, traces={"recorded": trace})


ODD = [0.1, 1 / 3, 1 / 3, 7.000000001, 123.456789012345]


def test_a_recording_is_replayed_exactly():
    run = simulate(replaying(trace_of(ODD, users=[0, 1, 0, 2, 0])))
    assert run.requests["arrived"].tolist() == ODD
    assert run.requests["user"].tolist() == [0, 0, 1, 2, 0] or run.requests["user"].tolist() == [0, 1, 0, 2, 0]
    assert len(run.users) == 3
    assert not run.users["newcomer"].any()


def test_refusals_do_not_move_what_was_recorded():
    run = simulate(replaying(trace_of(ODD, users=[0] * 5)), [Shed(share=1)])
    assert run.requests["arrived"].tolist() == ODD


def test_it_can_be_shifted():
    assert simulate(replaying(trace_of(ODD), **{"from": "1 min"})).requests["arrived"].tolist() == [60 + t for t in ODD]


def test_it_can_be_looped():
    run = simulate(replaying(trace_of([1, 2], users=[0, 1], length=250), loop=True))
    assert run.requests["arrived"].tolist() == [1, 2, 251, 252, 501, 502]
    assert len(run.users) == 2


def test_a_loop_that_began_long_ago_is_in_the_middle_of_a_round():
    scenario = replaying(trace_of([1, 2], users=[0, 1], length=250), loop=True, **{"from": "1900-01-01"})
    begun = (datetime(1900, 1, 1, tzinfo=UTC) - scenario.start).total_seconds()
    first = 1 + begun % 250
    expected = sorted(first + lap * 250 + k for lap in range(-1, 4) for k in (0, 1))
    found = simulate(scenario).requests["arrived"].tolist()
    assert found == [t for t in expected if 0 <= t < scenario.horizon]


def test_a_loop_without_end_is_refused():
    with pytest.raises(BadInput, match="more requests than a run can hold"):
        simulate(replaying(trace_of([0], length=1e-6), loop=True))
    with pytest.raises(BadInput, match="more requests than a run can hold"):
        simulate(replaying(trace_of(np.arange(20_001) / 50, users=range(20_001), length=500), times=10_000))


def test_thinning_keeps_whole_people():
    n = 3000
    trace = trace_of(np.repeat(np.arange(n) / 10, 2), users=np.repeat(np.arange(n), 2))
    run = simulate(replaying(trace, times=0.25, **{"from": "1 min"}))
    asked = run.requests["user"].value_counts()
    assert (asked == 2).all()
    assert abs(len(asked) - n / 4) / math.sqrt(n * 3 / 16) < 3.5


def test_multiplying_adds_other_people_a_little_later():
    n = 400
    trace = trace_of(np.arange(n) * 1.0, users=range(n), length=n)
    run = simulate(replaying(trace, times=2.5, spread="20 s"))
    arrived = run.requests["arrived"]
    assert set(np.arange(n)) <= set(arrived)
    copies = len(arrived) - 2 * n
    assert abs(copies - n / 2) / math.sqrt(n / 4) < 3.5
    assert len(run.users) == len(arrived)


def test_kinds_become_features_and_images_stay_images():
    features = {
        "image": {"share": 0.5, "pool": "gpus", "slo": "60 s", "spec": {"model": "slow"}, "images": {1: 0.5, 4: 0.5}},
        "edit": {"share": 0.5, "pool": "gpus", "slo": "60 s", "spec": {"model": "quick"}},
    }
    trace = trace_of([1, 2, 3], images=[4, 1, 1], kinds=["TXT", "IMG", "TXT"])
    settings = {"features": {"TXT": "image", "IMG": "edit"}, "images": True}
    run = simulate(
        Scenario.from_dict(
            {
                **PLAIN,
                "features": features,
                "pools": {"gpus": {"gpus": 5, "max_batch": 4}},
                "demand": {"kind": "trace", "file": "recorded", **settings},
            },
            profiles=PROFILES,
            traces={"recorded": trace},
        )
    )
    assert run.requests["feature"].tolist() == ["image", "edit", "image"]
    assert run.requests["asked"].astype(str).str.contains("/x4").tolist() == [True, False, False]
    with pytest.raises(BadInput, match="no feature offers them"):
        replaying(trace_of([1], images=[3]), images=True)
    with pytest.raises(BadInput, match="nothing of this kind was recorded"):
        Scenario.from_dict(
            {**PLAIN, "demand": {"kind": "trace", "file": "r", "features": {"X": "image"}}},
            profiles=PROFILES,
            traces={"r": trace_of([1])},
        )


def test_waves_clients_and_recordings_add_up():
    program = {"kind": "clients", "clients": 3, "rate": "1 per min"}
    demand = [{"kind": "spike", "people": 20, "lasting": "1 min"}, program]
    scenario = plain(demand=demand, pools={"gpus": {"gpus": 20}})
    people, asks = people_of(scenario, 1)
    run = simulate(scenario)
    assert sorted(set(run.users["wave"])) == ["clients 1", "spike 0"]
    assert len(run.requests) == len(asks.instants) + int((people.source == 0).sum())
    alone = plain(demand=[demand[0]], pools={"gpus": {"gpus": 20}})
    assert people_of(alone, 1)[0].arrives.tolist() == people.arrives[people.source == 0].tolist()


def test_a_spike_of_callers_with_endless_patience_is_a_closed_loop_of_exactly_that_many():
    """4 callers on 2 GPUs of 2 s, for 3 h: 2 wait at any time, 1 a second is served, 2,700 requests of each caller."""
    scenario = plain(
        horizon="3 h",
        record="timeline",
        features={"image": {"share": 1, "pool": "gpus", "slo": "1 min", "spec": {"model": "two-seconds"}}},
        pools={"gpus": {"gpus": 2, "max_batch": 1}},
        demand=[{"kind": "spike", "people": 4, "lasting": "1 ms"}],
        behaviour={
            "requests": {"kind": "fixed", "requests": 1_000_000},
            "think": {"kind": "constant", "value": "0 s"},
            "patience": {"kind": "never"},
            "churn": 0,
            "returns": {"kind": "power law", "at_one_day": 0},
        },
    )
    run = simulate(scenario)
    assert outcomes(run)["served"].iloc[0] == pytest.approx(3 * 3600, abs=3)
    pool = pool_timeline(run, "gpus")
    assert np.allclose(pool["queued"], 2, atol=1e-3)
    assert np.allclose(pool["utilisation"], 1, atol=1e-3)
