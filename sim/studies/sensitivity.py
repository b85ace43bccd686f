"""Which uncertain inputs a figure depends on: one at a time (tornado), by Morris's screening, and by Sobol's indices.

All three take any function of the inputs that gives a figure for each of several settings; `sensitivity` gives them a
figure of a playbook's run. Every setting is run with the same seeds, so that chance is not taken for sensitivity.
"""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.errors import BadInput
from sim.studies.differences import RATIOS, mean_of
from sim.studies.executors import Executor, Report
from sim.studies.objectives import with_price
from sim.studies.playbook_names import name_of
from sim.studies.runs import Runs, running
from sim.studies.store import Cell, Store
from sim.studies.uncertain import Law, Uncertain

Figure = Callable[[list[dict[str, Any]]], NDArray[np.float64]]  # settings of the inputs, as a scenario has them
Method = Literal["tornado", "morris", "sobol"]
ENDS = (0.1, 0.9)  # the quantiles of a tornado
OPEN = (0.01, 0.99)  # those between which Morris and Sobol vary an input without bounds; an assumed one between ENDS
LEVELS = 4  # of Morris's grid, the usual number


def tornado(figure: Figure, laws: Mapping[str, Law], ends: tuple[float, float] = ENDS) -> pd.DataFrame:
    """Each input at two quantiles, the others at their medians: one row per input, the largest swing first.

    Columns: key, low, high (as a scenario has them), at_low, base, at_high (the figure), swing (the largest less the
    least of these three), monotone (whether the base lies between the other two).
    """
    median = {key: law.at(0.5) for key, law in laws.items()}
    sides = [{**median, key: law.at(end)} for key, law in laws.items() for end in ends]
    base, *found = figure([median, *sides]).tolist()
    rows = []
    for place, (key, law) in enumerate(laws.items()):
        low, high = found[2 * place : 2 * place + 2]
        three = (low, base, high)
        between = min(low, high) <= base <= max(low, high)
        swing = 0.0 if max(three) == min(three) else max(three) - min(three)  # a latency may be endless at all three
        rows.append((key, law.at(ends[0]), law.at(ends[1]), *three, swing, between))
    columns = ["key", "low", "high", "at_low", "base", "at_high", "swing", "monotone"]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values("swing", ascending=False, kind="stable", ignore_index=True)


def morris(figure: Figure, laws: Mapping[str, Law], trajectories: int = 10) -> pd.DataFrame:
    """Morris's elementary effects (1991; mu* by Campolongo et al. 2007): trajectories x (inputs + 1) settings.

    Columns: key, mu, mu_star (the mean size of the effect of an input over its whole range), sigma (large: the effect
    depends on the other inputs, or is not linear), mu_star_conf (half-width at 95 %). The largest mu_star first.
    """
    needs_salib()
    from SALib.analyze import morris as analysis
    from SALib.sample import morris as sample

    if trajectories < 2:
        raise BadInput("too few trajectories", key="trajectories", value=trajectories, expected="2 or more")
    problem = problem_of(laws)
    cube = sample.sample(problem, trajectories, num_levels=LEVELS, seed=1)
    found = analysis.analyze(problem, cube, figure(settings(laws, cube)), num_levels=LEVELS, seed=1)
    table = pd.DataFrame({name: found[name] for name in ("mu", "mu_star", "sigma", "mu_star_conf")})
    table.insert(0, "key", list(laws))
    return table.sort_values("mu_star", ascending=False, kind="stable", ignore_index=True)


def sobol(figure: Figure, laws: Mapping[str, Law], points: int = 64) -> pd.DataFrame:
    """Sobol's indices by Saltelli's design (2010): points x (inputs + 2) settings; `points` is a power of two.

    Columns: key, S1 (the share of the variance that the input explains alone), ST (with all its interactions), and the
    half-widths of both at 95 %. ST clearly below S1 means too few points. Inputs are independent. The largest ST first.
    """
    needs_salib()
    from SALib.analyze import sobol as analysis
    from SALib.sample import sobol as sample

    if points < 2 or points & (points - 1):
        expected = "a power of two, like 64"
        raise BadInput("this many points cannot be used", key="points", value=points, expected=expected)
    problem = problem_of(laws)
    cube = sample.sample(problem, points, calc_second_order=False, seed=1)
    values = figure(settings(laws, cube))
    if np.ptp(values) == 0:
        nothing = dict.fromkeys(("S1", "S1_conf", "ST", "ST_conf"), 0.0)
        return pd.DataFrame([{"key": key, **nothing} for key in laws])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of resamples without variance
        found = analysis.analyze(problem, values, calc_second_order=False, seed=1)
    table = pd.DataFrame({name: found[name] for name in ("S1", "S1_conf", "ST", "ST_conf")})
    table.insert(0, "key", list(laws))
    return table.sort_values("ST", ascending=False, kind="stable", ignore_index=True)


