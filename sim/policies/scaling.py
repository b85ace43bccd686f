"""Autoscaling as in Kubernetes, KEDA and AWS: a fleet that follows utilisation, requests or the expected wait."""

import math
from collections import deque
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from sim.model.controls import Controls, PoolTelemetry, Telemetry
from sim.policies.base import Advice, Delay, Duration, Gpus, OfOnePool, OpenShare, PositiveShare, SomeGpus
from sim.policies.supply import Orders, full_fleet, set_fleet
from sim.policies.window import passed
from sim.schema import Strict
from sim.units import Count, Fraction

FIRST_GPUS = 4  # that Kubernetes adds to a small fleet in one step, where doubling it would be less
NEARLY = 1e-9  # rounding error of a number of GPUs, and of the tolerance

PerGpu = Annotated[Count, Field(gt=0)]


def desired(current: int, metric: float, target: float, *, tolerance: float = 0.1, pending: int = 0) -> int:
    """Kubernetes' formula, ceil(current metric / target); `current` where the ratio is within `tolerance` of 1.

    metric: the mean over the GPUs in service. pending: GPUs of `current` that are on order. They count as idle when
    scaling up, so that nothing is ordered twice, and are left out when scaling down (kubernetes/kubernetes,
    podautoscaler/replica_calculator.go).
    """
    ready, ratio = current - pending, metric / target
    if pending and ratio > 1:
        ratio, ready = ratio * ready / current, current
        if ratio < 1:
            return current
    if abs(ratio - 1) <= tolerance + NEARLY:
        return current
    return math.ceil(ratio * ready - NEARLY)


def desired_for(current: int, total: float, each: float, *, tolerance: float = 0.1) -> int:
    """For a total that GPUs share, such as a queue: ceil(total / each); `current` where that is within `tolerance`."""
    if current and abs(total / (each * current) - 1) <= tolerance + NEARLY:
        return current
    return math.ceil(total / each - NEARLY)


def steepest(current: int) -> int:
    """The largest fleet after one step up: twice the fleet, or four GPUs more (Kubernetes' default)."""
    return max(2 * current, current + FIRST_GPUS)


class Scaler(OfOnePool):
    """A scaler with bounds on its fleet, and a delay between the order of a GPU and its service.

    GPUs on order come into service at the first control tick after `provisioning` and `cold_start`. To shrink, orders
    are cancelled first; then GPUs leave at once, each after its batch. `most` GPUs exist. When a scaler first wants
    more, `procured` further ones are bought, once and for good, and can be ordered after `lead_time`.

    A scaler begins with the fleet that earlier policies leave, and then sets the fleet itself: policies that take GPUs
    away (failures, moves) must come after it. When its step ends, the scenario's fleet is back at once. The pool's
    `pays` says whether GPUs on order, and its own that are switched off, are paid. The defaults of the two times are
    assumed: providers publish none, and users report three to eight minutes for a machine, its driver, the image and
    the weights.
    """

    least: SomeGpus = Field(default=1, description="fewest GPUs")
    most: SomeGpus = Field(description="GPUs that exist, of the whole service")
    provisioning: Delay = Field(default=120.0, description="from the order to a machine with its driver; assumed")
    cold_start: Delay = Field(default=240.0, description="to pull the image and the weights; assumed")
    procured: Gpus = Field(default=0, description="GPUs bought when it first wants more than exist")
    lead_time: Delay = Field(default=0.0, description="from buying them until they exist")
    _orders: Orders | None = PrivateAttr(default=None)
    _exist: float = PrivateAttr(default=math.inf)  # the instant from which the GPUs bought exist

    @property
    def on_order(self) -> dict[str, int]:
        """GPUs on order, of the whole service, by pool."""
        return {} if self._orders is None else {self.pool: self._orders.total - self._orders.in_service}

    @model_validator(mode="after")
    def least_exist(self) -> Self:
        if self.least > self.most:
            raise ValueError("'least' must not be more than 'most'")
        return self

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        pool, now = self.seen(telemetry), telemetry.now
        if self._orders is None:
            self._orders = Orders(full_fleet(controls, self.pool))
        wanted = self.wanted(pool, self._orders, now, controls.scale)  # before arrivals: telemetry did not see them
        self._orders.have(self.bounded(wanted, now), now + self.provisioning + self.cold_start)
        self._orders.arrive(now)
        set_fleet(controls, self.pool, self._orders.in_service)

    def bounded(self, wanted: int, now: float) -> int:
        """A fleet within the bounds; GPUs beyond them are bought, once."""
        if wanted > self.most and self.procured and self._exist == math.inf:
            self._exist = now + self.lead_time
        bought = self.procured if passed(now, self._exist, 0.0) else 0
        return max(self.least, min(wanted, self.most + bought))

    def wanted(self, pool: PoolTelemetry, orders: Orders, now: float, scale: float) -> int:
        """The fleet it wants, in service and on order, at full scale."""
        raise NotImplementedError


