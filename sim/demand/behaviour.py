"""The behaviour of people: how much they request, how long they think, wait and stay; each default with its source."""

import math
from typing import Annotated, Literal, Self

import numpy as np
import scipy
from numpy.typing import NDArray
from pydantic import Field, model_validator

from sim.demand.laws import Law, Lognormal, NegativeBinomial, Requests, Time, Uniform
from sim.schema import Strict, sourced
from sim.units import Fraction, Plain, Seconds, Whole


class Retry(Strict):
    """Retries of a failed request: whether, after how long, and how often."""

    at_most: Annotated[Whole, Field(le=1000)] = sourced(
        3, "largest number of retries of one request", assumed="assumed cap; the delay below is GenTD26's"
    )
    probability: Fraction = sourced(
        0.72,
        "of a retry after a temporary refusal (rate limit, full queue, long wait, shed, concurrency)",
        measured="GenTD26: 72 % ask again within a minute after a failure (398 failures)",
    )
    after_leaving: Fraction = sourced(
        0.49,
        "of a retry after leaving a queue",
        assumed="GenTD26: 49 % ask again within a minute in any case; nothing is published for leaving",
    )
    hopeless: Fraction = sourced(
        0.1,
        "of a retry soon after a refusal that retrying cannot change today (quota, feature gate)",
        assumed="assumed: most people believe a daily limit",
    )
    backoff: Time = sourced(
        Uniform(kind="uniform", low="5 s", high="60 s"),
        "pause before a retry",
        measured="GenTD26: people ask again within 5-60 s",
    )
    growth: Annotated[Plain, Field(ge=1)] = sourced(
        1.0,
        "the n-th pause is longer by this factor to the power n",
        assumed="assumed: people do not back off, programs do",
    )

    longest: Seconds = sourced(
        math.inf,
        "no pause is longer than this",
        written="never",
        assumed="assumed: with growth 1 nothing needs a bound",
    )
    second_account: Fraction = sourced(
        0.0,
        "of signing up under another name, and asking again, after a refusal that cannot change today",
        assumed="assumed: nothing is published",
    )

    @model_validator(mode="after")
    def pauses_are_numbers(self) -> Self:
        if self.at_most * math.log10(self.growth) > 100:
            raise ValueError("'growth' to the power 'at_most' must be less than 1e100")
        return self


class PowerLaw(Strict):
    """Coming back: the share of people who use the service d days after their first day is at_one_day x d^-decay."""

    kind: Literal["power law"]
    at_one_day: Fraction = sourced(
        0.092, published="Sora app 10/2/1 % on days 1/7/30 (a16z, SensorTower) and GenTD26 7.1/2.2 %"
    )
    decay: Annotated[Plain, Field(ge=0)] = sourced(0.69, fitted="the same, fitted power law")

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
    use: Fraction = sourced(1.0, assumed="assumed: people who have not left come every day")

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

    sigma: Annotated[Plain, Field(ge=0, le=3)] = sourced(
        0.0, "sigma of the logarithm", assumed="assumed: people differ only by the day"
    )
    heavy: Annotated[Fraction, Field(lt=1)] = sourced(
        0.0, "share of people who are heavy users", assumed="assumed: nobody"
    )
    times: Annotated[Plain, Field(ge=1, le=1000)] = sourced(
        17.0, "how many times as active heavy users are", fitted="GenTD26, where there are any"
    )
    loyalty: Annotated[Plain, Field(ge=0, le=3)] = sourced(
        0.0,
        "a person's chance of coming back is proportional to their activity to this power",
        assumed="assumed: active people come back no more often",
    )


class Breaks(Strict):
    """Sessions: after an image some people take a break instead of thinking about the next one."""

    probability: Fraction = sourced(
        0.0, "of a break, in place of a think time", assumed="assumed: a day's images are wanted in one go"
    )
    lasting: Time = sourced(Lognormal(kind="lognormal", median="2 h", sigma=1.0), assumed="assumed")


class Behaviour(Strict):
    """The behaviour of one person. Every default carries its source; each can be overridden."""

    requests: Requests = sourced(
        NegativeBinomial(kind="negative binomial", mean=3.99, r=0.535),
        "images a person wants on a day of use",
        fitted="GenTD26, first day of a new user: 1 + NB(r 0.535, mean 2.99), KS distance 0.048",
    )
    activity: Activity = Activity()
    breaks: Breaks = Breaks()
    think: Time = sourced(
        Lognormal(kind="lognormal", median="49 s", sigma=1.18),
        "pause between an image (or giving up on it) and wanting the next",
        fitted="GenTD26, 19,632 gaps inside sessions",
    )
    patience: Time = sourced(
        Lognormal(kind="lognormal", median="361 s", sigma=2.1),
        "how long a person waits for an image, from asking to seeing it",
        assumed=(
            "a published call-centre study: 10/25/50 % have left at 25/86/361 s; "
            "no curve is published for image generation"
        ),
    )
    patience_notified: Time = sourced(
        Lognormal(kind="lognormal", median="2 h", sigma=1.0),
        "the same for a person who was promised a notification (serving.notifies_above)",
        assumed="assumed from such notices: half have lost interest at 2 h",
    )
    retry: Retry = Field(default_factory=Retry)
    churn: Fraction = sourced(
        0.16,
        "probability of never coming back after a request that was lost",
        assumed="assumed; GenTD26 has 5 % never returning after a failure and 16 % after a success",
    )
    churn_late: Fraction = sourced(
        0.0,
        "probability of never coming back after an image that came later than the feature's SLO",
        measured="GenTD26: no loss of return up to 120 s of waiting (confounded by heavy users)",
    )
    regenerate: Fraction = sourced(
        0.0,
        "probability of requesting the same again because a degraded image was not good enough",
        assumed="assumed: nothing is published",
    )
    returns: Returns = PowerLaw(kind="power law")
    waitlist_patience: Time = sourced(
        Lognormal(kind="lognormal", median="1 day", sigma=1.5),
        "how long a newcomer stays on a waitlist before giving up on signing up",
        assumed="assumed: nothing is published",
    )

    def patience_law(self, notified: bool) -> Law:
        """The law of a person's patience with a request; notified: whether the service promised a notification."""
        return self.patience_notified.law if notified else self.patience.law
