"""The throttling policies that a scenario can name, a small file a family; any object with act() is one too."""

from typing import Annotated, Any, get_args

from pydantic import Field

from sim.policies.access import FeatureGate, RegionGate, RollOut, WaitingRoom, Waitlist
from sim.policies.adaptive import Aimd, EnvoyGradient, Gradient2, Vegas
from sim.policies.admission import AdmissionControl, PriorityShedding, ReservedShare, UtilisationShedding
from sim.policies.brownout import Brownout
from sim.policies.cascade import ApproximateCache, Cascade
from sim.policies.clients import AdaptiveThrottle, Backoff, CircuitBreaker, RetryAfter, RetryBudget
from sim.policies.dagor import Dagor
from sim.policies.early import ControlledDelay, RandomEarly
from sim.policies.faults import Failures, PowerCap, Thermal
from sim.policies.limits import Concurrency, PoolLimit, Quota, RateLimit
from sim.policies.order import Priority
from sim.policies.quality import Degrade, DegradeUnderLoad
from sim.policies.queue import AdaptiveLifo, CoDel, Expiry, LastInFirstOut
from sim.policies.scaling import Autoscale, StepScaling
from sim.policies.sharing import FairPerUser, ShortestFirst, WeightedSharing
from sim.policies.shedding import QueueBound, Shed, WaitBound
from sim.policies.supply import MoveGpus, ScheduledCapacity

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
    | Autoscale
    | StepScaling
    | ScheduledCapacity
    | MoveGpus
    | Failures
    | PowerCap
    | Thermal
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

KINDS: dict[str, Any] = {one.model_fields["kind"].default: one for one in get_args(get_args(ShippedPolicy)[0])}

__all__ = [
    "KINDS",
    "AdaptiveLifo",
    "AdaptiveThrottle",
    "AdmissionControl",
    "Aimd",
    "ApproximateCache",
    "Autoscale",
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
    "Failures",
    "FairPerUser",
    "FeatureGate",
    "Gradient2",
    "LastInFirstOut",
    "MoveGpus",
    "PoolLimit",
    "PowerCap",
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
    "ScheduledCapacity",
    "Shed",
    "ShippedPolicy",
    "ShortestFirst",
    "StepScaling",
    "Thermal",
    "UtilisationShedding",
    "Vegas",
    "WaitBound",
    "WaitingRoom",
    "Waitlist",
    "WeightedSharing",
]
