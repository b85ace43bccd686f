"""The settings of a scenario that a page moves: a ladder of values for each, and the address that holds them."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode

from sim.engine.simulate import chosen
from sim.errors import BadInput
from sim.report.switches import in_words
from sim.scenario.load import plain_value
from sim.scenario.scenario import Scenario
from sim.studies.fleets import served_pools
from sim.studies.sweep import DEMAND, changed
from sim.wording import percent

FACTORS = (0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4)
SHARES = (0, 0.1, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1)
MULTIPLES = (0.1, 0.25, 0.5, 0.75, 0.9, 1, 1.1, 1.25, 1.5, 2, 3, 5, 10)
STARTS = 24  # places for the start of a wave
MOST_POOLS, MOST_KNOBS = 4, 12
QUANTITY = re.compile(r"\$?([0-9.e+-]+)( .*|)")
PLAYBOOK = "playbook"
SIDES = ("a", "b")


@dataclass(frozen=True)
class Setting:
    """One slider: the key of the scenario, the values on it as a file would have them, and the one in the file."""

    key: str
    title: str
    values: dict[Any, str]  # with their labels, in the order of the slider
    own: Any

    def with_value(self, value: Any) -> "Setting":
        """The same with a value of an address among its values."""
        if value in self.values:
            return self
        labels = {**self.values, value: in_words(value)}
        return replace(self, values={one: labels[one] for one in sorted(labels, key=size)})


def size(value: Any) -> float:
    """A value by its number, for the order on a slider."""
    found = QUANTITY.fullmatch(str(value))
    return float(found[1]) if found else math.inf


def settings_of(scenario: Scenario, playbook: str) -> list[Setting]:
    """What can be moved: GPUs, demand, the wave, the knobs of the playbook, patience, retries and prices."""
    return [s for s in found_settings(scenario, playbook) if len(s.values) > 1]


def found_settings(scenario: Scenario, playbook: str) -> Iterator[Setting]:
    s = scenario
    for pool in served_pools(s)[:MOST_POOLS]:
        gpus, unit = s.pools[pool].gpus, unit_of(s) * s.pools[pool].gpus_per_replica
        least = max(unit, gpus - s.pools[pool].kinds[s.kinds_taken[pool][-1]].gpus if s.pools[pool].kinds else 0)
        rungs = sorted({max(least, unit * round(f * gpus / unit)) for f in FACTORS} | {gpus})
        title = f"GPUs of {pool}" + (f", by its {s.kinds_taken[pool][-1]}" if s.pools[pool].kinds else "")
        yield Setting(f"pools.{pool}.gpus", title, {n: f"{n:,}" for n in rungs}, gpus)
    yield Setting(DEMAND, "demand", {n: f"{n:g} times" for n in MULTIPLES}, 1)
    yield from of_the_wave(s)
    yield from knobs(s, playbook)
    b = s.behaviour
    median = b.patience.law.median
    name = next((n for n in ("median", "mean", "value") if isinstance(getattr(b.patience, n, None), float)), "")
    if name and 0 < median < math.inf:
        yield stretched(f"behaviour.patience.{name}", f"patience ({name})", f"{getattr(b.patience, name):g} s")
    tries = sorted({0, 1, 2, 3, 5, 10, b.retry.at_most})
    yield Setting("behaviour.retry.at_most", "retries at most", {n: str(n) for n in tries}, b.retry.at_most)
    yield share("behaviour.retry.probability", "chance of a retry", float(b.retry.probability))
    for pool in served_pools(s)[:MOST_POOLS]:
        cost = s.pools[pool].dollars_per_gpu_hour
        yield stretched(f"pools.{pool}.dollars_per_gpu_hour", f"price of a GPU-hour of {pool}, $", cost)
    for name, tier in s.tiers.items():
        if tier.price.dollars:
            yield stretched(f"tiers.{name}.price", f"price of {name}", s.document["tiers"][name]["price"])


def unit_of(scenario: Scenario) -> int:
    """The step of the slider in replicas. The service can be cut into slices at every multiple of it."""
    smallest = min(scenario.pools[pool].replicas for pool in served_pools(scenario))
    coarse = max(1, round(1 / scenario.scale))
    while coarse < smallest // 40:
        coarse *= 2
    return coarse


def of_the_wave(scenario: Scenario) -> Iterator[Setting]:
    """The start and the height of the wave with the highest peak, where it is no steady stream."""
    waves = [(n, w) for n, w in enumerate(scenario.demand.waves) if getattr(w, "kind", "") != "steady"]
    if not waves:
        return
    hours = [h * scenario.horizon / 200 for h in range(200)]
    n, wave = max(waves, key=lambda pair: pair[1].times * float(max(pair[1].rate_at(hours))))
    called = f"'{wave.name}'" if wave.name else "the wave"
    own = scenario.seconds(wave.from_)
    places = sorted({round(i * scenario.horizon / STARTS) for i in range(STARTS)} | {own})
    dates = {f"{at:g} s": f"{scenario.start + timedelta(seconds=at):%d %b %H:%M}" for at in places}
    yield Setting(f"demand.waves.{n}.from", f"start of {called}", dates, f"{own:g} s")
    times = {t: f"{t:g} times" for t in sorted({*MULTIPLES, wave.times})}
    yield Setting(f"demand.waves.{n}.times", f"height of {called}", times, wave.times)


def knobs(scenario: Scenario, playbook: str) -> list[Setting]:
    """The numbers that the steps of a playbook were given, and the bounds and delays of their triggers."""
    found = []
    given = scenario.document.get("playbooks", {}).get(playbook) or []
    for n, (step, made) in enumerate(zip(given, scenario.playbooks[playbook], strict=True)):
        shares = made.policy.shares()
        for key, value in leaves(step):
            about, _, name = key.partition(".")
            if about not in ("policy", "when") or key == "policy.kind" or "." in playbook:
                continue
            title = f"{n + 1}. {step['policy']['kind']}: {name.replace('_', ' ').replace('.', ' ')}"
            where = f"playbooks.{playbook}.{n}.{key}"
            of_share = about == "policy" and name in shares and not isinstance(value, str)
            if of_share or name.startswith(("utilisation", "refused")):
                found.append(share(where, title, float(value)))
            elif isinstance(value, int | float) or QUANTITY.fullmatch(str(value)):
                found.append(stretched(where, title, value))
    return sorted(found, key=lambda setting: ".when." in setting.key)[:MOST_KNOBS]


def leaves(node: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a mapping in which no list is, by its dotted key; no yes or no."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from leaves(value, f"{above}.{key}" if above else str(key))
    elif not isinstance(node, bool | list | None):
        yield above, node


def share(key: str, title: str, own: float) -> Setting:
    return Setting(key, title, {value: percent(value) for value in sorted({*map(float, SHARES), own})}, own)


def stretched(key: str, title: str, own: Any) -> Setting:
    """A setting from a quarter to four times of its own value, in its own unit; whole where that is."""
    found = QUANTITY.fullmatch(str(own))
    number = float(found[1]) if found else 0.0
    if not found or not 0 < number < math.inf:
        return Setting(key, title, {own: str(own)}, own)
    whole, dollar = isinstance(own, int), "$" if str(own).startswith("$") else ""
    values: list[Any] = []
    for factor in FACTORS:
        at = max(1, round(factor * number)) if whole else float(f"{factor * number:.6g}")
        values.append(own if factor == 1 else at if isinstance(own, int | float) else f"{dollar}{at:g}{found[2]}")
    return Setting(key, title, {value: in_words(value) for value in values}, own)


@dataclass(frozen=True)
class Chosen:
    """What is set on one side of the page: a playbook, and the values that differ from the scenario's own, by key."""

    playbook: str
    values: Mapping[str, Any]

    def applied(self, scenario: Scenario) -> Scenario:
        """The scenario with these values. Raises BadInput."""
        whole = {}
        if any(key.startswith("behaviour.patience.") for key in self.values):  # a file may have none of it, so its kind
            whole = {"behaviour.patience": scenario.behaviour.patience.model_dump(mode="json", by_alias=True)}
        return changed(scenario, {**whole, **self.values}) if self.values else scenario


