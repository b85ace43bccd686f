"""The same in the size of images: 64 GPUs of 4 s an image; how often a run recovers, against a reference simulation."""

import pytest

from sim.engine.simulate import simulate
from sim.validation.study import AGREES
from tests.studies.overload.spikes import experiment_d, recovered
from tests.studies.overload.study import CASES, fleet, rows_of

D = [name for name, case in CASES.items() if case.experiment == "D"]


@pytest.mark.parametrize("name", D)
def test_experiment_d_recovers_as_often_as_the_reference(name):
    row = rows_of(None, name, "compiled", lambda share: None)[0]
    assert row.fits == AGREES, row.note


def test_a_fleet_must_grow_by_more_than_lam_times_1_plus_r_over_c():
    """8 (1 + 3) / 16 = 2: twice as many GPUs from the end of the spike do not end it (above), thrice as many do."""
    scenario = experiment_d(policies=fleet(192))
    assert all(recovered(simulate(scenario, seed=seed)) for seed in range(1, 11))
