"""A playbook: an ordered list of policies, each in force for some time, set by dates or by a trigger.

Here is also the register of all policies: they are found in the files of this folder, and no list names them.
"""

import copy
import math
import operator
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import reduce
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from sim.errors import BadInput
from sim.model.controls import Controls, Policy, Telemetry
from sim.policies.base import FAMILIES, NamedPolicy
from sim.policies.trigger import Trigger, Watch
from sim.schema import Strict
from sim.units import Instant


def named_policies() -> list[type[NamedPolicy]]:
    """Every policy with a kind in the files of this folder, by family and then as they stand in the files."""
    modules = [f"{__package__}.{file.name}" for file in pkgutil.iter_modules([str(Path(__file__).parent)])]
    found = [
        value
        for module in modules
        if module != __name__
        for value in vars(import_module(module)).values()
        if isinstance(value, type) and issubclass(value, NamedPolicy) and value.__module__ == module
    ]
    kinds = [policy for policy in found if not policy.model_fields["kind"].is_required()]
    return sorted(kinds, key=lambda policy: FAMILIES.index(policy.advice.family))


POLICIES = named_policies()
KINDS: dict[str, type[NamedPolicy]] = {policy.model_fields["kind"].default: policy for policy in POLICIES}

if TYPE_CHECKING:
    AnyPolicy = NamedPolicy
else:
    AnyPolicy = Annotated[reduce(operator.or_, POLICIES), Field(discriminator="kind")]


class Step(Strict):
    """One line of a playbook as a scenario writes it."""

    policy: AnyPolicy
    from_: Instant = Field(default=0.0, alias="from", description="when it comes into force; at the start where absent")
    until: Instant = Field(
        default=math.inf, description="when it ends; never where absent", json_schema_extra={"default": "never"}
    )
    when: Trigger | None = Field(
        default=None, description="brings it into force and ends it between these instants; always in force if absent"
    )


def policy_called(kind: str) -> type[NamedPolicy]:
    """The class of a policy. Raises BadInput for a kind that does not exist."""
    if kind not in KINDS:
        raise BadInput("there is no such policy", key="name", value=kind, expected=", ".join(KINDS))
    return KINDS[kind]


def example(kind: str) -> Step:
    """A policy with the settings of its example for the scenario 'surge', in force from the start."""
    return Step.model_validate({"policy": {"kind": kind, **policy_called(kind).advice.example}})


@dataclass
class Timed:
    """A policy in force from one instant (seconds) until another.

    A policy that cannot end at once has a property `unwinding`: after the end, and for as long as that is true,
    wind_down(telemetry, controls) is called instead of act().
    """

    looks: ClassVar[bool] = False  # whether it must see every tick's telemetry, also out of force

    policy: Policy
    begins: float = 0.0
    ends: float = math.inf
    turned: str = ""  # why a trigger started or ended it at this tick, if one did
    acted: str = field(default="", init=False)  # its stage when it last acted

    @property
    def name(self) -> str:
        return getattr(self.policy, "kind", type(self.policy).__name__)

    @property
    def unwinding(self) -> bool:
        return getattr(self.policy, "unwinding", False)

    def in_force(self, now: float) -> bool:
        return self.begins <= now < self.ends

    def quiet_until(self, now: float) -> float:
        """The instant before which no tick can differ from the one at `now`: its begin, its end, or `now`."""
        if self.in_force(now):
            return self.ends if getattr(self.policy, "steady", False) else now
        if self.unwinding:
            return now
        return self.begins if now < self.begins else math.inf

    def stage(self, now: float) -> str:
        """What act() does now: 'acts', 'unwinds', or nothing ('rests')."""
        return "acts" if self.in_force(now) else "unwinds" if self.unwinding else "rests"

    def settled(self, now: float) -> bool:
        """Whether act() would set just what it set the last time."""
        stage = self.stage(now)
        return stage == self.acted and (stage == "rests" or (stage == "acts" and getattr(self.policy, "steady", False)))

    def look(self, telemetry: Telemetry, controls: Controls) -> None:
        """See what the gateway sees at this tick, before any step acts."""

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        controls.policy, self.acted = self.name, self.stage(telemetry.now)
        if self.acted == "acts":
            self.policy.act(telemetry, controls)
        elif self.acted == "unwinds":
            self.policy.wind_down(telemetry, controls)  # type: ignore[attr-defined]


@dataclass
class Triggered(Timed):
    """A policy that a trigger brings into force and ends, between two instants; it begins each time without memory."""

    looks = True

    watch: Watch = field(kw_only=True)
    fresh: Policy = field(init=False)  # the policy without memory
    looked: float = field(default=math.nan, init=False)  # the tick before

    def __post_init__(self) -> None:
        self.fresh = copy.deepcopy(self.policy)

    def in_force(self, now: float) -> bool:
        return self.watch.on

    def quiet_until(self, now: float) -> float:
        """It looks at every tick until its end, so that counts are those of one tick."""
        return now if now < self.ends or self.unwinding else math.inf

    def look(self, telemetry: Telemetry, controls: Controls) -> None:
        now = telemetry.now
        figure = self.watch.trigger.figure(telemetry, controls.scale, now - self.looked)
        self.looked, self.turned = now, ""
        if now >= self.ends:
            self.turned = self.watch.close(now)
        elif now >= self.begins:
            self.turned = self.watch.look(now, figure)
        if self.turned and self.watch.on:
            self.policy = copy.deepcopy(self.fresh)


def in_order(steps: Sequence[Any], seconds: Callable[[float | datetime], float]) -> list[Timed]:
    """Copies of a playbook's policies for one run, without memory. `seconds` converts the instants of a scenario.

    A policy of your own is always in force, unless it is wrapped in a Timed or a Triggered.
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
