"""Refusing some so that the rest is served: by the rate of success, by the tiers' importance, by the pool's use.

Each policy has its rule beside it, a function of numbers alone.
"""

import math
from collections import deque
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from sim.errors import BadInput
from sim.model.controls import Controls, PoolTelemetry, Telemetry
from sim.policies.target import Targeted
from sim.schema import Strict
from sim.units import Fraction, Plain, Rate, Seconds, Whole

Finite = Annotated[Seconds, Field(gt=0, allow_inf_nan=False)]
AboveZero = Annotated[Fraction, Field(gt=0)]
Score = Annotated[Whole, Field(ge=1, le=100)]


def rejection(
    ended: float, succeeded: float, *, threshold: float = 0.95, aggression: float = 1.0, most: float = 0.8
) -> float:
    """The share that Envoy's admission control rejects, from the forwarded requests that ended and that succeeded.

    min(most, (max(0, ended - succeeded / threshold) / (ended + 1)) ** (1 / aggression)).
    """
    failing = max(0.0, ended - succeeded / threshold) / (ended + 1.0)
    return min(most, failing ** (1.0 / aggression))


class AdmissionControl(Targeted):
    """Refuses a share of requests that grows as fewer of those let in succeed (Envoy's admission control filter).

    As there, a request counts once it has ended, and only if it was let in. Over the last `window` a share
    max(0, ended - succeeded / threshold) / (ended + 1), to the power 1 / `aggression`, is refused; never more than
    `max_rejection`, nothing while fewer than `rps_threshold` a second ended (at full scale). Defaults are Envoy's:
    30 s, 95 %, 1, 80 %, 0. A success is an image for somebody still there, in time or not; a failure is a user who left
    first. What a queue drops, and what other policies refuse, is not seen.

    Counts are of the whole service; `tiers` and `features` say only who is refused. Where R is asked of a capacity C
    for long, a share 1 - sqrt(C / (threshold R)) is refused: what is let in is still more than C, and above some 26 C,
    where the limit of 80 % is reached, a fifth of all. It learns at control ticks, which should come several times in a
    window; a window should see ten requests end.
    """

    steady: ClassVar[bool] = False
    kind: Literal["admission control"] = "admission control"
    window: Finite = 30.0
    threshold: AboveZero = Field(default=0.95, description="share of successes that is good enough")
    aggression: Annotated[Plain, Field(ge=1, le=100)] = 1.0
    rps_threshold: Rate = Field(default=0.0, description="rate of ended requests below which nothing is refused")
    max_rejection: Fraction = 0.8
    final: bool = Field(default=False, description="whether they are told not to try again")
    _seen: deque[tuple[float, float, float]] = PrivateAttr(default_factory=deque)
    _inside: float | None = PrivateAttr(default=None)

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.look(telemetry)
        ended, succeeded = (sum(tick[place] for tick in self._seen) for place in (1, 2))
        share = 0.0
        if ended >= self.rps_threshold * controls.scale * self.window:
            share = rejection(
                ended, succeeded, threshold=self.threshold, aggression=self.aggression, most=self.max_rejection
            )
        self.turn(controls, **({"shed": share, "final": float(self.final)} if share > 0 else {}))

    def look(self, telemetry: Telemetry) -> None:
        """Count what has ended since the tick before: what was let in, less what is inside in addition."""
        inside = float(sum(pool.inside for pool in telemetry.pools.values()))
        if self._inside is not None:
            let_in = float(telemetry.arrivals.sum() - telemetry.refused.sum())
            ended = let_in - (inside - self._inside)
            self._seen.append((telemetry.now, ended, float(telemetry.served.sum())))
        self._inside = inside
        while self._seen and self._seen[0][0] <= telemetry.now - self.window:
            self._seen.popleft()


class OfAPool(Strict):
    """A policy that looks at one pool and refuses by tier, for some features or, where they are not named, for all."""

    steady: ClassVar[bool] = False

    pool: str
    features: list[str] | None = Field(default=None, description="features it applies to; all where absent")
    final: bool = Field(default=False, description="whether they are told not to try again")

    def seen(self, telemetry: Telemetry) -> PoolTelemetry:
        if self.pool not in telemetry.pools:
            known = ", ".join(telemetry.pools)
            raise BadInput("the scenario has no such pool", key="pool", value=self.pool, expected=known)
        return telemetry.pools[self.pool]

    def refuse(self, controls: Controls, shares: dict[str, float]) -> None:
        """Refuse a share of each tier; a tier of which nothing is refused is left as other policies have it."""
        for tier, share in shares.items():
            knobs = {"shed": share, "final": float(self.final)} if share > 0 else {}
            controls.set(tiers=[tier], features=self.features, **knobs)


