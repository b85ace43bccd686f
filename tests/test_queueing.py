"""The engine against queueing theory: the mean over independent seeds within 3.5 standard errors of the exact value.

The systems here have parameters of our own. The published tables are a study (tests/studies/theory/study.py), which
also says which of their systems the model cannot express, and why.
"""

import math

import numpy as np
import pytest

from sim.results.retry_rules import attempts_per_ask
from tests.studies.theory import closed_forms as theory
from tests.studies.theory.formulas import granted
from tests.studies.theory.measures import (
    attempts_an_ask,
    empty_after,
    mean_batch,
    mean_time_in_queue,
    share_never_started,
    share_of_asks_served,
    time_in_orbit,
    utilisation,
    wait_of,
)
from tests.studies.theory.queues import (
    CONSTANT,
    SEEDS,
    mean_wait_in,
    observed,
    queue,
    replicate,
    room,
    share,
    share_waiting,
    steady,
    truth,
    truths,
    waiting_at,
    waits,
    z,
)


def test_wait_is_erlang_c():
    rate, gpus = 3.0, 4
    late = theory.wait_quantile(0.95, rate, 1.0, gpus)
    wait, waiting, later = replicate(
        queue(rate=rate, gpus=gpus, lasting=3600, warm_up=100),
        mean_wait_in,
        share_waiting,
        lambda run: float((waits(observed(run)) > late).mean()),
    )
    assert abs(z(wait, theory.mean_wait(rate, 1.0, gpus))) < 3.5
    assert abs(z(waiting, theory.erlang_c(rate, gpus))) < 3.5
    assert abs(z(later, 0.05)) < 3.5


def test_one_gpu_is_m_m_1():
    (wait,) = replicate(queue(rate=0.75, lasting=7000, warm_up=400), mean_wait_in)
    assert abs(z(wait, theory.mean_wait(0.75, 1.0, 1))) < 3.5


def test_wait_with_constant_service_is_crommelins():
    rate, gpus = 3.4, 4
    (wait,) = replicate(queue(rate=rate, gpus=gpus, noise=CONSTANT, lasting=1600, warm_up=100), mean_wait_in)
    assert abs(z(wait, theory.mean_wait_constant(rate, 1.0, gpus))) < 3.5


def test_wait_with_lognormal_service_is_pollaczek_and_khinchines():
    noise = {"kind": "lognormal", "cv": 1.0}
    (wait,) = replicate(queue(rate=0.7, noise=noise, lasting=7000, warm_up=300), mean_wait_in)
    assert abs(z(wait, theory.mean_wait_general(0.7, 1.0, cv=1.0))) < 3.5


def test_refusals_of_a_bounded_queue_are_m_m_c_k():
    rate, gpus, bound = 7.2, 8, 8
    expected = theory.bounded_queue(rate, 1.0, gpus, bound)
    refused, wait, waiting = replicate(
        queue(rate=rate, gpus=gpus, policies=[room(bound)], lasting=700, warm_up=40),
        share("refused"),
        mean_wait_in,
        share_waiting,
    )
    assert abs(z(refused, expected.refused)) < 3.5
    assert abs(z(wait, expected.wait)) < 3.5
    assert abs(z(waiting, expected.wait_probability)) < 3.5


@pytest.mark.parametrize("noise", [None, CONSTANT], ids=["exponential", "constant"])
def test_refusals_without_room_to_wait_are_erlang_b(noise):
    (refused,) = replicate(
        queue(rate=10, gpus=10, noise=noise, policies=[room(0)], lasting=500, warm_up=20), share("refused")
    )
    assert abs(z(refused, theory.erlang_b(10, 10))) < 3.5


def test_impatience_is_erlang_a():
    rate, gpus, patience = 10.0, 10, 2.0
    expected = theory.erlang_a(rate, 1.0, gpus, patience)
    abandoned, wait, until_out = replicate(
        queue(rate=rate, gpus=gpus, patience={"kind": "exponential", "mean": f"{patience} s"}, lasting=500, warm_up=30),
        share_never_started,
        mean_wait_in,
        mean_time_in_queue,
    )
    assert abs(z(abandoned, expected.abandoned)) < 3.5
    assert abs(z(wait, expected.wait_of_started)) < 3.5
    assert abs(z(until_out, expected.wait)) < 3.5


FIRST_THREE = [{"kind": "priority", "first": ["gold", "silver", "free"]}]


def test_priority_waits_are_cobhams():
    rates = {"gold": 0.6, "silver": 0.9, "free": 0.9}
    total = sum(rates.values())
    found = replicate(
        queue(
            rate=total,
            gpus=3,
            tiers={tier: rate / total for tier, rate in rates.items()},
            policies=FIRST_THREE,
            lasting=2400,
            warm_up=150,
        ),
        *[wait_of(tier) for tier in rates],
    )
    for waited, expected in zip(found, theory.priority_waits(list(rates.values()), 1.0, 3), strict=True):
        assert abs(z(waited, expected)) < 3.5


def test_the_urgent_wait_little_when_the_lowest_class_is_saturated():
    rates = {"gold": 0.8, "silver": 0.6, "free": 2.6}
    gold, silver = replicate(
        queue(
            rate=4.0,
            gpus=2,
            tiers={tier: rate / 4.0 for tier, rate in rates.items()},
            policies=FIRST_THREE,
            lasting=1300,
            warm_up=60,
        ),
        wait_of("gold"),
        wait_of("silver"),
    )
    expected = theory.priority_waits(list(rates.values()), 1.0, 2)
    assert abs(z(gold, expected[0])) < 3.5
    assert abs(z(silver, expected[1])) < 3.5
    assert expected[2] == math.inf


