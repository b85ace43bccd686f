"""The money of a run in plain sentences: revenue by tier, cost, margin, and the company's plan beside them."""

import math

from sim.results.conservation import counts_tokens
from sim.results.money import QUARTER, YEAR, Money, plan_of
from sim.results.run import Run
from sim.wording import duration, percent, usd


def money_sentences(run: Run, money: Money) -> list[str]:
    """What the run earned, what it cost, and its share of the plan."""
    paying = [tier for tier in money.tiers if tier.accrued]
    from_tiers = ", ".join(f"{usd(tier.accrued)} from '{tier.tier}'" for tier in paying)
    new, starting, leaving = (
        sum(getattr(tier, name) for tier in money.tiers) for name in ("signed_up", "converted", "cancelled")
    )
    earned = (
        f"Revenue: {usd(money.accrued)} accrue in these {duration(money.seconds)}"
        f"{f' ({from_tiers})' if from_tiers else ''}. Valued afterwards, mostly with assumed probabilities: {usd(new)} "
        f"for the later months of new subscribers, {usd(starting)} for those of users who start to pay after good "
        f"images, less {usd(leaving)} for subscribers who cancel after bad ones. "
        f"All that less GPUs: {usd(money.margin)}."
    )
    if money.estimated:
        earned += " Experiences were counted by tier, not by person, so those who cancel or start to pay are estimates."
    return [earned, *plan_sentences(run, money)]


def each(dollars: float, noun: str) -> str:
    """A price of one image in time, in words."""
    return f"${dollars:.3g} per {noun} in time" if math.isfinite(dollars) else f"no {noun} in time"


def image_or_chat(run: Run) -> str:
    """The noun of what images are counted in: where a pool runs steps, each chat counts as one."""
    return "image or chat" if counts_tokens(run.manifest) else "image"


def plan_sentences(run: Run, money: Money) -> list[str]:
    """The share of the plan's quarter that the run is, and what the plan expects of that many days."""
    plan = plan_of(run)
    if plan is None:
        return []
    share, planned = money.seconds / YEAR, plan.revenue * money.seconds / YEAR
    profit = money.accrued - money.cost
    said = (
        f"These {duration(money.seconds)} are {percent(money.seconds / QUARTER)} of a quarter. The planned revenue"
        f"{f' of {plan.year}' if plan.year else ''} ({usd(plan.revenue)} a year) makes {usd(planned)} of them; the "
        f"people of this run pay {percent(money.accrued / planned)} of that. Accrued revenue less GPUs is a "
        f"{'profit' if profit >= 0 else 'loss'} of {usd(abs(profit))}, before all other costs"
    )
    if plan.loss_before:
        said += (
            f"; the company's loss of the year before ({usd(plan.loss_before)}) makes {usd(plan.loss_before * share)}"
        )
    return [f"{said}."]


def lost_sentence(lost: dict[str, float], plan_revenue: float | None = None, by_playbook: float = 0.0) -> str:
    """The revenue that an unlimited fleet without the playbook would have earned in addition, by tier.

    by_playbook: what of it is lost whatever the fleet.
    """
    total = sum(lost.values())
    parts = ", ".join(f"{usd(number)} of '{tier}'" for tier, number in lost.items() if abs(number) >= 0.5)
    quarter = f", {percent(total / (plan_revenue / 4))} of a planned quarter" if plan_revenue else ""
    whatever = f", {usd(by_playbook)} of it by the playbook, whatever the fleet" if abs(by_playbook) >= 0.5 else ""
    return (
        f"Against an unlimited fleet that holds nobody back, with the same people, {usd(total)} of revenue is lost"
        f"{f' ({parts})' if parts else ''}{quarter}{whatever}."
    )
