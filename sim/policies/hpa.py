"""Kubernetes' horizontal pod autoscaler, v2: metrics seen late and averaged, recommendations, windows and rates."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from sim.model.controls import PoolTelemetry
from sim.policies.base import ROUNDING, Advice, Delay, Duration, Gpus, OpenShare, SomeGpus, passed
from sim.policies.scaling import NEARLY, Scaler
from sim.policies.supply import Orders
from sim.schema import Strict
from sim.units import Count, Fraction, Whole

PerGpu = Annotated[Count, Field(gt=0)]


def within(ratio: float, tolerance: float) -> bool:
    """Whether a metric is so near its target that nothing changes."""
    return abs(ratio - 1) <= tolerance + NEARLY


def desired(current: int, metric: float, target: float, *, tolerance: float = 0.1, pending: int = 0) -> int:
    """For a mean over the GPUs in service: ceil(current metric / target); `current` within `tolerance` of the target.

    pending: GPUs of `current` that are on order. They count as idle when scaling up, so that nothing is ordered twice,
    and are left out when scaling down (kubernetes/kubernetes, podautoscaler/replica_calculator.go).
    """
    ready, ratio = current - pending, metric / target
    if pending and ratio > 1:
        ratio, ready = ratio * ready / current, current
        if ratio < 1:
            return current
    return current if within(ratio, tolerance) else math.ceil(ratio * ready - NEARLY)


def desired_for(current: int, total: float, each: float, *, tolerance: float = 0.1) -> int:
    """For a total that GPUs share (AverageValue): ceil(total / each); `current` within `tolerance` of the target."""
    if current and within(total / (each * current), tolerance):
        return current
    return math.ceil(total / each - NEARLY)


def desired_by_value(current: int, value: float, target: float, *, tolerance: float = 0.1, pending: int = 0) -> int:
    """For a figure of the service, such as a wait (Value): ceil(ratio times the GPUs in service), pending ones not.

    Without any GPU it is ceil(ratio), as in Kubernetes.
    """
    ratio = value / target
    if current and within(ratio, tolerance):
        return current
    return math.ceil(ratio * (current - pending if current else 1) - NEARLY)


class Rate(Strict):
    """The change that a period allows: a share of the fleet or a number of GPUs."""

    percent: Annotated[Count, Field(gt=0)] | None = Field(default=None, description="of the fleet at its beginning")
    gpus: SomeGpus | None = Field(default=None, description="or GPUs")
    period: Duration = Field(default=15.0, description="the time that it is for; it slides")

    @model_validator(mode="after")
    def has_one_amount(self) -> Self:
        if (self.percent is None) == (self.gpus is None):
            raise ValueError("expected one of 'percent' and 'gpus'")
        return self

    def limit(self, fleet: int, sign: int) -> int:
        """The furthest fleet from the one at the period's beginning; up is rounded up, down is cut."""
        if self.gpus is not None:
            return fleet + sign * self.gpus
        share = fleet * (1 + sign * (self.percent or 0.0) / 100)
        return math.ceil(share - NEARLY) if sign > 0 else math.floor(share + NEARLY)


class Direction(Strict):
    """How a fleet may grow, or shrink: Kubernetes' `behavior`."""

    stabilisation: Delay = Field(description="time whose recommendations all ask for the change")
    rates: list[Rate] = Field(min_length=1, description="what a period allows")
    select: Literal["max", "min", "disabled"] = Field(
        default="max", description="which of the rates counts: of the largest change, of the smallest, or no change"
    )


def growing() -> Direction:
    """Kubernetes' defaults: at once; twice the fleet, or four GPUs, in 15 s."""
    return Direction(stabilisation="0 s", rates=[Rate(percent=100), Rate(gpus=4)])


def shrinking() -> Direction:
    """Kubernetes' defaults: what all recommendations of five minutes ask for."""
    return Direction(stabilisation="5 min", rates=[Rate(percent=100)])


class TheirRate(Strict):
    """One entry of `policies` in Kubernetes' `behavior`."""

    type: Literal["Pods", "Percent"]
    value: Annotated[Whole, Field(gt=0)]
    period: Annotated[Whole, Field(ge=1, le=1800)] = Field(alias="periodSeconds")

    @property
    def rate(self) -> Rate:
        amount = {"gpus": self.value} if self.type == "Pods" else {"percent": self.value}
        return Rate(**amount, period=f"{self.period} s")


class TheirDirection(Strict):
    """One direction of Kubernetes' `behavior`; what it leaves out has Kubernetes' default."""

    window: Annotated[Whole, Field(ge=0, le=3600)] | None = Field(default=None, alias="stabilizationWindowSeconds")
    select: Literal["Max", "Min", "Disabled"] = Field(default="Max", alias="selectPolicy")
    policies: list[TheirRate] | None = Field(default=None, min_length=1)

    def over(self, default: Direction) -> Direction:
        """The direction in our words."""
        rates = default.rates if self.policies is None else [one.rate for one in self.policies]
        window = default.stabilisation if self.window is None else self.window
        return Direction(stabilisation=f"{window} s", rates=rates, select=self.select.lower())


