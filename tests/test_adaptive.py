"""Policies of adaptive limits: the windows that their rules are fed with, and runs under overload."""

import copy
import math

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.model.controls import Controls, PoolTelemetry, Telemetry
from sim.policies.adaptive import Adaptive, Aimd, EnvoyGradient, Gradient2, Vegas
from sim.results.run import Run
from tests.random_scenarios import plain
from tests.studies.overload.spikes import experiment_d, recovered, spike
from tests.test_engines import assert_alike

# The policies.

POLICIES: dict[str, Adaptive] = {
    "aimd": Aimd(pool="gpus"),
    "vegas": Vegas(pool="gpus"),
    "gradient2": Gradient2(pool="gpus"),
    "envoy gradient": EnvoyGradient(pool="gpus"),
}
each = pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)


def seen(now: float, served: float = 0, rtt: float = 4.0, inside: int = 20, gpus: int = 4) -> Telemetry:
    """Two tiers and two features, of which free images are served: so many, at this mean latency."""
    zero = np.zeros((2, 2))
    images, latency = zero.copy(), zero.copy()
    images[0, 0], latency[0, 0] = served, served * rtt
    pools = {"gpus": PoolTelemetry(gpus, gpus, inside - gpus, inside, 0.0)}
    return Telemetry(now, pools, zero, zero, images, zero, zero, latency, 0, 0)


def turned(policy: Adaptive, telemetry: Telemetry, scale: float = 1.0) -> float:
    """The limit that it sets for free images."""
    controls = Controls(["free", "plus"], ["image", "video"], scale, {"gpus": 4})
    policy.act(telemetry, controls)
    return controls.knob("limit", "free", "image") / scale


@each
def test_a_policy_says_its_kind_and_limits_those_it_is_for(policy):
    assert policy.kind == next(name for name, one in POLICIES.items() if one is policy)
    controls = Controls(["free", "plus"], ["image", "video"], 1.0, {"gpus": 4})
    policy.model_copy(update={"features": ["video"]}, deep=True).act(seen(0), controls)
    assert np.isfinite([controls.knob("limit", tier, "video") for tier in ("free", "plus")]).all()
    assert math.isinf(controls.knob("limit", "free", "image"))


def test_a_window_closes_after_its_seconds_and_its_images():
    policy = Aimd(pool="gpus", window="30 s", samples=10)
    looks = [(0, 99), (10, 9), (20, 9), (30, 9), (40, 1), (80, 8), (90, 1), (120, 99)]
    assert [turned(policy, seen(now, served)) for now, served in looks] == [20, 20, 20, 21, 21, 21, 22, 23]


def test_a_window_has_the_mean_latency_and_the_most_that_was_inside():
    policy = Aimd(pool="gpus", window="30 s", timeout="10 s", start=100, least=1)
    for now, rtt, inside in ((0, 99.0, 90), (10, 4.0, 50), (20, 7.0, 10)):
        turned(policy, seen(now, 10, rtt, inside))
    assert turned(policy, seen(30, 10, 19.0, 10)) == 101  # on average 10 s; half of it in use at 10 s
    for now in (40, 50):
        assert turned(policy, seen(now, 10, 4.0, 50)) == 101
    assert turned(policy, seen(60, 10, 4.0, 10)) == 101  # what was inside before does not count


def test_only_the_latency_of_those_it_is_for_counts():
    policy = Aimd(pool="gpus", window="10 s", tiers=["plus"])
    assert [turned(policy, seen(now, 99)) for now in (0, 10, 20)] == [math.inf] * 3
    assert policy.limit() == 20


def test_a_slice_of_the_service_finds_the_limit_of_the_whole():
    for scale in (1.0, 0.1):
        policy = Aimd(pool="gpus", window="10 s", start=500, most=900)
        inside = round(250 * scale)
        found = [turned(policy, seen(now, 10, inside=inside), scale) for now in (0, 10, 20, 30)]
        assert found == pytest.approx([500, 501, 501, 501])


def test_a_large_pool_starts_with_as_many_as_it_has_gpus():
    assert turned(Aimd(pool="gpus"), seen(0, gpus=4)) == 20
    assert turned(Aimd(pool="gpus"), seen(0, gpus=400)) == 400
    assert turned(Aimd(pool="gpus"), seen(0, gpus=4), scale=0.01) == 400
    assert turned(Aimd(pool="gpus", start=50), seen(0, gpus=400)) == 50
    assert turned(Aimd(pool="gpus", most=300), seen(0, gpus=400)) == 300


