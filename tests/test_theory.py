"""The closed forms agree with published tables to eight digits, and with each other where they must meet."""

import math

import numpy as np
import pytest

from sim.results.retry_rules import Rules, attempts_per_ask, stable_load
from tests.studies.theory import closed_forms as theory
from tests.studies.theory.params import batch_seconds
from tests.studies.theory.queues import truths

DIGITS = 1e-8


def pool(capacity, seconds, *, rate=1.0, timeout=60.0, queue=0.0):
    """The rules of a pool in which a failed request is tried again three times."""
    return Rules("pool", capacity, seconds, rate, 3.0, timeout, queue)


def test_erlang_c_waits_match_the_tables():
    for p, truth in truths("M/M/c"):
        system = (p["lam"], 1 / p["mu"], p["c"])
        assert theory.erlang_c(p["lam"] / p["mu"], p["c"]) == pytest.approx(truth["P_wait"], rel=DIGITS)
        assert theory.mean_wait(*system) == pytest.approx(truth["Wq_mean"], rel=DIGITS)
        for share in (0.95, 0.99):
            assert theory.wait_quantile(share, *system) == pytest.approx(truth[f"Wq_p{share * 100:.0f}"], rel=DIGITS)


def test_erlang_b_matches_the_tables():
    for p, truth in truths("M/M/c/c (=M/G/c/c)"):
        assert theory.erlang_b(p["a"], p["c"]) == pytest.approx(truth["P_block"], rel=DIGITS)


def test_bounded_queue_matches_the_tables():
    for p, truth in truths("M/M/c/K"):
        found = theory.bounded_queue(p["lam"], 1 / p["mu"], p["c"], p["K"] - p["c"])
        assert found.refused == pytest.approx(truth["P_block"], rel=DIGITS)
        assert found.wait == pytest.approx(truth["Wq_mean_accepted"], rel=DIGITS)
        assert found.wait_probability == pytest.approx(truth["P_wait_accepted"], rel=DIGITS)
        assert found.throughput == pytest.approx(truth["throughput"], rel=DIGITS)


def test_erlang_a_matches_the_tables():
    for p, truth in truths("M/M/c+M (Erlang-A)"):
        found = theory.erlang_a(p["lam"], 1 / p["mu"], p["c"], 1 / p["theta"])
        assert found.abandoned == pytest.approx(truth["P_abandon"], rel=DIGITS)
        assert found.wait_probability == pytest.approx(truth["P_wait"], rel=DIGITS)
        assert found.wait == pytest.approx(truth["Wq_mean_all"], rel=DIGITS)
        assert found.wait_of_started == pytest.approx(truth["Wq_mean_served"], rel=DIGITS)
        assert found.utilisation == pytest.approx(truth["utilization"], rel=DIGITS)


def test_constant_service_matches_the_tables():
    for p, truth in truths("M/D/1"):
        assert theory.mean_wait_constant(p["lam"], p["D"], 1) == pytest.approx(truth["Wq_mean"], rel=DIGITS)
    for p, truth in truths("M/D/c"):
        assert theory.mean_wait_constant(p["lam"], p["D"], p["c"]) == pytest.approx(truth["Wq_mean"], rel=DIGITS)


def test_general_service_matches_the_tables():
    for p, truth in truths("M/G/1"):
        cv = math.sqrt(p["ES2"] / p["ES"] ** 2 - 1)
        assert theory.mean_wait_general(p["lam"], p["ES"], cv) == pytest.approx(truth["Wq_mean"], rel=DIGITS)


@pytest.mark.parametrize("saturated", ["", ", lowest class saturated"])
def test_priority_waits_match_the_tables(saturated):
    for p, truth in truths("M/M/c non-preemptive priority" + saturated):
        found = theory.priority_waits(p["lams"], 1 / p["mu"], p["c"])
        expected = [truth.get(f"Wq_class{n}", math.inf) for n in range(1, len(p["lams"]) + 1)]
        assert found == pytest.approx(expected, rel=DIGITS)


def test_batching_matches_the_tables():
    for p, truth in truths("M/D(k)^(1,b)/1 dynamic batching"):
        found = theory.batching(p["lam"], batch_seconds(p))
        assert found.wait == pytest.approx(truth["Wq_mean"], rel=DIGITS)
        assert found.latency == pytest.approx(truth["W_mean"], rel=DIGITS)
        assert found.batch == pytest.approx(truth["mean_batch"], rel=DIGITS)
        assert found.utilisation == pytest.approx(truth["utilization"], rel=DIGITS)


def test_batches_of_exponential_time_match_the_tables():
    for p, truth in truths("M/M^(1,b)/1 bulk service (wait for next batch)"):
        assert theory.bulk_wait(p["lam"], 1 / p["mu"], p["b"]) == pytest.approx(truth["Wq_mean"], rel=DIGITS)


def test_rectangular_surge_matches_the_tables():
    for p, truth in truths("fluid rectangular surge"):
        found = theory.surge(p["lam0"], p["lam1"], p["T"], p["C"])
        assert found.peak_queue == pytest.approx(truth["peak_queue"], rel=DIGITS)
        assert found.drain_time == pytest.approx(truth["drain_time_after_surge"], rel=DIGITS)
        assert found.worst_wait == pytest.approx(truth["max_virtual_wait"], rel=DIGITS)


