"""A recording of arrivals as arrays: when each request came, whose it was, what it requested; saved and loaded."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sim.errors import BadInput
from sim.writing import in_full

FORMAT = "meltpoint-trace/1"
EXTRA = "extra."  # prefix of the columns that only some formats have
FACTS = ("kinds", "start", "length", "users_known", "source", "sha256", "recorded_as", "notes")


@dataclass(frozen=True)
class Trace:
    """Recorded arrivals, in order of time.

    times: float64 (n,), seconds since `start`, ascending, as recorded: nothing is rounded to minutes or days.
    user: int64 (n,), 0, 1, ... in order of first appearance; each row its own where the recording names nobody.
    images: int16 (n,), images requested; 1 where unknown.
    kind: int16 (n,), the kind of request: a place in `kinds`, which is ('',) where unknown.
    start: the instant of time 0 in UTC, where known.
    length: seconds that the recording covers, above the last time: what looping repeats.
    source, sha256, recorded_as: names and digest of the original files, and their format.
    notes: the repairs, omissions and assumptions made on the way here.
    extra: float64 (n,) each, columns that only some formats have (latency_s, service_s, status, ...); nan is unknown.
    """

    times: NDArray[np.float64]
    user: NDArray[np.int64]
    images: NDArray[np.int16]
    kind: NDArray[np.int16]
    kinds: tuple[str, ...]
    start: datetime | None
    length: float
    users_known: bool
    source: str
    sha256: str
    recorded_as: str
    notes: tuple[str, ...] = ()
    extra: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    tick: float = 0.0  # seconds between two ticks of a coarse clock, else 0; not saved

    @property
    def users(self) -> int:
        """The number of distinct users."""
        return int(self.user.max()) + 1 if len(self.user) else 0


def save_trace(trace: Trace, path: Path | str, *, replace: bool = False) -> Path:
    """Write a trace into one Parquet file, all of it or nothing. Raises BadInput if the file is there already."""
    path = Path(path)
    problem = fault_of(trace)
    if problem:
        raise BadInput(f"this trace is not sound and was not written: {problem}", file=path)
    if path.exists() and not (replace and is_trace(path)):
        expected = "a new name, or --replace where it is an earlier trace"
        raise BadInput("this file is there already", file=path, expected=expected)
    facts = {name: getattr(trace, name) for name in FACTS}
    facts["start"] = trace.start.isoformat() if trace.start else None
    columns = {name: getattr(trace, name) for name in ("times", "user", "images", "kind")}
    columns |= {EXTRA + name: values for name, values in trace.extra.items()}
    meta = {b"meltpoint": json.dumps({"format": FORMAT, **facts}, allow_nan=False).encode()}
    table = pa.table(columns).replace_schema_metadata(meta)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with in_full(path) as unfinished:
            pq.write_table(table, unfinished, use_dictionary=["images", "kind"])
    except (OSError, ValueError) as wrong:
        raise BadInput(f"the trace cannot be written here ({wrong})", file=path) from None
    return path


def is_trace(path: Path) -> bool:
    """Whether a file is a Parquet file with the facts of a trace, of whatever version."""
    try:
        return b"meltpoint" in (pq.read_schema(path).metadata or {})
    except (OSError, ValueError, pa.ArrowException):
        return False


def load_trace(path: Path | str) -> Trace:
    """A trace saved before. Raises BadInput for any other file, and for one whose numbers are not a trace's."""
    path = Path(path)
    expected = "a file written by 'meltpoint demand import'"
    try:
        table = pq.ParquetFile(path).read()
        facts = json.loads((table.schema.metadata or {}).get(b"meltpoint", b"{}"))
        if not isinstance(facts, dict) or facts.pop("format", None) != FORMAT:
            raise BadInput("this Parquet file is not a trace", file=path, expected=expected)
        trace = trace_of(table, facts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, pa.ArrowException) as wrong:
        raise BadInput(f"this is not a saved trace ({wrong})", file=path, expected=expected) from None
    problem = fault_of(trace)
    if problem:
        raise BadInput(f"this trace is damaged: {problem}", file=path, expected=expected)
    return trace


def trace_of(table: pa.Table, facts: dict[str, Any]) -> Trace:
    """The trace in a table and the facts beside it; anything missing or of another type raises."""
    if set(facts) != set(FACTS):
        raise ValueError(f"its description has {', '.join(sorted(facts)) or 'nothing'}, not {', '.join(sorted(FACTS))}")
    start = None if facts["start"] is None else datetime.fromisoformat(facts["start"])
    if start is not None and start.utcoffset() is None:
        raise ValueError("its start has no zone")

    def column(name: str, kind: type) -> NDArray[Any]:
        return np.asarray(table[name].to_numpy().astype(kind, casting="safe"))

    return Trace(
        times=column("times", np.float64),
        user=column("user", np.int64),
        images=column("images", np.int16),
        kind=column("kind", np.int16),
        kinds=tuple(str(name) for name in facts["kinds"]),
        start=start,
        length=float(facts["length"]),
        users_known=bool(facts["users_known"]),
        source=str(facts["source"]),
        sha256=str(facts["sha256"]),
        recorded_as=str(facts["recorded_as"]),
        notes=tuple(str(note) for note in facts["notes"]),
        extra={n.removeprefix(EXTRA): column(n, np.float64) for n in table.column_names if n.startswith(EXTRA)},
    )


def fault_of(trace: Trace) -> str:
    """The first fault of a trace, in words; '' where there is none."""
    t, n = trace.times, len(trace.times)
    arrays: tuple[NDArray[Any], ...] = (trace.user, trace.images, trace.kind, *trace.extra.values())
    if n == 0:
        return "it has no rows"
    if any(values.shape != (n,) for values in arrays):
        return "its columns differ in length"
    if not np.isfinite(t).all() or t[0] < 0 or (np.diff(t) < 0).any():
        return "its times are not ascending from 0"
    if not t[-1] < trace.length < np.inf:
        return "its length is not above its last time"
    if trace.kind.min() < 0 or trace.kind.max() >= len(trace.kinds):
        return "a row is of a kind that has no name"
    if trace.images.min() < 1:
        return "a row asks for no image"
    # In order of first appearance: a new user's number is one above the largest so far.
    largest = np.maximum.accumulate(trace.user)
    if trace.user[0] != 0 or trace.user.min() < 0 or (np.diff(largest) > 1).any():
        return "its users are not numbered in order of appearance"
    return ""


def recording(
    times: NDArray[np.float64],
    source: str,
    *,
    user: NDArray[np.int64] | None = None,
    kind: NDArray[np.int64] | None = None,
    kinds: tuple[str, ...] = ("",),
) -> Trace:
    """Requests at these times (seconds, ascending) as a recording: of one client, where no user is given for each.

    kind: of each, its place in `kinds`; the first where None.
    """
    n = len(times)
    return Trace(
        times=times,
        user=np.zeros(n, dtype=np.int64) if user is None else user,
        images=np.ones(n, dtype=np.int16),
        kind=np.zeros(n, dtype=np.int16) if kind is None else kind.astype(np.int16),
        kinds=kinds,
        start=None,
        length=float(times[-1]) + 1.0,
        users_known=True,
        source=source,
        sha256="",
        recorded_as="a study",
    )
