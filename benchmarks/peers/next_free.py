"""M/M/100 at load 0.9 as a bare compiled loop, the floor: a heap of the times at which servers are next free."""

import numba
import numpy as np

ARRIVALS_A_SECOND = 90.0
SERVERS = 100
SERVICE_S = 1.0


@numba.njit(cache=True)
def play(customers: int, seed: int) -> float:
    """The mean wait of so many customers from an empty start, seconds."""
    np.random.seed(seed)  # noqa: NPY002 - compiled, it is a state of numba's own
    free = np.zeros(SERVERS)
    now = 0.0
    waited = 0.0
    for _ in range(customers):
        now += np.random.exponential(1 / ARRIVALS_A_SECOND)  # noqa: NPY002
        begins = max(now, free[0])
        waited += begins - now
        ends = begins + np.random.exponential(SERVICE_S)  # noqa: NPY002
        place = 0
        while 2 * place + 1 < SERVERS:
            child = 2 * place + 1
            if child + 1 < SERVERS and free[child + 1] < free[child]:
                child += 1
            if free[child] >= ends:
                break
            free[place] = free[child]
            place = child
        free[place] = ends
    return waited / customers
