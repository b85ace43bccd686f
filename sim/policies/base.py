"""The base of all named policies: their advice, the types of their settings, and the tiers or pools they act on."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, get_args

import numpy as np
from pydantic import AfterValidator, Field
from pydantic.fields import FieldInfo

from sim.model.controls import Controls, PoolTelemetry, Telemetry, indices
from sim.model.knobs import MOST_GPUS
from sim.schema import Strict
from sim.units import Count, Fraction, Seconds, Whole, fraction

Family = Literal["access", "limits", "shedding", "queue", "sharing", "quality", "clients", "supply", "faults"]
FAMILIES: tuple[Family, ...] = get_args(Family)  # in the order in which they are listed

# GPUs of a pool that are not in service. Moving: to another pool. Switched off: the scenario's own, by a policy.
ABSENT = ("failed", "moving", "switched_off", "ordered")
FAILED, MOVING = ABSENT[:2]
TAKEN_BACK = "taken back"  # by their vendor: nowhere, and not paid
ROUNDING = 1e-6  # seconds: a time has passed at the tick at which it would have passed but for rounding


@dataclass(frozen=True)
class OfService:
    """Marks a setting that counts something of the whole service, of which a slice must get a whole part.

    what: the things counted. whole: whether a part must be a whole number of them, or only at least one.
    """

    what: str
    whole: bool = True


def each_once(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("expected each tier once")
    return names


Delay = Annotated[Seconds, Field(allow_inf_nan=False)]
Duration = Annotated[Seconds, Field(gt=0, allow_inf_nan=False)]
PositiveShare = Annotated[Fraction, Field(gt=0)]
OpenShare = Annotated[Fraction, Field(gt=0, lt=1)]
AtLeastOne = Annotated[Count, Field(ge=1)]
Level = Annotated[Whole, Field(ge=1)]
Gpus = Annotated[Whole, Field(ge=0, le=MOST_GPUS), OfService("GPUs")]
SomeGpus = Annotated[Whole, Field(ge=1, le=MOST_GPUS), OfService("GPUs")]
Bound = Annotated[Count, OfService("requests")]
Ranking = Annotated[
    list[str],
    Field(min_length=1, description="tiers in order of importance: the last is refused first"),
    AfterValidator(each_once),
]


def marks_of(setting: FieldInfo) -> list[Any]:
    """What is annotated to the type of a setting and to the types inside it."""

    def inside(annotation: Any) -> list[Any]:
        marks = [*getattr(annotation, "__metadata__", ())]
        return marks + [mark for one in get_args(annotation) for mark in inside(one)]

    return [*setting.metadata, *inside(setting.annotation)]


@dataclass(frozen=True)
class Advice:
    """Advice on a policy in a planner's words: what it protects, what it costs and when it fails."""

    family: Family
    protects: str
    costs: str
    fails: str
    example: dict[str, Any] = field(default_factory=dict)  # settings for the shipped scenario 'surge', if not defaults
    keeps_goodput: bool = False  # at any load; tests hold it to that


class NamedPolicy(Strict):
    """A policy that a scenario can name by its kind."""

    steady: ClassVar[bool] = False  # it sets the same values at every tick, whatever it sees
    takes: ClassVar[str | None] = None  # the state of GPUs that it takes out of service; None: it takes none
    advice: ClassVar[Advice]

    kind: str

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        """Set knobs, at the start and at every control tick."""
        raise NotImplementedError

    @property
    def unwinding(self) -> bool:
        """Whether it has yet to put back what it changed."""
        return False

    @property
    def on_order(self) -> dict[str, int]:
        """GPUs of each pool that it has ordered and not yet got."""
        return {}

    @classmethod
    def shares(cls) -> set[str]:
        """The settings that are shares: one, an optional one, a list of them, or one for each name."""
        return {
            name
            for name, setting in cls.model_fields.items()
            if any(getattr(mark, "func", None) is fraction for mark in marks_of(setting))
        }

    def of_service(self) -> dict[str, tuple[float, OfService]]:
        """The settings that were given and count something of the whole service, by name, with their values."""
        found = {}
        for name, setting in type(self).model_fields.items():
            value = getattr(self, name)
            for mark in marks_of(setting):
                if isinstance(mark, OfService) and name in self.model_fields_set and value is not None:
                    found[name] = (float(value), mark)
        return found

    @classmethod
    def summary(cls) -> str:
        """The first paragraph of the class's documentation."""
        return " ".join(str(cls.__doc__).split("\n\n")[0].split())


class Targeted(NamedPolicy):
    """A policy for some tiers and features, or for all where they are not named."""

    tiers: list[str] | None = Field(default=None, description="tiers it applies to; all where absent")
    features: list[str] | None = Field(default=None, description="features it applies to; all where absent")

    def set(self, controls: Controls, **knobs: float | str) -> None:
        """Set knobs for the tiers and features of this policy."""
        controls.set(tiers=self.tiers, features=self.features, **knobs)


class OfPools(NamedPolicy):
    """A policy for some pools, or for all where they are not named."""

    steady = True

    pools: list[str] | None = Field(default=None, description="pools it applies to; all where absent")


class OfOnePool(NamedPolicy):
    """A policy for one pool."""

    pool: str = Field(description="pool it acts on")

    def seen(self, telemetry: Telemetry) -> PoolTelemetry:
        return telemetry.pool(self.pool)


def refusing(share: float, final: bool, **knobs: float) -> dict[str, float]:
    """Knobs that refuse a share of requests; none for a share of 0, which leaves them as earlier policies set them."""
    return {"shed": share, "final": float(final), **knobs} if share > 0 else {}


def counted(
    counts: np.ndarray, controls: Controls, tiers: Iterable[str] | None, features: Iterable[str] | None
) -> float:
    """The sum of a telemetry array over these tiers and features, over all where None."""
    if tiers is None and features is None:
        return float(counts.sum())
    rows, columns = indices("tier", controls.tiers, tiers), indices("feature", controls.features, features)
    return float(counts[np.ix_(rows, columns)].sum())


def passed(now: float, since: float, seconds: float) -> bool:
    """Whether at least this time has passed."""
    return now - since >= seconds - ROUNDING


class Recent:
    """Two figures of each control tick within a window that ends now, and their sums."""

    def __init__(self) -> None:
        self.ticks: deque[tuple[float, float, float]] = deque()  # time, and the two figures

    def add(self, now: float, first: float, second: float) -> None:
        self.ticks.append((now, first, second))

    def forget(self, until: float, *, but: int = 0) -> None:
        """Drop the ticks until this time, `but` the last few."""
        while len(self.ticks) > but and self.ticks[0][0] <= until:
            self.ticks.popleft()

    def sums(self) -> tuple[float, float]:
        return sum(tick[1] for tick in self.ticks), sum(tick[2] for tick in self.ticks)