class Autoscale(Scaler):
    """Kubernetes' horizontal pod autoscaler, with its defaults; KEDA's, where it scales by requests.

    At every `sync` (or control tick, if longer), desired = ceil(current value / target), without a change within
    `tolerance` of the target; with several targets the largest result counts. In one step the fleet at most doubles, or
    grows by four. It shrinks to the largest result of the last `stabilisation`, which include the fleet at the start.
    GPUs on order are part of the current fleet; see `desired`. (Kubernetes 1.30, HorizontalPodAutoscaler; KEDA 2.16.)

    Utilisation is that of the instant, where Kubernetes takes a mean over 15 s to 60 s. It cannot exceed 100 %: at a
    target of 70 % no step is larger than 1 / 0.7, however many requests wait, and policies that shed load hide it from
    the scaler. The number of waiting requests has no such limit; but nobody waits while all is well, so that with
    `queued` alone the fleet swings between too many GPUs and `least`. With `inside`, or utilisation as a second target,
    it does not.

    The utilisation of a few GPUs jumps from tick to tick, and the largest result counts: in a test a slice of a hundred
    GPUs kept 4 % more than its part of the whole fleet, one of ten GPUs 23 % more.
    """

    advice = Advice(
        "supply",
        protects="capacity, which follows the load",
        costs="GPUs, also after the surge, and minutes until they serve",
        fails="in surges faster than provisioning; with a metric that ends at 100 %; with shedding, which hides demand",
        example={"pool": "gpus", "most": 160, "utilisation": "70 %"},
    )

    kind: Literal["hpa"] = "hpa"
    utilisation: OpenShare | None = Field(default=None, description="target: share of GPUs that are busy")
    queued: PerGpu | None = Field(default=None, description="target: waiting requests per GPU")
    inside: PerGpu | None = Field(default=None, description="target: requests waiting or being served, per GPU")
    tolerance: Annotated[Fraction, Field(lt=1)] = Field(default=0.1, description="deviation without consequence")
    sync: Duration = Field(default=15.0, description="time between two looks")
    stabilisation: Delay = Field(default=300.0, description="time whose largest result limits shrinking")
    _looked: float = PrivateAttr(default=-math.inf)
    _results: deque[tuple[float, int]] = PrivateAttr(default_factory=deque)

    @model_validator(mode="after")
    def has_a_target(self) -> Self:
        if self.utilisation is None and self.queued is None and self.inside is None:
            raise ValueError("a target is missing: one of 'utilisation', 'queued', 'inside'")
        return self

    def wanted(self, pool: PoolTelemetry, orders: Orders, now: float, scale: float) -> int:
        current = orders.total
        if not passed(now, self._looked, self.sync):
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
        """The largest result of the formula over all targets."""
        current, pending, results = orders.total, orders.total - orders.in_service, []
        if self.utilisation is not None:
            use = pool.utilisation
            results.append(desired(current, use, self.utilisation, tolerance=self.tolerance, pending=pending))
        for number, target in ((pool.queued, self.queued), (pool.inside, self.inside)):
            if target is not None:
                results.append(desired_for(current, number / scale, target, tolerance=self.tolerance))
        return max(results)


class Change(Strict):
    """The change of a fleet beyond a bound."""

    gpus: SomeGpus | None = Field(default=None, description="a number of GPUs")
    share: PositiveShare | None = Field(
        default=None, description="or a share of the fleet, rounded down, at least one GPU"
    )
    above: float | None = None
    below: float | None = None

    @model_validator(mode="after")
    def has_a_bound_and_an_amount(self) -> Self:
        if (self.above is None) == (self.below is None) or (self.gpus is None) == (self.share is None):
            raise ValueError("expected one of 'above' and 'below', and one of 'gpus' and 'share'")
        return self

    def amount(self, current: int) -> int:
        return self.gpus if self.gpus is not None else max(1, math.floor((self.share or 0.0) * current + NEARLY))


class OfWait(Change):
    """A change by the expected wait."""

    above: Delay | None = Field(default=None, description="wait above which GPUs are added")
    below: Delay | None = Field(default=None, description="wait below which GPUs are removed")


class OfUse(Change):
    """A change by utilisation."""

    above: Fraction | None = Field(default=None, description="share of busy GPUs above which GPUs are added")
    below: Fraction | None = Field(default=None, description="share of busy GPUs below which GPUs are removed")


def stepped(current: int, figure: float, changes: Sequence[Change]) -> int:
    """The fleet after the change of the furthest bound that is passed (AWS EC2 Auto Scaling, step scaling)."""
    over_ = [c for c in changes if c.above is not None and figure > c.above]
    under = [c for c in changes if c.below is not None and figure < c.below]
    if over_:
        return current + max(over_, key=lambda c: c.above or 0.0).amount(current)
    if under:
        return max(0, current - min(under, key=lambda c: c.below or 0.0).amount(current))
    return current


class StepScaling(Scaler):
    """Adds or removes GPUs by bounds on utilisation or on the expected wait, then waits for a cool-down.

    Of the bounds that are passed the furthest counts. After a change there is none for `cool_down` (300 s, as in AWS);
    with a cool-down shorter than the delay of a GPU the same need is ordered twice. Shares are rounded as in AWS.
    """

    advice = Advice(
        "supply",
        protects="capacity, in steps that a planner has chosen",
        costs="GPUs, also after the surge, and minutes until they serve",
        fails="with steps too small for the surge",
        example={
            "pool": "gpus",
            "most": 160,
            "expected_wait": [{"above": "10 s", "gpus": 32}, {"below": "2 s", "gpus": 16}],
        },
    )

    kind: Literal["step scaling"] = "step scaling"
    expected_wait: list[OfWait] | None = Field(default=None, min_length=1, description="changes by the expected wait")
    utilisation: list[OfUse] | None = Field(default=None, min_length=1, description="changes by utilisation")
    cool_down: Delay = Field(default=300.0, description="shortest time between two changes")
    _changed: float = PrivateAttr(default=-math.inf)

    @model_validator(mode="after")
    def watches_one_figure(self) -> Self:
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
        if not passed(now, self._changed, self.cool_down):
            return current
        figure = pool.expected_wait if self.expected_wait is not None else pool.utilisation
        wanted = self.bounded(stepped(current, figure, self.changes), now)
        if wanted != current:
            self._changed = now
        return wanted
