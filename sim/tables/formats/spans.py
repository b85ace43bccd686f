"""Traces of OpenTelemetry in OTLP JSON (opentelemetry.io, file exporter); a trace is one request, its root span."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from sim.errors import BadInput
from sim.tables.files import Broken, Progress, RowBlock
from sim.tables.formats.reader import Head, Reader, Requests, json_document, json_lines, records_block, timed

COLUMNS = ("time", "user", "path", "status", "duration", "wait", "service")
STATUS = ("http.response.status_code", "http.status_code")
USER = ("enduser.id", "user.id", "client.address", "http.client_ip", "net.peer.ip")
SERVER = (2, "2", "SERVER", "SPAN_KIND_SERVER")
ROOTS = (
    "an arrival is the start of a span without a parent, or of the first server of a trace that began elsewhere; "
    "spans of a sampled trace count too few"
)
WAITS, SERVES = ("queue", "wait", "queued"), ("infer", "inference", "generate", "compute", "model")
EXTRA = timed("duration", "wait", "service", per=1e9)


class Spans(Reader):
    """Spans in any order, one JSON document or one per line."""

    name = "otlp"
    title = "OpenTelemetry spans (OTLP JSON)"

    def recognises(self, head: Head) -> bool:
        return "resourceSpans" in head.record or "resourceSpans" in head.document

    def requests(self, head: Head) -> Requests:
        return Requests(
            blocks=partial(span_blocks, lined="resourceSpans" in head.record),
            stamped="start",
            extra=EXTRA,
            unit="ns",
            notes=(
                ROOTS,
                "wait_s and service_s are the spans beneath it named like 'queue' and 'infer'",
            ),
        )


def span_blocks(path: Path, broken: list[Broken], progress: Progress, lined: bool) -> Iterator[RowBlock]:
    """The requests of a whole file: spans of one request may be anywhere in it."""
    documents = (record for _, record in json_lines(path, broken, progress)) if lined else [json_document(path)]
    yield from request_rows([span for document in documents for span in spans_of(document)], path)


def request_rows(spans: list[dict[str, Any]], path: Path) -> Iterator[RowBlock]:
    """A row for each trace: its span without a parent, else its first span of a server whose parent is not there."""
    by_trace: dict[str, list[dict[str, Any]]] = {}
    for span in spans:
        by_trace.setdefault(span.get("traceId", ""), []).append(span)
    rows = [span_row(root, trace) for trace in by_trace.values() for root in roots_of(trace)]
    if not rows:
        what = f"none of {len(spans)} spans is without a parent, or of a server whose parent is elsewhere"
        raise BadInput(what, file=path, expected="whole traces")
    yield records_block(rows, range(1, len(rows) + 1), COLUMNS)


def roots_of(trace: list[dict[str, Any]]) -> list[dict[str, Any]]:
    roots = [span for span in trace if not span.get("parentSpanId")]
    if roots:
        return roots
    there = {span.get("spanId") for span in trace}
    served = [span for span in trace if span.get("parentSpanId") not in there and span.get("kind") in SERVER]
    return sorted(served, key=lambda span: int(span.get("startTimeUnixNano", 0)))[:1]


def spans_of(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for resource in document.get("resourceSpans", []):
        for scope in resource.get("scopeSpans", resource.get("instrumentationLibrarySpans", [])):
            yield from scope.get("spans", [])


def span_row(root: dict[str, Any], trace: list[dict[str, Any]]) -> dict[str, Any]:
    about = attributes(root)
    status = next((about[name] for name in STATUS if name in about), None)
    return {
        "time": str(root.get("startTimeUnixNano", "")),
        "user": next((about[name] for name in USER if name in about), ""),
        "path": about.get("http.route") or about.get("url.path") or root.get("name", ""),
        "status": status,
        "duration": nanoseconds_of(root),
        "wait": named(trace, WAITS),
        "service": named(trace, SERVES),
    }


def attributes(span: dict[str, Any]) -> dict[str, Any]:
    """Attributes by name; their values are wrapped by type, and whole numbers may be texts."""
    pairs = span.get("attributes") or []
    return {pair["key"]: next(iter(pair.get("value", {}).values()), None) for pair in pairs if "key" in pair}


def nanoseconds_of(span: dict[str, Any]) -> int | None:
    try:
        return int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])
    except (KeyError, TypeError, ValueError):
        return None


def named(trace: list[dict[str, Any]], names: tuple[str, ...]) -> int | None:
    """Nanoseconds of the spans of a trace with one of these names; None without any."""
    found = [nanoseconds_of(span) or 0 for span in trace if str(span.get("name", "")).lower() in names]
    return sum(found) if found else None
