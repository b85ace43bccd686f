"""The rules of adaptive limits, each against what is known of it: where it rests, how fast it moves, its bounds."""

import math
from dataclasses import replace

import numpy as np
import pytest

from sim.policies.adaptive import Vegas
from sim.policies.adaptive_rules import Learnt, aimd, envoy, gradient2, vegas

RULES = {"aimd": aimd, "vegas": vegas, "gradient2": gradient2, "envoy gradient": envoy}
STARTS = (1, 20, 400)


def saturated(limit: float, slots: float, seconds: float = 4.0) -> float:
    """Latency of a server with some slots, each of which takes some time, where the whole limit is in use."""
    return seconds * max(1.0, limit / slots)


def limits(rule, learnt: Learnt, slots: float, windows: int = 2000, **how) -> list[float]:
    """The limit after each window in front of a saturated server."""
    found = []
    for _ in range(windows):
        learnt = rule(learnt, saturated(learnt.limit, slots), learnt.limit, **how)
        found.append(learnt.limit)
    return found


# AIMD.


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize(("slots", "timeout"), [(10, 20.0), (64, 8.0), (100, 5.0)])
def test_aimd_swings_between_the_limit_of_its_timeout_and_nine_tenths_of_it(slots, timeout, start):
    peak = slots * timeout / 4.0
    rests = limits(aimd, Learnt(start), slots, timeout=timeout)[-500:]
    assert max(rests) == math.floor(peak) + 1  # the first that is too much
    assert min(rests) == math.floor(0.9 * max(rests))
    assert set(np.diff(rests)) == {1, min(rests) - max(rests)}


def test_aimd_backs_off_at_a_late_answer_and_keeps_its_bounds():
    at = Learnt(30, least=20, most=31)
    assert aimd(at, 1.0, 30).limit == 31
    assert aimd(at, 5.0, 15).limit == 31  # half of it in use; not later than the timeout
    assert aimd(at, 5.1, 30).limit == 27
    assert aimd(replace(at, limit=31), 1.0, 31).limit == 31
    assert aimd(replace(at, limit=20), 9.0, 31).limit == 20


# Vegas.


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize(("slots", "low", "high"), [(10, 13, 16), (64, 67, 70), (100, 106, 112)])
def test_vegas_rests_with_a_queue_of_three_to_six_steps(slots, low, high, start):
    learnt = Learnt(start, baseline=4.0)
    rests = limits(vegas, learnt, slots, probe=math.inf)[-100:]
    assert len(set(rests)) == 1
    assert low <= rests[0] <= high


def test_vegas_takes_the_least_latency_for_that_without_a_queue():
    learnt = vegas(Learnt(20), 5.0, 20)
    assert (learnt.limit, learnt.baseline) == (20, 5.0)
    learnt = vegas(learnt, 4.0, 20)
    assert (learnt.limit, learnt.baseline) == (20, 4.0)
    assert vegas(learnt, 4.5, 20).baseline == 4.0


@pytest.mark.parametrize(
    ("rtt", "limit"), [(4.0, 26), (4.2, 26), (4.3, 21), (4.45, 20), (5.7, 20), (6.0, 19), (80.0, 19)]
)
def test_vegas_adds_six_steps_one_or_none_or_takes_one_off(rtt, limit):
    assert vegas(Learnt(20, baseline=4.0), rtt, 20).limit == limit


def test_vegas_steps_by_the_whole_decimal_logarithm():
    assert [vegas(Learnt(n, 4.0, most=1e5), 4.0, n).limit - n for n in (1, 99, 100, 999, 1000)] == [6, 6, 12, 12, 18]


def test_vegas_probes_every_three_quarters_of_thirty_limits_and_then_believes_what_it_sees():
    learnt, baselines = Learnt(20, baseline=4.0), []
    for _ in range(450):
        learnt = vegas(learnt, 5.0, 20)  # a queue of four: the limit stays
        baselines.append(learnt.baseline)
    assert baselines == [4.0] * 449 + [5.0]
    assert (learnt.limit, learnt.count) == (20, 0)


def test_a_probe_under_load_makes_vegas_grow():
    assert limits(vegas, Learnt(20, baseline=4.0), 10)[-1] > 30
    assert limits(Vegas(pool="gpus", probe=None).adapted, Learnt(20, baseline=4.0), 10)[-1] < 20


# Gradient2.


