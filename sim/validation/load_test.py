"""A load test against the simulator: throughput, latency and errors of a scenario at each concurrency or rate."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sim.engine.parallel import Progress
from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.model.request import REFUSED, SERVED
from sim.profile.load_tests import alone, requests_a_second
from sim.scenario.load import load
from sim.scenario.scenario import Scenario
from sim.tables.formats import load_test
from sim.tables.formats.reader import LoadPoint
from sim.validation.study import Row, Study

WITHIN, SEEDS = 0.1, 3  # the relative error that agrees
ENOUGH, FIRST = 600, 0.2  # requests of a run, and the part of it that is left out at its start
OF_LATENCY: dict[str, Callable[[Any], Any]] = {
    "mean": np.mean,
    "p50": np.median,
    "p90": lambda values: np.percentile(values, 90),
}
ERRORS = 0.02  # the difference of shares of errors that agrees


def load_test_study(progress: Progress | None = None, *, file: Path, scenario: str) -> Study:
    """The study of a load test's results. Raises BadInput for a file that has none, or no concurrency and no rate."""
    service = load(scenario)
    test = load_test(file)
    points = [one for one in (test[1] if test else None) or [] if one.component == "pipeline"]
    if not points:
        expected = "perf_analyzer, GenAI-Perf, AIPerf, vLLM or SGLang results"
        raise BadInput("this file holds no results of a load test", file=file, expected=expected)
    rows: list[Row] = []
    for number, point in enumerate(points):
        rows += rows_of(point, service)
        if progress is not None:
            progress((number + 1) / len(points))
    return Study(
        name="loadtest",
        title=f"A load test, {file.name}",
        question="Does the scenario's service answer as many requests, as fast, at each concurrency or rate?",
        source=file.name,
        rows=rows,
        notes=[
            f"Predicted: means over {SEEDS} seeds of the scenario's pools, profiles and first playbook; its demand is "
            "replaced by callers who ask again at once (after an error, a second later), or by requests at the rate of "
            "the test.",
            f"A row agrees within {WITHIN:.0%}, or {ERRORS:g} of errors. A profile that was fitted to this very test "
            "reproduces the rows it was fitted to, and predicts the others.",
        ],
    )


def rows_of(point: LoadPoint, service: Scenario) -> list[Row]:
    """The figures of one row of a test that the file has."""
    size = point.batch or 1
    if not point.concurrency and alone([point], size):
        point = replace(point, concurrency=1.0)  # as 'profile import' reads it: throughput x latency is 1
    case, known = called(point, size), measured(point, size)
    why = cannot(point, service, size)
    if why:
        return [Row(case, name, unit_of(name), value, math.nan, note=why) for name, value in known.items()]
    found = [predicted(service, point, size, seed) for seed in range(1, SEEDS + 1)]
    rows = []
    for name, value in known.items():
        mean = float(np.mean([one[name] for one in found]))
        off = ERRORS if name == "share of errors" else WITHIN * value
        note = f"{mean / value - 1:+.1%}" if value else ""
        rows.append(Row(case, name, unit_of(name), value, mean, max(value - off, 0.0), value + off, note))
    return rows


def called(point: LoadPoint, size: int) -> str:
    """The load of a row, by which its figures are found."""
    if point.concurrency:
        case = f"concurrency {point.concurrency:g}"
    else:
        case = f"{point.rate:g} a second" if point.rate else point.row or "a row"
    return f"{case}, batch {size}" if size > 1 else case


def measured(point: LoadPoint, size: int) -> dict[str, float]:
    """The figures that a row has, by name."""
    found: dict[str, float] = {}
    if point.throughput:
        found["throughput"] = requests_a_second(point, size) or math.nan
    found |= {f"latency, {name}": point.latency[name] for name in OF_LATENCY if name in point.latency}
    if point.errors is not None:
        found["share of errors"] = point.errors
    return found


def unit_of(name: str) -> str:
    if name == "throughput":
        return "1/s"
    return "s" if name.startswith("latency") else ""


def cannot(point: LoadPoint, service: Scenario, size: int) -> str:
    """Why the scenario cannot play a row; '' where it can."""
    most = min(pool.max_batch for pool in service.pools.values())
    if not (point.concurrency or point.rate):
        return "the file gives neither a concurrency nor a rate"
    return f"its requests hold {size} inputs, the scenario's pool takes {most}" if size > most else ""


def predicted(service: Scenario, point: LoadPoint, size: int, seed: int) -> dict[str, float]:
    """The figures of one run: rates a second and seconds, of the time after the first part."""
    run = simulate(with_load(service, point, size), seed=seed)
    rows, begins = run.requests, FIRST * run.horizon
    arrived, finished = (rows[name].to_numpy(dtype=float) for name in ("arrived", "finished"))
    served = (rows["outcome"] == SERVED).to_numpy() & (finished >= begins)
    lasted = (finished - arrived)[served]
    asked = arrived >= begins
    return {
        "throughput": float(served.sum()) / (run.horizon - begins) / run.scale,
        **{f"latency, {name}": float(of(lasted)) if len(lasted) else math.nan for name, of in OF_LATENCY.items()},
        "share of errors": float((rows["outcome"] == REFUSED).to_numpy()[asked].mean()) if asked.any() else math.nan,
    }


def with_load(service: Scenario, point: LoadPoint, size: int) -> Scenario:
    """The scenario's service under callers who ask again as soon as they are answered, or under a rate of requests."""
    closed = point.concurrency is not None and point.rate is None
    pace = requests_a_second(point, size) or point.rate or (point.concurrency or 1.0) / mean_of(point)
    horizon = max(ENOUGH / pace, 20 * mean_of(point)) / (1 - FIRST)
    if closed:
        demand: list[dict[str, Any]] = [{"kind": "callers", "in_flight": round(point.concurrency or 1)}]
    else:
        demand = [{"kind": "steady", "rate": f"{point.rate:.10g} per s"}]
    behaviour = {
        "requests": {"kind": "fixed", "requests": 1},
        "patience": {"kind": "never"},
        "retry": {"at_most": 0},
        "churn": 0,
        "returns": {"kind": "power law", "at_one_day": 0},
    }
    changes: dict[str, Any] = {
        "demand": demand,
        "behaviour": behaviour,
        "horizon": f"{horizon:.10g} s",
        "control_tick": f"{min(service.control_tick, horizon):.10g} s",  # a short test may last less than the usual one
        "warm_up": None,
        "record": "rows",
        "cells": 1,
        "scale": 1,
    }
    if size > 1:
        changes |= {f"features.{name}.spec.images": size for name in service.features}
        changes |= {f"features.{name}.images": None for name in service.features}
    return service.with_(**changes)


def mean_of(point: LoadPoint) -> float:
    return float(point.latency.get("mean") or point.latency.get("p50") or 1.0)
