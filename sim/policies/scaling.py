"""Scalers: more and fewer GPUs by what the gateway sees, as Kubernetes' horizontal autoscaler, KEDA and AWS have it.

Each has its rule beside it, a function of numbers alone.
"""

import math
from collections import deque
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from sim.model.controls import Controls, PoolTelemetry, Telemetry
from sim.policies.supply import Finite, Gpus, OfAFleet, Ones, Orders, full_fleet, set_fleet
from sim.policies.trigger import over
from sim.schema import Strict
from sim.units import Count, Fraction, Seconds

FIRST_GPUS = 4  # that Kubernetes adds to a small fleet in one step, where doubling it would be less
ROUNDING = 1e-9  # a GPU, or a share of the tolerance, that is one but for rounding

AboveZero = Annotated[Fraction, Field(gt=0, lt=1)]
PerGpu = Annotated[Count, Field(gt=0)]
Time = Annotated[Seconds, Field(gt=0, allow_inf_nan=False)]


def desired(current: int, metric: float, target: float, *, tolerance: float = 0.1, pending: int = 0) -> int:
    """Kubernetes' formula, ceil(current metric / target); `current` where the ratio is within `tolerance` of 1.

    metric: the mean over the GPUs in service. pending: GPUs of `current` that are on their way. They count as idle
    where it would scale up, so that what is ordered is not ordered again, and are left out where it would scale down
    (kubernetes/kubernetes, podautoscaler/replica_calculator.go).
    """
    ready, ratio = current - pending, metric / target
    if pending and ratio > 1:
        ratio, ready = ratio * ready / current, current
        if ratio < 1:
            return current
    if abs(ratio - 1) <= tolerance + ROUNDING:
        return current
    return math.ceil(ratio * ready - ROUNDING)


def desired_for(current: int, total: float, each: float, *, tolerance: float = 0.1) -> int:
    """For a total that GPUs share, as a queue: ceil(total / each); `current` where it is near enough already."""
    if current and abs(total / (each * current) - 1) <= tolerance + ROUNDING:
        return current
    return math.ceil(total / each - ROUNDING)


def steepest(current: int) -> int:
    """The largest fleet that one step makes of this one: twice as many, or four more (Kubernetes' default)."""
    return max(2 * current, current + FIRST_GPUS)


def utilisation(pool: PoolTelemetry) -> float:
    """Share of the GPUs in service that are busy, at most 1."""
    if pool.gpus == 0:
        return float(pool.inside > 0)
    return min(1.0, pool.busy / pool.gpus)


class Scaler(OfAFleet):
    """What scalers have in common: bounds, and the time that a GPU takes from its order until it serves.

    What is ordered comes into service at the first control tick after `provisioning` and `cold_start`; what is given
    back leaves at once, after its batch, orders on their way first. `most` GPUs exist. Where a scaler first wants more,
    `procured` further ones are bought, and can be ordered as the others once `lead_time` is over; they are kept.

    It begins with the fleet that the policies before it leave, and then sets the fleet itself: what takes GPUs away
    (failures, moves) stands after it. When its step ends the scenario's fleet is back at once. Nothing is paid for a
    GPU that is on its way. The defaults of the two times are assumed: providers publish none, and users report three to
    eight minutes for a machine, its driver, the image and the weights.
    """

    least: Ones = Field(default=1, description="GPUs at least")
    most: Ones = Field(description="GPUs that exist, of the whole service")
    provisioning: Finite = Field(default=120.0, description="from the order to a machine with its driver; assumed")
    cold_start: Finite = Field(default=240.0, description="to pull the image and the weights; assumed")
    procured: Gpus = Field(default=0, description="GPUs that are bought when it first wants more than exist")
    lead_time: Finite = Field(default=0.0, description="from buying them until they exist")
    _orders: Orders | None = PrivateAttr(default=None)
    _exist: float = PrivateAttr(default=math.inf)  # the instant from which those bought do

    @model_validator(mode="after")
    def least_exist(self) -> Self:
        if self.least > self.most:
            raise ValueError("'least' must not be more than 'most'")
        return self

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        pool, now = self.seen(telemetry), telemetry.now
        if self._orders is None:
            self._orders = Orders(full_fleet(controls, self.pool))
        wanted = self.wanted(pool, self._orders, now, controls.scale)  # what arrives now was not there when it was seen
        self._orders.have(self.bounded(wanted, now), now + self.provisioning + self.cold_start)
        self._orders.arrive(now)
        set_fleet(controls, self.pool, self._orders.in_service)

    def bounded(self, wanted: int, now: float) -> int:
        """Within the bounds; what is beyond them is bought, once."""
        if wanted > self.most and self.procured and self._exist == math.inf:
            self._exist = now + self.lead_time
        bought = self.procured if over(now, self._exist, 0.0) else 0
        return max(self.least, min(wanted, self.most + bought))

    def wanted(self, pool: PoolTelemetry, orders: Orders, now: float, scale: float) -> int:
        """GPUs that it would have, in service and on their way, at full scale."""
        raise NotImplementedError


