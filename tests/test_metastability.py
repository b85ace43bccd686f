"""Overload that outlives its cause: how often a run recovers, against a reference simulation of the same experiment."""

from typing import Any

import numpy as np
import pytest

from sim.simulate import simulate
from tests.metastable import at_the_end, check, experiment_a, policy


def shed(share):
    return [{"policy": {"kind": "shed", "share": share, "final": True}, "from": "1200 s", "until": "1260 s"}]


JITTER_A: dict[str, Any] = {"backoff": {"kind": "uniform", "low": "0 s", "high": "1 s"}, "growth": 2, "longest": "60 s"}
BUDGET = {"kind": "retry budget", "ratio": 0.1, "bucket": 10}

# name, scenario, recovered of 20, attempts a second at the end: a reference simulation of each.
A = [
    ("bound 150", experiment_a(), 0, 30.02),
    ("bound 35", experiment_a(35), 20, 4.98),
    ("told at once, and trying at once", experiment_a(tells=True), 0, 30.05),
    ("an answer to any attempt counts", experiment_a(late=True), 0, 22.51),
    ("budget by successes", experiment_a(policies=policy(**BUDGET, per="success")), 20, 5.03),
    ("budget by first attempts", experiment_a(policies=policy(**BUDGET, per="first attempt")), 20, 5.02),
    ("full jitter", experiment_a(**JITTER_A), 0, 29.64),
    ("last in first out", experiment_a(policies=policy(kind="last in first out")), 20, 5.02),
    ("expiry", experiment_a(policies=policy(kind="expiry", after="5 s", foresight=False)), 20, 5.03),
    ("expiry with foresight", experiment_a(policies=policy(kind="expiry", after="5 s")), 20, 5.04),
    (
        "folly's CoDel",
        experiment_a(policies=policy(kind="codel", target="1 s", interval="10 s"), tells=True),
        20,
        5.03,
    ),
    ("adaptive throttle, 2", experiment_a(policies=policy(kind="adaptive throttle", k=2)), 20, 5.06),
    ("adaptive throttle, 1.1", experiment_a(policies=policy(kind="adaptive throttle", k=1.1)), 20, 5.02),
    ("90 % shed for a minute", experiment_a(policies=shed(0.9)), 20, 5.0),
    ("half shed for a minute", experiment_a(policies=shed(0.5)), 20, 5.04),
    ("bound 45", experiment_a(45), 20, 5.02),
    ("bound 50", experiment_a(50), 20, 5.01),
    ("bound 55", experiment_a(55), 20, 4.99),
    ("bound 60", experiment_a(60), 10, 15.27),
    ("bound 80", experiment_a(80), 0, 30.01),
    ("base load 1.5", experiment_a(base=1.5), 20, 1.48),
    ("base load 2.5", experiment_a(base=2.5), 0, 15.12),
    ("spike of 60 s", experiment_a(lasting=60.0), 0, 30.0),
    ("spike of 20 s", experiment_a(lasting=20.0), 0, 29.99),
    ("spike of 10 s", experiment_a(lasting=10.0), 12, 15.0),
]


@pytest.mark.parametrize(("name", "scenario", "of_reference", "attempts"), A, ids=[row[0] for row in A])
def test_experiment_a_recovers_as_often_as_the_reference(name, scenario, of_reference, attempts):
    check(scenario, of_reference, 20)


def test_where_any_answer_counts_the_service_is_slow_and_alive():
    """Attempts and images a second at the end, as of the reference's 20 runs; their spread is taken to be that of ours."""
    ends = np.array([at_the_end(simulate(experiment_a(late=True), seed=seed)) for seed in range(1, 21)])
    error = ends.std(axis=0, ddof=1) * np.sqrt(2 / len(ends))
    assert abs(ends[:, 1].mean() - 22.51) < 3.5 * error[1]
    assert abs(ends[:, 2].mean() - 4.098) < 3.5 * error[2]
