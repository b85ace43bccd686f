"""Summary figures of a trace: its rate, its peak, and how bursty it is from minute to minute and pause to pause."""

from dataclasses import dataclass

import numpy as np

from sim.demand.recordings.trace import Trace


@dataclass(frozen=True)
class TraceFigures:
    """Figures of recorded arrivals; nan where there are too few rows.

    span: seconds between the first and the last; rate: arrivals a second over the span.
    peak_minute: the most arrivals in a whole minute of the trace; fano: variance / mean of the counts of whole minutes
    (1 for Poisson arrivals); pause_cv: standard deviation / mean of the pauses (1 for Poisson arrivals).
    """

    rows: int
    users: int
    images: int
    span: float
    rate: float
    peak_minute: int
    fano: float
    pause_cv: float


def trace_figures(trace: Trace) -> TraceFigures:
    t, n = trace.times, len(trace.times)
    span = float(t[-1] - t[0])
    pauses = np.diff(t)
    counts = np.bincount((t // 60).astype(np.int64)) if t[-1] < 6e9 else np.array([n])
    whole = counts[: max(int(trace.length // 60), 1)]  # the last minute is seldom whole
    return TraceFigures(
        rows=n,
        users=trace.users,
        images=int(trace.images.sum(dtype=np.int64)),
        span=span,
        rate=(n - 1) / span if span > 0 else float("nan"),
        peak_minute=int(counts.max()),
        fano=float(whole.var(ddof=1) / whole.mean()) if len(whole) > 1 and whole.any() else float("nan"),
        pause_cv=float(pauses.std(ddof=1) / pauses.mean()) if n > 2 and span > 0 else float("nan"),
    )
