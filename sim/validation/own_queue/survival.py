"""The patience of callers, estimated from a log in which most were served before they would have hung up."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Survival:
    """The share of callers still waiting after t seconds, if not served: a step function, `left` from `times` on.

    times: float64 (k,), ascending. left: float64 (k,), the share that still waits once times[i] is over. Beyond the
    last time, where anybody is left, it falls as the exponential that has fallen as far by then (Brown, Hollander and
    Korwar, 1974): exp(-tail t). Where no caller waited and then hung up, the rest wait without limit.
    """

    times: Floats
    left: Floats

    @property
    def tail(self) -> float:
        """The rate, per second, at which callers hang up after a wait longer than any in the log."""
        if not len(self.times) or self.times[-1] <= 0 or self.left[-1] <= 0:
            return 0.0
        return float(-np.log(self.left[-1]) / self.times[-1])

    def beyond(self, seconds: Floats) -> Floats:
        """The share with more patience than this: float64, of the same shape."""
        share = np.concatenate([[1.0], self.left])[np.searchsorted(self.times, seconds, side="right")]
        if self.tail == 0:
            return share
        return np.where(seconds > self.times[-1], np.exp(-self.tail * seconds), share)

    def patience(self, share: Floats, waited: Floats) -> Floats:
        """Seconds of patience, one for each uniform `share` in (0, 1); inf is without limit.

        waited: patience is known to be longer than this (-1: nothing is known), and is drawn from what is left of the
        law beyond it: the first time at which no more than share x beyond(waited) still wait.
        """
        beyond = self.beyond(waited)
        wanted = share * beyond
        with np.errstate(divide="ignore"):
            last = -np.log(wanted) / self.tail if self.tail > 0 else np.full(len(share), np.inf)
        place = np.searchsorted(-self.left, -wanted, side="left")
        found = np.where(place < len(self.times), np.append(self.times, np.inf)[place], last)
        return np.where(beyond > 0, found, np.inf)  # longer than any wait in the log: nothing is known, so they stay


def kaplan_meier(waited: Floats, abandoned: NDArray[np.bool_]) -> Survival:
    """The product-limit estimate of patience (Kaplan and Meier, JASA 53, 1958).

    waited: float64 (n,), seconds in the queue. abandoned: bool (n,); served callers would have waited for longer than
    `waited`. Of two events after the same wait, hanging up comes before service.
    """
    times, left_now = np.unique(waited[abandoned], return_counts=True)
    at_risk = len(waited) - np.searchsorted(np.sort(waited), times, side="left")
    still = np.cumprod(1.0 - left_now / at_risk, dtype=np.float64)
    return Survival(times, still)
