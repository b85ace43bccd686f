"""The heat of a GPU: known parameters are recovered from a record, and a record is summed up in sentences."""

import math

import numpy as np
import pytest

from sim.profile.measure.heat import heat_of


def test_the_parameters_of_a_record_made_from_the_equation_are_recovered():
    seconds = np.arange(0.0, 300.0)
    watts = np.where((seconds > 20) & (seconds < 200), 690.0, 120.0)
    degrees = np.empty_like(seconds)
    degrees[0] = 28.0 + 0.05 * 120.0
    for k in range(1, len(seconds)):  # the exact solution of C dT/dt = P - (T - ambient) / R over one second
        steady = 28.0 + 0.05 * watts[k]
        degrees[k] = steady + (degrees[k - 1] - steady) * math.exp(-1.0 / 25.0)
    found = heat_of(seconds, watts, np.round(degrees))  # a sensor says whole degrees
    assert found.ambient == pytest.approx(28.0, abs=0.5)
    assert found.resistance == pytest.approx(0.05, rel=0.02)
    assert found.time_constant == pytest.approx(25.0, rel=0.05)
    assert found.error < 0.5  # rounding is uniform: 0.29 rms
