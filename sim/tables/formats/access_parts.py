"""Parts of access logs that need a look at many lines: the unit of whole durations, and forwarded addresses."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sim.tables.coded import of_words, plain
from sim.tables.times import timestamps

ADDRESS = r"(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F:]*:[0-9a-fA-F:]+)"
FORWARDED = rf"\"(?P<client>{ADDRESS})(?:, ?{ADDRESS})*\""  # X-Forwarded-For, as in nginx's own format 'main'
WHOLE = {
    1.0: "whole seconds (Apache's %T)",
    1e3: "milliseconds, with which the lines are in the order of their ends, as they were written",
    1e6: "microseconds (Apache's %D)",
}


def unit_by_order(stamps: Any, sample: Any, usual: float) -> float:
    """The units of whole durations in a second: of milliseconds, where only these put lines in order of their ends.

    Lines are written at their ends. Stamps to the second leave the unit open where they are in order themselves.
    """
    begins = timestamps(stamps).instants / 1e9
    seconds = np.asarray(pc.cast(sample, pa.float64()))
    late = {per: disorder(begins + seconds / per) for per in (usual, 1e3)}
    return 1e3 if disorder(begins) > 0 and late[usual] > 0 and late[1e3] == 0 else usual


def disorder(at: Any) -> int:
    """The number of times that lie more than a second before one above them."""
    return int((at < np.maximum.accumulate(at) - 1.001).sum())


def client_in_pieces(rest: list[Any]) -> Any:
    """The forwarded address among the quoted pieces of lines; '' where there is none."""

    def found(words: Any) -> Any:
        quoted = pc.binary_join_element_wise('"', words, '"', "")
        return pc.fill_null(pc.struct_field(pc.extract_regex(quoted, f"^{FORWARDED}$"), "client"), "")

    best = pa.array([""] * len(rest[0]), pa.string())
    for piece in rest:
        each = plain(of_words(piece, found))
        best = pc.if_else(pc.equal(each, ""), best, each)
    return best
