"""Which requests are served first: by tier, in shares of GPU time for tiers or for users, or the cheapest first."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sim.model.controls import Controls, Telemetry
from sim.model.knobs import MOST_FLOWS
from sim.model.sharing import DEAL_BITS
from sim.policies.base import Advice, NamedPolicy, OfPools
from sim.units import Plain, Whole

MOST_CARDS = 8

Weight = Annotated[Plain, Field(gt=0)]


class Priority(NamedPolicy):
    """Strict priority by tier, not pre-emptive: the tiers in the order given, the rest after them."""

    steady = True
    advice = Advice(
        "sharing",
        protects="paying users, even from endless free demand",
        costs="everybody else",
        fails="once the paid load alone is close to capacity",
        example={"first": ["plus"]},
    )

    kind: Literal["priority"] = "priority"
    first: list[str]

    @property
    def tiers(self) -> list[str]:
        return self.first

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        controls.set(priority=len(self.first))
        for place, tier in enumerate(self.first):
            controls.set(tiers=[tier], priority=place)


class WeightedSharing(OfPools):
    """Tiers that wait share the GPU time in proportion to their weights; time that a tier leaves idle goes to others.

    Deficit round robin in GPU-seconds (Shreedhar and Varghese, SIGCOMM 1995). The tiers that are not named are one flow
    with the weight `others`. GPU time is shared within a priority: strict priorities come first.
    """

    advice = Advice(
        "sharing",
        protects="each tier's share of the GPUs, by weight; time that one leaves idle is used by others",
        costs="waits in the surging tier",
        fails="in a surge within a tier, as it does not bound the queue",
        example={"weights": {"plus": 1, "free": 1}},
    )

    kind: Literal["weighted sharing"] = "weighted sharing"
    weights: dict[str, Weight] = Field(min_length=1, description="of GPU time, by tier")
    others: Weight = Field(default=1.0, description="weight of all tiers that are not named, together")

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        controls.set_pool(self.pools, sharing="flows")
        controls.set(flow=len(self.weights), weight=self.others)
        for flow, (tier, weight) in enumerate(self.weights.items()):
            controls.set(tiers=[tier], flow=flow, weight=weight)


class FairPerUser(OfPools):
    """Deals users out to queues that share the GPU time evenly, so that a flood fills only the queues of its user.

    Shuffle sharding as in the Kubernetes API server (KEP 1040): each user has a hand of `hand` out of `queues` queues,
    and a request joins the shortest of them. A request waits at most for two turns of all queues that are not empty; a
    flood has `hand` of them, however large it is. A user waits with a flood only if the flood holds every queue of the
    user's hand: with 6 of 128 queues and one flood, that happens to one user in 5 billion.
    """

    advice = Advice(
        "sharing",
        protects="the many from a few who flood the queue",
        costs="the few",
        fails="in a crowd in which everybody asks for little",
    )

    kind: Literal["fair per user"] = "fair per user"
    queues: Annotated[Whole, Field(ge=1, le=MOST_FLOWS)] = 128
    hand: Annotated[Whole, Field(ge=1, le=MOST_CARDS)] = 6

    @model_validator(mode="after")
    def can_be_dealt(self) -> Self:
        if self.hand > self.queues:
            raise ValueError("'hand' cannot be more than 'queues'")
        if math.perm(self.queues, self.hand) >= DEAL_BITS:
            raise ValueError("there are more hands than a hash can deal: take fewer 'queues' or a smaller 'hand'")
        return self

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        controls.set_pool(self.pools, sharing="users", queues=self.queues, hand=self.hand)


class ShortestFirst(OfPools):
    """Serves the request that takes the least GPU time first, then in order of arrival: the shortest mean wait.

    Under overload a request that takes long goes on waiting, possibly forever. Its work is the profile's time in a full
    batch.
    """

    advice = Advice(
        "sharing",
        protects="the mean wait: cheap requests go first",
        costs="expensive requests, which may wait forever",
        fails="where all requests cost the same",
    )

    kind: Literal["shortest first"] = "shortest first"

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        controls.set_pool(self.pools, order=self.kind)
