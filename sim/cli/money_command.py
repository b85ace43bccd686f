"""The command that says what a playbook earns and costs, what is lost to capacity, and what a GPU more is worth."""

from pathlib import Path
from typing import Annotated, Any

from rich.table import Table
from rich.text import Text
from typer import Option

import sim
from sim.cli import options
from sim.cli.console import Console, name_column, print_table
from sim.cli.options import scenario_of, studying
from sim.cli.places import refuse_file, save_table


def money(
    scenario: options.ScenarioArgument,
    playbook: options.Playbook = None,
    seeds: Annotated[int, Option(min=1, help="How many seeds; intervals need at least 3.")] = 3,
    override: options.Override = None,
    sets: options.Sets = None,
    processes: options.Processes = None,
    cluster: options.ClusterAddress = None,
    out: Annotated[Path | None, Option(help="Write the money of every run to this CSV file.")] = None,
) -> None:
    """Revenue kept and lost, cost by contract, and the value of one GPU more and less.

    For scenarios that have prices. Each seed is run with the fleet as it is, with an unlimited fleet, and with one GPU
    of each pool more and less, all with the same people. Amounts are of the whole service.
    """
    from sim.report.tables import contracts

    refuse_file(out)
    loaded = scenario_of(scenario, override, sets)
    with studying(loaded.title, cluster, processes) as at_work:
        study = sim.money_study(loaded, playbook, seeds=seeds, **at_work)
    console = Console()
    console.print(tier_table(study))
    print_table(contracts(study.run))
    console.print(marginal_table(study))
    for line in lines(study):
        console.print(Text(line))
    save_table(study.runs, out, "\nRuns")


def lines(study: Any) -> list[str]:
    """Sentences about the whole: the seed's revenue and plan, what is lost, what a GPU is worth, contracts, energy."""
    from sim.results.contracts import contract_sentences
    from sim.results.energy import energy_sentences
    from sim.results.money import lost_sentence, money_sentences, plan_of

    plan = plan_of(study.run)
    lost = study.tiers["lost"].to_dict()
    return [
        lost_sentence(lost, plan.revenue if plan else None, study.by_playbook),
        *[worth_sentence(row) for row in study.marginal.to_dict("records")],
        *several(study),
        f"Seed {study.seeds[0]}. " + " ".join(money_sentences(study.run, study.money)),
        *contract_sentences(study.run),
        *energy_sentences(study.run),
    ]


def several(study: Any) -> list[str]:
    """A warning where one GPU more is not shown to pay, and yet more is lost than another such fleet would cost."""
    from sim.wording import usd

    lost, cost = float(study.tiers["lost"].sum()) - study.by_playbook, study.money.cost
    rows = study.marginal.to_dict("records")
    if lost <= cost or all(worth(row) == PAYS for row in rows if row["gpus"] > 0):
        return []
    return [
        f"This is of one step, and says nothing of several: {usd(lost)} are lost against an unlimited fleet with "
        "this playbook, more than "
        f"all GPUs of the run cost ({usd(cost)}). Where people try again, a few GPUs change nothing and enough of them "
        "everything; 'meltpoint decide --fleets' compares larger steps."
    ]


PAYS, PAYS_NOT = "pays", "does not pay"


def worth(row: dict[str, Any]) -> str:
    """Whether a GPU, more or less, brings what it costs; nothing where the interval does not say."""
    if row["low"] > row["cost"]:
        return PAYS
    return PAYS_NOT if row["high"] < row["cost"] else ""


def worth_sentence(row: dict[str, Any]) -> str:
    """Whether a GPU more, or less, pays, by the runs that were made; undecided where the interval does not say."""
    from sim.wording import amount, in_gpus, percent, usd

    more, known = row["gpus"] > 0, row["low"] == row["low"]
    if worth(row):
        paying = {PAYS: "it pays", PAYS_NOT: "it does not pay"}
        giving_up = {PAYS: "giving it up does not pay", PAYS_NOT: "giving it up pays"}
        verdict = (paying if more else giving_up)[worth(row)]
        if row["low"] == row["high"] == 0 and row["images"]:
            verdict += f" by these prices, which {amount(abs(row['images']))} images in time an hour do not change"
    else:
        verdict = "not established" + ("" if known else " with fewer than three seeds")
    does = "more brings" if more else "less loses"
    size = f"{in_gpus(abs(row['gpus']))} {'more' if more else 'fewer'}"
    return (
        f"One GPU {does} {usd(row['revenue'])} of revenue an hour and {'costs' if more else 'saves'} "
        f"{usd(row['cost'])}: {verdict} (pool '{row['pool']}', from runs with {size}, {percent(row['share'])} of the "
        "pool, per GPU)."
    )


def tier_table(study: Any) -> Table:
    from sim.wording import amount, usd

    seeds = len(study.seeds)
    title = f"Playbook '{study.playbook}', {'one seed' if seeds == 1 else f'means of {seeds} seeds'}"
    heads = ("people", "accrued", "later", "revenue", "lost", "start to pay", "turn away")
    table = Table(name_column("tier"), *heads, title=title, title_justify="left")
    for tier, row in study.tiers.iterrows():
        dollars = [usd(row[name]) for name in ("accrued", "later", "revenue", "lost")]
        people = [amount(row[name]) for name in ("starting", "leaving")]
        table.add_row(Text(str(tier)), amount(row["people"]), *dollars, *people)
    totals = [usd(float(study.tiers[name].sum())) for name in ("accrued", "later", "revenue", "lost")]
    table.add_row(Text("all"), amount(float(study.tiers["people"].sum())), *totals, "", "")
    return table


def marginal_table(study: Any) -> Table:
    """Per GPU and hour, with the interval of the revenue."""
    from sim.wording import amount, usd

    heads = ("GPUs", "revenue per GPU-hour", "cost", "value", "images in time per GPU-hour, degraded ones too")
    table = Table(name_column("pool"), *heads)
    for row in study.marginal.to_dict("records"):
        bounds = f" ({usd(row['low'])} to {usd(row['high'])})" if row["low"] < row["high"] else ""
        dollars = [f"{usd(row['revenue'])}{bounds}", usd(row["cost"]), usd(row["value"])]
        table.add_row(Text(row["pool"]), f"{row['gpus']:+,}", *dollars, amount(row["images"]))
    return table
