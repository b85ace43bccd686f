"""The tables of studies, the best first: of comparisons over seeds, of searches for a fleet, and of decisions."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from sim.report import words
from sim.report.tables import Table, table_of
from sim.results.fairness import WHY_NOT
from sim.results.intervals import FEWEST
from sim.results.run import Run
from sim.studies.choice import ALPHA, COVERS, objective_sentence
from sim.studies.compare import Comparison
from sim.studies.configurations import changes
from sim.studies.decide import Decision
from sim.studies.decide_words import written
from sim.studies.differences import unit_of
from sim.studies.earlier import shown
from sim.wording import MANY, amount, names_in_words, percent, percentage

Columns = dict[str, Callable[[Any], str]]
FAIRNESS: Columns = {  # of a group of people
    "served of asked": lambda f: words.share(f["served_share"]),
    "Gini": lambda f: words.known(f["gini"]),
    "Jain": lambda f: words.known(f["jain"]),
}


def ranking(comparison: Comparison) -> Table:
    """The objective with its interval, and the paired difference to the baseline."""
    objective, rows = comparison.objective, []
    unit: words.Unit = "share" if objective.kind == "share" else "dollars"
    for place, name in enumerate(comparison.ranking, 1):
        figures, alive = figures_of(comparison, name), comparison.runs(name)["alive"]
        score = figures[objective.figure]
        rows.append(
            [
                str(place),
                name,
                f"{int(alive.sum())} of {len(alive)}",
                mean(score, unit),
                "baseline" if name == comparison.baseline else difference(score, unit),
                words.share(figures["attainment"]["mean"]),
            ]
        )
    head = ["rank", comparison.noun, "alive", objective.title, f"against {comparison.baseline}", "in time"]
    return Table(objective_sentence(comparison), head, rows, labels=3, note=intervals_note(comparison))


def gives_and_costs(comparison: Comparison) -> Table:
    """What each playbook gives people and takes from them, and what it costs; means over seeds."""
    grows = "growth_lost" in comparison.table.columns
    columns: Columns = {
        "images in time": lambda f: words.count(f["images_as_asked"]["mean"] + f["images_degraded"]["mean"]),
        "degraded": lambda f: words.share(f["degraded_share"]["mean"]),
        "people kept": lambda f: mean(f["people_share"], "share"),
        "signups lost": lambda f: mean(f["signups_lost"]),
        "still waiting": lambda f: mean(f["signups_waiting"]),
        "cost": lambda f: words.dollars(f["dollars"]["mean"]),
        **({"growth lost": lambda f: mean(f["growth_lost"])} if grows else {}),
    }
    note = (
        "Degraded: the share of the images in time. People kept: let in and not gone for good, of those whom an "
        "unlimited fleet keeps. Signups lost gave up on the waitlist; others still wait when the run ends."
    )
    if grows:
        note += " Growth lost: how many more people an unlimited fleet would have let in."
    return by_playbook(comparison, f"What each {comparison.noun} gives and costs", columns, note)


TOKEN_FIGURES = {"p95_first_token": "p95 first token", "p95_per_token": "p95 per token"}


def other_costs(comparison: Comparison) -> Table:
    """Delay, waste, money for an image, and carbon; means over seeds."""
    tokens = {title: metric for metric, title in TOKEN_FIGURES.items() if metric in comparison.table}
    delays = {"p95 latency of all requests": "p95_latency", **tokens}
    columns = {title: seconds_of(metric) for title, metric in delays.items()}
    columns |= {
        "requests lost": lambda f: mean(f["lost"]),
        "left for good": lambda f: mean(f["churned"]),
        "GPU-hours wasted": lambda f: mean(f["wasted_gpu_hours"]),
        "cost of 1,000 images in time": lambda f: mean(f["dollars_per_1000_images"], "dollars"),
        "t CO2e": lambda f: words.known(f["kg_co2e"]["mean"] / 1000),
    }
    note = "In the cost of 1,000 images in time, a degraded one counts by its stated quality."
    return by_playbook(comparison, "Delay, waste and cost of images", columns, note)


def seconds_of(metric: str) -> Callable[[Any], str]:
    return lambda figures: words.seconds(figures[metric]["mean"])


def by_playbook(comparison: Comparison, caption: str, columns: Columns, note: str) -> Table:
    """A row for each playbook, the best first; columns: what they show of its figures."""
    rows = [{"name": name, **figures_of(comparison, name)} for name in comparison.ranking]
    return table_of(caption, rows, {comparison.noun: lambda f: f["name"], **columns}, note=note)


def fairness_table(comparison: Comparison) -> Table:
    """Who got how much of what they asked for: one row per playbook and group of people, means over seeds."""
    columns: Columns = {
        comparison.noun: lambda f: f["playbook"],
        "group": lambda f: f["group"],
        "images per person": lambda f: words.count(f["images_per_person"]),
        **FAIRNESS,
    }
    note = (
        "Over people who asked for something, and people who came to sign up and were never let in, who got nothing. "
        "Served of asked is the mean over people of the share of their requests that was served. Gini (0: everybody "
        "got the same share, near 1: one person got all) and Jain's index (1: the same share, 1/n: one of n got all) "
        "are of that share; they do not say whether much was served. Means over seeds."
    )
    known, rows = comparison.fairness, []
    if not known.empty:
        figures = ["images_per_person", "served_share", "gini", "jain"]
        means = known.groupby(["playbook", "group"], sort=False)[figures].mean().reset_index()
        rows = [f for name in comparison.ranking for f in means[means["playbook"] == name].to_dict("records")]
    missing = [name for name in comparison.ranking if name not in {f["playbook"] for f in rows}]
    if missing:
        without = f"Not known of {names_in_words(missing)}, which kept no row for each person ('record: rows' does)."
        note = f"{note} {without}" if rows else WHY_NOT
    return table_of("Fairness between people", rows, columns, labels=2, note=note)


def configurations_table(comparison: Comparison, runs: Sequence[Run]) -> Table:
    """What each configuration is: its scenario and playbook, and where it differs from the first."""
    first, rows = runs[0].manifest["scenario"], []
    for (label, about), run in zip(comparison.configurations.items(), runs, strict=True):
        differing = changes(first, run.manifest["scenario"])
        said = "; ".join(f"{key} {shown(after)}" for key, (_, after) in differing.items())
        rows.append([label, about["title"], about["playbook"], said or ("as here" if run is runs[0] else "nothing")])
    head = ["configuration", "scenario", "playbook", f"differs from {comparison.baseline} in"]
    return Table("The configurations", head, rows, labels=4)


def since_table(comparison: Comparison, table: pd.DataFrame) -> Table:
    """A comparison held against an earlier one: the objective, requests in time, latency and cost, then and now."""
    objective, rows = comparison.objective, []
    shown_in = {objective.figure: objective.title, "attainment": "requests in time", "p95_latency": "p95 latency"}
    shown_in |= {"lost": "requests lost", "dollars": "cost"}
    for label in dict.fromkeys(table["playbook"]):
        of_label = table[table["playbook"] == label].set_index("metric").to_dict("index")
        for metric, title in shown_in.items():
            row = of_label[metric]
            cells, counted = [words.figure(metric, row[when]) for when in ("then", "now")], unit_of(metric)
            unit: words.Unit = "number" if counted == "seconds" else counted
            apart = words.interval(row["difference"], row["low"], row["high"], unit, signed=True)
            if metric == "p95_latency":
                apart = apart.replace("\n", " s\n", 1) if "\n" in apart else f"{apart} s"
                if not (math.isfinite(row["now"]) and math.isfinite(row["then"])):
                    apart = "none" if row["now"] == row["then"] else "not known"
            if row["p_holm"] >= ALPHA and row["difference"]:
                apart += "\nnot established"
            rows.append([label, title, *cells, apart])
    head = [comparison.noun, "figure", "then", "now", "difference"]
    note = "Paired by seed, with 95 % intervals where both have three seeds or more."
    return Table("Against the earlier comparison", head, rows, labels=2, note=note)


def figures_of(comparison: Comparison, playbook: str) -> dict[str, dict[Any, Any]]:
    """The rows of a playbook's differences by metric."""
    rows = comparison.differences[comparison.differences["playbook"] == playbook]
    return {row["metric"]: row for row in rows.to_dict("records")}


