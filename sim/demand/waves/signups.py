"""Signup instants of a wave, by inverting its cumulative rate.

The instants are the points of a Poisson process of rate 1 put through the inverse of the cumulative: exact for any
rate, however steep, where drawing gap after gap at the rate of the moment starts a surge late. A taller wave brings the
same people earlier. A wave of an exact number of people takes as many points, given that the process has no more: the
k-th of n comes at the share S(k) / S(n + 1) of the total, S the sums of exponential gaps (Devroye 1986, V.2.3).
"""

import math
from typing import Annotated

import numpy as np
from pydantic import Field

from sim.demand.season import Pulse
from sim.demand.waves.attention import Relaxation, Sir
from sim.demand.waves.callers import Callers
from sim.demand.waves.curves import Bass, Exponential, Logistic, Ramp, Spike, Steady, Weibull
from sim.demand.waves.hawkes import Hawkes
from sim.demand.waves.piecewise import Piecewise
from sim.demand.waves.standing import Standing
from sim.demand.waves.wave import Floats, Wave
from sim.model.streams import SIGNUP, series

PART = 2**48  # names the draw by which a part of a person comes
ROUNDING = 1e-9  # people: a third of twelve people in a slice are four

AnyWave = Annotated[
    Steady
    | Spike
    | Weibull
    | Bass
    | Logistic
    | Exponential
    | Ramp
    | Relaxation
    | Sir
    | Hawkes
    | Piecewise
    | Callers
    | Standing,
    Field(discriminator="kind"),
]


def wave_instants(
    wave: AnyWave, number: int, *, begins: float, horizon: float, scale: float, seed: int, pulse: Pulse | None = None
) -> Floats:
    """Sorted instants in [0, horizon) at which the people of one wave arrive, for a slice `scale` of the people.

    `number` is the wave's place in the scenario and names its random stream; pulse: a factor on the rate.
    """
    scale = scale * wave.times
    if scale == 0:
        return np.empty(0)
    own = wave.uninvited()
    reached = counted(own, number, begins, seed, scale, pulse) if own.exact else None
    if reached is None:
        whole = float(own.cumulative(max(horizon - begins, 0.0))) if pulse is None else pulse.expected(own, begins)
        expected = scale * whole
        enough = int(expected + 8.0 * math.sqrt(expected) + 20)
        reached = np.cumsum(-np.log(series(seed, SIGNUP, number, 0, enough))) / scale
    instants = begins + own.inverse(reached) if pulse is None else pulse.instants(own, begins, reached)
    instants = wave.followed(instants, number=number, horizon=horizon, seed=seed)
    # Instants ascend, but for inf at the end; those before the scenario's start are not part of the run.
    return instants[(instants >= 0) & (instants < horizon)]


def counted(wave: Wave, number: int, begins: float, seed: int, scale: float, pulse: Pulse | None) -> Floats:
    """The people of an exact wave, as places on its cumulative; a part of a person comes with that probability."""
    total = float(wave.cumulative(np.inf))
    if pulse is not None:  # after the run the factor is 1
        total += pulse.expected(wave, begins) - float(wave.cumulative(pulse.edges[-1] - begins))
    whole, part = divmod(scale * total + ROUNDING, 1.0)
    people = int(whole) + int(series(seed, SIGNUP, number, PART, 1)[0] < part)
    sums = np.cumsum(-np.log(series(seed, SIGNUP, number, 0, people + 1)))
    return total * sums[:-1] / sums[-1]
