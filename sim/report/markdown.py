"""A report as Markdown: for a ticket, a wiki or a review; its figures are in the HTML page alone."""

import re
from typing import Any

from sim.report.blocks import Blanks, Block, Boxes, Lines, Part, Picture
from sim.report.tables import Table

MARK = "<!-- Made by meltpoint. -->"  # the first line of every such report
SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&])")
NUMBERED = re.compile(r"^(\s*\d+)\.")


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
