"""What an oracle records of each attempt, and the figures computed from it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
nan = math.nan


@dataclass(slots=True, eq=False)
class Attempt:
    """One request. Times in seconds; nan is never."""

    arrived: float
    user: int = 0
    kind: int = 0
    started: float = nan
    finished: float = nan
    left: float = nan  # its user waited no longer
    refused: str = ""  # by what


def column(attempts: Iterable[Attempt], name: str) -> Floats:
    return np.array([getattr(attempt, name) for attempt in attempts], dtype=float)


def on_average(since: Floats, until: Floats, begins: float, ends: float) -> float:
    """How many were on average between `since` and `until` (nan: not yet), while the clock went from begins to ends."""
    over = np.minimum(np.where(np.isnan(until), ends, until), ends)
    inside = np.clip(over - np.maximum(since, begins), 0, None)
    return float(np.nansum(inside) / (ends - begins))


def within(attempts: list[Attempt], begins: float, ends: float) -> list[Attempt]:
    """Those that came in a window."""
    return [attempt for attempt in attempts if begins <= attempt.arrived < ends]


def in_steady_state(
    attempts: list[Attempt], *, edge: float, horizon: float, gpus: int, beyond: float
) -> dict[str, float]:
    """Means over the attempts that came later than `edge` after the start and earlier than `edge` before the horizon.

    Time averages (queued, busy) are over all that came, from `edge` to the horizon. beyond: a wait in seconds.
    """
    granted = [attempt for attempt in attempts if not attempt.refused]
    arrived, started = column(granted, "arrived"), column(granted, "started")
    finished, left = column(granted, "finished"), column(granted, "left")
    watched = within(attempts, edge, horizon - edge)
    waits = column(watched, "started") - column(watched, "arrived")
    waited = waits[~np.isnan(waits)]
    return {
        "mean wait": float(waited.mean()),
        "waited longer": float((waited > beyond).mean()),
        "never started": float(np.isnan(waits).mean()),
        "refused": sum(bool(attempt.refused) for attempt in watched) / len(watched),
        "queued": on_average(arrived, np.where(np.isnan(started), left, started), edge, horizon),
        "utilisation": on_average(started, finished, edge, horizon) / gpus,
    }
