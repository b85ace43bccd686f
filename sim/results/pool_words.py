"""What happened in one pool, in a sentence: when it saturated, the load that was offered, its queue, and its use."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from sim.results.pool_verdict import Peak, PoolVerdict
from sim.results.run import Run
from sim.wording import amount, duration, from_to, in_gpus, percent


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
    if (each := run.manifest["pools"][pool.name].get("gpus_per_replica", 1)) > 1:
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
    features = run.manifest.get("scenario", {}).get("features", {})
    return any(facts.get("spill") for name, facts in features.items() if run.manifest["features"][name]["pool"] == pool)
