"""Signups that spread like an infection: people who have joined bring others for a while, until few are left."""

from functools import cached_property
from typing import Annotated, Literal

import numpy as np
import scipy
from pydantic import Field

from sim.demand.waves.piecewise import Polyline
from sim.demand.waves.wave import Drawn, Floats, People, Span
from sim.units import Count, Plain

NODES = 8001  # of the curve: straight lines between them are within 1e-4 of it
FADED = 1e-6  # of the most people infectious at once: where the curve ends


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
