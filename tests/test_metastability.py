"""Overload that outlives its cause: how often a run recovers, against a reference simulation of the same experiment."""

import numpy as np
import pytest

from sim.engine.simulate import simulate
from sim.validation.study import AGREES
from tests.studies.overload.spikes import at_the_end, experiment_a
from tests.studies.overload.study import CASES, rows_of

A = [name for name, case in CASES.items() if case.experiment == "A"]


@pytest.mark.parametrize("name", A)
def test_experiment_a_recovers_as_often_as_the_reference(name):
    row = rows_of(None, name, "compiled", lambda share: None)[0]
    assert row.fits == AGREES, row.note


def test_where_any_answer_counts_the_service_is_slow_and_alive():
    """Attempts and images a second at the end, as of the reference's 20 runs; their spread is taken to be ours."""
    ends = np.array([at_the_end(simulate(experiment_a(late=True), seed=seed)) for seed in range(1, 21)])
    error = ends.std(axis=0, ddof=1) * np.sqrt(2 / len(ends))
    assert abs(ends[:, 1].mean() - 22.51) < 3.5 * error[1]
    assert abs(ends[:, 2].mean() - 4.098) < 3.5 * error[2]