def test_dynamic_batching_is_the_embedded_chain():
    rate, seconds = 1.6, 1.0 + 0.2 * np.arange(1, 5)
    expected = theory.batching(rate, seconds)
    wait, batch, busy = replicate(
        queue(rate=rate, batch=4, seconds=1.0, per_image=0.2, noise=CONSTANT, lasting=3500, warm_up=100),
        mean_wait_in,
        mean_batch,
        utilisation,
    )
    assert abs(z(wait, expected.wait)) < 3.5
    assert abs(z(batch, expected.batch)) < 3.5
    assert abs(z(busy, expected.utilisation)) < 3.5


def test_batches_of_exponential_time_are_baileys():
    (wait,) = replicate(queue(rate=2.4, batch=4, lasting=2600, warm_up=150), mean_wait_in)
    assert abs(z(wait, theory.bulk_wait(2.4, 1.0, 4))) < 3.5


# A surge is a fluid in the limit of many requests. On one GPU whose service time is constant, the queue at a fixed
# instant of an unbroken busy period has exactly the fluid's mean, but for a request or two; the largest queue has not,
# where the peak is rounded (a maximum of noise), so the tests look at the instant of the fluid's peak.
LARGE = 10


def test_a_rectangular_surge_is_a_fluid():
    before, during, lasting, capacity = 5 * LARGE, 20 * LARGE, 30, 10 * LARGE
    begins = 10
    expected = theory.surge(before, during, lasting, capacity)
    spike = {"kind": "spike", "from": f"{begins} s", "people": (during - before) * lasting, "lasting": f"{lasting} s"}
    peak, drained, worst = replicate(
        queue(waves=[steady(before), spike], seconds=1 / capacity, noise=CONSTANT, lasting=120),
        lambda run: float(waiting_at(run, [begins + lasting])[0]),
        lambda run: empty_after(run, begins + lasting) - begins - lasting,
        lambda run: float(waits(run.requests).max()),
        seeds=SEEDS[:12],
    )
    assert abs(z(peak, expected.peak_queue)) < 3.5
    assert abs(z(drained, expected.drain_time)) < 3.5
    assert abs(z(worst, expected.worst_wait)) < 3.5


def test_a_decaying_surge_is_a_fluid():
    ((p, expected),) = truths("fluid exponentially decaying surge")
    surge = {"kind": "weibull", "people": p["A"] * LARGE * p["tau"], "scale": f"{p['tau']} s", "shape": 1}
    t_peak, t_empty = expected["t_peak"], expected["t_empty"]
    at_peak, emptied = replicate(
        queue(waves=[steady(p["lam0"] * LARGE), surge], seconds=1 / (p["C"] * LARGE), noise=CONSTANT, lasting=90),
        lambda run: float(waiting_at(run, [t_peak])[0]) / LARGE,
        lambda run: empty_after(run, t_peak),
        seeds=SEEDS[:12],
    )
    assert abs(z(at_peak, expected["peak_queue"])) < 3.5
    assert abs(z(emptied, t_empty)) < 3.5


def test_retries_of_the_refused_are_the_linear_retrial_queue():
    scenario = queue(
        rate=0.5,
        policies=[room(0)],
        retry={"at_most": 100, "probability": 1, "backoff": {"kind": "exponential", "mean": "10 s"}},
        lasting=6600,
        warm_up=300,
    )
    (orbit,) = replicate(scenario, time_in_orbit)
    expected = truth("M/M/1 linear retrial", "E[time in orbit]", lam=0.5, mu=1.0, theta=0.1)
    assert abs(z(orbit, expected)) < 3.5


def test_retries_multiply_attempts_and_rescue_asks():
    scenario = queue(
        rate=5,
        gpus=50,
        seconds=0.01,
        policies=[{"kind": "shed", "share": 0.9}],
        retry={"at_most": 3, "probability": 1, "backoff": {"kind": "constant", "value": "1 s"}},
        lasting=300,
        warm_up=10,
    )
    attempts, served = replicate(scenario, attempts_an_ask, share_of_asks_served)
    assert abs(z(attempts, attempts_per_ask(0.9, 3))) < 3.5
    assert abs(z(served, truth("retry amplification", "success_prob", p=0.9, retries=3))) < 3.5


def poisson(rate: float, until: float, seed: int) -> np.ndarray:
    """Instants of a Poisson process in [0, until)."""
    random = np.random.default_rng(seed)
    return np.sort(random.uniform(0, until, random.poisson(rate * until)))


def test_gcra_grants_what_theory_says_of_poisson_requests():
    for p, metrics in truths("GCRA / token bucket with Poisson arrivals"):
        # The limiter starts with a full burst: 100 s of warm-up make it forget.
        accepted, offered = [], []
        for seed in SEEDS:
            times = poisson(p["lam"], 4100, seed)
            limits = {"rate": p["rate"], "burst": p["burst"]}
            accepted.append(granted(times, **limits) - granted(times[times < 100], **limits))
            offered.append((times >= 100).sum())
        assert abs(z(np.array(accepted) / np.array(offered), metrics["P_accept"])) < 3.5


def test_a_quota_grants_the_lesser_of_it_and_poisson_demand():
    days = 300
    for p, metrics in truths("quota of N per window, Poisson demand"):
        use = [granted(poisson(p["m"], days, seed), quota=p["N"], window=1.0) / days for seed in SEEDS]
        assert abs(z(np.array(use), metrics["E_accepted_per_user_window"])) < 3.5
