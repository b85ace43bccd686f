"""The same in the size of images: 64 GPUs of 4 s an image; how often a run recovers, against a reference simulation."""

from typing import Any

import pytest

from sim.policies.playbook import Timed
from tests.metastable import check, experiment_d, policy

JITTER_D: dict[str, Any] = {
    "backoff": {"kind": "uniform", "low": "0 s", "high": "10 s"},
    "growth": 2,
    "longest": "300 s",
}
BUDGET = {"kind": "retry budget", "ratio": 0.1, "bucket": 10}

# name, scenario, recovered of 10, attempts a second at the end: a reference simulation of each.
D = [
    ("bound 2880", experiment_d(), 0, 31.67),
    ("bound 640", experiment_d(640), 10, 7.89),
    ("bound 860", experiment_d(860), 10, 7.89),
    ("bound 900", experiment_d(900), 10, 7.89),
    ("bound 960", experiment_d(960), 0, 31.67),
    ("budget", experiment_d(policies=policy(**BUDGET)), 10, 7.89),
    ("last in first out", experiment_d(policies=policy(kind="last in first out")), 10, 7.89),
    ("expiry", experiment_d(policies=policy(kind="expiry", after="60 s", foresight=False)), 0, 31.67),
    ("expiry with foresight", experiment_d(policies=policy(kind="expiry", after="60 s")), 10, 7.89),
    ("full jitter", experiment_d(**JITTER_D), 0, 32.0),
    ("base load 3.5", experiment_d(base=3.5), 10, 3.55),
]


@pytest.mark.parametrize(("name", "scenario", "of_reference", "attempts"), D, ids=[row[0] for row in D])
def test_experiment_d_recovers_as_often_as_the_reference(name, scenario, of_reference, attempts):
    check(scenario, of_reference, 10)


class Fleet:
    """So many GPUs in service."""

    def __init__(self, gpus):
        self.gpus = gpus

    def act(self, telemetry, controls):
        controls.set_pool(fleet=self.gpus)


@pytest.mark.parametrize(("gpus", "of_10"), [(128, 0), (192, 10)])
def test_a_fleet_must_grow_by_more_than_lam_times_1_plus_r_over_c(gpus, of_10):
    """8 (1 + 3) / 16 = 2: twice as many GPUs from the end of the spike do not end it, thrice as many do."""
    scenario = experiment_d()
    check(scenario, of_10, 10, [*scenario.playbooks["only"], Timed(Fleet(gpus), begins=1500.0)])
