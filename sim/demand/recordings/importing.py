"""From recorded files to a trace: read them, find their problems, make the requested repairs."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sim.demand.recordings.arrivals import arrivals, durations_of
from sim.demand.recordings.attempts import sessions
from sim.demand.recordings.codes import (
    LARGEST,
    NOBODY,
    each,
    in_order_of_appearance,
    kinds_of,
    later_attempts,
    name_codes,
    named_users,
    numbered_users,
)
from sim.demand.recordings.findings import Draft, Finding, findings, known_repairs, order_marks, rows_to_use
from sim.demand.recordings.formats import Extra, Layout, chosen_reader, layout_of, layout_of_requests
from sim.demand.recordings.import_notes import import_notes, outcomes_said, sessions_said
from sim.demand.recordings.not_requests import refuse_event_records, refuse_events
from sim.demand.recordings.outcomes import LEAST_STATUS, statuses
from sim.demand.recordings.recorded_rows import Rows, blocks_for, read_recorded_rows
from sim.demand.recordings.recorded_times import SECOND, RecordedTimes, read_times, refuse_other_unit
from sim.demand.recordings.servegen import generated_trace
from sim.demand.recordings.trace import Trace
from sim.errors import BadInput, printable
from sim.tables.columns import read_columns
from sim.tables.files import Progress
from sim.tables.formats.reader import Asked, CountSeries, Head, Reader, Requests, reading
from sim.tables.names import PER, status_of_error
from sim.tables.times import floats, lengths, sides
from sim.tables.written_dates import Order


@dataclass(frozen=True)
class ImportOptions:
    """How a recording is read; None leaves it to detection, or to the format.

    stamped: whether times are those of the 'start' or the 'end' of a request. attempts: keep repeated attempts of one
    wish as requests of their own. values, refused: of counts (see Asked). dates: the order of day and month.
    """

    format: str | None = None
    time: str | None = None
    user: str | None = None
    images: str | None = None
    kind: str | None = None
    unit: str | None = None
    zone: str | None = None
    keep: Mapping[str, str] = field(default_factory=dict)
    kind_depth: int = 1
    longest_gap: float = 100.0  # times the mean pause; under Poisson arrivals none of 1e9 pauses reaches 40
    length: float | None = None
    seed: int = 1
    stamped: str | None = None
    attempts: bool = False
    values: str | None = None
    refused: str | None = None
    dates: Order | None = None


@dataclass(frozen=True)
class Imported:
    """A recording as read: its format, the problems found, and the trace, None where a problem is open.

    counts: of a file whose rows are counts per interval, which has no trace.
    """

    layout: str
    found: list[Finding]
    trace: Trace | None
    counts: CountSeries | None = None


def examine_recording(
    paths: list[Path], options: ImportOptions, repairs: Sequence[str] = (), progress: Progress = lambda _: None
) -> Imported:
    """Read recorded files, find their problems, and make a trace if each is repaired.

    Raises BadInput where nothing can be read: no such file or column, counts in place of arrivals, an unknown repair.
    """
    repairs = known_repairs(list(repairs))
    asked = {role: getattr(options, role) for role in ("time", "user", "images", "kind")}
    reader = None if asked["time"] else chosen_reader(paths[0], options.format)
    if reader is None:
        layout = layout_of(paths[0], options.format, asked)
        refuse_events(Head(paths[0]).rows, [*options.keep, options.kind or ""], paths[0])
    elif requests := requests_of(reader, paths[0], options.unit):
        refuse_event_records(reader, Head(paths[0]), paths[0])
        layout = layout_of_requests(reader, requests)
    else:
        return counted_recording(reader, paths, options, repairs)
    if layout.name == "servegen":
        return Imported("servegen", [], generated_trace(paths[0], options.seed, sha256_of(paths), progress))
    with ThreadPoolExecutor(2) as beside:
        digest = beside.submit(sha256_of, paths)
        rows = read_rows(paths, layout, options, progress)
        users = beside.submit(numbered_users, rows.user)
        times, layout = arrival_times(rows, layout, options, paths[0])
        draft = draft_of(rows, layout, times, users.result(), paths)
    draft = replace(draft, marks={**draft.marks, **order_marks(draft, repairs, options.longest_gap)})
    found = findings(draft, draft.marks, repairs)
    if any(one.open for one in found):
        return Imported(layout.name, found, None)
    draft = replace(draft, rows=rows.without_origins())  # which are not needed any more
    del rows, times, users
    trace = trace_from_draft(draft, layout, options, repairs, found, paths)
    return Imported(layout.name, found, replace(trace, sha256=digest.result()))


def counted_recording(reader: Reader, paths: list[Path], options: ImportOptions, repairs: list[str]) -> Imported:
    """The counts per interval of a file that holds no requests. Raises BadInput where it holds no counts either."""
    zone = options.zone or ("UTC" if "assume-zone" in repairs else None)
    with reading(paths[0], reader.title):
        counts = reader.counts(paths, Asked(zone, options.values, options.refused, options.dates))
        said = reader.figures(paths) if counts is None else ""
    if counts is None:
        what = f"this file holds {reader.title}: neither when each request came, nor how many in each interval"
        expected = "a log, records of requests, or counts" + (f". It says: {said}" if said else "")
        raise BadInput(what, file=paths[0], expected=expected)
    refuse_negative(counts, paths[0])
    return Imported(reader.name, [], None, counts)


def refuse_negative(counts: CountSeries, path: Path) -> None:
    """Raises BadInput for a count below 0."""
    for name, values in counts.series.items():
        if (values < 0).any():
            place = int(np.argmax(values < 0))
            at = datetime.fromtimestamp(0, UTC) + timedelta(seconds=int(counts.begins[place]) // SECOND)
            what = f"a count of requests is below 0, at {at:%Y-%m-%d %H:%M:%S} UTC"
            raise BadInput(what, file=path, key=name, value=float(values[place]), expected="0 or more")


def requests_of(reader: Reader, path: Path, unit: str | None) -> Requests | None:
    """How the rows of a log are read; unit: of durations that the log leaves open. Raises BadInput without it."""
    with reading(path, reader.title):
        found = reader.requests(Head(path))
    if found is None or found.asks_unit is None:
        return found
    if unit is None:
        what, value, expected = found.asks_unit
        raise BadInput(what, file=path, key="--time-unit", value=value, expected=expected)
    extra = {**found.extra, "duration_s": (found.extra["duration_s"][0], PER[unit])}
    at = "either" if unit == "ms" else found.stamped  # Tomcat stamps the answer
    notes = tuple(note for note in found.notes if "is taken for" not in note)
    return replace(found, extra=extra, stamped=at, notes=(*notes, f"durations are in {unit}, as --time-unit says"))


def arrival_times(rows: Rows, layout: Layout, options: ImportOptions, path: Path) -> tuple[RecordedTimes, Layout]:
    """The arrival times of the requests of all rows; and the layout with notes on them."""
    try:
        unit, dates = options.unit or layout.unit, options.dates
        if layout.name == "csv" and layout.unit and not options.unit:
            refuse_other_unit(rows.time, layout.roles["time"], layout.unit)
        times = read_times(rows.time, unit=unit, zone=options.zone, usual=layout.zone, dates=dates)
    except BadInput as wrong:
        raise wrong.but(file=path) from None
    durations = None
    notes: tuple[str, ...] = ()
    if "duration_s" in layout.extra:
        durations = durations_of(extra_values(rows.coded["extra.duration_s"], layout.extra["duration_s"]))
    if layout.name not in ("gentd26", "gentd26-fleet"):
        times, notes = arrivals(times, durations, layout.stamped, options.stamped, options.seed, str(path), rows.file)
    return times, replace(layout, notes=(*layout.notes, *notes), stamped=options.stamped or layout.stamped)


def read_rows(paths: list[Path], layout: Layout, options: ImportOptions, progress: Progress) -> Rows:
    """The columns that the layout names, of the rows to keep."""
    roles = {**layout.roles, **{f"extra.{name}": extra.column for name, extra in layout.extra.items()}}
    keep = {layout.roles.get(name, name): text for name, text in options.keep.items()}
    return read_recorded_rows(
        paths,
        blocks_for(layout, options.unit, options.dates, options.kind_depth),
        roles,
        keep,
        progress,
        layout.leave_out,
    )


def draft_of(
    rows: Rows, layout: Layout, times: RecordedTimes, user: NDArray[np.int64] | None, paths: list[Path]
) -> Draft:
    """The rows as numbers, with the marks of what each row alone has wrong."""
    images, bad = images_requested(rows.coded["images"]) if "images" in rows.coded else (None, None)
    if layout.requests is not None and user is not None and (user < 0).all():
        user = None
    marks = dict(times.marks)
    if bad is not None:
        marks["bad images"] = bad
    if user is not None and layout.requests is None:
        marks["no user"] = user < 0
    request = numbered_users(rows.request)
    if "retry" in rows.coded and user is None and request is None:  # of nobody known
        marks["rows of one request"] = later_attempts(rows.coded["retry"])
    said = layout.extra.get("status")
    return Draft(
        rows=rows,
        times=times,
        images=np.broadcast_to(np.nan, len(rows)) if images is None else images,
        user=user,
        request=request,
        status=extra_values(rows.coded["extra.status"], said) if said else np.broadcast_to(np.nan, len(rows)),
        marks=marks,
        real_repeats=layout.real_repeats,
        any_order=layout.requests is not None or layout.stamped == "end",
        files=tuple(path.name for path in paths),
    )


def images_requested(column: Any) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Images requested, nan where the recording does not say; and the rows whose text is not a count."""
    values = each(column, floats)
    empty = each(column, lambda words: pc.equal(words, "").to_numpy(zero_copy_only=False))
    good = (values >= 1) & (values <= LARGEST) & (values == np.floor(values))
    return np.where(good, values, np.nan), ~good & ~empty


