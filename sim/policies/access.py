"""Access to a feature at all: by tier, share of users, account age and region, in stages, or by a waiting room."""

from typing import Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from sim.model.controls import Controls, Telemetry
from sim.policies.base import Advice, AtLeastOne, Duration, NamedPolicy, Targeted
from sim.units import Fraction, Rate, Seconds


class FeatureGate(Targeted):
    """Opens features to a share of users, and only to accounts of a certain age.

    The share is sticky and nested: the users in the first 10 % are also in the first 20 %. `open: 0` closes a feature;
    `min_age` keeps new accounts out, as in "video is off for new users".
    """

    steady = True
    advice = Advice(
        "access",
        protects="everything behind the gate, without using GPU time",
        costs="the users who are kept out",
        fails="opened too fast, when everybody arrives at once",
        example={"tiers": ["free"], "open": "30 %"},
    )

    kind: Literal["feature gate"] = "feature gate"
    open: Fraction = 1.0
    min_age: Seconds = 0.0

    @model_validator(mode="after")
    def keeps_somebody_out(self) -> Self:
        if not {"open", "min_age"} & self.model_fields_set:
            raise ValueError("a gate needs 'open' or 'min_age': without both it keeps nobody out; open: 0 closes it")
        return self

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.set(controls, open=self.open, min_age=self.min_age)


class RollOut(Targeted):
    """Opens features to 1, 5, 20, 50 and 100 % of users, one stage further after each `every` that went well.

    A stage went well if the requests that started in it had waited no more than `longest` on average, and the pool's
    utilisation, averaged over control ticks, was no more than `utilisation`; otherwise the stage is repeated. The
    policy never goes back a stage. Refusals are ignored, because they include the users whom the gate itself keeps out.
    The shares are nested: a user who is in stays in.
    """

    advice = Advice(
        "access",
        protects="a launch: more users are let in only while all is well",
        costs="the users who wait for their turn",
        fails="with stages that are too large, or that follow each other faster than trouble shows",
        example={"tiers": ["free"], "pool": "gpus", "every": "10 min"},
    )

    kind: Literal["roll-out"] = "roll-out"
    pool: str = Field(description="pool whose utilisation it watches")
    stages: list[Fraction] = Field(default=[0.01, 0.05, 0.2, 0.5, 1.0], min_length=1, description="shares of users")
    every: Duration = Field(default=3600.0, description="shortest time of a stage")
    longest: Duration = Field(default=30.0, description="mean wait up to which the next stage begins")
    utilisation: Fraction = Field(default=0.85, description="mean utilisation up to which the next stage begins")
    _stage: int = PrivateAttr(default=0)
    _since: float | None = PrivateAttr(default=None)
    _seen: list[tuple[float, float, float]] = PrivateAttr(default_factory=list)  # waited, started, utilisation

    @model_validator(mode="after")
    def in_order(self) -> Self:
        if sorted(set(self.stages)) != self.stages:
            raise ValueError("'stages' must ascend: each share larger than the one before")
        return self

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        pool = telemetry.pool(self.pool)
        if self._since is None:
            self._since = telemetry.now
        else:
            self._seen.append((float(telemetry.waited.sum()), float(telemetry.started.sum()), pool.utilisation))
        if telemetry.now - self._since >= self.every and self._stage < len(self.stages) - 1:
            self._stage += self.went_well()
            self._since = telemetry.now
            self._seen.clear()
        self.set(controls, open=self.stages[self._stage])

    def went_well(self) -> bool:
        waited, started, busy = (sum(tick[place] for tick in self._seen) for place in range(3))
        return waited <= self.longest * started and busy <= self.utilisation * len(self._seen)


class RegionGate(NamedPolicy):
    """Opens regions to a share of their users, for all features; a region that is not named stays as it is.

    As with a feature gate the share is sticky and nested. Users who are kept out are refused by the feature gate.
    """

    steady = True
    advice = Advice(
        "access",
        protects="the service, region by region",
        costs="everybody in the regions that are closed",
        fails="with users who travel, or claim to",
        example={"open": {"americas": "0 %"}},
    )

    kind: Literal["region gate"] = "region gate"
    open: dict[str, Fraction] = Field(min_length=1, description="share of users for whom each region is open")

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        for region, share in self.open.items():
            controls.set_regions([region], open=share)


class Waitlist(NamedPolicy):
    """Lets newcomers in at a fixed rate, first come, first served; 'rate: 0' closes signups."""

    steady = True
    advice = Advice(
        "access",
        protects="the service from signups",
        costs="newcomers, some of whom never return",
        fails="when the demand comes from users who are already in",
        example={"rate": "8 per second"},
    )

    kind: Literal["waitlist"] = "waitlist"
    rate: Rate

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        controls.let_in(self.rate)


class WaitingRoom(NamedPolicy):
    """Lets newcomers in, first come, first served, as places become free, and at most `new_per_minute`.

    Modelled on Cloudflare's waiting room: a place is free while fewer than `total_active` people are in a day of use.
    In the long run the rate of entry is the smaller of `new_per_minute` and `total_active` over the mean stay (Little's
    law). The policy counts at control ticks and lets in as many people as there are places then; at its first tick it
    lets in nobody, as it does not know yet how far apart ticks are. People who return on another day do not pass the
    room: they take up places, and can push the number of active people above `total_active`.
    """

    advice = Advice(
        "access",
        protects="the service from more people than it can hold at once",
        costs="newcomers, who wait outside",
        fails="when people inside ask for more than they used to; people who return do not pass the room",
        example={"total_active": 600, "new_per_minute": 540},
    )

    kind: Literal["waiting room"] = "waiting room"
    total_active: AtLeastOne = Field(description="people using the service at once, at full scale")
    new_per_minute: AtLeastOne = Field(description="people let in, at full scale")
    _before: float | None = PrivateAttr(default=None)  # the tick before

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        before, self._before = self._before, telemetry.now
        if before is None:
            controls.let_in(0.0)
            return
        free = max(0.0, self.total_active - telemetry.active / controls.scale)
        controls.let_in(min(self.new_per_minute / 60.0, free / (telemetry.now - before)))
