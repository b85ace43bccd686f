"""A pool over time: its load, utilisation, saturation and longest queue, by hand and in small simulations."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim import load, simulate
from sim.results.costs import gpu_hours
from sim.results.intents import attempts_in, intents
from sim.results.latencies import latencies
from sim.results.metrics import bins, outcomes, peak_queue, pool_timeline, refused_by, timeline
from tests.random_scenarios import plain
from tests.studies.theory import closed_forms as theory
from tests.studies.theory.queues import z
from tests.tables import attainment, attempt, run_of
from tests.test_metrics import MIXED, groups, quickly, served
from tests.timelines import saturated_spans

# A pool over time. Two GPUs; an image is 4 GPU-seconds of work, a video 40.

BUSY = (
    *(served(0, 0, 30, user=user) for user in (0, 1)),
    *(served(0, 30, 50, user=user) for user in (2, 3, 4)),
    attempt(10, user=5, left=20, retry=True),
    served(40, 50, 60, user=5, number=1, feature="video"),
)


def test_offered_load_counts_retries_apart():
    found = pool_timeline(run_of(*BUSY), "gpus", 20)
    assert found.index.tolist() == [0, 20, 40, 60, 80]
    assert found["offered"].tolist() == [24 / 40, 0, 1, 0, 0]
    assert found["offered_first"].tolist() == [24 / 40, 0, 0, 0, 0]


def test_what_is_refused_is_offered_all_the_same():
    assert pool_timeline(run_of(attempt(0, refused="shed")), "gpus", 100)["offered"].tolist() == [4 / 200]


def test_utilisation_and_queue_by_hand():
    found = pool_timeline(run_of(*BUSY[:4], BUSY[5]), "gpus", 20)
    assert found["utilisation"].tolist() == pytest.approx([1, 1, 0.5, 0, 0])
    assert found["queued"].tolist() == pytest.approx([2.5, 1, 0, 0, 0])


def test_a_busy_pool_without_a_queue_is_not_saturated():
    run = run_of(*(served(0, 0, 100, user=user) for user in (0, 1)))
    assert pool_timeline(run, "gpus", 20)["utilisation"].tolist() == [1] * 5
    assert saturated_spans(run, "gpus", 20) == []


def test_a_batch_over_the_horizon_is_busy_until_then():
    assert pool_timeline(run_of(attempt(80, started=80, seconds=99)), "gpus", 50)["utilisation"].tolist() == [0, 0.2]


def test_a_batch_of_two_keeps_one_gpu_busy():
    two = (served(0, 0, 50, user=user, batch="both") for user in (0, 1))
    assert pool_timeline(run_of(*two), "gpus", 100)["utilisation"].tolist() == [0.25]


FULL = tuple(attempt(0, user=user, started=0, seconds=200) for user in (0, 1))  # both GPUs, for ever


def crowd(since, until, number=40):
    """More than a request for each GPU and those that random arrivals may leave."""
    return [attempt(since, user=100 + user, left=until) for user in range(number)]


def test_saturation_by_hand():
    assert saturated_spans(run_of(*FULL, *crowd(20, 60)), "gpus", 20) == [(20, 60)]
    assert saturated_spans(run_of(*FULL, *crowd(0, math.nan)), "gpus", 20) == [(0, 100)]
    assert saturated_spans(run_of(*FULL, *crowd(20, 60, number=20)), "gpus", 20) == []


def test_the_longest_queue_is_found_with_its_drain():
    waiting = [(0, 1, 12), (0, 2, 12), (3, 3, 12), (8, 4, 30), (9, 5, 30), (9, 6, 40), (50, 7, 60)]
    run = run_of(*FULL, *(attempt(arrived, user=user, left=left) for arrived, user, left in waiting))
    assert peak_queue(run, "gpus") == {"peak": 6, "at": 9, "drain": 31, "left": 0}


def test_the_warm_up_is_left_out_of_saturation_and_the_longest_queue():
    run = run_of(*FULL, *crowd(0, 60), attempt(0, user=3, left=10), warm_up=20.0)
    assert saturated_spans(run, "gpus", 20) == [(20, 60)]
    assert peak_queue(run, "gpus") == {"peak": 40, "at": 20, "drain": 40, "left": 0}


def test_a_queue_that_is_never_empty_again_does_not_drain():
    found = peak_queue(run_of(*FULL, attempt(7, user=2)), "gpus")
    assert (found["peak"], found["at"]) == (1, 7)
    assert math.isnan(found["drain"])


def test_who_meets_an_idle_gpu_never_queued():
    found = peak_queue(run_of(served(0, 0, 5), served(5, 5, 9, user=1)), "gpus")
    assert (found["peak"], found["drain"]) == (0, 0)
    assert math.isnan(found["at"])


@quickly
@given(rows=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=15))
def test_the_longest_queue_is_the_longest_seen_by_looking_every_second(rows):
    run = run_of(*(served(a, a + wait, a + wait + 1, user=user) for user, (a, wait) in enumerate(rows)))
    seen = [sum(a < look < a + wait for a, wait in rows) for look in np.arange(100) + 0.5]
    found, longest = peak_queue(run, "gpus"), max(seen)
    assert found["peak"] == longest
    if longest:
        top = seen.index(longest)
        assert (found["at"], found["drain"]) == (top, seen.index(0, top) - top)


def test_the_service_over_time_by_hand():
    found = timeline(run_of(*MIXED), 50)
    assert found.to_dict("list") == {
        "signups": [4, 1],
        "intents": [4, 1],
        "attempts": [5, 1],
        "served": [1, 0],
        "degraded": [0, 1],
        "refused": [2, 0],
        "abandoned": [1, 0],
    }


def test_bins_cover_the_run_and_are_about_as_wide_as_asked():
    assert bins(run_of(), 30).tolist() == pytest.approx([0, 100 / 3, 200 / 3, 100])
    assert bins(run_of(), 1000).tolist() == [0, 100]


# A run in which nobody came.


@pytest.mark.parametrize("by", ["tier", "feature", ["tier", "feature"]])
def test_nobody_came_and_nothing_breaks(by):
    run = run_of()
    assert outcomes(run).loc["all", "intents"] == 0
    assert math.isnan(outcomes(run).loc["all", "attainment"])
    assert list(outcomes(run, by).columns) == list(outcomes(run).columns)
    assert len(outcomes(run, by)) == len(intents(run)) == len(refused_by(run)) == len(attempts_in(run)) == 0
    assert latencies(run)["n"].tolist() == [0, 0, 0]
    assert latencies(run)[["p50", "p95", "p99"]].isna().all().all()
    assert not pool_timeline(run, "gpus").drop(columns="gpus").any().any()
    assert not timeline(run).any().any()
    if isinstance(by, str):
        assert len(latencies(run, by)) == len(refused_by(run, by)) == 0


# Small simulations.

SEEDS = range(1, 13)


@pytest.fixture(scope="module")
def steady():
    """The shipped scenario that can be checked by hand, with a few seeds."""
    scenario = load("steady")
    return [simulate(scenario, seed=seed) for seed in SEEDS]


def test_half_of_the_gpus_of_the_steady_service_are_busy(steady):
    shares = [gpu_hours(run).loc["gpus"] for run in steady]
    assert abs(z(np.array([hours["useful"] / hours["total"] for hours in shares]), 0.5)) < 3.5


def test_waits_of_the_steady_service_are_those_of_constant_service(steady):
    rows = [attempts_in(run, (600, 7190)) for run in steady]  # who comes later may not have started
    waits = np.array([(r["started"] - r["arrived"]).mean() for r in rows])
    assert abs(z(waits, theory.mean_wait_constant(1.0, 2.0, 4))) < 3.5


def test_the_steady_service_never_saturates_and_serves_all_in_time(steady):
    assert not any(saturated_spans(run, "gpus") for run in steady)
    assert all(attainment(intents(run)) == 1 for run in steady)


def surge(*, gpus=1, retry=None, patience=None):
    """Sixty people in a minute, 10 s of work each, within an hour."""
    return plain(
        horizon="1 hour",
        pools={"gpus": {"gpus": gpus}},
        demand=[{"kind": "spike", "people": 60, "lasting": "1 min"}],
        behaviour={"retry": retry or {"at_most": 0}, "patience": patience or {"kind": "never"}},
    )


def test_more_gpus_do_not_lower_attainment():
    reached = [attainment(intents(simulate(surge(gpus=gpus)))) for gpus in (1, 2, 4, 8, 16)]
    assert reached == sorted(reached)
    assert reached[0] < 0.5 < reached[-1] == 1


def test_a_surge_without_retries_drains_when_its_work_is_done():
    run = simulate(surge(gpus=2))
    peak = peak_queue(run, "gpus")
    emptied = peak["at"] + peak["drain"]
    work, first = 10.0 * len(run.requests), run.requests["arrived"].min()
    assert work / 2 + first - 10 <= emptied + 10 <= work / 2 + 60 + 10
    assert all(end < run.horizon for _, end in saturated_spans(run, "gpus"))


def test_without_patience_nobody_is_served_and_all_work_is_wasted():
    run = simulate(surge(patience={"kind": "constant", "value": "0 s"}))
    assert groups(run)["all"]["served"] == attainment(intents(run)) == 0
    assert gpu_hours(run)["useful"].sum() == 0
    assert gpu_hours(run)["wasted"].sum() > 0
