"""Saturation: a pool is behind by more than batching explains, because work comes faster than it can be done.

Fluid theory is the model: a queue grows by what comes less what can be done, and is empty once there is time to spare
(Newell, Applications of Queueing Theory, 1982). Two things keep a real pool with spare capacity from an empty queue.
One is batching: while GPUs are busy, up to a full batch for each may wait, and what comes while a batch lingers. The
other is random arrivals. At a load of 90 % these leave 4 to 9 requests waiting on average, whatever the number of GPUs
(Kingman's formula), and RANDOM or more in 0.1 % to 4 % of the time.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

BUSY = 0.98  # a pool whose GPUs are busy for less than this share of a bin has time to spare
RANDOM = 30  # requests that random arrivals alone may leave waiting

DEFINITION = (
    "A pool is saturated while it is behind by more than batching explains: while more requests wait, or were turned "
    "away or given up since it last had time to spare, than one full batch for each GPU and what comes while a batch "
    f"lingers. It counts from {RANDOM} requests more than that, which random arrivals alone hardly leave."
)


@dataclass(frozen=True)
class Balance:
    """A pool bin by bin, in requests of its mean work.

    came: granted, or turned away for want of room; able: what its GPUs can do in full batches, besides loading models;
    waiting: on average; idle: whether GPUs had time to spare; batching: waiting because of batches, at most.
    parts: independent cells.
    """

    came: Floats
    able: Floats
    waiting: Floats
    idle: Mask
    batching: Floats
    parts: int = 1


def behind(of: Balance) -> Floats:
    """Requests that a pool is behind at the end of each bin: the fluid queue, or what waits, where that is more."""
    keeps_up = of.idle | ((of.came <= of.able) & (of.waiting <= of.batching))
    found, late = np.array(of.waiting), 0.0
    for place, surplus in enumerate((of.came - of.able).tolist()):
        late = found[place] if keeps_up[place] else max(found[place], late + surplus)
        found[place] = late
    return found


def saturated(of: Balance) -> Mask:
    """The bins in which a pool is saturated: whole stretches in which it is behind, where they are no accident."""
    late = behind(of) - of.batching
    begins = np.flatnonzero(np.diff(late > 0, prepend=False) & (late > 0))
    ends = np.flatnonzero(np.diff(late > 0, append=False) & (late > 0)) + 1
    found = np.zeros(len(late), dtype=bool)
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        found[begin:end] = late[begin:end].max() >= RANDOM * of.parts
    return found
