"""Waves of attention: it fades after a shock, rises and falls around a peak, or spreads like an infection."""

from functools import cached_property
from typing import Annotated, Literal, Self

import numpy as np
import scipy
from numpy.typing import ArrayLike
from pydantic import Field, model_validator

from sim.demand.waves.piecewise import Polyline
from sim.demand.waves.wave import Drawn, Floats, People, Span, Wave, clipped
from sim.schema import sourced
from sim.units import Count, Plain, Seconds

NODES = 8001  # of the curve: straight lines between them are within 1e-4 of it
FADED = 1e-6  # of the most people infectious at once: where the curve ends


class Relaxation(Wave):
    """The rate is A0 / (1 + |t - peak| / cutoff)^exponent from the beginning until it has lasted; A0 from `people`.

    Crane and Sornette (2008, PNAS 105:15649) distinguish three classes by the exponent, with theta = 0.4 of human
    response: 1 + theta = 1.4, a shock that nobody passes on (press); 1 - theta = 0.6, a shock that is shared (a
    launch); 1 - 2 theta = 0.2, word of mouth alone, which grows as it fades: give `peak` a time.
    """

    kind: Literal["relaxation"]
    people: People
    lasting: Span
    cutoff: Span = Field(description="how long the peak stays high: minutes for a news item, 6-24 h for a launch")
    exponent: Annotated[Plain, Field(ge=0, le=10)] = sourced(
        0.6,
        "1.4 press alone, 0.6 a launch that is shared, 0.2 word of mouth alone (with 'peak')",
        published="Crane and Sornette 2008, theta = 0.4",
    )
    peak: Seconds = Field(default=0.0, description="when it is highest, after the wave began; before, it mirrors after")

    @model_validator(mode="after")
    def peak_is_inside(self) -> Self:
        if self.peak >= self.lasting:
            raise ValueError("'peak' must lie before the end ('lasting')")
        return self

    def side(self, t: ArrayLike) -> Floats:
        """The integral of (1 + s / cutoff)^-exponent over 0 < s < t: Box and Cox's function of 1 + t / cutoff."""
        return np.asarray(
            self.cutoff * scipy.special.boxcox1p(clipped(t) / self.cutoff, 1.0 - self.exponent), dtype=float
        )

    def side_inverse(self, x: ArrayLike) -> Floats:
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            t = self.cutoff * scipy.special.inv_boxcox1p(np.asarray(x, dtype=float) / self.cutoff, 1.0 - self.exponent)
        return np.where(np.isnan(t), np.inf, t)  # beyond the last person, by rounding

    @property
    def height(self) -> float:
        """A0: people a second at the peak."""
        return self.people / float(self.side(self.peak) + self.side(self.lasting - self.peak))

    def rate_at(self, t: ArrayLike) -> Floats:
        t = np.asarray(t, dtype=float)
        away = np.abs(clipped(t, self.lasting) - self.peak)
        rate = self.height * (1.0 + away / self.cutoff) ** -self.exponent
        return np.where((t >= 0) & (t < self.lasting), rate, 0.0)

    def cumulative(self, t: ArrayLike) -> Floats:
        away = clipped(t, self.lasting) - self.peak
        return self.height * (self.side(self.peak) + np.sign(away) * self.side(np.abs(away)))

    def inverse(self, n: ArrayLike) -> Floats:
        n = np.asarray(n, dtype=float)
        inside = n < self.people
        away = np.where(inside, n, 0.0) / max(self.height, 1e-300) - self.side(self.peak)
        t = self.peak + np.sign(away) * self.side_inverse(np.abs(away))
        return np.where(inside, clipped(t, self.lasting), np.inf)


class Sir(Drawn):
    """Kermack and McKendrick (1927): S' = -beta S I / people, I' = beta S I / people - gamma I; the rate is -S'.

    A person is infectious for 1 / gamma on average and in that time brings beta / gamma = `k_factor` others, as long as
    nearly nobody has joined. The first ones are there when the wave begins, and do not count among those who come.
    """

    kind: Literal["sir"]
    people: Annotated[People, Field(ge=1)] = Field(description="the market, including those infectious at first")
    first: Annotated[Count, Field(ge=1e-3)] = Field(default=1.0, description="infectious when the wave begins")
    k_factor: Annotated[Plain, Field(ge=0.01, le=20)] = Field(description="people that one person brings at first")
    infectious: Annotated[Span, Field(le=1e9)] = Field(description="how long a person brings others, on average")

    ascending = ("first", "people")

    @cached_property
    def line(self) -> Polyline:
        """The solved curve, at evenly spaced times until the infectious have faded."""
        # Time in units of 1 / gamma and logarithms of the shares: neither can become negative.
        start = np.log([1.0 - self.first / self.people, self.first / self.people])
        highest = max(float(np.exp(start[1])), 1.0 - (1.0 + np.log(self.k_factor)) / self.k_factor)
        if self.k_factor <= 1:
            highest = float(np.exp(start[1]))

        def change(_: float, y: Floats) -> list[float]:
            return [-self.k_factor * np.exp(y[1]), self.k_factor * np.exp(y[0]) - 1.0]

        def faded(_: float, y: Floats) -> float:
            return float(y[1] - np.log(FADED * highest))

        faded.terminal, faded.direction = True, -1  # type: ignore[attr-defined]
        solved = scipy.integrate.solve_ivp(
            change, (0.0, 1e6), start, "LSODA", events=faded, dense_output=True, rtol=1e-9, atol=1e-9
        )
        times = np.linspace(0.0, solved.t[-1], NODES)
        assert solved.sol is not None
        s, i = np.exp(solved.sol(times))
        rates = self.people * self.k_factor * s * i / self.infectious
        return Polyline(np.append(times, times[-1]) * self.infectious, np.append(rates, 0.0))
