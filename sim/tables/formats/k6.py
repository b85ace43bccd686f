"""k6 (grafana.com/docs/k6): samples of metrics as CSV or JSON, where a request is one sample of http_req_duration."""

import csv
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sim.tables.files import Broken, Progress, RowBlock
from sim.tables.formats.reader import Head, Reader, Requests, in_chunks, json_document, json_lines, timed
from sim.tables.opening import opened_text

COLUMNS = ("time", "path", "method", "status", "duration", "metric")
ASKED, DROPPED = "http_req_duration", "dropped_iterations"
END = "k6 stamps the end of a request: arrivals are the stamps less their durations"


class K6(Reader):
    """`k6 run --out csv` and `--out json`."""

    name = "k6"
    title = "samples of k6"

    def recognises(self, head: Head) -> bool:
        return is_csv(head) or {"metric", "type", "data"} <= set(head.record)

    def requests(self, head: Head) -> Requests:
        return Requests(
            blocks=partial(sample_blocks, as_csv=is_csv(head)),
            stamped="end",
            extra=timed("duration", per=1e3),
            leave_out={
                "metric": (f"^{DROPPED}$", "iterations that k6 dropped: demand that was planned and never sent")
            },
            user=None,
            notes=(END,),
        )


def is_csv(head: Head) -> bool:
    return {"metric_name", "timestamp", "metric_value"} <= set(head.names)


def sample_blocks(path: Path, broken: list[Broken], progress: Progress, as_csv: bool) -> Iterator[RowBlock]:
    rows = csv_samples(path) if as_csv else json_samples(path, broken, progress)
    return in_chunks(((number, row) for number, sample in rows for row in sample_rows(sample)), COLUMNS)


def sample_rows(sample: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A row for each request, and for each iteration that was dropped; none for the other metrics of a request."""
    if sample["metric"] == ASKED:
        yield sample
    elif sample["metric"] == DROPPED:
        yield from [{**sample, "duration": "0"}] * round(float(sample["duration"]))


def csv_samples(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with opened_text(path) as text:
        rows = csv.DictReader(text)
        for row in rows:
            yield rows.line_num, sample_of(row["metric_name"], row["timestamp"], row["metric_value"], row)


def json_samples(path: Path, broken: list[Broken], progress: Progress) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, record in json_lines(path, broken, progress):
        if record.get("type") == "Point":
            data = record["data"]
            yield number, sample_of(record["metric"], data["time"], data["value"], data.get("tags") or {})


def sample_of(metric: str, time: Any, value: Any, tags: dict[str, Any]) -> dict[str, Any]:
    status = tags.get("status") or ""
    return {
        "metric": metric,
        "time": str(time),
        "duration": str(value),
        "path": tags.get("name") or tags.get("url") or "",
        "method": tags.get("method", ""),
        "status": status,
    }


class K6Summary(Reader):
    """`k6 run --summary-export`: totals of a test."""

    name = "k6-summary"
    title = "the summary of a k6 test"

    def recognises(self, head: Head) -> bool:
        metrics = head.document.get("metrics")
        return isinstance(metrics, dict) and "http_req_duration" in metrics

    def figures(self, paths: Sequence[Path]) -> str:
        metrics = json_document(paths[0])["metrics"]
        read = {name: value.get("values", value) for name, value in metrics.items() if isinstance(value, dict)}
        asked, timed = read.get("http_reqs", {}), read["http_req_duration"]
        failed = read.get("http_req_failed", {}).get("passes", "an unknown number of")
        middle, high = timed.get("med"), timed.get("p(95)")
        return (
            f"{asked.get('count', 'an unknown number of')} requests at {asked.get('rate', float('nan')):.4g}/s, "
            f"{failed} failed; latency in ms, of failures too: median {middle}, p95 {high}"
        )
