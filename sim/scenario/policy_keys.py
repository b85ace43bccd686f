"""The keys of a policy as a scenario writes them: what each takes, its default with its unit, and what it is."""

from typing import Any

import yaml
from pydantic import BaseModel

from sim.scenario.reference import in_words, references, value_of
from sim.wording import percent

SHARE = "share, 0 to 1"


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
    if not isinstance(found, dict | list):
        return str(yaml.safe_dump(found)).removesuffix("...\n").strip().strip("'")
    return str(
        yaml.safe_dump(found, default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True)
    ).strip()


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