def warm(limit: float = 100.0, usual: float = 4.0, **bounds) -> Learnt:
    return Learnt(limit, baseline=usual, count=10, **bounds)


@pytest.mark.parametrize(("rtt", "gradient"), [(1.0, 1.0), (6.0, 1.0), (8.0, 0.75), (12.0, 0.5), (99.0, 0.5)])
def test_gradient2_multiplies_by_half_to_one(rtt, gradient):
    learnt = gradient2(warm(), rtt, 100, long=10**9)
    assert learnt.limit == pytest.approx(0.8 * 100 + 0.2 * (100 * gradient + 4))


def test_the_long_latency_of_gradient2_shrinks_faster_where_it_is_over_twice_the_latency():
    plainly = 10.0 + (4.0 - 10.0) * 2 / 601
    assert gradient2(warm(usual=10.0), 4.0, 0).baseline == pytest.approx(0.95 * plainly)
    assert gradient2(warm(usual=8.0), 4.0, 0).baseline == pytest.approx(8.0 + (4.0 - 8.0) * 2 / 601)  # just not twice


def test_the_long_latency_of_gradient2_begins_as_the_mean_of_ten_windows():
    learnt = Learnt(20.0)
    for rtt in range(1, 11):
        learnt = gradient2(learnt, float(rtt), 20)
    assert learnt.baseline == 5.5
    assert gradient2(learnt, 10.0, 20).baseline == pytest.approx(5.5 + 4.5 * 2 / 601)


def test_gradient2_creeps_up_where_overload_lasts():
    learnt = Learnt(20.0, least=20, most=10_000)
    found = limits(gradient2, learnt, 20, 3000)
    assert 30 < found[100] < found[1000] < found[2999]


# Envoy's gradient controller.


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize(("slots", "limit"), [(10, 16), (64, 88), (100, 136), (400, 522)])
def test_envoy_settles_where_latency_is_a_quarter_more_than_the_least_and_a_burst(slots, limit, start):
    assert limit == math.floor(1.25 * slots + math.sqrt(1.25 * slots))
    rests = limits(envoy, Learnt(start, baseline=4.0, least=3), slots)[-100:]
    assert set(rests) == {limit}
    assert 1.25 <= saturated(limit, slots) / 4.0 <= 1.6


@pytest.mark.parametrize(
    ("rtt", "gradient"), [(0.1, 2.0), (2.5, 2.0), (5.0, 1.0), (8.0, 0.625), (10.0, 0.5), (99, 0.5)]
)
def test_envoy_multiplies_by_half_to_two(rtt, gradient):
    grown = 100 * gradient
    assert envoy(Learnt(100, baseline=4.0), rtt, 100).limit == math.floor(grown + math.sqrt(grown))


def test_envoy_counts_how_often_its_limit_stays_the_least():
    learnt, counts = Learnt(6, baseline=4.0, least=3), []
    for rtt in (90.0, 90.0, 90.0, 90.0, 4.0):
        learnt = envoy(learnt, rtt, 3)
        counts.append((learnt.limit, learnt.count))
    assert counts == [(4, 0), (3, 0), (3, 1), (3, 2), (5, 0)]


def test_half_the_capacity_halves_envoys_limit_within_two_windows():
    settled = limits(envoy, Learnt(20, baseline=4.0), 100)[-1]
    after = limits(envoy, Learnt(settled, baseline=4.0), 50, 3)
    assert settled == 136
    assert after[1] == after[2] == math.floor(62.5 + math.sqrt(62.5)) == 70


# All of them.


@pytest.mark.parametrize("name", ["aimd", "vegas", "gradient2"])
@pytest.mark.parametrize("rtt", [0.1, 3.9, 4.0, 4.5])
def test_no_limit_grows_while_less_than_half_of_it_is_used(name, rtt):
    assert RULES[name](warm(), rtt, 49).limit <= 100
    assert RULES[name](warm(), 4.0, 50).limit > 100


def test_envoys_grows_although_it_is_not_used():
    assert envoy(warm(), 4.0, 0).limit == math.floor(125 + math.sqrt(125))


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_limits_stay_in_their_bounds(rule):
    learnt, rng = Learnt(50, baseline=4.0, least=20, most=90), np.random.default_rng(1)
    for rtt in rng.lognormal(1.5, 1.5, 2000):
        learnt = rule(learnt, float(rtt), learnt.limit * rng.random())
        assert 20 <= learnt.limit <= 90
