"""The rows of a recording in one or several files: the columns that are needed, and where each row is from."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
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
from sim.tables.times import instants_of, matches, repeats

MOST_ROWS, MOST_BROKEN = 10_000_000, 1_000_000
SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: an odd number that spreads its factor's bits
WITHIN = np.array([(1 << (8 * size)) - 1 for size in range(9)], dtype=np.uint64)  # bits of the first bytes of eight


@dataclass(frozen=True)
class Rows:
    """All rows that were asked for.

    time: the instants, or their texts where not all of them name their zone; coded: texts of other columns by their
    role, each stored once where they repeat.
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
        for block in ahead(blocks(path, unfit, lambda share, n=number: progress((n + share) / len(paths)))):  # type: ignore[misc]
            require([*roles.values(), *keep], list(block.columns), path)
            wanted = rows_to_keep(block.columns, keep)
            left_out += len(wanted) - int(wanted.sum())
            for column, (pattern, what) in leave_out.items():
                other = wanted & matches(block.columns[column], pattern)
                no_requests[what] = no_requests.get(what, 0) + int(other.sum())
                wanted &= ~other
            coded = {name: coded_where_repeated(values) for name, values in block.columns.items()}
            same, lines = row_hashes(coded), block.lines
            if not wanted.all():
                mask, same, lines = pa.array(wanted), same[wanted], lines[wanted]
                coded = {name: coded[name].filter(mask) for name in roles.values()}
            kept = {role: kept_as(role, coded[name]) for role, name in roles.items()}
            parts.append((kept, number, lines, same))
            rows += len(lines)
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


def ahead(blocks: Iterator[RowBlock]) -> Iterator[RowBlock]:
    """The same blocks, each read by another thread while the one before is used."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, blocks, None)
        while (block := coming.result()) is not None:
            coming = reader.submit(next, blocks, None)
            yield block


def coded_where_repeated(texts: Any) -> Any:
    return texts.dictionary_encode() if repeats(texts) else texts


def kept_as(role: str, texts: Any) -> Any:
    """A column as it is kept until all are read: times as instants, further numbers each text once."""
    if role == "time":
        return times_of(texts)
    return texts.dictionary_encode() if role.startswith("extra.") and pa.types.is_string(texts.type) else texts


def times_of(texts: Any) -> Any:
    """Instants, where all texts are times that name their zone, else the texts."""
    coded = pa.types.is_dictionary(texts.type)
    found = instants_of(texts.dictionary if coded else texts)
    if found is None:
        return texts.dictionary_decode() if coded else texts
    return found.take(texts.indices) if coded else found


def joined(parts: list[Any]) -> Any:
    """One array from the arrays of the blocks: instants, coded texts, or texts if some of the blocks are."""
    types = {part.type for part in parts}
    if len(types) > 1:
        parts = [part.cast(pa.string()) for part in parts]
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
        coded = pa.types.is_dictionary(values.type)
        found = text_hashes(values.dictionary)[values.indices.to_numpy()] if coded else text_hashes(values)
        total = total * SPREAD + found
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
    rows: Any = slice(None) if len(left) and left.min() > 0 else np.flatnonzero(left > 0)
    while len(at[rows]):
        some = left[rows]
        mixed = (total[rows] ^ (words[at[rows]] & WITHIN[np.minimum(some, 8)])) * SPREAD
        total[rows] = mixed ^ (mixed >> np.uint64(29))
        at, left = at + 8, left - 8
        if some.min() <= 8:
            rows = np.flatnonzero(left > 0)
    return total
