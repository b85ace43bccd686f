"""The throttling policies that a scenario can name, a small file a family; any object with act() is one too."""

from typing import Annotated

from pydantic import Field

from sim.policies.access import FeatureGate, Waitlist
from sim.policies.limits import Concurrency, Quota, RateLimit
from sim.policies.order import Priority
from sim.policies.quality import Degrade, DegradeUnderLoad
from sim.policies.shedding import QueueBound, Shed, WaitBound

ShippedPolicy = Annotated[
    FeatureGate
    | Waitlist
    | RateLimit
    | Quota
    | Concurrency
    | QueueBound
    | WaitBound
    | Shed
    | Degrade
    | DegradeUnderLoad
    | Priority,
    Field(discriminator="kind"),
]

__all__ = [
    "Concurrency",
    "Degrade",
    "DegradeUnderLoad",
    "FeatureGate",
    "Priority",
    "QueueBound",
    "Quota",
    "RateLimit",
    "Shed",
    "ShippedPolicy",
    "WaitBound",
    "Waitlist",
]
