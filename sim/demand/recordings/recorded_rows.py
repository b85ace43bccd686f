"""The rows of a recording in one or several files: the columns that are needed, and where each row is from."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sim.errors import BadInput
from sim.tables.columns import require
from sim.tables.files import Broken, Progress, RowBlock
from sim.tables.times import matches, of_words, repeats

MOST_ROWS, MOST_BROKEN = 10_000_000, 1_000_000
SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: an odd number that spreads its factor's bits
WITHIN = np.array([(1 << (8 * size)) - 1 for size in range(9)], dtype=np.uint64)  # bits of the first bytes of eight


@dataclass(frozen=True)
class Rows:
    """All rows that were asked for, as texts.

    time: the texts of the instants; coded: other columns by their role, each text stored once.
    file, line: where each row is from; a quoted value that spans lines counts as one line.
    same: a 64-bit hash of the whole row, columns that were not asked for included.
    broken: lines that are not rows, each with the number of its file.
    left_out: rows that --keep left out; no_requests: rows that are no requests, by what they are.
    """

    time: Any
    coded: dict[str, Any]
    file: NDArray[np.int16]
    line: NDArray[np.int64]
    same: NDArray[np.uint64]
    broken: list[tuple[int, Broken]]
    left_out: int
    no_requests: dict[str, int]

    def __len__(self) -> int:
        return len(self.line)


def read_recorded_rows(
    paths: list[Path],
    blocks: Callable[[Path, list[Broken], Progress], Iterator[RowBlock]],
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
    parts: list[tuple[dict[str, Any], int, NDArray[np.int64], NDArray[np.uint64]]] = []
    broken: list[tuple[int, Broken]] = []
    left_out = rows = 0
    no_requests: dict[str, int] = {}
    for number, path in enumerate(paths):
        unfit: list[Broken] = []
        for block in blocks(path, unfit, lambda share, n=number: progress((n + share) / len(paths))):  # type: ignore[misc]
            require([*roles.values(), *keep], list(block.columns), path)
            wanted = rows_to_keep(block.columns, keep)
            left_out += len(wanted) - int(wanted.sum())
            for column, (pattern, what) in leave_out.items():
                other = wanted & matches(block.columns[column], pattern)
                no_requests[what] = no_requests.get(what, 0) + int(other.sum())
                wanted &= ~other
            same, mask = row_hashes(block.columns)[wanted], pa.array(wanted)
            chosen = {role: block.columns[name].filter(mask) for role, name in roles.items()}
            coded = {role: text if role == "time" else text.dictionary_encode() for role, text in chosen.items()}
            parts.append((coded, number, block.lines[wanted], same))
            rows += int(wanted.sum())
            if rows > MOST_ROWS or len(unfit) > MOST_BROKEN:
                expected = f"at most {MOST_ROWS:,} rows, which take 2 GB, and {MOST_BROKEN:,} lines that are none"
                message = "this recording is too large; import a part of it, or fewer rows by --keep"
                raise BadInput(message, file=path, expected=expected)
        broken += [(number, line) for line in unfit]
    if not sum(len(lines) for _, _, lines, _ in parts):
        what = f"no row is left of {left_out} after --keep" if left_out else "the recording has no rows"
        raise BadInput(what, file=paths[0], value=keep or None)
    columns = {role: joined([part[0].pop(role) for part in parts]) for role in roles}
    return Rows(
        time=columns.pop("time"),
        coded=columns,
        file=np.concatenate([np.full(len(lines), number, dtype=np.int16) for _, number, lines, _ in parts]),
        line=np.concatenate([lines for _, _, lines, _ in parts]),
        same=np.concatenate([same for _, _, _, same in parts]),
        broken=broken,
        left_out=left_out,
        no_requests={what: count for what, count in no_requests.items() if count},
    )


def joined(parts: list[Any]) -> Any:
    """One array from the arrays of the blocks."""
    whole = pa.chunked_array(parts)
    if pa.types.is_dictionary(whole.type):
        return whole.unify_dictionaries().combine_chunks()
    if whole.nbytes >= 1 << 31:  # more than the offsets of a plain array reach
        whole = whole.cast(pa.large_string())
    return whole.combine_chunks()


def rows_to_keep(columns: dict[str, Any], keep: dict[str, str]) -> NDArray[np.bool_]:
    wanted = np.ones(len(next(iter(columns.values()))), dtype=bool)
    for name, text in keep.items():
        wanted &= pc.equal(columns[name], text).to_numpy(zero_copy_only=False)
    return wanted


def row_hashes(columns: dict[str, Any]) -> NDArray[np.uint64]:
    """A number for each row, equal for equal rows; two different ones of ten million share it with chance 3e-6."""
    total = np.zeros(len(next(iter(columns.values()))), dtype=np.uint64)
    for values in columns.values():
        total = total * SPREAD + (of_words(values, text_hashes) if repeats(values) else text_hashes(values))
    return total


def text_hashes(texts: Any) -> NDArray[np.uint64]:
    """A number for each text: of its length, then of its bytes, eight at a time, each mixed into the ones before."""
    _, where, data = texts.buffers()
    offsets = np.frombuffer(where, np.int32)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    padded = np.zeros(int(offsets[-1] - offsets[0]) + 8, dtype=np.uint8)
    padded[:-8] = np.frombuffer(data or b"", dtype=np.uint8)[offsets[0] : offsets[-1]]
    words = np.ndarray(len(padded) - 7, dtype="<u8", buffer=padded, strides=(1,))  # one begins at each byte
    at, left = offsets[:-1] - offsets[0], np.diff(offsets)
    total = left.astype(np.uint64) * SPREAD
    rows = np.flatnonzero(left > 0)
    while len(rows):
        mixed = (total[rows] ^ (words[at[rows]] & WITHIN[np.minimum(left[rows], 8)])) * SPREAD
        total[rows] = mixed ^ (mixed >> np.uint64(29))
        at, left = at + 8, left - 8
        rows = rows[left[rows] > 0]
    return total
