"""Signup instants of a wave, by inverting its cumulative rate.

The instants are the points of a Poisson process of rate 1 put through the inverse of the cumulative: exact for any
rate, however steep, where drawing gap after gap at the rate of the moment starts a surge late. A taller wave brings the
same people earlier.
"""

import math
from typing import Annotated

import numpy as np
from pydantic import Field

from sim.demand.season import Pulse
from sim.demand.waves.curves import Bass, Exponential, Logistic, Ramp, Spike, Steady, Weibull
from sim.demand.waves.epidemic import Sir
from sim.demand.waves.hawkes import Hawkes
from sim.demand.waves.piecewise import Piecewise
from sim.demand.waves.shock import Relaxation
from sim.demand.waves.wave import Floats
from sim.model.streams import SIGNUP, series

AnyWave = Annotated[
    Steady | Spike | Weibull | Bass | Logistic | Exponential | Ramp | Relaxation | Sir | Hawkes | Piecewise,
    Field(discriminator="kind"),
]


def wave_instants(
    wave: AnyWave,
    number: int,
    *,
    begins: float,
    horizon: float,
    scale: float,
    seed: int,
    pulse: Pulse | None = None,
) -> Floats:
    """Sorted instants in [0, horizon) at which the people of one wave arrive, for a slice `scale` of the people.

    `number` is the wave's place in the scenario and names its random stream; pulse: a factor on the rate.
    """
    scale = scale * wave.times
    if scale == 0:
        return np.empty(0)
    own = wave.uninvited()
    whole = float(own.cumulative(max(horizon - begins, 0.0))) if pulse is None else pulse.expected(own, begins)
    expected = scale * whole
    enough = int(expected + 8.0 * math.sqrt(expected) + 20)
    reached = np.cumsum(-np.log(series(seed, SIGNUP, number, 0, enough))) / scale
    instants = begins + own.inverse(reached) if pulse is None else pulse.instants(own, begins, reached)
    instants = wave.followed(instants, number=number, horizon=horizon, seed=seed)
    # Instants ascend, but for inf at the end; those before the scenario's start are not part of the run.
    return instants[(instants >= 0) & (instants < horizon)]
