"""The pieces of a report: sentences, tables, pictures and figures in boxes, in parts with titles; HTML or Markdown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from matplotlib.figure import Figure

from sim.plots.saving import data_url
from sim.report.tables import Table


@dataclass(frozen=True)
class Lines:
    """Sentences. answer: the first stands out. warnings: in a frame. steps: numbered. note: small."""

    what: ClassVar = "lines"
    sentences: list[str]
    kind: Literal["plain", "answer", "warnings", "steps", "list", "note"] = "plain"
    title: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure, drawn when a page wants its data URL, with a description and a caption."""

    what: ClassVar = "picture"
    draw: Callable[[], Figure]
    alt: str
    caption: str

    @property
    def source(self) -> str:
        return data_url(self.draw())


@dataclass(frozen=True)
class Boxes:
    """A few figures that stand out: label, figure, remark."""

    what: ClassVar = "boxes"
    items: list[tuple[str, str, str]]


@dataclass(frozen=True)
class Blanks:
    """Fields for a person to fill in."""

    what: ClassVar = "blanks"
    names: tuple[str, ...] = ("Decision", "Owner", "Decided on", "Valid until")


Block = Lines | Table | Picture | Boxes | Blanks


@dataclass(frozen=True)
class Part:
    """A title with what stands under it. level: of the heading. fresh: begins a new page when printed."""

    name: str  # its anchor
    title: str
    blocks: Sequence[Block] = ()
    badge: tuple[str, str] | None = None  # its class, and what it says
    level: int = 2
    fresh: bool = False
