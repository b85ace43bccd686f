"""Runs written down by hand: a few attempts, and the batches and people that follow from them.

Two features share the pool 'gpus' of two GPUs: an image is in time within 10 s, a video within 100 s. The horizon is
at 100 s unless a test says otherwise. One GPU-hour costs $3.6, so a GPU-second costs a tenth of a cent.
"""

from math import isnan, nan
from typing import Any

import pandas as pd

from sim.model.gateway import REASONS
from sim.model.request import ABANDONED, OUTCOMES, REFUSED, SERVED, UNFINISHED
from sim.policies.base import ABSENT
from sim.results.log_tables import DECIDED, names
from sim.results.manifest import FORMAT
from sim.results.run import Run

TIERS, FEATURES, POOLS, WAVES = ["free", "plus"], ["image", "video"], ["gpus"], ["wave"]
IMAGE, VIDEO = "model/1024px/28st", "model/480px/50st/81fr"
SPECS = {"image": IMAGE, "video": VIDEO}

NO_WATER = {"grams_co2e_by_hour": [], "water_on_site": 0.27, "water_of_grid": 7.6}
LOADS = {"model": "model", "batches": 1.0, "degraded_quality": 0.5}

MANIFEST: dict[str, Any] = {
    "format": FORMAT,
    "title": "By hand",
    "question": "",
    "start": "2025-01-01T00:00:00+00:00",
    "horizon": 100.0,
    "warm_up": 0.0,
    "scale": 1.0,
    "playbook": "none",
    "seed": 1,
    "engine": "simpy",
    "versions": {},
    "wall_seconds": 0.0,
    "cells": 1,
    "profiles": {},
    "scenario": {},
    "behaviour": {
        "median_patience": None,
        "impatient": False,
        "retrying": [],
        "retries": {"at_most": 0, "probability": 0.0, "after_leaving": 0.0},
    },
    "recording": {"rows": True, "sampled": 0.0},
    "tiers": {"free": 0.5, "plus": 0.5},
    "features": {
        name: {"pool": "gpus", "slo": slo, "share": 0.5, "gpu_seconds": seconds, "seconds": seconds, **LOADS}
        for name, slo, seconds in (("image", 10.0, 4.0), ("video", 100.0, 40.0))
    },
    "pools": {
        "gpus": {
            "gpus": 2,
            "gpus_in_full": 2,
            "gpus_per_replica": 1,
            "runs": "batches",
            "kinds": [],
            "max_batch": 1,
            "linger": 0.0,
            "dollars_per_gpu_hour": 3.6,
            "pays": {"failed": True, "switched_off": True, "ordered": False},
            "load_seconds": 0.0,
            "reserved": {"gpus": 0.0, "dollars_per_gpu_hour": None, "discount": 0.0},
            "spot": {"gpus": 0.0, "dollars_per_gpu_hour": None, "discount": 0.0, "interruptions_per_hour": 0.05},
            "idle_watts": 100.0,
            "gpu_seconds": {IMAGE: 4.0, VIDEO: 40.0},
        }
    },
    "specs": {IMAGE: {"model": "model", "images": 1}, VIDEO: {"model": "model", "images": 1}},
    "extrapolated": [],
    "unlimited": False,
    "word_of_mouth": None,
    "notices_leaving": True,
    "footprint": {"server_overhead": 1.5, "pue": 1.2, "grams_co2e_per_kwh": 500.0, "idle_watts": 100.0, **NO_WATER},
    "alive": {"window": 10.0, "kept": 0.8, "windows": 0.9, "attainment": 0.1},
}


def attempt(
    arrived: float,
    *,
    user: int = 0,
    ask: int = 0,
    number: int = 0,
    started: float = nan,
    finished: float = nan,
    left: float = nan,
    refused: str | None = None,
    retry: bool = False,
    tier: str = "free",
    feature: str = "image",
    level: int = 0,
    seconds: float = nan,
    loading: float = 0.0,
    batch: str | None = None,
) -> dict[str, Any]:
    """One row of the request table; its outcome follows from its times.

    seconds: of its batch, needed only where that outlasts the horizon; loading: of its batch's seconds, at the start;
    batch: shared by attempts that name the same.
    """
    outcome = UNFINISHED if isnan(finished) else SERVED
    outcome = REFUSED if refused else ABANDONED if not isnan(left) else outcome
    row = {"user": user, "ask": ask, "attempt": number, "tier": tier, "feature": feature, "level": level}
    row |= {"arrived": float(arrived), "started": started, "finished": finished, "left": left, "retry": retry}
    own = f"{user}/{ask}/{number}"
    return row | {"outcome": outcome, "reason": refused, "seconds": seconds, "loading": loading, "batch": batch or own}


def run_of(
    *attempts: dict[str, Any],
    waitlist: tuple[dict[str, float], ...] = (),
    left: dict[int, float] | None = None,
    **facts,
) -> Run:
    """A run of these attempts, in which everybody signed up at their first.

    waitlist: people who came and asked for nothing, by 'arrives', 'admitted' and 'left'; left: when which user churned;
    facts: what the manifest has otherwise.
    """
    batches, numbers = batches_of(attempts)
    notices = facts.get("notices_leaving", MANIFEST["notices_leaving"])
    requests = requests_of(sorted(attempts, key=lambda row: row["arrived"]), batches, numbers, notices=notices)
    decisions = pd.DataFrame([], columns=DECIDED)
    manifest = {**MANIFEST, **facts}
    none = dict.fromkeys(ABSENT, 0)
    rows = [{"time": 0.0, "pool": pool, "change": p["gpus"], **none} for pool, p in manifest["pools"].items()]
    fleet = pd.DataFrame(rows)
    return Run(requests, batches, users_of(attempts, waitlist, left or {}), decisions, fleet, manifest)


