"""The timeline of a run: what happened, counted by bin, tier and feature, and its waits as histograms.

It is small however long the run, adds up over independent parts of a service, and every figure of a verdict can be
made from it: counts are exact, and a quantile is off by at most ERROR of itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.model.gateway import REASONS

# Counts by the instant at which the image was first wanted, at which the attempt arrived, and at which it happened.
WANTED = ("intents", "served", "in_time", "degraded", "lost", "decided", "images", "images_degraded")
ARRIVED = ("attempts", "retried", "abandoned", "judged", "kept", *REASONS[1:])
HAPPENED = ("done", "done_degraded", "left")
COUNTS = (*WANTED, *ARRIVED, *HAPPENED)
(INTENTS, SERVED, IN_TIME, DEGRADED, LOST, DECIDED, IMAGES, IMAGES_DEGRADED) = range(8)
ATTEMPTS, RETRIED, ABANDONED, JUDGED, KEPT, REASON = range(8, 14)  # a refusal for reason r is counted at REASON + r - 1
DONE, DONE_DEGRADED, LEFT = range(len(WANTED) + len(ARRIVED), len(COUNTS))

# GPU-seconds: wanted by attempts, and by first attempts (both at the spec they asked for, by arrival), by the attempts
# granted (at the spec granted, by arrival); spent on images that users were waiting for, on others, on loading models,
# on work that was lost.
SECONDS = ("offered", "offered_first", "granted", "useful", "wasted", "loading", "lost")
OFFERED, OFFERED_FIRST, GRANTED, USEFUL, WASTED, LOADING, LOST_WORK = range(7)

# Histograms of seconds: of the attempts served, of all intents that can be judged.
# The last two are there where some pool runs steps.
LATENCIES = (
    ("served", "wait"),
    ("served", "latency"),
    ("all intents", "latency"),
    ("served", "first token"),
    ("served", "per token"),
)
WAIT, LATENCY, OF_INTENTS, FIRST_TOKEN, PER_TOKEN = range(5)

# Buckets: [0, 2^LOWEST), then HALVES a factor of two, evenly spaced in it, up to 2^HIGHEST seconds, then all above. A
# power of two is cut evenly because that takes but a shift of the bits of the number (as HdrHistogram does).
HALVES, LOWEST, HIGHEST = 128, -10, 30
BUCKETS = HALVES * (HIGHEST - LOWEST) + 2
ERROR = 1 / (2 * HALVES)  # a value stands in for its whole bucket, of which it is the middle

SHORTEST = 10.0  # seconds of a bin that a person looks at, at least
FINEST = 60.0  # of a recorded one, at least
MOST_BINS = 50_000  # recorded: a month of minutes; of ten years each bin is of 105 min


@dataclass(frozen=True)
class Timeline:
    """Counts of one run, or of several added up. A cell is (tier, feature); a bin lies between two of `edges`, seconds.

    counts: (bins, tiers, features, COUNTS). seconds: (bins, tiers, features, SECONDS), GPU-seconds. queue: (bins,
    pools), requests waiting times seconds. signups: (bins,). latencies: (kinds of LATENCIES, tiers, features,
    BUCKETS), from the warm-up on. joules: (pools,), of busy GPUs from the warm-up on (nan: some profile has no power).
    peaks: (pools, 4): the longest queue, since when, seconds until it was empty (nan: never), requests waiting at the
    horizon. people: how many came to sign up, were let in, gave up, were invited, left for good; and how many there
    were.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    seconds: NDArray[np.float64]
    queue: NDArray[np.float64]
    signups: NDArray[np.int64]
    latencies: NDArray[np.int64]
    joules: NDArray[np.float64]
    peaks: NDArray[np.float64]
    people: dict[str, int]

    @property
    def width(self) -> float:
        """Seconds of a bin, on average; recorded bins are equally wide."""
        return float(self.edges[-1] - self.edges[0]) / len(self.counts)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The parts that are counted, by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("edges", "people")}

    def meets(self, edges: NDArray[np.float64]) -> bool:
        """Whether each of these edges is one of the timeline's."""
        return bool(np.all(np.abs(self.edges[self.nearest(edges)] - edges) < 1e-6 * self.width))

    def nearest(self, edges: NDArray[np.float64]) -> NDArray[np.intp]:
        """The place of the timeline's edge that is nearest to each of these."""
        middles = (self.edges[1:] + self.edges[:-1]) / 2
        return np.searchsorted(middles, edges)

    def between(self, edges: NDArray[np.float64]) -> "Timeline":
        """The same with fewer bins: each holds the sum of those between two edges, or between the nearest to them."""
        at = self.nearest(edges)
        sums: dict[str, Any] = {
            name: summed(getattr(self, name), at) for name in ("counts", "seconds", "queue", "signups")
        }
        return replace(self, edges=np.asarray(edges), **sums)