class Behavior(Strict):
    """`behavior` as a manifest of Kubernetes (autoscaling/v2) has it."""

    up: TheirDirection = Field(default_factory=TheirDirection, alias="scaleUp")
    down: TheirDirection = Field(default_factory=TheirDirection, alias="scaleDown")


@dataclass
class History:
    """What the controller has recommended (raw), and the fleets that it found, each with its instant in seconds."""

    recommended: deque[tuple[float, int]] = field(default_factory=deque)
    fleets: deque[tuple[float, int]] = field(default_factory=deque)

    def of(self, now: float, window: float) -> list[int]:
        """Recommendations younger than a window; an age equal to it is outside."""
        return [gpus for at, gpus in self.recommended if now - at < window - ROUNDING]

    def before(self, now: float, period: float) -> int:
        """The fleet at the beginning of a period; a change as old as the period is outside, so it came before it.

        The fleet found at a look is what the look before has made.
        """
        found = [fleet for (made, _), (_, fleet) in pairwise(self.fleets) if now - made >= period - ROUNDING]
        return found[-1] if found else self.fleets[0][1]

    def next(self, now: float, current: int, wanted: int, up: Direction, down: Direction) -> int:
        """The fleet after one look: a recommendation is stabilised, then held to the rates.

        (kubernetes/kubernetes, podautoscaler/horizontal.go: stabilizeRecommendationWithBehaviors and
        convertDesiredReplicasWithBehaviorRate.)
        """
        if not self.recommended:
            self.recommended.append((now, current))
        self.fleets.append((now, current))
        low = min([wanted, *self.of(now, up.stabilisation)])
        high = max([wanted, *self.of(now, down.stabilisation)])
        self.recommended.append((now, wanted))
        result = min(max(current, low), high)
        self.forget(now, up, down)
        if result > current:
            return max(current, min(result, self.furthest(now, current, up, 1)))
        if result < current:
            return min(current, max(result, self.furthest(now, current, down, -1)))
        return current

    def furthest(self, now: float, current: int, direction: Direction, sign: int) -> int:
        """The fleet that the rates allow."""
        if direction.select == "disabled":
            return current
        limits = [rate.limit(self.before(now, rate.period), sign) for rate in direction.rates]
        return max(limits) if (sign > 0) == (direction.select == "max") else min(limits)

    def forget(self, now: float, up: Direction, down: Direction) -> None:
        """Drop what is older than every window and period, but for the fleet at their beginning."""
        longest = max(up.stabilisation, down.stabilisation, *(rate.period for rate in [*up.rates, *down.rates]))
        while now - self.recommended[0][0] > longest:
            self.recommended.popleft()
        while len(self.fleets) > 2 and now - self.fleets[1][0] > longest:
            self.fleets.popleft()


def seen(samples: Sequence[tuple[float, PoolTelemetry]], now: float, window: float, age: float) -> list[PoolTelemetry]:
    """The samples that a metric rests on: those of `window` seconds, `age` seconds ago, at least the last before.

    Where none is that old, the first counts.
    """
    old = [(at, pool) for at, pool in samples if at <= now - age + ROUNDING] or list(samples[:1])
    last = old[-1][0]
    return [pool for at, pool in old if last - at < window - ROUNDING or at == last]


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


