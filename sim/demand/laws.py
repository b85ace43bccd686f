"""Distributions as scenarios write them: of times, and of numbers of requests; the engines draw from their laws."""

import math
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from sim.model.chance import (
    CONSTANT,
    EXPONENTIAL,
    FIXED,
    LOGNORMAL,
    NEGATIVE_BINOMIAL,
    NEVER,
    UNIFORM,
    WEIBULL,
    quantile,
)
from sim.schema import Strict
from sim.units import Count, Plain, Seconds, Whole


class Law(NamedTuple):
    """A distribution as sim.model.chance.sample takes it."""

    kind: int
    a: float
    b: float

    @property
    def mean(self) -> float:
        """The mean; inf for never."""
        if self.kind == UNIFORM:
            return (self.a + self.b) / 2
        if self.kind == LOGNORMAL:
            return self.a * math.exp(self.b**2 / 2)
        if self.kind == WEIBULL:
            return self.a * math.gamma(1 + 1 / self.b)
        return self.a  # of never: inf

    @property
    def median(self) -> float:
        """The median; inf for never."""
        return float(quantile.direct(*self, 0.5))


class Never(Strict):
    """Infinitely long."""

    kind: Literal["never"]

    @property
    def law(self) -> Law:
        return Law(NEVER, math.inf, 0.0)


class Constant(Strict):
    """Always the same."""

    kind: Literal["constant"]
    value: Seconds

    @property
    def law(self) -> Law:
        return Law(CONSTANT, self.value, 0.0)


class Uniform(Strict):
    """Uniform from `low` to `high`."""

    kind: Literal["uniform"]
    low: Annotated[Seconds, Field(allow_inf_nan=False)]
    high: Annotated[Seconds, Field(allow_inf_nan=False)]

    not_descending = ("low", "high")

    @property
    def law(self) -> Law:
        return Law(UNIFORM, self.low, self.high)


class Exponential(Strict):
    """Memoryless, of a given mean."""

    kind: Literal["exponential"]
    mean: Seconds

    @property
    def law(self) -> Law:
        return Law(EXPONENTIAL, self.mean, 0.0)


class Lognormal(Strict):
    """The logarithm is normal: a median, and sigma of the logarithm."""

    kind: Literal["lognormal"]
    median: Seconds
    sigma: Annotated[Plain, Field(ge=0)]

    @property
    def law(self) -> Law:
        return Law(LOGNORMAL, self.median, self.sigma)


class WeibullTime(Strict):
    """Weibull: shape below 1 has a hazard that falls with time."""

    kind: Literal["weibull"]
    scale: Seconds
    shape: Annotated[Plain, Field(gt=0)]

    @property
    def law(self) -> Law:
        return Law(WEIBULL, self.scale, self.shape)


Time = Annotated[Never | Constant | Uniform | Exponential | Lognormal | WeibullTime, Field(discriminator="kind")]


class CountLaw(NamedTuple):
    """A distribution of whole numbers from 1 up, as sim.model.chance.count_of takes it."""

    kind: int
    mean: float
    r: float
    at_most: int


class FixedCount(Strict):
    """Always the same number."""

    kind: Literal["fixed"]
    requests: Annotated[Whole, Field(ge=1, le=1_000_000)]

    @property
    def law(self) -> CountLaw:
        return CountLaw(FIXED, float(self.requests), 1.0, self.requests)

    @property
    def average(self) -> float:
        return float(self.requests)


class NegativeBinomial(Strict):
    """1 + a negative binomial of dispersion r: many people make one request, a few make very many."""

    kind: Literal["negative binomial"]
    mean: Annotated[Count, Field(ge=1)] = Field(description="mean requests, the first one counted")
    r: Annotated[Plain, Field(gt=0)]
    at_most: Annotated[Whole, Field(ge=1, le=1000)] = 500

    @property
    def law(self) -> CountLaw:
        return CountLaw(NEGATIVE_BINOMIAL, self.mean, self.r, self.at_most)

    @property
    def average(self) -> float:
        """The mean without `at_most`."""
        return self.mean


Requests = Annotated[FixedCount | NegativeBinomial, Field(discriminator="kind")]
