"""The rows of a recording in one or several files: the columns that are needed, and where each row is from."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sim.demand.recordings.formats import Layout
from sim.errors import BadInput
from sim.tables.coded import coded, coded_where_repeated, joined, of_words, plain
from sim.tables.columns import require
from sim.tables.elapsed import with_elapsed
from sim.tables.files import Broken, Progress, RowBlock, table_blocks
from sim.tables.formats.lines import shortened_path, with_probes
from sim.tables.formats.reader import Requests, reading
from sim.tables.hashes import Hashes, hashes_of, row_hashes
from sim.tables.in_order import in_order
from sim.tables.times import MIDNIGHT, instants_of, matches
from sim.tables.written_dates import Order

Blocks = Callable[[Path, list[Broken], Progress], Iterator[RowBlock]]
MOST_ROWS, MOST_BROKEN = 10_000_000, 1_000_000


class NoRows(BadInput):
    """No row of a recording is a request."""


@dataclass(frozen=True)
class Rows:
    """All rows that were asked for.

    time: the instants, or their texts where not all of them name their zone; user, request: a 64-bit hash of each name,
    None where no column names users or requests; coded: texts of other columns by their role, each stored once where
    they repeat.
    file, line: where each row is from; a quoted value that spans lines counts as one line.
    same: a 64-bit hash of the whole row, columns that were not asked for included.
    broken: lines that are not rows, each with the number of its file.
    left_out: rows that --keep left out; no_requests: rows that are no requests, by what they are.
    """

    time: Any
    user: Hashes | None
    request: Hashes | None
    coded: dict[str, Any]
    file: NDArray[np.int16]
    line: NDArray[np.int64]
    same: Hashes
    broken: list[tuple[int, Broken]]
    left_out: int
    no_requests: dict[str, int]

    def __len__(self) -> int:
        return len(self.line)

    def without_origins(self) -> "Rows":
        """The same rows, without what takes room and says only where each is from and whose."""
        nowhere = np.broadcast_to(np.int64(0), len(self))
        return replace(
            self, user=None, request=None, file=np.empty(0, np.int16), line=nowhere, same=np.empty(0, np.uint64)
        )


def read_recorded_rows(
    paths: list[Path],
    blocks: Blocks,
    roles: dict[str, str],
    keep: dict[str, str],
    progress: Progress,
    leave_out: Mapping[str, tuple[str, str]] = MappingProxyType({}),
) -> Rows:
    """The rows of all files in turn.

    blocks: reads one file: yields its blocks, and adds broken lines to the list that it is given.
    roles: which column is the time, the user, ...; keep: only rows with this text in this column. leave_out: patterns
    of rows that are no requests, by column, each with what such rows are.
    """
    parts: list[tuple[int, Part]] = []
    broken: list[tuple[int, Broken]] = []
    rows = 0
    for number, path in enumerate(paths):
        unfit: list[Broken] = []
        found = blocks(path, unfit, lambda share, n=number: progress((n + share) / len(paths)))  # type: ignore[misc]
        for part in in_order(partial(part_of, path=path, roles=roles, keep=keep, leave_out=leave_out), found):
            parts.append((number, part))
            rows += len(part.line)
            if rows > MOST_ROWS or len(unfit) > MOST_BROKEN:
                expected = f"at most {MOST_ROWS:,} rows, which take 2 GB, and {MOST_BROKEN:,} lines that are none"
                message = "this recording is too large; import a part of it, or fewer rows by --keep"
                raise BadInput(message, file=path, expected=expected)
        broken += [(number, line) for line in unfit]
    left_out = sum(part.left_out for _, part in parts)
    no_requests = {what: sum(part.no_requests[what] for _, part in parts) for _, what in leave_out.values()}
    no_requests = {what: count for what, count in no_requests.items() if count}
    if not rows and broken:
        number, line = broken[0]
        what = f"no line of this file is a row of its table, and {len(broken):,} are none"
        expected = "as many cells as the first line names; a value with a comma in it in quotes"
        raise BadInput(what, file=f"{paths[number]}:{line.line}", value=line.text, expected=expected)
    if not rows:
        what = f"no row is left of {left_out} after --keep" if left_out else "the recording has no rows"
        others = ", ".join(f"{count:,} {what}" for what, count in no_requests.items())
        raise NoRows(f"{what} but {others}" if others else what, file=paths[0], value=keep or None)
    columns = {role: together([part.columns.pop(role) for _, part in parts]) for role in roles}
    return Rows(
        time=columns.pop("time"),
        user=columns.pop("user", None),
        request=columns.pop("request", None),
        coded=columns,
        file=np.concatenate([np.full(len(part.line), number, dtype=np.int16) for number, part in parts]),
        line=np.concatenate([part.line for _, part in parts]),
        same=np.concatenate([part.same for _, part in parts]),
        broken=broken,
        left_out=left_out,
        no_requests=no_requests,
    )


def together(parts: list[Any]) -> Any:
    return np.concatenate(parts) if isinstance(parts[0], np.ndarray) else joined(parts)


@dataclass(frozen=True)
class Part:
    """The rows of a block that are kept: columns by role; otherwise as Rows."""

    columns: dict[str, Any]
    line: NDArray[np.int64]
    same: Hashes
    left_out: int
    no_requests: dict[str, int]


def part_of(
    block: RowBlock,
    path: Path,
    roles: Mapping[str, str],
    keep: Mapping[str, str],
    leave_out: Mapping[str, tuple[str, str]],
) -> Part:
    """What is kept of a block."""
    require([*roles.values(), *keep], list(block.columns), path)
    columns, lines = block.columns, block.lines
    wanted = rows_to_keep(columns, keep)
    left_out, no_requests = len(wanted) - int(wanted.sum()), {}
    for column, (pattern, what) in leave_out.items():
        other = wanted & of_words(columns[column], lambda words, p=pattern: matches(words, p))  # type: ignore[misc]
        no_requests[what] = int(other.sum())
        wanted &= ~other
    once = {id(values): values for values in columns.values()}  # two names may have one column
    if not wanted.all():
        mask, lines = pa.array(wanted), lines[wanted]
        once = {place: values.filter(mask) for place, values in once.items()}
    once = {place: coded_where_repeated(values) for place, values in once.items()}
    kept = {role: kept_as(role, once[id(columns[name])]) for role, name in roles.items()}
    hashes = {id(columns[roles[role]]): kept[role] for role in ("time", "user", "request") if role in roles}
    others = [] if block.same is None else [block.same[wanted]]
    same = row_hashes([*({**once, **hashes}).values(), *others])
    return Part(kept, lines, same, left_out, no_requests)


def kept_as(role: str, texts: Any) -> Any:
    """A column as it is kept until all are read: times as instants, names as hashes, numbers as each distinct text."""
    if role == "time":
        return times_of(texts)
    if role in ("user", "request"):
        return hashes_of(of_words(texts, stripped) if pa.types.is_dictionary(texts.type) else stripped(texts))
    return coded(texts) if role.startswith("extra.") and pa.types.is_string(texts.type) else texts


def stripped(texts: Any) -> Any:
    """Texts without white space around them."""
    data = np.frombuffer(texts.buffers()[2] or b"", dtype=np.uint8)
    white = (data <= ord(" ")).any() or (data > ord("~")).any()  # or letters beyond ASCII, some of which are white
    return pc.utf8_trim_whitespace(texts) if white else texts


def times_of(texts: Any) -> Any:
    """Instants, where all texts are times that name their zone, else the texts."""
    if not pa.types.is_dictionary(texts.type):
        found = instants_of(texts)
        return texts if found is None else found
    found = instants_of(texts.dictionary)
    return plain(texts) if found is None else found.take(texts.indices)


def rows_to_keep(columns: Mapping[str, Any], keep: Mapping[str, str]) -> NDArray[np.bool_]:
    wanted = np.ones(len(next(iter(columns.values()))), dtype=bool)
    for name, text in keep.items():
        wanted &= of_words(columns[name], lambda words, t=text: pc.equal(words, t).to_numpy(zero_copy_only=False))  # type: ignore[misc]
    return wanted


def blocks_for(layout: Layout, unit: str | None, dates: Order | None, depth: int) -> Blocks:
    """The function that reads the rows of a file with this layout."""
    if layout.requests:
        return partial(request_blocks, requests=layout.requests, depth=depth)
    if layout.join:
        return partial(joined_blocks, join=layout.join)
    return partial(timed_blocks, layout=layout, unit=unit or layout.unit, dates=dates) if layout.until else table_blocks


def joined_blocks(path: Path, broken: list[Broken], progress: Progress, join: tuple[str, ...]) -> Iterator[RowBlock]:
    """The rows of a table, with dates and times of day in one column."""
    for block in table_blocks(path, broken, progress):
        both = [pc.utf8_trim_whitespace(block.columns[name]) for name in join]
        both[0] = pc.replace_substring_regex(both[0], MIDNIGHT, "")
        clock = pc.binary_join_element_wise(*(pc.utf8_lpad(part, 2, "0") for part in both[1:]), ":")
        yield replace(
            block, columns={**block.columns, " ".join(join): pc.binary_join_element_wise(both[0], clock, " ")}
        )


def timed_blocks(
    path: Path, broken: list[Broken], progress: Progress, layout: Layout, unit: str | None, dates: Order | None
) -> Iterator[RowBlock]:
    """The rows of a table with several stamps of each request, and the seconds between them."""
    blocks = table_blocks(path, broken, progress)
    yield from with_elapsed(blocks, layout.roles["time"], layout.until, unit, dates)


def request_blocks(
    path: Path, broken: list[Broken], progress: Progress, requests: Requests, depth: int
) -> Iterator[RowBlock]:
    """The rows of a log, with the first `depth` parts of their paths."""
    with reading(path, "a file of its kind"):
        for block in requests.blocks(path, broken, progress):
            columns = with_probes(block.columns)
            short = {"path": shortened_path(columns["path"], depth)} if "path" in columns else {}
            yield replace(block, columns={**columns, **short})
