"""The simulator against queueing theory: each row of the tables, measured in runs or followed request by request."""

import hashlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from sim.engine.parallel import Progress, in_parallel
from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.results.run import Run
from sim.scenario.scenario import Scenario
from sim.validation.study import Row, Study
from tests.studies.theory.catalogue import BUILDERS, built
from tests.studies.theory.formulas import FORMULAS
from tests.studies.theory.measures import Measure
from tests.studies.theory.params import NotExpressed, NotKnown, Params
from tests.studies.theory.queues import TABLE, Truths, truths_by_system
from tests.studies.theory.replay import Discipline, largest_difference
from tests.studies.theory.systems import System

RUNS, MOST_RUNS = 32, 64  # of a case, each with a seed of its own
LEVEL, ROWS = 0.01, 400  # the chance that any of this number of rows misses though the simulator is right
POWER = 1.2816  # standard errors beyond the bound at which a bias is noticed in nine of ten studies
VISIBLE = 0.1  # of the exact value: a row that cannot notice such a bias is not counted
ROUNDING = 1e-8  # of itself, by which a mean may be off where all seeds give the same: the tables have ten figures
SIGNIFICANT = 0.01  # of the test that the cases together are as far from the exact values as chance has it
COMPARED = ["user", "attempt", "arrived", "started", "finished", "left"]
NOT_SIMULATED = {("fluid exponentially decaying surge", "t_peak")}  # a formula
ALL_CASES = "all cases together"


class Case(NamedTuple):
    """One system with its parameters, and the exact values of its metrics."""

    system: str
    params: Mapping[str, Any]
    metrics: Mapping[str, float]


class Found(NamedTuple):
    """A row; z: standard errors from the exact value; runs: how many (nan, 0: not by z)."""

    row: Row
    z: float = math.nan
    runs: int = 0


def theory_study(progress: Progress | None = None, file: Path = TABLE) -> Study:
    """Every row of a table of exact values: system, params (JSON), metric, value. Raises BadInput."""
    refuse_unknown(file)
    tasks = [(file, number) for number, case in enumerate(cases(file)) if why_not(case) == ""]
    found = [one for some in in_parallel(rows_of, None, tasks, progress=progress) for one in some]
    return Study(
        "theory",
        "Queueing theory",
        "Do means over independent runs lie where the textbooks have them, and does each request start when it must?",
        "closed forms and numerical solutions by their usual sources: Erlang, Crommelin, Pollaczek and Khinchine, "
        "Cobham, Bailey, Palm, Falin and Templeton, Huang and others, Kolmogorov's equations, Google's SRE book",
        [*[one.row for one in found], *together(found), *formula_rows(file), *unexpressed_rows(file)],
        [
            f"By z: the mean over {RUNS} to {MOST_RUNS} runs is within {bound(RUNS):.1f} to {bound(MOST_RUNS):.1f} "
            f"standard errors of the exact value (Student's t; chance makes some row miss in {LEVEL:.0%} of studies). "
            "Each case has seeds of its own. A row says which bias it sees: the least that it would notice in nine of "
            f"ten studies. Where that is more than {VISIBLE:.0%} of the value, the row is shown and not counted.",
            "By request: each start follows by hand from the arrivals and the ends of service of the same run (a "
            "replay that shares nothing with the simulator), in both engines, with a difference of 0 s.",
            "Equality: all attempts of a run are the same in both engines, to the last bit.",
            "A quantile is measured as the share of requests beyond it, a deviation as the mean square.",
            "By formula: a rule or closed form of the simulator itself, evaluated without a run.",
        ],
    )


def cases(file: Path = TABLE) -> Iterator[Case]:
    """The cases of a table that are not mere formulas."""
    for system, found in truths_by_system(file).items():
        for params, metrics in split(found):
            left = {name: value for name, value in metrics.items() if (system, name) not in NOT_SIMULATED}
            if system not in FORMULAS or set(left) != set(metrics):
                yield Case(system, params, left)


def split(found: Truths) -> Truths:
    """Rows of M/G/1 under last come, first served become a case of their own."""
    parts: Truths = []
    for params, metrics in found:
        last = {name: value for name, value in metrics.items() if "LCFS" in name}
        rest = {name: value for name, value in metrics.items() if name not in last}
        parts += [(params, part) for part in (rest, last) if part]
    return parts


def why_not(case: Case) -> str:
    """Why a case cannot be simulated; empty if it can."""
    try:
        built(*case, "compiled")
    except NotExpressed as reason:
        return str(reason)
    return ""


