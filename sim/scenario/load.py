"""Reading scenario files: YAML with a base and overrides, merged and checked, with errors that point at the line."""

import re
from pathlib import Path
from typing import Any

import yaml

from sim import shipped
from sim.errors import BadInput
from sim.profile.profile import Profile
from sim.scenario.document import merged, with_setting
from sim.scenario.scenario import Scenario
from sim.units import NUMBER

LARGEST_FILE = 1_000_000  # bytes


class StrictLoader(yaml.SafeLoader):
    """Safe YAML without duplicate keys, tags and aliases (a few lines of those can stand for gigabytes)."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        tag: Any = getattr(self.peek_event(), "tag", None)
        if self.check_event(yaml.AliasEvent) or tag is not None:
            problem = "aliases are not allowed; use overrides" if tag is None else f"tags are not allowed: {tag}"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=self.peek_event().start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None  # as it is written: a tier may be named 'no'
            if not isinstance(name, str) or name in found:
                problem = f"duplicate key {name!r}" if isinstance(name, str) else "keys must be plain words"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            if isinstance(value, yaml.ScalarNode) and not value.value and value.style is None:  # {gpus: 4,5}, say
                problem = f"key {name!r} has no value; expected one, or null to take the key away"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            found[name] = self.construct_object(value, deep=deep)
        return found


def plain_number(loader: StrictLoader, node: yaml.ScalarNode) -> int | float:
    """A number in digits; YAML 1.1 would read 010 as 8, 0x10 as 16, 18:00 as 1080 and 1_5 as 15."""
    text = str(node.value)
    named = text.lstrip("+-").lower() in (".inf", ".nan")  # refused by key
    if not named and (not re.fullmatch(NUMBER, text) or re.fullmatch("[+-]?0[0-9]+", text)):
        problem = f"{node.value} is not a decimal number; write it in digits without a leading 0, or in quotes"
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
    if node.tag.endswith(":int"):
        return int(loader.construct_yaml_int(node))
    return float(loader.construct_yaml_float(node))


for kind in ("int", "float"):
    StrictLoader.add_constructor(f"tag:yaml.org,2002:{kind}", plain_number)


def load(
    name: str | Path,
    *,
    override: str | None = None,
    sets: dict[str, Any] | None = None,
    profiles: dict[str, Profile] | None = None,
) -> Scenario:
    """A scenario by path or shipped name, with one named override and single settings on top.

    sets: dotted keys to values as YAML would have them, like {'pools.diffusion.gpus': 9000}. profiles: by model, in
    place of files. Raises BadInput.
    """
    path, document = document_of(name, override, sets)
    return scenario_of(document, path, profiles)


def document_of(
    name: str | Path, override: str | None = None, sets: dict[str, Any] | None = None
) -> tuple[Path, dict[str, Any]]:
    """A scenario's file, and what it says with an override and settings on top, not yet checked. Raises BadInput."""
    path = shipped.find("scenarios", str(name), ".yaml")
    document = read(path)
    try:
        if override is not None:
            document = merged(document, named_override(document, override))
        for key, value in (sets or {}).items():
            if key.split(".")[0] == "overrides":  # they are applied by now
                raise BadInput("an override cannot be set", key=key, value=value, expected="the key itself")
            document = with_setting(document, key, value)
    except BadInput as wrong:
        raise in_file(wrong, path) from None
    return path, document


def scenario_of(document: dict[str, Any], path: Path, profiles: dict[str, Profile] | None = None) -> Scenario:
    """The scenario that a document from a file makes. Raises BadInput, with the file and the line."""
    try:
        return Scenario.from_dict(document, near=path.parent, profiles=profiles)
    except BadInput as wrong:
        raise in_file(wrong, path) from None


def in_file(wrong: BadInput, path: Path) -> BadInput:
    """The same error with the file, and with the line of its key."""
    return wrong.but(file=wrong.file or path, key=located(wrong.key, path))


def named_override(document: dict[str, Any], name: str) -> dict[str, Any]:
    """One of the scenario's overrides, as nested keys with new values."""
    known = document.get("overrides")
    if not isinstance(known, dict) or name not in known:
        expected = (
            ", ".join(known) if isinstance(known, dict) and known else "a scenario with overrides: this one has none"
        )
        raise BadInput("the scenario has no such override", value=name, expected=expected)
    if not isinstance(known[name], dict):
        raise BadInput(
            "this is no override", key=f"overrides.{name}", value=known[name], expected="keys with new values"
        )
    return dict(known[name])


def read(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The content of a scenario file merged over that of its base, if it names one."""
    document = parse(path)
    base = document.pop("base", None)
    if base is None:
        return document
    try:
        found = shipped.find("scenarios", str(base), ".yaml", near=path.parent)
    except BadInput as wrong:
        raise wrong.but(file=path, key="base", value=base) from None
    if found.resolve() in (*above, path.resolve()):
        raise BadInput("a scenario cannot be its own base", file=path, key="base", value=base)
    return merged(read(found, (*above, path.resolve())), document)


def parse(path: Path) -> dict[str, Any]:
    """One YAML file as a mapping. Raises BadInput for anything that is not plain YAML in UTF-8."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise BadInput("this file is too large for a scenario", file=path, expected=f"at most {LARGEST_FILE} bytes")
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a byte order mark
        document = yaml.load(text, Loader=StrictLoader)  # noqa: S506 - StrictLoader is a SafeLoader
    except UnicodeDecodeError:
        raise BadInput("this file is not UTF-8 text", file=path) from None
    except OSError as wrong:
        raise BadInput(f"this file cannot be read ({wrong.strerror})", file=path) from None
    except yaml.MarkedYAMLError as wrong:
        line = f":{wrong.problem_mark.line + 1}" if wrong.problem_mark else ""
        raise BadInput(f"this is not plain YAML: {wrong.problem}", file=f"{path}{line}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as wrong:
        reason = "it nests too deeply" if isinstance(wrong, RecursionError) else wrong  # '... year 0 is out of range'
        raise BadInput(f"this is not plain YAML: {reason}", file=path) from None
    if not isinstance(document, dict):
        raise BadInput("this file is not a scenario", file=path, value=document, expected="a mapping of keys to values")
    return document


def plain_value(text: str, key: str) -> Any:
    """One setting's value, read as a scenario file would have it. Raises BadInput."""
    try:
        return yaml.load(text, Loader=StrictLoader)  # noqa: S506 - StrictLoader is a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as wrong:
        problem = getattr(wrong, "problem", None) or f"what YAML can read ({wrong})"
        raise BadInput("this is not a plain value", key=key, value=text, expected=problem) from None


def located(key: str, path: Path) -> str:
    """A key with the line it stands on in the file, where it stands there."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8-sig"), Loader=yaml.SafeLoader)
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return key
    line = None
    for part in key.split("."):
        if isinstance(node, yaml.SequenceNode) and part in map(str, range(len(node.value))):
            node = node.value[int(part)]
            line = node.start_mark.line + 1
        elif isinstance(node, yaml.MappingNode):
            found = [(k, v) for k, v in node.value if k.value == part]
            if not found:
                break
            line, node = found[0][0].start_mark.line + 1, found[0][1]
        else:
            break
    return f"{key} (line {line})" if line else key
