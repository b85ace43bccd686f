"""Scalers: a fleet with bounds and a delay, which the load sets, and the step scaling of AWS."""

import math
from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from sim.model.controls import Controls, PoolTelemetry, Telemetry
from sim.policies.base import Advice, Delay, Gpus, OfOnePool, PositiveShare, SomeGpus, passed
from sim.policies.supply import Orders, full_fleet, in_replicas, set_fleet
from sim.schema import Strict
from sim.units import Fraction

NEARLY = 1e-9  # rounding error of a number of GPUs, and of the tolerance


class Scaler(OfOnePool):
    """A scaler with bounds on its fleet, and a delay between the order of a GPU and its service.

    GPUs on order come into service at the first control tick after `provisioning` and `cold_start`. To shrink, orders
    are cancelled first; then GPUs leave at once, each after its batch. All numbers are of GPUs; where replicas have
    several, the fleet is rounded up to whole ones. `most` GPUs exist. When a scaler first wants
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

    not_descending = ("least", "most")

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        pool, now = self.seen(telemetry), telemetry.now
        if self._orders is None:
            self._orders = Orders(full_fleet(controls, self.pool))
        wanted = self.wanted(pool, self._orders, now, controls.scale)  # before arrivals: telemetry did not see them
        whole = in_replicas(controls, self.pool, self.bounded(wanted, now))
        self._orders.have(whole, now + self.provisioning + self.cold_start)
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
