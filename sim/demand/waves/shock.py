"""How attention fades after a shock, or rises and falls around a peak: a power law of time."""

from typing import Annotated, Literal, Self

import numpy as np
import scipy
from numpy.typing import ArrayLike
from pydantic import Field, model_validator

from sim.demand.waves.wave import Floats, People, Span, Wave, clipped
from sim.schema import sourced
from sim.units import Plain, Seconds


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
