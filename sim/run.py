"""Run: one simulation as tables with a manifest beside them; built from the engine, saved and loaded as a folder."""

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sim.crowd import Crowd
from sim.errors import BadInput
from sim.manifest import FORMAT, manifest_of
from sim.request import OUTCOMES, UNFINISHED
from sim.rules import REASONS
from sim.scenario import Scenario
from sim.service import Service

WORD_OF_MOUTH = "word of mouth"
TABLES = ("requests", "batches", "users", "decisions")


@dataclass(frozen=True)
class Run:
    """What one simulation left behind. Times are seconds after the scenario's start; nan is never.

    requests: a row an attempt: user, ask, attempt, tier, feature, pool, arrived, started, finished, left, outcome,
        reason, asked, spec, level, batch, gpu_seconds (its share of the batch), retry (the user will try again),
        notified (told to come back for it).
    batches: batch, pool, gpu, spec, started, finished, size (images), seconds (of the whole batch), watts.
    users: user, tier, wave, region, newcomer, invited_by (a user), arrives, admitted, left (gave up on the waitlist, or
        churned).
    decisions: time, knob, tier, feature, old, new, policy.
    manifest: scenario, playbook, seed, engine, versions and the figures needed to read the tables.
    """

    requests: pd.DataFrame
    batches: pd.DataFrame
    users: pd.DataFrame
    decisions: pd.DataFrame
    manifest: dict[str, Any]

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
    except (OSError, ValueError, AttributeError, KeyError, TypeError, RecursionError) as wrong:
        expected = "a folder written by 'meltpoint run'"
        raise BadInput(f"this is not a saved run ({wrong})", file=folder, expected=expected) from None
    return Run(**tables, manifest=manifest)


def categories(table: pd.DataFrame) -> dict[str, list[str]]:
    """The names that each categorical column can hold."""
    return {str(c): table[c].cat.categories.tolist() for c in table if isinstance(table[c].dtype, pd.CategoricalDtype)}


def with_categories(table: pd.DataFrame, known: dict[str, list[str]]) -> pd.DataFrame:
    """A table as it was saved: Parquet forgets what a column without rows could hold."""
    return table.assign(**{c: names([], kinds) for c, kinds in known.items()}) if table.empty else table


def run_from(
    scenario: Scenario,
    crowd: Crowd,
    service: Service,
    decisions: list[dict[str, Any]],
    *,
    playbook: str,
    seed: int,
    unlimited: bool,
    wall_seconds: float,
) -> Run:
    """The tables of a run of the SimPy engine that has reached its horizon."""
    batches, places = batch_table(scenario, service)
    columns = ["time", "knob", "tier", "feature", "old", "new", "policy"]
    return Run(
        requests=request_table(scenario, service, places),
        batches=batches,
        users=user_table(scenario, crowd),
        decisions=pd.DataFrame(decisions, columns=columns),
        manifest=manifest_of(scenario, service, playbook, seed, wall_seconds, unlimited=unlimited),
    )


def names(codes: Any, categories: list[str]) -> Any:
    """A column of names from a column of their numbers."""
    return pd.Categorical.from_codes(np.asarray(codes, dtype=np.int64), categories=pd.Index(categories))


