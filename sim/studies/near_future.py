"""The demand of the next hour, from what was counted in the last minutes: draws of a trend whose growth changes."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sim.model.streams import FUTURE, normal

Floats = NDArray[np.float64]

FADES = 1800.0  # s: growth loses 63 % of its strength in this time (assumed: surges of launches turn within an hour)
TREND = 0.05 / 60.0  # per s: the standard deviation of growth before any is seen (assumed: a doubling in 14 minutes)
CHANGES = (0.01 / 60.0, 0.05 / 60.0)  # per s and root minute: how fast growth itself changes; the counts say which
DRIFT = 0.05  # of the log rate, per root minute: what no growth foresees (assumed)
ONWARD = 0.03  # the same of futures, whose growth fades without new turns (chosen among nine settings: docs/watch.md)
FAINT = 0.5  # people added to those counted, so that none so far is no proof of none to come (Jeffreys' prior)
MOST = 10.0  # times the highest rate counted: no future has more (assumed; a launch begins from nothing)
FIRST = 3.0  # of the log rate: the standard deviation around the mean of the counts before any is seen
ROUND = 10  # multiples of less may be chance
ROUNDS, HALVES = 30, 10  # of Newton's method, and of one of its steps
EVEN = (math.sqrt(5.0) - 1.0) / 2.0  # its multiples lie evenly between 0 and 1, however many there are


@dataclass(frozen=True)
class Growth:
    """The log rate and its growth per second, at the end of the counts: the estimate and its covariance.

    change: how fast growth changes, per second and root minute; evidence: the log of its likelihood.
    """

    level: float
    slope: float
    covariance: Floats
    change: float
    evidence: float


@dataclass(frozen=True)
class Trend:
    """What the counts say, for each of CHANGES, with its weight."""

    growths: tuple[Growth, ...]
    weights: tuple[float, ...]
    most: float  # people a second: no future has more

    @property
    def level(self) -> float:
        return math.fsum(w * one.level for w, one in zip(self.weights, self.growths, strict=True))

    @property
    def slope(self) -> float:
        return math.fsum(w * one.slope for w, one in zip(self.weights, self.growths, strict=True))

    def draw(self, seconds: Floats, seed: int) -> Floats:
        """Rates per second at these times from now, evenly spaced, in one future: seeds from 1 on."""
        place = int(np.searchsorted(np.cumsum(self.weights), seed * EVEN % 1.0))
        one = self.growths[min(place, len(self.growths) - 1)]
        z = np.array([normal.direct(seed, FUTURE, 0, k) for k in range(2 + len(seconds))])
        level, slope = np.array([one.level, one.slope]) + np.linalg.cholesky(one.covariance) @ z[:2]
        step = float(seconds[1] - seconds[0]) if len(seconds) > 1 else 0.0
        kept, root = math.exp(-step / FADES), math.sqrt(step / 60.0)
        logs = np.empty(len(seconds))
        for k, off in enumerate(z[2:]):
            logs[k] = level
            level += slope * FADES * (1.0 - kept) + off * ONWARD * root
            slope *= kept
        found: Floats = np.exp(np.clip(logs, -50.0, math.log(self.most)))
        return found


def trend_of(counts: Floats, begins: Floats, lasts: Floats) -> Trend:
    """The trend of counts in intervals that begin at these seconds (0 is now) and last so long.

    A local linear trend of the log rate (Harvey, Forecasting, structural time series models, 1989, chapter 2) under
    Poisson counts: the rate grows, and its growth changes at random. How fast it does is weighed by the likelihood of
    the counts, each choice being as likely before.
    """
    unit = unit_of(counts)
    growths = [growth_of(counts / unit, begins + lasts / 2, lasts, change) for change in CHANGES]
    growths = [replace(one, level=one.level + math.log(unit)) for one in growths]
    evidence = np.array([one.evidence for one in growths])
    weights = np.exp(evidence - evidence.max())
    most = MOST * float(((counts + unit * FAINT / len(counts)) / lasts).max())
    return Trend(tuple(growths), tuple((weights / weights.sum()).tolist()), most)


def unit_of(counts: Floats) -> float:
    """What one person counts for: 1, or more where all counts are multiples of it, as in metrics made from a slice."""
    some = counts[counts > 0]
    if len(some) < 2 or (some != np.floor(some)).any():
        return 1.0
    common = float(np.gcd.reduce(some.astype(np.int64)))
    return common if common >= ROUND else 1.0


def growth_of(counts: Floats, middles: Floats, lasts: Floats, change: float) -> Growth:
    """The most likely path of log rate and growth, by Newton's method, and its covariance (Laplace's approximation)."""
    mean = math.log((float(counts.sum()) + FAINT) / float(lasts.sum()))
    precision, spreads = prior(np.diff(middles), change)
    pull = np.zeros(len(precision))
    pull[0] = mean / FIRST**2
    at = np.zeros(len(precision))
    at[0::2] = np.log((counts + FAINT) / lasts)
    levels = np.arange(0, len(at), 2)

    def fit(path: Floats) -> tuple[float, Floats, Floats]:
        expected = lasts * np.exp(np.clip(path[0::2], -50.0, 50.0))
        curved = precision.copy()
        curved[levels, levels] += expected
        value = float((counts * path[0::2] - expected).sum() - path @ precision @ path / 2 + pull @ path)
        return value, expected, curved

    value, expected, curved = fit(at)
    for _ in range(ROUNDS):
        slope = pull - precision @ at
        slope[0::2] += counts - expected
        step = np.linalg.solve(curved, slope)
        for _ in range(HALVES):
            there = fit(at + step)
            if there[0] >= value - 1e-9:
                break
            step = step / 2
        at, (value, expected, curved) = at + step, there
        if np.abs(step[0::2]).max() < 1e-7:
            break
    on = np.array([[1.0, lasts[-1] / 2], [0.0, 1.0]])  # from the middle of the last interval to now
    level, growth = on @ at[-2:]
    covariance: Floats = on @ np.linalg.inv(curved)[-2:, -2:] @ on.T + np.diag([1e-12, 1e-18])
    evidence = value - spreads - float(np.linalg.slogdet(curved)[1]) / 2
    return Growth(float(level), float(growth), covariance, change, evidence)


def prior(gaps: Floats, change: float) -> tuple[Floats, float]:
    """The precision of paths of log rate and growth, one after the other, and the sum of their log deviations."""
    n = 2 * (len(gaps) + 1)
    precision = np.zeros((n, n))
    first = (FIRST, math.hypot(TREND, change))
    precision[0, 0], precision[1, 1] = first[0] ** -2, first[1] ** -2
    spreads = math.log(first[0]) + math.log(first[1])
    for k, gap in enumerate(gaps.tolist()):
        level, slope = np.zeros(n), np.zeros(n)
        level[[2 * k, 2 * k + 1, 2 * k + 2]] = (-1.0, -gap, 1.0)
        slope[[2 * k + 1, 2 * k + 3]] = (-math.exp(-gap / FADES), 1.0)
        for row, deviation in ((level, DRIFT), (slope, change)):
            spread = deviation * math.sqrt(gap / 60.0)
            precision += np.outer(row, row) / spread**2
            spreads += math.log(spread)
    return precision, spreads
