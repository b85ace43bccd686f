"""The log of an engine: columns of plain numbers, from which the tables of a run are made."""

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from sim.results.timeline import Timeline

Columns = dict[str, NDArray[Any]]

TOKEN_SLOS = ("slo_first_token", "slo_per_token")  # of features, where they have any
OF_TOKENS = ("first_token", "tokens")  # columns of requests, where some pool runs steps


@dataclass(frozen=True)
class Log:
    """Times in seconds; nan is never. Names are numbers, in the order of the scenario.

    requests: one row per attempt, in any order: user, ask, attempt, tier, feature, arrived, started, dequeued,
        finished, left, outcome (a place in OUTCOMES), reason (in REASONS), asked, spec, level, batch (-1: none),
        gpu_seconds, retry, notified, first (the row of its intent's first attempt); where some pool runs steps, when
        the first token is made, by the horizon or later, and how many there are.
    batches: one row per batch, in the order of their numbers: pool, gpu, spec, size, started, finished, seconds,
        loading (of these), power (what its watts are multiplied by).
    people: one row per person: tier, source (-1: invited), region, newcomer, invited_by (-1: nobody), arrives,
        admitted, left.
    killed: one row per request that a GPU was working on when its work was lost: request, batch (rows of the two
        above), gpu_seconds.
    timeline: what happened, counted; None where the engine leaves that to the tables.
    gpus: GPUs of each pool as the scenario has them; with a GPU for everybody, as many as were needed.
    """

    requests: Columns
    batches: Columns
    people: Columns
    gpus: list[int]
    timeline: Timeline | None = None
    killed: Columns = field(default_factory=dict)
