"""Run: one simulation as tables with a manifest beside them; built from the engine, saved and loaded as a folder."""

import json
import shutil
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from sim.errors import BadInput
from sim.model.gateway import REASONS
from sim.model.request import OUTCOMES
from sim.results.log import Columns, Log
from sim.results.manifest import FORMAT, manifest_of
from sim.results.narrow import narrow
from sim.results.timeline import Timeline, grid
from sim.scenario.parts import Recording
from sim.scenario.scenario import Scenario

WORD_OF_MOUTH = "word of mouth"
TIMELINE = "timeline.npz"
TABLES = ("requests", "batches", "users", "decisions", "fleet")
DECIDED = ["time", "knob", "tier", "feature", "old", "new", "policy", "reason"]


@dataclass(frozen=True)
class Run:
    """The result of one simulation. Times are seconds after the scenario's start; nan is never.

    A large run may keep the rows of some users, or none (manifest: recording); its timeline still counts everybody.

    requests: one row per attempt: user, ask, attempt, tier, feature, pool, arrived, started, dequeued (to a GPU, or
        dropped, or taken out), finished, left, outcome,
        reason, asked, spec, level, batch, gpu_seconds (its share of the batch), retry (the user will try again),
        notified (told to come back for it), first (the row of the first attempt at the same wish).
    batches: batch, pool, gpu, spec, started, finished, size (images), seconds (of the whole batch), watts.
    users: user, tier, wave, region, newcomer, invited_by (a user), arrives, admitted, left (gave up on the waitlist, or
        churned).
    decisions: time, knob, tier, feature, old, new, policy, reason (why a trigger began or ended a step: knob 'step', 1
        in force, 0 not; None for other knobs).
    fleet: time, pool, change: by how many GPUs more, or fewer, are in service of the pool from then on.
    timeline: everything counted; None where the engine leaves that to the tables ('simpy').
    manifest: scenario, playbook, seed, engine, versions and the figures needed to read the tables.
    """

    requests: pd.DataFrame
    batches: pd.DataFrame
    users: pd.DataFrame
    decisions: pd.DataFrame
    fleet: pd.DataFrame
    manifest: dict[str, Any]
    timeline: Timeline | None = None

    @property
    def has_rows(self) -> bool:
        """Whether the tables hold every row."""
        return bool(self.manifest["recording"]["rows"])

    @property
    def horizon(self) -> float:
        return float(self.manifest["horizon"])

    @property
    def scale(self) -> float:
        """The simulated slice of the service; divide counts by it for the whole."""
        return float(self.manifest["scale"])

    def save(self, folder: Path) -> Path:
        """Write the run into a new folder, all of it or nothing. Raises BadInput if the folder is there already."""
        folder = Path(folder)
        try:
            if folder.exists():
                raise BadInput("this folder is there already", file=folder, expected="the name of a new folder")
            folder.parent.mkdir(parents=True, exist_ok=True)
            unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        except (OSError, ValueError) as wrong:
            message = f"this folder cannot be made ({wrong})"
            raise BadInput(message, file=folder, expected="the name of a new folder") from None
        manifest = {**self.manifest, "categories": {table: categories(getattr(self, table)) for table in TABLES}}
        try:
            for table in TABLES:
                getattr(self, table).to_parquet(unfinished / f"{table}.parquet", index=False)
            if self.timeline is not None:
                np.savez_compressed(unfinished / TIMELINE, allow_pickle=False, **self.timeline.arrays())
                manifest["timeline"] = {"width": self.timeline.width, "people": self.timeline.people}
            (unfinished / "manifest.json").write_text(json.dumps(manifest, indent=1, allow_nan=False) + "\n")
            unfinished.chmod(0o755)
            unfinished.rename(folder)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        return folder