def extra_values(column: Any, extra: Extra) -> NDArray[np.float64]:
    """A further column as numbers; nan where a cell is not a number."""
    if extra.equals:
        return each(column, lambda words: pc.equal(words, extra.equals).to_numpy(zero_copy_only=False).astype(float))
    if extra.area:
        return each(column, sides)
    if extra.errors:
        return each(column, lambda words: np.array([float(status_of_error(one)) for one in words.to_pylist()]))
    if extra.outcome:
        found = each(column, statuses)
        other = np.nanmax(found, initial=0.0) < LEAST_STATUS and np.isfinite(found).any()  # codes of another kind
        return np.full(len(found), np.nan) if other else found
    return each(column, partial(lengths, per=extra.per))


def trace_from_draft(
    draft: Draft, layout: Layout, options: ImportOptions, repairs: list[str], found: list[Finding], paths: list[Path]
) -> Trace:
    """The trace of a draft of which every problem is settled, still without the digest of its files."""
    rows, times = draft.rows, draft.times
    order = order_of(draft, repairs, paths)
    start, seconds = at_first_second(times.start, np.maximum(times.seconds[order], 0.0))
    kind, kinds = kinds_of(rows.coded["kind"], order) if "kind" in rows.coded else (np.zeros(len(order)), ("",))
    extra = further_columns(rows, layout, order)
    notes: tuple[str, ...] = (*outcomes_said(extra), *unread_said(rows, layout, order, extra, paths))
    whose = draft.request if draft.user is None else draft.user
    if "status" in extra and whose is not None and not options.attempts:
        lasted = extra.get("duration_s", np.zeros(len(order)))
        wishes = sessions(seconds, lasted, named_users(whose[order]), kind.astype(np.int64), extra["status"])
        if wishes is not None:
            notes = (*notes, *sessions_said(wishes))
            first = np.flatnonzero(wishes.first)
            order, seconds, kind = order[first], seconds[first], kind[first]
            extra = {name: values[first] for name, values in extra.items()} | {"attempts": wishes.attempts[first]}
    if layout.name == "gentd26-fleet":
        extra |= load_seconds(rows, order, paths)
    images = draft.images[order]
    return Trace(
        times=seconds,
        user=in_order_of_appearance(draft.user[order]) if draft.user is not None else np.arange(len(order)),
        images=np.nan_to_num(images, nan=1.0).astype(np.int16),
        kind=kind.astype(np.int16),
        kinds=kinds,
        start=start,
        length=recorded_length(seconds, layout, options),
        users_known=draft.user is not None,
        source=", ".join(draft.files),
        sha256="",
        recorded_as=layout.name,
        notes=(*import_notes(draft, layout, found, int(np.isnan(images).sum())), *notes),
        extra=extra,
        tick=times.tick,
    )


