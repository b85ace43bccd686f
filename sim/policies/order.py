"""Whose request is served first."""

from typing import ClassVar, Literal

from sim.model.controls import Controls, Telemetry
from sim.schema import Strict


class Priority(Strict):
    """Strict priority by tier, not pre-emptive: the tiers in the order given, the rest after them."""

    steady: ClassVar[bool] = True
    kind: Literal["priority"] = "priority"
    first: list[str]

    @property
    def tiers(self) -> list[str]:
        return self.first

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        controls.set(priority=len(self.first))
        for place, tier in enumerate(self.first):
            controls.set(tiers=[tier], priority=place)
