"""The numbers of a scenario that nobody has measured or published, each with a law that stands for not knowing it."""

from typing import Any

from sim.errors import BadInput
from sim.scenario.provenance import assumed
from sim.scenario.scenario import Scenario
from sim.studies.sweep import changed, read_numbers
from sim.studies.uncertain import Law, Uncertain

FACTORS = (2.0, 1.5, 1.2)  # to both sides of an assumed number; the first that its key takes


def with_assumed(inputs: Uncertain) -> Uncertain:
    """The same with every number that is marked assumed as an uncertain input, unless it has a law already.

    Its law is lognormal about the number, with half and twice of it as the 10 % and 90 % points, or nearer ones where
    the key does not take these. A distribution, like patience, is scaled by its first number. Numbers that are 0 or
    infinite and factors of 1 (mechanisms that are switched off), switches and lists are left out.
    """
    scenario, laws = inputs.scenario, dict(inputs.laws)
    for key, value in assumed(scenario):
        explicit, number = scenario, value
        if isinstance(value, dict):
            name = next((n for n, v in value.items() if n != "kind" and law_about(v, 2.0)), None)
            if name is None or any(known.startswith(f"{key}.") for known in laws):
                continue
            explicit, number, key = scenario.with_(**{key: value}), value[name], f"{key}.{name}"
        found = None if key in laws else fitting_law(explicit, key, number)
        if found is not None:
            scenario, laws[key] = explicit, found
    return Uncertain(scenario, laws)


def law_about(value: Any, factor: float) -> Law | None:
    """The law of a number that may be larger or smaller by a factor; None for what is no number above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        (number,), unit = read_numbers([str(value)])
    except ValueError:
        return None
    if not 0 < number < float("inf"):
        return None
    low, high = number / factor, number * factor
    text = f"assumed: {low:.3g}{unit} to {high:.3g}{unit}"
    return Law(text, "lognormal", (low, high), unit, whole=isinstance(value, int), assumed=True)


def fitting_law(scenario: Scenario, key: str, value: Any) -> Law | None:
    """The widest law about a number that its key takes; None where it takes none."""
    for factor in FACTORS:
        law = law_about(value, factor)
        if law is None:
            return None
        if law.at(0.1) == law.at(0.9):
            return None
        try:
            for share in (0.1, 0.9):
                changed(scenario, {key: law.at(share)})
        except BadInput:
            continue
        return law
    return None
