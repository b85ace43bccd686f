"""Parameters of a playbook chosen by Optuna on some seeds, under a promise, and scored on seeds it never saw."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sim.errors import BadInput, refuse_other
from sim.results.intervals import Difference
from sim.scenario.parts import Recording
from sim.scenario.scenario import Scenario
from sim.studies.compare import refuse_without_prices
from sim.studies.configurations import Configuration
from sim.studies.differences import difference_of, mean_of
from sim.studies.executors import Executor, Report, itself
from sim.studies.objectives import Objective, objective_called
from sim.studies.playbook_names import name_of
from sim.studies.promise import Promise, read_promise
from sim.studies.runs import Runs, running
from sim.studies.store import Cell, Store
from sim.studies.sweep import Axis, changed, fitting, read_axis, read_numbers, written
from sim.wording import percent, setting

EXPECTED = "STEP.PARAMETER=LOW..HIGH, like 0.share=20%..90%, the step by its place in the playbook, from 0"


@dataclass(frozen=True)
class Tuned:
    """The parameters found, and what they are worth on seeds that the search had not seen.

    best: by key of the scenario. fresh, untuned: the objective's means over the fresh seeds; gain: tuned less untuned,
    paired. kept: the share of fresh runs that keep the promise, tuned and untuned. table: one row per trial: the keys,
    objective, margin (the least of its runs). at_end: the keys found at an end of the range that was searched, where
    the scenario takes values beyond it.
    """

    playbook: str
    by: str
    best: dict[str, Any]
    fresh: float
    untuned: float
    gain: Difference
    kept: tuple[float, float]
    seeds: int
    table: pd.DataFrame
    planned: int
    promise: str
    at_end: tuple[str, ...] = ()

    @property
    def head(self) -> str:
        """The outcome in a few words; a promise that one of both keeps more often counts before the objective."""
        better = self.gain.low > 0 if objective_called(self.by).more_is_better else self.gain.high < 0
        tuned, untuned = self.kept
        if (self.table["margin"] < 0).all():
            return "NO TRIAL KEEPS THE PROMISE with every seed; the one that breaks it least"
        if not self.best:
            return "NO BETTER, of these trials, than untuned"
        if tuned > untuned:
            return "TUNED for the promise" + ("" if better else ", and no better by the objective")
        if tuned < untuned:
            return "NO BETTER than untuned, which keeps the promise more often"
        return "TUNED" if better else "NO BETTER than untuned, as far as these seeds tell"

    def sentences(self) -> list[str]:
        """The outcome in words."""
        objective = objective_called(self.by)
        said = ", ".join(f"{key.partition('.')[2]}={setting(value)}" for key, value in self.best.items())
        lines = [
            f"{self.head}: {said or 'the playbook as it is'}.",
            f"On {self.seeds} seeds that the search had not seen, {objective.title}: {objective.written(self.fresh)} "
            f"against {objective.written(self.untuned)} untuned, a difference of {objective.apart(*self.gain[:3])}.",
        ]
        tuned, untuned = map(percent, self.kept)
        lines.append(f"The promise '{self.promise}' is kept in {tuned} of these runs, {untuned} untuned.")
        for key in self.at_end:
            place = f"{key.partition('.')[2]}={setting(self.best[key])}"
            lines.append(f"{place} is at an end of the range that was searched; a wider one may hold a better value.")
        if len(self.table) < self.planned:
            lines.append(f"INTERRUPTED: {len(self.table)} of {self.planned} trials are done.")
        return lines


def tune(
    scenario: Scenario,
    playbook: str,
    vary: Mapping[str, str],
    *,
    by: str = "images",
    promise: str | None = None,
    trials: int = 30,
    seeds: int = 5,
    fresh: int = 10,
    store: Store | Path | str | bool | None = None,
    executor: Executor | None = None,
    processes: int | None = None,
    progress: Report | None = None,
) -> Tuned:
    """Vary parameters of a playbook's policies, like {"0.share": "20%..90%"}, and keep the best that keeps a promise.

    by: the objective, as in compare. promise: every run of a trial must keep it, if any trial does; where None, what
    the scenario promises, or 'alive'. The untuned one is the first trial. Trials run one after the other (their seeds
    at once), so that the same call gives the same answer. An interrupt of the search scores the best by then. Raises
    BadInput.
    """
    if find_spec("optuna") is None:
        raise BadInput("this takes the library Optuna", key="tune", expected="pip install 'meltpoint[studies]'")
    name_of(scenario, playbook)
    objective = objective_called(by)
    refuse_without_prices([Configuration(playbook, scenario, playbook)], by)
    for key, number, least in (("trials", trials, 2), ("seeds", seeds, 1), ("fresh", fresh, 3)):
        if type(number) is not int or not least <= number <= 10_000:
            raise BadInput("this number cannot be used", key=key, value=number, expected=f"{least} to 10000")
    rule = read_promise(promise, scenario)
    refuse_other(Mapping, vary, "like {'0.share': '20%..90%'}")
    axes = [axis_of(scenario, playbook, key, text) for key, text in vary.items()]
    if not axes:
        raise BadInput("no parameter is varied", key="vary", expected=EXPECTED)
    with running(executor, processes, store, progress) as runs:
        runs.planned = (trials + 1) * seeds + 3 * fresh
        scorer = Scorer(runs, scenario, playbook, objective, rule)
        rows = search(scorer, axes, trials, list(range(1, seeds + 1)))
        table = pd.DataFrame(rows)
        best = choose(rows, objective)
        later = list(range(seeds + 1, seeds + fresh + 1))
        (new, new_margins), (old, old_margins) = scorer.score(best, later), scorer.score({}, later)
    share = (kept_share(new_margins), kept_share(old_margins))
    gain = difference_of(new, old, objective.figure)
    ends = tuple(axis.key for axis in axes if axis.key in best and more_beyond(scenario, axis, best[axis.key]))
    tuned, untuned = mean_of(new, objective.figure), mean_of(old, objective.figure)
    return Tuned(playbook, by, best, tuned, untuned, gain, share, fresh, table, trials, rule.text, ends)


def search(scorer: "Scorer", axes: list[Axis], trials: int, seeds: list[int]) -> list[dict[str, Any]]:
    """The rows of trials, the untuned playbook first, then parameters that look good by the trials before.

    An interrupt ends the search, once a trial is done.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=1)
    study = optuna.create_study(
        direction="maximize" if scorer.objective.more_is_better else "minimize", sampler=sampler
    )
    rows = [scorer.trial({}, seeds)]
    try:
        for _ in range(1, trials):
            trial = study.ask({axis.key: optuna.distributions.FloatDistribution(0, 1) for axis in axes})
            row = scorer.trial({axis.key: axis.at(trial.params[axis.key]) for axis in axes}, seeds)
            rows.append(row)
            if not math.isfinite(row["objective"]):
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
                continue
            trial.set_constraint("promise", -row["margin"])  # kept where it is not above 0
            study.tell(trial, row["objective"])
    except KeyboardInterrupt:
        pass
    return rows


