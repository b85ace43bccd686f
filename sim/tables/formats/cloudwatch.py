"""Counts that CloudWatch gives: the JSON of its interface, and the CSV of its console."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sim.errors import BadInput
from sim.tables.formats.count_tables import NO_COUNTS
from sim.tables.formats.instants import instants
from sim.tables.formats.reader import Asked, CountSeries, Floats, Head, Reader, json_document, whole_text
from sim.tables.formats.series import REFUSALS, on_clock, settled
from sim.tables.small_tables import cells_of
from sim.tables.written_dates import iso

WHOLE = re.compile(r"(^|[^A-Za-z_])(RequestCount|Requests|Invocations|Count)(?![A-Za-z_])")  # metrics of all requests


class CloudWatch(Reader):
    """`aws cloudwatch get-metric-data`: newest first, without statistic or period; a Sum of nothing has no sample."""

    name = "cloudwatch"
    title = "metrics of AWS CloudWatch (JSON of its interface, or CSV of its console)"

    def recognises(self, head: Head) -> bool:
        return (
            "MetricDataResults" in head.document
            or {"Label", "Datapoints"} <= set(head.document)
            or head.line.lower().startswith(("full label", '"full label'))
        )

    def counts(self, paths: Sequence[Path], asked: Asked) -> CountSeries:
        results = [one for path in paths for one in results_of(path)]
        path, notes = paths[0], []
        read: dict[str, tuple[np.ndarray, Floats]] = {}
        for one in results:
            label = str(one.get("Label") or one.get("Id"))
            if one.get("StatusCode") == "PartialData":
                expected = "all pages of the answer (NextToken)"
                what = "a part of these data is missing"
                raise BadInput(what, file=path, key=label, value="PartialData", expected=expected)
            if NO_COUNTS.search(label):
                notes.append(f"{label} is no count: left out")
            elif one.get("Timestamps"):
                begins = instants([str(text) for text in one["Timestamps"]], asked.zone, asked.dates, path)
                values = np.array(one["Values"], dtype=float)
                before = read.get(label, (np.empty(0, np.int64), np.empty(0)))
                read[label] = (np.append(before[0], begins), np.append(before[1], values))
        if not read:
            raise BadInput("no metric of this file is a count", file=path, expected="one like RequestCount, as a Sum")
        if any(map(WHOLE.search, read)):
            notes += [f"{label} is of the same requests: left out" for label in read if not is_beside(label)]
            read = {label: one for label, one in read.items() if is_beside(label)}
        every = np.unique(np.concatenate([begins for begins, _ in read.values()]))
        if len(every) < 2:
            raise BadInput("one row has no length", file=path, expected="counts of two intervals or more")
        step = int(np.diff(every).min())
        grid = np.arange(every[0], every[-1] + 1, step, dtype=np.int64)
        series = {label: on_clock(begins, values, grid, 0.0) for label, (begins, values) in read.items()}
        period = f"{step / 1e9:g} s"
        notes.append(f"the period is the least step, {period}; counts are taken as sums, their stamps as beginnings")
        for label, (begins, _) in read.items():
            if not REFUSALS.search(label) and len(grid) > len(begins):
                notes.append(f"{label}: no sample for {len(grid) - len(begins)} of {len(grid)} periods: 0 for a sum")
        return CountSeries(grid, np.full(len(grid), step / 1e9), settled(series, asked, path), tuple(notes))


def is_beside(label: str) -> bool:
    """Whether a metric counts all requests, or those that were refused."""
    return bool(WHOLE.search(label) or REFUSALS.search(label))


def results_of(path: Path) -> list[dict[str, Any]]:
    """The metrics of a file; those of get-metric-statistics in the shape of get-metric-data."""
    document = json_document(path)
    if not document:
        return downloaded(path)
    if "MetricDataResults" in document:
        return list(document["MetricDataResults"])
    points = document["Datapoints"]
    label, times = str(document["Label"]), [one["Timestamp"] for one in points]
    if all("SampleCount" in one for one in points) and (
        NO_COUNTS.search(label) or not all("Sum" in one for one in points)
    ):  # one sample a request, of the latencies of a balancer
        return [{"Label": "samples", "Timestamps": times, "Values": [one["SampleCount"] for one in points]}]
    if any("Sum" not in one for one in points):
        value = sorted(set().union(*points) - {"Timestamp", "Unit"})
        raise BadInput("these statistics are no counts", file=path, value=value, expected="Sum, or SampleCount")
    return [{"Label": label, "Timestamps": times, "Values": [one["Sum"] for one in points]}]


def downloaded(path: Path) -> list[dict[str, Any]]:
    """The metrics of a CSV as the console of CloudWatch writes it: rows of facts, then a row per period, in UTC."""
    _, *rows = cells_of(whole_text(path), several=True)
    facts = {row[0]: row[1:] for row in rows if row and not row[0][:1].isdigit()}
    values = [row for row in rows if row and row[0][:1].isdigit()]
    if not set(facts.get("Statistic", [])) <= {"Sum", "SampleCount", "Sample count", "n", ""}:
        value = facts["Statistic"]
        raise BadInput("these statistics are no counts", file=path, value=value, expected="Sum, or SampleCount")
    times = [f"{iso(row[0], None)}Z" for row in values]
    found = []
    for place, label in enumerate(facts.get("Label", []), 1):
        known = [(at, row[place]) for at, row in zip(times, values, strict=True) if place < len(row) and row[place]]
        found.append({"Label": label, "Timestamps": [at for at, _ in known], "Values": [float(v) for _, v in known]})
    return found
