"""A playbook: an ordered list of policies, each with the time during which it is in force."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import Field

from sim.controls import Controls, Policy, Telemetry
from sim.policies import ShippedPolicy
from sim.schema import Strict
from sim.units import Instant


class Step(Strict):
    """One line of a playbook as a scenario writes it."""

    policy: ShippedPolicy
    from_: Instant = Field(default=0.0, alias="from", description="when it comes into force; at the start where absent")
    until: Instant = Field(
        default=math.inf, description="when it ends; never where absent", json_schema_extra={"default": "never"}
    )


@dataclass
class Timed:
    """A policy in force from one instant (seconds) until another."""

    policy: Policy
    begins: float = 0.0
    ends: float = math.inf

    @property
    def name(self) -> str:
        return getattr(self.policy, "kind", type(self.policy).__name__)

    def in_force(self, now: float) -> bool:
        return self.begins <= now < self.ends

    def quiet_until(self, now: float) -> float:
        """The instant before which its ticks cannot differ from that at `now`: then it begins, or ends, or now."""
        if self.in_force(now):
            return self.ends if getattr(self.policy, "steady", False) else now
        return self.begins if now < self.begins else math.inf

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        if self.in_force(telemetry.now):
            controls.policy = self.name
            self.policy.act(telemetry, controls)


def in_order(steps: Sequence[Any], seconds: Callable[[float | datetime], float]) -> list[Timed]:
    """A run's own copies of a playbook's policies: their memory starts empty. `seconds` reads a scenario's instants."""
    timed = []
    for step in steps:
        if isinstance(step, Step):
            timed.append(Timed(copy.deepcopy(step.policy), seconds(step.from_), seconds(step.until)))
        elif callable(getattr(step, "act", None)) and not isinstance(step, type):
            timed.append(Timed(copy.deepcopy(step)))
        else:
            raise TypeError(f"a playbook holds steps and policies (objects with act()), not {step!r}")
    return timed
