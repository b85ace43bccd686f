"""Numbers for texts and for rows of them: equal for equal ones, and hardly ever for others."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: an odd number that spreads its factor's bits
WITHIN = np.array([(1 << (8 * size)) - 1 for size in range(9)], dtype=np.uint64)  # bits of the first bytes of eight


def row_hashes(columns: Iterable[Any]) -> Hashes:
    """A number for each row; two different ones of ten million share it with chance 3e-6. Columns may be hashes."""
    first, *others = columns
    total = hashes_of(first).copy()
    for values in others:
        total *= SPREAD
        total += hashes_of(values)
    return total


def hashes_of(values: Any) -> Hashes:
    """A number for each value of a column of texts or instants."""
    if isinstance(values, np.ndarray):
        return values
    if pa.types.is_timestamp(values.type):
        return mixed(values.cast(pa.int64()).to_numpy().view(np.uint64))
    if pa.types.is_dictionary(values.type):
        return text_hashes(values.dictionary)[values.indices.to_numpy()]
    return text_hashes(values)


def mixed(numbers: Hashes) -> Hashes:
    numbers = numbers * SPREAD
    return numbers ^ (numbers >> np.uint64(29))


def text_hashes(texts: Any) -> Hashes:
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
        total[rows] = mixed(total[rows] ^ (words[at[rows]] & WITHIN[np.minimum(some, 8)]))
        at, left = at + 8, left - 8
        if some.min() <= 8:
            rows = np.flatnonzero(left > 0)
    return total
