"""The reference of scenario files and of policies, from their schema: each key with its unit, default and source."""

from typing import Any

import yaml
from pydantic import BaseModel

from sim import shipped
from sim.policies.playbook import POLICIES
from sim.scenario.scenario import Scenario
from sim.units import SECONDS
from sim.wording import percent

# What a value is, by the example that the schema gives of it.
VALUES = {
    "30 s": "duration",
    "2025-03-31 18:00": "instant (date, or time after the start)",
    "2025-03-25 17:00": "date (UTC)",
    0.25: "share, 0 to 1",
    8000: "number",
    3: "whole number",
    "3 per day": "rate",
    "1/500": "ratio",
    "$20 per month": "dollars, per month or image",
}
PLAIN = {
    "string": "text",
    "number": "number",
    "integer": "whole number",
    "boolean": "true or false",
    "object": "mapping",
    "array": "list",
}
WIDEST = 40  # characters of an example, where a shorter one is known
HEAD = """# Scenario files

This page is made from the schema by `meltpoint schema --markdown`. A scenario is YAML; an unknown key is an error.
Durations, counts and rates are written with their units (`30 s`, `1.5k`, `3 per day`), instants as dates in UTC or as
times after the start, shares as `25 %`, `0.25` or `1/4`. Examples are from shipped scenarios where these use a key.
The last column says where a default is from: measured, published, fitted or assumed. `meltpoint schema` prints the
schema for an editor, as JSON Schema.
"""
SHARE = "share, 0 to 1"


def reference() -> str:
    """The page, in Markdown."""
    schema = Scenario.model_json_schema(by_alias=True)
    parts = {"Scenario": schema, **schema.pop("$defs")}
    parts["Demand"] = parts["Demand"]["anyOf"][0]  # the mapping; a list of sources is the short form of it
    seen = examples(parts)
    order, paths = ["Scenario"], {"Scenario": ""}
    for name in order:
        for key, field in parts[name].get("properties", {}).items():
            path = f"{paths[name]}.{key}".lstrip(".")
            for other in references(field):
                if other not in paths:
                    paths[other] = path + (".NAME" if "additionalProperties" in field else "")
                    order.append(other)
    return HEAD + "".join(section(name, paths[name], parts, seen) for name in order)


def references(field: Any) -> list[str]:
    """The parts of the schema that a field refers to, in order."""
    if isinstance(field, dict):
        named = [field["$ref"].rpartition("/")[2]] if "$ref" in field else []
        return named + [name for key, value in field.items() if key != "discriminator" for name in references(value)]
    return [name for one in field for name in references(one)] if isinstance(field, list) else []


def section(name: str, path: str, parts: dict[str, Any], seen: dict[tuple[str, str], Any]) -> str:
    """One part of a scenario: what it is, and a row for each key but its kind."""
    part = parts[name]
    kind = part["properties"].get("kind", {}).get("const")
    title = "The scenario" if name == "Scenario" else f"`{path}`" + (f", kind `{kind}`" if kind else "")
    required = part.get("required", [])
    rows = [
        row(key, described(field, parts), key in required and "default" not in field, seen.get((name, key)))
        for key, field in part["properties"].items()
        if "const" not in field
    ]
    about = part.get("description", "")
    if name == "Scenario":
        about = about.partition("\n\n")[0]  # the rest is about the object in Python
    head = "| key | value | default | example | meaning, and where the default is from |\n|---|---|---|---|---|\n"
    table = f"\n{head}{''.join(rows)}" if rows else ""
    return f"\n({anchor(name)})=\n## {title}\n\n{about}\n{table}"


