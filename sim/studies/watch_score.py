"""Forecasts scored once it is known what happened: coverage, CRPS against a rival, and the lead time of the alarm."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.results.intervals import NONE, proportion
from sim.studies.watch import Forecast

Floats = NDArray[np.float64]

ALARM = 0.6  # chance that the GPUs are full within the hour, from which on there is an alarm
RIVAL = 600.0  # s: the rival draws a straight line through the use of these


class Score(NamedTuple):
    """How forecasts did. Times in seconds.

    looks: forecasts before the GPUs were full whose outcome is known; inside: of these, those whose 80 % interval held
    it, with its own 95 % interval (Wilson: as if looks were independent, which neighbours are not); crps: the mean
    continuous ranked probability score, times beyond `ahead` counted as `ahead` (Gneiting and Raftery 2007); rival:
    that of a straight line through the use of the last ten minutes; alarm, full: when each first was (inf: never);
    false_alarms: looks with an alarm after which the GPUs were not full within `ahead`.
    """

    looks: int
    inside: tuple[float, float, float]
    crps: float
    rival: float
    alarm: float
    full: float
    false_alarms: int

    @property
    def lead(self) -> float:
        """Seconds from the alarm until the GPUs were full; nan where one of the two never was."""
        return self.full - self.alarm if math.isfinite(self.full) and self.alarm <= self.full else math.nan


def score(forecasts: Sequence[Forecast], full: float, ends: float) -> Score:
    """full: the instant at which the GPUs were full (inf: never); ends: of the last reading."""
    known = [one for one in forecasts if one.now < full and (full <= ends or one.now + one.ahead <= ends)]
    crps, rival, hits, false = [], [], 0, 0
    for one in known:
        truth = min(full - one.now, one.ahead)
        drawn = np.minimum(one.full - one.now, one.ahead)
        low, high = (min(bound - one.now, one.ahead) for bound in one.interval[1:])
        hits += low <= truth <= high
        crps.append(crps_of(drawn, truth))
        rival.append(abs(straight(forecasts, one) - truth))
        false += one.chance >= ALARM and truth >= one.ahead
    alarm = next((one.now for one in forecasts if one.chance >= ALARM), math.inf)
    mean, naive = (float(np.mean(some)) if some else math.nan for some in (crps, rival))
    inside = (hits / len(known), *proportion(hits, len(known))) if known else (math.nan, *NONE)
    return Score(len(known), inside, mean, naive, alarm, full, false)


def crps_of(drawn: Floats, truth: float) -> float:
    """CRPS of equally likely values: E|X - y| - E|X - X'| / 2."""
    return float(np.abs(drawn - truth).mean() - np.abs(drawn[:, None] - drawn[None, :]).mean() / 2)


def straight(forecasts: Sequence[Forecast], one: Forecast) -> float:
    """Seconds until the use is 100 % if it goes on as in the last ten minutes; `ahead` at most."""
    last = [other for other in forecasts if one.now - RIVAL <= other.now <= one.now]
    if one.use >= 1.0:
        return 0.0
    if len(last) < 2:
        return one.ahead
    slope = float(np.polyfit([other.now for other in last], [other.use for other in last], 1)[0])
    return min((1.0 - one.use) / slope, one.ahead) if slope > 0 else one.ahead
