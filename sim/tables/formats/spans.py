"""Traces as JSON, of OpenTelemetry, Zipkin and Jaeger; a trace is one request, its root span.

opentelemetry.io (OTLP, file exporter), zipkin.io (version 2), jaegertracing.io; the last two have microseconds.
"""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from sim.errors import BadInput
from sim.tables.files import Broken, Progress, RowBlock
from sim.tables.formats.reader import (
    Head,
    Reader,
    Requests,
    holds,
    json_document,
    json_lines,
    records_block,
    timed,
    whole_text,
)

COLUMNS = ("time", "user", "path", "status", "duration", "wait", "service")
STATUS = ("http.response.status_code", "http.status_code")
USER = ("enduser.id", "user.id", "client.address", "http.client_ip", "net.peer.ip")
SERVER = (2, "2", "SERVER", "SPAN_KIND_SERVER")
ROOTS = (
    "an arrival is the start of a span without a parent, or of the first server of a trace that began elsewhere; "
    "spans of a sampled trace count too few"
)
PARTS = "wait_s and service_s are the spans beneath it named like 'queue' and 'infer'"
ZIPKIN = {"traceId", "id", "timestamp"}
WAITS, SERVES = ("queue", "wait", "queued"), ("infer", "inference", "generate", "compute", "model")


def of_traces(blocks: Callable[[Path, list[Broken], Progress], Iterator[RowBlock]]) -> Requests:
    """How to read a file of spans: blocks has a row for each trace, as request_rows makes it."""
    extra = timed("duration", "wait", "service", per=1e9)
    return Requests(blocks=blocks, stamped="start", extra=extra, unit="ns", notes=(ROOTS, PARTS))


class Spans(Reader):
    """Spans in any order, one JSON document or one per line."""

    name = "otlp"
    title = "OpenTelemetry spans (OTLP JSON)"

    def recognises(self, head: Head) -> bool:
        return "resourceSpans" in head.record or "resourceSpans" in head.document

    def requests(self, head: Head) -> Requests:
        return of_traces(partial(span_blocks, lined="resourceSpans" not in head.document))


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


class Zipkin(Reader):
    """A list of spans, of traces, or a span a line (version 2 of its format)."""

    name = "zipkin"
    title = "spans of Zipkin (JSON)"

    def recognises(self, head: Head) -> bool:
        if head.line.lstrip().startswith("[") and not head.listed:
            return any(set(span) >= ZIPKIN for span in zipkin_spans(head.path)[:1])
        return set(head.record or head.listed) >= ZIPKIN

    def requests(self, head: Head) -> Requests:
        return of_traces(zipkin_blocks)


def zipkin_blocks(path: Path, broken: list[Broken], progress: Progress) -> Iterator[RowBlock]:
    found = zipkin_spans(path) or [record for _, record in json_lines(path, broken, progress)]
    own = {(span["traceId"], span["id"]) for span in found if not span.get("shared")}
    spans = [span for span in found if not (span.get("shared") and (span["traceId"], span["id"]) in own)]
    yield from request_rows([of_zipkin(span) for span in spans], path)


def zipkin_spans(path: Path) -> list[dict[str, Any]]:
    """The spans of a list, or of a list of traces; none of another text."""
    try:
        listed = json.loads(whole_text(path))
    except (ValueError, RecursionError):
        return []
    flat = [span for one in listed for span in (one if isinstance(one, list) else [one])] if listed else []
    return [span for span in flat if isinstance(span, dict)] if isinstance(listed, list) else []


def of_zipkin(span: dict[str, Any]) -> dict[str, Any]:
    return as_otlp(span["traceId"], span["id"], span.get("parentId"), span, span.get("tags") or {})


def as_otlp(trace: Any, span: Any, parent: Any, about: dict[str, Any], tags: dict[str, Any]) -> dict[str, Any]:
    """A span in the names of OpenTelemetry; instants are microseconds in `about`."""
    begin = about.get("timestamp", about.get("startTime"))
    lasted = about.get("duration")
    ends = {} if begin is None or lasted is None else {"endTimeUnixNano": str((int(begin) + int(lasted)) * 1000)}
    return {
        "traceId": trace,
        "spanId": span,
        "parentSpanId": parent or "",
        "name": about.get("name") or about.get("operationName") or "",
        "kind": str(tags.get("span.kind", about.get("kind", ""))).upper(),
        "startTimeUnixNano": "" if begin is None else str(int(begin) * 1000),
        **ends,
        "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in tags.items()],
    }


class Jaeger(Reader):
    """What Jaeger's page and interface download: traces with their spans."""

    name = "jaeger"
    title = "traces of Jaeger (JSON)"

    def recognises(self, head: Head) -> bool:
        return holds(head.document.get("data"), "traceID", "spans")

    def requests(self, head: Head) -> Requests:
        return of_traces(jaeger_blocks)


def jaeger_blocks(path: Path, broken: list[Broken], progress: Progress) -> Iterator[RowBlock]:
    traces = json.loads(whole_text(path))["data"]
    yield from request_rows([of_jaeger(span) for trace in traces for span in trace["spans"]], path)


def of_jaeger(span: dict[str, Any]) -> dict[str, Any]:
    refs = span.get("references") or []
    parents = [
        one["spanID"] for one in refs if one.get("refType") == "CHILD_OF" and one.get("traceID") == span["traceID"]
    ]
    tags = {tag["key"]: tag.get("value") for tag in span.get("tags") or []}
    return as_otlp(span["traceID"], span["spanID"], next(iter(parents), None), span, tags)
