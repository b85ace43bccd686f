"""Serving less than was asked: lower on a feature's ladder of specs, always, under load, in turns; or from a cache."""

import math
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, PrivateAttr, model_validator

from sim.model.controls import Controls, Telemetry
from sim.policies.base import Advice, Duration, Level, PositiveShare, Recent, Targeted, counted
from sim.units import Fraction, Plain, Seconds, Whole

SLOW_UP = 0.1  # factor on the error while latency is below the set point
WINDOWS = 5.0  # set points in a measuring window: the original measures over 5 s, with a set point of 1 s
NEARLY_ONE = 1.0 - 1e-9  # one tick but for rounding
# The share of images that a discriminator defers to the heavy model at a threshold of confidence, as measured for
# DiffServe (Ahmad and others, MLSys 2025; qizhengyang98/DiffServe, 7f2e4d7).
CURVES = {
    "sd-turbo to sd-v1.5": {
        0.005: 0.143, 0.01: 0.2, 0.05: 0.36, 0.1: 0.449, 0.2: 0.582, 0.25: 0.69, 0.3: 0.788, 0.4: 0.878, 0.5: 0.993,
    },
    "sdxs to sdxl-lightning": {0.05: 0.215, 0.1: 0.321, 0.2: 0.497, 0.3: 0.715, 0.4: 0.846, 0.5: 0.999},
}  # fmt: skip


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


def deferred(curve: dict[float, float], threshold: float) -> float:
    """The share deferred at a threshold, by linear interpolation of a curve that is 0 at 0 and 1 at 1."""
    points = {0.0: 0.0, 1.0: 1.0} | curve
    at = sorted(points)
    return float(np.interp(threshold, at, [points[t] for t in at]))


class Cascade(Targeted):
    """Makes each image with a light model, and again with the heavy one where a discriminator is not confident enough.

    At a threshold t the share f(t) of all images is deferred (DiffServe, MLSys 2025); `curve` names a measured curve or
    gives your own points. Deferred images are served at level `heavy` of the feature's ladder, the others at level
    `light`. Since a deferred image has been made with the light model first, the profile of the heavy level must take
    as long as both. The deferred images are chosen at random, not by how hard a prompt is; a level above 0 counts as
    degraded.

    With `keep_wait` the threshold falls by `step` at each control tick at which the pool's expected wait is longer, and
    rises again at each at which it is less than half of that.
    """

    advice = Advice(
        "quality",
        protects="capacity: a light model answers first, a heavy one only where that is not good enough",
        costs="the light model's time for images that are made again",
        fails="with hard prompts, which all go on to the heavy model",
        example={"light": 1, "heavy": 0, "threshold": 0.02},
    )

    kind: Literal["cascade"] = "cascade"
    light: Whole = Field(default=1, description="level of images that only the light model makes")
    heavy: Whole = Field(default=0, description="level of images that both models make")
    curve: Literal["sd-turbo to sd-v1.5", "sdxs to sdxl-lightning"] | dict[Fraction, Fraction] = "sd-turbo to sd-v1.5"
    threshold: Fraction = Field(default=0.2, description="highest confidence at which an image is deferred")
    keep_wait: Duration | None = Field(default=None, description="expected wait above which the threshold falls")
    pool: str | None = Field(default=None, description="pool whose expected wait it keeps")
    step: PositiveShare = Field(default=0.05, description="change of the threshold per tick")
    _threshold: float | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def makes_sense(self) -> Self:
        if self.light == self.heavy:
            raise ValueError("'light' and 'heavy' must be different levels")
        if (self.keep_wait is None) != (self.pool is None):
            raise ValueError("'keep_wait' and 'pool' belong together")
        shares = [share for _, share in sorted(self.points().items())]
        if shares != sorted(shares):
            raise ValueError("the share deferred cannot fall with the threshold")
        return self

    def points(self) -> dict[float, float]:
        return CURVES[self.curve] if isinstance(self.curve, str) else self.curve

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        threshold = self.threshold if self._threshold is None else self._threshold
        if self.keep_wait is not None and self.pool is not None:
            wait = telemetry.pool(self.pool).expected_wait
            if wait > self.keep_wait:
                threshold = max(0.0, threshold - self.step)
            elif wait < self.keep_wait / 2:
                threshold = min(self.threshold, threshold + self.step)
            self._threshold = threshold
        self.set(controls, level=self.light, other=self.heavy, mixed=deferred(self.points(), threshold))


class Degrade(Targeted):
    """Serves at a fixed level of the feature's ladder (0 is as asked; the last rung where the ladder is shorter)."""

    steady = True
    advice = Advice(
        "quality",
        protects="everybody, with less",
        costs="quality, and the images that are asked for again because of it",
        fails="where the cheap image is not cheap enough: load x cost must fall below capacity",
    )

    kind: Literal["degrade"] = "degrade"
    level: Level = 1

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.set(controls, level=self.level)


class DegradeUnderLoad(Targeted):
    """Goes down a level when the expected wait exceeds `above`, and up again once it has been below `below` for `calm`.

    The gap between the two bounds and the calm keep the level from flapping.
    """

    advice = Advice(
        "quality",
        protects="everybody, with less, for as long as necessary",
        costs="quality, only while the queue is long",
        fails="where the cheap image is not cheap enough; it flaps if the bounds are close together",
        example={"pool": "gpus", "above": "20 s", "below": "4 s", "calm": "2 min"},
    )

    kind: Literal["degrade under load"] = "degrade under load"
    pool: str
    above: Annotated[Seconds, Field(gt=0)]
    below: Seconds
    calm: Seconds = 600.0
    lowest: Level = 1
    _level: int = PrivateAttr(default=0)
    _calm_since: float | None = PrivateAttr(default=None)

    ascending = ("below", "above")

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        wait, now = telemetry.pool(self.pool).expected_wait, telemetry.now
        if wait > self.above:
            self._level, self._calm_since = min(self._level + 1, self.lowest), None
        elif wait >= self.below:
            self._calm_since = None
        elif self._calm_since is None:
            self._calm_since = now
        elif now - self._calm_since >= self.calm and self._level > 0:
            self._level, self._calm_since = self._level - 1, now
        self.set(controls, level=self._level)


class ApproximateCache(Targeted):
    """Makes a share of images from those of similar prompts, with fewer steps left to do: a level of the ladder.

    Nirvana (Agarwal and others, NSDI 2024): an image found in the cache skips K of N steps, so that it takes 1 - K / N
    of the time; at `level` the ladder should have a spec with that number of steps. The authors saved 21 % of GPU time.
    The share of `hits` is fixed; a scenario that expects it to fall, because prompts change, must say so.
    """

    steady = True
    advice = Advice(
        "quality",
        protects="capacity: images similar to earlier ones skip steps",
        costs="variety",
        fails="when a new style goes viral and nothing is in the cache",
        example={"hits": "40 %", "level": 1},
    )

    kind: Literal["approximate cache"] = "approximate cache"
    hits: Fraction = Field(description="share of images found in the cache")
    level: Level = Field(default=1, description="level of the ladder at which these are made")

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.set(controls, other=self.level, mixed=self.hits)
