"""Two ways to make an image for less: a light model first and the heavy one where it did not do, and a cache."""

from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, PrivateAttr, model_validator

from sim.model.controls import Controls, Telemetry
from sim.policies.early import pool_of
from sim.policies.target import Targeted
from sim.units import Fraction, Seconds, Whole

Finite = Annotated[Seconds, Field(gt=0, allow_inf_nan=False)]
AboveZero = Annotated[Fraction, Field(gt=0)]

# The share of images that a discriminator defers to the heavy model at a threshold of confidence, measured for
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
    """The share deferred at a threshold: on straight lines between the points of a curve, 0 at 0 and 1 at 1."""
    points = {0.0: 0.0, 1.0: 1.0} | curve
    at = sorted(points)
    return float(np.interp(threshold, at, [points[t] for t in at]))


class Cascade(Targeted):
    """Makes each image with a light model, and anew with the heavy one where a discriminator is not confident enough.

    Of all images the share f(t) at a threshold t is deferred (DiffServe, MLSys 2025); `curve` is one that was measured
    there, or your own points. Served is level `light` of the feature's ladder for those that are not deferred, level
    `heavy` for those that are. Since a deferred image has been made with the light model first, the profile of the
    heavy level must take as long as both. Which images are deferred is drawn by lot, not by how hard a prompt is; a
    level above 0 counts as degraded.

    With `keep_wait` the threshold goes down by `step` at each control tick at which the pool's expected wait is longer,
    and up again where it is less than half of that.
    """

    steady: ClassVar[bool] = False
    kind: Literal["cascade"] = "cascade"
    light: Whole = Field(default=1, description="level of images that the light model does")
    heavy: Whole = Field(default=0, description="level of those that both make")
    curve: Literal["sd-turbo to sd-v1.5", "sdxs to sdxl-lightning"] | dict[Fraction, Fraction] = "sd-turbo to sd-v1.5"
    threshold: Fraction = Field(default=0.2, description="confidence under which an image is deferred; the highest")
    keep_wait: Finite | None = Field(default=None, description="expected wait above which the threshold goes down")
    pool: str | None = Field(default=None, description="pool whose wait that is")
    step: AboveZero = Field(default=0.05, description="by how much the threshold goes up or down at a tick")
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
            wait = pool_of(telemetry, self.pool).expected_wait
            if wait > self.keep_wait:
                threshold = max(0.0, threshold - self.step)
            elif wait < self.keep_wait / 2:
                threshold = min(self.threshold, threshold + self.step)
            self._threshold = threshold
        self.turn(controls, level=self.light, other=self.heavy, mixed=deferred(self.points(), threshold))


class ApproximateCache(Targeted):
    """Makes a share of images from those of similar prompts, with fewer steps left to do: a level of the ladder.

    Nirvana (Agarwal and others, NSDI 2024): an image found in the cache skips K of N steps, so that it takes 1 - K / N
    of the time; at `level` the ladder should have a spec with so many steps. There 21 % of GPU time was saved. The
    share of `hits` is fixed: that it falls when what people want changes is for the scenario to say.
    """

    steady: ClassVar[bool] = True
    kind: Literal["approximate cache"] = "approximate cache"
    hits: Fraction = Field(description="share of images found in the cache")
    level: Annotated[Whole, Field(ge=1)] = Field(default=1, description="level of the ladder that these are made at")

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.turn(controls, other=self.level, mixed=self.hits)
