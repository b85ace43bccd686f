"""Storms of retries: four rules that say whether a run can get stuck in one, and whether it did.

A storm outlives what began it: each ask that fails comes again, and that work keeps the service too busy to serve
anybody in time (metastable failure: Bronson and others 2021, Huang and others 2022, Isaacs and others 2025). Rates and
counts are at full scale unless said otherwise.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.model.request import SERVED
from sim.results import binned
from sim.results.dates import date_of
from sim.results.metrics import (
    bins,
    capacity,
    default_bin,
    every_row,
    looked_up,
    occupancy,
    outcomes,
    peak_queue,
    window_of,
)
from sim.results.run import Run
from sim.results.theory import attempts_per_ask, escape_factor, freshness_bound, recovery_time, stable_load
from sim.results.timeline import ATTEMPTS, DONE, DONE_DEGRADED, INTENTS, WASTED
from sim.wording import amount, duration, percent, three_figures

Floats = NDArray[np.float64]

LAST_PART = 10  # the end of a run is its last tenth
ENOUGH = 20  # first asks in it, below which nothing is said
HEALTHY = 0.9  # of first asks served: recovered, as in the experiments of Isaacs and others (HotOS 2025)
BELOW = 0.95  # of capacity: first asks above it are an overload of their own
AMPLIFIED = 1.2  # attempts a first ask
FULL = 0.9  # of capacity: attempts below it let a queue drain; and of GPU time, above which GPUs are called busy
WASTEFUL = 0.5  # of the GPU time spent
PATCH = 3  # bins in a row that are well end what is looked at, going back from the horizon


@dataclass(frozen=True)
class Rules:
    """What the rules take for one pool. A rate is requests a second at full scale, a time is seconds.

    capacity (C): GPUs in service over the work of one request as asked for, in full batches and the mix of features
    that came. seconds (S): one full batch of it. rate: first asks (lam); capacity and rate are means over the last
    tenth of the run. retries (r): tries after the first if every one fails and no policy bounds them. timeout: median
    patience (inf: endless). queue: the longest of the run.
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
        """First asks a second below which it cannot get stuck: C / (1 + r)."""
        return stable_load(self.capacity, self.retries)

    @property
    def bound(self) -> float:
        """The queue in requests below which it does not: C (timeout - S)."""
        return freshness_bound(self.capacity, self.timeout, self.seconds)

    @property
    def escape(self) -> float:
        """How many times capacity must grow, or images get cheaper, to end a storm: lam (1 + r) / C."""
        return escape_factor(self.rate, self.capacity, self.retries)

    @property
    def recovery(self) -> float:
        """Seconds until the longest queue is worked off once nobody tries again: K / (C - lam)."""
        return recovery_time(self.queue, self.rate, self.capacity)