def refuse_unknown(file: Path) -> None:
    """Raise BadInput for a row whose system, parameters or metric are not known here, and where no row can be held."""
    reasons = []
    for case in cases(file):
        about: dict[str, Any] = {"file": file, "key": name_of(case), "value": ", ".join(case.metrics)}
        try:
            built(*case, "compiled")
        except NotKnown as reason:
            raise BadInput(str(reason), **about) from None
        except NotExpressed as reason:
            reasons.append(BadInput(f"no row of the table can be held: {reason}", **about))
    for system, params, metrics in by_formula(file):
        about = {"file": file, "key": label(system, params), "value": ", ".join(metrics)}
        read = Params(params)
        try:
            known = FORMULAS[system][0](read)
        except (ArithmeticError, LookupError, TypeError, ValueError) as wrong:
            raise BadInput(f"a parameter is missing or cannot be used: {wrong}", **about) from None
        if read.unread:
            raise BadInput(f"the parameter {read.unread[0]!r} is not used", **about)
        if system not in BUILDERS and set(metrics) - set(known):
            raise BadInput("a metric is not known", expected=", ".join(known), **about)
    if len(reasons) == len(list(cases(file))) and not formula_rows(file):
        raise reasons[0]


def by_formula(file: Path) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, float]]]:
    """The systems of a table that have a formula, with parameters and metrics."""
    known = truths_by_system(file)
    return ((system, *found) for system in FORMULAS if system in known for found in known[system])


def rows_of(_: None, file: Path, number: int, report: Progress) -> list[Found]:
    """One case: a row by z for each metric, one by request for each engine, one of their equality."""
    case = list(cases(file))[number]
    model, name = built(*case, "compiled"), name_of(case)
    seeds = seeds_of(name)
    samples: dict[str, list[float]] = {metric: [] for metric in case.metrics}
    wanted, done = RUNS, 0
    while done < wanted:
        run = simulate(model.scenario, seed=seeds + done)
        for metric, values in samples.items():
            values.append(model.measures[metric].of(run))
        done += 1
        if done == RUNS:
            wanted = runs_needed([model.measures[metric] for metric in samples], list(samples.values()))
        report(done / (wanted + 1))
    rows = [row_of(name, model.measures[metric], np.array(values)) for metric, values in samples.items()]
    return [*rows, *followed(name, case, model, run, seeds)]


