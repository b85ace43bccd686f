"""What a search saw at each fleet, or multiple of demand: the runs there, and how well they keep a promise."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ConfigDict

from sim.errors import BadInput
from sim.model.gateway import REASONS
from sim.results.intervals import mean_interval
from sim.results.timeline import ATTEMPTS, DECIDED, REASON
from sim.scenario.scenario import Scenario
from sim.studies.fleets import served_pools
from sim.studies.promise import Promise
from sim.studies.run_record import Record
from sim.studies.runs import Runs
from sim.studies.search import Look, chunks, hopeless
from sim.studies.store import Cell

WITH_TABLES = ConfigDict(arbitrary_types_allowed=True)  # of answers that hold tables, to be read from a file
COLUMNS = ["stage", "scale", "gpus", "demand", "seeds", "kept", "low", "high", "measure", "measure_low", "measure_high"]


@dataclass(frozen=True)
class Seen:
    """The figures of one run that a search needs; dollars and kwh at full scale."""

    margin: float
    measure: float
    stuck: bool
    dollars: float
    kwh: float
    offered: dict[str, float]  # GPUs that first requests would keep busy in the busiest window, by pool
    refused: dict[str, float]  # shares of all attempts, by reason
    grain: float = 0.0  # by how much one request more or less changes the margin
    judged: bool = True  # whether any request was decided
    open_end: float = 0.0  # the share of requests unfinished at the horizon, where the promise passes over them
    kept_out: float = 0.0  # the share of people who came to sign up and had not been let in at the horizon
    in_time: float = math.nan  # the share of requests


def seen(record: Record, promise: Promise) -> Seen:
    """The figures of one run, from its record."""
    f, busiest = record.figures, np.max(record.offered, axis=0).tolist()
    attempts = max(record.total(ATTEMPTS), 1)
    refused = {name: record.total(REASON + place) / attempts for place, name in enumerate(REASONS[1:])}
    return Seen(
        margin=promise.margin(record),
        measure=promise.measure(record),
        stuck=record.stayed_down,
        dollars=f["dollars"],
        kwh=f["kwh"],
        offered=dict(zip(record.pools, busiest, strict=True)),
        refused={name: share for name, share in refused.items() if share},
        grain=promise.grain(record),
        judged=record.total(DECIDED) > 0,
        open_end=promise.open_end(record),
        kept_out=record.kept_out,
        in_time=f["attainment"],
    )


@dataclass(frozen=True)
class Criterion:
    """When a promise counts as kept: in which share of the runs, and with which confidence that is to be known."""

    promise: Promise
    playbook: str
    runs: float
    confidence: float


@dataclass
class Looks:
    """Looks at places, each once, and remembers them; `table` is what figures and files show.

    world: the scenario of a place in the future that has the number of the seed, where inputs are uncertain. pools:
    those whose GPUs the table counts together; all that serve a feature where there are none.
    """

    study: Runs
    rule: Criterion
    world: Callable[[int, Scenario], Scenario] | None = None
    known: dict[tuple[Any, ...], tuple[Look, list[Seen]]] = field(default_factory=dict)
    rows: dict[tuple[Any, ...], dict[str, Any]] = field(default_factory=dict)
    pools: list[str] = field(default_factory=list)
    stuck: set[str] = field(default_factory=set)  # digests of places where some run stayed down, whatever its stage

    def look(
        self,
        scenario: Scenario,
        seeds: Sequence[int],
        *,
        stage: str,
        unlimited: bool = False,
        about: Mapping[str, Any] | None = None,
    ) -> Look:
        """The runs of a place with these seeds; fewer, where the first of them show that too many break the promise."""
        key = (stage, unlimited, scenario.digest, tuple(seeds))
        if key not in self.known:
            earlier = [(*key[:3], tuple(seeds[:n])) for n in range(len(seeds) - 1, 0, -1)]
            found = list(next((self.known[one][1] for one in earlier if one in self.known), []))
            while len(found) < len(seeds) and not hopeless([s.margin for s in found], self.rule.runs, len(seeds)):
                part = chunks(seeds, len(found))[0]
                worlds = [scenario if self.world is None else self.world(seed, scenario) for seed in part]
                cells = [Cell(w, self.rule.playbook, seed, unlimited) for w, seed in zip(worlds, part, strict=True)]
                promise = self.rule.promise.of_service if unlimited else self.rule.promise
                found += self.study.ask(cells, partial(seen, promise=promise))
            margins = tuple(s.margin for s in found)
            if not unlimited and any(s.stuck for s in found):
                self.stuck.add(scenario.digest)
            counted = self.world is not None or scenario.digest in self.stuck
            grain = float(np.mean([s.grain for s in found]))
            look = Look(tuple(seeds[: len(found)]), margins, self.rule.runs, self.rule.confidence, counted, grain)
            self.known[key] = look, found
            if not unlimited:
                share = self.rule.promise.target > 0
                row = row_of(look, found, scenario, stage, self.pools, share=share)
                self.rows = {one: shown for one, shown in self.rows.items() if one not in earlier}  # of fewer runs
                self.rows[key] = {**row, **(about or {})}
        return self.known[key][0]

    def seen(self, look: Look) -> list[Seen]:
        """The runs behind a look."""
        return next(found for one, found in self.known.values() if one is look)

    def table(self) -> pd.DataFrame:
        """One row per place and stage, in the order of fleets and demands."""
        columns = [*COLUMNS, "verdict", "margin", "dollars", "kwh", *self.more()]
        rows = pd.DataFrame(list(self.rows.values()), columns=columns)
        return rows.sort_values(["stage", "demand", "gpus"], kind="stable", ignore_index=True)

    def more(self) -> list[str]:
        """Columns of single pools, where there are several."""
        return list(dict.fromkeys(name for row in self.rows.values() for name in row if name.startswith("gpus of ")))


def row_of(
    look: Look, found: list[Seen], scenario: Scenario, stage: str, pools: Sequence[str], *, share: bool
) -> dict[str, Any]:
    """One row of the table. pools: whose GPUs count, all used where none; share: whether the measure is one."""
    measures = [s.measure for s in found]
    low, high = mean_interval(measures, "share" if share else "any")
    used = served_pools(scenario)
    several = {f"gpus of {pool}": scenario.pools[pool].gpus for pool in used} if len(used) > 1 else {}
    return {
        "stage": stage,
        "scale": scenario.scale,
        "gpus": sum(scenario.pools[pool].gpus for pool in pools or used),
        "demand": 1.0,
        "seeds": len(found),
        "kept": look.kept,
        **look.interval._asdict(),
        "measure": float(np.mean(measures)),
        "measure_low": low,
        "measure_high": high,
        "verdict": look.verdict,
        "margin": float(np.mean(look.margins)),
        "dollars": float(np.mean([s.dollars for s in found])),
        "kwh": float(np.mean([s.kwh for s in found])),
        **several,
    }


def mean(values: Iterable[float]) -> float:
    """nan where there are none."""
    found = list(values)
    return float(np.mean(found)) if found else math.nan


def first_beyond(record: Record, gpus: Mapping[str, int], begin: float, end: float) -> float:
    """When first requests first keep more than these GPUs busy: the start of a window between two instants, or nan."""
    offered = np.array(record.offered)[:, [record.pools.index(p) for p in gpus]]
    beyond = np.flatnonzero((offered > np.array(list(gpus.values()))).any(axis=1))
    return begin + float(beyond[0]) * (end - begin) / len(offered) if len(beyond) else math.nan


def enough(look: Look) -> bool:
    """Whether an answer may rest on this look: it meets the promise; or, where runs are only counted, enough keep it.

    Proving nine of ten by their count takes 29 runs.
    """
    return look.verdict == "meets" or (look.counted and look.passes)


def refuse_unusable(seeds: int, runs: float, confidence: float) -> None:
    """Raise BadInput for what no search can be made with."""
    if type(seeds) is not int or not 2 <= seeds <= 10_000:
        raise BadInput("this takes two seeds or more", key="seeds", value=seeds, expected="2 to 10000")
    for key, share in (("runs", runs), ("confidence", confidence)):
        if not 0.5 <= share < 1:
            raise BadInput("this share cannot be used", key=key, value=share, expected="from 50 % to below 100 %")
