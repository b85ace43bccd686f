"""Whom a policy applies to."""

from typing import ClassVar

from pydantic import Field

from sim.model.controls import Controls
from sim.schema import Strict


class Targeted(Strict):
    """A policy for some tiers and features, or, where they are not named, for all."""

    steady: ClassVar[bool] = True  # it turns its knobs alike at every tick, whatever it sees

    tiers: list[str] | None = Field(default=None, description="tiers it applies to; all where absent")
    features: list[str] | None = Field(default=None, description="features it applies to; all where absent")

    def turn(self, controls: Controls, **knobs: float | str) -> None:
        """Set knobs for the tiers and features of this policy."""
        controls.set(tiers=self.tiers, features=self.features, **knobs)
