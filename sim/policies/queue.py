"""How a pool's queue is served, and what is dropped from it when its turn has come."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from sim.errors import BadInput
from sim.model.controls import Controls, Telemetry
from sim.schema import Strict
from sim.units import Seconds

Finite = Annotated[Seconds, Field(gt=0, allow_inf_nan=False)]


class OfPools(Strict):
    """A policy for some pools, or, where they are not named, for all."""

    steady: ClassVar[bool] = True
    pools: list[str] | None = Field(default=None, description="pools it applies to; all where absent")


class LastInFirstOut(OfPools):
    """Serves whoever came last first: under overload some get their image in time, where in turn nobody would.

    Who has waited long waits on, perhaps for ever.
    """

    kind: Literal["last in first out"] = "last in first out"

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        controls.set_pool(self.pools, order=self.kind)


class AdaptiveLifo(Strict):
    """First in, first out; last in, first out while the queue stands (Facebook, "Fail at Scale", ACM Queue 2015)."""

    steady: ClassVar[bool] = False
    kind: Literal["adaptive lifo"] = "adaptive lifo"
    pool: str
    above: Finite = Field(description="expected wait above which a queue stands")

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        if self.pool not in telemetry.pools:
            known = ", ".join(telemetry.pools)
            raise BadInput("the scenario has no such pool", key="pool", value=self.pool, expected=known)
        if telemetry.pools[self.pool].expected_wait > self.above:
            controls.set_pool([self.pool], order="last in first out")


class Expiry(OfPools):
    """Drops a request when its turn comes after it has waited so long: its user is likely to have left.

    foresight: with the seconds that it would be served. Without, those on the edge are served, and come too late.
    """

    kind: Literal["expiry"] = "expiry"
    after: Finite
    foresight: bool = True

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        controls.set_pool(self.pools, expire=self.after, foresight=float(self.foresight))


class CoDel(OfPools):
    """Drops requests when their turn comes so that waits return to a target (RFC 8289; 'folly': Facebook's services).

    CoDel drops ever faster while every wait of an interval exceeds the target; folly's drops, for an interval after one
    whose least wait exceeded the target, whatever waited twice as long. Made for packets, with 5 and 100 ms: for images
    take one service time as the target, and five to ten of them as the interval.
    """

    kind: Literal["codel"] = "codel"
    like: Literal["codel", "folly"] = "folly"
    target: Finite
    interval: Finite

    @model_validator(mode="after")
    def in_proportion(self) -> Self:
        if not self.target < self.interval:
            raise ValueError("'target' must be less than 'interval'")
        return self

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        controls.set_pool(self.pools, codel=self.like, target=self.target, interval=self.interval)
