"""Series that Graphite's render API writes, as JSON, CSV or raw: read as a table with a column for each target."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from sim.tables.formats.count_tables import counts_of
from sim.tables.formats.reader import Asked, CountSeries, Head, Reader, holds, json_list, whole_text

RAW = re.compile(r"^(?P<target>.+),(?P<begin>\d{9,10}),\d{9,10},(?P<step>\d+)\|(?P<values>.+)$")
ROW = re.compile(r'^"?[^",]*[.(][^"]*"?,\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,-?[\d.eE+-]*$')  # a target, a time and a value


class Graphite(Reader):
    """Targets with values at even steps; what these are per depends on how Graphite was set up, and is asked for."""

    name = "graphite"
    title = "series of Graphite (JSON, CSV or raw)"

    def recognises(self, head: Head) -> bool:
        return holds([head.listed], "target", "datapoints") or any(form.match(head.line) for form in (RAW, ROW))

    def counts(self, paths: Sequence[Path], asked: Asked) -> CountSeries:
        return counts_of(paths, asked, table_of)


def table_of(path: Path) -> list[list[str]]:
    """The samples of a file as a table, a row per time."""
    found: dict[str, dict[str, str]] = {}
    targets: dict[str, None] = {}
    for target, at, value in samples(whole_text(path)):
        targets[target] = None
        found.setdefault(at, {})[target] = value
    return [["time", *targets], *([at, *(row.get(one, "") for one in targets)] for at, row in found.items())]


def samples(text: str) -> Iterator[tuple[str, str, str]]:
    """The target, the time and the value of each sample; '' for a value that is not known."""
    if text.lstrip().startswith("["):
        for one in json_list(text):
            for value, at in one["datapoints"]:
                yield str(one["target"]), str(at), "" if value is None else repr(float(value))
        return
    for line in text.splitlines():
        if raw := RAW.match(line):
            for k, value in enumerate(raw["values"].split(",")):
                yield raw["target"], str(int(raw["begin"]) + k * int(raw["step"])), value.replace("None", "")
    for row in csv.reader(io.StringIO(text)):
        if len(row) == 3:
            yield row[0], row[1], row[2]
