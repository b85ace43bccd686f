"""The tables of a run, made from an engine's log: names for numbers, rows in order, GPUs in place of replicas."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from sim.demand.sources import WORD_OF_MOUTH
from sim.model.gateway import REASONS
from sim.model.narrow import narrow
from sim.model.passes import each_together
from sim.model.request import OUTCOMES
from sim.policies.base import ABSENT
from sim.profile.profile import Profile
from sim.results.log import OF_TOKENS, Columns, Log
from sim.scenario.scenario import Scenario
from sim.scenario.serving_options import BATCHES, STEPS

DECIDED = ["time", "knob", "tier", "feature", "old", "new", "policy", "reason"]


def in_gpus(scenario: Scenario, log: Log) -> Log:
    """The log with GPU-seconds of all GPUs of a replica: engines count those of replicas."""
    each = np.array([pool.gpus_per_replica for pool in scenario.pools.values()])
    if (each == 1).all():
        return log
    pools = list(scenario.pools)
    mine = each[[pools.index(feature.pool) for feature in scenario.features.values()]]
    requests, killed, line = log.requests, log.killed, log.timeline
    if len(killed.get("batch", ())):
        killed = {**killed, "gpu_seconds": killed["gpu_seconds"] * each[log.batches["pool"][killed["batch"]]]}
    if line is not None:
        line = replace(line, seconds=line.seconds * mine[:, None], joules=line.joules * each)
    requests = {**requests, "gpu_seconds": requests["gpu_seconds"] * mine[requests["feature"]]}
    return replace(log, requests=requests, killed=killed, timeline=line)


def killed_table(log: Columns, requests: np.ndarray | None, batches: np.ndarray | None) -> pd.DataFrame:
    """One row per request whose work was lost, and batch; requests, batches: where each row of theirs has gone."""
    columns: dict[str, Any] = {name: log.get(name, np.empty(0, dtype=np.int64)) for name in ("request", "batch")}
    for name, places in (("request", requests), ("batch", batches)):
        columns[name] = narrow(columns[name] if places is None else places[columns[name]], np.int32)
    table = pd.DataFrame({**columns, "gpu_seconds": log.get("gpu_seconds", np.empty(0))})
    return table.sort_values(["batch", "request"], ignore_index=True)


def decision_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """One row a decision; most have no reason of their own."""
    return pd.DataFrame([{"reason": None, **row} for row in rows], columns=DECIDED)


def fleet_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """One row per change of a pool's fleet."""
    return pd.DataFrame(rows, columns=["time", "pool", "change", *ABSENT])


def names(codes: Any, categories: list[str]) -> Any:
    """A column of names from a column of their numbers."""
    return pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(categories), validate=False)


def in_order(*keys: np.ndarray) -> np.ndarray | None:
    """The order by some keys, the first the most important; None where they are in it already."""
    if (keys[0][1:] > keys[0][:-1]).all():
        return None
    ascending = np.ones(max(len(keys[0]) - 1, 0), dtype=bool)
    for key in reversed(keys):
        ascending = (key[1:] > key[:-1]) | ((key[1:] == key[:-1]) & ascending)
    return None if ascending.all() else np.lexsort(keys[::-1])


def ordered(log: Columns, *keys: str) -> tuple[Columns, np.ndarray | None]:
    """The rows in the order of some columns, and that order; None where they were in it."""
    order = in_order(*(log[key] for key in keys))
    return (log, None) if order is None else ({name: values[order] for name, values in log.items()}, order)


def places_after(order: np.ndarray) -> np.ndarray:
    """Where each row has gone."""
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    return places


def request_table(
    scenario: Scenario, log: Columns, batch_places: np.ndarray | None
) -> tuple[pd.DataFrame, np.ndarray | None]:
    """One row an attempt, in order of arrival, then user, ask and attempt; and where each row of the log has gone.

    None: they were in that order.
    """
    log, order = ordered(log, "arrived", "user", "ask", "attempt")
    moved = None if order is None else places_after(order)
    first = first_attempts(log) if "first" not in log else log["first"]
    if moved is not None and "first" in log:
        first = moved[first]
    labels = [spec.label for spec in scenario.specs()]
    pools = list(scenario.pools)
    pool_of = np.array([pools.index(feature.pool) for feature in scenario.features.values()])
    batch, none = log["batch"], log["batch"] < 0
    if batch_places is not None:
        batch = np.append(batch_places, 0)[batch]
    table = pd.DataFrame(
        {
            **{name: narrow(log[name], np.int32) for name in ("user", "ask")},
            "attempt": narrow(log["attempt"], np.int16),
            "tier": names(log["tier"], list(scenario.tiers)),
            "feature": names(log["feature"], list(scenario.features)),
            "pool": names(pool_of[log["feature"]], pools),
            **{name: log[name] for name in ("arrived", "started", "dequeued", "finished", "left")},
            "outcome": names(log["outcome"], list(OUTCOMES)),
            "reason": names(log["reason"] - 1, list(REASONS[1:])),
            "asked": names(log["asked"], labels),
            "spec": names(log["spec"], labels),
            "level": narrow(log["level"], np.int8),
            "batch": pd.arrays.IntegerArray(narrow(batch, np.int32), none),
            "gpu_seconds": log["gpu_seconds"],
            "retry": log["retry"].astype(bool, copy=False),
            "notified": log["notified"].astype(bool, copy=False),
            "first": narrow(first, np.int32),
            **tokens_of(scenario, log),
        },
        copy=False,
    )
    return table, moved


