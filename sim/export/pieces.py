"""What one tool can express of one switch of a playbook."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Piece:
    """number: the switch. content: what goes into the tool's file. limits: what of it the tool does differently."""

    number: int
    content: dict[str, Any]
    limits: list[str]