class Autoscale(Scaler):
    """Kubernetes' horizontal pod autoscaler (v2), with its defaults; KEDA's, where it scales by requests.

    At every `sync` (or control tick, if longer) each target gives a recommendation, and the largest counts: for
    `utilisation` the mean over the GPUs in service (a pod metric, as DCGM's is), for `queued` and `inside` a total that
    GPUs share (AverageValue), for `expected_wait` a figure of the pool (Value). Nothing changes within `tolerance` of a
    target. Recommendations are stabilised and held to rates, in both directions: `scale_up` and `scale_down`. GPUs on
    order are part of the current fleet, but for `expected_wait`, which forgets them, as Value does in Kubernetes.
    (Kubernetes 1.30, HorizontalPodAutoscaler; KEDA 2.16.)

    What it sees is a mean over the last `window`, `age` old, of samples at the control ticks: clusters scrape GPUs
    every 15 to 30 s and query means over a minute or more (both times are assumed). With `window: 0 s` and `age: 0 s`
    it sees the instant, whose jumps keep more GPUs, because the largest recommendation of five minutes counts.

    Utilisation cannot exceed 100 %: at a target of 70 % no step is larger than 1 / 0.7, however many requests wait, and
    policies that shed load hide it. The number of waiting requests has no such limit; but nobody waits while all is
    well, so that with `queued` alone the fleet swings between too many GPUs and `least`. With `inside`, or utilisation
    as a second target, it does not, unless the metric is late.

    With `least: 0` the fleet may be empty, and `queued` or `inside` bring it back. With a `cool_down` that is done as
    by KEDA: one GPU as soon as more than `activation` requests are inside, none once there have been no more for
    the cool-down, and the autoscaler in between.
    """

    advice = Advice(
        "supply",
        protects="capacity, which follows the load",
        costs="GPUs, also after the surge, and minutes until they serve",
        fails="in surges faster than provisioning; with a metric that ends at 100 %; with shedding, which hides demand",
        example={"pool": "gpus", "most": 160, "utilisation": "70 %"},
    )

    kind: Literal["hpa"] = "hpa"
    least: Gpus = Field(default=1, description="fewest GPUs; 0 needs 'queued' or 'inside'")
    utilisation: OpenShare | None = Field(default=None, description="target: share of GPUs that are busy")
    queued: PerGpu | None = Field(default=None, description="target: waiting requests per GPU")
    inside: PerGpu | None = Field(default=None, description="target: requests waiting or being served, per GPU")
    expected_wait: Duration | None = Field(default=None, description="target: wait of a new request")
    whole_percent: bool = Field(default=False, description="utilisation is cut to whole percent, as that of CPUs is")
    tolerance: Annotated[Fraction, Field(lt=1)] = Field(default=0.1, description="deviation without consequence")
    sync: Duration = Field(default=15.0, description="time between two looks")
    window: Delay = Field(default=60.0, description="time that a metric is averaged over; assumed")
    age: Delay = Field(default=15.0, description="how old a metric is when it is looked at; assumed")
    scale_up: Direction = Field(default_factory=growing, description="how it may grow")
    scale_down: Direction = Field(default_factory=shrinking, description="how it may shrink")
    behavior: Behavior | None = Field(default=None, description="both, pasted from a Kubernetes manifest")
    activation: Count = Field(default=0.0, description="requests inside above which the pool is active; for cool_down")
    cool_down: Delay | None = Field(default=None, description="time without activity before the last GPU goes (KEDA)")
    _looked: float = PrivateAttr(default=-math.inf)
    _active: float | None = PrivateAttr(default=None)  # the last look at which the pool was active
    _history: History = PrivateAttr(default_factory=History)
    _samples: deque[tuple[float, PoolTelemetry]] = PrivateAttr(default_factory=deque)

    @model_validator(mode="after")
    def has_targets(self) -> Self:
        if all(target is None for target in (self.utilisation, self.queued, self.inside, self.expected_wait)):
            raise ValueError("a target is missing: one of 'utilisation', 'queued', 'inside', 'expected_wait'")
        if self.least == 0 and self.queued is None and self.inside is None:
            raise ValueError(
                "'least: 0' needs 'queued' or 'inside', since an empty fleet has no utilisation and no wait"
            )
        if self.behavior is not None and self.model_fields_set & {"scale_up", "scale_down"}:
            raise ValueError("'behavior' says what 'scale_up' and 'scale_down' say: give one of them")
        if self.cool_down is not None and self.least > 0:
            raise ValueError("'cool_down' is the time until a fleet is empty: it needs 'least: 0'")
        return self

    @property
    def directions(self) -> tuple[Direction, Direction]:
        """How it may grow, and how it may shrink."""
        if self.behavior is None:
            return self.scale_up, self.scale_down
        return self.behavior.up.over(growing()), self.behavior.down.over(shrinking())

    def wanted(self, pool: PoolTelemetry, orders: Orders, now: float, scale: float) -> int:
        current = orders.total
        self._samples.append((now, pool))
        while len(self._samples) > 1 and self._samples[1][0] <= now - self.age - self.window:
            self._samples.popleft()
        if not passed(now, self._looked, self.sync):
            return current
        self._looked = now
        samples = seen(list(self._samples), now, self.window, self.age)
        wanted = self.recommended(samples, orders, scale)
        if self.cool_down is None:
            return self._history.next(now, current, wanted, *self.directions)
        return self.or_none(pool.inside / scale > self.activation, now, current, wanted)

    def or_none(self, active: bool, now: float, current: int, wanted: int) -> int:
        """KEDA's part: from none to one GPU and back; in between the autoscaler, whose least is one."""
        if active or self._active is None:
            self._active = now
        if current == 0:
            return int(active)
        if not active and passed(now, self._active, self.cool_down or 0.0):
            return 0
        return self._history.next(now, current, max(wanted, 1), *self.directions)

    def recommended(self, samples: Sequence[PoolTelemetry], orders: Orders, scale: float) -> int:
        """The largest result of the formulas over all targets."""
        current, pending, results = orders.total, orders.total - orders.in_service, []
        if self.utilisation is not None and current:
            use = mean([pool.utilisation for pool in samples])
            use = math.floor(100 * use + NEARLY) / 100 if self.whole_percent else use
            results.append(desired(current, use, self.utilisation, tolerance=self.tolerance, pending=pending))
        for each, numbers in (
            (self.queued, [pool.queued for pool in samples]),
            (self.inside, [pool.inside for pool in samples]),
        ):
            if each is not None:
                results.append(desired_for(current, mean(numbers) / scale, each, tolerance=self.tolerance))
        if self.expected_wait is not None and current:
            waits = [min(pool.expected_wait, 1e6 * self.expected_wait) for pool in samples]
            results.append(
                desired_by_value(current, mean(waits), self.expected_wait, tolerance=self.tolerance, pending=pending)
            )
        return max(results, default=0)
