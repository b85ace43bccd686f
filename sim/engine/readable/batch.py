"""The readable engine's batch: requests of one spec that a GPU serves together."""

import math
from dataclasses import dataclass
from typing import Any

from sim.model.losses import RUNS
from sim.model.request import Request


@dataclass(slots=True, eq=False)
class Batch:
    """Requests of one spec on one GPU, and a row of the batch table. Times in seconds; nan is never."""

    number: int
    pool: int
    gpu: int
    spec: int
    requests: list[Request]
    size: int  # images
    started: float
    seconds: float
    loading: float  # of these, at the start
    power: float  # the factor on its watts
    finished: float = math.nan
    stay: Any = None  # where a GPU runs many requests at once
    fate: int = RUNS
    ends: int = 0  # how often its end was brought forward: earlier ends are void