def seeds_of(name: str) -> int:
    """The first seed of a case: no two cases share an arrival."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big")


def runs_needed(measures: list[Measure], samples: list[list[float]]) -> int:
    """Runs after which each mean sees a bias of VISIBLE, from the spread of the first (Stein's two stages)."""
    seen = [visible(np.array(values), one.target) for one, values in zip(measures, samples, strict=True)]
    worst = max((s for s in seen if math.isfinite(s)), default=0.0)
    return min(MOST_RUNS, max(RUNS, math.ceil(RUNS * (1.2 * worst / VISIBLE) ** 2)))


def visible(samples: np.ndarray, target: float) -> float:
    """The bias, as a share of the exact value, that the mean of these samples would show in nine of ten studies."""
    error = float(samples.std(ddof=1)) / math.sqrt(len(samples))
    return (bound(len(samples)) + POWER) * error / abs(target) if target else math.inf


def bound(runs: int) -> float:
    """Standard errors by which a mean over some runs may be off: Student's t, corrected for ROWS rows (Bonferroni)."""
    return float(stats.t.isf(LEVEL / (2 * ROWS), runs - 1))


def row_of(case: str, measure: Measure, samples: np.ndarray) -> Found:
    """The mean of the samples, and the bounds between which it must lie."""
    error, mean = float(samples.std(ddof=1)) / math.sqrt(len(samples)), float(samples.mean())
    target, off = measure.target, max(bound(len(samples)) * error, ROUNDING * abs(measure.target))
    if measure.at_most:
        return Found(Row(case, measure.figure, "", target, mean, 0.0, target + off, "by z, at most"))
    if error == 0:
        return Found(
            Row(case, measure.figure, "", target, mean, target - off, target + off, "by z, the same in all runs")
        )
    z, sees = (mean - target) / error, visible(samples, target)
    note = f"by z, {z:+.2f} over {len(samples)} runs; sees {sees:.1%}"
    if sees > VISIBLE:
        return Found(Row(case, measure.figure, "", target, mean, note=f"{note}, so it is not counted"))
    return Found(Row(case, measure.figure, "", target, mean, target - off, target + off, note), z, len(samples))


def followed(name: str, case: Case, model: System, run: Run, seed: int) -> list[Found]:
    """The last run request by request, a short one of the readable engine too, and that one against the compiled."""
    short = built(*case, "simpy")
    readable = simulate(short.scenario, seed=seed, engine="simpy")
    rows = [same_row(name, readable, short.scenario)]
    for engine, one, how in (("compiled", run, model.discipline), ("simpy", readable, short.discipline)):
        if how is not None:
            rows.append(by_request(name, engine, one, how))
    return [Found(row) for row in rows]


def by_request(case: str, engine: str, run: Run, how: Discipline) -> Row:
    """The largest difference of a start from the replay by hand."""
    found = largest_difference(run, how)
    note = f"by request, {engine}, {found.starts:,} starts"
    return Row(case, f"starts off a replay by hand ({engine})", "s", 0.0, found.seconds, 0.0, 0.0, note)


def same_row(case: str, run: Run, scenario: Scenario) -> Row:
    """Share of the attempts of a run of simpy that are the same to the last bit in the compiled engine."""
    other, figure = simulate(scenario, seed=run.manifest["seed"]).requests, "attempts the same in both engines"
    if len(other) != len(run.requests):
        return Row(case, figure, "", 1.0, 0.0, 1.0, 1.0, "equality")
    same = np.all([same_values(run.requests[name], other[name]) for name in COMPARED], axis=0)
    return Row(case, figure, "", 1.0, float(same.mean()), 1.0, 1.0, f"equality, {len(same):,} attempts")


def same_values(a: pd.Series, b: pd.Series) -> Any:
    """Where two columns are equal, or both never."""
    return ((a == b) | (a.isna() & b.isna())).to_numpy()


def together(found: list[Found]) -> list[Row]:
    """Whether the cases are as far from the exact values as chance has it: one figure of each, uniform under its t.

    A simulator that is a little off everywhere, or cases that share their chance, show here though no row misses.
    """
    of_case: dict[str, Found] = {}
    for one in found:
        if one.runs:
            of_case.setdefault(one.row.case, one)
    if len(of_case) < 10:
        return []
    places = [float(stats.t.cdf(one.z, one.runs - 1)) for one in of_case.values()]
    number = len(places)
    distance, bound = stats.kstest(places, "uniform").statistic, stats.kstwo.ppf(1 - SIGNIFICANT, len(places))
    spread = math.sqrt(float(np.mean(stats.norm.ppf(places) ** 2)))
    narrow, wide = np.sqrt(stats.chi2.ppf([SIGNIFICANT / 2, 1 - SIGNIFICANT / 2], number) / number)
    note = f"by z, {number} cases, level {SIGNIFICANT:.0%}"
    return [
        Row(
            ALL_CASES,
            "distance from uniform (Kolmogorov and Smirnov)",
            "",
            0.0,
            float(distance),
            0.0,
            float(bound),
            note,
        ),
        Row(ALL_CASES, "spread of their normal scores", "", 1.0, spread, float(narrow), float(wide), note),
    ]


def formula_rows(file: Path = TABLE) -> list[Row]:
    """Rows that need no run."""
    rows = []
    for system, params, metrics in by_formula(file):
        formula, share = FORMULAS[system]
        for metric, found in formula(params).items():
            if metric in metrics:
                actual, off = metrics[metric], max(share, 1e-9) * abs(metrics[metric])
                name = label(system, params)
                rows.append(Row(name, metric, "", actual, found, actual - off, actual + off, "by formula"))
    return rows


def unexpressed_rows(file: Path = TABLE) -> list[Row]:
    """Rows that the model cannot express, with the reason."""
    return [
        Row(name_of(case), metric, "", value, math.nan, note=f"cannot be expressed: {reason}")
        for case in cases(file)
        if (reason := why_not(case))
        for metric, value in case.metrics.items()
    ]


def name_of(case: Case) -> str:
    """A case in words; no two have the same."""
    last = any("LCFS" in metric for metric in case.metrics)
    return label(case.system, case.params) + ", last come first served" * last


def label(system: str, params: Mapping[str, Any]) -> str:
    """A system with its parameters in words."""
    if system == "M/G/1":
        return f"{system}, {params['service']}"
    if "classes" in params:
        classes = (f"{one['lam']:g} a second of {one['ES']:g} s" for one in params["classes"])
        return f"{system}, {', '.join(classes)}, mean square {params['classes'][0]['ES2']:g}"
    shown = (f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in params.items())
    return f"{system}, {', '.join(shown)}"
