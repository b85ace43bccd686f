"""The tables of a report about money: revenue by tier, and the bill by pool and contract."""

from collections.abc import Callable
from typing import Any

from sim.report import words
from sim.report.tables import Table, table_of
from sim.results.contracts import bill, contract_sentences
from sim.results.run import Run
from sim.results.verdict import Verdict
from sim.wording import usd


def money_tables(v: Verdict) -> list[Table]:
    """What each tier brings, where the scenario has prices; and what the GPUs cost by contract."""
    return [*([] if v.money is None else [revenue(v)]), contracts(v.run)]


def revenue(v: Verdict) -> Table:
    """Revenue accrued and valued afterwards, by tier and in total."""
    assert v.money is not None
    parts = ("accrued", "signed_up", "converted", "cancelled", "revenue")
    rows = [
        [tier.tier, words.count(tier.people), *[usd(getattr(tier, part)) for part in parts]] for tier in v.money.tiers
    ]
    totals = [usd(sum(getattr(tier, part) for tier in v.money.tiers)) for part in parts]
    rows.append(["all", words.count(sum(tier.people for tier in v.money.tiers)), *totals])
    head = ["tier", "people", "accrued", "new subscribers", "start to pay", "cancel", "revenue"]
    note = (
        "'accrued' is in the run's window. The rest is valued afterwards, as expected values: the later months of "
        "people who signed up, of users who start to pay after good images, and (to be subtracted) of subscribers who "
        "cancel after images that were lost or late. Their probabilities are at the end of this report. 'meltpoint "
        "money' compares with an unlimited fleet."
    )
    return Table("Revenue, by tier", head, rows, note=note)


def contracts(run: Run) -> Table:
    """GPU-hours paid and dollars, by pool and contract."""
    columns: dict[str, Callable[[Any], str]] = {
        "pool": lambda row: row["pool"],
        "contract": lambda row: row["contract"],
        "GPU-hours paid": lambda row: words.count(row["gpu_hours"]),
        "an hour": lambda row: f"${row['dollars_per_gpu_hour']:.3g}",
        "cost": lambda row: usd(row["dollars"]),
    }
    note = " ".join(contract_sentences(run))
    return table_of("GPUs, by contract", bill(run).to_dict("records"), columns, labels=2, note=note)
