"""The throttling policies that a scenario can name, a small file a family; any object with act() is one too."""

from typing import Annotated

from pydantic import Field

from sim.policies.access import FeatureGate, Waitlist
from sim.policies.clients import AdaptiveThrottle, RetryBudget
from sim.policies.limits import Concurrency, PoolLimit, Quota, RateLimit
from sim.policies.order import Priority
from sim.policies.quality import Degrade, DegradeUnderLoad
from sim.policies.queue import AdaptiveLifo, CoDel, Expiry, LastInFirstOut
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
    | Priority
    | PoolLimit
    | LastInFirstOut
    | AdaptiveLifo
    | Expiry
    | CoDel
    | RetryBudget
    | AdaptiveThrottle,
    Field(discriminator="kind"),
]

__all__ = [
    "AdaptiveLifo",
    "AdaptiveThrottle",
    "CoDel",
    "Concurrency",
    "Degrade",
    "DegradeUnderLoad",
    "Expiry",
    "FeatureGate",
    "LastInFirstOut",
    "PoolLimit",
    "Priority",
    "QueueBound",
    "Quota",
    "RateLimit",
    "RetryBudget",
    "Shed",
    "ShippedPolicy",
    "WaitBound",
    "Waitlist",
]
