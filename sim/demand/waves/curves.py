"""Signup curves in closed form: each has its rate, its cumulative and the inverse, in seconds since it began."""

import math
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, model_validator

from sim.demand.waves.wave import FiniteRate, Floats, People, Span, Wave, clipped
from sim.units import Count, Plain, Rate, Seconds

MOST = 1e15  # people that a curve without a market may bring
LARGEST = 600.0  # exponent whose exponential is finite, also times any rate


class Steady(Wave):
    """A constant rate, for as long as it lasts."""

    kind: Literal["steady"]
    rate: Annotated[Rate, Field(allow_inf_nan=False)] = Field(description="people per time, like '1M per 5 days'")
    lasting: Seconds = Field(default=math.inf, json_schema_extra={"default": "never ends"})

    def rate_at(self, t: ArrayLike) -> Floats:
        t = np.asarray(t, dtype=float)
        return np.where((t >= 0) & (t < self.lasting), self.rate, 0.0)

    def cumulative(self, t: ArrayLike) -> Floats:
        return self.rate * np.clip(np.asarray(t, dtype=float), 0.0, self.lasting)

    def inverse(self, n: ArrayLike) -> Floats:
        if self.rate == 0:
            return np.full(np.shape(n), np.inf)
        t = np.asarray(n, dtype=float) / self.rate
        return np.where(t < self.lasting, t, np.inf)


class Spike(Wave):
    """People who come evenly over a stretch of time: a step up and down again. Exactly that many come.

    Their instants are those of a Poisson process of which this total is known: independent and uniform. Where a season
    varies the rate it varies the total too: a spike in the busy hours brings more than `people`, one at night fewer.
    """

    kind: Literal["spike"]
    people: Count
    lasting: Annotated[Seconds, Field(ge=1e-3, allow_inf_nan=False)]

    @property
    def exact(self) -> bool:
        return True

    def rate_at(self, t: ArrayLike) -> Floats:
        t = np.asarray(t, dtype=float)
        return np.where((t >= 0) & (t < self.lasting), self.people / self.lasting, 0.0)

    def cumulative(self, t: ArrayLike) -> Floats:
        return self.people * np.clip(np.asarray(t, dtype=float) / self.lasting, 0.0, 1.0)

    def inverse(self, n: ArrayLike) -> Floats:
        n = np.asarray(n, dtype=float)
        with np.errstate(over="ignore"):
            return np.where(n < self.people, n * (self.lasting / max(self.people, 1e-300)), np.inf)


class Weibull(Wave):
    """Saturation N(t) = people (1 - exp(-(t / scale)^shape)).

    The curve that fits Threads' launch best of those tried: shape 1.37, scale 35.4 h, rms error 2.4 % over six points.
    """

    kind: Literal["weibull"]
    people: Count
    scale: Annotated[Seconds, Field(ge=1e-3, allow_inf_nan=False)]
    shape: Annotated[Plain, Field(ge=1, le=20)] = 1.37

    def rate_at(self, t: ArrayLike) -> Floats:
        x = np.maximum(np.asarray(t, dtype=float), 0.0) / self.scale
        rate = self.people * self.shape / self.scale * x ** (self.shape - 1) * np.exp(-(x**self.shape))
        return np.where(np.asarray(t) >= 0, rate, 0.0)

    def cumulative(self, t: ArrayLike) -> Floats:
        x = np.maximum(np.asarray(t, dtype=float), 0.0) / self.scale
        return -self.people * np.expm1(-(x**self.shape))

    def inverse(self, n: ArrayLike) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            share = np.minimum(np.asarray(n, dtype=float) / self.people, 1.0)
            return self.scale * (-np.log1p(-share)) ** (1.0 / self.shape)


class Bass(Wave):
    """Diffusion by innovation p and imitation q (Bass 1969): dN/dt = (p + q N / people) (people - N)."""

    kind: Literal["bass"]
    people: Count
    innovation: Annotated[Rate, Field(allow_inf_nan=False, ge=1e-12, le=1e3)] = Field(
        description="p, like '0.0112 per hour'"
    )
    imitation: Annotated[Rate, Field(allow_inf_nan=False, gt=0, le=1e3)] = Field(
        description="q, like '0.0905 per hour'"
    )

    def rate_at(self, t: ArrayLike) -> Floats:
        n = self.cumulative(t)
        rate = (self.innovation + self.imitation * n / max(self.people, 1e-300)) * (self.people - n)
        return np.where(np.asarray(t) >= 0, rate, 0.0)

    def cumulative(self, t: ArrayLike) -> Floats:
        decay = np.exp(-(self.innovation + self.imitation) * np.maximum(np.asarray(t, dtype=float), 0.0))
        return self.people * (1.0 - decay) / (1.0 + self.imitation / self.innovation * decay)

    def inverse(self, n: ArrayLike) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            share = np.minimum(np.asarray(n, dtype=float) / self.people, 1.0)
            ratio = (1.0 + self.imitation / self.innovation * share) / (1.0 - share)
            return np.log(ratio) / (self.innovation + self.imitation)


