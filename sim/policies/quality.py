"""Serving less than was asked: lower on each feature's ladder of specs, always, under load, or from a cache."""

from typing import Annotated, Literal

from pydantic import Field, PrivateAttr

from sim.model.controls import Controls, Telemetry
from sim.policies.base import Advice, Level, Targeted
from sim.units import Fraction, Seconds


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
