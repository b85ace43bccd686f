"""The demand of the next hour, from what was counted in the last minutes: draws of a damped trend of the rate."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.model.streams import FUTURE, normal

Floats = NDArray[np.float64]

FADES = 1800.0  # s: a trend loses 63 % of its strength in this time (assumed: surges of launches turn within an hour)
TREND = 0.05 / 60.0  # per s: the standard deviation of trends before any is seen (assumed: a doubling in 14 minutes)
DRIFT = 0.05  # of the log rate, per root minute: what no trend foresees (assumed; `watch --score` shows if it is)
FAINT = 0.5  # people added to those counted, so that none so far is no proof of none to come (Jeffreys' prior)
ROUNDS = 25  # of Newton's method


@dataclass(frozen=True)
class Trend:
    """log rate = level + slope t, t in seconds from now: the estimate and its covariance."""

    level: float
    slope: float
    covariance: Floats

    def draw(self, seconds: Floats, seed: int) -> Floats:
        """Rates per second at these times from now, evenly spaced, in one future."""
        z = np.array([normal(seed, FUTURE, 0, k) for k in range(2 + len(seconds))])
        level, slope = np.array([self.level, self.slope]) + np.linalg.cholesky(self.covariance) @ z[:2]
        step = float(seconds[1] - seconds[0]) if len(seconds) > 1 else 0.0
        drift = np.cumsum(z[2:]) * DRIFT * math.sqrt(step / 60.0)
        found: Floats = np.exp(np.clip(level + slope * FADES * (1.0 - np.exp(-seconds / FADES)) + drift, -50.0, 50.0))
        return found


def trend_of(counts: Floats, begins: Floats, lasts: Floats) -> Trend:
    """The trend of counts in intervals that begin at these seconds (0 is now) and last so long.

    A Poisson regression with a normal prior on the slope, by Newton's method; where counts vary by more than Poisson's
    the covariance is as many times wider (quasi-likelihood: McCullagh and Nelder, Generalized Linear Models, ch. 9).
    """
    middles = begins + lasts / 2
    counts = counts + FAINT / len(counts)
    at = np.array([math.log(float(counts.sum() / lasts.sum())), 0.0])
    design = np.column_stack([np.ones(len(middles)), middles])
    prior = np.diag([1e-6, TREND**-2])
    information = prior
    for _ in range(ROUNDS):
        mean = lasts * np.exp(np.clip(design @ at, -50.0, 50.0))
        information = design.T @ (design * mean[:, None]) + prior
        step = np.linalg.solve(information, design.T @ (counts - mean) - prior @ at * np.array([0.0, 1.0]))
        at = at + np.clip(step, [-2.0, -0.01], [2.0, 0.01])
        if np.abs(step).max() < 1e-9:
            break
    mean = lasts * np.exp(np.clip(design @ at, -50.0, 50.0))
    free = len(counts) - 2
    wider = max(float(((counts - mean) ** 2 / np.maximum(mean, 0.5)).sum()) / free, 1.0) if free > 0 else 1.0
    covariance = np.linalg.inv(information) * wider
    return Trend(float(at[0]), float(at[1]), covariance + np.diag([1e-12, 1e-18]))