def problem_of(laws: Mapping[str, Law]) -> dict[str, Any]:
    """The problem as SALib has it: quantiles of the inputs in the unit cube."""
    if not laws:
        raise BadInput("no input is uncertain", key="--set", expected="like 'demand.times=~ lognormal(0.5, 2)'")
    return {"num_vars": len(laws), "names": list(laws), "bounds": [[0.0, 1.0]] * len(laws)}


def settings(laws: Mapping[str, Law], cube: NDArray[np.float64]) -> list[dict[str, Any]]:
    """The inputs at points of the unit cube, which is of quantiles."""
    columns = [law.all_at(inside(law, column)) for law, column in zip(laws.values(), cube.T, strict=True)]
    return [dict(zip(laws, row, strict=True)) for row in zip(*columns, strict=True)]


def inside(law: Law, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = ENDS if law.assumed else OPEN if law.kind == "lognormal" else (0.0, 1.0)
    return low + shares * (high - low)


def needs_salib() -> None:
    """Raise BadInput where the library for these methods is not installed."""
    if find_spec("SALib") is None:
        raise BadInput("this takes the library SALib", key="--method", expected="pip install 'meltpoint[studies]'")


def sensitivity(
    inputs: Uncertain,
    metric: str = "attainment",
    playbook: str | None = None,
    *,
    method: Method = "tornado",
    size: int | None = None,
    seeds: int = 3,
    store: Store | Path | str | bool | None = None,
    executor: Executor | None = None,
    processes: int | None = None,
    progress: Report | None = None,
) -> pd.DataFrame:
    """How a figure of sim.studies.figures.figures, or dollars_per_1000_images, depends on the uncertain inputs.

    A figure is its mean over the seeds, or the ratio of their sums.

    method: as the functions of this name in this file; size: trajectories of Morris (10 where None), points of Sobol
    (64). Raises BadInput, before any run, for a setting that cannot be simulated.
    """
    problem_of(inputs.laws)
    name = name_of(inputs.scenario, playbook)

    def figure(study: Runs, places: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
        worlds = [inputs.with_values(values) for values in places]
        cells = [Cell(world, name, seed) for world in worlds for seed in range(1, seeds + 1)]
        found = pd.DataFrame(study.ask(cells, lambda record: numbers_for(metric, with_price(record.figures))))
        if method != "tornado" and not np.isfinite(found[metric]).all():
            expected = "--method tornado, or another figure, like attainment"
            raise BadInput("this figure is endless in some run", key="metric", value=metric, expected=expected)
        return np.array([mean_of(found[at : at + seeds], metric) for at in range(0, len(found), seeds)])

    with running(executor, processes, store, progress) as study:
        if method == "tornado":
            return tornado(partial(figure, study), inputs.laws)
        if method == "morris":
            return morris(partial(figure, study), inputs.laws, size or 10)
        if method == "sobol":
            return sobol(partial(figure, study), inputs.laws, size or 64)
    raise BadInput("there is no such method", key="method", value=method, expected="tornado, morris or sobol")


def numbers_for(metric: str, figures: Mapping[str, Any]) -> dict[str, float]:
    """A figure of a run by name, and those that its mean over several runs is made of.

    Raises BadInput where there is none, or where it is not known.
    """
    value = figures.get(metric)
    if isinstance(value, float) and math.isnan(value):
        expected = "a run with requests that are decided by its horizon, or another figure"
        raise BadInput("this figure is not known in some run", key="metric", value=metric, expected=expected)
    if not isinstance(value, int | float):
        known = [name for name, one in figures.items() if isinstance(one, int | float) and not math.isnan(one)]
        raise BadInput("a run has no such figure", key="metric", value=metric, expected=", ".join(known))
    ratio = RATIOS.get(metric)
    return {name: float(figures[name]) for name in ([metric, ratio.part, ratio.whole] if ratio else [metric])}
