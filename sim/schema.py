"""The base of every file format: frozen values, and a key that is not known is an error."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """A frozen value read from a file or made in Python by the same checks."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, protected_namespaces=())
