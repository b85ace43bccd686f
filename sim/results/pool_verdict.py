"""The verdict on one pool, in figures and in a sentence: load at its peak, saturation, the queue, what filled it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sim.results.costs import consumed
from sim.results.intents import window_of
from sim.results.metrics import bins, counted, default_bin, load_over_time, peak_queue, stretches
from sim.results.offered import SPANS
from sim.results.run import Run
from sim.results.timeline import Timeline
from sim.wording import amount, duration, from_to, in_gpus, percent


@dataclass(frozen=True)
class Peak:
    """The busiest span of demand that nothing holds back: mean GPUs of work at full scale, `loading` of them models."""

    seconds: float
    at: float  # seconds
    work: float
    loading: float


@dataclass(frozen=True)
class PoolVerdict:
    """One pool: load, saturation, queue, and what filled it. Times in seconds."""

    name: str
    first_saturated: float  # nan: never
    saturated: float  # seconds in all
    saturated_at_horizon: bool
    peak_load: float  # of the requests that came: largest hourly mean of the work of first ones, over capacity
    offered: tuple[Peak, ...]  # of ten minutes and of an hour; none where it was not measured
    came: float  # GPUs of work at full scale of the first requests that came in the busiest SHORT of this run
    gpus: int
    fleet: tuple[float, float]  # fewest and most GPUs in service, means of short bins (see metrics.default_bin)
    peak_queue: float
    peak_queue_at: float
    drain: float  # seconds from the peak to an empty queue; nan: not before the horizon
    queued_at_horizon: int
    consumed: pd.DataFrame  # shares of GPU time while saturated (else of the whole run)
    load_while_hot: float  # the work of first requests over capacity, in the same time

    @property
    def loading(self) -> float:
        """The share of model loads in the GPU time that `consumed` divides."""
        return float(self.consumed.loc[self.consumed["use"] == "loading", "share"].sum())

    @property
    def broken_by_loading(self) -> bool:
        """Whether model loads fill a pool whose GPUs could have done the work of its first requests."""
        return self.loading >= MUCH and self.load_while_hot <= 1


SHORT = SPANS[0]  # seconds
MUCH = 0.1  # of the GPU time used, for model loads to be named as what breaks a promise


def pool_verdicts(run: Run) -> list[PoolVerdict]:
    """The verdicts on all pools, from hours and from short bins that are counted once for all of them."""
    begin = window_of(run, None)[0]
    hourly, fine = (counted(run, bins(run, width, begin)) for width in (3600.0, default_bin(run)))
    return [pool_verdict(run, pool, hourly, fine) for pool in run.manifest["pools"]]


def pool_verdict(run: Run, pool: str, hourly: Timeline, fine: Timeline) -> PoolVerdict:
    """The verdict on one pool. hourly, fine: the run after its warm-up, in bins of an hour and in short ones."""
    end = (window := window_of(run, None))[1]
    hours, table, peak = load_over_time(run, pool, hourly), load_over_time(run, pool, fine), peak_queue(run, pool)
    hot = stretches(table["saturated"], run.horizon)
    return PoolVerdict(
        name=pool,
        first_saturated=hot[0][0] if hot else math.nan,
        saturated=sum(until - since for since, until in hot),
        saturated_at_horizon=bool(hot) and hot[-1][1] == end,
        peak_load=float(hours["offered_first"].max()),
        came=busiest(table) / run.scale,
        offered=tuple(Peak(**peak) for peak in run.manifest.get("offered_load", {}).get(pool, ())),
        gpus=run.manifest["pools"][pool]["gpus"],
        fleet=(float(table["gpus"].min()), float(table["gpus"].max())),
        peak_queue=peak["peak"],
        peak_queue_at=peak["at"],
        drain=peak["drain"],
        queued_at_horizon=int(peak["left"]),
        consumed=consumed(run, pool, hot or [window]),
        load_while_hot=load_in(table, hot or [window]),
    )


def busiest(table: pd.DataFrame) -> float:
    """The most GPUs' worth of work of first requests that came, as a mean over about SHORT. table: in even bins."""
    work = (table["offered_first"].fillna(0.0) * table["gpus"]).to_numpy(float)
    width = float(np.diff(table.index.to_numpy()[:2]).sum()) or SHORT
    number = min(max(1, round(SHORT / width)), len(work))
    return float(np.convolve(work, np.full(number, 1 / number), "valid").max())


def load_in(table: pd.DataFrame, spans: list[tuple[float, float]]) -> float:
    """The work of first requests over a pool's capacity in some spans of whole bins; nan without a GPU."""
    starts = table.index.to_numpy()
    inside = np.any([(starts >= since) & (starts < until) for since, until in spans], axis=0)
    some = table[inside]
    gpus = some["gpus"].sum()
    return float((some["offered_first"] * some["gpus"]).sum() / gpus) if gpus > 0 else math.nan


