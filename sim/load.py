"""Reading scenario files: YAML with a base and overrides, merged and checked, with errors that point at the line."""

import difflib
import math
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from sim import shipped
from sim.errors import BadInput
from sim.profile import Profile
from sim.scenario import Scenario

LARGEST_FILE = 1_000_000  # bytes


class StrictLoader(yaml.SafeLoader):
    """Safe YAML without duplicate keys and without aliases (a few lines of those can stand for gigabytes)."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.MarkedYAMLError(problem="aliases are not allowed; use overrides", problem_mark=event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if not isinstance(name, str) or name in seen:
                problem = f"duplicate key {name!r}" if isinstance(name, str) else "keys must be plain words"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(name)
        pairs = super().construct_mapping(node, deep)
        return {str(key): value for key, value in pairs.items()}


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
        named = document.get("overrides") or {}
        if override not in named:
            raise BadInput(
                "the scenario has no such override", file=path, value=override, expected=", ".join(named) or "none"
            )
        document = merged(document, named[override])
    for key, value in (sets or {}).items():
        document = with_setting(document, key, value, path)
    refuse_infinite(document, path)
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


def read(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The content of a scenario file merged over that of its base, if it names one."""
    document = parse(path)
    base = document.pop("base", None)
    if base is None:
        return document
    found = shipped.find("scenarios", str(base), ".yaml", near=path.parent)
    if found in (*above, path):
        raise BadInput("a scenario cannot be its own base", file=path, key="base", value=base)
    return merged(read(found, (*above, path)), document)


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


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`above` laid over `below`: mappings key by key, null takes a key away, all else replaces; new dictionaries."""
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return result


def with_setting(document: dict[str, Any], key: str, value: Any, path: Path) -> dict[str, Any]:
    """The document with one dotted key set; list entries are numbered from 0."""
    parts = key.split(".")

    def put(node: Any, depth: int) -> Any:
        if depth == len(parts):
            return value
        part = parts[depth]
        if isinstance(node, list) and part.isdigit() and int(part) < len(node):
            return [put(item, depth + 1) if i == int(part) else item for i, item in enumerate(node)]
        if isinstance(node, dict) or node is None:
            return {**(node or {}), part: put((node or {}).get(part), depth + 1)}
        expected = f"a number below {len(node)}" if isinstance(node, list) else "a key of the scenario"
        raise BadInput("there is nothing to set there", file=path, key=key, value=part, expected=expected)

    result: dict[str, Any] = put(document, 0)
    return result


def refuse_infinite(node: Any, path: Path, key: str = "") -> None:
    """No NaN or infinity anywhere, in the overrides neither: bad input never yields numbers."""
    if isinstance(node, float) and not math.isfinite(node):
        raise BadInput("not a number that can be used", file=path, key=key, value=node, expected="a finite number")
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, value in items:
        refuse_infinite(value, path, f"{key}.{name}" if key else str(name))


def explained(wrong: ValidationError, document: dict[str, Any], path: Path) -> BadInput:
    """The first problem that pydantic found, in a person's words."""
    error = wrong.errors()[0]
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
        message, expected = "unknown key", closest(error, document)
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


def closest(error: Any, document: dict[str, Any]) -> str:
    """What an unknown key may have been meant to be: the fields of the schema spelt most alike."""
    name = str(error["loc"][-1])
    known = sorted({field for model in every_model(Scenario) for field in model_keys(model)})
    alike = difflib.get_close_matches(name, known, n=3)
    return f"perhaps {' or '.join(alike)}" if alike else "a key that the schema knows (see: meltpoint schema)"


def model_keys(model: Any) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def every_model(root: Any) -> set[Any]:
    """All schema classes: the subclasses of the strict model."""
    found, todo = set(), [root.__mro__[1]]
    while todo:
        model = todo.pop()
        found.add(model)
        todo += model.__subclasses__()
    return found


def located(key: str, path: Path) -> str:
    """A key with the line it stands on in the file, where it stands there."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return key
    line = None
    for part in key.split("."):
        if isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
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
