"""Lines of the Common and Combined Log Format cut at their spaces and quotes, all lines of a block at once.

A pattern takes 4 us a line; this takes a tenth. Whatever is not of the plain shape is left to the pattern.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from sim.tables.formats.lines import CLF
from sim.tables.times import Mask, matches, of_words

# host ident authuser [stamp] "request" status bytes rest: where each part begins and ends, gaps between them.
PARTS = {"host": 0, "authuser": 2, "stamp": 4, "request": 6, "status": 8, "bytes": 10, "rest": 11}
SPECIAL = (b"\t", b"\f", b"\r", b"\\")  # white space of other kinds, and escapes


def combined_parts(data: bytes) -> tuple[dict[str, Any], Mask] | None:
    """Parts of those lines that have the plain shape, and which lines these are; None where the text is not UTF-8.

    data: whole lines, each with its end.
    """
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    found = np.frombuffer(data, dtype=np.uint8)
    ends = np.flatnonzero(found == ord("\n"))
    begins = np.concatenate([[0], ends[:-1] + 1])
    far = np.full(4, len(data))
    spaces = np.concatenate([np.flatnonzero(found == ord(" ")), far])
    quotes = np.concatenate([np.flatnonzero(found == ord('"')), far])
    first, opens = np.searchsorted(spaces, begins), np.searchsorted(quotes, begins)
    host, ident, user = spaces[first], spaces[first + 1], spaces[first + 2]
    opened, closed = quotes[opens], quotes[opens + 1]
    after = np.searchsorted(spaces, closed)
    status, size = spaces[after + 1], np.minimum(spaces[after + 2], ends)
    good = (closed < ends) & (spaces[after] == closed + 1) & (status < ends)
    good &= (host > begins) & (ident > host + 1) & (user > ident + 1) & (user + 1 < opened - 1)
    for mark in SPECIAL:
        if mark in data:
            good[np.searchsorted(ends, np.flatnonzero(found == ord(mark)))] = False
    bounds = np.stack(
        [
            begins,
            host,
            ident + 1,
            user,
            user + 1,
            opened - 1,
            opened,
            closed + 1,
            closed + 2,
            status,
            status + 1,
            size,
            ends,
        ]
    )
    cut = np.append(bounds[:, good].T, len(data)).astype(np.int32)
    pieces = pa.StringArray.from_buffers(len(cut) - 1, pa.py_buffer(cut), pa.py_buffer(data))
    each = np.arange(int(good.sum())) * len(bounds)
    parts = {name: pieces.take(pa.array(each + place)) for name, place in PARTS.items()}
    gap = np.asarray(pieces.take(pa.array(each + 5)).to_numpy(zero_copy_only=False) == " ") if len(each) else each > 0
    fit = gap & of_words(parts["stamp"], lambda words: matches(words, f"^{CLF}$"))
    fit &= of_words(parts["status"], lambda words: matches(words, r"^(\d{3}|-)$")) & matches(
        parts["bytes"], r"^(\d+|-)$"
    )
    if not fit.all():
        parts = {name: values.filter(pa.array(fit)) for name, values in parts.items()}
        good[np.flatnonzero(good)[~fit]] = False
    return parts, good
