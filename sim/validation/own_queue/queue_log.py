"""A recorded queue: of each request when it came, how long it waited, how long it was served or that it hung up."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.demand.recordings.rows import header, table_blocks
from sim.errors import BadInput, printable
from sim.validation.own_queue.log_times import DAY, STAMP, Axis, Floats, Texts, axis_of, durations, instants

NAMES = ("arrived", "date", "waited", "started", "left", "served", "ended", "server", "abandoned", "ignored")
MARKS = ("abandoned", "ignored")  # told by the values of a column
YES, NO = ("1", "true", "yes", "y"), ("0", "false", "no", "n", "")
MOST_LISTED, LONGEST = 12, 40  # names in a message, and letters of one
INSTEAD = {"waited": ("started", "left"), "started": ("waited",), "left": ("waited",), "served": ("ended",)}
INSTEAD |= {"ended": ("served",)}

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class QueueLog:
    """A queue's log, in order of arrival.

    arrived: float64 (n,), seconds after midnight of the first day. waited: float64 (n,), seconds until service began,
    or until the caller hung up. served: float64 (n,), seconds of service; nan of those who hung up. abandoned: bool
    (n,). server: int64 (n,), who served; -1 where that is not known.
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
        """Of each request the day it came on: 0 is the first."""
        return (self.arrived // DAY).astype(np.int64)

    @property
    def days(self) -> list[int]:
        """The days on which anybody came, in order."""
        return [int(day) for day in np.unique(self.day)]

    def of(self, rows: Any) -> "QueueLog":
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
        """Those who came on some days."""
        return self.of(np.isin(self.day, days))


@dataclass(frozen=True)
class Column:
    """A column of the log, and the values that make a row one of those that are marked; none: it says yes or no."""

    name: str
    values: tuple[str, ...] = ()


def read_queue(file: Path, given: Sequence[str] = ()) -> QueueLog:
    """The log in a CSV (also .csv.gz) or Parquet file. given: NAME=COLUMN, or NAME=COLUMN:VALUE|VALUE.

    Raises BadInput for a file, a column or a value that cannot be read. Rows that lack a value, or have one below 0,
    are left out and counted in the notes.
    """
    names = header(file)
    columns = mapped(given, names, file)
    texts = texts_of(file, columns)
    notes: list[str] = []
    if "ignored" in columns:
        gone = marked(texts["ignored"], columns["ignored"])
        notes += counted(gone, f"Left out, as told by '{columns['ignored'].name}'")
        texts = {name: rows_of(column, ~gone) for name, column in texts.items()}
    if "date" in texts and texts["arrived"].match(STAMP).any():
        texts.pop("date")  # the times have their own
    dates = texts.get("date")
    if not len(texts["arrived"].values):
        raise BadInput("the log has no rows", file=file)
    axis = axis_of(texts["arrived"], dates)
    arrived = instants(texts["arrived"], dates, axis)
    abandoned = np.zeros(len(arrived), dtype=bool)
    if "abandoned" in columns:
        abandoned = marked(texts["abandoned"], columns["abandoned"])
    waited = waits(texts, arrived, abandoned, axis)
    served = np.where(abandoned, np.nan, services(texts, arrived, waited, axis))
    server = servers_of(texts, abandoned)
    return sound(QueueLog(arrived, waited, served, abandoned, server, axis), notes, file, named="server" in texts)


def servers_of(texts: dict[str, Texts], abandoned: Mask) -> NDArray[np.int64]:
    """The servers by number, in order of their names; -1 where nobody is named, or nobody served."""
    server = np.full(len(abandoned), -1, dtype=np.int64)
    if "server" in texts:
        known = texts["server"].given & ~abandoned
        server[known] = pd.factorize(texts["server"].values[known], sort=True)[0]
    return server


def sound(log: QueueLog, notes: list[str], file: Path, *, named: bool) -> QueueLog:
    """The rows that can be replayed, in order of arrival; the others are counted."""
    missing = np.isnan(log.arrived) | np.isnan(log.waited) | (np.isnan(log.served) & ~log.abandoned)
    negative = ~missing & ((log.waited < 0) | (log.served < 0))
    notes += counted(missing, "Left out, since a time is missing")
    if (missing & ~np.isnan(log.waited) & np.isnan(log.served)).any():
        notes.append("Those of them that waited and were not served may have hung up: --map abandoned=COLUMN:VALUE.")
    notes += counted(negative, "Left out, since a wait or a service is below 0")
    kept = np.flatnonzero(~missing & ~negative)
    if not len(kept):
        raise BadInput("no row of the log can be replayed", file=file, value=" ".join(notes) or None)
    log = log.of(kept[np.argsort(log.arrived[kept], kind="stable")])
    if named:
        notes += counted((log.server < 0) & ~log.abandoned, "Served by nobody who is named")
    if log.axis.zoned:
        notes.append("Times with a zone are read in UTC, and so are days and hours.")
    return replace(log, notes=tuple(notes))


def counted(rows: Mask, what: str) -> list[str]:
    """A note on some rows; none where there are none."""
    return [f"{what}: {int(rows.sum()):,} row{'s' if rows.sum() > 1 else ''}."] if rows.any() else []


def mapped(given: Sequence[str], names: list[str], file: Path) -> dict[str, Column]:
    """Which column is what: as given, else the column of that very name. Raises BadInput."""
    found: dict[str, Column] = {}
    for text in given:
        name, _, column = text.partition("=")
        if name not in NAMES or not column:
            expected = f"NAME=COLUMN, with a name of {', '.join(NAMES)}"
            raise BadInput("this does not say what a column is", key="--map", value=text, expected=expected)
        if name in found:
            raise BadInput("this is said twice", key="--map", value=text, expected=f"one column for {name}")
        values: tuple[str, ...] = ()
        if name in MARKS and column not in names:
            column, _, marks = column.rpartition(":")
            values = tuple(mark.strip() for mark in marks.split("|"))
        if column not in names:
            expected = f"one of its columns: {listed(names)}"
            raise BadInput("the file has no such column", file=file, key="--map", value=text, expected=expected)
        found[name] = Column(column, values)
    told = {other for name in found for other in INSTEAD.get(name, ())}
    for name in NAMES:
        if name in names and name not in found and name not in told:
            found[name] = Column(name)
    wanted: list[tuple[str, ...]] = [("arrived",), ("waited", "started"), ("served", "ended")]
    for needed in wanted:
        if not set(needed) & set(found):
            expected = " or ".join(f"--map {name}=COLUMN" for name in needed) + f"; its columns: {listed(names)}"
            raise BadInput(f"nothing says when, or for how long: {needed[0]}", file=file, expected=expected)
    return found


def listed(names: Sequence[str]) -> str:
    """Names for a message: a few of them, none of them long."""
    more = f", and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return ", ".join(printable(name[:LONGEST]) for name in names[:MOST_LISTED]) + more or "none"


def texts_of(file: Path, columns: dict[str, Column]) -> dict[str, Texts]:
    """The texts of the columns by their name here. Raises BadInput for a line that is not a row."""
    wrong: list[tuple[int, str]] = []
    blocks = list(table_blocks(file, wrong, lambda _: None))
    if wrong:
        line, text = wrong[0]
        expected = f"as many values as there are columns; {len(wrong)} lines are not so"
        raise BadInput("this line is not a row", file=file, key=f"row {line}", value=text, expected=expected)
    if not sum(len(block.lines) for block in blocks):
        raise BadInput("the log has no rows", file=file)
    lines = np.concatenate([block.lines for block in blocks])

    def texts(column: str) -> Texts:
        values = [value for block in blocks for value in block.columns[column].to_pylist()]
        return Texts(pd.Series(values, dtype=object).str.strip(), lines, column, file)

    return {name: texts(column.name) for name, column in columns.items()}


def rows_of(texts: Texts, kept: Mask) -> Texts:
    return Texts(texts.values[kept].reset_index(drop=True), texts.lines[kept], texts.column, texts.file)


def marked(texts: Texts, column: Column) -> Mask:
    """The rows with one of the column's values, capital or small. Raises BadInput for a value that no row has.

    A column for which no value is told must say yes or no: BadInput where it says anything else.
    """
    lower = texts.values.str.lower()
    if not column.values:
        odd = ~np.asarray(lower.isin([*YES, *NO]), dtype=bool)
        texts.refuse(odd, f"yes or no (1 or 0, true or false); or --map NAME={column.name}:VALUE")
        return np.asarray(lower.isin(YES), dtype=bool)
    for value in column.values:
        if not (lower == value.lower()).any():
            there = listed(sorted(set(texts.values)))
            raise BadInput("no row has this value", file=texts.file, key=column.name, value=value, expected=there)
    return np.asarray(lower.isin([value.lower() for value in column.values]), dtype=bool)


def waits(texts: dict[str, Texts], arrived: Floats, abandoned: Mask, axis: Axis) -> Floats:
    """Seconds in the queue: a column, or from arrival to the start of service, or to hanging up."""
    if "waited" in texts:
        return durations(texts["waited"])
    dates = texts.get("date")
    started = after(instants(texts["started"], dates, axis), arrived, axis)
    if not abandoned.any():
        return started - arrived
    if "left" not in texts:
        expected = "--map left=COLUMN (when they hung up) or --map waited=COLUMN"
        raise BadInput("nothing says how long those waited who hung up", file=texts["arrived"].file, expected=expected)
    left = after(instants(texts["left"], dates, axis), arrived, axis)
    return np.where(abandoned, left, started) - arrived


def services(texts: dict[str, Texts], arrived: Floats, waited: Floats, axis: Axis) -> Floats:
    """Seconds of service: a column, or from its start to its end."""
    if "served" in texts:
        return durations(texts["served"])
    return after(instants(texts["ended"], texts.get("date"), axis), arrived, axis) - (arrived + waited)


def after(times: Floats, arrived: Floats, axis: Axis) -> Floats:
    """Times of day that are more than half a day before the arrival are of the day after it."""
    return times + DAY * (arrived - times > DAY / 2) if axis.kind == "dates" else times
