"""Overload that outlives its cause: how often a run recovers, against a reference simulation of the same experiment.

One row of the reference cannot be told in this model: that a late answer to any attempt counts (here it is worth
nothing to who has left).
"""

import pytest

from sim.validation.overload import CASES, rows_of
from sim.validation.study import AGREES

A = [name for name, case in CASES.items() if case.experiment == "A"]


@pytest.mark.parametrize("name", A)
def test_experiment_a_recovers_as_often_as_the_reference(name):
    row = rows_of(None, name, "compiled", lambda share: None)[0]
    assert row.fits == AGREES, row.note