def load_run(folder: Path) -> Run:
    """A run saved before. Raises BadInput if the folder holds none, or one of another format."""
    folder = Path(folder)
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        if manifest.get("format") != FORMAT:
            raise BadInput("unknown run format", file=folder, value=manifest.get("format"), expected=FORMAT)
        known = manifest.pop("categories")
        tables = {t: with_categories(pd.read_parquet(folder / f"{t}.parquet"), known[t]) for t in TABLES}
        counted = manifest.pop("timeline", None)
        timeline = None if counted is None else load_timeline(folder, manifest["horizon"], counted["people"])
    except (OSError, ValueError, AttributeError, KeyError, TypeError, RecursionError) as wrong:
        expected = "a folder written by 'meltpoint run'"
        raise BadInput(f"this is not a saved run ({wrong})", file=folder, expected=expected) from None
    return Run(**tables, manifest=manifest, timeline=timeline)


def load_timeline(folder: Path, horizon: float, people: dict[str, int]) -> Timeline:
    """The timeline beside the tables. Raises ValueError if the file is damaged, however that shows."""
    try:
        with (folder / TIMELINE).open("rb") as file, np.load(file) as arrays:
            return Timeline(edges=grid(horizon), people=people, **arrays)
    except (BadZipFile, EOFError, KeyError, NotImplementedError, TokenError, zlib.error) as wrong:
        raise ValueError(f"{TIMELINE} is damaged: {wrong}") from None


def categories(table: pd.DataFrame) -> dict[str, list[str]]:
    """The names that each categorical column can hold."""
    return {str(c): table[c].cat.categories.tolist() for c in table if isinstance(table[c].dtype, pd.CategoricalDtype)}


def with_categories(table: pd.DataFrame, known: dict[str, list[str]]) -> pd.DataFrame:
    """A table as it was saved: Parquet forgets what a column without rows could hold."""
    return table.assign(**{c: names([], kinds) for c, kinds in known.items()}) if table.empty else table


def run_from(
    scenario: Scenario,
    log: Log,
    decisions: list[dict[str, Any]],
    fleets: list[dict[str, Any]],
    *,
    playbook: str,
    seed: int,
    engine: str,
    unlimited: bool,
    recording: Recording,
    wall_seconds: float,
) -> Run:
    """The tables of a run that has reached its horizon."""
    batches, places = batch_table(scenario, log.batches)
    manifest = manifest_of(scenario, log.gpus, playbook, seed, engine, wall_seconds, recording, unlimited=unlimited)
    return Run(
        requests=request_table(scenario, log.requests, places),
        batches=batches,
        users=user_table(scenario, log.people),
        decisions=decision_table(decisions),
        fleet=pd.DataFrame(fleets, columns=["time", "pool", "change"]),
        manifest=manifest,
        timeline=log.timeline,
    )


def decision_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """One row a decision; most have no reason of their own."""
    return pd.DataFrame([{"reason": None, **row} for row in rows], columns=DECIDED)


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


def request_table(scenario: Scenario, log: Columns, batch_places: np.ndarray | None) -> pd.DataFrame:
    """One row an attempt, in order of arrival, then user, ask and attempt."""
    log, order = ordered(log, "arrived", "user", "ask", "attempt")
    first = first_attempts(log) if "first" not in log else log["first"]
    if order is not None and "first" in log:
        first = places_after(order)[first]
    labels = [spec.label for spec in scenario.specs()]
    pools = list(scenario.pools)
    pool_of = np.array([pools.index(feature.pool) for feature in scenario.features.values()])
    batch, none = log["batch"], log["batch"] < 0
    if batch_places is not None:
        batch = np.append(batch_places, 0)[batch]
    return pd.DataFrame(
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
        },
        copy=False,
    )


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
    table = pd.DataFrame(
        {
            "batch": np.arange(len(log["started"]), dtype=np.int32),
            "pool": names(log["pool"], list(scenario.pools)),
            "gpu": narrow(log["gpu"], np.int32),
            "spec": names(log["spec"], [spec.label for spec in scenario.specs()]),
            **{name: log[name] for name in ("started", "finished")},
            "size": narrow(log["size"], np.int32),
            "seconds": log["seconds"],
            "watts": watts(scenario, log["spec"], log["size"]) * log["power"],
        },
        copy=False,
    )
    return table, None if order is None else places_after(order)


def watts(scenario: Scenario, specs: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Power drawn during each batch, from the profiles; nan where a profile has none."""
    kinds, profiles = scenario.specs(), scenario.used_profiles
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