class Autoscale(Scaler):
    """Kubernetes' horizontal pod autoscaler, with its defaults; KEDA's, where it scales by requests.

    Every `sync` (or control tick, if longer): desired = ceil(current value / target), nothing within `tolerance` of
    the target; of several targets the largest result. In one step the fleet at most doubles, or grows by four. It
    shrinks to the largest result of the last `stabilisation`, the fleet at the beginning among them. GPUs on their way
    are part of the current fleet; see `desired`. (Kubernetes 1.30, HorizontalPodAutoscaler; KEDA 2.16.)

    utilisation is that of the instant, where Kubernetes has a mean of some 15 s to 60 s. It ends at 100 %: at a target
    of 70 % no step is larger than 1 / 0.7, however many wait, and what sheds load hides it from the scaler. Requests
    waiting know no such end; but none wait while all is well, so that with `queued` alone the fleet swings between too
    many and `least`. With `inside`, or utilisation as a second target, it does not.

    The use of few GPUs jumps from tick to tick, and the largest result counts: in a test a slice of a hundred GPUs kept
    4 % more than its part of the whole fleet, one of ten 23 %.
    """

    kind: Literal["hpa"] = "hpa"
    utilisation: AboveZero | None = Field(default=None, description="target: share of GPUs that are busy")
    queued: PerGpu | None = Field(default=None, description="target: requests waiting a GPU")
    inside: PerGpu | None = Field(default=None, description="target: requests waiting or being served a GPU")
    tolerance: Annotated[Fraction, Field(lt=1)] = Field(default=0.1, description="deviation that is let be")
    sync: Time = Field(default=15.0, description="time between two looks")
    stabilisation: Finite = Field(default=300.0, description="time over which the largest result counts to shrink")
    _looked: float = PrivateAttr(default=-math.inf)
    _results: deque[tuple[float, int]] = PrivateAttr(default_factory=deque)

    @model_validator(mode="after")
    def has_a_target(self) -> Self:
        if self.utilisation is None and self.queued is None and self.inside is None:
            raise ValueError("a target is missing: one of 'utilisation', 'queued', 'inside'")
        return self

    def wanted(self, pool: PoolTelemetry, orders: Orders, now: float, scale: float) -> int:
        current = orders.total
        if not over(now, self._looked, self.sync):
            return current
        if not self._results:
            self._results.append((now, current))
        self._looked, result = now, self.result(pool, orders, scale)
        self._results.append((now, result))
        while self._results[0][0] <= now - self.stabilisation and len(self._results) > 1:
            self._results.popleft()
        if result < current:
            return min(current, max(gpus for _, gpus in self._results))
        return min(result, steepest(current))

    def result(self, pool: PoolTelemetry, orders: Orders, scale: float) -> int:
        """What the formula says, of several targets the largest."""
        current, pending, results = orders.total, orders.total - orders.in_service, []
        if self.utilisation is not None:
            use = utilisation(pool)
            results.append(desired(current, use, self.utilisation, tolerance=self.tolerance, pending=pending))
        for number, target in ((pool.queued, self.queued), (pool.inside, self.inside)):
            if target is not None:
                results.append(desired_for(current, number / scale, target, tolerance=self.tolerance))
        return max(results)


