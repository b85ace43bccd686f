"""The stages of k6's ramping-arrival-rate executor that start as many iterations as a schedule has asks, bin by bin."""

import math
from itertools import pairwise
from typing import Any

import numpy as np

from sim.export.rates import rates
from sim.export.schedule import Schedule

MOST_BINS = 248  # two stages a bin and two at the end make no more than 500 stages
USUAL = 10.0  # seconds to an image, where the run has served none


def load(schedule: Schedule) -> dict[str, Any]:
    """What k6.js needs beside the schedule: time unit, stages, and how many virtual users it takes.

    k6 starts the i-th iteration when the area under the rate reaches i (Grafana k6, lib/executor/
    ramping_arrival_rate.go). A stage without duration is a jump, so the rate is a staircase: with the bin's width as
    the time unit, a bin's target is its count, and its area too. No bin gets more or less than it has in the schedule,
    but for an iteration due on the very edge of two. A straight line from bin to bin would keep the counts only by
    swinging ever wider.
    """
    bins = min(MOST_BINS, max(1, math.floor(schedule.length)))
    micros = max(1, math.ceil(schedule.length * 1e6 / bins))
    places = np.floor(schedule.asks["t_s"].to_numpy() * 1e6 / micros).astype(np.int64)
    counts = np.bincount(np.minimum(places, bins - 1), minlength=bins)
    return {
        "asks": len(schedule.asks),
        "seconds": schedule.length,
        "timeUnit": f"{micros}us",
        "startRate": int(counts[0]),
        "stages": staircase(counts, micros),
        "vus": virtual_users(schedule),
    }


def staircase(counts: np.ndarray, micros: int) -> list[dict[str, Any]]:
    """Stages that hold each bin's count over the bin and jump between them; equal neighbours are one stage."""
    stages: list[dict[str, Any]] = []
    edges = [0, *(np.flatnonzero(np.diff(counts)) + 1).tolist(), len(counts)]
    for first, after in pairwise(edges):
        if first > 0:
            stages.append({"duration": "0s", "target": int(counts[first])})
        stages.append({"duration": f"{(after - first) * micros}us", "target": int(counts[first])})
    # A thousandth of an iteration more, so that rounding does not leave out the last one.
    return [*stages, {"duration": "0s", "target": 1}, {"duration": f"{max(1, micros // 1000)}us", "target": 1}]


def virtual_users(schedule: Schedule) -> int:
    """Virtual users that are busy at the peak if an image takes as long as in the run; twice that, and ten at least."""
    usual = schedule.about["mean_seconds_to_image"] or USUAL
    return max(10, math.ceil(2 * rates(schedule).peak * usual))
