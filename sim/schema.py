"""The base of every file format: frozen values, and an unknown key is an error."""

from typing import Any

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer


class Strict(BaseModel):
    """A frozen value read from a file or made in Python by the same checks."""

    # defer_build: checks are compiled when a class is first used, which makes `import sim` faster.
    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, protected_namespaces=(), defer_build=True
    )

    @model_serializer(mode="wrap")
    def with_kind(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The fields as plain values, always with the `kind` by which a file says which class is meant."""
        kind = getattr(self, "kind", None)
        return write(self) if kind is None else {"kind": kind, **write(self)}
