"""A closed loop: a fixed number of callers, each of whom asks again when the answer to the last request has come."""

from typing import Annotated, Literal

from pydantic import Field

from sim.demand.laws import Constant, Time
from sim.demand.waves.curves import Spike
from sim.demand.waves.wave import Drawn, Span
from sim.schema import sourced
from sim.units import Seconds, Whole


class Callers(Drawn):
    """Exactly `in_flight` programs with one request each: ask, wait however long it takes, think, ask again.

    They share no images and have no day of return. A request that is refused is not tried again: its caller pauses, and
    goes on with the next.
    """

    kind: Literal["callers"]
    in_flight: Annotated[Whole, Field(ge=1, le=10**9)] = Field(
        description="callers, so requests in flight at most; times `times`"
    )
    think: Time = Field(
        default=Constant(kind="constant", value="0 s"), description="pause from an answer to the next request"
    )
    pause: Annotated[Seconds, Field(ge=1e-3, allow_inf_nan=False)] = sourced(
        1.0, "further pause after a request that failed", assumed="assumed: load generators wait about a second"
    )
    within: Span = Field(default=1e-3, description="they begin in this time, at random")
    account_age: Seconds = Field(default=365 * 86400.0, description="age of the accounts behind them")
    feature: str = Field(default="", description="the feature they request; drawn by the features' shares if empty")

    @property
    def line(self) -> Spike:
        """The wave of their beginnings."""
        return Spike(kind="spike", people=self.in_flight, lasting=f"{self.within!r} s")

    @property
    def exact(self) -> bool:
        return True
