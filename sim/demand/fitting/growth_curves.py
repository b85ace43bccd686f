"""The signup curves that can be fitted to counts: each is a wave of a scenario, with bounds and starts for its figures.

Two of them have no end of their own: growth without a ceiling, and a straight line. They end where a market is given.

Bounds and starts are in units of the data (their last total, their span), so that they suit a launch of hours as
well as one of months.
"""

import math
from dataclasses import dataclass
from typing import Any, Protocol, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.demand.waves.curves import Bass, Exponential, Logistic, Steady, Weibull
from sim.demand.waves.wave import Wave
from sim.errors import BadInput

Floats = NDArray[np.float64]


class Curve(Protocol):
    """The part of a wave that a fit needs: people by a time, and people a second, in seconds since it began."""

    def cumulative(self, t: ArrayLike) -> Floats: ...

    def rate_at(self, t: ArrayLike) -> Floats: ...


@dataclass(frozen=True)
class Parameter:
    """One figure of a curve: `unit` is 'people', 'time', 'per time', 'people per time' or 'number'.

    low, high: bounds; starts: where the search begins; floor: the least that is reported; all in units of the data.
    limits: what the wave's schema allows, in people and seconds.
    """

    name: str
    unit: str
    low: float
    high: float
    starts: tuple[float, ...]
    limits: tuple[float, float] = (0.0, np.inf)
    floor: float = 0.0

    def size(self, last: float, span: float) -> float:
        """The unit of the data for this figure: `last` people in all, `span` seconds."""
        sizes = {"people": last, "time": span, "per time": 1 / span, "people per time": last / span, "number": 1.0}
        return sizes[self.unit]


@dataclass(frozen=True)
class Model:
    """A curve to fit: its name, its wave and the wave's figures."""

    name: str
    curve: type[Wave]
    parameters: tuple[Parameter, ...]

    @property
    def kind(self) -> str:
        """The wave's name in a scenario."""
        return str(get_args(self.curve.model_fields["kind"].annotation)[0])

    @property
    def ends(self) -> bool:
        """Whether the curve has a market of its own."""
        return any(p.name == "people" for p in self.parameters)

    def wave(self, values: dict[str, float], market: float = math.inf) -> Any:
        """The wave (a Curve) of these figures, unchecked: a search asks for thousands of them.

        market: where a curve without an end of its own ends, in people.
        """
        end: dict[str, float] = {}
        if not self.ends and market < math.inf:
            end = {"people": market} if "people" in self.curve.model_fields else {"lasting": market / values["rate"]}
        return self.curve.model_construct(**values, **end)  # type: ignore[arg-type]


# The total may lie far above the last count while growth has not bent. It is no smaller; the search may look a little
# below, since it is slow where the best figure lies on a bound.
PEOPLE = Parameter("people", "people", 0.99, 1e4, (1.02, 1.5, 5.0), floor=1.0)
MODELS = {
    name: Model(name, curve, parameters)
    for name, curve, parameters in (
        ("weibull", Weibull, (
            PEOPLE,
            Parameter("scale", "time", 1e-3, 1e5, (0.2, 0.5, 1.5), (1e-3, np.inf)),
            Parameter("shape", "number", 1.0, 20.0, (1.05, 1.5, 3.0)),
        )),
        ("bass", Bass, (
            PEOPLE,
            Parameter("innovation", "per time", 1e-12, 1e3, (1e-5, 1e-3, 0.05, 1.0), (1e-12, 1e3)),
            Parameter("imitation", "per time", 1e-5, 1e3, (1.0, 4.0, 12.0), (0.0, 1e3)),
        )),
        ("logistic", Logistic, (
            PEOPLE,
            Parameter("growth", "per time", 1e-3, 100.0, (2.0, 6.0, 15.0), (1e-12, 1e3)),
            Parameter("midpoint", "time", 1e-3, 5.0, (0.1, 0.4, 0.9)),
        )),
        ("exponential", Exponential, (
            Parameter("first", "people per time", 1e-100, 1e3, (1e-12, 1e-6, 1e-3, 0.05, 0.5)),
            Parameter("doubling", "time", 5e-3, 1e3, (0.02, 0.05, 0.1, 0.3, 1.0)),
        )),
        ("linear", Steady, (Parameter("rate", "people per time", 1e-3, 1e3, (1.0,)),)),
    )
}  # fmt: skip


def chosen_models(names: str | None) -> list[Model]:
    """Models by names with commas between, all of them if not given. Raises BadInput."""
    if names is None:
        return list(MODELS.values())
    wanted = [name.strip() for name in names.split(",")]
    for name in wanted:
        if name not in MODELS or wanted.count(name) > 1:
            message = "there is no such model" if name not in MODELS else "this model is named twice"
            raise BadInput(message, key="--model", value=name, expected=", ".join(MODELS))
    return [MODELS[name] for name in wanted]