class Change(Strict):
    """By how much a fleet changes beyond a bound."""

    gpus: Ones | None = Field(default=None, description="so many GPUs")
    share: Annotated[Fraction, Field(gt=0)] | None = Field(
        default=None, description="or so large a share of the fleet, rounded down, one GPU at least"
    )
    above: float | None = None
    below: float | None = None

    @model_validator(mode="after")
    def says_when_and_by_how_much(self) -> Self:
        if (self.above is None) == (self.below is None) or (self.gpus is None) == (self.share is None):
            raise ValueError("expected one of 'above' and 'below', and one of 'gpus' and 'share'")
        return self

    def amount(self, current: int) -> int:
        return self.gpus if self.gpus is not None else max(1, math.floor((self.share or 0.0) * current + ROUNDING))


class OfWait(Change):
    """A change by the expected wait."""

    above: Finite | None = Field(default=None, description="wait above which GPUs are added")
    below: Finite | None = Field(default=None, description="wait below which GPUs are taken away")


class OfUse(Change):
    """A change by utilisation."""

    above: Fraction | None = Field(default=None, description="share of busy GPUs above which GPUs are added")
    below: Fraction | None = Field(default=None, description="share of busy GPUs below which GPUs are taken away")


def stepped(current: int, figure: float, changes: Sequence[Change]) -> int:
    """The fleet that the furthest bound that is passed makes of this one (AWS EC2 Auto Scaling, step scaling)."""
    over_ = [c for c in changes if c.above is not None and figure > c.above]
    under = [c for c in changes if c.below is not None and figure < c.below]
    if over_:
        return current + max(over_, key=lambda c: c.above or 0.0).amount(current)
    if under:
        return max(0, current - min(under, key=lambda c: c.below or 0.0).amount(current))
    return current


class StepScaling(Scaler):
    """Adds or takes away GPUs by bounds on utilisation or on the expected wait, then waits for a cool-down.

    Of the bounds that are passed the furthest counts. After a change there is none for `cool_down` (300 s as AWS has
    it); one shorter than the time a GPU takes to come orders for the same need twice. AWS rounds a share as here.
    """

    kind: Literal["step scaling"] = "step scaling"
    expected_wait: list[OfWait] | None = Field(default=None, min_length=1, description="changes by the expected wait")
    utilisation: list[OfUse] | None = Field(default=None, min_length=1, description="changes by utilisation")
    cool_down: Finite = Field(default=300.0, description="time after a change without another")
    _changed: float = PrivateAttr(default=-math.inf)

    @model_validator(mode="after")
    def looks_at_one_figure(self) -> Self:
        if (self.expected_wait is None) == (self.utilisation is None):
            raise ValueError("expected one of 'expected_wait' and 'utilisation'")
        changes: Sequence[Change] = self.changes
        highest = max((c.below for c in changes if c.below is not None), default=-math.inf)
        if not highest <= min((c.above for c in changes if c.above is not None), default=math.inf):
            raise ValueError("every 'below' must be at most every 'above'")
        return self

    @property
    def changes(self) -> Sequence[Change]:
        return self.expected_wait or self.utilisation or []

    def wanted(self, pool: PoolTelemetry, orders: Orders, now: float, scale: float) -> int:
        current = orders.total
        if not over(now, self._changed, self.cool_down):
            return current
        figure = pool.expected_wait if self.expected_wait is not None else utilisation(pool)
        wanted = self.bounded(stepped(current, figure, self.changes), now)
        if wanted != current:
            self._changed = now
        return wanted
