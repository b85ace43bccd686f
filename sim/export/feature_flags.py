"""Gates and quality as feature flags in flagd's format (OpenFeature): by tier, region, account age, share and date."""

import math
from typing import Any, Literal

from sim.policies.access import FeatureGate, RegionGate
from sim.policies.playbook import Step
from sim.policies.quality import Degrade
from sim.scenario.scenario import Scenario

SCHEMA = "https://flagd.dev/schema/v0/flags.json"
Rule = tuple[Any, Any]  # a condition, and the variant where it holds


def flags(numbered: list[tuple[int, Step]], scenario: Scenario) -> dict[str, Any] | None:
    """A file of flags: for each feature, and for the regions, whether a user has it; and the level it is served at.

    The latest step whose condition holds decides, as in a playbook. None where no step can be a flag.
    """
    rules: dict[str, list[Rule]] = {}
    for number, step in numbered:
        for name, condition, variant in conditions(step, scenario):
            whole = joined("and", [*time_of(number, step, scenario), condition])
            rules.setdefault(name, []).insert(0, (whole, variant))
    if not rules:
        return None
    switches = {f"switch-{n}": {"==": [0, 1]} for n, step in numbered if step.when and conditions(step, scenario)}
    found: dict[str, Any] = {"$schema": SCHEMA, "flags": {name: flag(name, ordered) for name, ordered in rules.items()}}
    return {**found, "$evaluators": switches} if switches else found


def flag(name: str, rules: list[Rule]) -> dict[str, Any]:
    """A flag with its rules, the first that holds first; without one it is as without the playbook."""
    level = name.endswith(" level")
    variants = {v: int(v) for v in ("0", *sorted({str(v) for _, v in rules}))} if level else {"on": True, "off": False}
    rest = "0" if level else "on"
    targeting: Any = rest
    for condition, variant in reversed(rules):
        targeting = {"if": [condition, variant, targeting]}  # flagd takes three arguments and no more
    return {"state": "ENABLED", "variants": variants, "defaultVariant": rest, "targeting": targeting}


def conditions(step: Step, scenario: Scenario) -> list[tuple[str, Any, Any]]:
    """The flag, the condition and the variant of each rule of a step; none where flags cannot express it."""
    policy = step.policy
    if isinstance(policy, RegionGate):
        return [("regions", {"==": [{"var": "region"}, name]}, share(open_)) for name, open_ in policy.open.items()]
    if isinstance(policy, FeatureGate):
        young = {"<": [{"var": "account_age_s"}, policy.min_age]}
        variant = share(policy.open)
        if policy.min_age > 0:
            variant = {"if": [young, "off", variant]} if math.isfinite(policy.min_age) else "off"
    elif isinstance(policy, Degrade):
        variant = str(policy.level)
    else:
        return []
    tiers = joined("or", [{"==": [{"var": "tier"}, tier]} for tier in policy.tiers or []])
    suffix = " level" if isinstance(policy, Degrade) else ""
    return [(f"{feature}{suffix}", tiers, variant) for feature in policy.features or scenario.features]


def share(open_: float) -> Any:
    """A variant for a share of users: the same users each time, since their key is hashed."""
    most = 100 if float(round(100 * open_, 9)).is_integer() else 10**6  # older versions of flagd want a sum of 100
    on = round(most * open_)
    if on in (0, most):
        return "on" if on else "off"
    return {"fractional": [{"var": "targetingKey"}, ["on", on], ["off", most - on]]}


def time_of(number: int, step: Step, scenario: Scenario) -> list[Any]:
    """The conditions that a step has begun and not ended; a trigger's is a shared rule that people change."""
    origin, now = scenario.start.timestamp(), {"var": "$flagd.timestamp"}
    begin, end = scenario.seconds(step.from_), scenario.seconds(step.until)
    found: list[Any] = [] if step.when is None else [{"$ref": f"switch-{number}"}]
    found += [{">=": [now, math.ceil(origin + begin)]}] if begin > 0 else []
    return found + ([{"<": [now, math.ceil(origin + end)]}] if end < math.inf else [])


def joined(how: Literal["and", "or"], conditions: list[Any]) -> Any:
    """Conditions as one; true where there is none."""
    real = [one for one in conditions if one is not True]
    if len(real) > 1:
        return {how: real}
    return real[0] if real else True
