"""Retry storms: whether a run got stuck in one, and whether it has recovered.

A storm outlives its cause: each request that fails is tried again, and that work keeps the service too busy to serve
anybody in time (metastable failure: Bronson and others 2021, Huang and others 2022, Isaacs and others 2025). Rates and
counts are at full scale unless a name says otherwise.
"""

from dataclasses import dataclass

import numpy as np

from sim.results import timeline as tl
from sim.results.intents import Floats, window_of
from sim.results.metrics import bins, capacity, counted, default_bin, features_of
from sim.results.run import Run
from sim.wording import percent, three_figures

LAST_PART = 10  # a pool is judged at its end: by the last tenth of its first requests
ENOUGH = 20  # first requests, below which no judgement is made
HEALTHY = 0.9  # share of first requests served: recovered, as in the experiments of Isaacs and others (HotOS 2025)
BELOW = 0.95  # of capacity: more first requests than that are an overload of their own
AMPLIFIED = 1.2  # attempts per first request
FULL = 0.9  # of capacity: fewer attempts than that let a queue drain; and the share of GPU time that is called busy
WASTEFUL = 0.5  # of the GPU time spent
PATCH = 3  # healthy bins in a row, going back from the horizon, that end the search for when a storm began


@dataclass(frozen=True)
class Stay:
    """A pool that did not recover although its first requests alone are below capacity; shares at its end.

    load: first requests over capacity; served: of first requests; attempts: per first request; busy: of the GPU time in
    service; wasted: of the GPU time spent.
    """

    pool: str
    since: float  # seconds
    load: float
    served: float
    attempts: float
    busy: float
    wasted: float


@dataclass(frozen=True)
class Flow:
    """One pool bin by bin: requests of the slice, and GPU-seconds wanted, in service, spent, and wasted.

    It ends with the last bin that has a first request: where demand is over, there is nothing left to judge.
    """

    edges: Floats
    asks: Floats  # first attempts
    attempts: Floats
    served: Floats
    first: Floats  # GPU-seconds that first attempts need
    offered: Floats  # GPU-seconds that all attempts need
    capacity: Floats
    spent: Floats
    wasted: Floats

    @property
    def last(self) -> int:
        """The bin in which the last tenth of the first requests begins, or the last ENOUGH where these are more."""
        so_far = np.cumsum(self.asks[::-1])
        wanted = max(so_far[-1] / LAST_PART, min(ENOUGH, so_far[-1]))
        return len(self.asks) - 1 - int(np.searchsorted(so_far, wanted))

    def end(self) -> dict[str, float]:
        """Sums over the bins of the last tenth of the first requests."""
        parts = ("asks", "attempts", "served", "first", "offered", "capacity", "spent", "wasted")
        return {name: float(getattr(self, name)[self.last :].sum()) for name in parts}


def flow(run: Run, pool: str) -> Flow:
    """The requests to a pool, and their outcomes, over time."""
    edges = bins(run, default_bin(run), window_of(run, None)[0])
    line = counted(run, edges)
    mine = features_of(run, pool)
    counts = line.counts[:, :, mine].sum(axis=(1, 2)).astype(float)
    asked = np.flatnonzero(counts[:, tl.INTENTS])
    bin_count = asked[-1] + 1 if len(asked) else 1
    counts, edges = counts[:bin_count], line.edges[: bin_count + 1]
    seconds = line.seconds[:bin_count, :, mine].sum(axis=(1, 2))
    return Flow(
        edges,
        asks=counts[:, tl.INTENTS],
        attempts=counts[:, tl.ATTEMPTS],
        served=counts[:, tl.DONE] + counts[:, tl.DONE_DEGRADED],
        first=seconds[:, tl.OFFERED_FIRST],
        offered=seconds[:, tl.OFFERED],
        capacity=capacity(run, pool, edges),
        spent=seconds[:, tl.USEFUL] + seconds[:, tl.WASTED] + seconds[:, tl.LOADING] + seconds[:, tl.LOST_WORK],
        wasted=seconds[:, tl.WASTED],
    )


def recovered(run: Run) -> bool:
    """Whether every pool serves more than nine of the last tenth of its first requests out of ten, or got hardly any.

    Demand that is over is no recovery: the last tenth of the requests counts, and not of the time.
    """
    ends = [flow(run, pool).end() for pool in run.manifest["pools"]]
    return all(end["served"] > HEALTHY * end["asks"] for end in ends if end["asks"] >= ENOUGH)


def stays(run: Run) -> list[Stay]:
    """The pools held down at the end by retries, and not by first requests.

    While the last tenth of first requests comes, these are below capacity, and yet under nine tenths of them are
    served; there are many attempts per request, too many for the queue to drain; and GPUs are busy, or waste much of
    their work.
    """
    if run.manifest["unlimited"]:
        return []
    found = [stay_of(pool, flow(run, pool)) for pool in run.manifest["pools"]]
    return [stay for stay in found if stay is not None]


def stay_of(pool: str, flowing: Flow) -> Stay | None:
    end = flowing.end()
    if end["asks"] < ENOUGH or end["capacity"] == 0:
        return None
    wasted = end["wasted"] / end["spent"] if end["spent"] > 0 else 0.0
    stay = Stay(
        pool=pool,
        since=down_since(flowing),
        load=end["first"] / end["capacity"],
        served=end["served"] / end["asks"],
        attempts=end["attempts"] / end["asks"],
        busy=min(end["spent"] / end["capacity"], 1.0),
        wasted=wasted,
    )
    stuck = stay.attempts >= AMPLIFIED and end["offered"] >= FULL * end["capacity"]
    working = stay.busy >= FULL or wasted >= WASTEFUL
    return stay if stay.load < BELOW and stay.served < HEALTHY and stuck and working else None


def down_since(flowing: Flow) -> float:
    """The beginning of the last stretch in which first requests were below capacity and not served, in seconds.

    Fewer than PATCH healthy bins in a row are part of the stretch.
    """
    down = (flowing.first < flowing.capacity) & (flowing.served < HEALTHY * flowing.asks)
    first, healthy = len(down), 0
    for place in range(len(down) - 1, -1, -1):
        first, healthy = (place, 0) if down[place] else (first, healthy + 1)
        if healthy == PATCH:
            break
    return float(flowing.edges[min(first, len(down) - 1)])


def stay_warning(run: Run, stay: Stay) -> str:
    """The warning about a pool that stayed down, in one line."""
    return (
        f"STAYED DOWN: since {run.date(stay.since)} UTC first requests need {percent(stay.load)} "
        f"of the capacity of pool '{stay.pool}', yet {percent(stay.served)} of them are served. Retries keep it "
        f"down: each request is made {three_figures(stay.attempts)} times, GPUs are {percent(stay.busy)} busy, and "
        f"{percent(stay.wasted)} of their work is for users who have left."
    )
