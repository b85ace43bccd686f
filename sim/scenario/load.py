"""Reading scenario files: YAML with a base and overrides, merged and checked, with errors that point at the line."""

import difflib
import sys
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import yaml
from pydantic import ValidationError

from sim import shipped
from sim.errors import BadInput
from sim.profile.profile import Profile
from sim.scenario.scenario import Scenario

LARGEST_FILE = 1_000_000  # bytes
DEEPEST = 30  # keys inside keys; the schema needs ten


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
            found[name] = self.construct_object(value, deep=deep)
        return found


def load(
    name: str | Path,
    *,
    override: str | None = None,
    sets: dict[str, Any] | None = None,
    profiles: dict[str, Profile] | None = None,
) -> Scenario:
    """A scenario by path or shipped name, with one named override and single settings on top.

    sets: dotted keys to values as YAML would have them, like {'pools.diffusion.gpus': 9000}. Raises BadInput.
    """
    path = shipped.find("scenarios", str(name), ".yaml")
    document = read(path)
    if override is not None:
        document = merged(document, named_override(document, override, path))
    for key, value in (sets or {}).items():
        document = with_setting(document, key, value, path)
    refuse_unusable(document, path)
    try:
        return Scenario.from_dict(document, near=path.parent, profiles=profiles)
    except ValidationError as wrong:
        raise explained(wrong, document, path) from None
    except BadInput as wrong:
        raise BadInput(
            wrong.message,
            file=wrong.file or path,
            key=located(wrong.key, path),
            value=wrong.value,
            expected=wrong.expected,
        ) from None


def named_override(document: dict[str, Any], name: str, path: Path) -> dict[str, Any]:
    """One of the scenario's overrides, as nested keys with new values."""
    known = document.get("overrides")
    if not isinstance(known, dict) or name not in known:
        expected = ", ".join(known) if isinstance(known, dict) and known else "none"
        raise BadInput("the scenario has no such override", file=path, value=name, expected=expected)
    if not isinstance(known[name], dict):
        key = located(f"overrides.{name}", path)
        raise BadInput("this is no override", file=path, key=key, value=known[name], expected="keys with new values")
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
        raise BadInput(wrong.message, file=path, key="base", value=base, expected=wrong.expected) from None
    if found.resolve() in (*above, path.resolve()):
        raise BadInput("a scenario cannot be its own base", file=path, key="base", value=base)
    return merged(read(found, (*above, path.resolve())), document)


