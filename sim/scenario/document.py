"""A scenario as nested plain values: laying one over another, setting single keys, and explaining what does not fit."""

import difflib
import sys
from collections.abc import Iterable
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import ValidationError

from sim.errors import BadInput
from sim.schema import Strict, in_plain_words

NEAR, SURE, BEGIN = 0.6, 0.75, 4  # how much two words are the same: perhaps, surely; letters that both begin with
LONGEST_NAME = 200  # letters of a key
WORDS = ("title", "question", "overrides")  # keys with no input in them, or none that is used
ONE_VALUE = "a number, by --set; 'meltpoint decide', 'size' and 'sensitivity' take laws"
NAMED = ("tiers", "features", "pools")  # keys whose entries have names of one's own
DEEPEST = 30  # keys inside keys; the schema needs ten


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`above` laid over `below`: mappings key by key, null takes a key away, all else replaces; new dictionaries.

    A mapping of another `kind` replaces the one below it, because the keys of one kind mean nothing to another.
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


def with_setting(document: dict[str, Any], key: str, value: Any, *, over: bool = False) -> dict[str, Any]:
    """The document with one dotted key set; list entries are numbered from 0. Raises BadInput.

    over: lay the value over what is there, as an override does, instead of replacing it.
    """
    parts = key.split(".")
    if not all(part.strip() for part in parts):
        raise BadInput("a part of this key is empty", key=key, expected="names between single dots, like pools.gpus")
    if len(parts) > DEEPEST:
        raise BadInput("there is nothing to set there", key=key, expected=f"at most {DEEPEST} levels")
    there = document.get(parts[0]) if parts[0] in NAMED and len(parts) > 2 and not over else None
    if isinstance(there, dict) and there and parts[1] not in there:  # a misspelt pool would be a pool more
        expected = f"{closest(parts[1], list(there))}; or a new one in whole: {parts[0]}.{parts[1]}={{KEY: VALUE}}"
        raise BadInput("there is nothing of this name", key=key, value=parts[1], expected=expected)

    def put(node: Any, depth: int) -> Any:
        part = parts[depth]
        last = depth == len(parts) - 1
        if isinstance(node, list) and part in map(str, range(len(node))):
            return [into({"": item}, "", depth, last)[""] if i == int(part) else item for i, item in enumerate(node)]
        if isinstance(node, dict) or node is None:
            return into(node or {}, part, depth, last)
        expected = f"a number below {len(node)}" if isinstance(node, list) else "a key of the scenario"
        raise BadInput("there is nothing to set there", key=key, value=part, expected=expected)

    def into(node: dict[str, Any], part: str, depth: int, last: bool) -> dict[str, Any]:
        if not last:
            return {**node, part: put(node.get(part), depth + 1)}
        return merged(node, {part: value}) if over else {**node, part: value}

    result: dict[str, Any] = put(document, 0)
    return result


def refuse_unusable(node: Any, key: str = "", depth: int = 0) -> None:
    """Raise BadInput for NaN, infinity or unprintable text anywhere, unused overrides included; and for a law."""
    wrong, expected = "", ""
    if depth > DEEPEST:
        wrong, expected = "this is too deep", f"at most {DEEPEST} keys inside keys"
    elif isinstance(node, str) and not printable_text(node):
        wrong, expected = "not a text that can be used", "printable characters"
    elif is_law(node) and key.partition(".")[0] not in WORDS:
        wrong, expected = "this input is uncertain, and a run takes one value of it", ONE_VALUE
    elif isinstance(node, int | float) and not abs(node) <= sys.float_info.max:
        wrong, expected = "not a number that can be used", "a finite number"
    if wrong:
        raise BadInput(wrong, key=key, value=node, expected=expected)
    for name, value in children(node):
        below = f"{key}.{name}" if key else str(name)
        plain = printable_text(str(name)) and str(name) == str(name).strip()
        if not plain or not 0 < len(str(name)) <= LONGEST_NAME:
            expected = f"1 to {LONGEST_NAME} printable characters, without a space before or after them"
            raise BadInput("not a key that can be used", key=below[-LONGEST_NAME:], expected=expected)
        refuse_unusable(value, below, depth + 1)


