"""Traces of Zipkin and Jaeger as JSON (zipkin.io, jaegertracing.io), in microseconds; a trace is one request."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sim.tables.files import Broken, Progress, RowBlock
from sim.tables.formats.reader import Head, Reader, Requests, holds, json_lines, whole_text
from sim.tables.formats.spans import EXTRA, ROOTS, request_rows

ZIPKIN = {"traceId", "id", "timestamp"}


class Zipkin(Reader):
    """A list of spans, of traces, or a span a line (version 2 of its format)."""

    name = "zipkin"
    title = "spans of Zipkin (JSON)"

    def recognises(self, head: Head) -> bool:
        if head.line.lstrip().startswith("[") and not head.listed:
            return any(set(span) >= ZIPKIN for span in zipkin_spans(head.path)[:1])
        return set(head.record or head.listed) >= ZIPKIN

    def requests(self, head: Head) -> Requests:
        return Requests(blocks=zipkin_blocks, stamped="start", extra=EXTRA, unit="ns", notes=(ROOTS,))


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
        return Requests(blocks=jaeger_blocks, stamped="start", extra=EXTRA, unit="ns", notes=(ROOTS,))


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
