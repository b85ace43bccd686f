"""Who may use a feature at all: by tier, share of users, account age and region, in stages, and by a waiting room."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from sim.errors import BadInput
from sim.model.controls import Controls, Telemetry
from sim.policies.target import Targeted
from sim.schema import Strict
from sim.units import Count, Fraction, Rate, Seconds

Finite = Annotated[Seconds, Field(gt=0, allow_inf_nan=False)]
AtLeastOne = Annotated[Count, Field(ge=1)]


class FeatureGate(Targeted):
    """Opens features to a share of users, and only to accounts of a certain age.

    The share is sticky and nested: whoever is in the first 10 % is in the first 20 % too. `open: 0` closes; an age
    keeps out new accounts, as in "video is off for new users".
    """

    kind: Literal["feature gate"] = "feature gate"
    open: Fraction = 1.0
    min_age: Seconds = 0.0

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.turn(controls, open=self.open, min_age=self.min_age)


class Waitlist(Strict):
    """Lets newcomers in at a fixed rate, first come, first served; 'rate: 0' closes signups."""

    kind: Literal["waitlist"] = "waitlist"
    rate: Rate

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        controls.let_in(self.rate)


class WaitingRoom(Strict):
    """Lets newcomers in, first come, first served, as places become free, and no more than so many a minute.

    After Cloudflare's waiting room: a place is free while fewer than `total_active` people are in the midst of a day of
    use. In the long run as many are let in as the least of `new_per_minute` and `total_active` over the mean time that
    a person stays (Little). It counts at control ticks and lets in what is free then; at its first it lets in nobody,
    as it has yet to see how far apart ticks are. People who come back another day do not pass the room: they take up
    places, and may make more active than `total_active`.
    """

    steady: ClassVar[bool] = False
    kind: Literal["waiting room"] = "waiting room"
    total_active: AtLeastOne = Field(description="people in the midst of using the service, at full scale")
    new_per_minute: AtLeastOne = Field(description="people let in, at full scale")
    _before: float | None = PrivateAttr(default=None)  # the tick before

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        before, self._before = self._before, telemetry.now
        if before is None:
            controls.let_in(0.0)
            return
        free = max(0.0, self.total_active - telemetry.active / controls.scale)
        controls.let_in(min(self.new_per_minute / 60.0, free / (telemetry.now - before)))


class RegionGate(Strict):
    """Opens regions to a share of their users, for all features; a region that is not named stays as it is.

    As with a feature gate the share is sticky and nested. Who is kept out is refused by the feature gate.
    """

    steady: ClassVar[bool] = True
    kind: Literal["region gate"] = "region gate"
    open: dict[str, Fraction] = Field(min_length=1, description="share of users for whom each region is open")

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        for region, share in self.open.items():
            controls.set_regions([region], open=share)


class RollOut(Targeted):
    """Opens features to 1, 5, 20, 50 and 100 % of users, a stage further after each `every` that went well.

    A stage went well where requests that started in it had waited no more than `longest` on average, and the share of
    busy GPUs, on average over control ticks, was no more than `utilisation`; else it is held for as long once more. It
    never goes back. Refusals do not count, as whom the gate itself keeps out is among them. The shares are nested:
    who is in stays in.
    """

    steady: ClassVar[bool] = False
    kind: Literal["roll-out"] = "roll-out"
    pool: str = Field(description="pool whose GPUs it watches")
    stages: list[Fraction] = Field(default=[0.01, 0.05, 0.2, 0.5, 1.0], min_length=1, description="shares of users")
    every: Finite = Field(default=3600.0, description="time that a stage lasts at least")
    longest: Finite = Field(default=30.0, description="mean wait up to which it goes on")
    utilisation: Fraction = Field(default=0.85, description="share of busy GPUs up to which it goes on")
    _stage: int = PrivateAttr(default=0)
    _since: float | None = PrivateAttr(default=None)
    _seen: list[tuple[float, float, float]] = PrivateAttr(default_factory=list)  # waited, started, share of busy GPUs

    @model_validator(mode="after")
    def in_order(self) -> Self:
        if sorted(set(self.stages)) != self.stages:
            raise ValueError("'stages' must grow")
        return self

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        if self.pool not in telemetry.pools:
            known = ", ".join(telemetry.pools)
            raise BadInput("the scenario has no such pool", key="pool", value=self.pool, expected=known)
        if self._since is None:
            self._since = telemetry.now
        else:
            pool = telemetry.pools[self.pool]
            self._seen.append(
                (float(telemetry.waited.sum()), float(telemetry.started.sum()), pool.busy / max(1, pool.gpus))
            )
        if telemetry.now - self._since >= self.every and self._stage < len(self.stages) - 1:
            self._stage += self.went_well()
            self._since = telemetry.now
            self._seen.clear()
        self.turn(controls, open=self.stages[self._stage])

    def went_well(self) -> bool:
        waited, started, busy = (sum(tick[place] for tick in self._seen) for place in range(3))
        return waited <= self.longest * started and busy <= self.utilisation * len(self._seen)
