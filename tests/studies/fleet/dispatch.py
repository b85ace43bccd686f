"""Small reference replays of recorded jobs on a fleet: how long each job waits under one way of choosing its server.

Every server serves one job at a time, first come, first served.
"""

from collections import deque
from collections.abc import Callable
from heapq import heapify, heapreplace

import numpy as np
from numpy.typing import NDArray

from sim.model.streams import CHECK, draws

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Dispatcher = Callable[[Floats, Floats, int, int], Floats]

RANDOM, ONE, OTHER = 101, 102, 103  # places among the draws that choose servers


def central_queue(arrived: Floats, seconds: Floats, servers: int, seed: int) -> Floats:
    """Waits in seconds, (jobs,), where whichever server is free first takes the next of one queue.

    arrived: ascending, (jobs,); seconds: of service. After Kiefer and Wolfowitz (1955). `seed` is not used.
    """
    free = [0.0] * servers
    heapify(free)
    waits = np.empty(len(arrived))
    for job, (now, took) in enumerate(zip(arrived.tolist(), seconds.tolist(), strict=True)):
        starts = max(now, free[0])
        heapreplace(free, starts + took)
        waits[job] = starts - now
    return waits


def assigned(arrived: Floats, seconds: Floats, server: Ints, servers: int) -> Floats:
    """Waits where each job's server is known beforehand: Lindley's recursion (1952), server by server."""
    free = [0.0] * servers
    waits = np.empty(len(arrived))
    jobs = zip(arrived.tolist(), seconds.tolist(), server.tolist(), strict=True)
    for job, (now, took, place) in enumerate(jobs):
        starts = max(now, free[place])
        free[place] = starts + took
        waits[job] = starts - now
    return waits


def round_robin(arrived: Floats, seconds: Floats, servers: int, seed: int) -> Floats:
    """Waits where servers take turns."""
    return assigned(arrived, seconds, np.arange(len(arrived)) % servers, servers)


def at_random(arrived: Floats, seconds: Floats, servers: int, seed: int) -> Floats:
    """Waits where each job goes to a server at random, each equally likely."""
    return assigned(arrived, seconds, chosen(len(arrived), servers, seed, RANDOM), servers)


def least_loaded(arrived: Floats, seconds: Floats, servers: int, seed: int) -> Floats:
    """Waits where each job goes to the server with the fewest jobs, the lowest in number of those."""
    return by_jobs(arrived, seconds, servers, [range(servers)] * len(arrived))


def power_of_two(arrived: Floats, seconds: Floats, servers: int, seed: int) -> Floats:
    """Waits where each job looks at two random servers, and goes to the one with fewer jobs (Mitzenmacher, 2001)."""
    pairs = zip(*(chosen(len(arrived), servers, seed, place).tolist() for place in (ONE, OTHER)), strict=True)
    return by_jobs(arrived, seconds, servers, list(pairs))


def by_jobs(arrived: Floats, seconds: Floats, servers: int, looked_at: list[range] | list[tuple[int, ...]]) -> Floats:
    """Waits where each job goes to the one with the fewest jobs of the servers that it looks at, the first of those."""
    held: list[deque[float]] = [deque() for _ in range(servers)]  # when the jobs there will be done
    waits = np.empty(len(arrived))
    for job, (now, took, places) in enumerate(zip(arrived.tolist(), seconds.tolist(), looked_at, strict=True)):
        fewest, place = servers + len(arrived), 0
        for one in places:
            there = held[one]
            while there and there[0] <= now:
                there.popleft()
            if len(there) < fewest:
                fewest, place = len(there), one
                if not fewest:
                    break
        starts = held[place][-1] if held[place] else now
        held[place].append(starts + took)
        waits[job] = starts - now
    return waits


def chosen(n: int, servers: int, seed: int, place: int) -> Ints:
    """A server for each of n jobs, each equally likely."""
    return (draws(seed, CHECK, np.arange(n), place) * servers).astype(np.int64)


DISPATCHERS: dict[str, Dispatcher] = {
    "central queue": central_queue,
    "least loaded": least_loaded,
    "round robin": round_robin,
    "power of two choices": power_of_two,
    "random": at_random,
}
