"""The tables of searches and decisions, for reports and for the terminal."""

from typing import Any

import pandas as pd

from sim.report.tables import Table
from sim.studies.decide import Decision
from sim.studies.decide_words import written
from sim.wording import amount, percent


def looks_table(table: pd.DataFrame, *, share: bool) -> Table:
    """Every fleet, or multiple of demand, that was looked at; not the runs behind the headroom, which the file has.

    share: whether the promise is about one share, which is shown; else the margin is.
    """
    table = table[table["stage"] != "headroom"]
    of_demand, sliced = (table["demand"] != 1).any(), (table["scale"] != 1).any()
    head = ["stage", "demand" if of_demand else "GPUs", "kept", "reached" if share else "margin", "95 % interval"]
    head += ["verdict", "cost", *(["slice"] if sliced else [])]
    rows = []
    for row in table.to_dict("records"):
        known = row["measure_low"] == row["measure_low"]
        rows.append(
            [
                row["stage"],
                f"{row['demand']:.2f} times" if of_demand else f"{row['gpus']:,}",
                f"{row['kept']} of {row['seeds']}",
                percent(row["measure"]),
                f"{100 * row['measure_low']:.1f} to {100 * row['measure_high']:.1f}" if known else "",
                row["verdict"],
                f"${amount(row['dollars'])}",
                *([f"1/{1 / row['scale']:g}"] if sliced else []),
            ]
        )
    note = "Stage 'search' looked for the answer; 'verify' judged it with seeds that the search had not seen."
    return Table("Everything that was looked at", head, rows, note=note)


def savings_table(table: pd.DataFrame, first: str, title: str) -> Table:
    """GPUs saved by each playbook against the first one."""
    rows: list[list[str]] = []
    for row in table.to_dict("records"):
        known = row["gpus"] == row["gpus"]
        rows.append(
            [
                row["playbook"],
                f"{row['gpus']:,.0f}" if known else "none",
                f"{row['saved']:,.0f}" if row["saved"] == row["saved"] else "",
                f"{row['carries']:.2f} times" if row["carries"] == row["carries"] else "",
                f"${amount(row['dollars'])}" if known else "",
                row["verdict"],
            ]
        )
    head = ["playbook", "GPUs", f"saved against {first}", "holds up to", "cost", "verdict"]
    return Table(title, head, rows)


def options_table(found: Decision) -> Table:
    """The menu of a decision: one row per option, the least expected regret first."""
    rows = []
    order: Any = found.options.sort_values("regret", kind="stable").iterrows()
    for place, row in order:
        rows.append(
            [
                f"{row['gpus']:,}",
                row["playbook"],
                "chosen" if place == found.best else "",
                written(found, row["regret"]),
                written(found, row["worst_regret"]),
                percent(row["best"]),
                percent(row["alive"]),
                f"${amount(row['dollars'])}",
            ]
        )
    head = ["GPUs", "playbook", "", "regret", "worst regret", "best in", "alive in", "GPUs cost"]
    note = "Means over the futures. Regret: the loss beyond that of the best option of this menu in the same future."
    return Table(f"Regret over {found.futures} futures", head, rows, labels=3, note=note)
