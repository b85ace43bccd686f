"""Confidence intervals and tests for figures of independent runs: means, shares, ratios, proportions and quantiles.

The unit is the run: requests inside a run depend on each other. An interval covers chance alone, that is what other
seeds would give; it says nothing about inputs that are wrong, and nothing about the choice of the best after looking.
"""

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special  # scipy.stats would take most of a second to import, and asks the same functions

from sim.errors import BadInput

CONFIDENCE = 0.95
FEWEST = 3  # runs; with two, one t quantile is 12.7 standard errors, and no interval of it helps anybody

Kind = Literal["share", "amount", "any"]  # within [0, 1]; not negative; without bounds


class Interval(NamedTuple):
    """Bounds at 95 %; nan where there is none."""

    low: float
    high: float


NONE = Interval(math.nan, math.nan)
WIDEST = 0.5  # of the value: a prediction that may be off by more agrees with nearly anything


def says_nothing(off: float, value: float, least: float = 0.0) -> bool:
    """Whether a band of `off` to each side of a predicted value is too wide to be evidence; least: always narrow."""
    return off > max(WIDEST * abs(value), least)


def standard_error(values: NDArray[np.float64]) -> float:
    """Of the mean of independent values."""
    return float(values.std(ddof=1)) / math.sqrt(len(values))


