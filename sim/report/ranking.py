"""The table of playbooks, best first: from a comparison over seeds, or else from single runs."""

import math
from typing import Any

from sim.report import words
from sim.report.tables import Table, p95_of_all
from sim.results.verdict import Verdict
from sim.studies.compare import Comparison

HEAD = ["rank", "playbook", "alive", "attainment", "goodput, images/s", "p95 latency of all requests", "requests lost"]
HEAD += ["signups lost", "GPU-hours wasted", "cost", "t CO2e"]


def ranking(comparison: Comparison) -> Table:
    """Means over seeds with 95 % intervals, and the paired difference to the baseline."""
    table, rows = comparison.table, []
    grows = "growth_lost" in table.columns
    for place, name in enumerate(dict.fromkeys(comparison.differences["playbook"])):
        of_it = comparison.differences[comparison.differences["playbook"] == name]
        figures = {row["metric"]: row for row in of_it.to_dict("records")}
        alive = table.loc[table["playbook"] == name, "alive"]
        rows.append(
            [
                str(place + 1),
                str(name),
                ("yes" if alive.all() else "no") if len(alive) == 1 else f"{int(alive.sum())}/{len(alive)}",
                mean(figures["attainment"], percentages=True),
                "baseline" if name == comparison.baseline else difference(figures["attainment"]),
                mean(figures["goodput"]),
                words.seconds(figures["p95_latency"]["mean"]),
                mean(figures["lost"]),
                mean(figures["signups_lost"]),
                *([mean(figures["growth_lost"])] if grows else []),
                mean(figures["wasted_gpu_hours"]),
                words.dollars(figures["dollars"]["mean"]),
                words.known(figures["kg_co2e"]["mean"] / 1000),
            ]
        )
    seeds = len(comparison.seeds)
    note = (
        "Playbooks that keep the service alive come first, then by SLO attainment. All of them meet the same people. "
    )
    note += (
        f"Means over {seeds} seeds with 95 % intervals; 'alive' counts the seeds."
        if seeds > 1
        else "One seed, so there are no confidence intervals."
    )
    head = [*HEAD[:4], "against baseline", *HEAD[4:]]
    if grows:
        head.insert(head.index("signups lost") + 1, "growth lost")
        note += " Growth lost: additional signups that an unlimited fleet would have brought."
    return Table("Playbooks, best first", head, rows, labels=3, note=note)


def mean(row: dict[Any, Any], *, percentages: bool = False) -> str:
    return words.interval(row["mean"], row["mean_low"], row["mean_high"], percentages=percentages)


def difference(row: dict[Any, Any]) -> str:
    """The paired difference to the baseline; 'not clear' where its interval holds 0."""
    text = words.interval(row["difference"], row["low"], row["high"], percentages=True, signed=True)
    return f"{text}\nnot clear" if row["low"] <= 0 <= row["high"] else text


def ranking_of_runs(verdicts: list[Verdict], names: list[str]) -> Table:
    """Single runs, those alive first, then by SLO attainment."""
    ranked = sorted(
        zip(verdicts, names, strict=True), key=lambda pair: (not pair[0].life.alive, -worth(pair[0].life.attainment))
    )
    rows = []
    for place, (v, name) in enumerate(ranked):
        rows.append(
            [
                str(place + 1),
                name,
                "yes" if v.life.alive else "no",
                words.share(v.life.attainment),
                words.count(v.full(v.goodput)),
                words.seconds(p95_of_all(v)),
                words.count(v.full(v.counts["lost"])),
                words.count(v.full(v.signups["lost"])),
                words.count(v.full(float(v.gpu_hours["wasted"].sum()))),
                words.dollars(v.dollars),
                words.known(v.full(v.energy["kg_co2e"]) / 1000),
            ]
        )
    note = "Playbooks that keep the service alive come first, then by SLO attainment. One run each: no intervals."
    return Table("Playbooks, best first", HEAD, rows, labels=3, note=note)


def worth(attainment: float) -> float:
    return -1.0 if math.isnan(attainment) else attainment
