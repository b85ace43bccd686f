"""The figures of a queue, from its log or from a run, and where the log departs from the model."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sim.validation.own_queue.queue_log import QueueLog, note_on_rows
from sim.validation.own_queue.queue_times import DAY
from sim.validation.own_queue.staffing import OnDuty

WAITS = 1.0  # s: a shorter wait counts as none


class Figure(NamedTuple):
    """A figure in words, its unit, and the least difference that counts."""

    words: str
    unit: str
    least: float


FIGURES = {
    "requests": Figure("requests", "", 1.0),
    "mean": Figure("wait, mean", "s", 1.0),
    **{f"p{p}": Figure(f"wait, p{p}", "s", 1.0) for p in (50, 90, 95, 99)},
    "waiting": Figure(f"share waiting {WAITS:g} s or more", "", 0.01),
    "abandoned": Figure("share hanging up", "", 0.01),
    "utilisation": Figure("service started, of the time on duty", "", 0.01),
}


def figures_of_log(log: QueueLog, duty: OnDuty, days: Sequence[int]) -> dict[str, float]:
    """By name as in FIGURES; nan where nobody came, or nobody was served.

    Waits are those of requests that were served. Utilisation is their service, on whatever day it ends, over the
    server-seconds on duty on these days: it can exceed 1.
    """
    n = len(log)
    waits = log.waited[~log.abandoned]
    quantiles = {f"p{p}": float(np.percentile(waits, p)) if len(waits) else math.nan for p in (50, 90, 95, 99)}
    capacity = sum(duty.seconds(day * DAY, (day + 1) * DAY) for day in days)
    return {
        "requests": float(n),
        "mean": float(waits.mean()) if len(waits) else math.nan,
        **quantiles,
        "waiting": float((log.waited >= WAITS).mean()) if n else math.nan,
        "abandoned": float(log.abandoned.mean()) if n else math.nan,
        "utilisation": float(np.nansum(log.served)) / capacity if capacity > 0 else math.nan,
    }


def departures_from_model(log: QueueLog, whole: QueueLog, duty: OnDuty, turnaround: float = 0.0) -> list[str]:
    """Notes on waits beside idle servers, overtaking and overlapping services, which the model does not have.

    log: the test days; whole: the days before too, since people who came then may still be served. turnaround: seconds
    for which a server is not ready after a service.
    """
    arrived, gone = log.arrived, log.arrived + log.waited
    began, over = (whole.arrived + whole.waited)[~whole.abandoned], whole.served[~whole.abandoned]
    start, end = np.sort(began), np.sort(began + over + turnaround)
    left = whole.arrived + whole.waited + np.nan_to_num(whole.served)
    inside = (whole.arrived < log.days[0] * DAY) & (left > log.days[0] * DAY)
    busy = np.searchsorted(start, arrived, side="left") - np.searchsorted(end, arrived, side="right")
    waited = log.waited >= WAITS
    beside = waited & (busy < duty.at(arrived))
    before = np.concatenate([[-np.inf], np.maximum.accumulate(gone)[:-1]])
    overtook = ~log.abandoned & (gone + WAITS <= before)
    return [
        *note_on_rows(inside, "Left out of the replay: came before the test days and were still there"),
        *note_on_rows(beside, f"Test days, waited {WAITS:g} s or more while a server on duty was idle"),
        *note_on_rows(overtook, f"Test days, served {WAITS:g} s or more before an earlier arrival"),
        *note_on_rows(overlaps(log), f"Test days, began {WAITS:g} s or more before their server's last had ended"),
    ]


def overlaps(log: QueueLog) -> np.ndarray:
    """Services of a server that began before an earlier one of the same server had ended: bool (n,)."""
    start = log.arrived + log.waited
    found = np.zeros(len(log), dtype=bool)
    for server in np.unique(log.server[log.server >= 0]):
        rows = np.flatnonzero(log.server == server)
        rows = rows[np.argsort(start[rows], kind="stable")]
        end = np.maximum.accumulate(start[rows] + log.served[rows])
        found[rows[1:]] = start[rows][1:] + WAITS <= end[:-1]
    return found
