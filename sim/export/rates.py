"""How many requests per second a schedule sends, and what that would be for the whole service."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.export.schedule import Schedule
from sim.wording import counted, duration

WIDTHS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)  # seconds over which a peak may be counted
USUAL = 10.0  # seconds to an image, where the run has served none
ENOUGH = 100  # requests in the busiest interval: chance then makes no more than a tenth of them


@dataclass(frozen=True)
class Rates:
    """Requests per second: of the replay (mean, and in its busiest second), and of the whole service in its own time.

    width: seconds of the interval over which the whole service's peak is counted. A slice is too thin to multiply its
    busiest second by the inverse of its share: that would multiply chance too.
    """

    mean: float
    peak: float
    peak_at: float
    full_mean: float
    full_peak: float
    width: float


def rates(schedule: Schedule) -> Rates:
    t, about = schedule.asks["t_s"].to_numpy(), schedule.about
    window = schedule.length * about["speed"]
    most, at = busiest(t, min(1.0, schedule.length))
    for width in (min(width, window) for width in WIDTHS):
        full, _ = busiest(t * about["speed"], width)
        if full * width >= ENOUGH or width == window:
            break
    share = about["scale"] * about["times"]
    mean = len(t) / schedule.length
    return Rates(mean, most, at, mean / about["speed"] / share, full / share, width)


def busiest(t: np.ndarray, width: float) -> tuple[float, float]:
    """The highest rate over whole intervals of a width, and when the first of these begins; seconds."""
    places, counts = np.unique(np.floor(t / width), return_counts=True)
    return float(counts.max() / width), float(places[counts.argmax()] * width)


def virtual_users(schedule: Schedule) -> int:
    """Twice the virtual users that are busy at the peak if an image takes as long as in the run; at least ten."""
    usual = schedule.about["mean_seconds_to_image"] or USUAL
    return max(10, math.ceil(2 * rates(schedule).peak * usual))


def sentences(schedule: Schedule) -> list[str]:
    """A schedule in words: how many requests, how fast, at what rate for the whole service, and what is left out."""
    about, r = schedule.about, rates(schedule)
    asked = f"{counted(about['asks'], 'request')} by {counted(about['users'], 'user')}"
    lines = [
        f"{asked} in {duration(schedule.length)}{compressed(about)}.",
        f"{r.mean:.4g}/s on average, and {r.peak:.4g}/s in the busiest second, which begins after "
        f"{duration(r.peak_at)}.",
    ]
    share = about["scale"] * about["times"]
    if share < 1 or about["speed"] != 1:
        lines.append(
            f"The whole service{f', of which this is a share of {share:.3g},' if share < 1 else ''} would get, in its "
            f"own time, {r.full_mean:.4g}/s on average and {r.full_peak:.4g}/s in its busiest {duration(r.width)}."
        )
    return [*lines, about["note"]]


def compressed(about: dict[str, Any]) -> str:
    """How the replay's time relates to the scenario's, if it does not simply follow it."""
    window = about["until_s"] - about["from_s"]
    return f" ({duration(window)} of the scenario at {about['speed']:g} times its speed)" if about["speed"] != 1 else ""
