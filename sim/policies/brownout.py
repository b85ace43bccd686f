"""Brownout: a dimmer between full and lesser quality, turned so that latency stays at a set point."""

import math
from collections import deque
from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, PrivateAttr, model_validator

from sim.model.controls import Controls, Telemetry, indices
from sim.policies.target import Targeted
from sim.units import Fraction, Plain, Seconds, Whole

SLOW_UP = 0.1  # what an error is multiplied by where latency is under the set point
WINDOWS = 5.0  # set points in a measuring window: the original measures over 5 s, with a set point of 1 s
NEARLY_ONE = 1.0 - 1e-9  # a tick that is owed but for rounding


def dimmed(theta: float, latency: float, *, set_point: float, pole: float = 0.9, floor: float = 1e-3) -> float:
    """The dimmer after a control interval that saw this latency (seconds; nan, or 0: nobody was served).

    alpha = t / theta, e = set_point - t, a tenth of e where it is positive; theta + (1 / alpha) (1 - pole) e. The
    original stops at 0, where it would stay for ever: the floor is this project's.
    """
    if not latency > 0:
        return theta
    error = set_point - latency
    if error > 0:
        error *= SLOW_UP
    alpha = latency / theta
    return min(1.0, max(floor, theta + (1.0 / alpha) * (1.0 - pole) * error))


def spread(owed: float, share: float) -> tuple[bool, float]:
    """Whether this tick is one of a share of the ticks, spread as evenly as can be, and what is owed to the next."""
    owed += share
    return (True, owed - 1.0) if owed >= NEARLY_ONE else (False, owed)


def counted(
    counts: np.ndarray, controls: Controls, tiers: Iterable[str] | None, features: Iterable[str] | None
) -> float:
    """The sum of a telemetry array over these tiers and features."""
    rows, columns = indices("tier", controls.tiers, tiers), indices("feature", controls.features, features)
    return float(counts[np.ix_(rows, columns)].sum())


class Brownout(Targeted):
    """Serves a share of the time at a lesser level, so that latency stays at a set point (Klein et al., ICSE 2014).

    The dimmer theta is the share at full quality. At each control tick theta += (theta / t) (1 - pole) (set_point - t)
    where t is the latency measured over `window`; where t is under the set point, a tenth of that. Pole 0.9, theta 0.5
    at the start and a window of five set points are the original's. So theta falls by a tenth a tick at most, and
    rises by (set_point - t) / t hundredths of itself: slowly only where t is not far below the set point. Where images
    can be had in much less, theta and latency swing about where they should be; a short window makes them swing less.

    Different from the original: t is the mean latency of those served, as the greatest is not among the telemetry, so
    the set point is for the mean; and quality is not drawn for each request, as a level holds for a tier and feature:
    whole ticks are at `level` instead, a share 1 - theta of them, spread evenly: several ticks should fit in a window.
    Theta never goes below `floor`; where the lesser level alone is more than the pool can do, latency is not kept.
    """

    steady: ClassVar[bool] = False
    kind: Literal["brownout"] = "brownout"
    set_point: Annotated[Seconds, Field(gt=0, allow_inf_nan=False)] = Field(description="mean latency to be kept")
    window: Annotated[Seconds, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None, description="time over which latency is measured; five set points where absent"
    )
    pole: Annotated[Plain, Field(gt=0, lt=1)] = Field(default=0.9, description="the nearer to 1, the slower")
    start: Fraction = Field(default=0.5, description="dimmer at the start")
    floor: Annotated[Fraction, Field(gt=0)] = Field(default=0.001, description="least dimmer")
    level: Annotated[Whole, Field(ge=1)] = Field(default=1, description="level of the ladder that is served for less")
    _theta: float = PrivateAttr(default=math.nan)  # nan: as at the start
    _owed: float = PrivateAttr(default=0.0)
    _seen: deque[tuple[float, float, float]] = PrivateAttr(default_factory=deque)

    @model_validator(mode="after")
    def begins_in_range(self) -> Self:
        if self.start < self.floor:
            raise ValueError("'start' must not be less than 'floor'")
        return self

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        theta = self.start if math.isnan(self._theta) else self._theta
        latency = self.measured(telemetry, controls)
        self._theta = dimmed(theta, latency, set_point=self.set_point, pole=self.pole, floor=self.floor)
        less, self._owed = spread(self._owed, 1.0 - self._theta)
        self.turn(controls, **({"level": self.level} if less else {}))

    def measured(self, telemetry: Telemetry, controls: Controls) -> float:
        """Mean latency of those served in the window (seconds), nan where nobody was."""
        latency, served = (
            counted(counts, controls, self.tiers, self.features) for counts in (telemetry.latency, telemetry.served)
        )
        self._seen.append((telemetry.now, latency, served))
        window = WINDOWS * self.set_point if self.window is None else self.window
        while len(self._seen) > 1 and self._seen[0][0] <= telemetry.now - window:
            self._seen.popleft()
        total, number = (sum(tick[place] for tick in self._seen) for place in (1, 2))
        return total / number if number > 0 else math.nan
