"""The work that is lost with GPUs: which of them are hit, and what becomes of what they run."""

import numpy as np
from numpy.typing import NDArray

from sim.model.streams import KILLED, draws

# The fate of a batch: it runs to its end, it is stopped since nobody waits for it, it will be lost, it is lost.
RUNS, CANCELLED, DOOMED, LOST = range(4)


def hit(at_work: NDArray[np.bool_], lost: int, seed: int, pool: int, losses: int) -> NDArray[np.intp]:
    """The GPUs whose work is lost when `lost` GPUs are, chosen at random from those in service.

    at_work: for each GPU in service, whether it runs something. losses: how often GPUs were lost in this pool before,
    which names the draws. The GPUs of a pool are of one kind, so only the number of those at work among the chosen
    counts. The GPUs at work with the highest numbers stand for them, since these leave service.
    """
    lots = draws(seed, KILLED, (pool << 32) + np.arange(len(at_work)), losses)
    number = int(at_work[np.argsort(lots, kind="stable")[:lost]].sum())
    busy = np.flatnonzero(at_work)
    return busy[len(busy) - number :]
