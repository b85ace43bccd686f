"""The simulator against another one: both run the same scenario, and each figure gets the z between their runs."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from sim.engine.simulate import simulate
from sim.results.run import Run
from sim.scenario.scenario import Scenario
from tests.studies.theory.measures import queued, utilisation, waited_longer
from tests.studies.theory.queues import mean_wait_in, z

LARGEST_Z = 3.5
RUNS, ORACLE_RUNS = 48, 32

Figures = dict[str, Callable[[Run], float]]
Samples = dict[str, NDArray[np.float64]]  # by figure: its value in each run

MEANS: Figures = {"mean wait": mean_wait_in, "queued": queued, "utilisation": utilisation}
SLOWER = {"seconds": 1.05}  # than all that take a second
SHORT = {"horizon": 250.0}


def longer(seconds: float) -> Figures:
    return {"waited longer": waited_longer(seconds)}


def in_time(horizon: float, edge: float) -> dict[str, Any]:
    """Settings of a scenario: its length in seconds, and what is left out at both ends."""
    return {"horizon": f"{horizon} s", "warm_up": f"{edge} s", "control_tick": f"{horizon} s"}


@dataclass(frozen=True, eq=False)
class Question:
    """One scenario in two simulators. Both take the same settings; figures that both give are compared by name.

    wrong: settings for ours alone that are a little off, which the comparison must show; short: settings for the short
    runs of the readable engine; exact: what theory knows of the figures.
    """

    name: str
    scenario: Callable[..., Scenario]
    oracle: Callable[..., dict[str, float]]
    settings: Mapping[str, Any]
    figures: Figures
    wrong: Mapping[str, Any]
    short: Mapping[str, Any] = field(default_factory=dict)
    exact: Callable[[], Mapping[str, float]] = dict

    @property
    def first_seed(self) -> int:
        """Of its own: else all questions would have the same people, and be off together."""
        return crc32(self.name.encode()) % 10**6

    def scenario_with(self, **changed: Any) -> Scenario:
        return self.scenario(**{**self.settings, **changed})


@cache
def ours(question: Question) -> Samples:
    """The figures in a run of each of our seeds."""
    return played(question, question.scenario_with())


def wrong(question: Question) -> Samples:
    """The same with settings that are a little off."""
    return played(question, question.scenario_with(**question.wrong))


def played(question: Question, scenario: Scenario) -> Samples:
    """The question's figures of a scenario in a run of each of our seeds."""
    found: dict[str, list[float]] = {figure: [] for figure in question.figures}
    for seed in range(question.first_seed, question.first_seed + RUNS):
        run = simulate(scenario, seed=seed)
        for figure, of in question.figures.items():
            found[figure].append(of(run))
    return {figure: np.array(values) for figure, values in found.items()}


@cache
def theirs(question: Question) -> Samples:
    """The figures in a run of each of the oracle's seeds."""
    runs = [question.oracle(question.first_seed + number, **question.settings) for number in range(ORACLE_RUNS)]
    return {figure: np.array([run[figure] for run in runs]) for figure in question.figures}


def apart(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """How many standard errors the means of two independent samples are apart (Welch 1947)."""
    error = math.hypot(standard_error(one), standard_error(other))
    difference = float(one.mean() - other.mean())
    if error > 0:
        return difference / error
    return 0.0 if difference == 0 else math.copysign(math.inf, difference)


def standard_error(samples: NDArray[np.float64]) -> float:
    return float(samples.std(ddof=1)) / math.sqrt(len(samples))


def from_theory(question: Question) -> dict[str, float]:
    """By figure that theory knows, the larger z of two: ours and the oracle's from the exact value."""
    mine, other = ours(question), theirs(question)
    return {
        figure: max(abs(z(mine[figure], value)), abs(z(other[figure], value)))
        for figure, value in question.exact().items()
    }


def all_apart(one: Samples, other: Samples) -> dict[str, float]:
    """By figure, how far two simulators are apart."""
    return {figure: apart(one[figure], other[figure]) for figure in one}
