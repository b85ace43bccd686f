"""A playbook: an ordered list of policies, each in force for some time: by date, or while a trigger says so."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import Field

from sim.model.controls import Controls, Policy, Telemetry
from sim.policies import ShippedPolicy
from sim.policies.trigger import Trigger, Watch
from sim.schema import Strict
from sim.units import Instant


class Step(Strict):
    """One line of a playbook as a scenario writes it."""

    policy: ShippedPolicy
    from_: Instant = Field(default=0.0, alias="from", description="when it comes into force; at the start where absent")
    until: Instant = Field(
        default=math.inf, description="when it ends; never where absent", json_schema_extra={"default": "never"}
    )
    when: Trigger | None = Field(
        default=None, description="what brings it into force between these instants; all the time where absent"
    )


@dataclass
class Timed:
    """A policy in force from one instant (seconds) until another.

    One that cannot end at once says that it is `unwinding`, and has wind_down(telemetry, controls) called in place of
    act() after its end, for as long.
    """

    policy: Policy
    begins: float = 0.0
    ends: float = math.inf
    turned: str = ""  # why a trigger has begun or ended it at this tick, where one has

    @property
    def name(self) -> str:
        return getattr(self.policy, "kind", type(self.policy).__name__)

    @property
    def unwinding(self) -> bool:
        return getattr(self.policy, "unwinding", False)

    def in_force(self, now: float) -> bool:
        return self.begins <= now < self.ends

    def quiet_until(self, now: float) -> float:
        """The instant before which its ticks cannot differ from that at `now`: then it begins, or ends, or now."""
        if self.in_force(now):
            return self.ends if getattr(self.policy, "steady", False) else now
        if self.unwinding:
            return now
        return self.begins if now < self.begins else math.inf

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        controls.policy = self.name
        if self.in_force(telemetry.now):
            self.policy.act(telemetry, controls)
        elif self.unwinding:
            self.policy.wind_down(telemetry, controls)  # type: ignore[attr-defined]


@dataclass
class Triggered(Timed):
    """A policy that a trigger brings into force and ends, between two instants; each time its memory begins empty."""

    watch: Watch = field(kw_only=True)
    fresh: Policy = field(init=False)  # the policy with no memory
    looked: float = field(default=math.nan, init=False)  # the tick before

    def __post_init__(self) -> None:
        self.fresh = copy.deepcopy(self.policy)

    def in_force(self, now: float) -> bool:
        return self.watch.on

    def quiet_until(self, now: float) -> float:
        """It looks at every tick, so that counts are always those of one tick; when its time is over, at none."""
        return now if now < self.ends or self.unwinding else math.inf

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        now = telemetry.now
        figure = self.watch.trigger.figure(telemetry, controls.scale, now - self.looked)
        self.looked, self.turned = now, ""
        if now >= self.ends:
            self.turned = self.watch.close(now)
        elif now >= self.begins:
            self.turned = self.watch.look(now, figure)
        if self.turned and self.watch.on:
            self.policy = copy.deepcopy(self.fresh)
        super().act(telemetry, controls)


def in_order(steps: Sequence[Any], seconds: Callable[[float | datetime], float]) -> list[Timed]:
    """A run's own copies of a playbook's policies: their memory starts empty. `seconds` reads a scenario's instants.

    A policy of your own is in force all the time, unless it comes as a Timed or a Triggered.
    """
    timed = []
    for step in steps:
        if isinstance(step, Step):
            policy, begins, ends = copy.deepcopy(step.policy), seconds(step.from_), seconds(step.until)
            if step.when is None:
                timed.append(Timed(policy, begins, ends))
            else:
                timed.append(Triggered(policy, begins, ends, watch=Watch(step.when)))
        elif isinstance(step, Timed):
            timed.append(copy.deepcopy(step))
        elif callable(getattr(step, "act", None)) and not isinstance(step, type):
            timed.append(Timed(copy.deepcopy(step)))
        else:
            raise TypeError(f"a playbook holds steps and policies (objects with act()), not {step!r}")
    return timed
