"""What a run earns and costs: revenue by tier, the margin over its GPUs, what was lost; and all that in sentences.

All amounts are dollars of the whole service. Revenue has two parts. Accrued in the run's window: subscriptions for the
time, images sold. Valued afterwards: the later months of those who signed up or started to pay in the run, less those
of subscribers whom bad experiences drive away (expected values; sim.scenario.prices.Tariff has the probabilities, most
of them assumed). Subscriptions are not earned by the image: a better week is worth its new and its kept subscribers.
"""

import math
from dataclasses import dataclass

import pandas as pd

from sim.results.conservation import counts_tokens
from sim.results.costs import dollars
from sim.results.experiences import experienced
from sim.results.intents import window_of
from sim.results.metrics import counted, images_in_time
from sim.results.run import Run
from sim.results.timeline import IMAGES, IMAGES_DEGRADED, IN_TIME, SERVED
from sim.scenario.parts import Tier
from sim.scenario.prices import Plan
from sim.units import SECONDS
from sim.wording import duration, percent, usd

MONTH, QUARTER, YEAR = SECONDS["month"], SECONDS["year"] / 4, SECONDS["year"]


@dataclass(frozen=True)
class TierMoney:
    """One tier's revenue in dollars of the whole service, and the people behind it."""

    tier: str
    people: float
    accrued: float  # in the run's window
    signed_up: float  # later months of subscribers who signed up in the run
    converted: float  # later months of its users who start to pay, wherever they move
    cancelled: float  # later months of its subscribers whom bad experiences drive away
    starting: float  # people
    leaving: float  # people; of a tier that pays nothing, those who will never start

    @property
    def revenue(self) -> float:
        return self.accrued + self.signed_up + self.converted - self.cancelled


@dataclass(frozen=True)
class Money:
    """The revenue and cost of one run, dollars of the whole service."""

    tiers: tuple[TierMoney, ...]
    cost: float  # of all GPUs paid for: busy, idle or reserved and unused
    images: float  # in time, degraded ones included
    seconds: float  # of the window
    estimated: bool  # from counts by tier, where not every row was recorded

    @property
    def accrued(self) -> float:
        return sum(tier.accrued for tier in self.tiers)

    @property
    def revenue(self) -> float:
        return sum(tier.revenue for tier in self.tiers)

    @property
    def margin(self) -> float:
        """Revenue less the cost of GPUs."""
        return self.revenue - self.cost


def money_of(run: Run, wishes: pd.DataFrame | None = None) -> Money | None:
    """The money of a run over its whole window; None where its scenario has no prices. wishes: as in `latencies`."""
    tariffs = tariffs_of(run)
    if not any(tier.price.dollars for tier in tariffs.values()):
        return None
    begin, end = window_of(run, None)
    met, delivered = experienced(run, dict(tariffs), wishes), images_delivered(run)
    tiers = []
    for name, tariff in tariffs.items():
        one = met[name]
        later = tariff.monthly * tariff.stays / MONTH
        paying = tariffs.get(tariff.converts_to)
        first = 0.0 if paying is None else paying.monthly * paying.stays / MONTH
        sold = tariff.price.dollars * delivered[name] if tariff.price.per == "image" else 0.0
        tiers.append(
            TierMoney(
                name,
                one.people / run.scale,
                (tariff.monthly * one.subscribed / MONTH + sold) / run.scale,
                later * one.newcomers / run.scale,
                first * one.starting / run.scale,
                later * one.leaving / run.scale,
                one.starting / run.scale,
                one.leaving / run.scale,
            )
        )
    return Money(tuple(tiers), dollars(run), of_service(run), end - begin, not run.has_rows)


def tariffs_of(run: Run) -> dict[str, Tier]:
    """What each tier pays, as the scenario in the manifest says; nothing where there is none."""
    given = run.manifest["scenario"].get("tiers", {})
    return {
        name: Tier.model_validate(given.get(name, {"share": share})) for name, share in run.manifest["tiers"].items()
    }


def plan_of(run: Run) -> Plan | None:
    """The company's plan, where the scenario states one."""
    given = run.manifest["scenario"].get("plan")
    return None if given is None else Plan.model_validate(given)


def of_service(run: Run) -> float:
    """Images in time of the whole service, degraded ones included."""
    found = images_in_time(run)
    return (found["as_asked"] + found["degraded"]) / run.scale


def images_delivered(run: Run) -> dict[str, float]:
    """Images delivered in the slice, by tier: those in time, and late ones at the mean number of their feature."""
    counts = counted(run, window_of(run, None)).counts[0].astype(float)
    mean = [mean_images(run, feature) for feature in run.manifest["features"]]
    late = (counts[..., SERVED] - counts[..., IN_TIME]) @ mean
    in_time = counts[..., [IMAGES, IMAGES_DEGRADED]].sum(axis=(1, 2))
    return dict(zip(run.manifest["tiers"], (in_time + late).tolist(), strict=True))


def mean_images(run: Run, feature: str) -> float:
    """How many images a request for a feature asks for, on average."""
    given = run.manifest["scenario"].get("features", {}).get(feature, {})
    shares = given.get("images") or {given.get("spec", {}).get("images", 1): 1.0}
    return sum(int(number) * float(share) for number, share in shares.items())


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
