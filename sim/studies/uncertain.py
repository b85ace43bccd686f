"""Uncertain inputs: a law in place of a number of a scenario, drawn once per future and the same for every option.

A law is written where the number would be, or given by --set:

    ~ lognormal(200k, 2M)          the 10 % and the 90 % points, so that one value in five lies outside them
    ~ uniform(20 s, 60 s)          every value between the two as likely
    ~ triangular(1, 1.5, 4)        the least, the most likely and the largest value
    ~ choice(6000, 8000)           one of these, each as likely

Units stand with each value or after the law: '~ lognormal(200k, 2M) per hour'. Inputs are independent of each other.
"""

import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from numpy.typing import ArrayLike
from pydantic import ValidationError

from sim import units
from sim.demand.sources import Demand
from sim.errors import LOADED, BadInput, refuse_other
from sim.model.streams import FUTURE, draw
from sim.scenario.document import WORDS, children, explained, is_law, with_setting
from sim.scenario.load import document_of, in_file, plain_value, scenario_of
from sim.scenario.scenario import Scenario
from sim.studies.sweep import DEMAND, changed, read_numbers, written

LAWS = {"lognormal": 2, "uniform": 2, "triangular": 3, "choice": 0}  # with how many values; 0: two or more
EXPECTED = (
    "'~ lognormal(200k, 2M)' (the 10 % and 90 % points), '~ uniform(1, 2)', '~ triangular(1, 2, 4)' (least, most "
    "likely, largest) or '~ choice(1, 2, 5)'; in quotes where it stands inside { } or [ ]"
)
ODD = 1 / math.pi  # a quantile that is no round number, at which it shows whether an input takes whole numbers alone
EDGE = 1e-6  # what keeps a quantile of 0 or 1 from being rounded to a whole number outside the law
DATE = "date"  # the unit of instants, which are seconds since 1970


@dataclass(frozen=True)
class Law:
    """The law of one input. values: its parameters, numbers in `unit`; for a choice, whatever can be chosen."""

    text: str
    kind: str
    values: tuple[Any, ...]
    unit: str = ""
    whole: bool = False  # only whole numbers fit the key
    assumed: bool = False  # about a number that its author gave no law: beyond the 10 % and 90 % points it says nothing

    def quantile(self, share: float) -> Any:
        """The value below which this share of all values lies; of a choice, the one at this place in the list."""
        if self.kind == "choice":
            return self.values[min(int(share * len(self.values)), len(self.values) - 1)]
        return float(self.distribution.ppf(share))

    @cached_property
    def distribution(self) -> Any:
        """The law as scipy has it, of a number in `unit`."""
        low, high = self.values[0], self.values[-1]
        if self.kind == "lognormal":
            z90 = float(scipy.special.ndtri(0.9))
            return scipy.stats.lognorm(math.log(high / low) / (2 * z90), scale=math.sqrt(low * high))
        if self.kind == "uniform":
            least, most = math.ceil(low), math.floor(high)
            if self.whole and most > least:  # each as likely; rounded, the ends would be half as likely as the others
                return scipy.stats.uniform(least - 0.5 + EDGE, most - least + 1 - 2 * EDGE)
            return scipy.stats.uniform(low, high - low)
        return scipy.stats.triang((self.values[1] - low) / (high - low), low, high - low)

    def at(self, share: float) -> Any:
        """The quantile as a scenario has it, with its unit."""
        return self.as_written(self.quantile(share))

    def all_at(self, shares: ArrayLike) -> list[Any]:
        """The quantiles at many shares, as `at` gives each."""
        several = np.asarray(shares, dtype=float)
        if self.kind == "choice":
            return [self.at(share) for share in several.tolist()]
        return [self.as_written(value) for value in self.distribution.ppf(several).tolist()]

    def as_written(self, value: Any) -> Any:
        """A value of this law, as a number in `unit`, as a scenario has it."""
        if self.kind == "choice":
            return value
        if self.unit == DATE:
            return datetime.fromtimestamp(round(value), UTC).isoformat()
        return written(value, self.unit, whole=self.whole)


