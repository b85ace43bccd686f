"""The manifest of a run: all that its tables need to be read, and the run to be repeated."""

import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from sim.demand.laws import Law
from sim.demand.waves.callers import Callers
from sim.errors import BadInput
from sim.model.chance import NEVER, quantile
from sim.model.request import Spec
from sim.profile.file import Point
from sim.profile.profile import Profile
from sim.results.log import TOKEN_SLOS
from sim.scenario.habits import by_share
from sim.scenario.named_files import check_times
from sim.scenario.parts import Feature, Pool, Recording
from sim.scenario.scenario import Scenario

FORMAT = "meltpoint-run/6"


def manifest_of(
    scenario: Scenario,
    gpus: list[int],
    playbook: str,
    seed: int,
    engine: str,
    wall_seconds: float,
    recording: Recording,
    *,
    unlimited: bool,
) -> dict[str, Any]:
    """All that the tables need to be read, and the run to be repeated."""
    return {
        "format": FORMAT,
        "title": scenario.title,
        "question": scenario.question,
        "start": scenario.start.isoformat(),
        "horizon": scenario.horizon,
        "warm_up": scenario.warm_up,
        "scale": scenario.scale,
        "playbook": playbook,
        "seed": seed,
        "engine": engine,
        "recording": {"rows": recording.rows, "sampled": recording.sampled},
        "versions": versions(),
        "wall_seconds": round(wall_seconds, 3),
        "tiers": {name: tier.share for name, tier in scenario.tiers.items()},
        "features": {name: feature_entry(scenario, f) for name, f in scenario.features.items()},
        "behaviour": behaviour_entry(scenario),
        "unlimited": unlimited,
        "pools": {name: pool_entry(scenario, name, n) for name, n in zip(scenario.pools, gpus, strict=True)},
        "specs": {spec.label: {"model": spec.model, "images": spec.images} for spec in scenario.specs()},
        "profiles": {model: profile_entry(profile) for model, profile in scenario.used_profiles.items()},
        "extrapolated": extrapolated(scenario),
        "notices_leaving": scenario.serving.notices_leaving,
        "word_of_mouth": word_of_mouth_entry(scenario),
        "footprint": scenario.footprint.model_dump(),
        "alive": scenario.alive.model_dump(),
        "cells": 1,
        "scenario": scenario.document,
    }


def pool_entry(scenario: Scenario, name: str, gpus: int) -> dict[str, Any]:
    """A pool's size in the slice and in full, its price, and the idle power of its GPUs.

    gpus: replicas of the slice. load_seconds: GPU-seconds to load a model, on average.
    """
    pool = scenario.pools[name]
    return {
        "gpus": gpus * pool.gpus_per_replica,
        "gpus_in_full": pool.gpus,
        "gpus_per_replica": pool.gpus_per_replica,
        "runs": pool.runs,
        "max_batch": pool.max_batch,
        "linger": pool.linger,
        "dollars_per_gpu_hour": pool.dollars_per_gpu_hour,
        "pays": pool.pays.model_dump(),
        "load_seconds": min(pool.model_load.law.mean, scenario.horizon) * pool.gpus_per_replica,
        "reserved": pool.reserved.model_dump(),
        "spot": pool.spot.model_dump(),
        "kinds": [kind_entry(scenario, name, kind) for kind in scenario.kinds_taken[name]],
        "idle_watts": idle_watts(scenario, name),
        "gpu_seconds": {  # of one request in a full batch
            spec.label: table[max(table)] * spec.images / max(table) * pool.gpus_per_replica
            for spec, table in scenario.batch_tables(name).items()
        },
    }


def kind_entry(scenario: Scenario, pool: str, kind: str) -> dict[str, Any]:
    """One of several kinds of GPU in a pool: its number in full, its price and its contracts."""
    of, price = scenario.pools[pool].kinds[kind], scenario.pools[pool].dollars_per_gpu_hour
    return {
        "kind": kind,
        "gpus_in_full": of.gpus,
        "dollars_per_gpu_hour": price if of.dollars_per_gpu_hour is None else of.dollars_per_gpu_hour,
        "reserved": of.reserved.model_dump(),
        "spot": of.spot.model_dump(),
    }


def idle_watts(scenario: Scenario, pool: str) -> float:
    """Of an idle GPU; the mean over its GPUs where a pool has several kinds."""
    kinds, models = scenario.pools[pool].kinds, sorted({spec.model for spec in scenario.specs_of(pool)})
    found = []
    for place in range(max(len(kinds), 1)):
        known = [power for m in models if not math.isnan(power := scenario.profile_on(pool, place, m).idle_power)]
        found.append(max(known) if known else scenario.footprint.idle_watts)
    counts = [kinds[kind].gpus for kind in scenario.kinds_taken[pool]] or [1]
    return sum(n * watts for n, watts in zip(counts, found, strict=True)) / sum(counts)