def intervals_note(comparison: Comparison) -> str:
    """What the intervals are, or why there are none; 'alive' is counted."""
    seeds = len(comparison.seeds)
    if seeds < FEWEST:
        return (
            f"{'One seed' if seeds == 1 else 'Two seeds'}, so there are no intervals: they take {FEWEST} seeds or more."
        )
    return (
        f"Means over {seeds} seeds with 95 % intervals; 'alive' counts the seeds. Differences are paired by seed; 'not "
        f"established' means that chance may explain them (Holm, over all {comparison.noun}s). {COVERS}"
    )


def mean(row: dict[Any, Any], unit: words.Unit = "number") -> str:
    return words.interval(row["mean"], row["mean_low"], row["mean_high"], unit)


def difference(row: dict[Any, Any], unit: words.Unit) -> str:
    """The paired difference to the baseline, and whether it is established, where there are seeds enough to tell."""
    text = words.interval(row["difference"], row["low"], row["high"], unit, signed=True)
    if row["difference"] == row["low"] == row["high"] == 0:
        return f"{text}\nin every seed"
    return f"{text}\nnot established" if row["p_holm"] >= ALPHA else text


def looks_table(table: pd.DataFrame, *, share: bool) -> Table:
    """Every fleet, or multiple of demand, that was looked at; not the runs behind the headroom, which the file has.

    share: whether the promise is about one share, which is shown; else the margin is.
    """
    table = table[table["stage"] != "headroom"]
    of_demand, sliced = (table["demand"] != 1).any(), (table["scale"] != 1).any()
    by_pool = [n for n in map(str, table) if n.startswith("gpus of ") and table[n].nunique() > 1]
    columns: Columns = {
        "stage": lambda row: row["stage"],
        "demand" if of_demand else "GPUs": lambda row: (
            f"{row['demand']:.2f} times" if of_demand else f"{row['gpus']:,}"
        ),
        **({f"of {name[8:]}": gpus_in(name) for name in by_pool} if len(by_pool) > 1 else {}),
        "kept": lambda row: f"{row['kept']} of {row['seeds']}",
        "reached" if share else "margin": lambda row: percent(row["measure"]),
        "95 % interval": lambda row: between(row["measure_low"], row["measure_high"]),
        "verdict": lambda row: row["verdict"],
        "cost": lambda row: f"${amount(row['dollars'])}",
        **({"slice": lambda row: f"1/{1 / row['scale']:g}"} if sliced else {}),
    }
    note = "Stage 'search' looked for the answer; 'verify' judged it with seeds that the search had not seen."
    return table_of("Everything that was looked at", table.to_dict("records"), columns, note=note)


