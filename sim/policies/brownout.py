"""Brownout: a dimmer between full and lesser quality, turned so that latency stays at a set point."""

import math
from typing import Annotated, Literal

from pydantic import Field, PrivateAttr

from sim.model.controls import Controls, Telemetry
from sim.policies.base import Advice, Duration, Level, PositiveShare, Targeted
from sim.policies.window import Recent, counted
from sim.units import Fraction, Plain

SLOW_UP = 0.1  # factor on the error while latency is below the set point
WINDOWS = 5.0  # set points in a measuring window: the original measures over 5 s, with a set point of 1 s
NEARLY_ONE = 1.0 - 1e-9  # one tick but for rounding


def dimmed(theta: float, latency: float, *, set_point: float, pole: float = 0.9, floor: float = 1e-3) -> float:
    """The dimmer after a control interval that saw this latency (seconds; nan, or 0: nobody was served).

    alpha = t / theta, e = set_point - t, a tenth of e where it is positive; theta + (1 / alpha) (1 - pole) e. The
    original stops at 0, where it would stay forever: the floor is this project's.
    """
    if not latency > 0:
        return theta
    error = set_point - latency
    if error > 0:
        error *= SLOW_UP
    alpha = latency / theta
    return min(1.0, max(floor, theta + (1.0 / alpha) * (1.0 - pole) * error))


def spread(owed: float, share: float) -> tuple[bool, float]:
    """Whether this tick is one of a share of the ticks, spread evenly; and the fraction of a tick that is left over."""
    owed += share
    return (True, owed - 1.0) if owed >= NEARLY_ONE else (False, owed)


class Brownout(Targeted):
    """Serves a share of the time at a lesser level, so that latency stays at a set point (Klein et al., ICSE 2014).

    The dimmer theta is the share at full quality. At each control tick theta += (theta / t) (1 - pole) (set_point - t)
    where t is the latency measured over `window`; where t is below the set point, by a tenth of that. A pole of 0.9,
    theta 0.5 at the start and a window of five set points are the original's. So theta falls by at most a tenth per
    tick, and rises by (set_point - t) / t hundredths of itself: slowly only while t is close to the set point. Where
    images take much less time, theta and latency swing around their targets; a short window makes them swing less.

    Differences from the original: t is the mean latency of served requests, because telemetry does not hold the
    maximum, so the set point is one for the mean; and quality is not drawn for each request, because a level holds for
    a tier and feature: a share 1 - theta of the ticks, spread evenly, is served at `level` instead, so several ticks
    should fit into a window. Theta never falls below `floor`; where even the lesser level exceeds the pool's capacity,
    latency is not kept.
    """

    advice = Advice(
        "quality",
        protects="latency, with as many images at full quality as it allows",
        costs="quality, now and then",
        fails="where latency is mostly waiting, it swings; the lesser quality must still be cheap enough",
        example={"set_point": "20 s"},
    )

    kind: Literal["brownout"] = "brownout"
    set_point: Duration = Field(description="mean latency to keep")
    window: Duration | None = Field(
        default=None, description="time over which latency is measured; five set points where absent"
    )
    pole: Annotated[Plain, Field(gt=0, lt=1)] = Field(default=0.9, description="the closer to 1, the slower")
    start: Fraction = Field(default=0.5, description="dimmer at the start")
    floor: PositiveShare = Field(default=0.001, description="least dimmer")
    level: Level = Field(default=1, description="level of the ladder for lesser quality")
    _theta: float = PrivateAttr(default=math.nan)  # nan: that of the start
    _owed: float = PrivateAttr(default=0.0)
    _seen: Recent = PrivateAttr(default_factory=Recent)  # seconds of latency, and requests served

    not_descending = ("floor", "start")

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        theta = self.start if math.isnan(self._theta) else self._theta
        latency = self.measured(telemetry, controls)
        self._theta = dimmed(theta, latency, set_point=self.set_point, pole=self.pole, floor=self.floor)
        less, self._owed = spread(self._owed, 1.0 - self._theta)
        self.set(controls, **({"level": self.level} if less else {}))

    def measured(self, telemetry: Telemetry, controls: Controls) -> float:
        """Mean latency of those served in the window (seconds), nan where nobody was."""
        latency = counted(telemetry.latency, controls, self.tiers, self.features)
        served = counted(telemetry.served, controls, self.tiers, self.features)
        self._seen.add(telemetry.now, latency, served)
        window = WINDOWS * self.set_point if self.window is None else self.window
        self._seen.forget(telemetry.now - window, but=1)
        total, number = self._seen.sums()
        return total / number if number > 0 else math.nan