class Logistic(Wave):
    """Growth by imitation alone, N' = growth N (1 - N / people), counted from when the wave begins (Verhulst 1838).

    With d = exp(-growth t) and A = exp(growth midpoint): N(t) = people (1 - d) / (1 + A d). The rate is highest at the
    midpoint. It is Bass's curve with imitation / innovation = A.
    """

    kind: Literal["logistic"]
    people: People
    growth: Annotated[FiniteRate, Field(ge=1e-12, le=1e3)] = Field(description="early growth, like '0.2 per hour'")
    midpoint: Annotated[Seconds, Field(le=1e10)] = Field(description="when growth is fastest, after the wave began")

    @model_validator(mode="after")
    def begins_above_zero(self) -> Self:
        if self.growth * self.midpoint > 500:
            raise ValueError("'growth' times 'midpoint' must be at most 500: nobody would come at first")
        return self

    def rate_at(self, t: ArrayLike) -> Floats:
        t = np.asarray(t, dtype=float)
        odds = np.exp(np.clip(self.growth * (self.midpoint - t), -LARGEST, LARGEST))
        before = 1.0 + math.exp(-min(self.growth * self.midpoint, LARGEST))
        return np.where(t >= 0, self.people * self.growth * before * (odds / (1.0 + odds)) / (1.0 + odds), 0.0)

    def cumulative(self, t: ArrayLike) -> Floats:
        t = clipped(t)
        odds = np.exp(np.clip(self.growth * (self.midpoint - t), -LARGEST, LARGEST))
        return -self.people * np.expm1(-self.growth * t) / (1.0 + odds)

    def inverse(self, n: ArrayLike) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            share = np.minimum(np.asarray(n, dtype=float) / self.people, 1.0)
            odds = math.exp(min(self.growth * self.midpoint, LARGEST))
            return (np.log1p(odds * share) - np.log1p(-share)) / self.growth


class Exponential(Wave):
    """Growth without a ceiling: the rate is first exp(r t), until it has `lasted` or the `people` have come.

    r = ln 2 / doubling, or from word of mouth: each person brings `k_factor` people once a `cycle`, so that
    r = ln(k_factor) / cycle. A factor below 1 fades away.
    """

    kind: Literal["exponential"]
    first: FiniteRate = Field(description="people per time as the wave begins")
    doubling: Span | None = Field(default=None, description="time in which the rate doubles")
    k_factor: Annotated[Plain, Field(ge=0.01, le=1000)] | None = Field(
        default=None, description="people that one person brings"
    )
    cycle: Span | None = Field(default=None, description="time from one person to the people they bring")
    people: People = Field(default=math.inf, json_schema_extra={"default": "no bound"})
    lasting: Seconds = Field(default=math.inf, json_schema_extra={"default": "until the people are there"})

    @model_validator(mode="after")
    def grows_and_ends(self) -> Self:
        by_factor = (self.k_factor is not None, self.cycle is not None)
        if (self.doubling is not None and any(by_factor)) or (self.doubling is None and not all(by_factor)):
            raise ValueError("expected either 'doubling', or 'k_factor' with 'cycle'")
        if math.isinf(self.people) and math.isinf(self.lasting):
            raise ValueError("expected 'people' or 'lasting': growth must end somewhere")
        if not float(self.cumulative(self.lasting)) <= MOST:
            raise ValueError(f"this grows to more than {MOST:g} people: expected a shorter 'lasting', or 'people'")
        return self

    @property
    def growth(self) -> float:
        """r, a second."""
        if self.doubling is not None:
            return math.log(2.0) / self.doubling
        assert self.k_factor is not None
        assert self.cycle is not None
        return math.log(self.k_factor) / self.cycle

    @property
    def end(self) -> float:
        """When it ends, seconds after it began: after `lasting`, or when the `people` have come."""
        return min(self.lasting, float(self.unbounded_inverse(self.people)))

    def unbounded(self, t: ArrayLike) -> Floats:
        """People by t if nothing stopped it."""
        t = clipped(t, 1e300)
        if self.growth == 0:
            return self.first * t
        return self.first / self.growth * np.expm1(np.minimum(self.growth * t, LARGEST))

    def unbounded_inverse(self, n: ArrayLike) -> Floats:
        """When n people would have come if nothing stopped it."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            each = np.asarray(n, dtype=float) / self.first if self.first > 0 else np.full(np.shape(n), np.inf)
            if self.growth == 0:
                return each
            return np.where(self.growth * each > -1, np.log1p(np.maximum(self.growth * each, -1)) / self.growth, np.inf)

    def rate_at(self, t: ArrayLike) -> Floats:
        t = np.asarray(t, dtype=float)
        rate = self.first * np.exp(np.minimum(self.growth * clipped(t), LARGEST))
        return np.where((t >= 0) & (t < self.end), rate, 0.0)

    def cumulative(self, t: ArrayLike) -> Floats:
        return np.minimum(self.unbounded(clipped(t, self.end)), self.people)

    def inverse(self, n: ArrayLike) -> Floats:
        t = self.unbounded_inverse(n)
        return np.where(t < self.end, t, np.inf)


class Ramp(Wave):
    """A rate that goes in a straight line from `first` to `last`, and ends there: r(t) = first + slope t."""

    kind: Literal["ramp"]
    first: FiniteRate = Field(description="people per time as the wave begins")
    last: FiniteRate = Field(description="people per time as it ends")
    lasting: Span

    @property
    def slope(self) -> float:
        return (self.last - self.first) / self.lasting

    def rate_at(self, t: ArrayLike) -> Floats:
        t = np.asarray(t, dtype=float)
        return np.where((t >= 0) & (t < self.lasting), self.first + self.slope * clipped(t, self.lasting), 0.0)

    def cumulative(self, t: ArrayLike) -> Floats:
        t = clipped(t, self.lasting)
        return t * (self.first + 0.5 * self.slope * t)

    def inverse(self, n: ArrayLike) -> Floats:
        n = np.asarray(n, dtype=float)
        # The root of n = first t + slope t^2 / 2 without the difference that cancels in the schoolbook's form.
        root = np.sqrt(np.maximum(self.first**2 + 2.0 * self.slope * n, 0.0))
        with np.errstate(over="ignore"):
            t = 2.0 * n / np.maximum(self.first + root, 1e-300)
        return np.where(n < 0.5 * (self.first + self.last) * self.lasting, np.minimum(t, self.lasting), np.inf)
