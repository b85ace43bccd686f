"""Sharing a pool's GPU time fairly: between tiers by weight, between users, or to whatever takes least."""

import math
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from sim.model.controls import Controls, Telemetry
from sim.model.knobs import MOST_FLOWS
from sim.model.sharing import DEAL_BITS
from sim.policies.queue import OfPools
from sim.units import Plain, Whole

MOST_CARDS = 8

Weight = Annotated[Plain, Field(gt=0)]


class WeightedSharing(OfPools):
    """Tiers that wait share the GPU time in proportion to their weights; who does not need their share leaves it.

    Deficit round robin in GPU-seconds (Shreedhar and Varghese, SIGCOMM 1995). Tiers that are not named are one flow of
    weight `others`. It shares within a priority: strict priorities come first.
    """

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
    and a request joins the one of them in which the fewest wait. A request waits for two turns of all queues that are
    not empty, at most; one flood has `hand` of them, however large it is. Only somebody whose own hand is all in the
    hands of those who flood waits with them: at 6 of 128, and one flood, one user in 5 billion.
    """

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
    """Serves what takes the least GPU time first, then whoever came first: the least mean wait there is.

    Under overload what takes long waits on, perhaps for ever. Work is taken from the profile, in a full batch.
    """

    steady: ClassVar[bool] = True
    kind: Literal["shortest first"] = "shortest first"

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        controls.set_pool(self.pools, order=self.kind)