def parse(path: Path) -> dict[str, Any]:
    """One YAML file as a mapping. Raises BadInput for anything that is not plain YAML in UTF-8."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise BadInput("this file is too large for a scenario", file=path, expected=f"at most {LARGEST_FILE} bytes")
        text = path.read_text(encoding="utf-8")
        document = yaml.load(text, Loader=StrictLoader)  # noqa: S506 - StrictLoader is a SafeLoader
    except UnicodeDecodeError:
        raise BadInput("this file is not UTF-8 text", file=path) from None
    except OSError as wrong:
        raise BadInput(f"this file cannot be read ({wrong.strerror})", file=path) from None
    except yaml.MarkedYAMLError as wrong:
        line = f":{wrong.problem_mark.line + 1}" if wrong.problem_mark else ""
        raise BadInput(f"this is not plain YAML: {wrong.problem}", file=f"{path}{line}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as wrong:
        raise BadInput(f"this is not plain YAML: {type(wrong).__name__}", file=path) from None
    if not isinstance(document, dict):
        raise BadInput("this file is not a scenario", file=path, value=document, expected="a mapping of keys to values")
    return document


def plain_value(text: str, key: str) -> Any:
    """One setting's value, read as a scenario file would have it. Raises BadInput."""
    try:
        return yaml.load(text, Loader=StrictLoader)  # noqa: S506 - StrictLoader is a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError):
        raise BadInput("this is not a plain value", key=key, value=text, expected="what YAML can read") from None


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`above` laid over `below`: mappings key by key, null takes a key away, all else replaces; new dictionaries.

    A mapping of another `kind` replaces the one below it, whose keys mean nothing to it.
    """
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        if value is None:
            result.pop(key, None)
        elif isinstance(under, dict) and isinstance(value, dict) and value.get("kind") in (None, under.get("kind")):
            result[key] = merged(under, value)
        else:
            result[key] = value
    return result


def with_setting(document: dict[str, Any], key: str, value: Any, path: Path) -> dict[str, Any]:
    """The document with one dotted key set; list entries are numbered from 0."""
    parts = key.split(".")
    if len(parts) > DEEPEST:
        raise BadInput("there is nothing to set there", file=path, key=key, expected=f"at most {DEEPEST} levels")

    def put(node: Any, depth: int) -> Any:
        if depth == len(parts):
            return value
        part = parts[depth]
        if isinstance(node, list) and part in map(str, range(len(node))):
            return [put(item, depth + 1) if i == int(part) else item for i, item in enumerate(node)]
        if isinstance(node, dict) or node is None:
            return {**(node or {}), part: put((node or {}).get(part), depth + 1)}
        expected = f"a number below {len(node)}" if isinstance(node, list) else "a key of the scenario"
        raise BadInput("there is nothing to set there", file=path, key=key, value=part, expected=expected)

    result: dict[str, Any] = put(document, 0)
    return result


def refuse_unusable(node: Any, path: Path, key: str = "", depth: int = 0) -> None:
    """No NaN, infinity or unprintable text anywhere, in the overrides neither: bad input never yields numbers."""
    wrong, expected = "", ""
    if depth > DEEPEST:
        wrong, expected = "this is too deep", f"at most {DEEPEST} keys inside keys"
    elif isinstance(node, str) and not printable_text(node):
        wrong, expected = "not a text that can be used", "printable characters"
    elif isinstance(node, int | float) and not abs(node) <= sys.float_info.max:
        wrong, expected = "not a number that can be used", "a finite number"
    if wrong:
        raise BadInput(wrong, file=path, key=located(key, path), value=node, expected=expected)
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, value in items:
        below = f"{key}.{name}" if key else str(name)
        if not printable_text(str(name)):
            raise BadInput("not a key that can be used", file=path, key=below, expected="printable characters")
        refuse_unusable(value, path, below, depth + 1)


def printable_text(text: str) -> bool:
    """Whether a text can be shown and written to a file, line breaks left aside."""
    return text.replace("\n", "").isprintable()


def explained(wrong: ValidationError, document: dict[str, Any], path: Path) -> BadInput:
    """The first problem that pydantic found, in a person's words."""
    errors = wrong.errors()
    # A key that is missing may be there, misspelt: that tells more.
    error = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    keys, node = [], document
    for part in error["loc"]:  # pydantic also names the member of a union it tried; a file has no such key
        if (isinstance(node, dict) and part in node) or (isinstance(node, list) and isinstance(part, int)):
            node = node[part]
            keys.append(str(part))
        elif part == error["loc"][-1] and error["type"] in ("missing", "extra_forbidden"):
            keys.append(str(part))
    message, expected = "this value does not fit", error["msg"].removeprefix("Value error, ").removeprefix("expected ")
    value = error["input"]
    if error["type"] == "extra_forbidden":
        message, expected = "unknown key", closest(str(error["loc"][-1]), keys_at(error["loc"][:-1]))
    elif error["type"] == "missing":
        message, expected, value = "a key is missing", "this key with a value", None
    elif error["type"] == "value_error" and not keys:
        key, _, rest = expected.partition(": ")
        keys, expected, value = [key], rest, None
    elif error["type"].startswith("union_tag"):
        message, keys = "unknown kind", [*keys, "kind"]
        value = value.get("kind") if isinstance(value, dict) else value
        expected = str(error["ctx"].get("expected_tags", "a mapping with a 'kind'"))
    key = ".".join(keys)
    return BadInput(message, file=path, key=located(key, path), value=value, expected=expected)


def closest(name: str, known: list[str]) -> str:
    """What an unknown key may have been meant to be: of the keys possible there those spelt most alike, else all."""
    alike = difflib.get_close_matches(name, known, n=3)
    return f"perhaps {' or '.join(alike)}" if alike else f"one of {', '.join(known)}"


def keys_at(place: tuple[int | str, ...]) -> list[str]:
    """The keys that the schema knows at a place, given as pydantic names it: keys, list entries, kinds of a union."""
    here: Any = Scenario
    for part in place:
        if get_origin(here) in (Union, UnionType):
            here = next(kind for kind in get_args(here) if part in get_args(kind.model_fields["kind"].annotation))
        elif get_origin(here) in (dict, list):
            here = get_args(here)[-1]
        else:
            here = next(f.annotation for name, f in here.model_fields.items() if part in (name, f.alias))
        here = given(here)
    known = [field.alias or name for name, field in here.model_fields.items()]
    return known if place else ["base", *known]


def given(kind: Any) -> Any:
    """The type of a value where there is one: without what is annotated, and without None."""
    if get_origin(kind) is Annotated:
        return given(get_args(kind)[0])
    members = [member for member in get_args(kind) if member is not type(None)]
    return given(members[0]) if get_origin(kind) in (Union, UnionType) and len(members) == 1 else kind


def located(key: str, path: Path) -> str:
    """A key with the line it stands on in the file, where it stands there."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
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
