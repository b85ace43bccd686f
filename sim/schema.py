"""The base of every file format: frozen values, and an unknown key is an error."""

import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, NoReturn, Self

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from pydantic.fields import FieldInfo


def refuse(*_: Any, **__: Any) -> NoReturn:
    """In place of every method that would change a frozen container."""
    raise TypeError("this value is frozen: make another one instead of changing it")


class FrozenDict(dict[Any, Any]):
    """A dict that cannot be changed once it is made."""

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenDict, (dict(self),)  # pickle and copy would fill it item by item


class FrozenList(list[Any]):
    """A list that cannot be changed once it is made."""

    __setitem__ = __delitem__ = append = clear = extend = insert = pop = remove = reverse = sort = refuse
    __iadd__ = __imul__ = refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenList, (list(self),)


def frozen(value: Any) -> Any:
    """A value with its dicts and lists, and those inside them, made frozen."""
    if type(value) is dict:
        return FrozenDict({key: frozen(one) for key, one in value.items()})
    return FrozenList([frozen(one) for one in value]) if type(value) is list else value


WORDS = {  # what pydantic expected, in the words of somebody who writes a file
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), "keys with values, like {{key: value}}"),
    "list_type": "a list, like [one, other]",
    "string_type": "a text",
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    "literal_error": "{expected}",
    "too_long": "{max_length} entries at most",
    "too_short": "{min_length} or more entries",
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} at most",
    "finite_number": "a finite number",
    "missing": "this key with a value",
    "extra_forbidden": "no such key",
}


def with_keys_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of a key that is there twice one value would be lost in silence. Raises ValueError."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key in found if sum(key == name for name, _ in pairs) > 1)
        raise ValueError(f"the key {twice!r} is there twice")
    return found


def read_json(text: str) -> Any:
    """What a JSON text holds, by the letter of the standard. Raises ValueError for NaN, and for a key twice."""
    return json.loads(text, parse_constant=refuse_constant, object_pairs_hook=with_keys_once)


def refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def in_plain_words(error: Mapping[str, Any]) -> str:
    """What was expected in place of a value that pydantic has refused; bounds of durations are in seconds."""
    if error["type"] not in WORDS:
        return str(error["msg"]).removeprefix("Value error, ").removeprefix("expected ")
    bounds = {name: f"{one:,.10g}" if type(one) in (int, float) else one for name, one in error.get("ctx", {}).items()}
    words = WORDS[error["type"]].format(**bounds)
    given = error["input"]
    duration = isinstance(given, str) and (given == "never" or re.search(r"\d\s*[A-Za-z]+$", given))
    return f"{words} (seconds)" if duration and error["type"].startswith(("greater", "less")) else words


class Strict(BaseModel):
    """A frozen value read from a file or made in Python by the same checks."""

    # defer_build: checks are compiled when a class is first used, which makes `import sim` faster.
    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, protected_namespaces=(), defer_build=True
    )
    ascending: ClassVar[tuple[str, ...]] = ()  # two fields, the first less than the second
    not_descending: ClassVar[tuple[str, ...]] = ()  # two fields, the first no more than the second

    @model_validator(mode="before")
    @classmethod
    def laid_over_default(cls, value: Any) -> Any:
        """A mapping that names no `kind` changes the default of its key: {median: 10 s} leaves law and sigma."""
        if not isinstance(value, dict):
            return value
        laid = {}
        for name, field in cls.model_fields.items():
            key, default = field.alias or name, field.default
            given = value.get(key)
            if isinstance(given, dict) and given and "kind" not in given and hasattr(default, "kind"):
                laid[key] = {**default.model_dump(mode="json", by_alias=True), **given}
        return {**value, **laid} if laid else value

    @model_validator(mode="after")
    def freeze_containers(self) -> Self:
        """A frozen model's dicts and lists could still be changed in place: these cannot."""
        self.__dict__.update({name: frozen(value) for name, value in self.__dict__.items()})
        return self

    @model_validator(mode="after")
    def refuse_disorder(self) -> Self:
        """Two fields that are to ascend do."""
        for names, equal in ((self.ascending, False), (self.not_descending, True)):
            low, high = (getattr(self, name) for name in names) if names else (0, 1)
            if not (low < high or (equal and low == high)):
                how = "not be more" if equal else "be less"
                raise ValueError(f"'{names[0]}' must {how} than '{names[1]}'")
        return self

    @model_serializer(mode="wrap")
    def with_kind(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The fields as plain values, always with the `kind` by which a file says which class is meant."""
        kind = getattr(self, "kind", None)
        return write(self) if kind is None else {"kind": kind, **write(self)}


def sourced(default: Any, description: str | None = None, *, written: str = "", **origin: str) -> Any:
    """A field whose default has a source: measured, published, fitted or assumed = where it is from.

    written: the default as a file would write it, where its value does not say.
    """
    ((provenance, source),) = origin.items()
    extra: dict[str, Any] = {"source": source, "provenance": provenance}
    return Field(
        default=default, description=description, json_schema_extra=extra | ({"default": written} if written else {})
    )


class Origin(NamedTuple):
    """Where a default comes from."""

    provenance: str
    source: str


def origin_of(field: FieldInfo) -> Origin | None:
    """Where the default of a field comes from; None for one that was not made by `sourced`."""
    extra = field.json_schema_extra
    if not isinstance(extra, dict) or "source" not in extra:
        return None
    return Origin(str(extra["provenance"]), str(extra["source"]))
