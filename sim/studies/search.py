"""The search for the smallest whole number with which a promise holds in enough runs, where runs differ by chance."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from sim.results.intervals import Interval, proportion

AT_ONCE = 4  # runs after which it is seen whether more can change a failure
# Requests. In n runs without one that fails they fail at most 3 / n times a run (95 %), so that even for two runs more
# than three fail in fewer than a tenth of all.
FEW = 3
# By how much a run breaks a promise by far; and the gap between two groups of margins, in widths of the wider, that one
# normal law leaves in one of twenty sets of four runs, and hardly ever in ten.
BY_FAR, GAP = 0.1, 5.0
ONE_BELOW = 0.05  # the share of sets of normal margins of which one is taken to lie apart


@dataclass(frozen=True)
class Look:
    """One place as its runs show it. margins: by how much each run keeps the promise; below 0, breaks it."""

    seeds: tuple[int, ...]
    margins: tuple[float, ...]
    runs: float  # the share of runs that must keep it
    confidence: float
    stuck: bool  # some run stayed down, or each is another future, so that runs of this place differ by their fate
    grain: float = 0.0  # by how much one request more or less changes a margin

    @property
    def kept(self) -> int:
        return sum(margin >= 0 for margin in self.margins)

    @property
    def passes(self) -> bool:
        """Whether enough of these runs keep the promise."""
        return self.kept >= math.ceil(self.runs * len(self.margins) - 1e-9)

    @property
    def interval(self) -> Interval:
        """Of the share of runs that keep the promise (Wilson)."""
        return proportion(self.kept, len(self.margins), self.confidence)

    @property
    def by_requests(self) -> bool:
        """Whether single requests decide: the mean margin is FEW of them or less, and such counts are not normal."""
        return abs(float(np.mean(self.margins))) < FEW * self.grain

    @property
    def two_groups(self) -> bool:
        """Whether runs keep the promise or break it by far, with little between those of either group."""
        kept = [margin for margin in self.margins if margin >= 0]
        broken = [margin for margin in self.margins if margin < 0]
        if not kept or not broken or max(broken) > -BY_FAR:
            return False
        return min(kept) - max(broken) > GAP * max(max(kept) - min(kept), max(broken) - min(broken))

    @property
    def one_below(self) -> bool:
        """Whether the lowest margin lies further below the others than one normal law leaves it in 5 % of samples
        (Grubbs 1950), and another run as much lower would break the promise.

        So it is near saturation: most runs keep the promise by about as much, and a few miss it by anything.
        """
        low, *others = sorted(self.margins)
        if len(others) < 2 or low >= (below := float(np.mean(others)) - low):
            return False
        n, spread = len(self.margins), float(np.std(others, ddof=1))
        return below > 1e-12 + spread * math.sqrt(n / (n - 1)) * float(special.stdtrit(n - 2, 1 - ONE_BELOW / n))

    @property
    def counted(self) -> bool:
        """Whether the verdict rests on the count of runs alone, not on their margins."""
        return self.stuck or self.by_requests or self.two_groups or self.one_below or len(self.margins) < 2

    @property
    def verdict(self) -> str:
        """meets: the share of runs that keep the promise is as large as it must be, with this confidence; misses: it is
        smaller, with this confidence; undecided: so few runs do not tell.

        Margins of runs are about normal, unless some stay down and others recover, or single requests decide, or they
        fall into two groups, or one lies far below the others: so the bounds are those of a normal tolerance interval
        (noncentral t; Owen 1963), or else of the count of runs alone (binomial). All are one-sided. What the count of
        these very runs contradicts is undecided.
        """
        n, margins = len(self.margins), np.array(self.margins)
        mean, spread = float(margins.mean()), float(margins.std(ddof=1)) if n > 1 else math.nan
        if self.counted:
            # The chances of this many kept runs or more, and of this many or fewer, if exactly that share kept it.
            more = float(special.bdtrc(self.kept - 1, n, self.runs))
            fewer = float(special.bdtr(self.kept, n, self.runs))
            level = 1 - self.confidence
            decided = "meets" if more <= level else "misses" if fewer <= level else "undecided"
        elif spread <= 1e-12:
            decided = "meets" if mean >= 0 else "misses"
        else:
            need, enough = (tolerance(n, self.runs, level) for level in (self.confidence, 1 - self.confidence))
            decided = "meets" if mean >= need * spread else "misses" if mean < enough * spread else "undecided"
        return "undecided" if decided == ("misses" if self.passes else "meets") else decided


def why_counted(look: Look) -> str:
    """Why the margins of these runs are no evidence, and runs are only counted."""
    if look.stuck:
        return "Some runs stay down while others recover"
    if look.two_groups:
        return "Some runs break it by far, and no run by little"
    if look.one_below:
        return "One run lies far below the others"
    return "Single requests decide whether a run keeps it"


def tolerance(n: int, share: float, confidence: float) -> float:
    """How many deviations of n values their mean must lie above a bound, for a share of all values to lie above it."""
    if share >= 1:
        return math.inf
    return float(special.nctdtrit(n - 1, special.ndtri(share) * math.sqrt(n), confidence) / math.sqrt(n))


def clean_runs(share: float, confidence: float) -> int:
    """How many runs without a failure show that at least this share of all runs keeps a promise.

    The least n with share^n <= 1 - confidence: the one-sided bound of Clopper and Pearson (1934).
    """
    return math.ceil(math.log(1 - confidence) / math.log(share) - 1e-9)


def smallest(passes: Callable[[int], bool], start: int, low: int, high: int) -> int | None:
    """The smallest place from low to high that passes, if every place above one that passes does; None: not even high.

    Doubles its stride from the start until the answer changes, then bisects.
    """
    start = min(max(start, low), high)
    stride = 1
    if passes(start):
        good, bad = start, low - 1
        while good > low:
            tried = max(start - stride, low)
            if not passes(tried):
                bad = tried
                break
            good, stride = tried, 2 * stride
    else:
        bad = start
        while True:
            if bad >= high:
                return None
            tried = min(start + stride, high)
            if passes(tried):
                good = tried
                break
            bad, stride = tried, 2 * stride
    while good - bad > 1:
        middle = (good + bad) // 2
        if passes(middle):
            good = middle
        else:
            bad = middle
    return good


def chunks(seeds: Sequence[int], known: int) -> list[Sequence[int]]:
    """The seeds that are still to be run, in the parts after which a failure may be plain."""
    left = seeds[known:]
    return [left[at : at + AT_ONCE] for at in range(0, len(left), AT_ONCE)]


def hopeless(margins: Sequence[float], runs: float, seeds: int) -> bool:
    """Whether too many runs have broken the promise for the share of all to keep it."""
    broken = sum(margin < 0 for margin in margins)
    return seeds - broken < math.ceil(runs * seeds - 1e-9)
