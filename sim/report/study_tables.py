"""The tables of searches and decisions, for reports and for the terminal."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from sim.report.tables import Table, table_of
from sim.studies.decide import Decision
from sim.studies.decide_words import written
from sim.wording import MANY, amount, percent, percentage

Columns = dict[str, Callable[[Any], str]]


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
