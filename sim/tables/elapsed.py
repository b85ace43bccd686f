"""Durations of requests in tables and logs that have a start and an end of each and no duration."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from sim.errors import BadInput
from sim.tables.coded import plain
from sim.tables.files import RowBlock
from sim.tables.names import PER
from sim.tables.times import Floats, floats, timestamps
from sim.tables.written_dates import Order, in_iso

ELAPSED, WAITED = "end less arrival", "start less arrival"  # the columns that are made
YEAR_2100 = 4102444800.0  # seconds since 1970: larger numbers are of a smaller unit


def with_elapsed(
    blocks: Iterable[RowBlock],
    start: str,
    until: Mapping[str, str],
    unit: str | None = None,
    dates: Order | None = None,
) -> Iterator[RowBlock]:
    """Blocks with columns of seconds from one column to others; '' where one of both is missing or no time.

    until: the column of times up to which each new column counts, by the new column's name.
    """
    for block in blocks:
        made = {}
        for name, end in until.items():
            seconds = elapsed(plain(block.columns[start]), plain(block.columns[end]), unit, dates)
            made[name] = pa.array(["" if value != value else repr(float(value)) for value in seconds], pa.string())
        yield replace(block, columns={**block.columns, **made})


def spans(begun: str, end: str) -> dict[str, str]:
    """The columns to make of a request's stamps after its arrival: when its service began, and when it ended."""
    return {name: column for name, column in ((WAITED, begun), (ELAPSED, end)) if column}


def elapsed(starts: Any, ends: Any, unit: str | None = None, dates: Order | None = None) -> Floats:
    """Seconds between two columns of texts. unit: of times that are numbers; their size shows it if not given."""
    begin, over = floats(starts), floats(ends)
    if np.isfinite(begin).any():
        middle = float(np.nanmedian(begin))
        known = unit or next((name for name, per in list(PER.items())[:4] if middle / per < YEAR_2100), "ns")
        return np.asarray((over - begin) / PER[known])
    try:
        both = [timestamps(in_iso(texts, dates)) for texts in (starts, ends)]
    except BadInput:  # of an order of day and month that these rows alone leave open
        return np.full(len(starts), np.nan)
    lasts = (both[1].instants - both[0].instants) / 1e9
    return np.where(both[0].known & both[1].known & (both[0].zoned == both[1].zoned), lasts, np.nan)
