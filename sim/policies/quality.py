"""Serving less than was asked: a step down each feature's ladder of specs, always or while the queue is long."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from sim.errors import BadInput
from sim.model.controls import Controls, Telemetry
from sim.policies.target import Targeted
from sim.units import Seconds, Whole


class Degrade(Targeted):
    """Serves at a fixed level of the feature's ladder (0 is as asked; the last rung where the ladder is shorter)."""

    kind: Literal["degrade"] = "degrade"
    level: Annotated[Whole, Field(ge=1)] = 1

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.turn(controls, level=self.level)


class DegradeUnderLoad(Targeted):
    """Goes a level down when the expected wait exceeds `above`, and up again when it is under `below` for `calm`.

    The gap between the two and the calm keep it from flapping.
    """

    steady: ClassVar[bool] = False
    kind: Literal["degrade under load"] = "degrade under load"
    pool: str
    above: Annotated[Seconds, Field(gt=0)]
    below: Seconds
    calm: Seconds = 600.0
    lowest: Annotated[Whole, Field(ge=1)] = 1
    _level: int = PrivateAttr(default=0)
    _calm_since: float | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def has_a_gap(self) -> Self:
        if not self.below < self.above:
            raise ValueError("'below' must be less than 'above'")
        return self

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        if self.pool not in telemetry.pools:
            known = ", ".join(telemetry.pools)
            raise BadInput("the scenario has no such pool", key="pool", value=self.pool, expected=known)
        wait, now = telemetry.pools[self.pool].expected_wait, telemetry.now
        if wait > self.above:
            self._level, self._calm_since = min(self._level + 1, self.lowest), None
        elif wait >= self.below:
            self._calm_since = None
        elif self._calm_since is None:
            self._calm_since = now
        elif now - self._calm_since >= self.calm and self._level > 0:
            self._level, self._calm_since = self._level - 1, now
        self.turn(controls, level=self._level)