def tokens_of(scenario: Scenario, log: Columns) -> Columns:
    """When the first token of each request was made, if by the horizon, and how many it makes; if counted."""
    if "tokens" not in log:
        return {}
    return {
        **{name: log[name] for name in OF_TOKENS},
        "first_token": np.where(log["first_token"] < scenario.horizon, log["first_token"], np.nan),
    }


def first_attempts(log: Columns) -> np.ndarray:
    """For each row of a log in order, where the first attempt at the same wish stands."""
    order = np.lexsort((log["attempt"], log["ask"], log["user"]))
    user, ask = log["user"][order], log["ask"][order]
    begins = np.append(True, (user[1:] != user[:-1]) | (ask[1:] != ask[:-1]))[: len(order)]
    first = np.empty(len(order), dtype=np.int64)
    first[order] = order[begins][np.cumsum(begins) - 1]
    return first


def batch_table(scenario: Scenario, log: Columns) -> tuple[pd.DataFrame, np.ndarray | None]:
    """One row a batch, numbered in order of start, pool and GPU; and the new number of each of the engine's batches.

    None: they are numbered so already.
    """
    log, order = ordered(log, "started", "pool", "gpu")
    per_replica = np.array([pool.gpus_per_replica for pool in scenario.pools.values()])
    table = pd.DataFrame(
        {
            "batch": np.arange(len(log["started"]), dtype=np.int32),
            "pool": names(log["pool"], list(scenario.pools)),
            "gpu": narrow(log["gpu"], np.int32),
            "spec": names(log["spec"], [spec.label for spec in scenario.specs()]),
            **{name: log[name] for name in ("started", "finished")},
            "size": narrow(log["size"], np.int32),
            "seconds": log["seconds"],
            "loading": log["loading"],
            "watts": watts(scenario, log) * log["power"] * per_replica[log["pool"]],
        },
        copy=False,
    )
    return table, None if order is None else places_after(order)


def watts(scenario: Scenario, log: Columns) -> np.ndarray:
    """Power drawn for each batch, from the profiles; nan where a profile has none.

    Where a GPU runs many requests at once: a request's share of what the GPU draws with as many as it had on average.
    """
    specs, sizes, pools = log["spec"], log["size"].copy(), list(scenario.pools.values())
    drawn = np.ones(len(specs))
    for number, pool in enumerate(pools):
        if pool.runs != BATCHES:
            mine = np.flatnonzero(log["pool"] == number)
            lasted = np.where(np.isnan(log["finished"]), scenario.horizon, log["finished"])[mine] - log["started"][mine]
            share = log["seconds"][mine]
            drawn[mine] = np.divide(share, lasted, out=np.zeros(len(mine)), where=lasted > 0)
            images = sizes[mine].astype(np.int64)
            most = np.full(len(mine), pool.max_batch) if pool.runs == STEPS else images
            sizes[mine] = each_together(lasted, share, images, most)
    found = known_watts(scenario, scenario.used_profiles, specs, sizes)
    for number, (name, pool) in enumerate(scenario.pools.items()):
        for place in range(len(pool.kinds)):
            models = {spec.model: scenario.profile_on(name, place, spec.model) for spec in scenario.specs_of(name)}
            ends = [0, *scenario.kind_ends[name][:-1], np.inf]
            mine = (log["pool"] == number) & (log["gpu"] >= ends[place]) & (log["gpu"] < ends[place + 1])
            found[mine] = known_watts(scenario, models, specs[mine], sizes[mine])
    return found * drawn


def known_watts(
    scenario: Scenario, profiles: Mapping[str, Profile], specs: np.ndarray, sizes: np.ndarray
) -> np.ndarray:
    kinds = scenario.specs()
    known = np.full((len(kinds), int(sizes.max(initial=0)) + 1), np.nan)
    cells = specs.astype(np.int64) * known.shape[1] + sizes
    for cell in np.flatnonzero(np.bincount(cells, minlength=known.size)).tolist():
        spec, size = divmod(cell, known.shape[1])
        known[spec, size] = profiles[kinds[spec].model].power(kinds[spec], size)
    return known.ravel()[cells]


def user_table(scenario: Scenario, log: Columns) -> pd.DataFrame:
    """One row a person, in order of arrival; the invited after all others."""
    sources = scenario.demand.names()
    invited = [WORD_OF_MOUTH] if scenario.demand.word_of_mouth is not None else []
    source = log["source"].astype(np.int64)
    by = pd.arrays.IntegerArray(narrow(log["invited_by"], np.int32), log["invited_by"] < 0)
    return pd.DataFrame(
        {
            "user": np.arange(len(source), dtype=np.int32),
            "tier": names(log["tier"], list(scenario.tiers)),
            "wave": names(np.where(source < 0, len(sources), source), [*sources, *invited]),
            "region": names(log["region"], list(scenario.demand.regions) or ["everywhere"]),
            "newcomer": log["newcomer"].astype(bool),
            "invited_by": by,
            **{name: log[name].astype(float) for name in ("arrives", "admitted", "left")},
        },
        copy=False,
    )