@dataclass
class Scorer:
    """The objective, and the margin of a promise, of a playbook with some parameters and seeds."""

    runs: Runs
    scenario: Scenario
    playbook: str
    objective: Objective
    rule: Promise

    def score(self, settings: Mapping[str, Any], seeds: list[int]) -> tuple[pd.DataFrame, list[float]]:
        """The figures of the run of each seed, the objective among them, and its margins."""
        made = changed(self.scenario, settings)
        free = [Cell(self.scenario, None, seed, True, recording=Recording(rows=False)) for seed in seeds]
        cells = [Cell(made, self.playbook, seed) for seed in seeds]
        records = self.runs.ask([*free, *cells], itself)
        pairs = zip(records[len(seeds) :], records[: len(seeds)], strict=True)
        name = self.objective.figure
        rows = [{**run.figures, name: self.objective.of(run.figures, free.figures)} for run, free in pairs]
        return pd.DataFrame(rows), [self.rule.margin(record) for record in records[len(seeds) :]]

    def trial(self, settings: Mapping[str, Any], seeds: list[int]) -> dict[str, Any]:
        """The row of a trial: its settings, the mean of the objective, the least margin."""
        found, margins = self.score(settings, seeds)
        mean = mean_of(found, self.objective.figure)
        return {**settings, "objective": mean, "margin": min(margins)}


def choose(rows: list[dict[str, Any]], objective: Objective) -> dict[str, Any]:
    """The settings of the best trial that keeps the promise; where none does, of the one that breaks it least."""
    keeping = [row for row in rows if not row["margin"] < 0]
    best = min(keeping, key=lambda row: objective.rank_key(row["objective"])) if keeping else None
    found = best or max(rows, key=lambda row: row["margin"])
    return {key: value for key, value in found.items() if key not in ("objective", "margin")}


def more_beyond(scenario: Scenario, axis: Axis, value: Any) -> bool:
    """Whether a value is an end of its range, or within a fiftieth of it, and the scenario takes values beyond."""
    near = 0.02 * (axis.high - axis.low)
    number, step = read_numbers([str(value)])[0][0], max(near, 1.0 if axis.whole else 0.0)
    if number <= axis.low + near:
        beyond = 0.98 * axis.low if axis.log else axis.low - step
    elif number >= axis.high - near:
        beyond = axis.high + step
    else:
        return False
    try:
        changed(scenario, {axis.key: written(beyond, axis.unit, whole=axis.whole)})
    except BadInput:
        return False
    return True


def kept_share(margins: list[float]) -> float:
    return float(np.mean([margin >= 0 for margin in margins]))


def axis_of(scenario: Scenario, playbook: str, key: str, text: str) -> Axis:
    """The range of a parameter, with the key that the scenario has for it. Raises BadInput."""
    step, _, parameter = key.partition(".")
    steps = scenario.playbooks[playbook]
    if not step.isdecimal() or int(step) >= len(steps) or not parameter:
        raise BadInput(f"playbook '{playbook}' has {len(steps)} steps", key="vary", value=key, expected=EXPECTED)
    axis = read_axis(f"playbooks.{playbook}.{step}.policy.{parameter}", text)
    if math.isnan(axis.low):
        raise BadInput("a parameter is varied between two bounds", key=key, value=text, expected=EXPECTED)
    return fitting(scenario, axis)