def read_law(key: str, text: str) -> Law:
    """The law of an input from words. Raises BadInput."""
    said = re.fullmatch(r"\s*~\s*(\w+)\s*\((.*)\)\s*(.*?)\s*", str(text))
    if not said or said[1] not in LAWS:
        raise BadInput("this is no law of an uncertain input", key=key, value=text, expected=EXPECTED)
    kind, inside, unit = said.groups()
    if re.search(r"\d,\d{3}(?!\d)", inside):
        message = "a comma may part values or thousands here"
        raise BadInput(message, key=key, value=text, expected="a space after each comma, and thousands like 1500 or 2k")
    parts = [f"{part.strip()}{' ' if unit else ''}{unit}" for part in inside.split(",")]
    if len(parts) != LAWS[kind] and not (kind == "choice" and len(parts) > 1):
        raise BadInput("this law has another number of values", key=key, value=text, expected=EXPECTED)
    if kind == "choice":
        return Law(text, kind, tuple(plain_value(part, key) for part in parts))
    try:
        values, read_as = numbers_of(parts)
    except ValueError:
        raise BadInput("these are not values of one kind", key=key, value=text, expected=EXPECTED) from None
    rising = all(low <= high for low, high in pairwise(values)) and values[0] < values[-1]
    if not (rising and all(map(math.isfinite, values)) and (kind != "lognormal" or values[0] > 0)):
        expected = "finite values that rise" + (", above 0" if kind == "lognormal" else "")
        raise BadInput("this law has no such values", key=key, value=text, expected=expected)
    return Law(text, kind, tuple(values), read_as)


def numbers_of(parts: Sequence[str]) -> tuple[list[float], str]:
    """Quantities or dates as numbers, and their unit. Raises ValueError."""
    if len({part.endswith("%") for part in parts}) > 1:
        raise ValueError
    try:
        return read_numbers(parts)
    except ValueError:
        return [units.moment(part).timestamp() for part in parts], DATE


@dataclass(frozen=True)
class Uncertain:
    """A scenario with uncertain inputs: the scenario with each at its median, and their laws by dotted key.

    `scenario` is without the multiple of all demand, whose key is 'demand.times'; `median` is with it.
    """

    scenario: Scenario
    laws: Mapping[str, Law] = field(default_factory=dict)

    @property
    def median(self) -> Scenario:
        """The scenario with every input at its median."""
        return self.with_values({}, self.scenario)

    def values(self, future: int) -> dict[str, Any]:
        """What the inputs are in a future (1, 2, ...): each by its own name, whatever others there are."""
        return {key: law.at(share_drawn(key, future)) for key, law in self.laws.items()}

    def future(self, number: int, base: Scenario | None = None) -> Scenario:
        """The scenario, or another one like it with another fleet, in a future. Raises BadInput."""
        try:
            return changed(base or self.scenario, self.values(number))
        except BadInput as wrong:
            law = self.laws.get(wrong.key.partition(" (line")[0])
            message = f"in future {number}, {wrong.message}" + (f" (drawn from '{law.text.strip()}')" if law else "")
            raise BadInput(message, key=wrong.key, value=wrong.value, expected=wrong.expected) from None

    def with_values(self, values: Mapping[str, Any], base: Scenario | None = None) -> Scenario:
        """The scenario with some inputs set and the others at their medians. Raises BadInput."""
        return changed(base or self.scenario, {key: law.at(0.5) for key, law in self.laws.items()} | dict(values))


def share_drawn(key: str, future: int) -> float:
    """The quantile at which an input lies in a future."""
    entity = int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "big")
    return float(draw.direct(future, FUTURE, entity, 0))


