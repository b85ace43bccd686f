"""Counts and times of policies that look back: sums over tiers and features, and whether a time has passed."""

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
