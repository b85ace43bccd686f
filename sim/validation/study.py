"""A study: predictions of the simulator beside known figures, and whether they agree, row by row."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

from sim.wording import counted

COLUMNS = ["case", "figure", "unit", "actual", "predicted", "low", "high", "fits", "note"]
AGREES, MISSES, NOT_HELD = "agrees", "MISSES", "not held to a bound"


@dataclass(frozen=True)
class Row:
    """One figure. low, high: the bounds of a `predicted` that agrees; nan where none were fixed beforehand.

    A case that the model cannot express has nan for `predicted`, and `note` says why.
    """

    case: str
    figure: str
    unit: str
    actual: float
    predicted: float
    low: float = math.nan
    high: float = math.nan
    note: str = ""

    @property
    def fits(self) -> str:
        if math.isnan(self.predicted) or math.isnan(self.low):
            return NOT_HELD
        return AGREES if self.low <= self.predicted <= self.high else MISSES


@dataclass(frozen=True)
class Study:
    """One study: its rows, in order, and the notes a reader needs to judge them."""

    name: str
    title: str
    question: str
    source: str  # where the actual figures come from
    rows: list[Row]
    notes: list[str] = field(default_factory=list)
    known: Mapping[tuple[str, str], str] = field(default_factory=dict)  # misses whose reason is known: case, figure

    apart: bool = False  # whether the sentence counts the cases apart, by their first words before a comma

    @property
    def table(self) -> pd.DataFrame:
        """One row per figure: COLUMNS."""
        return pd.DataFrame([{name: getattr(row, name) for name in COLUMNS} for row in self.rows], columns=COLUMNS)

    @property
    def held(self) -> int:
        """Rows that were held to a bound."""
        return sum(row.fits != NOT_HELD for row in self.rows)

    @property
    def misses(self) -> list[Row]:
        return [row for row in self.rows if row.fits == MISSES]

    @property
    def unexpected(self) -> list[Row]:
        """Misses for which no reason is known: the study fails."""
        return [row for row in self.misses if (row.case, row.figure) not in self.known]

    @property
    def sentence(self) -> str:
        if not self.held:
            return f"{self.title}: nothing could be checked; {counted(len(self.rows), 'figure')} shown without a bound."
        known = len(self.misses) - len(self.unexpected)
        kinds = list(dict.fromkeys(row.case.partition(",")[0] for row in self.rows)) if self.apart else []
        parts = [[row for row in self.rows if row.case.startswith(kind) and row.fits != NOT_HELD] for kind in kinds]
        apart = [f"{k} {sum(r.fits == AGREES for r in p)} of {len(p)}" for k, p in zip(kinds, parts, strict=True)]
        split = f" ({', '.join(apart)})" if len(apart) > 1 else ""
        return (
            f"{self.title}: {self.held - len(self.misses)} of {self.held} figures agree{split}"
            f"{f', {known} miss for reasons that are known' if known else ''}"
            f"{f', {len(self.unexpected)} miss' if self.unexpected else ''}"
            f"{f', {len(self.rows) - self.held} more are shown without a bound' if len(self.rows) > self.held else ''}."
        )


@dataclass(frozen=True)
class Offer:
    """A study on offer. make: makes it, given a function to report progress to.

    file: whether it may, or must, be given a file of the user's own. options: the names of its other arguments.
    """

    make: Callable[..., Study]
    file: Literal["no", "may", "must"] = "no"
    options: tuple[str, ...] = ()
