"""Ranking and selection: as many seeds as it takes to tell the best playbook from the others."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.errors import BadInput
from sim.studies.compare import jobs_of, refuse_without_prices, table_of
from sim.studies.configurations import Configuration, Given, configurations
from sim.studies.executors import Executor, Report, itself
from sim.studies.objectives import objective_called
from sim.studies.runs import running
from sim.studies.store import Store

PILOT = 10  # seeds of every playbook, from which variances of differences are estimated


@dataclass(frozen=True)
class Selection:
    """Which playbook is best by an objective, with this confidence, wherever it is better by `apart` or more.

    table: one row per playbook, the best first: playbook, seeds, mean, out_after (seeds, after which it was known not
    to be the best; nan: it was not). best: the survivor of highest merit. decided: whether it is the only survivor.
    """

    by: str
    apart: float
    confidence: float
    table: pd.DataFrame
    decided: bool
    interrupted: bool = False

    @property
    def best(self) -> str:
        return str(self.table["playbook"].iloc[0])

    def sentences(self) -> list[str]:
        """The outcome in words."""
        objective = objective_called(self.by)
        left = [str(name) for name in self.table[self.table["out_after"].isna()]["playbook"]]
        mean = objective.written(float(self.table["mean"].iloc[0]))
        seeds = int(self.table["seeds"].max())
        gap = objective.apart(self.apart)
        if self.decided:
            lines = [f"BEST by {objective.title}: '{self.best}', {mean}, with {seeds} seeds."]
        else:
            some = " and ".join(f"'{name}'" for name in left)
            lines = [f"NOT TOLD APART with {seeds} seeds: {some}; the others are known to be worse."]
        sure = f"{100 * self.confidence:g} %"
        lines.append(f"With a probability of {sure} or more this is right where the best leads by {gap} or more.")
        return [*lines, *(["INTERRUPTED: the same command goes on from here."] if self.interrupted else [])]


def pick_best(
    scenario: Given,
    playbooks: Sequence[str] | None = None,
    apart: float = 0.01,
    *,
    by: str = "images",
    pilot: int = PILOT,
    most: int = 200,
    confidence: float = 0.95,
    store: Store | Path | str | bool | None = None,
    executor: Executor | None = None,
    processes: int | None = None,
    progress: Report | None = None,
) -> Selection:
    """Add seeds until one playbook is known to be the best, or as good as it to within `apart`, of those compared.

    apart: the difference worth detecting, in the objective's unit (a share of 0.01 is a point). A playbook gets no
    further seeds once it is known to be worse (Kim and Nelson 2001, which allows for the same people under each).
    most: seeds at which it ends undecided. An interrupt, after the first `pilot` seeds, gives what is known by then.
    """
    objective, parts = objective_called(by), configurations(scenario, playbooks)
    refuse_without_prices(parts, by)
    refuse_no_choice(parts, apart, pilot, most, confidence)
    sign = 1.0 if objective.more_is_better else -1.0
    labels = [part.label for part in parts]
    values: dict[str, list[float]] = {label: [] for label in labels}
    with running(executor, processes, store, progress) as study:

        def more(names: Sequence[str], seeds: Sequence[int]) -> None:
            jobs = jobs_of([part for part in parts if part.label in names], seeds, "compiled", bare=True)
            records = study.ask([job.cell for job in jobs], itself)
            table = table_of(list(zip(jobs, records, strict=True)), list(names), seeds)
            for name, rows in table.groupby("playbook"):
                values[str(name)] += (sign * rows[objective.figure].to_numpy(float)).tolist()

        more(labels, range(1, pilot + 1))
        known = {name: np.array(found) for name, found in values.items()}
        if not all(np.isfinite(found).all() for found in known.values()):
            raise BadInput("the objective is not known in every run", key="by", value=by, expected="another objective")
        race = Race(known, apart, confidence)
        interrupted = False
        try:
            while len(race.left) > 1 and race.seeds < most:
                more(race.left, [race.seeds + 1])
                race.add({name: values[name][-1] for name in race.left})
        except KeyboardInterrupt:
            interrupted = True
    rows = [(n, len(values[n]), sign * float(np.mean(values[n])), race.out.get(n, math.nan)) for n in labels]
    table = pd.DataFrame(rows, columns=["playbook", "seeds", "mean", "out_after"])
    order = sorted(range(len(table)), key=lambda n: (-table["out_after"].fillna(math.inf)[n], -sign * table["mean"][n]))
    return Selection(by, apart, confidence, table.iloc[order].reset_index(drop=True), len(race.left) == 1, interrupted)


def refuse_no_choice(parts: Sequence[Configuration], apart: float, pilot: int, most: int, confidence: float) -> None:
    """Raise BadInput where there is nothing to choose from, or nothing by which a choice could end."""
    if len(parts) < 2:
        names = ", ".join(part.label for part in parts)
        raise BadInput("one playbook is no choice", key="playbooks", value=names, expected="two playbooks or more")
    if not 0 < apart < math.inf:
        raise BadInput(
            "this difference cannot be looked for", key="apart", value=apart, expected="a difference above 0"
        )
    if not 3 <= pilot <= most:
        expected = f"3 seeds or more, and no more than the most, {most}"
        raise BadInput("a selection begins with some seeds", key="pilot", value=pilot, expected=expected)
    if not 0 < confidence < 1:
        raise BadInput(
            "this is no probability of being right", key="confidence", value=confidence, expected="like 0.95"
        )


class Race:
    """The procedure of Kim and Nelson (2001), c = 1: more is better, values are paired by seed.

    h^2 = 2 eta (n0 - 1), eta = ((2 alpha / (k - 1))^(-2 / (n0 - 1)) - 1) / 2. After r seeds a system is out where it
    trails another by more than max(0, (h^2 S^2 / d - d r) / (2 r)), S^2 the variance of their difference in the pilot.
    """

    def __init__(self, pilot: dict[str, NDArray[np.float64]], apart: float, confidence: float) -> None:
        n0, k = len(next(iter(pilot.values()))), len(pilot)
        eta = 0.5 * ((2 * (1 - confidence) / (k - 1)) ** (-2 / (n0 - 1)) - 1)
        self.h2, self.apart, self.seeds = 2 * eta * (n0 - 1), apart, n0
        self.spread = {(a, b): float(np.var(x - y, ddof=1)) for a, x in pilot.items() for b, y in pilot.items()}
        self.sums = {name: float(found.sum()) for name, found in pilot.items()}
        self.left, self.out = list(pilot), dict[str, int]()
        self.screen()

    def add(self, found: dict[str, float]) -> None:
        """One more seed of all that are left."""
        self.seeds += 1
        for name, value in found.items():
            self.sums[name] += value
        self.screen()

    def screen(self) -> None:
        r, d = self.seeds, self.apart

        def slack(a: str, b: str) -> float:
            return max(0.0, (self.h2 * self.spread[a, b] / d - d * r) / 2)

        leaders = [a for a in self.left if all(self.sums[a] >= self.sums[b] - slack(a, b) for b in self.left if b != a)]
        self.out |= {name: r for name in self.left if name not in leaders}
        self.left = leaders