def gpus_in(pool: str) -> Callable[[Any], str]:
    """What a column of one pool shows."""
    return lambda row: f"{row[pool]:,.0f}"


def between(low: float, high: float) -> str:
    return f"{tenths(low)} to {tenths(high)}" if low == low else ""


def tenths(share: float) -> str:
    """Per cent to a tenth, or as many figures as tell a share from all."""
    if abs(share) >= MANY:
        return percentage(share)
    text = f"{100 * share:.1f}"
    return percentage(share) if text == "100.0" else text


def savings_table(table: pd.DataFrame, first: str, title: str) -> Table:
    """GPUs saved by each playbook against the first one."""
    columns: Columns = {
        "playbook": lambda row: row["playbook"],
        "GPUs": lambda row: f"{row['gpus']:,.0f}" if row["gpus"] == row["gpus"] else "none",
        f"saved against {first}": lambda row: f"{row['saved']:,.0f}" if row["saved"] == row["saved"] else "",
        "holds up to": lambda row: f"{row['carries']:,.2f} times" if row["carries"] == row["carries"] else "",
        "cost": lambda row: f"${amount(row['dollars'])}" if row["gpus"] == row["gpus"] else "",
        "verdict": lambda row: row["verdict"],
    }
    return table_of(title, table.to_dict("records"), columns)


def options_table(found: Decision) -> Table:
    """The menu of a decision: one row per option, the least expected regret first."""
    gpus, law = f"GPUs of {found.pool}" if found.stay else "GPUs", found.inputs.get(f"pools.{found.pool}.gpus")
    columns: Columns = {
        gpus: lambda row: law or f"{row['gpus']:,}",
        "playbook": lambda row: row["playbook"],
        "": lambda row: "chosen" if row["place"] == found.best else "",
        "regret": lambda row: written(found, row["regret"]),
        "worst regret": lambda row: written(found, row["worst_regret"]),
        "best in": lambda row: percent(row["best"]),
        "alive in": lambda row: percent(row["alive"]),
        **({"promises kept in": lambda row: percent(row["promised"])} if "promised" in found.options else {}),
        "GPUs cost": lambda row: f"${amount(row['dollars'])}",
    }
    options = found.options.assign(place=found.options.index).sort_values("regret", kind="stable").to_dict("records")
    note = "Means over the futures. Regret: the loss beyond that of the best option of this menu in the same future."
    return table_of(f"Regret over {found.futures} futures", options, columns, labels=3, note=note)
