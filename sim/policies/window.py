"""Counts and times of policies that look back: sums over tiers and features, and whether a time has passed."""

from collections import deque
from collections.abc import Iterable

import numpy as np

from sim.model.controls import Controls, indices

ROUNDING = 1e-6  # seconds: a time has passed at the tick at which it would have passed but for rounding


def counted(
    counts: np.ndarray, controls: Controls, tiers: Iterable[str] | None, features: Iterable[str] | None
) -> float:
    """The sum of a telemetry array over these tiers and features, over all where None."""
    if tiers is None and features is None:
        return float(counts.sum())
    rows, columns = indices("tier", controls.tiers, tiers), indices("feature", controls.features, features)
    return float(counts[np.ix_(rows, columns)].sum())


def passed(now: float, since: float, seconds: float) -> bool:
    """Whether at least this time has passed."""
    return now - since >= seconds - ROUNDING


class Recent:
    """Two figures of each control tick within a window that ends now, and their sums."""

    def __init__(self) -> None:
        self.ticks: deque[tuple[float, float, float]] = deque()  # time, and the two figures

    def add(self, now: float, first: float, second: float) -> None:
        self.ticks.append((now, first, second))

    def forget(self, until: float, *, but: int = 0) -> None:
        """Drop the ticks until this time, `but` the last few."""
        while len(self.ticks) > but and self.ticks[0][0] <= until:
            self.ticks.popleft()

    def sums(self) -> tuple[float, float]:
        return sum(tick[1] for tick in self.ticks), sum(tick[2] for tick in self.ticks)