def batches_of(attempts: tuple[dict[str, Any], ...]) -> tuple[pd.DataFrame, dict[str, int]]:
    """The batch table, a kilowatt each, and each batch's number by its name."""
    heads: dict[str, dict[str, Any]] = {}
    sizes: dict[str, int] = {}
    for row in sorted((row for row in attempts if not isnan(row["started"])), key=lambda row: row["started"]):
        heads.setdefault(row["batch"], row)
        sizes[row["batch"]] = sizes.get(row["batch"], 0) + 1
    rows = list(heads.values())
    given = [row["finished"] - row["started"] if isnan(row["seconds"]) else row["seconds"] for row in rows]
    assert not any(map(isnan, given)), "a batch that outlasts the horizon needs its seconds"
    table = pd.DataFrame(
        {
            "batch": range(len(rows)),
            "pool": names([0] * len(rows), POOLS),
            "gpu": [0] * len(rows),
            "spec": pd.Categorical([SPECS[row["feature"]] for row in rows], list(SPECS.values())),
            "started": floats([row["started"] for row in rows]),
            "finished": floats([row["finished"] for row in rows]),
            "size": list(sizes.values()),
            "seconds": floats(given),
            "loading": floats([row["loading"] for row in rows]),
            "watts": floats([1000.0] * len(rows)),
        }
    ).astype({"batch": "int32", "gpu": "int32", "size": "int32"})
    return table, {name: number for number, name in enumerate(heads)}


def dequeued(row: dict[str, Any], *, notices: bool) -> float:
    """When an attempt left the queue: to a GPU, or when its user left and the service noticed."""
    return float(row["left"] if isnan(row["started"]) and notices else row["started"])


def requests_of(
    rows: list[dict[str, Any]], batches: pd.DataFrame, numbers: dict[str, int], *, notices: bool
) -> pd.DataFrame:
    on = [None if isnan(row["started"]) else numbers[row["batch"]] for row in rows]
    share = (batches["seconds"] / batches["size"]).tolist()
    specs = [SPECS[row["feature"]] for row in rows]
    first: dict[tuple[int, int], int] = {}
    for place, row in enumerate(rows):
        first.setdefault((row["user"], row["ask"]), place)
    return pd.DataFrame(
        {
            **{name: pd.Series([row[name] for row in rows], dtype="int32") for name in ("user", "ask")},
            "attempt": pd.Series([row["attempt"] for row in rows], dtype="int16"),
            "tier": pd.Categorical([row["tier"] for row in rows], TIERS),
            "feature": pd.Categorical([row["feature"] for row in rows], FEATURES),
            "pool": names([0] * len(rows), POOLS),
            **{name: floats([row[name] for row in rows]) for name in ("arrived", "started", "finished", "left")},
            "dequeued": floats([dequeued(row, notices=notices) for row in rows]),
            "outcome": pd.Categorical([row["outcome"] for row in rows], list(OUTCOMES)),
            "reason": pd.Categorical([row["reason"] for row in rows], list(REASONS[1:])),
            "asked": pd.Categorical(specs, list(SPECS.values())),
            "spec": pd.Categorical(specs, list(SPECS.values())),
            "level": pd.Series([row["level"] for row in rows], dtype="int8"),
            "batch": pd.array(on, dtype="Int32"),
            "gpu_seconds": floats([nan if number is None else share[number] for number in on]),
            "retry": pd.Series([row["retry"] for row in rows], dtype=bool),
            "notified": pd.Series([False for _ in rows], dtype=bool),
            "first": pd.Series([first[row["user"], row["ask"]] for row in rows], dtype="int32"),
        }
    )


def users_of(
    attempts: tuple[dict[str, Any], ...], waitlist: tuple[dict[str, float], ...], churned: dict[int, float]
) -> pd.DataFrame:
    first: dict[int, dict[str, Any]] = {}
    for row in sorted(attempts, key=lambda row: row["arrived"]):
        first.setdefault(row["user"], row)
    people = [
        {"tier": row["tier"], "arrives": row["arrived"], "admitted": row["arrived"], "left": churned.get(user, nan)}
        for user, row in sorted(first.items())
    ]
    people += [{"tier": "free", "admitted": nan, "left": nan, **person} for person in waitlist]
    return pd.DataFrame(
        {
            "user": pd.Series(range(len(people)), dtype="int32"),
            "tier": pd.Categorical([person["tier"] for person in people], TIERS),
            "wave": names([0] * len(people), WAVES),
            "region": names([0] * len(people), ["everywhere"]),
            "newcomer": pd.Series([True] * len(people), dtype=bool),
            "invited_by": pd.Series([pd.NA] * len(people), dtype="Int32"),
            **{name: floats([person[name] for person in people]) for name in ("arrives", "admitted", "left")},
        }
    )


def floats(values: list[Any]) -> "pd.Series[float]":
    return pd.Series(values, dtype=float)


def attainment(wishes) -> float:
    """SLO attainment: of the intents that can be judged, the share with an image in time; nan where there are none."""
    judged = wishes[wishes["decided"]]
    return float(judged["in_time"].mean()) if len(judged) else nan
