"""The simulator against queueing theory: each row of the tables, measured in runs of both engines."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from sim.engine.parallel import Progress, in_parallel
from sim.engine.simulate import simulate
from sim.results.run import Run
from sim.scenario.scenario import Scenario
from sim.validation.study import Row, Study
from tests.studies.theory.formulas import FORMULAS
from tests.studies.theory.measures import Measure
from tests.studies.theory.queues import Truths, truths_by_system, z
from tests.studies.theory.systems import SYSTEMS

SEEDS = {"compiled": 16, "simpy": 10}
LARGEST_Z = 3.5
ROUNDING = 1e-8  # of itself, by which a mean may be off where all seeds give the same: the tables have ten figures
# Metrics of events that are too rare for the short runs of simpy.
RARE = ("_p95", "_p99", "_std_FCFS", "_std_LCFS_nonpreemptive", "orbit empty)")
COMPARED = ["user", "attempt", "arrived", "started", "finished", "left"]
NOT_SIMULATED = {("fluid exponentially decaying surge", "t_peak")}

CANNOT = {
    "M/G/1 preemptive-resume priority": "a batch on a GPU is never interrupted",
    "M/M^[b]/1 bulk service (late joiners allowed)": "a batch is closed when it starts",
    "M/M/1 constant retrial": "each person retries on their own clock, so the retrial rate grows with their number",
    "APF shuffle sharding": "too rare to be seen in runs; a test of the deal checks that every hand is equally likely",
}
NO_ERLANG = "times of a batch vary as lognormal or exponential, or not at all, or between kinds of request"


def theory_study(progress: Progress | None = None) -> Study:
    """Every row of the tables, on both engines where it needs runs."""
    tasks = [(system, number, engine) for engine in SEEDS for system, number, _, _ in cases() if system in SYSTEMS]
    rows = [row for found in in_parallel(rows_of, None, tasks, progress=progress) for row in found]
    return Study(
        "theory",
        "Queueing theory",
        "Does the mean over independent runs lie where the textbooks have it?",
        "closed forms and numerical solutions by their usual sources: Erlang, Crommelin, Pollaczek and Khinchine, "
        "Cobham, Bailey, Palm, Falin and Templeton, Huang and others, Google's SRE book",
        [*rows, *formula_rows(), *unexpressed_rows()],
        [
            f"A row of runs agrees where the mean over {SEEDS['compiled']} seeds (compiled engine) or {SEEDS['simpy']} "
            f"(simpy, in shorter runs) is within {LARGEST_Z} standard errors of the exact value.",
            "simpy is slow, so it does not run rare figures and queues that need long runs. That all "
            "attempts of a run of every case are the same in both engines is a row of its own.",
            "A quantile is measured as the share of requests beyond it, a deviation as the mean square.",
            "A row marked formula evaluates a rule or closed form of the simulator itself, without a run.",
        ],
    )


def cases() -> Iterator[tuple[str, int, Mapping[str, Any], Mapping[str, float]]]:
    """The cases that are run: the system, a number within it, parameters and metrics."""
    for system, found in truths_by_system().items():
        for number, (params, metrics) in enumerate(split(found)):
            if why_not(system, params) == "":
                left = {name: value for name, value in metrics.items() if (system, name) not in NOT_SIMULATED}
                yield system, number, params, left


def split(found: Truths) -> Truths:
    """Rows of M/G/1 under last come, first served become a case of their own."""
    parts: Truths = []
    for params, metrics in found:
        last = {name: value for name, value in metrics.items() if "LCFS" in name}
        rest = {name: value for name, value in metrics.items() if name not in last}
        parts += [(params, part) for part in (rest, last) if part]
    return parts


def why_not(system: str, params: Mapping[str, Any]) -> str:
    """Why this model cannot express a system; empty if it can."""
    if system == "M/M^[b]/1 bulk service (late joiners allowed)" and params["b"] == 1:
        return ""  # M/M/1
    if str(params.get("service", "")).startswith("erlang"):
        return NO_ERLANG
    return CANNOT.get(system, "")


def rows_of(_: None, system: str, number: int, engine: str, report: Progress) -> list[Row]:
    """One case on one engine: one row per metric."""
    params, metrics = next((p, m) for name, n, p, m in cases() if (name, n) == (system, number))
    if engine == "simpy":
        metrics = {metric: value for metric, value in metrics.items() if not metric.endswith(RARE)}
    model, case = SYSTEMS[system](params, metrics, engine), label(system, params)
    found: dict[str, list[float]] = {metric: [] for metric in metrics}
    seeds = SEEDS[engine] if model.long else 1
    for seed in range(1, seeds + 1):
        run = simulate(model.scenario, seed=seed, engine=engine)
        for metric in metrics if model.long else ():
            found[metric].append(model.measures[metric].of(run))
        report(seed / seeds)
    rows = [row_of(case, engine, model.measures[name], np.array(values)) for name, values in found.items() if values]
    return [*rows, same_row(case, run, model.scenario)] if engine == "simpy" else rows


def same_row(case: str, run: Run, scenario: Scenario) -> Row:
    """Share of the attempts of a run of simpy that are the same to the last bit in the compiled engine."""
    other = simulate(scenario, seed=run.manifest["seed"]).requests
    if len(other) != len(run.requests):
        return Row(case, "attempts the same in both engines", "", 1.0, 0.0, 1.0, 1.0)
    same = np.all([same_values(run.requests[name], other[name]) for name in COMPARED], axis=0)
    return Row(
        case, "attempts the same in both engines", "", 1.0, float(same.mean()), 1.0, 1.0, f"{len(same):,} attempts"
    )


def same_values(a: pd.Series, b: pd.Series) -> Any:
    """Where two columns are equal, or both never."""
    return ((a == b) | (a.isna() & b.isna())).to_numpy()


def row_of(case: str, engine: str, measure: Measure, samples: np.ndarray) -> Row:
    """The mean of the samples, and the bounds between which it must lie."""
    error = float(samples.std(ddof=1)) / math.sqrt(len(samples))
    off = max(LARGEST_Z * error, ROUNDING * abs(measure.target))
    low = 0.0 if measure.at_most else measure.target - off
    how = (
        "at most" if measure.at_most else (f"z {z(samples, measure.target):+.2f}" if error else "the same in all runs")
    )
    note = f"{engine}, {how}"
    return Row(case, measure.figure, "", measure.target, float(samples.mean()), low, measure.target + off, note)


def formula_rows() -> list[Row]:
    """Rows that need no run."""
    rows = []
    for system, (formula, share) in FORMULAS.items():
        for params, metrics in truths_by_system()[system]:
            for metric, found in formula(params).items():
                actual, off = metrics[metric], max(share, 1e-9) * abs(metrics[metric])
                rows.append(
                    Row(label(system, params), metric, "", actual, found, actual - off, actual + off, "formula")
                )
    return rows


def unexpressed_rows() -> list[Row]:
    """Rows that the model cannot express, with the reason."""
    return [
        Row(label(system, params), metric, "", value, math.nan, note=f"cannot be expressed: {why_not(system, params)}")
        for system, found in truths_by_system().items()
        for params, metrics in found
        if why_not(system, params)
        for metric, value in metrics.items()
    ]


def label(system: str, params: Mapping[str, Any]) -> str:
    """A case in words."""
    if system == "M/G/1":
        return f"{system}, {params['service']}"
    if "classes" in params:
        classes = (f"{one['lam']:g} a second of {one['ES']:g} s" for one in params["classes"])
        return f"{system}, {', '.join(classes)}, mean square {params['classes'][0]['ES2']:g}"
    shown = (f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in params.items())
    return f"{system}, {', '.join(shown)}"