def test_fluid_queue_is_the_rectangular_surge():
    ends = [0, 60, 100, 180, 500]
    assert theory.fluid_queue(ends, [20, 5, 5, 5, 5], 10) == pytest.approx([0, 600, 400, 0, 0])


def test_fluid_queue_follows_a_decaying_surge():
    for p, truth in truths("fluid exponentially decaying surge"):
        times = np.linspace(0, 100, 200_001)
        so_far = p["lam0"] * times - p["A"] * p["tau"] * np.expm1(-times / p["tau"])
        queue = theory.fluid_queue(times, np.append(np.diff(so_far) / np.diff(times), 0), p["C"])
        step = times[1]
        assert times[queue.argmax()] == pytest.approx(truth["t_peak"], abs=step)
        assert queue.max() == pytest.approx(truth["peak_queue"], rel=DIGITS)
        assert times[queue > 0].max() == pytest.approx(truth["t_empty"], abs=step)


def test_retries_multiply_attempts_as_in_the_tables():
    for p, truth in truths("retry amplification"):
        assert attempts_per_ask(p["p"], p["retries"]) == pytest.approx(truth["attempts_per_request"])


def test_metastability_bounds_match_the_tables():
    for p, truth in truths("metastability stable load bound"):
        assert stable_load(p["C"], p["retries"]) == pytest.approx(truth["C_stable"], rel=1e-9)
    for p, truth in truths("metastability queue-limit threshold"):
        assert pool(p["C"], p["S"], timeout=p["timeout"]).bound == pytest.approx(truth["K_star"])


def test_escape_is_needed_exactly_above_the_stable_load():
    assert pool(16.0, 4.0, rate=stable_load(16, 3)).escape == 1
    assert pool(16.0, 4.0, rate=8.0).escape == 2


def test_recovery_without_retries_takes_as_long_as_a_surge_drains():
    assert pool(10.0, 1.0, rate=5.0, queue=600.0).recovery == theory.surge(5, 20, 60, 10).drain_time


def test_a_queue_with_much_room_is_erlang_c():
    assert theory.bounded_queue(3.2, 1.0, 4, 400).wait == pytest.approx(theory.mean_wait(3.2, 1.0, 4))


def test_a_queue_without_room_is_erlang_b():
    assert theory.bounded_queue(3.2, 1.0, 4, 0).refused == pytest.approx(theory.erlang_b(3.2, 4))


def test_great_patience_is_erlang_c_and_none_is_erlang_b():
    assert theory.erlang_a(3.2, 1.0, 4, 1e7).wait == pytest.approx(theory.mean_wait(3.2, 1.0, 4), rel=1e-5)
    assert theory.erlang_a(3.2, 1.0, 4, 1e-9).abandoned == pytest.approx(theory.erlang_b(3.2, 4), rel=1e-5)


def test_priorities_do_not_change_the_mean_wait():
    rates = np.array([0.5, 1.0, 1.5])
    waits = theory.priority_waits(list(rates), 1.0, 4)
    assert rates @ waits / rates.sum() == pytest.approx(theory.mean_wait(3.0, 1.0, 4))


def test_batches_of_one_are_pollaczek_and_khinchine():
    assert theory.batching(0.8, [1.0]).wait == pytest.approx(theory.mean_wait_general(0.8, 1.0, 0.0))
    assert theory.bulk_wait(0.8, 1.0, 1) == pytest.approx(theory.mean_wait(0.8, 1.0, 1))


def test_light_traffic_does_not_wait():
    assert theory.mean_wait_constant(0.01, 1.0, 8) == pytest.approx(0, abs=1e-9)
    assert theory.batching(0.001, [1.0, 1.1]).wait == pytest.approx(0.0005, rel=0.01)
    assert theory.wait_quantile(0.5, 0.01, 1.0, 8) == 0


def test_overload_waits_for_ever():
    assert theory.mean_wait(4, 1.0, 4) == math.inf
    assert theory.wait_quantile(0.9, 4, 1.0, 4) == math.inf
    assert theory.mean_wait_constant(4, 1.0, 4) == math.inf
    assert theory.mean_wait_general(1, 1.0, 1.0) == math.inf
    assert theory.batching(4, [1.0, 1.0, 1.0, 1.0]).wait == math.inf
    assert theory.bulk_wait(4, 1.0, 4) == math.inf
    assert theory.surge(10, 20, 60, 10).drain_time == math.inf
    assert pool(10.0, 1.0, rate=10.0, queue=600.0).recovery == math.inf


def test_a_surge_within_capacity_leaves_no_queue():
    assert theory.surge(5, 9, 60, 10) == (0, 0, 0)
    assert not theory.fluid_queue([0, 60, 120], [9, 5, 5], 10).any()


@pytest.mark.parametrize("load", [0.3, 0.9, 0.99])
def test_waits_with_constant_service_are_half_to_all_of_the_exponential(load):
    constant, exponential = theory.mean_wait_constant(8 * load, 1.0, 8), theory.mean_wait(8 * load, 1.0, 8)
    assert exponential / 2 <= constant <= exponential


def test_large_services_are_reckoned_without_overflow():
    assert theory.erlang_a(20_000, 1.0, 10_000, 60).abandoned == pytest.approx(0.5)
    assert theory.bounded_queue(20_000, 1.0, 10_000, 50_000).refused == pytest.approx(0.5)
    assert 0 < theory.mean_wait_constant(9_990, 1.0, 10_000) < theory.mean_wait(9_990, 1.0, 10_000)
