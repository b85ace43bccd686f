"""Figures of playbooks over seeds: means with intervals, paired differences from the first, and the order of merit."""

from typing import Any, Literal

import numpy as np
import pandas as pd

from sim.results.intervals import (
    Difference,
    Interval,
    Kind,
    holm,
    mean_interval,
    paired_difference,
    ratio_difference,
    ratio_interval,
)
from sim.studies.objectives import OBJECTIVES, Objective, over

LABELS = ("playbook", "seed", "alive", "overloaded")
# Figures that may be negative; all others are shares or amounts.
SIGNED = ("growth_lost", "margin", "dollars_earned", "promise_margin")
RATIOS = {o.figure: o.ratio for o in OBJECTIVES.values() if o.ratio}
# In what figures are counted; those of no unit here are seconds, by their names, or numbers.
OWN = ("attainment", "degraded_share", "promise_kept", "gini", "jain")
SHARES = (*OWN, *(o.figure for o in OBJECTIVES.values() if o.kind == "share"))
DOLLARS = ("dollars", "revenue", "margin", *(o.figure for o in OBJECTIVES.values() if o.kind != "share"))
# The titles of figures, of their rows, columns and axes; figures of other names are called by these.
TITLES = {
    **{o.figure: o.title for o in OBJECTIVES.values()},
    "in_time": "requests with an image in time",
    "degraded_share": "degraded, of images in time",
    "p95_latency": "p95 latency of all requests",
    "p95_first_token": "p95 first token of the served",
    "p95_per_token": "p95 per token of the served",
    "lost": "requests lost",
    "refused": "attempts refused",
    "signups_lost": "signups lost",
    "growth_lost": "growth lost, signups",
    "churned": "people who leave for good",
    "kept": "people kept",
    "saturated_seconds": "time with saturated pools",
    "gpu_hours": "GPU-hours in service",
    "wasted_gpu_hours": "GPU-hours wasted",
    "dollars": "cost of the GPUs",
    "margin": "revenue less GPUs",
    "kwh": "energy at the meter, kWh",
    "kg_co2e": "kg CO2e",
}


def differences(table: pd.DataFrame, playbooks: list[str], objective: Objective) -> pd.DataFrame:
    """Means and paired differences to the first playbook, with intervals; the best playbook by the objective first."""
    metrics = [str(name) for name in table.columns if name not in LABELS]
    by_seed = {name: table[table["playbook"] == name].set_index("seed") for name in playbooks}
    rows = []
    for name in sorted(playbooks, key=lambda name: standing(by_seed[name], objective)):
        rows += [(name, metric, *known(by_seed[name], by_seed[playbooks[0]], metric)) for metric in metrics]
    columns = ["playbook", "metric", "mean", "mean_low", "mean_high", "difference", "low", "high", "p"]
    found = pd.DataFrame(rows, columns=columns)
    others = found[found["playbook"] != playbooks[0]]
    corrected = others.groupby("metric")["p"].transform(lambda p: pd.Series(holm(p), index=p.index))
    return found.assign(p_holm=corrected.reindex(found.index))


def known(runs: pd.DataFrame, baseline: pd.DataFrame, metric: str) -> tuple[float, ...]:
    """A figure's mean and interval, and its paired difference from the baseline."""
    return mean_of(runs, metric), *interval_of(runs, metric), *difference_of(runs, baseline, metric)


def interval_of(runs: pd.DataFrame, metric: str) -> Interval:
    """The interval of `mean_of`."""
    if ratio := RATIOS.get(metric):
        return ratio_interval(ratio.times * runs[ratio.part], runs[ratio.whole])
    return mean_interval(runs[metric], kind_of(metric, runs[metric]))


def difference_of(runs: pd.DataFrame, others: pd.DataFrame, metric: str) -> Difference:
    """How much higher a figure is in these runs than in others of the same seeds; what is endless in both is equal."""
    if ratio := RATIOS.get(metric):
        ours, theirs = ((ratio.times * one[ratio.part], one[ratio.whole]) for one in (runs, others))
        return ratio_difference(*ours, *theirs)
    new, old = runs[metric].to_numpy(float), others[metric].to_numpy(float)
    with np.errstate(invalid="ignore"):
        apart = np.where(new == old, 0.0, new - old)
    return paired_difference(apart, np.zeros(len(apart)), kind_of(metric, new))


def mean_of(runs: pd.DataFrame, metric: str) -> float:
    """The mean of a figure over runs; of a ratio, that of the sums."""
    if ratio := RATIOS.get(metric):
        return over(ratio.times * float(runs[ratio.part].sum()), float(runs[ratio.whole].sum()))
    return float(runs[metric].mean())


def unit_of(metric: str) -> Literal["share", "seconds", "dollars", "number"]:
    """What a figure is counted in."""
    if metric in SHARES:
        return "share"
    if metric.startswith("p95_") or metric.endswith("_seconds"):
        return "seconds"
    return "dollars" if metric in DOLLARS else "number"


def title_of(metric: str) -> str:
    return TITLES.get(metric, metric.replace("_", " "))


def kind_of(metric: str, values: Any) -> Kind:
    """Where a figure can lie. Where people ask again for what was degraded, more can be served than without limits."""
    if metric in SHARES and not (values > 1).any():
        return "share"
    return "any" if metric in SIGNED else "amount"


def standing(runs: pd.DataFrame, objective: Objective) -> tuple[bool, float, float]:
    """The key by which playbooks are ranked: alive with every seed, then the mean of the objective, the best first.

    Of equal ones (but for the last digits of a float) the cheapest comes first.
    """
    key = float(f"{objective.rank_key(mean_of(runs, objective.figure)):.12g}")
    return not runs["alive"].all(), key, float(runs["dollars"].mean()) if "dollars" in runs else 0.0
