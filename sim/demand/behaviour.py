"""The behaviour of people: how much they request, how long they think, wait and stay; each default with its source."""

import math
from typing import Annotated, Literal, Self

import numpy as np
import scipy
from numpy.typing import NDArray
from pydantic import Field, model_validator

from sim.demand.laws import Law, Lognormal, NegativeBinomial, Requests, Time, Uniform
from sim.schema import Strict
from sim.units import Fraction, Plain, Seconds, Whole


class Retry(Strict):
    """Retries of a failed request: whether, after how long, and how often."""

    at_most: Annotated[Whole, Field(le=1000)] = Field(
        default=3,
        description="largest number of retries of one request",
        json_schema_extra={"source": "assumed cap; the delay below is GenTD26's", "provenance": "assumed"},
    )
    probability: Fraction = Field(
        default=0.72,
        description="of a retry after a temporary refusal (rate limit, full queue, long wait, shed, concurrency)",
        json_schema_extra={
            "source": "GenTD26: 72 % ask again within a minute after a failure (398 failures)",
            "provenance": "measured",
        },
    )
    after_leaving: Fraction = Field(
        default=0.49,
        description="of a retry after leaving a queue",
        json_schema_extra={
            "source": "GenTD26: 49 % ask again within a minute in any case; nothing is published for leaving",
            "provenance": "assumed",
        },
    )
    hopeless: Fraction = Field(
        default=0.1,
        description="of a retry soon after a refusal that retrying cannot change today (quota, feature gate)",
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

    longest: Seconds = Field(
        default=math.inf,
        description="no pause is longer than this",
        json_schema_extra={
            "source": "assumed: with growth 1 nothing needs a bound",
            "provenance": "assumed",
            "default": "never",
        },
    )
    second_account: Fraction = Field(
        default=0.0,
        description="of signing up under another name, and asking again, after a refusal that cannot change today",
        json_schema_extra={"source": "assumed: nothing is published", "provenance": "assumed"},
    )

    @model_validator(mode="after")
    def pauses_are_numbers(self) -> Self:
        if self.at_most * math.log10(self.growth) > 100:
            raise ValueError("'growth' to the power 'at_most' must be less than 1e100")
        return self


class PowerLaw(Strict):
    """Coming back: the share of people who use the service d days after their first day is at_one_day x d^-decay."""

    kind: Literal["power law"]
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

    def staying(self, days: int) -> NDArray[np.float64]:
        """Share of people who have not left for good by day 0, 1, ... `days`: here nobody leaves, only use fades."""
        return np.ones(days + 1)

    def using(self, days: int) -> NDArray[np.float64]:
        """Chance that somebody who has not left uses the service on day 0, 1, ... `days`; day 0 is not a return."""
        return np.append(0.0, self.at_one_day * np.arange(1.0, days + 1) ** -self.decay)


class BetaGeometric(Strict):
    """Shifted beta-geometric (Fader and Hardie 2007): each day a person leaves for good with their own probability.

    That probability is Beta(a, b) over people, so after d days B(a, b + d) / B(a, b) of them are left; those left use
    the service on a share `use` of days.
    """

    kind: Literal["beta geometric"]
    a: Annotated[Plain, Field(gt=0, le=1e6)]
    b: Annotated[Plain, Field(gt=0, le=1e6)]
    use: Fraction = Field(
        default=1.0,
        json_schema_extra={"source": "assumed: people who have not left come every day", "provenance": "assumed"},
    )

    def staying(self, days: int) -> NDArray[np.float64]:
        """Share of people who have not left for good by day 0, 1, ... `days`."""
        return np.exp(
            scipy.special.betaln(self.a, self.b + np.arange(days + 1.0)) - scipy.special.betaln(self.a, self.b)
        )

    def using(self, days: int) -> NDArray[np.float64]:
        """Chance that somebody who has not left uses the service on day 0, 1, ... `days`; day 0 is not a return."""
        return np.append(0.0, np.full(days, self.use))


Returns = Annotated[PowerLaw | BetaGeometric, Field(discriminator="kind")]


class Activity(Strict):
    """Lasting differences between people: a factor of mean 1 on the mean number of images wanted beyond the first.

    It is lognormal, and several times as large for a few heavy users. Fitted to GenTD26's 4,247 users: sigma
    0.86, 1 % of people 17 times as active, loyalty 0.9 (without heavy users: sigma 1.14, loyalty 0.7).
    """

    sigma: Annotated[Plain, Field(ge=0, le=3)] = Field(
        default=0.0,
        description="sigma of the logarithm",
        json_schema_extra={"source": "assumed: people differ only by the day", "provenance": "assumed"},
    )
    heavy: Annotated[Fraction, Field(lt=1)] = Field(
        default=0.0,
        description="share of people who are heavy users",
        json_schema_extra={"source": "assumed: nobody", "provenance": "assumed"},
    )
    times: Annotated[Plain, Field(ge=1, le=1000)] = Field(
        default=17.0,
        description="how many times as active heavy users are",
        json_schema_extra={"source": "GenTD26, where there are any", "provenance": "fitted"},
    )
    loyalty: Annotated[Plain, Field(ge=0, le=3)] = Field(
        default=0.0,
        description="a person's chance of coming back is proportional to their activity to this power",
        json_schema_extra={"source": "assumed: active people come back no more often", "provenance": "assumed"},
    )


class Breaks(Strict):
    """Sessions: after an image some people take a break instead of thinking about the next one."""

    probability: Fraction = Field(
        default=0.0,
        description="of a break, in place of a think time",
        json_schema_extra={"source": "assumed: a day's images are wanted in one go", "provenance": "assumed"},
    )
    lasting: Time = Field(
        default=Lognormal(kind="lognormal", median="2 h", sigma=1.0),
        json_schema_extra={"source": "assumed", "provenance": "assumed"},
    )


class Behaviour(Strict):
    """The behaviour of one person. Every default carries its source; each can be overridden."""

    requests: Requests = Field(
        default=NegativeBinomial(kind="negative binomial", mean=3.99, r=0.535),
        description="images a person wants on a day of use",
        json_schema_extra={
            "source": "GenTD26, first day of a new user: 1 + NB(r 0.535, mean 2.99), KS distance 0.048",
            "provenance": "fitted",
        },
    )
    activity: Activity = Activity()
    breaks: Breaks = Breaks()
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
    patience_notified: Time = Field(
        default=Lognormal(kind="lognormal", median="2 h", sigma=1.0),
        description="the same for a person who was promised a notification (serving.notifies_above)",
        json_schema_extra={
            "source": "assumed from such notices: half have lost interest at 2 h",
            "provenance": "assumed",
        },
    )
    retry: Retry = Field(default_factory=Retry)
    churn: Fraction = Field(
        default=0.16,
        description="probability of never coming back after a request that was lost",
        json_schema_extra={
            "source": "assumed; GenTD26 has 5 % never returning after a failure and 16 % after a success",
            "provenance": "assumed",
        },
    )
    churn_late: Fraction = Field(
        default=0.0,
        description="probability of never coming back after an image that came later than the feature's SLO",
        json_schema_extra={
            "source": "GenTD26: no loss of return up to 120 s of waiting (confounded by heavy users)",
            "provenance": "measured",
        },
    )
    regenerate: Fraction = Field(
        default=0.0,
        description="probability of requesting the same again because a degraded image was not good enough",
        json_schema_extra={"source": "assumed: nothing is published", "provenance": "assumed"},
    )
    returns: Returns = PowerLaw(kind="power law")
    waitlist_patience: Time = Field(
        default=Lognormal(kind="lognormal", median="1 day", sigma=1.5),
        description="how long a newcomer stays on a waitlist before giving up on signing up",
        json_schema_extra={"source": "assumed: nothing is published", "provenance": "assumed"},
    )

    def patience_law(self, notified: bool) -> Law:
        """The law of a person's patience with a request; notified: whether the service promised a notification."""
        return self.patience_notified.law if notified else self.patience.law
