"""Refusing requests so that the rest is served: by the queue, the wait, failures, at random, or by tier."""

import math
from typing import Annotated, Literal

from pydantic import Field, PrivateAttr

from sim.model.controls import Controls, PoolTelemetry, Telemetry
from sim.policies.base import Advice, Bound, Duration, OfOnePool, PositiveShare, Ranking, Recent, Targeted, refusing
from sim.units import Fraction, Plain, Rate, Seconds, Whole

Score = Annotated[Whole, Field(ge=1, le=100)]


class QueueBound(Targeted):
    """Refuses requests while `requests` or more wait in the pool (counted at full scale)."""

    steady = True
    advice = Advice(
        "shedding",
        protects="patience: nobody waits longer than bound / capacity",
        costs="refusals during a burst",
        fails="above capacity x (patience - service time), when users have left before they are served",
        example={"requests": 500},
        keeps_goodput=True,
    )

    kind: Literal["queue bound"] = "queue bound"
    requests: Bound

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.set(controls, queue=self.requests)


class WaitBound(Targeted):
    """Refuses a request whose expected wait, by the work that is queued before it, exceeds `longest`."""

    steady = True
    advice = Advice(
        "shedding",
        protects="patience, in seconds",
        costs="refusals during a burst",
        fails="where the queued work is misjudged",
        example={"longest": "30 s"},
        keeps_goodput=True,
    )

    kind: Literal["wait bound"] = "wait bound"
    longest: Seconds

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.set(controls, wait=self.longest)


class Shed(Targeted):
    """Refuses a share of requests at random."""

    steady = True
    advice = Advice(
        "shedding",
        protects="the service, from retries too if refused users are asked not to try again",
        costs="a share of all requests, whether necessary or not",
        fails="without 'final', when refused users try again at once; with a share that is too small",
        example={"share": "60 %", "final": True},
    )

    kind: Literal["shed"] = "shed"
    share: Fraction
    final: bool = Field(default=False, description="whether refused users are asked not to try again")

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.set(controls, shed=self.share, final=float(self.final))


def early(wait: float, low: float, high: float, most: float) -> float:
    """The share refused at a wait: 0 up to `low`, growing evenly to `most` at `high`, everything from `high` on."""
    return 1.0 if wait >= high else most * max(0.0, wait - low) / (high - low)


class RandomEarly(Targeted):
    """Refuses a share at random that grows with the wait, so that the queue never fills at once.

    Random early detection (Floyd and Jacobson 1993): nobody is refused while the average is under `low`, a share that
    grows evenly to `most` between `low` and `high`, and everybody above. The average is a moving one over control
    ticks, with `weight` for the newest; it is of the pool's expected wait, where the original uses the queue's length.
    Several ticks should pass while the queue grows from `low` to `high`; otherwise the policy flaps between refusing
    all and none.
    """

    advice = Advice(
        "shedding",
        protects="the queue before it is long: a few requests are refused at random, and more the longer it is",
        costs="some requests that would have been served",
        fails="when the queue fills within a tick: at ten times the load it swings between everybody and nobody",
        example={"pool": "gpus", "low": "5 s", "high": "40 s"},
    )

    kind: Literal["random early"] = "random early"
    pool: str
    low: Seconds = Field(description="expected wait from which some are refused")
    high: Duration = Field(description="expected wait from which all are refused")
    most: PositiveShare = Field(default=0.5, description="share refused just below `high`")
    weight: PositiveShare = Field(default=1.0, description="weight of the newest tick in the average; 1: no average")
    final: bool = Field(default=False, description="whether refused users are asked not to try again")
    _average: float = PrivateAttr(default=0.0)

    ascending = ("low", "high")

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self._average += self.weight * (telemetry.pool(self.pool).expected_wait - self._average)
        share = early(self._average, self.low, self.high, self.most)
        self.set(controls, **refusing(share, self.final))


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

    As in Envoy, a request counts once it has ended, and only if it was let in. Over the last `window` a share
    max(0, ended - succeeded / threshold) / (ended + 1), to the power 1 / `aggression`, is refused; never more than
    `max_rejection`, and nothing while fewer than `rps_threshold` requests per second ended (at full scale). The
    defaults are Envoy's: 30 s, 95 %, 1, 80 %, 0. A success is an image for a user who is still there, in time or not; a
    failure is a user who left first. Requests that a queue drops, or that other policies refuse, are not seen.

    Counts are of the whole service; `tiers` and `features` only say which requests are refused. At a lasting demand R
    for a capacity C, a share 1 - sqrt(C / (threshold R)) is refused: more than C is still let in, and above about 26 C,
    where the limit of 80 % is reached, a fifth of all. The policy learns at control ticks, several of which should fit
    into a window; ten or more requests should end in a window.
    """

    advice = Advice(
        "shedding",
        protects="a failing service",
        costs="a share of all requests",
        fails="above five times capacity (it refuses at most 80 %); behind a queue bound, which hides failures",
    )

    kind: Literal["admission control"] = "admission control"
    window: Duration = 30.0
    threshold: PositiveShare = Field(default=0.95, description="share of successes that is good enough")
    aggression: Annotated[Plain, Field(ge=1, le=100)] = 1.0
    rps_threshold: Rate = Field(default=0.0, description="rate of ended requests below which nothing is refused")
    max_rejection: Fraction = 0.8
    final: bool = Field(default=False, description="whether refused users are asked not to try again")
    _seen: Recent = PrivateAttr(default_factory=Recent)  # requests that ended, and that succeeded
    _inside: float | None = PrivateAttr(default=None)

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.look(telemetry)
        ended, succeeded = self._seen.sums()
        share = 0.0
        if ended >= self.rps_threshold * controls.scale * self.window:
            share = rejection(
                ended, succeeded, threshold=self.threshold, aggression=self.aggression, most=self.max_rejection
            )
        self.set(controls, **refusing(share, self.final))

    def look(self, telemetry: Telemetry) -> None:
        """Count the requests that have ended since the tick before: those let in, less the growth of those inside."""
        inside = float(sum(pool.inside for pool in telemetry.pools.values()))
        if self._inside is not None:
            let_in = float(telemetry.arrivals.sum() - telemetry.refused.sum())
            ended = let_in - (inside - self._inside)
            self._seen.add(telemetry.now, ended, float(telemetry.served.sum()))
        self._inside = inside
        self._seen.forget(telemetry.now - self.window)


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