@dataclass(frozen=True)
class Stay:
    """A pool that did not get up again although first asks alone are below its capacity. Shares are of the last tenth.

    load: first asks over capacity; served: of first asks; attempts: a first ask; busy, wasted: of GPU time in service,
    and of that spent.
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
    """One pool bin by bin, counts of the slice: requests, and GPU-seconds in service, spent, and spent for nobody."""

    edges: Floats
    asks: Floats  # first attempts
    attempts: Floats
    served: Floats
    first: Floats  # GPU-seconds that first attempts ask for
    offered: Floats  # all attempts
    capacity: Floats
    spent: Floats
    wasted: Floats

    def end(self) -> dict[str, float]:
        """Sums over the last part of the run."""
        some = -(-len(self.asks) // LAST_PART)
        parts = ("asks", "attempts", "served", "first", "offered", "capacity", "spent", "wasted")
        return {name: float(getattr(self, name)[-some:].sum()) for name in parts}


def flow(run: Run, pool: str) -> Flow:
    """What a pool was asked for, and did, over time."""
    edges = bins(run, default_bin(run), window_of(run, None)[0])
    held = capacity(run, pool, edges)
    if not binned.serves(run, *edges):
        return flow_of_rows(run, pool, edges, held)
    assert run.timeline is not None
    at, of = binned.places(run, edges), binned.of_pool(run, pool)
    counts = binned.between(run.timeline.counts[:, :, of].sum(axis=(1, 2)), at).astype(float)
    wasted = binned.between(run.timeline.seconds[:, :, of, WASTED].sum(axis=(1, 2)), at)
    offered, first, spent, _ = binned.load(run, pool, edges)
    served = counts[:, DONE] + counts[:, DONE_DEGRADED]
    return Flow(edges, counts[:, INTENTS], counts[:, ATTEMPTS], served, first, offered, held, spent, wasted)


def flow_of_rows(run: Run, pool: str, edges: Floats, held: Floats) -> Flow:
    """The same from the tables, where there is no timeline. Waste is that of requests whose users had left."""
    rows = every_row(run)
    rows = rows[rows["pool"] == pool]
    work = looked_up(rows["asked"], run.manifest["pools"][pool]["gpu_seconds"])
    arrived, first = rows["arrived"].to_numpy(), rows["attempt"].to_numpy() == 0
    served, there = (rows["outcome"] == SERVED).to_numpy(), rows["gpu_seconds"].to_numpy() > 0
    finished = rows["finished"].to_numpy()
    batches = run.batches[run.batches["pool"] == pool]
    spent = occupancy(batches["started"].to_numpy(), batches["finished"].to_numpy(), edges) * np.diff(edges)
    lost = rows.loc[there & ~served, ["started", "gpu_seconds"]].to_numpy()

    def summed(instants: Floats, weights: Floats | None = None) -> Floats:
        return np.histogram(instants, edges, weights=weights)[0].astype(float)

    return Flow(
        edges,
        asks=summed(arrived[first]),
        attempts=summed(arrived),
        served=summed(finished[served]),
        first=summed(arrived[first], work[first]),
        offered=summed(arrived, work),
        capacity=held,
        spent=spent,
        wasted=summed(lost[:, 0], lost[:, 1]),
    )


def rules(run: Run) -> list[Rules]:
    """The rules of each pool that somebody asked at the end, where failed asks are tried again; else none."""
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
    return [one for one in found if one is not None]


def rules_of(run: Run, pool: str, retries: float, timeout: float) -> Rules | None:
    """The rules of one pool; None where nobody asked it for anything in the last part of the run."""
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
    """Whether at the end every pool serves at least nine of ten first asks; where hardly anybody asks it has."""
    ends = [flow(run, pool).end() for pool in run.manifest["pools"]]
    return all(end["served"] > HEALTHY * end["asks"] for end in ends if end["asks"] >= ENOUGH)


def stays(run: Run) -> list[Stay]:
    """The pools held down at the end by retries, and not by first asks.

    In the last tenth first asks are below capacity, and yet under nine tenths of them are served; attempts are
    amplified, and so many that the queue cannot drain; and GPUs are busy, or work for nobody.
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
    """The beginning of the last stretch in which first asks were below capacity and were not served, seconds."""
    down = (flowing.first < flowing.capacity) & (flowing.served < HEALTHY * flowing.asks)
    first, well = len(down), 0
    for place in range(len(down) - 1, -1, -1):
        first, well = (place, 0) if down[place] else (first, well + 1)
        if well == PATCH:
            break
    return float(flowing.edges[min(first, len(down) - 1)])


def said_of_stay(run: Run, stay: Stay) -> str:
    """The warning, in one sentence."""
    return (
        f"STAYED DOWN: since {date_of(run, stay.since)} UTC first asks ask for {percent(stay.load)} of the capacity of "
        f"{stay.pool}, yet {percent(stay.served)} of them are served: each comes {three_figures(stay.attempts)} times, "
        f"GPUs are {percent(stay.busy)} busy, and {percent(stay.wasted)} of their work is for nobody. "
        "It is retries that keep it down."
    )


def said_of_rules(run: Run) -> list[str]:
    """The four rules beside a run in plain sentences, a heading a pool; nothing where nobody tries again."""
    lines: list[str] = []
    for r in rules(run):
        safe = r.rate < r.stable
        endless = math.isinf(r.timeout)
        bound = "any queue is short enough" if endless else f"bound the queue below {amount(r.bound)} requests"
        lines += [
            f"Retries in pool '{r.pool}': it serves C = {amount(r.capacity)} requests a second, first asks are "
            f"lam = {amount(r.rate)} (both over the last tenth of the run), a request takes S = {duration(r.seconds)}, "
            f"median patience is {'endless' if endless else duration(r.timeout)}, and an ask whose every try fails is "
            f"tried again r = {three_figures(r.retries)} times.",
            f"  1. Stuck in retries it cannot get below C / (1 + r) = {amount(r.stable)} first asks a second: "
            f"it is {'below' if safe else 'above'}.",
            f"  2. Nor if all that is queued is still wanted when done, C (patience - S): {bound} "
            f"(the longest was {amount(r.queue)}).",
            f"  3. {escaped(r)}",
            f"  4. Once nobody tries again the longest queue is worked off in K / (C - lam) = {duration(r.recovery)}.",
        ]
    return lines


def escaped(r: Rules) -> str:
    """The third rule: what it takes to end a storm."""
    if r.escape < 1:
        return f"A storm ends by itself: lam (1 + r) / C = {three_figures(r.escape)} is below 1."
    return (
        "To end a storm capacity must grow, or images get cheaper, by more than "
        f"lam (1 + r) / C = {three_figures(r.escape)} times."
    )
