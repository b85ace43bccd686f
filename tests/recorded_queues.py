"""Logs of queues made without the simulator: callers, and numbered servers who come and go, by a heap of events."""

import csv
import heapq
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

SHIFTS = ((8, 4), (10, 6), (16, 3), (18, 0))  # (hour, servers from then on)


def queue(arrived, served, patience, schedule, after=None):
    """When each is served (nan: not), when each hangs up, and by whom they are served.

    schedule: (second, servers). The lowest number serves first, the highest go first, each after their caller.
    """
    # At one instant: services end, shifts change, people hang up, people come.
    events = [(t, 1, n, "shift") for t, n in schedule] + [(t, 3, i, "come") for i, t in enumerate(arrived)]
    heapq.heapify(events)
    line: list[int] = []
    busy: dict[int, int] = {}
    staff = 0
    started, left = np.full(len(arrived), np.nan), np.full(len(arrived), np.nan)
    who = np.full(len(arrived), -1)
    while events:
        now, _, number, what = heapq.heappop(events)
        if what == "shift":
            staff = number
        elif what == "end":
            del busy[number]
        elif what == "come":
            line.append(number)
            if np.isfinite(patience[number]):
                heapq.heappush(events, (now + patience[number], 2, number, "hang up"))
        elif number in line:
            line.remove(number)
            left[number] = now
        for server in range(staff):
            if line and server not in busy:
                caller = line.pop(0)
                busy[server], started[caller], who[caller] = caller, now, server
                heapq.heappush(
                    events, (now + served[caller] + (0 if after is None else after[caller]), 0, server, "end")
                )
    return started, left, who


def day_of_calls(
    rng: np.random.Generator, *, rate: float, mean: float, patience: float, until: float = 17.75
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Poisson arrivals from eight o'clock on, exponential services and patience."""
    gaps = rng.exponential(1 / rate, int(20 * 3600 * rate))
    arrived = 8 * 3600 + np.cumsum(gaps)
    arrived = arrived[arrived < until * 3600]
    n = len(arrived)
    return arrived, rng.exponential(mean, n), rng.exponential(patience, n)


def log_of_days(
    path: Path,
    days: Sequence[int],
    *,
    rate: float = 1 / 30,
    mean: float | Callable[[int], float] = 150.0,
    patience: float = 200.0,
    shifts: Sequence[tuple[int, int]] = SHIFTS,
    seed: int = 1,
    after: float = 0.0,
) -> Path:
    """A CSV with this project's own names of columns, times in seconds. after: mean work after a call, not logged."""
    rng = np.random.default_rng(seed)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["arrived", "waited", "served", "abandoned", "server"])
        for day in days:
            service = mean(day) if callable(mean) else mean
            arrived, served, patient = day_of_calls(rng, rate=rate, mean=service, patience=patience)
            busy = rng.gamma(4, after / 4, len(arrived)) if after else None
            started, left, who = queue(arrived, served, patient, [(hour * 3600.0, n) for hour, n in shifts], busy)
            for one in range(len(arrived)):
                hung_up = bool(np.isnan(started[one]))
                gone = left[one] if hung_up else started[one]
                rest = ("", 1, "") if hung_up else (repr(float(served[one])), 0, f"agent {who[one]}")
                at = repr(float(day * 86400 + arrived[one]))
                writer.writerow([at, repr(float(gone - arrived[one])), *rest])
    return path


def written(tmp_path, text, name="log.csv"):
    """A file of this text."""
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path
