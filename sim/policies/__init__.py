"""The throttling policies that a scenario can name, a small file a family; any object with act() is one too."""

from typing import Annotated, Any, get_args

from pydantic import Field

from sim.policies.access import FeatureGate, Waitlist
from sim.policies.adaptive import Aimd, EnvoyGradient, Gradient2, Vegas
from sim.policies.admission import AdmissionControl, PriorityShedding, ReservedShare, UtilisationShedding
from sim.policies.brownout import Brownout
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
    | AdaptiveThrottle
    | Aimd
    | Vegas
    | Gradient2
    | EnvoyGradient
    | AdmissionControl
    | PriorityShedding
    | ReservedShare
    | UtilisationShedding
    | Brownout,
    Field(discriminator="kind"),
]

KINDS: dict[str, Any] = {one.model_fields["kind"].default: one for one in get_args(get_args(ShippedPolicy)[0])}

__all__ = [
    "KINDS",
    "AdaptiveLifo",
    "AdaptiveThrottle",
    "AdmissionControl",
    "Aimd",
    "Brownout",
    "CoDel",
    "Concurrency",
    "Degrade",
    "DegradeUnderLoad",
    "EnvoyGradient",
    "Expiry",
    "FeatureGate",
    "Gradient2",
    "LastInFirstOut",
    "PoolLimit",
    "Priority",
    "PriorityShedding",
    "QueueBound",
    "Quota",
    "RateLimit",
    "ReservedShare",
    "RetryBudget",
    "Shed",
    "ShippedPolicy",
    "UtilisationShedding",
    "Vegas",
    "WaitBound",
    "Waitlist",
]
