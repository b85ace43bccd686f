"""Textbook queues as scenarios, their exact values from the tables, and the z that compares the two."""

import csv
import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.profile.profile import constant_profile, profile_of_sizes
from sim.results.run import Run
from sim.scenario.scenario import Scenario

SEEDS = range(1, 17)
TABLE = Path(__file__).parent / "truths.csv"  # columns: system, params (JSON), metric, value, formula_source


def queue(
    *,
    lasting: float,
    warm_up: float = 0.0,
    rate: float = 1.0,
    gpus: int = 1,
    seconds: float = 1.0,
    noise: dict[str, Any] | None = None,
    batch: int = 1,
    linger: float = 0.0,
    per_image: float = 0.0,
    waves: list[dict[str, Any]] | None = None,
    tiers: dict[str, float] | None = None,
    patience: dict[str, Any] | None = None,
    retry: dict[str, Any] | None = None,
    policies: Sequence[dict[str, Any]] = (),
    services: dict[str, tuple[float, float]] | None = None,
    sizes: Sequence[float] = (),
) -> Scenario:
    """A scenario in which each person asks once: `rate` people a second, where no waves say otherwise.

    A batch of n takes seconds + n per_image, times an exponential of mean 1 where no other noise is given; `batch` is
    the largest. sizes: the time of a batch of 1, 2, ... instead. services: kinds of request by name, with the share of
    each and its seconds. tiers: shares by name; policies: in force throughout. Times in seconds.
    """
    kinds = services or {"image": (1.0, seconds)}
    document = {
        "title": "a queue",
        "horizon": in_seconds(lasting),
        "warm_up": in_seconds(warm_up),
        "control_tick": in_seconds(lasting),
        "tiers": {tier: {"share": share} for tier, share in (tiers or {"all": 1}).items()},
        "features": {
            name: {"share": part, "pool": "gpus", "slo": "1 h", "spec": {"model": name}}
            for name, (part, _) in kinds.items()
        },
        "pools": {"gpus": {"gpus": gpus, "max_batch": len(sizes) or batch, "linger": in_seconds(linger)}},
        "demand": waves or [steady(rate)],
        "behaviour": {
            "requests": {"kind": "fixed", "requests": 1},
            "patience": patience or {"kind": "never"},
            "retry": retry or {"at_most": 0},
            "returns": {"kind": "power law", "at_one_day": 0},
            "churn": 0,
        },
        "serving": {"noise": noise or {"kind": "exponential"}, "notices_leaving": True},
        "always": [{"policy": policy} for policy in policies],
    }
    profiles = {
        name: constant_profile(name, took, largest_batch=batch, per_image=per_image)
        for name, (_, took) in kinds.items()
    }
    if sizes:
        profiles = {"image": profile_of_sizes("image", sizes)}
    return Scenario.from_dict(document, profiles=profiles)


def steady(rate: float) -> dict[str, Any]:
    """A wave of constant rate, people per second."""
    return {"kind": "steady", "rate": per_second(rate)}


def poisson(rate: float, **fields: str) -> dict[str, Any]:
    """One client that asks at this rate, whatever comes of it; fields: its tier and feature."""
    return {"kind": "clients", "clients": 1, "rate": per_second(rate), "cv": 1, "skew": 0, **fields}


def in_seconds(value: float) -> str:
    return f"{value} s"


def per_second(value: float) -> str:
    return f"{value} per second"


def room(requests: int) -> dict[str, Any]:
    """The policy that bounds the queue."""
    return {"kind": "queue bound", "requests": requests}


CONSTANT = {"kind": "none"}  # noise: every service time as the profile has it


def replicate(scenario: Scenario, *measures: Callable[[Run], float], seeds: Sequence[int] = SEEDS) -> list[np.ndarray]:
    """For each measure its value in a run of each seed."""
    found = [[measure(run) for measure in measures] for run in (simulate(scenario, seed=seed) for seed in seeds)]
    return list(np.array(found).T)


def z(samples: np.ndarray, theory: float) -> float:
    """How many standard errors the mean of independent samples is away from theory."""
    return float((samples.mean() - theory) / (samples.std(ddof=1) / math.sqrt(len(samples))))


def observed(run: Run) -> pd.DataFrame:
    """The attempts of the steady state: without the warm-up, and as long a time at the end, where some still wait."""
    edge = run.manifest["warm_up"]
    rows = run.requests
    return rows[(rows["arrived"] >= edge) & (rows["arrived"] < run.horizon - edge)]


def waits(rows: pd.DataFrame) -> pd.Series:
    """Waits in seconds of the attempts that started."""
    return (rows["started"] - rows["arrived"]).dropna()


def mean_wait_in(run: Run) -> float:
    return float(waits(observed(run)).mean())


def share_waiting(run: Run) -> float:
    """Share of started attempts that had to wait."""
    return float((waits(observed(run)) > 0).mean())


def share(outcome: str) -> Callable[[Run], float]:
    """A measure: the share of attempts of this outcome."""
    return lambda run: float((observed(run)["outcome"] == outcome).mean())


def waiting_at(run: Run, times: ArrayLike) -> np.ndarray:
    """How many requests wait at each of these times, if nobody leaves the queue unserved."""
    rows = run.requests
    joined = np.sort(rows["arrived"].to_numpy())
    started = np.sort(rows["started"].dropna().to_numpy())
    return np.searchsorted(joined, times, side="right") - np.searchsorted(started, times, side="right")


Truths = list[tuple[Mapping[str, Any], Mapping[str, float]]]


COLUMNS = ("system", "params", "metric", "value")


@cache
def truths_by_system(path: Path = TABLE) -> dict[str, Truths]:
    """A table's values by system: for each parameters, and the metrics for these. Raises BadInput for another table."""
    table: dict[str, dict[str, dict[str, float]]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as wrong:
        raise BadInput(f"the table cannot be read ({wrong})", file=path, expected="a CSV file") from None
    for line, row in enumerate(rows, start=2):
        if any(row.get(name) in (None, "") for name in COLUMNS):
            raise BadInput(
                "a value is missing", file=path, key=f"line {line}", expected=f"columns {', '.join(COLUMNS)}"
            )
        try:
            params, value = json.loads(row["params"]), float(row["value"])
            if not isinstance(params, dict) or not math.isfinite(value):
                raise ValueError("these are no parameters by name, or no finite value")
        except ValueError as wrong:
            expected = "params as an object in JSON, a number"
            raise BadInput(str(wrong), file=path, key=f"line {line}", expected=expected) from None
        metrics = table.setdefault(row["system"], {}).setdefault(row["params"], {})
        if row["metric"] in metrics:
            raise BadInput("this metric has a value already", file=path, key=f"line {line}", value=row["metric"])
        metrics[row["metric"]] = value
    if not table:
        raise BadInput("the table has no rows", file=path, expected=f"rows of {', '.join(COLUMNS)}")
    return {
        system: [(json.loads(params), metrics) for params, metrics in found.items()] for system, found in table.items()
    }


def truths(system: str) -> Truths:
    """The tables' values for a system: its parameters, and the metrics for these."""
    return truths_by_system()[system]


def truth(system: str, metric: str, **params: Any) -> float:
    """One value of the tables."""
    return next(metrics[metric] for known, metrics in truths(system) if known == params)