def request_table(scenario: Scenario, service: Service, batch_places: np.ndarray) -> pd.DataFrame:
    """One row an attempt, in order of arrival, then user, ask and attempt."""
    log = service.requests
    labels = [spec.label for spec in service.specs]
    pools = np.array(service.pool_of, dtype=np.int64)

    def column(name: str, kind: type) -> np.ndarray:
        return np.fromiter((getattr(r, name) for r in log), dtype=kind, count=len(log))

    outcome_code = {outcome: code for code, outcome in enumerate(OUTCOMES)}
    outcomes = np.fromiter((outcome_code[r.outcome or UNFINISHED] for r in log), dtype=np.int64, count=len(log))
    numbers = np.fromiter((-1 if r.batch is None else r.batch for r in log), dtype=np.int64, count=len(log))
    batch = pd.array(np.append(batch_places, 0)[numbers], dtype="Int64")
    batch[numbers < 0] = pd.NA
    feature, reason = column("feature", int), column("reason", int) - 1
    table = pd.DataFrame(
        {
            "user": column("user", int),
            "ask": column("ask", int),
            "attempt": column("attempt", int),
            "tier": names(column("tier", int), list(scenario.tiers)),
            "feature": names(feature, list(scenario.features)),
            "pool": names(pools[feature] if len(log) else [], list(scenario.pools)),
            **{name: column(name, float) for name in ("arrived", "started", "finished", "left")},
            "outcome": names(outcomes, list(OUTCOMES)),
            "reason": names(reason, list(REASONS[1:])),
            "asked": names(column("asked", int), labels),
            "spec": names(column("spec", int), labels),
            "level": column("level", int),
            "batch": batch,
            "gpu_seconds": column("gpu_seconds", float),
            "retry": column("retry", bool),
            "notified": column("notified", bool),
        }
    )
    order = np.lexsort((table["attempt"], table["ask"], table["user"], table["arrived"]))
    return table.iloc[order].reset_index(drop=True)


def batch_table(scenario: Scenario, service: Service) -> tuple[pd.DataFrame, np.ndarray]:
    """One row a batch, numbered in order of start, pool and GPU; and the new number of each of the engine's batches."""
    log = service.batches
    fields: dict[str, type] = {
        "pool": int,
        "gpu": int,
        "spec": int,
        "size": int,
        "started": float,
        "finished": float,
        "seconds": float,
    }
    raw: dict[str, np.ndarray] = {
        f: np.fromiter((getattr(b, f) for b in log), dtype=k, count=len(log)) for f, k in fields.items()
    }
    order = np.lexsort((raw["gpu"], raw["pool"], raw["started"]))
    places = np.empty(len(log), dtype=np.int64)
    places[order] = np.arange(len(log))
    raw = {f: values[order] for f, values in raw.items()}
    table = pd.DataFrame(
        {
            "batch": np.arange(len(log)),
            "pool": names(raw["pool"], list(scenario.pools)),
            "gpu": raw["gpu"],
            "spec": names(raw["spec"], [spec.label for spec in service.specs]),
            **{f: raw[f] for f in ("started", "finished", "size", "seconds")},
            "watts": watts(service, scenario, raw["spec"], raw["size"]),
        }
    )
    return table, places


def watts(service: Service, scenario: Scenario, specs: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Power drawn during each batch, from the profiles; nan where a profile has none."""
    cells = set(zip(specs.tolist(), sizes.tolist(), strict=True))
    profiles = scenario.used_profiles
    known = {(s, n): profiles[service.specs[s].model].power(service.specs[s], n) for s, n in cells}
    return np.array([known[cell] for cell in zip(specs.tolist(), sizes.tolist(), strict=True)], dtype=float)


def user_table(scenario: Scenario, crowd: Crowd) -> pd.DataFrame:
    """One row a person, in order of arrival; the invited after all others."""
    sources = scenario.demand.names()
    source = np.array(crowd.source)
    invited = [WORD_OF_MOUTH] if scenario.demand.word_of_mouth is not None else []
    by = pd.array(crowd.invited_by, dtype="Int64")
    by[np.array(crowd.invited_by) < 0] = pd.NA
    return pd.DataFrame(
        {
            "user": np.arange(len(crowd)),
            "tier": names(crowd.tier, list(scenario.tiers)),
            "wave": names(np.where(source < 0, len(sources), source), [*sources, *invited]),
            "region": names(crowd.region, list(scenario.demand.regions) or ["everywhere"]),
            "newcomer": np.array(crowd.newcomer, dtype=bool),
            "invited_by": by,
            "arrives": np.array(crowd.arrives, dtype=float),
            "admitted": np.array(crowd.admitted, dtype=float),
            "left": np.array(crowd.left, dtype=float),
        }
    )