def test_envoy_holds_the_least_limit_while_it_measures_the_least_latency():
    policy = EnvoyGradient(pool="gpus", window="10 s", requests=30, every="100 s")
    assert turned(policy, seen(0, inside=9)) == 3
    assert turned(policy, seen(10, 99, rtt=50.0, inside=9)) == 3  # they came before
    assert turned(policy, seen(20, 99, rtt=50.0, inside=3)) == 3  # they have left
    assert turned(policy, seen(30, 29, inside=3)) == 3
    assert turned(policy, seen(40, 1, inside=3)) == 4  # as many as there are GPUs
    assert policy._learnt.baseline == 4.0
    assert turned(policy, seen(50, 10, rtt=5.0)) == 6
    for now in range(60, 150, 10):
        limit = turned(policy, seen(now, 10, rtt=5.0))
        assert limit > 6
    assert turned(policy, seen(150, 10, rtt=5.0)) == 3  # 107.5 s after it was measured


def test_envoy_measures_anew_after_five_windows_at_its_least_limit():
    policy = EnvoyGradient(pool="gpus", window="10 s", requests=10)
    found = [turned(policy, seen(now, 10, rtt=4.0 if now < 20 else 40.0, inside=3)) for now in range(0, 130, 10)]
    assert policy._learnt.baseline == 40.0
    assert found[-1] > 3


def test_envoy_measures_nothing_where_the_least_latency_is_given():
    policy = EnvoyGradient(pool="gpus", window="10 s", min_rtt="4 s", every="20 s", start=10)
    assert [turned(policy, seen(now, 10, rtt=90.0)) for now in range(0, 80, 10)] == [10, 7, 5, 4, 3, 3, 3, 3]


@each
def test_a_pool_that_is_not_there_is_refused(policy):
    with pytest.raises(BadInput, match="no such pool") as wrong:
        turned(policy.model_copy(update={"pool": "spare"}, deep=True), seen(0))
    assert (wrong.value.key, wrong.value.value) == ("pool", "spare")


@pytest.mark.parametrize("wrong", [{"least": 0}, {"start": 19}, {"most": 10}, {"window": 0}, {"samples": 0}])
@pytest.mark.parametrize("kind", [Aimd, Gradient2])
def test_settings_must_make_sense(kind, wrong):
    with pytest.raises(ValidationError):
        kind(pool="gpus", **wrong)


# Runs.


OVERLOADED = {  # one server of ten a second
    "aimd": Aimd(pool="gpus", least=1, timeout="2 s", window="2 s"),
    "vegas": Vegas(pool="gpus", window="2 s"),
    "gradient2": Gradient2(pool="gpus", least=1, window="2 s"),
    "envoy gradient": EnvoyGradient(pool="gpus", window="2 s", requests=20),
}
overloaded = pytest.mark.parametrize("policy", OVERLOADED.values(), ids=OVERLOADED)


def spiked():
    """Half the capacity, three halves of it for two minutes, and half again; who waits 5 s asks again, five times."""
    return spike(
        base=5.0,
        peak=15.0,
        quiet=60.0,
        lasting=120.0,
        after=420.0,
        gpus=1,
        seconds=0.1,
        noise="exponential",
        timeout="5 s",
        retries=5,
        bound=1_000_000,
        record="rows",
    )


def longest_queue(run: Run) -> int:
    """The most requests that waited at once; a queued request of somebody who left waits as well."""
    let_in = run.requests[run.requests["outcome"] != "refused"]
    ends = let_in["started"].fillna(math.inf)
    steps = pd.concat([pd.Series(1, index=let_in["arrived"]), pd.Series(-1, index=ends)]).sort_index(kind="stable")
    return int(steps.cumsum().max())


@overloaded
def test_under_a_limit_the_queue_stays_short_and_the_service_recovers_without_memory(policy):
    before = copy.deepcopy(policy.__pydantic_private__)
    first, second = (simulate(spiked(), [policy]) for _ in range(2))
    assert_alike(first, second)
    assert policy.__pydantic_private__ == before
    assert len(first.decisions) > 1
    assert longest_queue(first) < 50
    assert (first.requests["reason"] == "limit").any()
    assert recovered(first)


def test_without_a_limit_the_queue_grows_and_nobody_is_served_in_time_again():
    run = simulate(spiked(), [])
    assert longest_queue(run) > 1000
    assert not recovered(run)


@each
def test_as_it_is_by_default_it_serves_what_64_gpus_can_through_a_spike_of_images(policy):
    run = simulate(experiment_d(1_000_000, record="rows"), [policy])
    peak = run.requests[run.requests["arrived"].between(1000, 1500)]
    served = peak[peak["outcome"] == "served"]
    assert 0.95 * 16 < len(served) / 500 < 1.02 * 16
    assert (served["finished"] - served["arrived"]).mean() < 1.6 * 4
    assert recovered(run)


@each
def test_a_pool_at_a_third_of_its_capacity_refuses_nobody(policy):
    quiet = plain(horizon="2 h", control_tick="10 s", demand=[{"kind": "steady", "rate": "40 per min"}],
                  pools={"gpus": {"gpus": 16, "max_batch": 1}})  # fmt: skip
    run = simulate(quiet, [policy])
    warm_up = 1800.0 if policy is POLICIES["envoy gradient"] else 0.0
    late = run.requests[run.requests["arrived"] > warm_up]
    assert (late["outcome"] != "refused").all()
