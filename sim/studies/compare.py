"""The same people under each playbook: paired differences with confidence intervals, and a ranking."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from sim.engine.many import Task, simulate_all
from sim.engine.parallel import Progress
from sim.engine.simulate import chosen
from sim.errors import BadInput
from sim.results.run import Run
from sim.results.verdict import verdict
from sim.scenario.fields import UNLIMITED
from sim.scenario.scenario import Scenario

CONFIDENCE = 0.95
LABELS = ("playbook", "seed", "alive", "overloaded")


@dataclass(frozen=True, repr=False)
class Comparison:
    """Playbooks compared over the same seeds, so over the same people.

    table: one row per playbook and seed, with its figures; counts at full scale. Where there is word of mouth,
        growth_lost is how many fewer people signed up than if an unlimited fleet had served everybody at once.
    differences: one row per playbook and metric: the mean with its interval, and the difference from the baseline
        paired by seed, with its interval (Student's t, 95 %; nan where there is one seed); the best playbook first.
    """

    table: pd.DataFrame
    differences: pd.DataFrame
    playbooks: list[str]  # in the order asked for
    seeds: list[int]
    baseline: str

    @property
    def ranking(self) -> list[str]:
        """Playbooks, the best first: by the share of runs alive, then by mean SLO attainment."""
        return list(dict.fromkeys(self.differences["playbook"]))

    def __repr__(self) -> str:
        return f"<Comparison over {len(self.seeds)} seeds, best first: {', '.join(self.ranking)}>"


def compare(
    scenario: Scenario,
    playbooks: Sequence[str] | None = None,
    *,
    seeds: int | Sequence[int] = 5,
    engine: str = "compiled",
    processes: int | None = None,
    progress: Progress | None = None,
) -> tuple[Comparison, list[Run]]:
    """Run each playbook (all where None; the first is the baseline) with each seed; also the runs of the first seed.

    seeds: how many (1, 2, ...), or which. engine: as in simulate. processes: how many runs at once, one per core where
    None.
    """
    names = list(dict.fromkeys(playbooks)) if playbooks else list(scenario.playbooks)
    for name in names:
        chosen(scenario, name)
    numbers = list(range(1, seeds + 1)) if isinstance(seeds, int) else list(dict.fromkeys(seeds))
    if not numbers:
        raise BadInput("a comparison takes one seed or more", key="seeds", value=seeds, expected="1, 2, ...")
    grows = scenario.demand.word_of_mouth is not None
    tasks = [
        Task(scenario, None if free else name, seed, engine, unlimited=free, keep=seed == numbers[0] and not free)
        for seed in numbers
        for name, free in [*[(name, False) for name in names], *([(UNLIMITED, True)] if grows else [])]
    ]
    results = simulate_all(tasks, figures, processes=processes, progress=progress)
    table = with_growth_lost(pd.DataFrame([row for row, _ in results]))
    comparison = Comparison(table, differences(table, names), names, numbers, names[0])
    return comparison, [run for _, run in results if run is not None]


def with_growth_lost(table: pd.DataFrame) -> pd.DataFrame:
    """Add each run's signups lost against the unlimited fleet of its seed, and drop that fleet's rows, if any."""
    free = table["playbook"] == UNLIMITED
    if not free.any():
        return table
    most = table[free].set_index("seed")["signups"]
    rest = table[~free].reset_index(drop=True)
    return rest.assign(growth_lost=rest["seed"].map(most) - rest["signups"])


def figures(run: Run) -> dict[str, Any]:
    """The figures of one run that playbooks are compared by; counts at full scale."""
    v = verdict(run)
    counts = ("in_time", "served", "degraded", "lost", "refused", "abandoned", "retried", "unfinished")
    return {
        "playbook": run.manifest["playbook"],
        "seed": run.manifest["seed"],
        "alive": v.life.alive,
        "attainment": v.life.attainment,
        "goodput": v.full(v.goodput),
        **{name: v.full(v.counts[name]) for name in counts},
        "p95_latency": v.latency["p95"].to_dict()["all intents", "latency", "all"],
        "wasted_gpu_hours": v.full(float(v.gpu_hours["wasted"].sum())),
        "gpu_hours": v.full(float(v.gpu_hours["total"].sum())),
        "dollars": v.full(v.dollars),
        "kwh": v.full(v.energy["kwh"]),
        "kg_co2e": v.full(v.energy["kg_co2e"]),
        "signups": v.full(v.signups["came"]),
        "invited": v.full(v.signups["invited"]),
        "signups_lost": v.full(v.signups["lost"]),
        "saturated_seconds": sum(pool.saturated for pool in v.pools),
        "overloaded": v.overloaded_at_horizon,
    }


def differences(table: pd.DataFrame, playbooks: list[str]) -> pd.DataFrame:
    """Means and paired differences to the first playbook, with Student's t intervals; the best playbook first."""
    metrics = [name for name in table.columns if name not in LABELS]
    by_seed = {name: table[table["playbook"] == name].set_index("seed") for name in playbooks}
    ranked = sorted(playbooks, key=lambda name: standing(by_seed[name]))
    rows = []
    for name in ranked:
        for metric in metrics:
            values = by_seed[name][metric].to_numpy(float)
            base = by_seed[playbooks[0]][metric].to_numpy(float)
            mean, mean_low, mean_high = interval(values)
            with np.errstate(invalid="ignore"):
                difference, low, high = interval(values - base)
            rows.append((name, metric, mean, mean_low, mean_high, difference, low, high))
    columns = ["playbook", "metric", "mean", "mean_low", "mean_high", "difference", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def standing(runs: pd.DataFrame) -> tuple[float, float]:
    """The key by which playbooks are ranked: the share of runs alive, then mean SLO attainment, the best first."""
    return -float(runs["alive"].mean()), -float(np.nan_to_num(runs["attainment"].mean(), nan=-1.0))


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean and Student's t interval of independent values; the interval is nan where there is one value, or inf."""
    mean = float(np.mean(values))
    if len(values) < 2 or not np.isfinite(values).all():
        return mean, math.nan, math.nan
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * stats.sem(values))
    return mean, mean - half, mean + half
