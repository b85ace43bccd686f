"""What people do: how much they ask for, how long they think, wait and stay; each default with its source."""

import math
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator
from scipy import stats

from sim.rules import CONSTANT, EXPONENTIAL, LOGNORMAL, NEVER, UNIFORM, WEIBULL
from sim.schema import Strict
from sim.units import Count, Fraction, Plain, Seconds, Whole


class Law(NamedTuple):
    """A distribution as sim.rules.sample takes it."""

    kind: int
    a: float
    b: float


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
    """Any value from `low` to `high` alike."""

    kind: Literal["uniform"]
    low: Annotated[Seconds, Field(allow_inf_nan=False)]
    high: Annotated[Seconds, Field(allow_inf_nan=False)]

    @model_validator(mode="after")
    def in_order(self) -> Self:
        if self.low > self.high:
            raise ValueError("'low' must not be more than 'high'")
        return self

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


class FixedCount(Strict):
    """Exactly so many."""

    kind: Literal["fixed"]
    requests: Annotated[Whole, Field(ge=1, le=1000)]

    def table(self) -> np.ndarray:
        return np.array([*[0.0] * (self.requests - 1), 1.0])


class NegativeBinomial(Strict):
    """1 + a negative binomial of dispersion r: many ask once, a few ask very often."""

    kind: Literal["negative binomial"]
    mean: Annotated[Count, Field(ge=1)] = Field(description="mean requests, the first one counted")
    r: Annotated[Plain, Field(gt=0)]
    at_most: Annotated[Whole, Field(ge=1, le=1000)] = 500

    def table(self) -> np.ndarray:
        extra = self.mean - 1
        law = stats.nbinom(self.r, self.r / (self.r + extra)) if extra > 0 else stats.randint(0, 1)
        cumulative = law.cdf(np.arange(self.at_most))
        cumulative[-1] = 1.0
        return cumulative


Requests = Annotated[FixedCount | NegativeBinomial, Field(discriminator="kind")]


class Retry(Strict):
    """When an ask fails: whether to try again, after how long, how often."""

    at_most: Annotated[Whole, Field(le=1000)] = Field(
        default=3,
        description="retries an ask at most",
        json_schema_extra={"source": "assumed cap; the delay below is GenTD26's", "provenance": "assumed"},
    )
    probability: Fraction = Field(
        default=0.72,
        description="of trying again after a refusal for now (rate limit, full queue, long wait, shed, concurrency)",
        json_schema_extra={
            "source": "GenTD26: 72 % ask again within a minute after a failure (398 failures)",
            "provenance": "measured",
        },
    )
    after_leaving: Fraction = Field(
        default=0.49,
        description="of trying again after having left a wait",
        json_schema_extra={
            "source": "GenTD26: 49 % ask again within a minute in any case; nothing is published for leaving",
            "provenance": "assumed",
        },
    )
    hopeless: Fraction = Field(
        default=0.1,
        description="of trying again soon after a refusal that says 'not today' (quota, feature gate)",
        json_schema_extra={"source": "assumed: most people believe a daily limit", "provenance": "assumed"},
    )
    backoff: Time = Field(
        default=Uniform(kind="uniform", low="5 s", high="60 s"),
        description="pause before a retry",
        json_schema_extra={"source": "GenTD26: people ask again within 5-60 s", "provenance": "measured"},
    )
    growth: Annotated[Plain, Field(ge=1)] = Field(
        default=1.0,
        description="the n-th pause is longer by this factor to the power n",
        json_schema_extra={"source": "assumed: people do not back off, programs do", "provenance": "assumed"},
    )

    @model_validator(mode="after")
    def pauses_are_numbers(self) -> Self:
        if self.at_most * math.log10(self.growth) > 100:
            raise ValueError("'growth' to the power 'at_most' must be less than 1e100")
        return self


class Returns(Strict):
    """Coming back: the share of people who use the service d days after their first is at_one_day x d^-decay."""

    at_one_day: Fraction = Field(
        default=0.092,
        json_schema_extra={
            "source": "Sora app 10/2/1 % on days 1/7/30 (a16z, SensorTower) and GenTD26 7.1/2.2 %",
            "provenance": "published",
        },
    )
    decay: Annotated[Plain, Field(ge=0)] = Field(
        default=0.69, json_schema_extra={"source": "the same, fitted power law", "provenance": "fitted"}
    )


class Behaviour(Strict):
    """What one person does. Every default carries its source; each can be overridden."""

    requests: Requests = Field(
        default=NegativeBinomial(kind="negative binomial", mean=3.99, r=0.535),
        description="images a person wants on a day of use",
        json_schema_extra={
            "source": "GenTD26, first day of a new user: 1 + NB(r 0.535, mean 2.99), KS distance 0.048",
            "provenance": "fitted",
        },
    )
    think: Time = Field(
        default=Lognormal(kind="lognormal", median="49 s", sigma=1.18),
        description="pause between an image (or giving up on it) and wanting the next",
        json_schema_extra={"source": "GenTD26, 19,632 gaps inside sessions", "provenance": "fitted"},
    )
    patience: Time = Field(
        default=Lognormal(kind="lognormal", median="361 s", sigma=2.1),
        description="how long a person waits for an image, from asking to seeing it",
        json_schema_extra={
            "source": "a published call-centre study: 10/25/50 % have left at 25/86/361 s; "
            "no curve is published for image generation",
            "provenance": "assumed",
        },
    )
    retry: Retry = Retry()
    churn: Fraction = Field(
        default=0.16,
        description="probability of never coming back after an ask that came to nothing",
        json_schema_extra={
            "source": "assumed; GenTD26 has 5 % never returning after a failure and 16 % after a success",
            "provenance": "assumed",
        },
    )
    returns: Returns = Returns()
    waitlist_patience: Time = Field(
        default=Lognormal(kind="lognormal", median="1 day", sigma=1.5),
        description="how long a newcomer stays on a waitlist before giving up on signing up",
        json_schema_extra={"source": "assumed: nothing is published", "provenance": "assumed"},
    )


def provenance_rows(model: Strict, given: dict[str, Any], path: str) -> list[dict[str, str]]:
    """Where each figure of a behaviour comes from: default with its source, or set by the scenario file."""
    rows = []
    for name, info in type(model).model_fields.items():
        value, here = getattr(model, name), f"{path}.{name}"
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        if "source" not in extra:
            if isinstance(value, Strict):
                rows += provenance_rows(value, given.get(name) or {}, here)
            continue
        source = "set in the scenario" if name in given else str(extra["source"])
        kind = "assumed" if name in given else str(extra["provenance"])
        rows.append({"figure": here, "value": in_words(value), "provenance": kind, "source": source})
    return rows


def in_words(value: Any) -> str:
    """A behaviour's value for a table: 'lognormal, median 49, sigma 1.18'."""
    if not isinstance(value, Strict):
        return f"{value:g}" if isinstance(value, float) else str(value)
    fields = value.model_dump()
    kind = fields.pop("kind", "")
    return ", ".join([kind, *[f"{k} {v:g}" if isinstance(v, int | float) else f"{k} {v}" for k, v in fields.items()]])


__all__ = ["Behaviour", "Law", "Retry", "Returns", "Time", "in_words", "provenance_rows"]
