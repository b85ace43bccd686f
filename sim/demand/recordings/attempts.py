"""Repeated attempts of one wish: a request by somebody whose last one failed a short while ago is no new demand."""

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from sim.tables.times import Floats, Mask

REFUSED = (429, 503)  # turned away by the service
FAILED = (0, 408, 460, 499, 500, 502, 504)  # timed out, broken, or the client hung up
LONGEST = 3600.0  # s: nobody repeats a wish after that
FEWEST, SURE = 5, 0.01  # pauses after answers, to compare with; the chance of a mistake
Z95 = 1.959963984540054


@dataclass(frozen=True)
class Sessions:
    """Which rows are first attempts, and how often and when failed ones are repeated.

    first: bool (n,); attempts: float (n,), rows of each wish, at its first; window: seconds within which a request
    repeats a failed one; chance: share of refused attempts that are repeated, with a 95 % interval (Wilson); pause:
    mean seconds from a refusal to the next attempt; at_half, at_twice: wishes with half and twice the window.
    """

    first: Mask
    attempts: Floats
    window: float
    chance: tuple[float, float, float]
    pause: float
    at_half: int
    at_twice: int


def sessions(
    times: Floats, durations: Floats, user: NDArray[np.int64], kind: NDArray[np.int64], status: Floats
) -> Sessions | None:
    """Wishes among requests in order of time; None where no failed attempt is repeated. times: arrivals, s."""
    failed = np.isin(status, (*REFUSED, *FAILED))
    if not failed.any():
        return None
    whose = user * (int(kind.max(initial=0)) + 1) + kind
    order = np.argsort(whose, kind="stable")  # times ascend, and stay so within each
    same, failed = np.diff(whose[order]) == 0, failed[order]
    ends = (times + np.nan_to_num(durations))[order]
    pauses = times[order][1:] - ends[:-1]
    pairs = same & failed[:-1] & (pauses < LONGEST)
    others = same & ~failed[:-1] & (pauses < LONGEST)
    if not pairs.any() or not sooner(pauses[pairs], pauses[others]):
        return None
    window = valley(np.maximum(pauses[pairs], 1e-3))

    def repeats_within(limit: float) -> Mask:
        found = np.zeros(len(times), dtype=bool)
        found[order[1:][pairs & (pauses <= limit)]] = True
        return found

    repeat = repeats_within(window)
    refused = np.isin(status, REFUSED)
    asked_again = np.zeros(len(times), dtype=bool)
    asked_again[order[:-1][pairs & (pauses <= window)]] = True
    settled = refused & (times < times.max() - window)
    settled = settled if settled.any() else refused
    taken = pauses[pairs & (pauses <= window) & refused[order][:-1]]
    return Sessions(
        first=~repeat,
        attempts=rows_of_each(order, repeat),
        window=window,
        chance=wilson(int((settled & asked_again).sum()), int(settled.sum())),
        pause=float(taken.mean()) if len(taken) else float("nan"),
        at_half=int((~repeats_within(window / 2)).sum()),
        at_twice=int((~repeats_within(window * 2)).sum()),
    )


def sooner(after_failures: Floats, after_answers: Floats) -> bool:
    """Whether users come back sooner after a failure than after an answer; else no request is a repeat for sure.

    An address that stands for many people asks again after any pause, whatever became of its last request.
    """
    if len(after_answers) < FEWEST:
        return True
    return bool(scipy.stats.mannwhitneyu(after_failures, after_answers, alternative="less").pvalue < SURE)


def rows_of_each(order: NDArray[np.int64], repeat: Mask) -> Floats:
    """The rows of each wish, counted at its first row."""
    ranked = ~repeat[order]
    wish = np.cumsum(ranked) - 1
    found = np.zeros(len(order))
    found[order[ranked]] = np.bincount(wish)
    return found


def valley(pauses: Floats) -> float:
    """Where pauses after failures part into repeats and new wishes: the first gap in the histogram of their logs."""
    edges = np.arange(np.log10(1e-3), np.log10(LONGEST) + 0.25, 0.25)
    counts, _ = np.histogram(np.log10(pauses), edges)
    mode = int(np.argmax(counts))
    for place in range(mode + 1, len(counts)):
        after = counts[place + 1 :].max(initial=0)
        if counts[place] <= 0.05 * counts[mode] or (counts[place] < 0.5 * counts[mode] and after > counts[place] * 2):
            return float(10 ** edges[place + 1])
    return LONGEST


def wilson(hits: int, n: int) -> tuple[float, float, float]:
    """A share with its 95 % interval (Wilson 1927)."""
    if n == 0:
        return float("nan"), float("nan"), float("nan")
    share, z2 = hits / n, Z95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * np.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return share, float(middle - half), float(middle + half)
