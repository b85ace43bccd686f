"""The log of Text Generation Inference: a line for each answer, at its end, with the times of its parts."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from sim.tables.files import Broken, Progress, RowBlock
from sim.tables.formats.lines import Columns, fits, pattern_blocks
from sim.tables.formats.reader import Head, Reader, Requests, timed

ANSWERED = (
    r"^(?P<time>\d{4}-\d\d-\d\dT[\d:.]+Z)\s+(?:INFO|\x1b\S*INFO\S*) .*total_time=\"(?P<duration>[^\"]+)\".*"
    r"queue_time=\"(?P<wait>[^\"]+)\" inference_time=\"(?P<service>[^\"]+)\".*$"
)
OVERLOADED = r"^(?P<time>\d{4}-\d\d-\d\dT[\d:.]+Z)\s+ERROR .*Model is overloaded.*$"


class TgiLog(Reader):
    """Text Generation Inference's router: durations have their unit each; a full queue answers 429."""

    name = "tgi-log"
    title = "a log of Text Generation Inference"

    def recognises(self, head: Head) -> bool:
        return any(fits(line, ANSWERED) for line in head.lines[:200])

    def requests(self, head: Head) -> Requests:
        return Requests(
            blocks=tgi_blocks,
            stamped="end",
            extra=timed("duration", "wait", "service"),
            user=None,
            kind=None,
            notes=("a line 'Model is overloaded' is a refused request; other messages are left out",),
        )


def tgi_blocks(path: Path, broken: list[Broken], progress: Progress) -> Iterator[RowBlock]:
    """A row for each answer and each refusal."""
    others: list[Broken] = []
    made = partial(columns_of, status="200")
    yield from pattern_blocks(path, others, progress, pattern=ANSWERED, columns_of=made)
    if any(fits(line.text, OVERLOADED) for line in others):
        made = partial(columns_of, status="429")
        yield from pattern_blocks(path, [], progress, pattern=OVERLOADED, columns_of=made)


def columns_of(part: dict[str, Any], status: str) -> Columns:
    """The columns of lines with one status; the parts of a time that they lack are empty."""
    same = {text: pa.array([text] * len(part["time"]), pa.string()) for text in ("", status)}
    empty = dict.fromkeys(("duration", "wait", "service"), same[""])
    return {**empty, **part, "status": same[status]}, None
