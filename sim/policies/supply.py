"""The number of GPUs in a pool: capacity by schedule, GPUs moved between pools, and GPUs on order."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from sim.model.controls import Controls, Telemetry, indices
from sim.model.knobs import LOST
from sim.policies.base import MOVING, ROUNDING, Advice, Delay, Gpus, NamedPolicy, OfOnePool, SomeGpus, passed


@dataclass
class Orders:
    """The GPUs of a pool, at full scale: in service, and on order with the instant (seconds) at which they arrive."""

    in_service: int
    coming: list[tuple[float, int]] = field(default_factory=list)

    @property
    def total(self) -> int:
        """GPUs in service and on order."""
        return self.in_service + sum(gpus for _, gpus in self.coming)

    def arrive(self, now: float) -> None:
        """Take into service the GPUs that have arrived by now."""
        self.in_service += sum(gpus for at, gpus in self.coming if at <= now + ROUNDING)
        self.coming = [(at, gpus) for at, gpus in self.coming if at > now + ROUNDING]

    def have(self, gpus: int, at: float) -> None:
        """Order the GPUs that are missing, for the instant `at`; or cancel the latest orders, then give GPUs back."""
        if gpus > self.total:
            self.coming.append((at, gpus - self.total))
        while self.coming and gpus < self.total:
            when, last = self.coming.pop()
            kept = min(last, max(0, gpus - self.total))
            if kept:
                self.coming.append((when, kept))
                break
        self.in_service = min(self.in_service, gpus)


def full_fleet(controls: Controls, pool: str) -> int:
    """GPUs of a pool at full scale, as the knobs are now."""
    return round(controls.fleet(pool) / controls.scale)


def per_replica(controls: Controls, pool: str) -> int:
    return controls.per_replica[controls.pool_names.index(pool)]


def in_replicas(controls: Controls, pool: str, gpus: int) -> int:
    """The GPUs of the replicas that this many are part of, at least."""
    each = per_replica(controls, pool)
    return -(-gpus // each) * each


def set_fleet(controls: Controls, pool: str, gpus: int) -> None:
    """Set the GPUs in service, counted at full scale; the slice has at least one replica unless that is 0."""
    controls.set_pool([pool], fleet=max(gpus, per_replica(controls, pool) / controls.scale) if gpus > 0 else 0)


def lose_work(controls: Controls, pool: str, gpus: int) -> None:
    """Count this many GPUs, at full scale, more as lost with what they run, since the step began."""
    row = controls.pool_names.index(pool)
    controls.set_pool([pool], lost=round(controls.pools[row, LOST] / controls.scale) + gpus)


class ScheduledCapacity(OfOnePool):
    """Sets the GPUs in service from an instant known in advance: the step's `from`, plus `after` for provisioning.

    A schedule is several steps, each with its dates. Further GPUs come into service at the first control tick at which
    the step has been in force for `after`; until then the pool is as it is without this policy. A smaller fleet is
    set at once. When the step ends, the fleet is at once what it is without the policy.
    """

    advice = Advice(
        "supply",
        protects="a launch whose hour is known",
        costs="GPUs that idle if nobody comes",
        fails="when everybody comes an hour earlier",
        example={"pool": "gpus", "gpus": 128},
    )

    kind: Literal["scheduled capacity"] = "scheduled capacity"
    gpus: Gpus = Field(description="GPUs in service, of the whole service")
    after: Delay = Field(default=0.0, description="time from the step's beginning until further GPUs are in service")
    _since: float | None = PrivateAttr(default=None)
    _missing: int = PrivateAttr(default=0)

    @property
    def on_order(self) -> dict[str, int]:
        """GPUs on order, of the whole service, by pool."""
        return {self.pool: self._missing}

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.seen(telemetry)
        if self._since is None:
            self._since = telemetry.now
        self._missing = max(self.gpus - full_fleet(controls, self.pool), 0)
        if not self._missing or passed(telemetry.now, self._since, self.after):
            self._missing = 0
            set_fleet(controls, self.pool, self.gpus)


class MoveGpus(NamedPolicy):
    """Moves GPUs from one pool to another: from research to the product, from video to images.

    They leave `from` at once, each after its batch, and serve in `to` after `moving`; when the step ends they leave
    `to` at once and are back in `from` after `moving`. There are never more GPUs than before, and fewer during a move,
    provided that `moving` is at least as long as a batch, which a GPU that leaves still finishes. A GPU arrives without
    a model: its first batch takes the pool's `model_load` longer, so `moving` need not include it.

    If `from` has fewer GPUs, all of them are moved. A slice moves its part, at least one GPU. Between pools of several
    kinds, GPUs of the kind that both take last are moved, as many as `from` has of it.
    """

    advice = Advice(
        "supply",
        protects="one pool with the GPUs of another",
        costs="the other pool",
        fails="with models that take minutes to load; with two surges at once",
        example={"from": "research", "to": "gpus", "gpus": 32, "moving": "2 min"},
    )
    takes: ClassVar[str] = MOVING
    kind: Literal["move gpus"] = "move gpus"
    from_: str = Field(alias="from", description="pool that they leave")
    to: str = Field(description="pool that they serve in")
    gpus: SomeGpus = Field(description="GPUs that are moved, of the whole service")
    moving: Delay = Field(default=0.0, description="time from leaving a pool until they serve in the other")
    _since: float | None = PrivateAttr(default=None)  # when they left `from`, or, going back, `to`
    _back: bool = PrivateAttr(default=False)

    @model_validator(mode="after")
    def moves_somewhere(self) -> Self:
        if self.from_ == self.to:
            raise ValueError("'from' and 'to' must be two pools")
        return self

    @property
    def pools(self) -> list[str]:
        """The pools that must exist."""
        return [self.from_, self.to]

    @property
    def unwinding(self) -> bool:
        """Whether it still has something to do once its step has ended."""
        return self._since is not None

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        if self._since is None:
            self._since = telemetry.now
        self.move(controls, arrived=passed(telemetry.now, self._since, self.moving))

    def wind_down(self, telemetry: Telemetry, controls: Controls) -> None:
        """Move the GPUs back, after the step's end."""
        if not self._back or self._since is None:
            self._since, self._back = telemetry.now, True
        if passed(telemetry.now, self._since, self.moving):
            self._since = None
        else:
            self.move(controls, arrived=False)

    def move(self, controls: Controls, arrived: bool) -> None:
        """Set both fleets, in GPUs of the slice: rounding the two separately could create or lose a GPU."""
        indices("pool", controls.pool_names, self.pools)
        had, scale = controls.fleet(self.from_), controls.scale
        free = max(had - round(controls.staying.get(self.from_, 0) * scale), 0)
        moved = min(free, max(1, round(self.gpus * scale)))
        controls.set_pool([self.from_], fleet=(had - moved) / scale)
        if arrived:
            controls.set_pool([self.to], fleet=(controls.fleet(self.to) + moved) / scale)