def feature_entry(scenario: Scenario, feature: Feature) -> dict[str, Any]:
    """Where a feature is served, what is in time, and what one request as asked for takes in a full batch, on average.

    batches: its part of the batch; gpu_seconds: of the GPU's time; seconds: the whole batch's, from start to image.
    """
    tables, asked = scenario.batch_tables(feature.pool), feature.ladders()
    each = scenario.pools[feature.pool].gpus_per_replica
    shares = feature.images or {feature.spec.images: 1.0}
    full = {n: (max(tables[ladder[0]]), tables[ladder[0]]) for n, ladder in asked.items()}
    return {
        "pool": feature.pool,
        "slo": feature.slo,
        **{key: slo for key in TOKEN_SLOS if (slo := getattr(feature, key)) < math.inf},
        "share": feature.share,
        "model": feature.spec.model,
        "batches": sum(shares[n] * n / size for n, (size, _) in full.items()),
        "degraded_quality": feature.degraded_quality,
        "gpu_seconds": each * sum(shares[n] * table[size] * n / size for n, (size, table) in full.items()),
        "seconds": sum(shares[n] * table[size] for n, (size, table) in full.items()),
    }


def behaviour_entry(scenario: Scenario) -> dict[str, Any]:
    """The inputs of the rules on retries: median patience in seconds (None: endless), and how an ask is tried again.

    impatient: whether anybody's patience ends. retrying: the pools that get requests of people, or of programs, that
    try again.
    """
    retry = scenario.behaviour.retry
    shares: dict[Law, float] = {}
    for share, one in by_share(scenario):
        shares[one.patience.law] = shares.get(one.patience.law, 0.0) + share
    median = median_of_all(shares)
    return {
        "median_patience": median if math.isfinite(median) else None,
        "impatient": any(share > 0 and law.kind != NEVER for law, share in shares.items()),
        "retrying": retrying(scenario),
        "retries": {"at_most": retry.at_most, "probability": retry.probability, "after_leaving": retry.after_leaving},
    }


def median_of_all(shares: Mapping[Law, float]) -> float:
    """The median over people of whom each law holds for a share: exact for one law, else to a 1/1000 of the people."""
    parts = (np.arange(1001) + 0.5) / 1001
    values = np.array([[quantile.direct(*law, u) for u in parts] for law in shares]).ravel()
    order = np.argsort(values)
    below = np.cumsum(np.repeat(list(shares.values()), len(parts))[order])
    return float(values[order][np.searchsorted(below, below[-1] / 2)])


def retrying(scenario: Scenario) -> list[str]:
    """The pools that get requests of somebody who tries again."""
    demand = scenario.demand
    programs = [source for source in demand.scripted if source.retries]
    named = {feature for one in programs for feature in (one.feature, *getattr(one, "features", {}).values())}
    anything = any(not isinstance(wave, Callers) for wave in demand.waves) or "" in named
    pools = [f.pool for name, f in scenario.features.items() if name in named or (anything and f.share > 0)]
    return [pool for pool in scenario.pools if pool in pools]


def word_of_mouth_entry(scenario: Scenario) -> dict[str, float] | None:
    """The market, and K: people whom one person brings by the horizon when all goes well and nearly nobody is there."""
    word = scenario.demand.word_of_mouth
    if word is None:
        return None
    days = int(scenario.horizon / 86400.0)
    factor = sum(share * word.factor(behaviour, days) for share, behaviour in by_share(scenario))
    return {"market": word.market, "factor": factor}


def profile_entry(profile: Any) -> dict[str, Any]:
    file = profile.file
    return {
        "sha256": profile.sha256,
        "provenance": file.provenance + settled_words(file.points),
        "source": file.source,
        "gpu": file.hardware.gpu,
        "idle_power_source": file.hardware.idle_power_source,
    }


def settled_words(points: Sequence[Point]) -> str:
    """How many of a profile's points had not settled when measuring ended; nothing where all had."""
    timed = [point.status for point in points if point.status != "oom"]
    open_ones = timed.count("unsettled")
    if not open_ones:
        return ""
    some = "none" if open_ones == len(timed) else f"only {len(timed) - open_ones}"
    return f", but {some} of {len(timed)} points settled"


def extrapolated(scenario: Scenario) -> list[str]:
    """The specs whose service times lie outside what was measured: those that a profile would refuse if it were to."""
    return sorted(
        {
            spec.label
            for pool in scenario.pools
            for kind, tables in enumerate(scenario.tables_by_kind(pool))
            for spec in tables
            if outside(scenario.profile_on(pool, kind, spec.model), spec, scenario.pools[pool])
        }
    )


def outside(profile: Profile, spec: Spec, pool: Pool) -> bool:
    """Whether a pool needs times that a profile had to extrapolate.

    Not those of full batches where it runs steps or threads: it takes the times of passes, or of one request alone.
    """
    if not profile.extrapolate:
        return False
    try:
        check_times(replace(profile, extrapolate=False), spec, pool, "")
    except BadInput:
        return True
    return False


def versions() -> dict[str, str]:
    """Versions of what computes a run."""
    packages = ("meltpoint", "simpy", "numpy", "numba", "scipy", "pandas")
    return {"python": platform.python_version(), **{package: version_of(package) for package in packages}}


@cache  # reading a package's metadata takes milliseconds, and a small run no more
def version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