def overload(wait: float, begins: float, full: float) -> float:
    """How far a wait is on its way from where overload begins (0) to where it is full (1)."""
    return min(1.0, max(0.0, (wait - begins) / (full - begins)))


def highest_score(x: float) -> float:
    """The highest priority score that is let in at overload x, 0 to 1: 100 (1 - x^3)."""
    return 100.0 * (1.0 - x**3)


class PriorityShedding(OfAPool):
    """Refuses the less important tiers first, as a wait grows (Netflix's gateway, 2020).

    Each tier has a score from 1, vital, to 100. At overload x, which is 0 where the pool's expected wait is `begins`
    and 1 where it is `full`, tiers whose score exceeds 100 (1 - x^3) are refused, all of their requests; at x = 1
    everybody is. The curve passes through what Netflix tells of theirs (some 95 at 35 %, 50 at 80 %, 10 at 95 %); x is
    there a mix of error rates, concurrency and CPU, here it is a wait. A tier without a score is never refused.
    """

    kind: Literal["priority shedding"] = "priority shedding"
    tiers: dict[str, Score] = Field(min_length=1, description="score of each tier, 1 (vital) to 100 (refused first)")
    begins: Seconds = Field(description="expected wait at which overload begins")
    full: Finite = Field(description="expected wait at which nobody with a score is let in")

    @model_validator(mode="after")
    def in_order(self) -> Self:
        if not self.begins < self.full:
            raise ValueError("'begins' must be less than 'full'")
        return self

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        highest = highest_score(overload(self.seen(telemetry).expected_wait, self.begins, self.full))
        self.refuse(controls, {tier: float(score > highest) for tier, score in self.tiers.items()})


def in_use(pool: PoolTelemetry) -> float:
    """Busy GPUs and queued requests over GPUs: above 1 where requests wait for a GPU; inf where there is none."""
    return (pool.busy + pool.queued) / pool.gpus if pool.gpus > 0 else math.inf


class ReservedShare(OfAPool):
    """Keeps a share of a pool for critical tiers (Stripe's fleet usage load shedder).

    While busy GPUs and queued requests together exceed `above` of the GPUs, the tiers named here are refused, all of
    their requests; the others are critical and never are. Stripe reserves 20 %. It looks at control ticks and not in
    between, so of a pool of a few GPUs it sees little more than whether one of them happened to be free.
    """

    kind: Literal["reserved share"] = "reserved share"
    tiers: list[str] = Field(min_length=1, description="tiers that are not critical")
    above: Fraction = Field(default=0.8, description="share of the GPUs in use from which they are refused")

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        share = float(in_use(self.seen(telemetry)) > self.above)
        self.refuse(controls, dict.fromkeys(self.tiers, share))


def ramped(shed: float, saturated: bool, *, up: float, down: float, most: float) -> float:
    """How many tiers' worth is shed after one more tick, from 0 to `most`."""
    return round(min(most, shed + up) if saturated else max(0.0, shed - down), 9)


def shares(shed: float, tiers: int) -> list[float]:
    """What share of each tier is refused where so many tiers' worth is, the last tier first."""
    return [min(1.0, max(0.0, shed - after)) for after in reversed(range(tiers))]


class UtilisationShedding(OfAPool):
    """Refuses one tier after the other while the pool is saturated (Stripe's worker utilisation load shedder).

    The tiers are named in order of importance. At each control tick at which the share of busy GPUs is at least
    `saturated`, a share `ramp_up` more of the last tier is refused, of the one before it when the last is refused
    altogether, and so on; at each other tick `ramp_down` less, in reverse order. A tier that is not named is never
    refused. That a ramp must be gradual, or the service flaps, is Stripe's; the figures are not: at a tick of a minute
    the defaults refuse a tier within four minutes and have it back in ten.
    """

    kind: Literal["utilisation shedding"] = "utilisation shedding"
    tiers: list[str] = Field(min_length=1, description="tiers in order of importance: the last is refused first")
    saturated: AboveZero = Field(default=1.0, description="share of busy GPUs from which more is refused")
    ramp_up: AboveZero = Field(default=0.25, description="share of a tier refused in addition, a tick")
    ramp_down: AboveZero = Field(default=0.1, description="share of a tier let in again, a tick")
    _shed: float = PrivateAttr(default=0.0)

    @model_validator(mode="after")
    def each_once(self) -> Self:
        if len(set(self.tiers)) < len(self.tiers):
            raise ValueError("'tiers' must name each tier once")
        return self

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        pool, most = self.seen(telemetry), float(len(self.tiers))
        busy = pool.gpus == 0 or pool.busy / pool.gpus >= self.saturated
        self._shed = ramped(self._shed, busy, up=self.ramp_up, down=self.ramp_down, most=most)
        self.refuse(controls, dict(zip(self.tiers, shares(self._shed, len(self.tiers)), strict=True)))