def summed(values: NDArray[Any], at: NDArray[np.intp]) -> NDArray[Any]:
    """Sums over the first axis, from each place to the next."""
    found = np.zeros((len(at) - 1, *values.shape[1:]), dtype=values.dtype)
    some = at[:-1] < at[1:]  # reduceat would take one value for an empty range
    if some.any():
        found[some] = np.add.reduceat(values[: at[-1]], at[:-1][some], axis=0)
    return found


def added(parts: Sequence[Timeline], warm_up: float) -> Timeline:
    """Independent parts of one service as one. Their longest queue is the longest mean over a bin after the warm-up."""
    first = parts[0]
    sums = {name: np.sum([part.arrays()[name] for part in parts], axis=0) for name in first.arrays() if name != "peaks"}
    left = np.sum([part.peaks[:, 3] for part in parts], axis=0)
    peaks = np.array([binned_peak(queue / first.width, first.width, warm_up) for queue in sums["queue"].T])
    return Timeline(
        edges=first.edges,
        **sums,
        peaks=np.column_stack([peaks, left]),
        people={name: sum(part.people[name] for part in parts) for name in first.people},
    )


def binned_peak(queue: NDArray[np.float64], width: float, warm_up: float) -> tuple[float, float, float]:
    """The longest of the mean queues of bins, when it was, and seconds until a bin without a queue (nan: never)."""
    begin = round(warm_up / width)
    top = begin + int(np.argmax(queue[begin:]))
    if queue[top] <= 0:
        return 0.0, np.nan, np.nan
    empty = np.flatnonzero(queue[top:] == 0)
    return float(queue[top]), top * width, empty[0] * width if len(empty) else np.nan


def bin_width(horizon: float) -> float:
    """Seconds of a recorded bin: a whole number of them make one of the 216 bins of a picture, and the horizon."""
    shown = max(SHORTEST, horizon / 216)
    finest = max(FINEST, horizon / MOST_BINS)
    return horizon / max(1, round(horizon / (shown / np.ceil(shown / finest))))


def grid(horizon: float) -> NDArray[np.float64]:
    """The edges of the recorded bins, seconds. An event at an edge is in the bin that starts there."""
    return np.linspace(0.0, horizon, round(horizon / bin_width(horizon)) + 1)


def middles() -> NDArray[np.float64]:
    """The value that stands for each bucket, seconds: 0 for the first, inf for the last."""
    within = 1 + (np.arange(HALVES) + 0.5) / HALVES
    powers = 2.0 ** np.arange(LOWEST, HIGHEST)
    return np.concatenate([[0.0], (powers[:, None] * within).ravel(), [np.inf]])


def bucket_of(seconds: NDArray[np.float64]) -> NDArray[np.intp]:
    """The bucket in which each value lies."""
    within = 1 + np.arange(HALVES) / HALVES
    lowest = (2.0 ** np.arange(LOWEST, HIGHEST)[:, None] * within).ravel()
    return np.searchsorted(np.append(lowest, 2.0**HIGHEST), seconds, side="right")


def kinds_of_latency(*, tokens: bool) -> tuple[tuple[str, str], ...]:
    """The kinds of LATENCIES that a run has. tokens: whether some pool runs steps."""
    return LATENCIES if tokens else LATENCIES[:FIRST_TOKEN]


def layout(
    bins: int, tiers: int, features: int, pools: int, *, tokens: bool
) -> dict[str, tuple[type[np.generic], tuple[int, ...]]]:
    """The type and shape of each counted part, by name."""
    cells = (tiers, features)
    return {
        "counts": (np.int64, (bins, *cells, len(COUNTS))),
        "seconds": (np.float64, (bins, *cells, len(SECONDS))),
        "queue": (np.float64, (bins, pools)),
        "signups": (np.int64, (bins,)),
        "latencies": (np.int64, (len(kinds_of_latency(tokens=tokens)), *cells, BUCKETS)),
        "joules": (np.float64, (pools,)),
        "peaks": (np.float64, (pools, 4)),
    }
