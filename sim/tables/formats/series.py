"""Counts over time: lengths of intervals, rates and counters as counts, samples on one clock, and refusals."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.errors import BadInput
from sim.tables.formats.reader import Asked, Floats

REFUSALS = re.compile(r"(?i)(4xx|5xx|429|503|refus|reject|throttl|limited|denied|error|fail|drop)")
EVERY = re.compile(
    r"(?i)(^|[^a-z])(requests?|reqs?|rps|qps|rpm|asks|asked|hits|calls|arrivals|total|all|incoming|count)([^a-z]|$)"
)
PER = {"per-second": 1.0, "per-minute": 60.0}  # seconds that a number is for
GRID = 2 / 3  # share of steps that are the least one, from which others are gaps and not longer intervals


def lengths(begins: NDArray[np.int64], ends: NDArray[np.int64] | None, path: Path) -> tuple[Floats, list[str]]:
    """Seconds of each interval, as its end says, else up to the next, without the time of missing rows; and notes."""
    steps = np.diff(begins) / 1e9
    if ends is not None:
        lasts = (ends - begins) / 1e9
        if (lasts > 0).all() and (lasts[:-1] <= steps + 1.0).all():
            holes = int((lasts[:-1] < steps - 1.0).sum())
            gaps = f"between {holes} intervals and the next there is time in no row: it brings nobody"
            return lasts, [gaps] if holes else []
    if not len(steps):
        raise BadInput("one row has no length", file=path, expected="counts of two intervals or more")
    least = float(steps.min())
    parts = np.round(steps / least)
    even = (np.abs(steps / least - parts) < 0.1).all()
    if even and float((parts == 1).mean()) >= GRID:
        missing = int((parts - 1).sum())
        rows = "1 row is" if missing == 1 else f"{missing} rows are"
        said = [f"{rows} missing: what came in that time is unknown, and it brings nobody"] if missing else []
        return np.append(np.where(parts > 1, least, steps), np.median(steps)), said
    return np.append(steps, np.median(steps)), []


def on_clock(at: NDArray[np.int64], values: NDArray[Any], clock: NDArray[np.int64], missing: Any) -> NDArray[Any]:
    """Values at the instants of a clock, which has all of theirs; `missing` where there is none."""
    found = np.full(len(clock), missing, dtype=values.dtype)
    found[np.searchsorted(clock, at)] = values
    return found


def differences(at: NDArray[Any], totals: Floats, clock: NDArray[Any]) -> Floats:
    """The growth of a counter between the instants of a clock; after a fall the new value, a lower bound.

    Over missing samples it is spread evenly.
    """
    if not len(at):
        return np.zeros(len(clock) - 1)
    steps = np.diff(totals)
    grown = np.cumsum(np.where(steps < 0, totals[1:], steps))
    return np.diff(np.interp(clock, at, np.append(0.0, grown)))


def settled(series: dict[str, Floats], asked: Asked, path: Path, *, sure: bool = True) -> dict[str, Floats]:
    """Series of which the sum is all that was asked. Raises BadInput where it is open whether refusals are in it.

    sure: the other series count all requests; else only those do whose names say so.
    """
    refused = {name: values for name, values in series.items() if REFUSALS.search(name)}
    rest = {name: values for name, values in series.items() if name not in refused}
    if not refused or not rest or asked.refused == "beside":
        return series
    if asked.refused == "inside":
        return rest
    if not sure and not any(EVERY.search(name) for name in rest):
        return series
    asks, turned = (float(np.nansum(list(part.values()))) for part in (rest, refused))
    what = f"{', '.join(refused)}: are these refusals within {', '.join(rest)}, or beside them?"
    expected = f"inside: {asks:,.0f} requests in all; beside: {asks + turned:,.0f}"
    raise BadInput(what, file=path, key="--refused", expected=expected)
