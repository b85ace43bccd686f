"""How many GPUs a pool has: capacity by schedule, GPUs moved from one pool to another, and orders on their way."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from sim.errors import BadInput
from sim.model.controls import MOST_GPUS, Controls, PoolTelemetry, Telemetry
from sim.policies.trigger import ROUNDING, over
from sim.schema import Strict
from sim.units import Seconds, Whole

Finite = Annotated[Seconds, Field(allow_inf_nan=False)]
Gpus = Annotated[Whole, Field(ge=0, le=MOST_GPUS)]
Ones = Annotated[Whole, Field(ge=1, le=MOST_GPUS)]


@dataclass
class Orders:
    """The GPUs of a pool, at full scale: in service, and ordered, with the seconds at which each order arrives."""

    in_service: int
    coming: list[tuple[float, int]] = field(default_factory=list)

    @property
    def total(self) -> int:
        """GPUs in service and on their way."""
        return self.in_service + sum(gpus for _, gpus in self.coming)

    def arrive(self, now: float) -> None:
        """Take into service what has arrived by now."""
        self.in_service += sum(gpus for at, gpus in self.coming if at <= now + ROUNDING)
        self.coming = [(at, gpus) for at, gpus in self.coming if at > now + ROUNDING]

    def have(self, gpus: int, at: float) -> None:
        """Order what is missing to so many, for the instant `at`; or cancel the latest orders, then give GPUs back."""
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


def set_fleet(controls: Controls, pool: str, gpus: int) -> None:
    """Have so many GPUs in service, counted at full scale; where it is any, the slice has one at least."""
    controls.set_pool([pool], fleet=max(gpus, 1 / controls.scale) if gpus > 0 else 0)


class OfAFleet(Strict):
    """A policy for the fleet of one pool. It looks at every control tick."""

    steady: ClassVar[bool] = False

    pool: str = Field(description="pool whose GPUs it sets")

    def seen(self, telemetry: Telemetry) -> PoolTelemetry:
        if self.pool not in telemetry.pools:
            known = ", ".join(telemetry.pools)
            raise BadInput("the scenario has no such pool", key="pool", value=self.pool, expected=known)
        return telemetry.pools[self.pool]


class ScheduledCapacity(OfAFleet):
    """Has so many GPUs in service from an instant known in advance: the step's `from`, and `after` for provisioning.

    A schedule is several steps, each with its dates. More GPUs come into service at the first control tick at which
    the step has been in force for `after`; until then the pool is as it is without this policy. Fewer are there at
    once. When the step ends the fleet is at once what it is without it.
    """

    kind: Literal["scheduled capacity"] = "scheduled capacity"
    gpus: Gpus = Field(description="GPUs in service, of the whole service")
    after: Finite = Field(default=0.0, description="time from the step's beginning until further GPUs are in service")
    _since: float | None = PrivateAttr(default=None)

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.seen(telemetry)
        if self._since is None:
            self._since = telemetry.now
        if self.gpus <= full_fleet(controls, self.pool) or over(telemetry.now, self._since, self.after):
            set_fleet(controls, self.pool, self.gpus)


class MoveGpus(Strict):
    """Moves GPUs from one pool to another: from research to the product, from video to images.

    They leave `from` at once, each after its batch, and serve in `to` after `moving`; when the step ends they leave
    `to` at once and are back in `from` after `moving`. So there are never more GPUs than before, and fewer on the way;
    for that `moving` must be no less than a batch, which a GPU that leaves still finishes. A GPU arrives without a
    model: its first batch takes the pool's `model_load` longer, which `moving` need not hold as well.

    Where `from` has fewer, those it has are moved. In a slice it is the slice's part, one GPU at least.
    """

    steady: ClassVar[bool] = False
    kind: Literal["move gpus"] = "move gpus"
    from_: str = Field(alias="from", description="pool that they leave")
    to: str = Field(description="pool that they serve in")
    gpus: Ones = Field(description="GPUs that are moved, of the whole service")
    moving: Finite = Field(default=0.0, description="time from leaving a pool until they serve in the other")
    _since: float | None = PrivateAttr(default=None)  # when they left `from`, or, going back, `to`
    _back: bool = PrivateAttr(default=False)

    @model_validator(mode="after")
    def moves_somewhere(self) -> Self:
        if self.from_ == self.to:
            raise ValueError("'from' and 'to' must be two pools")
        return self

    @property
    def pools(self) -> list[str]:
        """The pools that must be there."""
        return [self.from_, self.to]

    @property
    def unwinding(self) -> bool:
        """Whether it still has something to do once its step has ended."""
        return self._since is not None

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        if self._since is None:
            self._since = telemetry.now
        self.move(controls, arrived=over(telemetry.now, self._since, self.moving))

    def wind_down(self, telemetry: Telemetry, controls: Controls) -> None:
        """The way back, after the step's end."""
        if not self._back or self._since is None:
            self._since, self._back = telemetry.now, True
        if over(telemetry.now, self._since, self.moving):
            self._since = None
        else:
            self.move(controls, arrived=False)

    def move(self, controls: Controls, arrived: bool) -> None:
        """Counted in GPUs of the slice: rounding two fleets apart could make one more of them, or one fewer."""
        for name in self.pools:
            if name not in controls.pool_names:
                known = ", ".join(controls.pool_names)
                raise BadInput("the scenario has no such pool", key="pool", value=name, expected=known)
        had, scale = controls.fleet(self.from_), controls.scale
        moved = min(had, max(1, round(self.gpus * scale)))
        controls.set_pool([self.from_], fleet=(had - moved) / scale)
        if arrived:
            controls.set_pool([self.to], fleet=(controls.fleet(self.to) + moved) / scale)
