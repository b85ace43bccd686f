"""The log of a queue: when each request came, how long it waited, and how long it was served or that it hung up."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sim.errors import BadInput
from sim.tables.columns import Column, listed, read_columns, require
from sim.tables.formats.instants import are_sheet_days, serial_days
from sim.tables.headers import column_names
from sim.tables.times import Floats, Mask
from sim.tables.written_dates import in_iso
from sim.validation.own_queue.queue_times import DAY, WITH_TIME, Axis, axis_of, durations_of, instants

NAMES = ("arrived", "date", "waited", "started", "left", "served", "ended", "server", "abandoned", "ignored")
TIMES = ("arrived", "started", "left", "ended")
MARKS = ("abandoned", "ignored")  # true of the rows with certain values in a column
YES, NO = ("1", "true", "yes", "y"), ("0", "false", "no", "n", "")
INSTEAD = {"waited": ("started", "left"), "started": ("waited",), "left": ("waited",), "served": ("ended",)}
INSTEAD |= {"ended": ("served",)}


@dataclass(frozen=True)
class QueueLog:
    """A queue's log, in order of arrival.

    arrived: float64 (n,), seconds after midnight of the first day. waited: float64 (n,), seconds until service began,
    or until the caller hung up. served: float64 (n,), seconds of service; nan of callers who hung up. abandoned: bool
    (n,). server: int64 (n,), the server's number; -1 where that is not known.
    """

    arrived: Floats
    waited: Floats
    served: Floats
    abandoned: Mask
    server: NDArray[np.int64]
    axis: Axis
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.arrived)

    @property
    def first(self) -> date | None:
        """The date of the first day, where the log has dates."""
        return self.axis.first

    @property
    def day(self) -> NDArray[np.int64]:
        """The day on which each request came: 0 is the first."""
        return (self.arrived // DAY).astype(np.int64)

    @property
    def days(self) -> list[int]:
        """The days on which anybody came, in order."""
        return [int(day) for day in np.unique(self.day)]

    def rows(self, rows: Any) -> "QueueLog":
        """Some rows, by their places or a mask."""
        return replace(
            self,
            arrived=self.arrived[rows],
            waited=self.waited[rows],
            served=self.served[rows],
            abandoned=self.abandoned[rows],
            server=self.server[rows],
        )

    def on(self, days: Sequence[int]) -> "QueueLog":
        """The requests of some days."""
        return self.rows(np.isin(self.day, days))


@dataclass(frozen=True)
class MappedColumn:
    """A column of the log, and the values that mark a row; without values, the column says yes or no."""

    column: str
    values: tuple[str, ...] = ()


def read_queue(file: Path, given: Sequence[str] = (), drop: Sequence[str] = ()) -> QueueLog:
    """The log in a CSV (also .csv.gz) or Parquet file. given: NAME=COLUMN, or NAME=COLUMN:VALUE|VALUE.

    drop: COLUMN:VALUE|VALUE, rows to leave out. Several conditions of one name, and several drops, add up.

    Raises BadInput for a file, a column or a value that cannot be read. Rows in which a value is missing or below 0
    are left out and counted in the notes.
    """
    names = column_names(file)
    sources, more = mapped_columns([*given, *(f"ignored={text}" for text in drop)], names, file)
    table = read_columns(file, dict.fromkeys(one.column for one in (*sources.values(), *(two for _, two in more))))
    columns = {name: iso_dates(table[source.column], name) for name, source in sources.items()}
    further = [(name, marked(table[source.column], source)) for name, source in more]
    notes: list[str] = []
    if "ignored" in columns:
        ignored = np.logical_or.reduce([marked(columns["ignored"], sources["ignored"]), *marks_of("ignored", further)])
        what = [source.column for name, source in (*sources.items(), *more) if name == "ignored"]
        named = "', '".join(dict.fromkeys(what))
        notes += note_on_rows(ignored, f"Left out because of '{named}'")
        columns = {name: column.keep(~ignored) for name, column in columns.items()}
        further = [(name, mark[~ignored]) for name, mark in further]
    if not len(columns["arrived"]):
        raise BadInput("the log has no rows", file=file)
    if "date" in columns and columns["arrived"].match(WITH_TIME).any():
        columns.pop("date")  # the arrivals have dates of their own
    dates = columns.get("date")
    axis = axis_of(columns["arrived"], dates)
    arrived = instants(columns["arrived"], dates, axis)
    abandoned = np.zeros(len(arrived), dtype=bool)
    if "abandoned" in columns:
        abandoned = np.logical_or.reduce(
            [marked(columns["abandoned"], sources["abandoned"]), *marks_of("abandoned", further)]
        )
    elif {"left", "started"} <= set(columns):  # whoever left without a start has hung up
        abandoned = columns["left"].given & ~columns["started"].given
    waited = waits(columns, arrived, abandoned, axis)
    served = np.where(abandoned, np.nan, services(columns, arrived, waited, axis))
    server = servers_of(columns, abandoned)
    log = QueueLog(arrived, waited, served, abandoned, server, axis)
    return replayable(log, notes, file, named="server" in columns)


def marks_of(name: str, found: Sequence[tuple[str, Mask]]) -> list[Mask]:
    return [mark for other, mark in found if other == name]


def iso_dates(column: Column, name: str) -> Column:
    """Dates like 07/04/2025 as 2025-04-07, in the order that the column shows, else BadInput; days of a spreadsheet."""
    filled = column.texts.filter(pa.array(column.given))
    if name in TIMES and are_sheet_days(filled):
        days = dict(zip(filled.to_pylist(), serial_days(filled.to_pylist()), strict=True))
        return replace(column, texts=pa.array([days.get(text, "") for text in column.texts.to_pylist()]))
    try:
        return replace(column, texts=in_iso(column.texts))
    except BadInput as wrong:
        row = column.texts.to_pylist().index(wrong.value)
        raise column.wrong(row, "a day above 12 somewhere, or dates like 2025-03-31", wrong.message) from None


def servers_of(columns: dict[str, Column], abandoned: Mask) -> NDArray[np.int64]:
    """The servers by number, in order of their names; -1 where nobody is named, or nobody served."""
    server = np.full(len(abandoned), -1, dtype=np.int64)
    if "server" in columns:
        known = columns["server"].given & ~abandoned
        names = np.asarray(columns["server"].texts.to_pylist(), dtype=object)
        server[known] = pd.factorize(names[known], sort=True)[0]
    return server


def replayable(log: QueueLog, notes: list[str], file: Path, *, named: bool) -> QueueLog:
    """The rows that can be replayed, in order of arrival; the others are counted."""
    missing = np.isnan(log.arrived) | np.isnan(log.waited) | (np.isnan(log.served) & ~log.abandoned)
    negative = ~missing & ((log.waited < 0) | (log.served < 0))
    notes += note_on_rows(missing, "Left out because a time is missing")
    if (missing & ~np.isnan(log.waited) & np.isnan(log.served)).any():
        notes.append("Those of them that waited and were not served may have hung up: --map abandoned=COLUMN:VALUE.")
    notes += note_on_rows(negative, "Left out because a wait or a service is below 0")
    kept = np.flatnonzero(~missing & ~negative)
    if not len(kept):
        raise BadInput("no row of the log can be replayed", file=file, value=" ".join(notes) or None)
    log = log.rows(kept[np.argsort(log.arrived[kept], kind="stable")])
    if named:
        notes += note_on_rows((log.server < 0) & ~log.abandoned, "Served, but the server is not named")
    each = np.column_stack([log.arrived, log.waited, np.nan_to_num(log.served, nan=-1.0), log.server])
    _, place = np.unique(each, axis=0, return_index=True)
    again = np.isin(np.arange(len(each)), place, invert=True) & (each[:, 0] % 60.0 != 0)
    notes += note_on_rows(again, "Warning: equal to another row in each time, as where a part is in the log twice")
    if log.axis.zoned:
        notes.append("Times with a zone are read in UTC, and so are days and hours.")
    return replace(log, notes=tuple(notes))


def note_on_rows(rows: Mask, what: str) -> list[str]:
    """A note on some rows; none where there are none."""
    return [f"{what}: {int(rows.sum()):,} row{'s' if rows.sum() > 1 else ''}."] if rows.any() else []


def mapped_columns(
    given: Sequence[str], names: list[str], file: Path
) -> tuple[dict[str, MappedColumn], list[tuple[str, MappedColumn]]]:
    """The column of each name, as given or of that very name; and further conditions of marks. Raises BadInput."""
    found: dict[str, MappedColumn] = {}
    more: list[tuple[str, MappedColumn]] = []
    for text in given:
        name, source = mapped_column(text, names, file)
        if name in found and name not in MARKS:
            raise BadInput("this name is mapped twice", key="--map", value=text, expected=f"one column for {name}")
        if name in found:
            more.append((name, source))
        else:
            found[name] = source
    replaced = {other for name in found for other in INSTEAD.get(name, ())}
    for name in NAMES:
        if name in names and name not in found and name not in replaced:
            found[name] = MappedColumn(name)
    wanted: list[tuple[str, ...]] = [("arrived",), ("waited", "started"), ("served", "ended")]
    for needed in wanted:
        if not set(needed) & set(found):
            expected = " or ".join(f"--map {name}=COLUMN" for name in needed) + f"; its columns: {listed(names)}"
            raise BadInput(f"no column says when, or for how long: {needed[0]}", file=file, expected=expected)
    return found, more


def mapped_column(text: str, names: list[str], file: Path) -> tuple[str, MappedColumn]:
    """The name and the column of NAME=COLUMN, or of NAME=COLUMN:VALUE|VALUE. Raises BadInput."""
    name, _, column = text.partition("=")
    if name not in NAMES or not column:
        expected = f"NAME=COLUMN, with a name of {', '.join(NAMES)}"
        raise BadInput("this does not say what a column is", key="--map", value=text, expected=expected)
    values: tuple[str, ...] = ()
    if name in MARKS and column not in names:
        column, _, marks = column.rpartition(":")
        values = tuple(mark.strip() for mark in marks.split("|"))
    require([column], names, file, "--map", text)
    return name, MappedColumn(column, values)


def marked(column: Column, source: MappedColumn) -> Mask:
    """The rows with one of the source's values, in any case. Raises BadInput for a value that no row has.

    Without values, the column must say yes or no: BadInput where it says anything else.
    """
    lower = np.asarray(pc.utf8_lower(column.texts).to_pylist(), dtype=object)
    if not source.values:
        expected = f"yes or no (1 or 0, true or false); or --map NAME={column.name}:VALUE"
        column.refuse(~np.isin(lower, [*YES, *NO]), expected)
        return np.isin(lower, YES)
    for value in source.values:
        if not (lower == value.lower()).any():
            there = listed(sorted(set(column.texts.to_pylist())))
            raise BadInput("no row has this value", file=column.file, key=column.name, value=value, expected=there)
    return np.isin(lower, [value.lower() for value in source.values])


def waits(columns: dict[str, Column], arrived: Floats, abandoned: Mask, axis: Axis) -> Floats:
    """Seconds in the queue: a column, or from arrival to the start of service, or to hanging up."""
    if "waited" in columns:
        return durations_of(columns["waited"])
    dates = columns.get("date")
    started = past_midnight(instants(columns["started"], dates, axis), arrived, axis)
    if not abandoned.any():
        return started - arrived
    if "left" not in columns:
        expected = "--map left=COLUMN (when they hung up) or --map waited=COLUMN"
        what = "no column says how long the callers who hung up had waited"
        raise BadInput(what, file=columns["arrived"].file, expected=expected)
    left = past_midnight(instants(columns["left"], dates, axis), arrived, axis)
    return np.where(abandoned, left, started) - arrived


def services(columns: dict[str, Column], arrived: Floats, waited: Floats, axis: Axis) -> Floats:
    """Seconds of service: a column, or from its start to its end."""
    if "served" in columns:
        return durations_of(columns["served"])
    ended = past_midnight(instants(columns["ended"], columns.get("date"), axis), arrived, axis)
    return ended - (arrived + waited)


def past_midnight(times: Floats, arrived: Floats, axis: Axis) -> Floats:
    """Times of day that are more than half a day before the arrival are of the day after it."""
    return times + DAY * (arrived - times > DAY / 2) if axis.kind == "dates" else times
