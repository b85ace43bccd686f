"""What a run earns and costs: revenue by tier, the margin over its GPUs, and what was lost against another run.

All amounts are dollars of the whole service. Revenue has two parts. Accrued in the run's window: subscriptions for the
time, images sold. Valued afterwards: the later months of those who signed up or started to pay in the run, less those
of subscribers whom bad experiences drive away (expected values; sim.scenario.prices.Tariff has the probabilities, most
of them assumed). Subscriptions are not earned by the image: a better week is worth its new and its kept subscribers.
"""

from dataclasses import dataclass

import pandas as pd

from sim.results.costs import dollars
from sim.results.experiences import experienced
from sim.results.images import images_in_time
from sim.results.intents import window_of
from sim.results.metrics import counted
from sim.results.run import Run
from sim.results.timeline import IMAGES, IMAGES_DEGRADED, IN_TIME, SERVED
from sim.scenario.parts import Tier
from sim.scenario.prices import Plan
from sim.units import SECONDS

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
    given = run.manifest.get("scenario", {}).get("tiers", {})
    return {
        name: Tier.model_validate(given.get(name, {"share": share})) for name, share in run.manifest["tiers"].items()
    }


def plan_of(run: Run) -> Plan | None:
    """The company's plan, where the scenario states one."""
    given = run.manifest.get("scenario", {}).get("plan")
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
    given = run.manifest.get("scenario", {}).get("features", {}).get(feature, {})
    shares = given.get("images") or {given.get("spec", {}).get("images", 1): 1.0}
    return sum(int(number) * float(share) for number, share in shares.items())