def children(node: Any) -> Iterable[tuple[Any, Any]]:
    """The values inside a mapping or a list, with their keys or places; none of anything else."""
    return node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()


def is_law(value: Any) -> bool:
    """Whether a value stands for the law of an uncertain input, like '~ uniform(1, 2)' (see sim.studies.uncertain)."""
    return isinstance(value, str) and value.lstrip().startswith("~")


def printable_text(text: str) -> bool:
    """Whether a text, apart from its line breaks, can be shown and written to a file."""
    return text.replace("\n", "").isprintable()


def explained(wrong: ValidationError, document: dict[str, Any], schema: type[Strict]) -> BadInput:
    """The first problem that pydantic found, in a person's words."""
    errors = wrong.errors()
    # A missing key may be there under a misspelt name, which is the more helpful message.
    error = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    keys: list[str] = []
    node: Any = document
    for part in error["loc"]:  # pydantic also names the member of a union it tried; a file has no such key
        in_list = isinstance(node, list) and isinstance(part, int) and part < len(node)  # a preset may be several waves
        if in_list or (isinstance(node, dict) and part in node):
            node = node[part]
            keys.append(str(part))
        elif part == error["loc"][-1] and error["type"] in ("missing", "extra_forbidden"):
            keys.append(str(part))
    message, expected, value = "this value does not fit", in_plain_words(error), error["input"]
    if error["type"] == "extra_forbidden":
        message, expected = "unknown key", closest(str(error["loc"][-1]), keys_at(schema, error["loc"][:-1]))
    elif error["type"] == "missing":
        message, expected, value = "a key is missing", "this key with a value", None
    elif error["type"] == "value_error" and not keys:
        key, _, rest = expected.partition(": ")
        keys, expected, value = [key], rest.removeprefix("expected "), None
    elif error["type"].startswith("union_tag"):
        message, keys = "unknown kind", [*keys, "kind"]
        value = value.get("kind") if isinstance(value, dict) else value
        expected = str(error["ctx"].get("expected_tags", "a mapping with a 'kind'"))
    return BadInput(message, key=".".join(keys), value=value, expected=expected)


def closest(name: str, known: list[str]) -> str:
    """The known keys that an unknown one may be a misspelling of, or else all of them."""
    matches = difflib.get_close_matches(name, known, n=3, cutoff=NEAR)
    suggested = [one for one in matches if near(name, one)]
    if suggested:
        return f"perhaps {' or '.join(suggested)}"
    return f"one of {', '.join(known)}" if known else "no such key"


def near(name: str, known: str) -> bool:
    """Whether two words differ by a letter or two, or have the same beginning, as forms of one word do."""
    ratio = difflib.SequenceMatcher(None, name, known).ratio()
    return ratio >= SURE or name[:BEGIN] == known[:BEGIN]


def keys_at(schema: type[Strict], place: tuple[int | str, ...]) -> list[str]:
    """The keys that the schema knows at a place, given as pydantic names it: keys, list entries, kinds of a union."""
    here: Any = schema
    for part in place:
        if get_origin(here) in (Union, UnionType):
            here = member_called(str(part), here)
        elif get_origin(here) in (dict, list):
            here = get_args(here)[-1]
        else:
            fields = getattr(here, "model_fields", {}).items()
            here = next((f.annotation for name, f in fields if part in (name, f.alias)), None)
        if here is None:
            return []
        here = type_inside(here)
    if not hasattr(here, "model_fields"):
        return []
    known = [field.alias or name for name, field in here.model_fields.items()]
    return known if place else ["base", *known]


def member_called(name: str, union: Any) -> Any:
    """The member of a union by what pydantic calls it: its kind, or its class; None where it is no schema."""
    for member in get_args(union):
        kind = getattr(member, "model_fields", {}).get("kind")
        if getattr(member, "__name__", "") == name or (kind is not None and name in get_args(kind.annotation)):
            return member
    return None


def type_inside(kind: Any) -> Any:
    """The type of a value that is there: an annotation without its metadata and without None."""
    if get_origin(kind) is Annotated:
        return type_inside(get_args(kind)[0])
    members = [member for member in get_args(kind) if member is not type(None)]
    return type_inside(members[0]) if get_origin(kind) in (Union, UnionType) and len(members) == 1 else kind
