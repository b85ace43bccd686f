"""The problems of a recording and the repairs that were asked for: nothing is repaired silently."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.demand.recordings.recorded_rows import Rows
from sim.demand.recordings.recorded_times import RecordedTimes
from sim.errors import BadInput, printable, shortened
from sim.tables.hashes import Hashes
from sim.tables.times import Mask

DROP = {"drop-invalid": "leave these rows out"}

# Every problem, the repairs that settle it, and what each of them does.
PROBLEMS: dict[str, dict[str, str]] = {
    "broken lines": DROP,
    "unreadable times": DROP,
    "mixed types": DROP,
    "absurd times": DROP,
    "negative times": {"clip-negative": "set them to 0", **DROP},
    "no zone": {"assume-zone": "read them as UTC; --zone says otherwise"},
    "mixed zones": {"assume-zone": "read those without a zone as UTC, or as --zone says"},
    "clock change": {
        "assume-zone": "of an hour that came twice take the first, of one that was skipped the end",
        **DROP,
    },
    "bad images": {"assume-one": "read them as one image", **DROP},
    "no user": {"assume-user": "make each row a user of its own", **DROP},
    "overlapping files": {
        "drop-overlap": "keep the rows of the first of these files",
        "drop-duplicates": "keep the first of each, also within a file",
        "keep-duplicates": "keep them all",
    },
    "duplicates": {"drop-duplicates": "keep the first of each", "keep-duplicates": "keep them all"},
    "rows of one request": {"drop-duplicates": "keep the first of each", "keep-duplicates": "each is a request"},
    "disorder": {"sort": "put the rows in order of time"},
    "gaps": {"keep-gaps": "keep the silence; a gap alone does not stop the import"},
}
REPAIRS = {repair: None for repairs in PROBLEMS.values() for repair in repairs}
WARNINGS = {"gaps"}
ERRORS = 400  # statuses from there on
OVERLAP, FEWEST = 0.5, 5  # share of a file's rows of some time, and rows, in another file too: both overlap


@dataclass(frozen=True)
class Finding:
    """One problem: how many rows have it, the first of them, and how it can be or was settled.

    repair: the requested repair that settles it; '' where there is none.
    warning: it does not stop the import.
    """

    problem: str
    rows: int
    where: str
    value: str
    repair: str
    warning: bool

    @property
    def open(self) -> bool:
        """Whether the recording is refused because of it."""
        return not self.repair and not self.warning

    def remedy(self) -> str:
        """What --repair would do, in words."""
        ways = PROBLEMS[self.problem]
        if self.repair:
            return f"{self.repair}: {ways[self.repair]}"
        return "; or ".join(f"{name}: {what}" for name, what in ways.items())


@dataclass(frozen=True)
class Draft:
    """A recording between its texts and a trace: what was read, and which rows have which problem.

    images, status: float64 (n,), nan where unknown. user, request: int64 (n,), -1 where a row names none; None without
    such a column. marks: bool (n,) for each problem of rows. real_repeats: equal rows are known to be different
    requests. any_order: rows are not written in order of their arrivals, so that disorder is no problem.
    """

    rows: Rows
    times: RecordedTimes
    images: NDArray[np.float64]
    user: NDArray[np.int64] | None
    request: NDArray[np.int64] | None
    status: NDArray[np.float64]
    marks: dict[str, Mask]
    real_repeats: bool
    files: tuple[str, ...]
    any_order: bool = False

    @cached_property
    def by_time(self) -> NDArray[np.int64]:
        """The places of the rows in order of time."""
        seconds = self.times.seconds
        ascending = bool((seconds[1:] >= seconds[:-1]).all())  # which nan is not
        return np.arange(len(seconds)) if ascending else np.argsort(seconds, kind="stable")


def known_repairs(names: list[str]) -> list[str]:
    """The repairs as asked for. Raises BadInput for one that does not exist."""
    for name in names:
        if name not in REPAIRS:
            raise BadInput("there is no such repair", key="--repair", value=name, expected=", ".join(REPAIRS))
    return names


def repair_of(problem: str, repairs: list[str]) -> str:
    """The first of the repairs asked for that settles a problem; '' where none does."""
    return next((name for name in repairs if name in PROBLEMS[problem]), "")


def order_marks(draft: Draft, repairs: list[str], longest_gap: float) -> dict[str, Mask]:
    """The problems between rows that stay: duplicates, disorder and gaps."""
    good = rows_to_use(draft.marks, draft.times, repairs)
    every = bool(good.all())
    places: Any = slice(None) if every else np.flatnonzero(good)
    marks = {name: np.zeros(len(draft.rows), dtype=bool) for name in ("duplicates", "disorder", "gaps")}
    same = draft.rows.same[places]
    ordered = np.sort(same)
    if (ordered[1:] == ordered[:-1]).any():
        marks["duplicates"][places] = pd.Series(same).duplicated().to_numpy()
        marks["overlapping files"] = overlap(draft, places, same)
        marks["duplicates"] &= ~marks["overlapping files"]
    if draft.request is not None:
        marks["rows of one request"] = good & ~marks["duplicates"] & further_rows(draft, good)
    times = draft.times.seconds[places]
    if len(times) > 1:
        if not draft.any_order:
            marks["disorder"][places] = np.append(False, times[1:] < np.maximum.accumulate(times)[:-1])
        order = draft.by_time if every else draft.by_time[good[draft.by_time]]
        pauses = np.diff(draft.times.seconds[order])
        marks["gaps"][order[1:]] = pauses > longest_gap * pauses.mean()
    return marks


def further_rows(draft: Draft, good: Mask) -> Mask:
    """Rows of a request that an earlier row is of too, as of its end, its steps or its pieces.

    A row behind one that failed is another attempt, and so none of these.
    """
    assert draft.request is not None
    found = np.zeros(len(draft.rows), dtype=bool)
    order = draft.by_time[(good & (draft.request >= 0))[draft.by_time]]
    order = order[np.argsort(draft.request[order], kind="stable")]
    same = np.diff(draft.request[order]) == 0
    status = draft.status[order][:-1]
    found[order[1:][same & ~((status >= ERRORS) | (status == 0))]] = True
    return found


def overlap(draft: Draft, places: Any, same: Hashes) -> Mask:
    """Which rows are in an earlier file too, where files overlap as rotated logs do: where most rows of a time are.

    Equal rows of two servers' logs by chance are no overlap.
    """
    found = np.zeros(len(draft.rows), dtype=bool)
    if len(draft.files) < 2:
        return found
    file, seconds = pd.Series(draft.rows.file[places]), draft.times.seconds[places]
    twice = np.array(file != file.groupby(same).transform("first"))
    for number in np.unique(file[twice]):
        mine = (file == number).to_numpy()
        begin, end = (float(edge(seconds[mine & twice])) for edge in (np.min, np.max))
        there = mine & (seconds >= begin) & (seconds <= end)
        if (mine & twice).sum() < max(OVERLAP * there.sum(), FEWEST):
            twice[mine] = False
    found[places] = twice
    return found


def rows_to_use(marks: dict[str, Mask], times: RecordedTimes, repairs: list[str]) -> Mask:
    """The rows that can be used and that no repair drops."""
    good = np.isfinite(times.seconds)
    for problem, mask in marks.items():
        if repair_of(problem, repairs).startswith("drop-"):
            good &= ~mask
    return good


def findings(draft: Draft, marks: dict[str, Mask], repairs: list[str]) -> list[Finding]:
    """The problems of a recording, in the order of the table of problems."""
    found = []
    for problem in PROBLEMS:
        if problem == "broken lines":
            lines = draft.rows.broken
            if lines:
                number, first_line = lines[0]
                where = f"{draft.files[number]}:{first_line.line}"
                found.append(finding(problem, len(lines), where, first_line.text, repairs))
        elif problem in marks and marks[problem].any():
            first = int(np.argmax(marks[problem]))
            where = f"{draft.files[draft.rows.file[first]]}:{draft.rows.line[first]}"
            count = int(marks[problem].sum())
            warning = problem in WARNINGS or (problem == "duplicates" and draft.real_repeats)
            found.append(finding(problem, count, where, value_at(draft, problem, first), repairs, warning))
    return found


def finding(problem: str, rows: int, where: str, value: str, repairs: list[str], warning: bool = False) -> Finding:
    return Finding(problem, rows, where, printable(value)[:80], repair_of(problem, repairs), warning)


def value_at(draft: Draft, problem: str, row: int) -> str:
    """The text of a row that shows its problem."""
    time = str(draft.rows.time[row].as_py())
    if problem == "bad images":
        return str(draft.rows.coded["images"][row].as_py())
    if problem == "no user":
        return ""
    if problem == "disorder":
        return f"{time} after {draft.rows.time[row - 1].as_py()}" if row else time
    if problem == "gaps":
        before = draft.times.seconds[np.isfinite(draft.times.seconds)]
        pause = draft.times.seconds[row] - before[before < draft.times.seconds[row]].max()
        return f"{time}, {pause:.4g} s after the one before"
    return time


def refuse_open_problems(found: list[Finding], files: tuple[str, ...]) -> None:
    """Raises BadInput that lists all open problems, if there are any."""
    rest = [one for one in found if one.open]
    if not rest:
        return
    words = [f"{one.problem} ({one.rows:,}, the first at {one.where}: {shortened(one.value)})" for one in rest]
    ways = ",".join(dict.fromkeys(next(iter(PROBLEMS[one.problem])) for one in rest))
    message = "this recording has problems for which no repair was requested: " + "; ".join(words)
    raise BadInput(message, file=", ".join(files), key="--repair", expected=f"a repair for each, like --repair {ways}")
