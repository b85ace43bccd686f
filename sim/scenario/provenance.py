"""Where the figures of a scenario come from: set by its author, or defaults with a source; and those only assumed."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import ValidationError

from sim.demand.behaviour import Behaviour
from sim.demand.season import Season
from sim.demand.sources import Opening
from sim.demand.word_of_mouth import WordOfMouth
from sim.errors import BadInput
from sim.scenario.parts import Feature, Footprint, Noise, Pool, Serving, Tier
from sim.scenario.scenario import Scenario
from sim.schema import Strict, origin_of
from sim.wording import plain_value

WORTH = (".stays", ".churn", ".churn_late", ".conversion")  # of a tier: they are only of money
ROOMS = ("tiers", "features", "pools", "demand", "behaviour", "serving")  # of a scenario, with inputs of a run
ONE_EACH: dict[str, type[Strict]] = {"behaviour": Behaviour, "serving": Serving, "footprint": Footprint}
NAMED: dict[str, type[Strict]] = {"features": Feature, "pools": Pool}


class Figure(NamedTuple):
    """A figure of a scenario in words, and where its value comes from."""

    key: str
    value: str
    provenance: str
    source: str


def figures_of(document: dict[str, Any]) -> list[Figure]:
    """Every figure that has a default with a source, as it is in a scenario of plain values. Raises BadInput."""
    parts = [(model, mapping(document.get(name), name), name) for name, model in ONE_EACH.items()]
    parts += demand_parts(document.get("demand"))
    for name, model in NAMED.items():
        parts += [(model, given, f"{name}.{one}") for one, given in mapping(document.get(name), name).items()]
    found: list[Figure] = []
    for model, given, path in parts:
        try:
            checked = model.model_validate(given)
        except ValidationError as wrong:
            raise unreadable(path, wrong.errors()[0]["input"]) from None
        found += below(checked, given, path)
    return found + figures_of_prices(document.get("tiers") or {})


def figures_of_prices(tiers: dict[str, Any]) -> list[Figure]:
    """The figures of tiers that matter for their revenue; none where nobody pays."""
    checked = {name: Tier.model_validate(given) for name, given in tiers.items()}
    if not any(tier.price.dollars for tier in checked.values()):
        return []
    found: list[Figure] = []
    for name, tier in checked.items():
        matter = {"price"} if tier.price.dollars else set()
        matter |= {"stays", "churn", "churn_late"} if tier.monthly else set()
        matter |= {"conversion", "churn", "churn_late"} if tier.converts_to else set()
        of_tier = below(tier, tiers[name], f"tiers.{name}")
        found += [figure for figure in of_tier if figure.key.rpartition(".")[2] in matter]
    return found


def demand_parts(demand: Any) -> list[tuple[type[Strict], dict[str, Any], str]]:
    """The parts of demand besides its waves, where the scenario has them."""
    if not isinstance(demand, dict) or "kind" in demand:
        return []
    kinds: dict[str, type[Strict]] = {"season": Season, "word_of_mouth": WordOfMouth}
    openings = mapping(demand.get("openings"), "demand.openings")
    parts = [(kind, demand[name], f"demand.{name}") for name, kind in kinds.items() if demand.get(name)]
    return parts + [(Opening, given, f"demand.openings.{tier}") for tier, given in openings.items()]


def mapping(given: Any, path: str) -> dict[str, Any]:
    """A part of a scenario; empty where it is not there. Raises BadInput."""
    if not isinstance(given or {}, dict):
        raise unreadable(path, given)
    return given or {}


def unreadable(key: str, value: Any) -> BadInput:
    return BadInput("the scenario in this run's manifest cannot be read", key=key, value=value)


def below(part: Strict, given: dict[str, Any], path: str) -> Iterator[Figure]:
    """The figures of a part and of the parts in it; given: what its author wrote."""
    for name, info in type(part).model_fields.items():
        value, here, origin = getattr(part, name), f"{path}.{name}", origin_of(info)
        if is_unused(value):
            yield Figure(here, value.kind, "assumed", "set in the scenario")
        elif origin is None:
            if isinstance(value, Strict):
                yield from below(value, given.get(name) or {}, here)
        elif name in given:
            yield Figure(here, in_words(value), "assumed", "set in the scenario")
        else:
            yield Figure(here, in_words(value), *origin)


def is_unused(part: Any) -> bool:
    """Whether a part has figures that its kind does not use, like the spread of a noise of kind none."""
    return isinstance(part, Noise) and not part.varies_by_cv


def in_words(value: Any) -> str:
    """A value for a table: 'lognormal, median 49, sigma 1.18'."""
    if value == math.inf:
        return "never"
    if not isinstance(value, Strict):
        return plain_value(value)
    fields = value.model_dump()
    kind = fields.pop("kind", "")
    return ", ".join([kind, *[f"{k} {v:g}" if isinstance(v, int | float) else f"{k} {v}" for k, v in fields.items()]])


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
        for name, one in node.items() if isinstance(node, dict) else enumerate(node):
            yield from marked(one, f"{path}.{name}")
    elif isinstance(node, Strict) and not is_unused(node):
        written = node.model_dump(mode="json", by_alias=True, warnings=False)
        for name, info in type(node).model_fields.items():
            key, origin = info.alias or name, origin_of(info)
            if origin is None:
                yield from marked(getattr(node, name), f"{path}.{key}")
            elif origin.provenance == "assumed" and not (info.default == 1.0 == written[key]):  # 1: changes nothing
                yield f"{path}.{key}", written[key]
