"""The numbers of a scenario that nobody has measured or published, each with a law that stands for not knowing it."""

from collections.abc import Iterator
from typing import Any

from sim.errors import BadInput
from sim.scenario.parts import Noise
from sim.scenario.scenario import Scenario
from sim.schema import Strict
from sim.studies.sweep import changed, read_numbers
from sim.studies.uncertain import Law, Uncertain

FACTORS = (2.0, 1.5, 1.2)  # to both sides of an assumed number; the first that its key takes
WORTH = (".stays", ".churn", ".churn_late", ".conversion")  # of a tier: they are only of money
ROOMS = ("tiers", "features", "pools", "demand", "behaviour", "serving")  # of a scenario, with inputs of a run


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


def assumed(scenario: Scenario) -> list[tuple[str, Any]]:
    """The keys whose schema marks them assumed, with their values as a file would have them.

    Without those of a pool that its operator knows, the whole numbers (GPUs of a replica, slots), without the terms of
    spot GPUs where it has none, or several kinds, and without the worth of tiers where nobody pays.
    """
    found = [one for name in ROOMS for one in marked(getattr(scenario, name), name)]
    rented = [f"pools.{name}.spot." for name, pool in scenario.pools.items() if pool.spot.gpus]
    return [
        (key, value)
        for key, value in found
        if not (key.startswith("pools.") and type(value) is int)
        and (".spot." not in key or key.startswith(tuple(rented)))
        and (scenario.has_prices or not (key.startswith("tiers.") and key.endswith(WORTH)))
    ]


def marked(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The same below one place."""
    if isinstance(node, dict | list):
        for name, below in node.items() if isinstance(node, dict) else enumerate(node):
            yield from marked(below, f"{path}.{name}")
    elif isinstance(node, Strict) and not (isinstance(node, Noise) and not node.varies_by_cv):
        written = node.model_dump(mode="json", by_alias=True, warnings=False)
        for name, info in type(node).model_fields.items():
            extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
            key = info.alias or name
            if extra.get("provenance") == "assumed":
                if not (info.default == 1.0 == written[key]):  # a factor that changes nothing
                    yield f"{path}.{key}", written[key]
            elif "provenance" not in extra:
                yield from marked(getattr(node, name), f"{path}.{key}")


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
    return Law(text, "lognormal", (low, high), unit, whole=isinstance(value, int))


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
