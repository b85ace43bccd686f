"""Refusing the less important tiers first, by the wait in a pool or by how much of it is in use."""

import math
from typing import Annotated, Literal

from pydantic import Field, PrivateAttr

from sim.model.controls import Controls, PoolTelemetry, Telemetry
from sim.policies.base import Advice, Duration, OfOnePool, PositiveShare, Ranking, refusing
from sim.units import Fraction, Seconds, Whole

Score = Annotated[Whole, Field(ge=1, le=100)]


class ByTier(OfOnePool):
    """A policy that watches one pool and refuses by tier, for some features or for all where they are not named."""

    features: list[str] | None = Field(default=None, description="features it applies to; all where absent")
    final: bool = Field(default=False, description="whether refused users are asked not to try again")

    def refuse(self, controls: Controls, shares: dict[str, float]) -> None:
        for tier, share in shares.items():
            controls.set(tiers=[tier], features=self.features, **refusing(share, self.final))


def overload(wait: float, begins: float, full: float) -> float:
    """How far a wait is on the way from where overload begins (0) to where it is full (1)."""
    return min(1.0, max(0.0, (wait - begins) / (full - begins)))


def highest_score(x: float) -> float:
    """The highest priority score that is let in at overload x, 0 to 1: 100 (1 - x^3)."""
    return 100.0 * (1.0 - x**3)


class PriorityShedding(ByTier):
    """Refuses the less important tiers first, as the wait grows (Netflix's gateway, 2020).

    Each tier has a score from 1, vital, to 100. Overload x is 0 where the pool's expected wait is `begins` and 1 where
    it is `full`. Tiers whose score exceeds 100 (1 - x^3) are refused altogether; at x = 1 every tier with a score is.
    The curve passes through the points that Netflix published (about 95 at 35 %, 50 at 80 %, 10 at 95 %); their x mixes
    error rates, concurrency and CPU, here it is a wait. A tier without a score is never refused.
    """

    advice = Advice(
        "shedding",
        protects="the important tiers, in order",
        costs="the other tiers, gradually (a cubic curve)",
        fails="when everybody claims an important score",
        example={"pool": "gpus", "tiers": {"plus": 10, "free": 90}, "begins": "5 s", "full": "40 s"},
        keeps_goodput=True,
    )

    kind: Literal["priority shedding"] = "priority shedding"
    tiers: dict[str, Score] = Field(min_length=1, description="score of each tier, 1 (vital) to 100 (refused first)")
    begins: Seconds = Field(description="expected wait at which overload begins")
    full: Duration = Field(description="expected wait at which every tier with a score is refused")

    ascending = ("begins", "full")

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        highest = highest_score(overload(self.seen(telemetry).expected_wait, self.begins, self.full))
        self.refuse(controls, {tier: float(score > highest) for tier, score in self.tiers.items()})


def in_use(pool: PoolTelemetry) -> float:
    """Busy GPUs and queued requests over GPUs: above 1 where requests wait for a GPU; inf without any GPU."""
    return (pool.busy + pool.queued) / pool.gpus if pool.gpus > 0 else math.inf


class ReservedShare(ByTier):
    """Keeps a share of a pool for critical tiers (Stripe's fleet usage load shedder).

    While busy GPUs and queued requests together exceed `above` of the GPUs, the tiers named here are refused; the other
    tiers are critical and never are. Stripe reserves 20 %. The policy looks at control ticks and not in between, so in
    a pool of a few GPUs it sees little more than whether one of them happened to be free.
    """

    advice = Advice(
        "shedding",
        protects="critical tiers: the last fifth of the pool is theirs",
        costs="the other tiers, from 80 % use on",
        fails="in small pools, whose use jumps; in a burst between two control ticks",
        example={"pool": "gpus", "tiers": ["free"]},
    )

    kind: Literal["reserved share"] = "reserved share"
    tiers: list[str] = Field(min_length=1, description="tiers that are not critical")
    above: Fraction = Field(default=0.8, description="share of the GPUs in use above which they are refused")

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        share = float(in_use(self.seen(telemetry)) > self.above)
        self.refuse(controls, dict.fromkeys(self.tiers, share))


def ramped(shed: float, saturated: bool, *, up: float, down: float, most: float) -> float:
    """The number of tiers shed after one more tick, from 0 to `most`; half a tier is a share of 50 %."""
    return round(min(most, shed + up) if saturated else max(0.0, shed - down), 9)


def shares(shed: float, tiers: int) -> list[float]:
    """The share of each tier that is refused when this number of tiers is shed, beginning with the last."""
    return [min(1.0, max(0.0, shed - after)) for after in reversed(range(tiers))]


class UtilisationShedding(ByTier):
    """Refuses one tier after the other while the pool is saturated (Stripe's worker utilisation load shedder).

    The tiers are named in order of importance. At each control tick at which the pool's utilisation is at least
    `saturated`, another share `ramp_up` of the last tier is refused; once all of that tier is refused, of the one
    before it, and so on. At each other tick the share falls by `ramp_down`, in reverse order. A tier that is not named
    is never refused. Stripe says that a ramp must be gradual, or the service flaps; the figures are not Stripe's: at a
    tick of a minute the defaults refuse a tier within four minutes and restore it within ten.
    """

    advice = Advice(
        "shedding",
        protects="critical tiers, by ramping up and down",
        costs="the other tiers, for as long as it ramps down",
        fails="with an autoscaler that waits for utilisation",
        example={"pool": "gpus", "tiers": ["plus", "free"]},
    )

    kind: Literal["utilisation shedding"] = "utilisation shedding"
    tiers: Ranking
    saturated: PositiveShare = Field(default=1.0, description="utilisation from which more is refused")
    ramp_up: PositiveShare = Field(default=0.25, description="further share of a tier refused per tick")
    ramp_down: PositiveShare = Field(default=0.1, description="share of a tier let in again per tick")
    _shed: float = PrivateAttr(default=0.0)

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        saturated, most = self.seen(telemetry).utilisation >= self.saturated, float(len(self.tiers))
        self._shed = ramped(self._shed, saturated, up=self.ramp_up, down=self.ramp_down, most=most)
        self.refuse(controls, dict(zip(self.tiers, shares(self._shed, len(self.tiers)), strict=True)))
