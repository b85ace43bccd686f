"""Requests that are in the service as a run begins: a queue goes on as theory says that it does from there."""

import math

import numpy as np
import pytest
import scipy
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.engine.simulate import simulate
from sim.model.chance import CONSTANT, EXPONENTIAL, LOGNORMAL, UNIFORM, WEIBULL, quantile
from sim.model.standing import patience_left
from tests.random_scenarios import constant, plain

POOLS = 50  # queues of one run, independent of each other


def queues(begun: int, queued: int, *, rate: float, noise: str, horizon: str, **more):
    """Many equal queues of two servers of 2 s in one scenario, each with requests that are there from the start."""
    names = [f"q{n}" for n in range(POOLS)]
    standing = []
    for name in names:
        there = {"kind": "standing", "feature": name, "least": "5 s", "most": "20 s"}
        if begun:
            standing.append({**there, "requests": begun, "least": "30 s", "most": "30 s", "in_service": True})
        if queued:
            standing.append({**there, "requests": queued})
    spec = {"slo": "60 s", "spec": {"model": "constant"}, "share": 1 / POOLS}
    return plain(
        {"constant": constant(2.0)},
        features={"image": None, **{name: {"pool": name, **spec} for name in names}},
        pools={"gpus": None, **{name: {"gpus": 2} for name in names}},
        demand=[*standing, {"kind": "steady", "rate": f"{POOLS * rate} per s", "account_age": "1 day"}],
        serving={"noise": {"kind": noise}},
        horizon=horizon,
        **more,
    )


def inside(run, at: float) -> np.ndarray:
    """Requests in each queue at an instant."""
    rows = run.requests
    there = (rows["arrived"] <= at) & ~(rows["finished"] <= at) & ~(rows["left"] <= at)
    return rows[there].groupby("feature", observed=False).size().to_numpy()


@pytest.mark.parametrize("at", [3.0, 12.0])
def test_a_queue_of_two_servers_goes_on_from_ten_customers_as_its_birth_and_death_process_does(at):
    rate, served, n0, most = 0.6, 0.5, 10, 60
    runs = [simulate(queues(2, 8, rate=rate, noise="exponential", horizon="20 s"), seed=seed) for seed in range(8)]
    found = np.concatenate([inside(run, at) for run in runs])
    up, down = np.full(most, rate), served * np.minimum(np.arange(1, most + 1), 2)
    generator = np.diag(up, 1) + np.diag(down, -1)
    np.fill_diagonal(generator, -generator.sum(axis=1))
    chances = scipy.linalg.expm(generator * at)[n0]
    mean = chances @ np.arange(most + 1)
    sd = math.sqrt(chances @ np.arange(most + 1) ** 2 - mean**2)
    assert abs(found.mean() - mean) / (sd / math.sqrt(len(found))) < 3.5
    assert found.std() == pytest.approx(sd, rel=0.12)


def test_of_a_service_that_always_takes_two_seconds_a_uniform_part_is_left():
    run = simulate(queues(2, 0, rate=1e-9, noise="none", horizon="20 s"))
    ends = run.requests["finished"].to_numpy()
    assert len(ends) == 2 * POOLS
    assert scipy.stats.kstest(ends, scipy.stats.uniform(0, 2).cdf).pvalue > 0.001


def test_a_queue_keeps_its_order_and_is_worked_off_at_the_pace_of_its_servers():
    run = simulate(queues(2, 100, rate=1e-9, noise="none", horizon="5 min"))
    one = run.requests[run.requests["feature"] == "q7"].sort_values("arrived")
    assert one["started"].is_monotonic_increasing
    assert one["finished"].max() == pytest.approx((100 + 1) * 2.0 / 2, abs=1.01)  # Q / (c mu), and half a service each


def test_they_are_not_refused_and_no_arrivals_for_the_gateway():
    scenario = queues(2, 30, rate=1e-9, noise="none", horizon="2 min")
    closed = scenario.with_(playbooks={"closed": [{"policy": {"kind": "queue bound", "requests": 1}}]})
    assert (simulate(closed, "closed").requests["outcome"] == "served").all()


@given(
    law=st.sampled_from(
        [
            (CONSTANT, 30.0, 0.0),
            (UNIFORM, 5.0, 60.0),
            (EXPONENTIAL, 20.0, 0.0),
            (LOGNORMAL, 20.0, 1.2),
            (WEIBULL, 20.0, 0.7),
        ]
    ),
    age=st.floats(0.0, 29.0),
)
@settings(max_examples=25, deadline=None)
def test_what_is_left_of_a_patience_is_its_law_given_that_it_has_lasted(law, age):
    grid = (np.arange(20_000) + 0.5) / 20_000
    whole = np.array([quantile(*law, u) for u in grid])
    longer = np.sort(whole[whole > age] - age)
    left = np.sort([patience_left(*law, u, age) for u in (np.arange(400) + 0.5) / 400])
    assert np.median(left) == pytest.approx(np.median(longer), rel=0.05, abs=0.1)
    assert np.quantile(left, 0.9) == pytest.approx(np.quantile(longer, 0.9), rel=0.08, abs=0.1)


def test_people_in_a_queue_have_the_rest_of_their_patience():
    patience = {"kind": "constant", "value": "25 s"}
    run = simulate(queues(0, 60, rate=1e-9, noise="none", horizon="2 min", behaviour={"patience": patience}))
    left = run.requests["left"].dropna()
    assert left.min() == pytest.approx(5.0, abs=0.5)  # the oldest has waited 20 of 25 s
    assert left.max() == pytest.approx(20.0, abs=0.5)  # the youngest has waited 5 s


def test_engines_agree_on_them():
    patience = {"kind": "lognormal", "median": "25 s", "sigma": 1.0}
    more = {
        "patience": patience,
        "retry": {"at_most": 2, "probability": 0.6},
        "requests": {"kind": "fixed", "requests": 2},
    }
    scenario = queues(2, 9, rate=0.5, noise="lognormal", horizon="1 min", behaviour=more)
    for runs in ("batches", "steps", "threads"):
        those = scenario.with_(pools={f"q{n}": {"runs": runs, "max_batch": 1} for n in range(POOLS)})
        one, other = (simulate(those, engine=engine) for engine in ("compiled", "simpy"))
        for name in ("requests", "batches", "users"):
            assert getattr(one, name).equals(getattr(other, name)), (runs, name)