def order_of(draft: Draft, repairs: list[str], paths: list[Path]) -> NDArray[np.int64]:
    """The rows that are used, in order of time. Raises BadInput where none is left."""
    stay = rows_to_use(draft.marks, draft.times, repairs)
    if not stay.any():
        raise BadInput("no row is left after the repairs", file=paths[0])
    order = draft.by_time if stay.all() else draft.by_time[stay[draft.by_time]]
    early = draft.times.seconds[order] < 0  # these stay in the order of the file
    if early.any():
        order = order.copy()
        order[early] = np.sort(order[early])
    return order


def further_columns(rows: Rows, layout: Layout, order: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """The further columns of numbers and the servers by number, in this order of rows."""
    extra = {name: extra_values(rows.coded[f"extra.{name}"], one)[order] for name, one in layout.extra.items()}
    extra |= {name: durations_of(extra[name]) for name in extra if layout.requests and name.endswith("_s")}
    if "server" in rows.coded:
        servers = name_codes(rows.coded["server"])[order].astype(np.float64)
        extra["server"] = np.where(servers < 0, np.nan, servers)
    return extra


def unread_said(
    rows: Rows, layout: Layout, order: NDArray[np.int64], extra: dict[str, NDArray[np.float64]], paths: list[Path]
) -> Iterator[str]:
    """Which further columns have texts that are no numbers, and so are taken as unknown.

    Raises BadInput for a column of times of which none can be read.
    """
    for name, one in layout.extra.items():
        column = rows.coded[f"extra.{name}"]
        if name not in extra or not np.isnan(extra[name]).any():
            continue
        filled = each(column, lambda words: ~pc.is_in(words, NOBODY.cast(words.type)).to_numpy(zero_copy_only=False))
        lost = np.flatnonzero(filled[order] & np.isnan(extra_values(column, one)[order]))
        if len(lost) == filled.sum() > 0 and name.endswith("_s"):
            what, text = "no text of this column can be read as a number", column[int(order[lost[0]])].as_py()
            expected = "a number like 1500.5; a comma where the column shows what it is, as 1,500.5 does; or 0:02:05"
            raise BadInput(what, file=paths[0], key=one.column, value=text, expected=expected)
        if len(lost):
            text = printable(column[int(order[lost[0]])].as_py())
            kind = "outcome of a request" if one.outcome else "numbers"
            yield f"{one.column}: {len(lost):,} texts are no {kind}, the first {text!r}: taken as unknown"


def at_first_second(start: int | None, times: NDArray[np.float64]) -> tuple[datetime | None, NDArray[np.float64]]:
    """The start as an instant, moved to the second of the first remaining row."""
    if start is None:
        return None, times
    late = float(np.floor(times[0]))
    return datetime.fromtimestamp(0, UTC) + timedelta(seconds=start // SECOND + int(late)), times - late


def recorded_length(times: NDArray[np.float64], layout: Layout, options: ImportOptions) -> float:
    """Seconds that a recording covers: up to one tick of its clock, or one mean pause, after its last row."""
    last, n = float(times[-1]), len(times)
    if options.length is not None:
        if not last < options.length < np.inf:
            expected = f"above {last:g} s"
            raise BadInput("the recording is longer", key="--length", value=options.length, expected=expected)
        return options.length
    coarse = 1.0 if (times == np.floor(times)).all() else None
    pause = (last - float(times[0])) / (n - 1) if n > 1 else 1.0
    return max(last + (layout.step or coarse or pause), float(np.nextafter(last, np.inf)))


def load_seconds(rows: Rows, order: NDArray[np.int64], paths: list[Path]) -> dict[str, NDArray[np.float64]]:
    """Seconds of loading a pipeline in the same pod and minute, from the file of loads beside; nan without a load."""
    beside = [path.with_name(path.name.replace("pipeline_inference_data", "pipeline_update_latency")) for path in paths]
    if not all(path.is_file() and path not in paths for path in beside):
        return {}
    parts = []
    for path in beside:
        columns = read_columns(path, ("timestamp_anon", "container_ip", "value"))
        where = [columns[name].texts.to_pylist() for name in ("timestamp_anon", "container_ip")]
        parts.append(pd.Series(floats(columns["value"].texts) / 1000.0, index=pd.MultiIndex.from_arrays(where)))
    known = pd.concat(parts)
    known = known[~known.index.duplicated()]
    pods = rows.coded["pod"].cast(pa.string())
    here = pd.MultiIndex.from_arrays([rows.time.take(order).to_pylist(), pods.take(order).to_pylist()])
    return {"load_s": np.asarray(known.reindex(here), dtype=np.float64)}


def sha256_of(paths: list[Path]) -> str:
    """The SHA-256 of the bytes of all files in turn."""
    sha = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                sha.update(block)
    return sha.hexdigest()