def uncertain(scenario: Scenario, laws: Mapping[str, str]) -> Uncertain:
    """A scenario with laws for some of its keys, like {'demand.times': '~ lognormal(0.5, 3)'}. Raises BadInput."""
    refuse_other(Scenario, scenario, LOADED)
    refuse_other(Mapping, laws, "like {'demand.times': '~ lognormal(0.5, 3)'}")
    read = {key: read_law(key, text) for key, text in laws.items()}
    return fitted(read, lambda values: changed(scenario, {k: v for k, v in values.items() if k != DEMAND}))


def load_uncertain(
    name: str | Path, *, override: str | None = None, sets: Mapping[str, Any] | None = None
) -> Uncertain:
    """A scenario by path or shipped name, as `load` reads it, in which numbers may be laws. Raises BadInput."""
    given = dict(sets or {})
    times = {DEMAND: given.pop(DEMAND)} if is_law(given.get(DEMAND)) else {}
    fixed = {DEMAND: given.pop(DEMAND)} if DEMAND in given else {}
    path, document = document_of(name, override, given)
    texts = laws_in({key: value for key, value in document.items() if key not in WORDS})
    try:
        if any(key.startswith("demand.") for key in texts):  # a list of sources, where the scenario has waves and more
            by_kind = Demand.sorted_by_kind(document["demand"])  # type: ignore[operator]
            document = with_setting(document, "demand", by_kind)
            texts = laws_in({key: value for key, value in document.items() if key not in WORDS})
        if DEMAND in texts:
            times[DEMAND] = texts.pop(DEMAND)
            document = {**document, "demand": {k: v for k, v in document["demand"].items() if k != "times"}}
        laws = {key: read_law(key, text) for key, text in {**texts, **times}.items()}
        refuse_two_multiples(laws, fixed)
    except ValidationError as wrong:
        raise in_file(explained(wrong, document, Scenario), path) from None
    except ValueError as wrong:
        raise BadInput("this value does not fit", file=path, key="demand", expected=str(wrong)) from None
    except BadInput as wrong:
        raise in_file(wrong, path) from None

    def build(values: Mapping[str, Any]) -> Scenario:
        made = document
        for key, value in values.items():
            made = made if key == DEMAND else with_setting(made, key, value)
        scenario = scenario_of(made, path)
        return changed(scenario, fixed) if fixed else scenario

    return fitted(laws, build)


def refuse_two_multiples(laws: Mapping[str, Law], fixed: Mapping[str, Any]) -> None:
    """Raise BadInput where a multiple of all demand stands beside a law for a part of it."""
    if fixed and (of_demand := [key for key in laws if key.startswith("demand.")]):
        expected = f"one of both: '{of_demand[0]}' is uncertain"
        raise BadInput("a part of the demand has a law", key=DEMAND, value=fixed[DEMAND], expected=expected)


def laws_in(node: Any, key: str = "") -> dict[str, str]:
    """The texts of laws in nested values, by dotted key."""
    if is_law(node):
        return {key: node}
    found: dict[str, str] = {}
    for name, value in children(node):
        found |= laws_in(value, f"{key}.{name}" if key else str(name))
    return found


def fitted(laws: Mapping[str, Law], build: Callable[[Mapping[str, Any]], Scenario]) -> Uncertain:
    """The scenario at the medians, and the laws in whole numbers where their keys take no others. Raises BadInput."""
    known = dict(laws)
    while True:
        try:
            build({key: law.at(ODD) for key, law in known.items()})
            break
        except BadInput as wrong:
            key = wrong.key.partition(" (line")[0]
            law = known.get(key)
            if law is None or law.whole or law.kind == "choice" or "whole" not in wrong.expected:
                raise
            known[key] = replace(law, whole=True)
    return Uncertain(build({key: law.at(0.5) for key, law in known.items()}), known)


def as_uncertain(scenario: Scenario | Uncertain) -> Uncertain:
    """A scenario without uncertain inputs has one future in all but the seed."""
    if isinstance(scenario, Uncertain):
        return scenario
    refuse_other(Scenario, scenario, LOADED)
    return Uncertain(scenario)
