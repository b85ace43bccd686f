"""The log of Gin, the web framework of Ollama and of other programs in Go: a line for each answer, at its end."""

from typing import Any

import pyarrow.compute as pc

from sim.tables.formats.lines import HOSTS, Columns, fits, pattern_blocks
from sim.tables.formats.reader import Head, Reader, Requests, timed

LINE = (
    r"^.*\[GIN\] (?P<year>\d{4})/(?P<month>\d\d)/(?P<day>\d\d) - (?P<clock>\d\d:\d\d:\d\d) \|\D*(?P<status>\d{3})\D*\|"
    r"\s*(?P<duration>\S+)\s*\|\s*(?P<user>\S+)\s*\|\W*(?P<method>[A-Z]+)\W+\"(?P<path>[^\"]*)\".*$"
)


class GinLog(Reader):
    """Gin's default lines, also among others of the same program; local times without a zone."""

    name = "gin"
    title = "a log of Gin (Ollama, and other programs in Go)"

    def recognises(self, head: Head) -> bool:
        return any(fits(line, LINE) for line in head.lines[:200])

    def requests(self, head: Head) -> Requests:
        return Requests(
            blocks=lambda path, _, progress: pattern_blocks(path, [], progress, LINE, columns_of),
            stamped="end",
            extra=timed("duration"),
            notes=("other messages of the program are left out", HOSTS),
        )


def columns_of(part: dict[str, Any]) -> Columns:
    date = pc.binary_join_element_wise(part["year"], part["month"], part["day"], "-")
    columns = {name: part[name] for name in ("user", "method", "path", "status", "duration")}
    return {"time": pc.binary_join_element_wise(date, part["clock"], "T"), **columns}, None
