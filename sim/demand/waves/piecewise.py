"""A signup rate drawn by hand or by a table: points in time, joined by straight lines or by steps."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, model_validator

from sim.demand.waves.wave import Drawn, FiniteRate, Floats, clipped
from sim.units import Seconds


@dataclass(frozen=True)
class Polyline:
    """A rate by its values at some times (ascending, seconds): 0 before the first, and the last goes on forever.

    Two values at one time are a jump. held: steps in place of lines. Cumulative and inverse are exact.
    """

    times: Floats
    rates: Floats
    held: bool = False

    @cached_property
    def gaps(self) -> Floats:
        return np.append(np.diff(self.times), np.inf)

    @cached_property
    def slopes(self) -> Floats:
        rise = np.append(np.diff(self.rates), 0.0)
        return np.where((self.gaps > 0) & (not self.held), rise / np.where(self.gaps > 0, self.gaps, 1.0), 0.0)

    @cached_property
    def totals(self) -> Floats:
        """People by each of the times."""
        within = self.gaps[:-1] * (self.rates[:-1] + 0.5 * self.slopes[:-1] * self.gaps[:-1])
        return np.append(0.0, np.cumsum(within))

    def rate_at(self, t: ArrayLike) -> Floats:
        t = np.asarray(t, dtype=float)
        k = np.searchsorted(self.times, t, side="right") - 1
        return np.where(k >= 0, self.rates[k] + self.slopes[k] * (t - self.times[k]), 0.0)

    def cumulative(self, t: ArrayLike) -> Floats:
        at = np.maximum(clipped(t), self.times[0])
        k = np.searchsorted(self.times, at, side="right") - 1
        since = at - self.times[k]
        return self.totals[k] + since * (self.rates[k] + 0.5 * self.slopes[k] * since)

    def inverse(self, n: ArrayLike) -> Floats:
        n = np.asarray(n, dtype=float)
        k = np.searchsorted(self.totals, n, side="right") - 1
        more, rate = n - self.totals[k], self.rates[k]
        root = np.sqrt(np.maximum(rate**2 + 2.0 * self.slopes[k] * more, 0.0))
        with np.errstate(over="ignore"):
            since = np.where(more > 0, 2.0 * more / np.maximum(rate + root, 1e-300), 0.0)
        never = (k == len(self.times) - 1) & (self.rates[-1] == 0)
        return np.where(never, np.inf, self.times[k] + np.minimum(since, self.gaps[k]))


class Piecewise(Drawn):
    """A rate through given points: linear from one to the next, or held until the next.

    Before the first point nobody comes; the last rate goes on forever, so end with a rate of 0.
    """

    kind: Literal["piecewise"]
    points: list[tuple[Annotated[Seconds, Field(le=1e10)], FiniteRate]] = Field(
        min_length=1, max_length=100_000, description="[time after the wave began, people per time], in order of time"
    )
    join: Literal["linear", "held"] = "linear"

    @model_validator(mode="after")
    def in_order(self) -> Self:
        times = [time for time, _ in self.points]
        if any(later < earlier or earlier < later < earlier + 1e-3 for earlier, later in pairwise(times)):
            raise ValueError("points: expected times in ascending order, a millisecond apart or equal (a jump)")
        return self

    @cached_property
    def line(self) -> Polyline:
        times, rates = np.array(self.points, dtype=float).T
        return Polyline(times, rates, held=self.join == "held")
