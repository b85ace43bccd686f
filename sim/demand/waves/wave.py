"""The common part of all signup waves: beginning, people, multiple, and a rate over time."""

from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from sim.schema import Strict
from sim.units import Count, Instant, Plain, Rate, Seconds

Floats = NDArray[np.float64]

# Bounds within which no curve overflows: ten people a picosecond, 300 years, more people than there ever were.
FiniteRate = Annotated[Rate, Field(allow_inf_nan=False, le=1e13)]
Span = Annotated[Seconds, Field(ge=1e-3, le=1e10)]
People = Annotated[Count, Field(le=1e13)]


def clipped(t: ArrayLike, high: float = np.inf) -> Floats:
    """Times as an array, none below 0 or above `high`."""
    found: Floats = np.clip(np.asarray(t, dtype=float), 0.0, high)
    return found


class Wave(Strict):
    """A signup wave: when it begins, whom it brings, and by which factor they are multiplied."""

    name: str = ""
    from_: Instant = Field(default=0.0, alias="from", description="when the wave begins")
    account_age: Seconds = Field(
        default=0.0, description="age of the accounts it brings; 0 means that these people sign up"
    )
    times: Annotated[Plain, Field(ge=0, le=1e6)] = Field(
        default=1.0, description="multiplies the people: 5 or 50 to see the effect of a wrong forecast"
    )
    tiers: list[str] = Field(default=[], description="only people of these tiers, in their proportions; all if empty")

    @property
    def exact(self) -> bool:
        """Whether exactly the expected number of people come, and not a Poisson number of that mean."""
        return False

    @property
    def newcomers(self) -> bool:
        """Whether these people sign up (and so can be put on the waitlist), or have accounts already."""
        return self.account_age == 0

    def rate_at(self, t: ArrayLike) -> Floats:
        """Expected people a second, t seconds after the wave began (0 before); an array shaped like t."""
        raise NotImplementedError

    def cumulative(self, t: ArrayLike) -> Floats:
        """Expected people in the first t seconds: the integral of the rate, shaped like t."""
        raise NotImplementedError

    def inverse(self, n: ArrayLike) -> Floats:
        """When the n-th person is expected, in seconds after the wave began; inf where fewer ever come."""
        raise NotImplementedError

    def uninvited(self) -> "Wave":
        """The part of the wave that comes independently of each other: here all of it."""
        return self

    def followed(self, instants: Floats, *, number: int, horizon: float, seed: int) -> Floats:
        """These people and everybody they bring until the horizon, in order of time: here they bring nobody."""
        return instants


class Drawn(Wave):
    """A wave that follows a curve of another kind, its `line`."""

    @property
    def line(self) -> Any:
        raise NotImplementedError

    def rate_at(self, t: ArrayLike) -> Floats:
        return self.line.rate_at(t)

    def cumulative(self, t: ArrayLike) -> Floats:
        return self.line.cumulative(t)

    def inverse(self, n: ArrayLike) -> Floats:
        return self.line.inverse(n)
