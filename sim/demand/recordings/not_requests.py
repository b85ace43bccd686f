"""Refusals of tables and logs whose rows are no requests: counts, samples, percentiles, lines of another log."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from sim.errors import BadInput
from sim.tables.formats.json_keys import roles_of
from sim.tables.formats.json_logs import JsonLog, first_records, rows_in
from sim.tables.formats.one_record import is_record
from sim.tables.formats.reader import Head, Reader
from sim.tables.formats.sampled import sampled
from sim.tables.formats.web_logs import is_log_line
from sim.tables.names import REQUEST_IDS, plain_name, seconds_per

STATUS_NAMES = (
    *("status", "status_code", "http_status", "code", "response_code", "http_code", "outcome", "result"),
    *("elb_status_code", "sc_status", "result_code", "state", "http_status_code", "http_response_code"),
)
# Headers of recordings that hold counts or rates, not arrivals.
ONE_ROW = "one row per request; or --format csv with --time, if a row is one request"
COUNTS = ({"period", "count"}, {"timestamp", "value"}, {"timestamp_anon", "value", "container_ip", "request_type"})
PERCENTILES = re.compile(r"percentile|^percentage_served|^quantile")
EVENTS = ("event", "event_type", "event_name", "action", "phase", "stage", "type", "kind", "msg", "message")
ASKING = {"path", "status", "duration"}
BEGINS = re.compile(r"(?i)(^|[^a-z])(start(ed)?|begin|began|request(ed)?|submitted|enqueued|received)$")
ENDING = re.compile(r"(?i)(^|[^a-z])(end(ed)?|finish(ed)?|complete(d)?|done|response|responded|stop(ped)?)$")


def refuse_counts(path: Path, names: list[str]) -> None:
    """Raises BadInput for a recording of counts or rates."""
    if set(names) in COUNTS:
        what = "rows of this file are counts or rates per period, not arrivals: it does not say when each request came"
        raise BadInput(what, file=path, value=", ".join(names), expected=ONE_ROW)


def refuse_counting(path: Path, name: str, value: float) -> None:
    """Raises BadInput for a column that counts several requests in a row, where nothing says what a request was."""
    what = "this column counts requests, and the times of its rows cannot be read as those of intervals"
    expected = "a date and time in each row, hours from 0 to 23; or, where a row is one request, no such column"
    raise BadInput(what, file=path, key=name, value=value, expected=expected)


def refuse_samples(path: Path, time: str | None) -> None:
    """Raises BadInput for a table of samples, where --time alone would take each row for an arrival."""
    names, *rows = Head(path).rows or [[]]
    if sampled([["time" if name == time else name for name in names], *rows]) is not None:
        what = "rows of this file come at even steps and say nothing of a request, as counts or gauges do"
        raise BadInput(what, file=path, expected=ONE_ROW)


def refuse_percentiles(names: Sequence[str], path: Path) -> None:
    """Raises BadInput for the quantiles of a test."""
    if shares := [name for name in names if PERCENTILES.search(plain_name(name))]:
        what = "rows of this file are percentiles or shares of requests, and not requests"
        raise BadInput(what, file=path, key=shares[0], expected=ONE_ROW)


def refuse_lines(head: Head, path: Path) -> None:
    """Raises BadInput for a table with lines of a log in a column, of which no other says what became of a request."""
    names, *rows = head.rows or [[]]
    if any(plain_name(name) in STATUS_NAMES for name in names) or any(seconds_per(name) is not None for name in names):
        return
    for row in rows[:5]:
        for name, cell in zip(names, row, strict=False):
            if is_log_line(cell) or is_record(cell):
                expected = "those lines alone, as a program prints them that reads CSV"
                raise BadInput("each row holds a line of a log", file=path, key=name, value=cell, expected=expected)


def refuse_events(rows: list[list[str]], known: Iterable[str], path: Path, how: str = "--keep {}={}") -> None:
    """Raises BadInput where a column has words for the beginning and for the end of requests: two rows are one of them.

    So too where it is named after events and has several, and nothing says what became of a request.
    rows: the first ones, the names first; known: columns by which rows are chosen or joined; how: rows are chosen.
    """
    names, *body = rows or [[]]
    if set(known) & set(names) or any(plain_name(name.rpartition(".")[2]) in REQUEST_IDS for name in names):
        return
    ended = any(plain_name(name) in STATUS_NAMES or seconds_per(name) is not None for name in names)
    for k, name in enumerate(names):
        if plain_name(name) in EVENTS:
            words = sorted({row[k] for row in body if len(row) > k and row[k]})
            begins, ends = ([one for one in words if form.search(one)] for form in (BEGINS, ENDING))
            several = plain_name(name) in EVENTS[:3] and len(words) > 1 and not ended
            if (begins and ends) or several:
                what = "rows of this file are events, of which a request has several"
                expected = f"rows of one of them: {how.format(name, (begins or words)[0])}"
                raise BadInput(what, file=path, key=name, value=", ".join(words[:4]), expected=expected)


def refuse_event_records(reader: Reader, head: Head, path: Path) -> None:
    """Raises BadInput for records in JSON that are events, where those of beginnings would count as requests."""
    if reader.name == JsonLog.name:
        records = first_records(head)
        asking = [one for one in records if ASKING & roles_of(one).keys()] or records
        how = """jq -c '.[] | select(.{} == "{}")'""" if head.listed else """jq -c 'select(.{} == "{}")'"""
        refuse_events(rows_in(asking), (), path, how)
