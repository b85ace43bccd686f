"""Word of mouth: a served image is shared, some people see the share, and some of these sign up in turn."""

from typing import Annotated

from pydantic import Field

from sim.demand.behaviour import Behaviour
from sim.demand.laws import Lognormal, Time
from sim.schema import Strict, sourced
from sim.units import Count, Fraction, Plain


class WordOfMouth(Strict):
    """A branching process inside the run: images bring people, whose images bring people.

    Each served image is shared with some probability; a share brings a Poisson number of people, each after a delay.
    Somebody so invited signs up with probability 1 - people / market, people being all who have arrived until then, so
    that even a factor above 1 ends where nobody is left to invite.
    """

    market: Annotated[Count, Field(ge=1)] = Field(description="people who can sign up in all")
    shared: Fraction = sourced(
        0.05,
        "of the images served in time and as asked, those that are shared",
        assumed="assumed: nothing is published",
    )
    late: Fraction = sourced(
        0.5,
        "an image later than its feature's SLO is shared with this part of the probability",
        assumed="assumed: nothing is published",
    )
    degraded: Fraction = sourced(
        0.5, "a degraded image is shared with this part of the probability", assumed="assumed: nothing is published"
    )
    signups: Annotated[Plain, Field(ge=0, le=100)] = sourced(
        1.0,
        "mean signups per share while the market is nearly empty: viewers x conversion",
        assumed="assumed: nothing is published",
    )
    delay: Time = sourced(
        Lognormal(kind="lognormal", median="6 h", sigma=1.5),
        "from an image to the signup of somebody who saw it",
        assumed="assumed; press bursts relax with half-lives of hours (Crane and Sornette 2008)",
    )

    def factor(self, behaviour: Behaviour, days: int) -> float:
        """K: the people whom one person brings within `days`, all images in time, in an empty market."""
        returns = behaviour.returns
        uses = 1.0 + float((returns.staying(days) * returns.using(days)).sum())
        return self.shared * self.signups * behaviour.requests.average * uses