def described(field: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    """A field with a description: that of the one part it consists of, where it has none of its own."""
    of = references(field)
    about = parts[of[0]].get("description", "").partition("\n\n")[0] if len(of) == 1 else ""
    return {"description": about, **field}


def anchor(name: str) -> str:
    return f"scenario-{name.lower().replace('_', '-')}"


def row(key: str, field: dict[str, Any], required: bool, seen: Any) -> str:
    """One key: its value, its default, an example from what is shipped, its meaning, and where the default is from."""
    value, parts = value_of(field), references(field)
    default = field.get("default", "")
    if len(parts) == 1 and isinstance(default, dict | list):
        default = ""  # the part itself has its defaults
    shown = [one for one in field.get("examples", []) if isinstance(one, str)] or [default]
    if value.endswith("number") and default is not None and default != "":
        shown = [default]
    cells = (
        f"`{key}`",
        links(field),
        "**required**" if required else code(in_words(default, value)),
        code(in_words(shown[0] if seen is None else seen, value)),
        " ".join(filter(None, (field.get("description", ""), origin(field)))),
    )
    return "| " + " | ".join(cell.replace("|", r"\|").replace("\n", " ") for cell in cells) + " |\n"


def origin(field: dict[str, Any]) -> str:
    """Where a default is from, in brackets; nothing where the schema does not say."""
    source, provenance = field.get("source", ""), field.get("provenance", "")
    return f"({source if source.startswith(provenance) else f'{provenance}: {source}'})" if source else ""


def value_of(field: dict[str, Any]) -> str:
    for one in [field, *field.get("anyOf", [])]:
        if "enum" in one:
            return "one of " + ", ".join(map(str, one["enum"]))
        if one.get("examples"):
            first = one["examples"][0]
            return "dollars" if first == 2.5 else VALUES[first]
        if isinstance(one.get("type"), str) and one["type"] != "null":
            return PLAIN[one["type"]]
    return "mapping"


def links(field: dict[str, Any]) -> str:
    """The same, with links to the parts that it consists of."""
    parts = references(field)
    if not parts:
        return value_of(field)
    shown = ", ".join(f"[{name.rpartition('__')[2].removesuffix('Fields')}](#{anchor(name)})" for name in parts)
    several = "list of " if field.get("type") == "array" else "by name: " if "additionalProperties" in field else ""
    plain = [PLAIN[one["type"]] for one in field.get("anyOf", []) if one.get("type") in ("string", "number")]
    return several + (f"one of {shown}" if len(parts) > 1 else " or ".join([*plain, shown]))


def in_words(value: Any, kind: str) -> Any:
    """A value as a file would write it: seconds as a duration."""
    if kind == "duration" and isinstance(value, int | float) and value:
        units = ("year", "month", "day", "h", "min", "s")
        unit = next((one for one in units if value % SECONDS[one] == 0), "s")
        number = value / SECONDS[unit]
        return f"{number:g} {unit}{'s' if number > 1 and unit in units[:3] else ''}"
    if isinstance(value, dict) and "dollars" in value:
        return value["dollars"]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def code(value: Any) -> str:
    """A value in YAML, on one line; nothing for an empty one."""
    if value is None or value == "" or value == [] or value == {}:
        return ""
    return f"`{in_yaml(value)}`"


def in_yaml(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True)
    return str(text).strip().removesuffix("...").strip()


def examples(parts: dict[str, Any]) -> dict[tuple[str, str], Any]:
    """A value of each key (part, key) as the shipped scenarios and the examples of policies have it."""
    seen: dict[tuple[str, str], Any] = {}
    for name in shipped.names("scenarios", ".yaml"):
        text = shipped.find("scenarios", name, ".yaml").read_text(encoding="utf-8")
        collect("Scenario", yaml.safe_load(text), parts, seen)
    for policy in POLICIES:
        collect(policy.__name__, policy.advice.example, parts, seen)
    return seen


def collect(name: str, value: Any, parts: dict[str, Any], seen: dict[tuple[str, str], Any]) -> None:
    """Note the plain values of one part, and follow it into its parts."""
    if name == "Demand" and isinstance(value, list):
        value = {"waves": value}
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        field = parts[name].get("properties", {}).get(key, {})
        found = references(field)
        if not isinstance(inner, dict | list) or not found:
            known, plain = seen.get((name, key)), str(inner) if hasattr(inner, "year") else inner
            if known is None or len(str(plain)) < len(str(known)) > WIDEST:
                seen[name, key] = plain
        several = inner if isinstance(inner, list) else inner.values() if named(field, inner) else [inner]
        for one in (o for each in several for o in (each if isinstance(each, list) else [each])):
            kind = one.get("kind") if isinstance(one, dict) else None
            for other in found:
                if kind == parts[other]["properties"].get("kind", {}).get("const"):
                    collect(other, one, parts, seen)


def named(field: dict[str, Any], value: Any) -> bool:
    return isinstance(value, dict) and isinstance(field.get("additionalProperties"), dict)


def policy_keys(policy: type[BaseModel]) -> list[tuple[str, str, str, str]]:
    """Of each key but its kind: its name, what a value is, its default in words, and its description."""
    schema = policy.model_json_schema(by_alias=True)
    parts = schema.get("$defs", {})
    rows = []
    for name, about in policy.model_fields.items():
        if name == "kind":
            continue
        key = about.alias or name
        field = schema["properties"][key]
        default = "needed" if about.is_required() else shown(about.get_default(call_default_factory=True), field, parts)
        value = value_of(field) if not references(field) else "list" if field.get("type") == "array" else "keys"
        rows.append((key, value, default, about.description or ""))
    return rows


def shown(default: Any, field: dict[str, Any], parts: dict[str, Any]) -> str:
    """A default as a file would hold it; nothing where none is set."""
    value = default.model_dump(exclude_none=True) if isinstance(default, BaseModel) else default
    if value is None or value in ([], {}):
        return ""
    found = worded(value, field, parts)
    return in_yaml(found).strip("'")


def worded(value: Any, field: dict[str, Any], parts: dict[str, Any]) -> Any:
    """A value with its units, and those of the parts inside it."""
    if isinstance(value, list):
        return [worded(one, field.get("items", field), parts) for one in value]
    if isinstance(value, dict):
        known = [parts[name]["properties"] for name in references(field) if name in parts]
        fields: dict[str, Any] = next((one for one in known if value.keys() <= one.keys()), {})
        return {key: worded(one, fields.get(key, {}), parts) for key, one in value.items()}
    kind = value_of(field)
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    if plain and kind == SHARE:
        return percent(value)
    if plain and kind == "rate" and value:
        return f"{value:g} per s"
    return in_words(value, kind)
