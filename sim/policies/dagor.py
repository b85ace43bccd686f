"""DAGOR, the overload control of WeChat: users are let in by the importance of their tier, then by a random level."""

import math
from typing import Literal

from pydantic import Field, PrivateAttr

from sim.model.controls import Controls, Telemetry
from sim.policies.base import Advice, Duration, NamedPolicy, OpenShare, Ranking, counted, refusing
from sim.units import Count

USER_LEVELS = 128  # of each tier


def levels_within(arrivals: list[float], expected: float) -> float:
    """The number of levels to let in, the most important tier's first, so that at most `expected` requests come.

    arrivals: requests by tier, the most important first; those of a tier are spread evenly over its levels. A level
    that fits in part counts in part, so that small steps add up.
    """
    levels = 0.0
    for number in arrivals:
        if number > expected:
            return levels + USER_LEVELS * expected / number
        levels, expected = levels + USER_LEVELS, expected - number
    return levels


class Dagor(NamedPolicy):
    """Lets in the tiers in order of importance; of the first tier that does not fit, only some of its users.

    A user's level is one of 128, by a hash that changes every hour, so the gateway's answer stays the same for an hour
    (Zhou and others, "Overload Control for Scaling WeChat Microservices", SoCC 2018). A window is overloaded if the
    requests that started in it had waited longer than `threshold` on average. Then the number of levels shrinks so that
    5 % fewer requests come than were let in before; otherwise it grows so that 1 % of all arrivals are let in in
    addition. The policy does not see how the requests of a tier spread over its levels, and takes them as spread
    evenly. In the paper the threshold is 20 ms at a timeout of 500 ms, which is 4 %: 2.4 s of a minute; a window ends
    after a second or 2000 requests, whichever comes first. The policy learns at control ticks, at most one window per
    tick. A tier that is not named is neither refused nor counted.
    """

    advice = Advice(
        "shedding",
        protects="the wait, by refusing whole users for an hour instead of single requests of everybody",
        costs="the same users, for the whole hour",
        fails="in surges: it lets in 5 % less per window, so ten times the load takes three quarters of an hour; with "
        "few users",
        example={"tiers": ["plus", "free"]},
    )

    kind: Literal["dagor"] = "dagor"
    tiers: Ranking
    features: list[str] | None = Field(default=None, description="features it applies to; all where absent")
    threshold: Duration = Field(default=2.4, description="mean wait above which a window is overloaded")
    window: Duration = Field(default=30.0, description="longest time of a window")
    requests: Count = Field(default=2000.0, ge=1, description="most requests of a window, at full scale")
    less: OpenShare = Field(default=0.05, description="share by which the requests let in shrink: alpha")
    more: OpenShare = Field(default=0.01, description="share of arrivals by which they grow: beta")
    rehash: Duration = Field(default=3600.0, description="time for which a user keeps a level")
    final: bool = Field(default=False, description="whether refused users are asked not to try again")
    _levels: float | None = PrivateAttr(default=None)  # let in; None: all of them
    _began: float | None = PrivateAttr(default=None)
    _arrived: list[float] = PrivateAttr(default_factory=list)
    _waited: float = PrivateAttr(default=0.0)
    _started: float = PrivateAttr(default=0.0)

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
            controls.set(tiers=[tier], features=self.features, **refusing(share, self.final, sticky=self.rehash))

    def begin(self, now: float) -> None:
        self._began, self._arrived = now, [0.0] * len(self.tiers)
        self._waited = self._started = 0.0

    def look(self, telemetry: Telemetry, controls: Controls) -> None:
        """Count arrivals, waits and starts since the tick before."""
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
        """The share of a tier that is beyond the levels let in now."""
        if self._levels is None:
            return 0.0
        return 1.0 - min(1.0, max(0.0, self._levels / USER_LEVELS - place))