def t_interval(values: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Student's t for the mean of independent values; none for fewer than three, or where one is not finite."""
    numbers = np.asarray(values, dtype=float)
    if len(numbers) < FEWEST or not np.isfinite(numbers).all():
        return NONE
    half = critical_t(len(numbers), confidence) * standard_error(numbers)
    return Interval(float(numbers.mean()) - half, float(numbers.mean()) + half)


def mean_interval(values: ArrayLike, kind: Kind = "any") -> Interval:
    """An interval for the mean that stays where the figure can be.

    A share goes through the logit, so that its bounds lie within 0 and 1; where a run is at 0 or at 1, which has no
    logit, and for an amount, Student's interval is cut at the bounds: as the mean cannot lie beyond them, it covers it
    as often as before.
    """
    numbers = np.asarray(values, dtype=float)
    if kind == "share" and len(numbers) and ((numbers > 0) & (numbers < 1)).all():
        low, high = t_interval(special.logit(numbers))
        mean = float(numbers.mean())  # not that of the logits, which the interval is around: near, and rarely outside
        return Interval(min(float(special.expit(low)), mean), max(float(special.expit(high)), mean))
    low, high = t_interval(numbers)
    bounds = {"share": (0.0, 1.0), "amount": (0.0, math.inf), "any": (-math.inf, math.inf)}[kind]
    return Interval(*(float(np.clip(bound, *bounds)) for bound in (low, high)))


class Difference(NamedTuple):
    """A paired difference: its mean, interval and the p value of no difference (nan where there are too few runs)."""

    mean: float
    low: float
    high: float
    p: float


def paired_difference(
    values: ArrayLike, others: ArrayLike, kind: Kind = "any", confidence: float = CONFIDENCE
) -> Difference:
    """values - others, seed by seed (Student's t on the differences), so that what both share does not count.

    Differences of shares lie within -1 and 1. Where all seeds differ by the same, p is 0, or 1 if they do not differ.
    """
    with np.errstate(invalid="ignore"):
        apart = np.asarray(values, dtype=float) - np.asarray(others, dtype=float)
    mean = float(np.mean(apart))
    low, high = t_interval(apart, confidence)
    if math.isnan(low):
        return Difference(mean, low, high, math.nan)
    if kind == "share":
        low, high = max(low, -1.0), min(high, 1.0)
    spread = standard_error(apart)
    if spread == 0:
        return Difference(mean, low, high, 0.0 if mean else 1.0)
    return Difference(mean, low, high, 2 * float(special.stdtr(len(apart) - 1, -abs(mean) / spread)))


def ratio_interval(parts: ArrayLike, wholes: ArrayLike) -> Interval:
    """The interval of a ratio of means, like dollars per image, from the parts and wholes of each run (Fieller 1954).

    All r with (p - r w)^2 <= t^2 (V_pp - 2 r V_pw + r^2 V_ww) / n, where p and w are the means and V the covariances.
    None where the mean of the wholes may be 0, as these r are no interval then; nor for fewer than three runs.
    """
    part, whole = np.asarray(parts, dtype=float), np.asarray(wholes, dtype=float)
    if len(part) < FEWEST or not (np.isfinite(part).all() and np.isfinite(whole).all()):
        return NONE
    variance = critical_t(len(part)) ** 2 * np.cov(part, whole) / len(part)
    a, b, c = whole.mean() ** 2 - variance[1, 1], part.mean() * whole.mean() - variance[0, 1], part.mean() ** 2
    if a <= 0:
        return NONE
    half = math.sqrt(max(b**2 - a * (c - variance[0, 0]), 0.0))
    return Interval(float((b - half) / a), float((b + half) / a))


def ratio_difference(
    parts: ArrayLike, wholes: ArrayLike, other_parts: ArrayLike, other_wholes: ArrayLike, confidence: float = CONFIDENCE
) -> Difference:
    """How much higher one ratio of means is than another, paired by run: the jackknife (Quenouille 1956, Tukey 1958).

    Each run is left out once; Student's t on the pseudo-values n d - (n - 1) d_i of the difference d, around their mean
    for the interval and the p value. nan where a ratio has no runs, or no whole without one of them.
    """
    four = np.array([parts, wholes, other_parts, other_wholes], dtype=float)
    sums, n = four.sum(axis=1), four.shape[1]
    with np.errstate(invalid="ignore", divide="ignore"):  # a run without images, or fewer than two runs
        difference = float(sums[0] / sums[1] - sums[2] / sums[3])
        rest = sums[:, None] - four
        pseudo = n * difference - (n - 1) * (rest[0] / rest[1] - rest[2] / rest[3])
    _, low, high, p = paired_difference(pseudo, np.zeros(n), confidence=confidence)
    return Difference(difference, low, high, p)


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """p values corrected for being many (Holm 1979): the i-th smallest of m times m - i + 1, never falling, at most 1.

    nan stays, and is not counted. Comparing every option with the best of them needs no more than these m, although the
    best is chosen after looking (Hsu 1984, multiple comparisons with the best).
    """
    given = np.asarray(p_values, dtype=float)
    found = np.full(len(given), math.nan)
    order = np.argsort(given)[: int(np.isfinite(given).sum())]  # nan is sorted last
    factors = np.arange(len(order), 0, -1)
    found[order] = np.minimum(np.maximum.accumulate(given[order] * factors), 1.0)
    return found


def critical_t(n: int, confidence: float = CONFIDENCE) -> float:
    """Standard errors to each side of a two-sided interval of n values."""
    return float(special.stdtrit(n - 1, 1 - (1 - confidence) / 2))


def proportion(successes: int, runs: int, confidence: float = CONFIDENCE) -> Interval:
    """Wilson's interval of a proportion of runs, like those that stay alive."""
    tail, failures = (1 - confidence) / 2, runs - successes
    z2 = float(special.ndtri(tail)) ** 2
    middle, half = successes + z2 / 2, math.sqrt(z2 * (successes * failures / runs + z2 / 4))
    low, high = (middle - half) / (runs + z2), (middle + half) / (runs + z2)
    return Interval(low if successes else 0.0, high if failures else 1.0)


def quantile_ranks(n: int, share: float) -> tuple[int, int]:
    """The ranks (from 1) of the order statistics between which a quantile lies, by the binomial law.

    Each tail is at most 2.5 %. Rank 0 or n + 1: n values cannot bound it on that side.
    """
    tail = (1 - CONFIDENCE) / 2
    below = special.bdtr(np.arange(n), n, share)  # below[k]: at most k of n values lie under the quantile
    low = int(np.searchsorted(below, tail, side="right"))
    high = int(np.searchsorted(below, 1 - tail, side="left")) + 1
    return low, high


def quantile_interval(values: ArrayLike, share: float) -> Interval:
    """The interval of a quantile over runs; nan on a side that so few values cannot bound."""
    numbers = np.sort(np.asarray(values, dtype=float))
    low, high = quantile_ranks(len(numbers), share)
    least = float(numbers[low - 1]) if low >= 1 else math.nan
    return Interval(least, float(numbers[high - 1]) if high <= len(numbers) else math.nan)


AHEAD = 5  # further runs for which an interval must stay as narrow, so that a lucky few do not end a study


def refuse_imprecise(until: float | None) -> None:
    """Raise BadInput for a precision that no number of seeds reaches, or that any does."""
    if until is not None and not 0 < until < 1:
        raise BadInput("this precision cannot be asked for", key="until", value=until, expected="a share, like 0.02")


def precise_after(values: ArrayLike, precision: float, kind: Kind = "any") -> int | None:
    """How many of these values are enough for Student's interval to be within `precision` to each side; None: not yet.

    In the unit of a share; else relative to the mean, which near 0 would never stop. It must stay so for AHEAD more
    values: stopping at the first would stop where the interval is narrow by chance, and cover too rarely (Hoad,
    Robinson and Davies 2010, who look five runs ahead).
    """
    numbers = np.asarray(values, dtype=float)
    n = np.arange(1, len(numbers) + 1)
    mean, apart = np.cumsum(numbers) / n, numbers - numbers[:1]
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = np.maximum(np.cumsum(apart**2) - np.cumsum(apart) ** 2 / n, 0.0) / (n - 1)
        half = special.stdtrit(n - 1, (1 + CONFIDENCE) / 2) * np.sqrt(variance / n)
        within = (n >= FEWEST) & ((half if kind == "share" else half / np.abs(mean)) <= precision)
    lasting = np.convolve(within, np.ones(AHEAD + 1), "valid") > AHEAD + 0.5 if len(n) > AHEAD else np.zeros(0)
    return int(np.argmax(lasting)) + AHEAD + 1 if lasting.any() else None
