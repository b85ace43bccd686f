"""From a record of power and temperature to the three numbers that the policy `thermal throttling` takes."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares


@dataclass(frozen=True)
class Heat:
    """A GPU as one heat capacity: C dT/dt = P - (T - ambient) / R."""

    ambient: float  # degrees Celsius at no power
    resistance: float  # degrees per watt
    time_constant: float  # seconds, R C
    error: float  # root mean square of the fit, degrees


def heat_of(seconds: np.ndarray, watts: np.ndarray, degrees: np.ndarray) -> Heat:
    """The least-squares fit of that equation, solved exactly between samples, to a temperature record.

    Arrays of one length, in order of time; power is that of the interval before each sample.
    """

    def off(parameters: np.ndarray) -> np.ndarray:
        ambient, resistance, time_constant = parameters
        found = np.empty_like(degrees, dtype=float)
        found[0] = degrees[0]
        for k in range(1, len(degrees)):
            steady = ambient + resistance * watts[k]
            decay = np.exp(-(seconds[k] - seconds[k - 1]) / time_constant)
            found[k] = steady + (found[k - 1] - steady) * decay
        return found - degrees

    bounds = ([-20.0, 1e-4, 1.0], [80.0, 1.0, 3600.0])
    fitted = least_squares(off, x0=[30.0, 0.05, 30.0], bounds=bounds, x_scale=[10.0, 0.01, 10.0])
    ambient, resistance, time_constant = (float(value) for value in fitted.x)
    return Heat(ambient, resistance, time_constant, float(np.sqrt(np.mean(fitted.fun**2))))
