"""A queue replayed by hand on a run's own arrivals and finishing times: when must each request have started?

It shares nothing with the simulator. A start follows from the arrivals, from when the servers became free and from who
left the queue before; as each start is checked on the recorded past, one difference is one error (Kiefer and Wolfowitz
1955; Lindley 1952 is the case of one server).
"""

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sim.results.run import Run

FINISHED, LEFT, ARRIVED = 0, 1, 2  # at one instant in this order
Order = Callable[[int, float, str], tuple[float, ...]]  # of a request's number, arrival and tier: the least is next


def in_order(number: int, arrived: float, tier: str) -> tuple[float, ...]:
    return (number,)


def newest_first(number: int, arrived: float, tier: str) -> tuple[float, ...]:
    return (-number,)


def by_tier(number: int, arrived: float, tier: str) -> tuple[float, ...]:
    """Tiers are named 1, 2, ...: the most urgent first."""
    return (float(tier), number)


@dataclass(frozen=True)
class Discipline:
    """How a queue is served.

    servers: batches at once; batch: the most requests in one; room: how many may wait, the rest are refused.
    """

    servers: int
    batch: int = 1
    room: float = math.inf
    order: Order = in_order


@dataclass(frozen=True)
class Difference:
    """seconds: the largest difference of a start, inf where only one side starts or refuses; starts: how many."""

    seconds: float
    starts: int


def largest_difference(run: Run, how: Discipline) -> Difference:
    """How far the starts of a run are from those that its own arrivals and services lead to."""
    rows = run.requests
    rows = rows[(rows["outcome"] != "refused") | (rows["reason"] == "queue bound")].reset_index(drop=True)
    expected, refused = replayed(rows, how)
    recorded = rows["started"].to_numpy(float)
    both_never = np.isnan(expected) & np.isnan(recorded)
    off = np.where(both_never, 0.0, np.abs(expected - recorded))
    off[np.isnan(off) | (refused != (rows["outcome"] == "refused").to_numpy())] = math.inf
    return Difference(float(off.max(initial=0.0)), int((~np.isnan(recorded)).sum()))


def replayed(rows: pd.DataFrame, how: Discipline) -> tuple[np.ndarray, np.ndarray]:
    """The instant at which each request starts (nan: never), and whether it is refused."""
    arrived, finished = rows["arrived"].to_numpy(float), rows["finished"].to_numpy(float)
    left = np.where(np.isnan(rows["started"]), rows["left"], math.nan).astype(float)
    tiers = rows["tier"].astype(str).tolist()
    moments = [(t, ARRIVED, n) for n, t in enumerate(arrived.tolist())]
    moments += [(t, LEFT, n) for n, t in enumerate(left.tolist()) if not math.isnan(t)]
    moments.sort()
    starts, refused = np.full(len(rows), math.nan), np.zeros(len(rows), bool)
    busy: list[float] = []  # when each server that works will be free
    waiting: list[tuple[tuple[float, ...], int]] = []
    gone: set[int] = set()  # of those in `waiting`: they left

    def start(now: float) -> None:
        while len(busy) < how.servers and len(waiting) > len(gone):
            ends, size = math.inf, 0
            while size < how.batch and waiting:
                number = heapq.heappop(waiting)[1]
                if number in gone:
                    gone.remove(number)
                    continue
                starts[number], size = now, size + 1
                ends = math.inf if math.isnan(finished[number]) else finished[number]
            heapq.heappush(busy, ends)

    for now, kind, number in moments:
        while busy and busy[0] <= now:
            free = heapq.heappop(busy)
            start(free)
        if kind == LEFT:
            gone.add(number)
        elif len(busy) == how.servers and len(waiting) - len(gone) >= how.room:
            refused[number] = True
        else:
            heapq.heappush(waiting, (how.order(number, now, tiers[number]), number))
            start(now)
    while busy and busy[0] < math.inf:
        start(heapq.heappop(busy))
    return starts, refused
