"""The work that is lost with GPUs: which of them are hit, and what becomes of what they run."""

import numpy as np
from numpy.typing import NDArray

from sim.model.streams import KILLED, draws

# The fate of a batch: it runs to its end, it is stopped since nobody waits for it, it will be lost, it is lost.
RUNS, CANCELLED, DOOMED, LOST = range(4)


def hit(at_work: NDArray[np.bool_], lost: int, seed: int, pool: int, losses: int, *, unlike: bool) -> NDArray[np.intp]:
    """The GPUs whose work is lost when `lost` GPUs are.

    at_work: for each GPU in service, whether it runs something. losses: how often GPUs were lost in this pool before,
    which names the draws. unlike: whether the pool has several kinds: then the GPUs with the highest numbers are lost,
    which leave service. Those of one kind are lost at random, and as only the number of those at work among them
    counts, the GPUs at work with the highest numbers stand for them.
    """
    if unlike:
        last = np.arange(len(at_work)) >= len(at_work) - lost
        return np.flatnonzero(at_work & last)
    lots = draws(seed, KILLED, (pool << 32) + np.arange(len(at_work)), losses)
    number = int(at_work[np.argsort(lots, kind="stable")[:lost]].sum())
    busy = np.flatnonzero(at_work)
    return busy[len(busy) - number :]
