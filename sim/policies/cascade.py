"""A cascade of models: a light one makes each image, and a heavy one makes the unconvincing ones again."""

from typing import Literal, Self

import numpy as np
from pydantic import Field, PrivateAttr, model_validator

from sim.model.controls import Controls, Telemetry
from sim.policies.base import Advice, Duration, PositiveShare, Targeted
from sim.units import Fraction, Whole

# The share of images that a discriminator defers to the heavy model at a threshold of confidence, as measured for
# DiffServe (Ahmad and others, MLSys 2025; qizhengyang98/DiffServe, 7f2e4d7).
CURVES = {
    "sd-turbo to sd-v1.5": {
        0.005: 0.143,
        0.01: 0.2,
        0.05: 0.36,
        0.1: 0.449,
        0.2: 0.582,
        0.25: 0.69,
        0.3: 0.788,
        0.4: 0.878,
        0.5: 0.993,
    },
    "sdxs to sdxl-lightning": {0.05: 0.215, 0.1: 0.321, 0.2: 0.497, 0.3: 0.715, 0.4: 0.846, 0.5: 0.999},
}


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
