"""Retry storms: four rules that say whether a run can get stuck in one, and whether it did.

A storm outlives its cause: each request that fails is tried again, and that work keeps the service too busy to serve
anybody in time (metastable failure: Bronson and others 2021, Huang and others 2022, Isaacs and others 2025). Rates and
counts are at full scale unless a name says otherwise.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.results.dates import date_of
from sim.results.intents import window_of
from sim.results.metrics import bins, capacity, counted, default_bin, features_of, outcomes, peak_queue
from sim.results.run import Run
from sim.results.timeline import ATTEMPTS, DONE, DONE_DEGRADED, INTENTS, LOADING, OFFERED, OFFERED_FIRST, USEFUL, WASTED
from sim.wording import amount, duration, percent, three_figures

Floats = NDArray[np.float64]

LAST_PART = 10  # the end of a run is its last tenth
ENOUGH = 20  # first requests in it, below which no judgement is made
HEALTHY = 0.9  # share of first requests served: recovered, as in the experiments of Isaacs and others (HotOS 2025)
BELOW = 0.95  # of capacity: more first requests than that are an overload of their own
AMPLIFIED = 1.2  # attempts per first request
FULL = 0.9  # of capacity: fewer attempts than that let a queue drain; and the share of GPU time that is called busy
WASTEFUL = 0.5  # of the GPU time spent
PATCH = 3  # healthy bins in a row, going back from the horizon, that end the search for when a storm began


@dataclass(frozen=True)
class Rules:
    """The quantities in the rules for one pool. A rate is requests per second at full scale, a time is in seconds.

    capacity (C): GPUs in service over the work of one request as it was asked for, in full batches and in the mix of
    features that came. seconds (S): one full batch of that mix. rate (lam): first requests; capacity and rate are means
    over the last tenth of the run. retries (r): tries after the first if each of them fails and no policy limits them.
    timeout: median patience (inf: endless). queue (K): the longest of the run.
    """

    pool: str
    capacity: float
    seconds: float
    rate: float
    retries: float
    timeout: float
    queue: float

    @property
    def stable(self) -> float:
        """First requests per second below which no surge leaves the pool stuck in retries."""
        return stable_load(self.capacity, self.retries)

    @property
    def bound(self) -> float:
        """The queue in requests below which all that is queued is still wanted when it is done: C (timeout - S)."""
        return self.capacity * max(0.0, self.timeout - self.seconds)

    @property
    def escape(self) -> float:
        """How many times the capacity must be to end a storm: lam (1 + r) / C; below 1 it ends by itself."""
        return self.rate / self.stable

    @property
    def recovery(self) -> float:
        """Seconds until the longest queue is worked off once nobody tries again: K / (C - lam); inf for never."""
        return self.queue / (self.capacity - self.rate) if self.rate < self.capacity else math.inf


def stable_load(capacity: float, retries: float) -> float:
    """The rate of first requests below which no surge leaves a service stuck, C / (1 + r) (Huang and others 2022)."""
    return capacity / (1 + retries)


def attempts_per_ask(failure: float, retries: int) -> float:
    """Mean attempts at one image if each fails with this probability and at most this many retries follow."""
    return float(sum(failure**n for n in range(retries + 1)))


@dataclass(frozen=True)
class Stay:
    """A pool that did not recover although its first requests alone are below capacity; shares of the last tenth.

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
    """One pool bin by bin: requests of the slice, and GPU-seconds wanted, in service, spent, and wasted."""

    edges: Floats
    asks: Floats  # first attempts
    attempts: Floats
    served: Floats
    first: Floats  # GPU-seconds that first attempts need
    offered: Floats  # GPU-seconds that all attempts need
    capacity: Floats
    spent: Floats
    wasted: Floats

    def end(self) -> dict[str, float]:
        """Sums over the last part of the run."""
        some = -(-len(self.asks) // LAST_PART)
        parts = ("asks", "attempts", "served", "first", "offered", "capacity", "spent", "wasted")
        return {name: float(getattr(self, name)[-some:].sum()) for name in parts}


def flow(run: Run, pool: str) -> Flow:
    """The requests to a pool, and their outcomes, over time."""
    line = counted(run, bins(run, default_bin(run), window_of(run, None)[0]))
    mine = features_of(run, pool)
    counts = line.counts[:, :, mine].sum(axis=(1, 2)).astype(float)
    seconds = line.seconds[:, :, mine].sum(axis=(1, 2))
    return Flow(
        line.edges,
        asks=counts[:, INTENTS],
        attempts=counts[:, ATTEMPTS],
        served=counts[:, DONE] + counts[:, DONE_DEGRADED],
        first=seconds[:, OFFERED_FIRST],
        offered=seconds[:, OFFERED],
        capacity=capacity(run, pool, line.edges),
        spent=seconds[:, USEFUL] + seconds[:, WASTED] + seconds[:, LOADING],
        wasted=seconds[:, WASTED],
    )


def rules(run: Run) -> list[Rules]:
    """The rules of each pool that got requests at the end of the run; none if failed requests are not retried."""
    behaviour = run.manifest.get("behaviour")
    if behaviour is None or run.manifest["unlimited"]:
        return []
    known = behaviour["retries"]
    again = max(known["probability"], known["after_leaving"])
    retries = attempts_per_ask(again, known["at_most"]) - 1.0
    patience = behaviour["median_patience"]
    if retries <= 0:
        return []
    found = [rules_of(run, pool, retries, math.inf if patience is None else patience) for pool in run.manifest["pools"]]
    return [of_pool for of_pool in found if of_pool is not None]


def rules_of(run: Run, pool: str, retries: float, timeout: float) -> Rules | None:
    """The rules of one pool; None where it got no request in the last part of the run."""
    flowing = flow(run, pool)
    end, begins = flowing.end(), flowing.edges[-1 - -(-len(flowing.asks) // LAST_PART)]
    if end["asks"] == 0 or end["capacity"] == 0:
        return None
    lasting = run.horizon - float(begins)
    by = outcomes(run, "feature", (begins, run.horizon))["intents"]
    features = {name: facts for name, facts in run.manifest["features"].items() if facts["pool"] == pool}
    asked = np.array([float(by.get(name, 0)) for name in features])
    work, seconds = (
        float(np.average([facts[what] for facts in features.values()], weights=asked))
        for what in ("gpu_seconds", "seconds")
    )
    return Rules(
        pool=pool,
        capacity=end["capacity"] / float(lasting) / work / run.scale,
        seconds=seconds,
        rate=end["asks"] / lasting / run.scale,
        retries=retries,
        timeout=timeout,
        queue=peak_queue(run, pool)["peak"] / run.scale,
    )


def recovered(run: Run) -> bool:
    """Whether at the end every pool serves more than nine of ten first requests, or hardly gets any."""
    ends = [flow(run, pool).end() for pool in run.manifest["pools"]]
    return all(end["served"] > HEALTHY * end["asks"] for end in ends if end["asks"] >= ENOUGH)


def stays(run: Run) -> list[Stay]:
    """The pools held down at the end by retries, and not by first requests.

    In the last tenth first requests are below capacity, and yet under nine tenths of them are served; there are many
    attempts per request, too many for the queue to drain; and GPUs are busy, or waste much of their work.
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
        f"STAYED DOWN: since {date_of(run, stay.since)} UTC first requests need {percent(stay.load)} "
        f"of the capacity of pool '{stay.pool}', yet {percent(stay.served)} of them are served. Retries keep it "
        f"down: each request is made {three_figures(stay.attempts)} times, GPUs are {percent(stay.busy)} busy, and "
        f"{percent(stay.wasted)} of their work is for users who have left."
    )


def rule_sentences(run: Run) -> list[str]:
    """The four rules in plain sentences, with a heading for each pool; none where nobody tries again."""
    lines: list[str] = []
    for r in rules(run):
        lines += [
            f"Retries in pool '{r.pool}': it serves C = {amount(r.capacity)} requests per second, first requests come "
            f"at lam = {amount(r.rate)} per second (both over the last tenth of the run), a request takes "
            f"S = {duration(r.seconds)}, median patience is {endless_or(r.timeout)}, and a request whose every attempt "
            f"fails is retried r = {three_figures(r.retries)} times.",
            f"  1. It cannot get stuck in retries below C / (1 + r) = {amount(r.stable)} first requests per second: "
            f"it is {'below' if r.rate < r.stable else 'above'}.",
            f"  2. Nor while every queued request is still wanted when it is done: {short_enough(r)} "
            f"(the longest queue was {amount(r.queue)}).",
            f"  3. {escape_sentence(r)}",
            f"  4. {recovery_sentence(r)}",
        ]
    return lines


def endless_or(patience: float) -> str:
    return "endless" if math.isinf(patience) else duration(patience)


def short_enough(r: Rules) -> str:
    """The second rule: how long a queue may be."""
    if math.isinf(r.bound):
        return "any queue is short enough"
    return f"the queue must stay below C (patience - S) = {amount(r.bound)} requests"


def escape_sentence(r: Rules) -> str:
    """The third rule: what it takes to end a storm."""
    if r.escape < 1:
        return f"A storm ends by itself: lam (1 + r) / C = {three_figures(r.escape)} is below 1."
    return (
        "To end a storm, capacity must grow, or images must get cheaper, by a factor of more than "
        f"lam (1 + r) / C = {three_figures(r.escape)}."
    )


def recovery_sentence(r: Rules) -> str:
    """The fourth rule: how long it takes to recover without retries."""
    if math.isinf(r.recovery):
        return "The longest queue is never worked off, even if nobody retries: lam is not below C."
    return f"Once nobody retries, the longest queue is worked off in K / (C - lam) = {duration(r.recovery)}."
