"""A queue's arrivals, services and patience, one by one: first come, first served, by servers who come and go.

In order of arrival, each call begins when the first server is ready for it, or ends with its patience: those who come
later cannot matter (Kiefer and Wolfowitz, 1955, with a roster). Tests hold it against the engines.
"""

from bisect import bisect_right
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sim.tables.times import Floats
from sim.validation.own_queue.staffing import OnDuty


@dataclass(frozen=True)
class Calls:
    """Calls, float64 (n,) each, in seconds: arrival (ascending), service time, patience (inf: no limit).

    turnaround: for how long the server is not ready after the service; none where empty.
    """

    arrived: Floats
    served: Floats
    patience: Floats
    turnaround: Floats = field(default_factory=lambda: np.empty(0))


@dataclass(frozen=True)
class Played:
    """Outcomes of calls: seconds in the queue (nan: still in it at the end), whether abandoned, whether served."""

    waited: Floats
    abandoned: NDArray[np.bool_]
    served: NDArray[np.bool_]


def play_calls(calls: Calls, duty: OnDuty) -> Played:
    """All calls, with the lowest number on duty serving first; a server who goes ends the call first."""
    n = len(calls.arrived)
    waited, abandoned, served = np.full(n, np.nan), np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    busy = calls.served + calls.turnaround if len(calls.turnaround) else calls.served
    shifts = [shifts_of(duty, k) for k in range(int(max(duty.servers.max(), duty.stays)))]
    free = [-np.inf] * len(shifts)
    for k, (came, lasts, patient) in enumerate(
        zip(calls.arrived.tolist(), busy.tolist(), calls.patience.tolist(), strict=True)
    ):
        start, who = np.inf, -1
        for server, (begins, ends) in enumerate(shifts):
            ready = max(free[server], came)
            if ready >= start:
                continue
            place = bisect_right(begins, ready) - 1
            if place < 0 or ready >= ends[place]:
                place += 1
                ready = begins[place] if place < len(begins) else np.inf
            if ready < start:
                start, who = ready, server
            if start == came:
                break
        if start - came > patient:
            waited[k], abandoned[k] = patient, True
        elif who >= 0:
            waited[k], served[k], free[who] = start - came, True, start + lasts
    return Played(waited, abandoned, served)


def shifts_of(duty: OnDuty, server: int) -> tuple[list[float], list[float]]:
    """When a server's shifts begin and end; the first one's, where one stays until nobody waits, is one long shift."""
    on = np.maximum(duty.servers, 1 if duty.stays else 0) > server
    changes = np.flatnonzero(np.diff(np.concatenate([[False], on, [False]]).astype(np.int8)))
    edges = np.append(duty.since, np.inf)
    return edges[changes[::2]].tolist(), edges[changes[1::2]].tolist()