def pool_sentence(run: Run, pool: PoolVerdict, *, alive: bool, counts: Mapping[str, float]) -> str:
    """The verdict on a pool in words. alive: the service; counts: what became of all its requests."""
    if pool.fleet[1] == 0:
        return f"Pool '{pool.name}' has no GPU in service: no request to it can be served."
    if math.isnan(pool.first_saturated):
        return f"Pool '{pool.name}' is never saturated. {load_sentence(run, pool, alive, counts)}"
    top = pool.consumed.iloc[0] if len(pool.consumed) else None
    drained = "not drained by the horizon" if math.isnan(pool.drain) else f"drained in {duration(pool.drain)}"
    use = (
        "" if top is None else f" While it was saturated, {percent(top['share'])} of its GPU time was {used(run, top)}."
    )
    return (
        f"Pool '{pool.name}' {since(run, pool)} and is saturated for {duration(pool.saturated)} in total. "
        f"{load_sentence(run, pool, alive, counts)} "
        f"The longest queue was {amount(pool.peak_queue / run.scale)} requests, {drained}.{use}"
    )


def since(run: Run, pool: PoolVerdict) -> str:
    """When a pool saturates; where it is so at the end of the warm-up, it may have been so for longer."""
    when = f"{duration(pool.first_saturated)} ({run.date(pool.first_saturated)} UTC)"
    if from_warm_up(run, pool.first_saturated):
        return f"is saturated already when the warm-up ends, after {when},"
    return f"saturates after {when}"


def from_warm_up(run: Run, saturated: float) -> bool:
    """Whether what is called the beginning of saturation is the end of the warm-up, which is not looked into."""
    return 0 < saturated <= float(run.manifest["warm_up"])


def used(run: Run, part: "pd.Series[Any]") -> str:
    """A line of PoolVerdict.consumed in words."""
    tier = f"{part['tier']}-tier " if len(run.manifest["tiers"]) > 1 else ""
    images = f"{tier}{part['feature']} requests"
    words = {
        "wasted": f"wasted on {images} that nobody was waiting for",
        "useful": f"spent on {images}",
        "lost": f"lost with GPUs that went while they worked on {images}",
    }
    return words.get(part["use"], f"spent on loading models for {images}")


def load_sentence(run: Run, pool: PoolVerdict, alive: bool, counts: Mapping[str, float]) -> str:
    """The offered load at its peak against the fleet. It says what was asked for, not how many GPUs are enough."""
    size, batch = from_to(*(amount(n / run.scale) for n in pool.fleet)), run.manifest["pools"][pool.name]["max_batch"]
    if not pool.offered:
        return (
            f"In its busiest hour the first requests that came were {percent(pool.peak_load)} of what its "
            f"{in_gpus(size)} can do. The offered load at its peak was not measured: that takes a run with an "
            "unlimited fleet."
        )
    peaks = " and ".join(f"{amount(peak.work)} over {over(peak.seconds)}" for peak in spans(pool))
    loads = max(p.loading / p.work if p.work > 0 else 0.0 for p in pool.offered)
    made_of = f", {percent(loads)} of it model loads" if loads > 0 else ""
    how = f"in full batches of {batch}" if batch > 1 else "one image at a time"
    if (each := run.manifest["pools"][pool.name]["gpus_per_replica"]) > 1:
        how += f", on replicas of {each} GPUs"
    return (
        f"If its {in_gpus(size)} held nobody back, the offered load at its peak would be, in GPUs of work, {peaks} "
        f"({how}{made_of}).{beyond(run, pool, alive, counts)}"
    )


def over(seconds: float) -> str:
    """About ten minutes or an hour in words, as a timeline's bins meet them; another time in its unit."""
    known = {"ten minutes": 600.0, "an hour": 3600.0}
    return next((name for name, length in known.items() if abs(seconds / length - 1) < 0.1), duration(seconds))


def spans(pool: PoolVerdict) -> list[Peak]:
    """The peaks of offered load, without one over as long a time as another, as in a run of ten minutes."""
    return list({round(peak.seconds): peak for peak in pool.offered}.values())


LESS = 0.9  # of the offered load: where no more came, something kept it away


def beyond(run: Run, pool: PoolVerdict, alive: bool, counts: Mapping[str, float]) -> str:
    """A remark where load and outcome seem to contradict each other."""
    most = max(peak.work for peak in pool.offered)
    never = math.isnan(pool.first_saturated)
    if most <= pool.fleet[0] / run.scale and not alive and not never:
        return " That is less than the fleet, and yet it failed: work alone does not say how many GPUs are enough."
    if most > pool.fleet[1] / run.scale and never:
        return f" That is more than the fleet, but {kept_up(run, pool, counts)}."
    return ""


def kept_up(run: Run, pool: PoolVerdict, counts: Mapping[str, float]) -> str:
    """Why a pool of fewer GPUs than the offered load did not fall behind."""
    if counts["refused"] + counts["degraded"] > 0:
        return "refused and degraded requests kept the pool from falling behind"
    at_most = f"at most {amount(pool.came)} GPUs of work over ten minutes"
    if pool.came < LESS * pool.offered[0].work:
        if spills(run, pool.name):
            return f"other pools served a part of its requests, so that {at_most} came to it"
        return f"{at_most} came in this run, since people came or were let in later"
    return "its peak was too short to keep the pool behind"


def spills(run: Run, pool: str) -> bool:
    """Whether requests of a pool may be served by others."""
    features = run.manifest["scenario"].get("features", {})
    return any(facts.get("spill") for name, facts in features.items() if run.manifest["features"][name]["pool"] == pool)
