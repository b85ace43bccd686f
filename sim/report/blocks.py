"""The pieces of a report: sentences, tables, pictures and boxes, in parts with titles; and how Markdown writes them."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from matplotlib.figure import Figure

from sim.plots.saving import data_url
from sim.report.tables import Table

MARK = "<!-- Made by meltpoint. -->"  # the first line of every such report
SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&])")
NUMBERED = re.compile(r"^(\s*\d+)\.")


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


def markdown(facts: dict[str, Any], span: str, parts: list[Part]) -> str:
    """The text of a report, GitHub's dialect; whatever comes from a file is only text in it."""
    lines = [MARK, f"# {plain(facts['title'])}", plain(facts["question"]), plain(span)]
    for part in parts:
        badge = f" ({plain(part.badge[1])})" if part.badge else ""
        lines.append(f"{'#' * part.level} {plain(part.title)}{badge}")
        for block in part.blocks:
            lines += written(block)
    return "\n\n".join(line for line in lines if line) + "\n"


def plain(text: str) -> str:
    """A text from anywhere, with nothing in it that Markdown or HTML would read as more than text."""
    return SPECIAL.sub(r"\\\1", " ".join(str(text).split()))


def written(block: Block) -> list[str]:
    if isinstance(block, Lines):
        return [*([f"**{plain(block.title)}**"] if block.title else []), *sentences(block)]
    if isinstance(block, Boxes):
        return [listed([f"{label}: **{plain(figure)}** ({plain(remark)})" for label, figure, remark in block.items])]
    if isinstance(block, Blanks):
        return [listed([f"{plain(name)}: " for name in block.names])]
    if isinstance(block, Picture):
        return [f"*Figure in the HTML report: {plain(block.caption)}*"]
    return table(block)


def sentences(block: Lines) -> list[str]:
    """Sentences as paragraphs or as a list; one that begins with a number is not a list of its own."""
    texts = [NUMBERED.sub(r"\1\\.", plain(sentence)) for sentence in block.sentences]
    if block.kind == "steps":
        return ["\n".join(f"{number}. {text}" for number, text in enumerate(texts, 1))]
    if block.kind in ("warnings", "list"):
        return [listed(texts)] if texts else []
    return [f"**{texts[0]}**", *texts[1:]] if block.kind == "answer" and texts else texts


def listed(texts: list[str]) -> str:
    return "\n".join(f"- {text}" for text in texts)


def table(shown: Table) -> list[str]:
    """A table with its caption above and its note below."""
    caption = f"**{plain(shown.caption)}**"
    if not shown.rows:
        return [caption, "none", plain(shown.note)]
    align = [" --- " if place < shown.labels else " ---: " for place in range(len(shown.head))]
    rows = ["|" + "|".join(f" {plain(cell)} " for cell in row) + "|" for row in [shown.head, *shown.rows]]
    return [caption, "\n".join([rows[0], "|" + "|".join(align) + "|", *rows[1:]]), plain(shown.note)]
