"""Memory as the compiled engine wants it: a record a cache line, and records fetched before they are needed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

LINE = 64  # bytes of a cache line


def records(count: int, kind: np.dtype) -> NDArray[Any]:
    """An array of records, not filled, that begins with a cache line. Untouched memory costs nothing."""
    raw = np.empty(count * kind.itemsize + LINE, dtype=np.uint8)
    begin = -raw.ctypes.data % LINE
    return raw[begin : begin + count * kind.itemsize].view(kind)


def longer(array: NDArray[Any], used: int, count: int) -> NDArray[Any]:
    """An array of `count` records or numbers that begins with the `used` first ones of another."""
    larger = records(count, array.dtype)
    larger[:used] = array[:used]
    return larger


def fetch(array: NDArray[Any], place: int) -> None:
    """Ask the processor for array[place] (the first of a row), which is about to be needed; waits for nothing.

    People are met in an order that no cache can guess, and each costs a trip to main memory: a hundred nanoseconds,
    while a whole moment takes half of that. Asked for a few moments ahead, they are there in time. Only compiled code
    can ask (see for_numba.py).
    """
