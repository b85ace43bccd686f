"""The throttling policies that a scenario can name, a small file a family; any object with act() is one too."""

from typing import Annotated

from pydantic import Field

from sim.policies.access import FeatureGate, RegionGate, RollOut, WaitingRoom, Waitlist
from sim.policies.adaptive import Aimd, EnvoyGradient, Gradient2, Vegas
from sim.policies.admission import AdmissionControl, PriorityShedding, ReservedShare, UtilisationShedding
from sim.policies.brownout import Brownout
from sim.policies.cascade import ApproximateCache, Cascade
from sim.policies.clients import AdaptiveThrottle, Backoff, CircuitBreaker, RetryAfter, RetryBudget
from sim.policies.dagor import Dagor
from sim.policies.early import ControlledDelay, RandomEarly
from sim.policies.limits import Concurrency, PoolLimit, Quota, RateLimit
from sim.policies.order import Priority
from sim.policies.quality import Degrade, DegradeUnderLoad
from sim.policies.queue import AdaptiveLifo, CoDel, Expiry, LastInFirstOut
from sim.policies.sharing import FairPerUser, ShortestFirst, WeightedSharing
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
    | Brownout
    | WeightedSharing
    | FairPerUser
    | ShortestFirst
    | Dagor
    | Backoff
    | RetryAfter
    | CircuitBreaker
    | WaitingRoom
    | RegionGate
    | RollOut
    | RandomEarly
    | ControlledDelay
    | Cascade
    | ApproximateCache,
    Field(discriminator="kind"),
]

__all__ = [
    "AdaptiveLifo",
    "AdaptiveThrottle",
    "AdmissionControl",
    "Aimd",
    "ApproximateCache",
    "Backoff",
    "Brownout",
    "Cascade",
    "CircuitBreaker",
    "CoDel",
    "Concurrency",
    "ControlledDelay",
    "Dagor",
    "Degrade",
    "DegradeUnderLoad",
    "EnvoyGradient",
    "Expiry",
    "FairPerUser",
    "FeatureGate",
    "Gradient2",
    "LastInFirstOut",
    "PoolLimit",
    "Priority",
    "PriorityShedding",
    "QueueBound",
    "Quota",
    "RandomEarly",
    "RateLimit",
    "RegionGate",
    "ReservedShare",
    "RetryAfter",
    "RetryBudget",
    "RollOut",
    "Shed",
    "ShippedPolicy",
    "ShortestFirst",
    "UtilisationShedding",
    "Vegas",
    "WaitBound",
    "WaitingRoom",
    "Waitlist",
    "WeightedSharing",
]