def written(sides: Mapping[str, Chosen]) -> str:
    """The query of an address that holds these settings; values that are the scenario's own are left out."""
    pairs = [
        (f"{side}.{key}", value)
        for side, c in sides.items()
        for key, value in ((PLAYBOOK, c.playbook), *c.values.items())
    ]
    return f"?{urlencode(pairs)}"


def read(scenario: Scenario, query: str) -> tuple[dict[str, Chosen], list[str]]:
    """The settings that an address holds, and a sentence on each part of it that cannot be used."""
    names = list(scenario.playbooks)
    sides = dict(zip(SIDES, [Chosen(names[0], {}), Chosen(names[min(1, len(names) - 1)], {})], strict=True))
    pairs, problems = parse_qsl(query.lstrip("?"), keep_blank_values=True)[:200], []
    for name, text in sorted(pairs, key=lambda pair: not pair[0].endswith(f".{PLAYBOOK}")):
        side, _, key = name.partition(".")
        if side not in SIDES or not key:
            problems.append(f"'{name}' in the address is no setting of this page.")
            continue
        try:
            sides[side] = with_text(scenario, sides[side], key, text)
        except BadInput as wrong:
            expected = f" Expected: {wrong.expected}." if wrong.expected else ""
            problems.append(f"'{name}={text}' in the address cannot be used: {wrong.message}.{expected}")
    return sides, problems


def with_text(scenario: Scenario, side: Chosen, key: str, text: str) -> Chosen:
    """A side with one part of an address. Raises BadInput."""
    if key == PLAYBOOK:
        chosen(scenario, text)
        return Chosen(text, side.values)
    known = {setting.key: setting for setting in settings_of(scenario, side.playbook)}
    if key not in known:
        raise BadInput("there is no such setting", key=key, expected=f"one of {', '.join(known)}")
    value = next((v for v in known[key].values if str(v) == text), None)
    if value is None:
        value = plain_value(text, key)
    if isinstance(value, list | dict):
        raise BadInput("a slider has single values", key=key, value=text, expected="one value")
    made = Chosen(side.playbook, {**side.values, key: value} if value != known[key].own else dict(side.values))
    made.applied(scenario)
    return made


def difference_in_words(scenario: Scenario, side: Chosen) -> str:
    """A side in a few words: its playbook, and what was changed."""
    known = {setting.key: setting for setting in settings_of(scenario, side.playbook)}
    parts = [
        f"{known[key].title} {known[key].with_value(value).values[value]}"
        for key, value in side.values.items()
        if key in known
    ]
    return ", ".join([f"'{side.playbook}'", *parts])
