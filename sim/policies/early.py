"""Acting on a queue before it is long: refusing more and more as it grows, and dropping sooner while it stands."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from sim.errors import BadInput
from sim.model.controls import Controls, PoolTelemetry, Telemetry
from sim.policies.target import Targeted
from sim.schema import Strict
from sim.units import Fraction, Seconds

Finite = Annotated[Seconds, Field(gt=0, allow_inf_nan=False)]
AboveZero = Annotated[Fraction, Field(gt=0)]


def pool_of(telemetry: Telemetry, name: str) -> PoolTelemetry:
    if name not in telemetry.pools:
        known = ", ".join(telemetry.pools)
        raise BadInput("the scenario has no such pool", key="pool", value=name, expected=known)
    return telemetry.pools[name]


def early(wait: float, low: float, high: float, most: float) -> float:
    """The share refused at this wait: 0 up to `low`, from there evenly up to `most` at `high`; above, everybody."""
    return 1.0 if wait >= high else most * max(0.0, wait - low) / (high - low)


class RandomEarly(Targeted):
    """Refuses a share at random that grows with the wait, so that the queue never fills at once.

    Random early detection (Floyd and Jacobson 1993): nobody is refused while the average is under `low`, a share that
    rises evenly to `most` up to `high`, and everybody above. The average is a moving one over control ticks, to which
    each adds `weight` of what it sees; what is averaged is the pool's expected wait, there the length of the queue.
    Ticks should come several times while the queue grows from `low` to `high`: it looks at no other time, and is off
    and on else.
    """

    steady: ClassVar[bool] = False
    kind: Literal["random early"] = "random early"
    pool: str
    low: Seconds = Field(description="expected wait from which some are refused")
    high: Finite = Field(description="expected wait from which all are")
    most: AboveZero = Field(default=0.5, description="share refused just before that")
    weight: AboveZero = Field(default=1.0, description="of a tick in the moving average; 1: as it is now")
    final: bool = Field(default=False, description="whether who is refused is told not to try again")
    _average: float = PrivateAttr(default=0.0)

    @model_validator(mode="after")
    def in_order(self) -> Self:
        if not self.low < self.high:
            raise ValueError("'low' must be less than 'high'")
        return self

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self._average += self.weight * (pool_of(telemetry, self.pool).expected_wait - self._average)
        share = early(self._average, self.low, self.high, self.most)
        self.turn(controls, **({"shed": share, "final": float(self.final)} if share > 0 else {}))


class ControlledDelay(Strict):
    """Drops whoever has waited `long`; only `short`, and last in first out, while a queue has stood for `long`.

    What Facebook's services did ("Fail at Scale", ACM Queue 2015), with 5 ms and 100 ms: a queue that was empty within
    the last `long` is a burst, and may take its time; one that was not is overload. There a request's time is set when
    it comes, here when its turn does. Whether a queue is empty is seen at control ticks, several of which should fit
    into `long`. For images take one service time for `short`, and five to ten for `long`.
    """

    steady: ClassVar[bool] = False
    kind: Literal["controlled delay"] = "controlled delay"
    pool: str
    short: Finite = Field(description="wait after which a request is dropped while the queue stands")
    long: Finite = Field(description="wait after which it is dropped else, and after which a queue stands")
    lifo: bool = Field(default=True, description="whether who came last is served first while the queue stands")
    _empty: float | None = PrivateAttr(default=None)  # when the queue was last seen empty, or first seen

    @model_validator(mode="after")
    def in_proportion(self) -> Self:
        if not self.short < self.long:
            raise ValueError("'short' must be less than 'long'")
        return self

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        if self._empty is None or pool_of(telemetry, self.pool).queued == 0:
            self._empty = telemetry.now
        stands = telemetry.now - self._empty > self.long
        controls.set_pool([self.pool], expire=self.short if stands else self.long)
        if stands and self.lifo:
            controls.set_pool([self.pool], order="last in first out")
