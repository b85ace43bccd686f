"""Signup instants: people of a wave arrive where the cumulative rate says so, by inverting it.

The instants are the points of a Poisson process of rate 1 put through the inverse of the cumulative: exact for any
rate, however steep, where drawing gap after gap at the rate of the moment starts a surge late. A taller wave brings the
same people earlier.
"""

import math
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from sim.demand.curves import Bass, Spike, Steady, Weibull
from sim.streams import SIGNUP, series

Floats = NDArray[np.float64]

AnyWave = Annotated[Steady | Spike | Weibull | Bass, Field(discriminator="kind")]


def wave_instants(wave: AnyWave, number: int, *, begins: float, horizon: float, scale: float, seed: int) -> Floats:
    """Sorted instants in [0, horizon) at which the people of one wave arrive, for a slice `scale` of the people.

    `number` is the wave's place in the scenario and names its random stream.
    """
    scale = scale * wave.times
    if scale == 0:
        return np.empty(0)
    expected = scale * float(wave.cumulative(max(horizon - begins, 0.0)))
    enough = int(expected + 8.0 * math.sqrt(expected) + 20)
    steps = -np.log(series(seed, SIGNUP, number, 0, enough))
    instants = begins + wave.inverse(np.cumsum(steps) / scale)
    # Instants ascend, but for inf at the end; those before the scenario's start are not part of the run.
    return instants[(instants >= 0) & (instants < horizon)]
