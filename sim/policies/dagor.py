"""DAGOR, the overload control of WeChat: who is let in goes by the tier's importance, then by a lot that users draw."""

import math
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from sim.model.controls import Controls, Telemetry
from sim.policies.brownout import counted
from sim.schema import Strict
from sim.units import Count, Fraction, Seconds

USER_LEVELS = 128  # of each tier

Finite = Annotated[Seconds, Field(gt=0, allow_inf_nan=False)]
AboveZero = Annotated[Fraction, Field(gt=0, lt=1)]


def levels_within(arrivals: list[float], expected: float) -> float:
    """How many levels can be let in, the most important tier's first, so that at most `expected` requests come.

    arrivals: requests by tier, the most important first; those of a tier are spread evenly over its levels. A level of
    which a part would fit is counted as that part, so that small steps add up.
    """
    levels = 0.0
    for number in arrivals:
        if number > expected:
            return levels + USER_LEVELS * expected / number
        levels, expected = levels + USER_LEVELS, expected - number
    return levels


class Dagor(Strict):
    """Lets in the tiers in order of importance, and of the first that is not all let in, a part of its users.

    A user has one of 128 levels by a hash that is drawn anew every hour, so that for an hour they have the same answer
    (Zhou and others, "Overload Control for Scaling WeChat Microservices", SoCC 2018). A window is overloaded where who
    started in it had waited more than `threshold` on average: then so many levels are let in that 5 % fewer requests
    come than were let in before; else, that 1 % of all that came are let in in addition. How requests spread over the
    levels of a tier is not seen, and taken as even, also to tell how many were let in. There the threshold is 20 ms at
    a timeout of 500, 4 %: 2.4 s of a minute; a window is a second or 2000 requests, whichever is over first. It learns
    at control ticks, at most one window a tick. A tier that is not named is never refused, nor counted.
    """

    steady: ClassVar[bool] = False
    kind: Literal["dagor"] = "dagor"
    tiers: list[str] = Field(min_length=1, description="tiers in order of importance: the last is refused first")
    features: list[str] | None = Field(default=None, description="features it applies to; all where absent")
    threshold: Finite = Field(default=2.4, description="mean wait above which a window is overloaded")
    window: Finite = Field(default=30.0, description="a window is over after so long")
    requests: Count = Field(default=2000.0, ge=1, description="or after so many requests, at full scale")
    less: AboveZero = Field(default=0.05, description="share by which what is let in shrinks: alpha")
    more: AboveZero = Field(default=0.01, description="share of what comes by which it grows: beta")
    rehash: Finite = Field(default=3600.0, description="for how long a user's level stays")
    final: bool = Field(default=False, description="whether who is refused is told not to try again")
    _levels: float | None = PrivateAttr(default=None)  # let in; all where None
    _began: float | None = PrivateAttr(default=None)
    _arrived: list[float] = PrivateAttr(default_factory=list)
    _waited: float = PrivateAttr(default=0.0)
    _started: float = PrivateAttr(default=0.0)

    @model_validator(mode="after")
    def each_once(self) -> Self:
        if len(set(self.tiers)) < len(self.tiers):
            raise ValueError("'tiers' must name each tier once")
        return self

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        if self._began is None:
            self.begin(telemetry.now)
        else:
            self.look(telemetry, controls)
            over = telemetry.now - self._began >= self.window or sum(self._arrived) >= self.requests * controls.scale
            if over and self._started > 0 and sum(self._arrived) > 0:
                self.learn()
                self.begin(telemetry.now)
        for place, tier in enumerate(self.tiers):
            share = math.ceil(USER_LEVELS * self.refused(place)) / USER_LEVELS  # whole levels
            knobs = {"shed": share, "sticky": self.rehash, "final": float(self.final)} if share > 0 else {}
            controls.set(tiers=[tier], features=self.features, **knobs)

    def begin(self, now: float) -> None:
        """A window begins."""
        self._began, self._arrived = now, [0.0] * len(self.tiers)
        self._waited = self._started = 0.0

    def look(self, telemetry: Telemetry, controls: Controls) -> None:
        """Count what has come since the tick before."""
        for place, tier in enumerate(self.tiers):
            self._arrived[place] += counted(telemetry.arrivals, controls, [tier], self.features)
        self._waited += counted(telemetry.waited, controls, self.tiers, self.features)
        self._started += counted(telemetry.started, controls, self.tiers, self.features)

    def learn(self) -> None:
        """Move the level at the end of a window (Algorithm 1)."""
        let_in = sum(number * (1.0 - self.refused(place)) for place, number in enumerate(self._arrived))
        if self._waited / self._started > self.threshold:
            self._levels = levels_within(self._arrived, (1 - self.less) * let_in)
        elif self._levels is not None:
            self._levels = levels_within(self._arrived, let_in + self.more * sum(self._arrived))

    def refused(self, place: int) -> float:
        """The share of a tier that is beyond the level now."""
        if self._levels is None:
            return 0.0
        return 1.0 - min(1.0, max(0.0, self._levels / USER_LEVELS - place))
