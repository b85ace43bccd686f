"""Lines of the Common and Combined Log Format cut at quotes and spaces by a CSV reader, all lines of a block at once.

A pattern takes 4 us a line; this takes a seventh. Lines of another shape than the first one are left to the pattern.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from sim.tables.coded import TEXT_CODES, coded, of_words, plain
from sim.tables.formats.lines import CLF
from sim.tables.times import Mask, matches

ODD = (b"\t", b"\f", b"\\")  # white space of other kinds, and escapes
NEWLINE, SPACE, CARRIAGE = (ord(mark) for mark in "\n \r")
CUT = r"[=:]$"  # of a piece: a name whose value stands in the next one, between quotes
MANY = 0.3  # of the lines: the pattern is not slower where as many are odd


@dataclass(frozen=True)
class Shape:
    """How a line is cut: the words before its request, the pieces between quotes, and the words after bytes."""

    head: tuple[str, ...]
    pieces: int
    extra: int

    def parts(self, data: bytes) -> tuple[dict[str, Any], list[Any], Mask] | None:
        """Parts of the lines that have this shape, what follows their bytes in pieces, and which lines these are.

        The same as by the pattern; texts that repeat are coded. None where most lines are left to the pattern.
        """
        good = ~odd_lines(data)
        kept = data if good.all() else b"\n".join([*compress(data.split(b"\n"), good), b""])
        if good.mean() < 1 - MANY or (cut := cells(kept, '"', self.pieces, (0, 2))) is None:
            return None
        columns, rows = cut
        if (before := words_of(columns[0], len(self.head), (0, 1, 2), at_end=True)) is None:
            return None
        if (after := words_of(columns[2], 2 + (self.extra or self.pieces > 3), (), at_end=False)) is None:
            return None
        fits = before[1] & after[1]
        head = dict(zip(self.head, (some(values, fits[before[1]]) for values in before[0]), strict=True))
        status, size, *extra = (some(values, fits[after[1]]) for values in after[0])
        rest = extra if self.pieces == 3 else [some(values, fits) for values in columns[3:]]
        parts = {**head, "request": some(columns[1], fits), "status": status, "bytes": size}
        parts["stamp"] = stamps(parts["stamp"], parts.pop("zone", None))
        right = fitting(parts)
        if self.pieces > 3:
            right &= of_words(extra[0], is_empty)
        for piece in rest:
            right &= ~of_words(piece, lambda words: matches(words, CUT))
        fits[np.flatnonzero(fits)[~right]] = False
        rows[np.flatnonzero(rows)[~fits]] = False
        good[np.flatnonzero(good)[~rows]] = False
        if good.mean() < 1 - MANY:
            return None
        return {name: some(values, right) for name, values in parts.items()}, [some(one, right) for one in rest], good


def shape_of(line: str, groups: dict[str, str | None]) -> Shape | None:
    """The shape of a line in which the pattern found these groups; None where only the pattern can read such lines."""
    pieces = line.split('"')
    head = ("host", "ident", "authuser", "stamp", *(["zone"] if groups["zone"] else []))
    head = ("vhost", *head) if groups["vhost"] else head
    after = pieces[2].split(" ") if len(pieces) > 2 else []
    usual = len(after) == 4 and after[3] == "" if len(pieces) > 3 else len(after) >= 3 and after[-1] != ""
    if not line.isascii() or len(pieces[0].split(" ")) != len(head) + 1 or not usual:
        return None
    return Shape(head, len(pieces), len(after) - 3 if len(pieces) == 3 else 0)


def odd_lines(data: bytes) -> Mask:
    """Lines with white space of other kinds, escapes, or letters beyond ASCII."""
    odd = np.zeros(data.count(b"\n"), dtype=bool)
    found = np.frombuffer(data, dtype=np.uint8)
    marked = [found == ord(mark) for mark in ODD if mark in data]
    if b"\r" in data:
        marked.append((found == CARRIAGE) & (np.append(found[1:], CARRIAGE) != NEWLINE))
    if not data.isascii():
        marked.append(found >= 128)
    if marked:
        ends = np.flatnonzero(found == NEWLINE)
        odd[np.searchsorted(ends, np.flatnonzero(np.any(marked, axis=0)))] = True
    return odd


def cells(
    data: Any,
    mark: str,
    columns: int,
    texts: tuple[int, ...],
    *,
    quoted: bool = False,
    wanted: Sequence[int] | None = None,
) -> tuple[list[Any], Mask] | None:
    """The cells of lines cut at a mark, column by column, and which lines have this number of columns.

    texts: the columns that are plain; the others are coded. quoted: cells may stand between quotes, and have the mark
    in them. wanted: the columns that are returned, if not all. None if no line has this number of columns.
    """
    names, wrong = [str(place) for place in range(columns)], []

    def unfit(row: Any) -> str:
        wrong.append(row.number - 1)
        return "skip"

    types = {name: pa.string() if place in texts else TEXT_CODES for place, name in enumerate(names)}
    try:
        table = pa.csv.read_csv(
            pa.BufferReader(data),
            pa.csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=names),
            pa.csv.ParseOptions(
                delimiter=mark, quote_char='"' if quoted else False, invalid_row_handler=unfit, ignore_empty_lines=False
            ),
            pa.csv.ConvertOptions(
                column_types=types,
                strings_can_be_null=False,
                check_utf8=False,
                include_columns=None if wanted is None else [names[place] for place in wanted],
            ),
        ).combine_chunks()
    except pa.ArrowInvalid:
        return None
    rows = np.ones(len(table) + len(wrong), dtype=bool)
    rows[wrong] = False
    return [values.chunk(0) if values.num_chunks else values.combine_chunks() for values in table.columns], rows


def words_of(texts: Any, words: int, plain_ones: tuple[int, ...], *, at_end: bool) -> tuple[list[Any], Mask] | None:
    """The words of texts, column by column, and which texts have this number of words.

    Each text has a further space, at its end or at its beginning, which separates nothing; texts without it do not
    count. None if no text has this number of words. plain_ones: the columns that are not coded.
    """
    _, where, data = texts.buffers()
    offsets = np.frombuffer(where, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    if not len(texts) or (np.diff(offsets) == 0).any():  # a line that begins with a quote
        return None
    found = np.frombuffer(data, dtype=np.uint8)[offsets[0] : offsets[-1]].copy()
    places = (offsets[1:] - 1 if at_end else offsets[:-1]) - offsets[0]
    spaced = found[places] == SPACE
    found[places] = NEWLINE
    if (cut := cells(found if at_end else np.append(found[1:], np.uint8(NEWLINE)), " ", words, plain_ones)) is None:
        return None
    columns, rows = cut
    return [some(values, spaced[rows]) for values in columns], rows & spaced


def some(values: Any, rows: Mask) -> Any:
    """The values of some rows; words that only others have are gone."""
    if rows.all():
        return values
    return (
        coded(plain(values).filter(pa.array(rows)))
        if pa.types.is_dictionary(values.type)
        else values.filter(pa.array(rows))
    )


def stamps(days: Any, zone: Any) -> Any:
    if zone is None:
        return days
    if len(zone.dictionary) == 1:
        return of_words(days, lambda words: pc.binary_join_element_wise(words, zone.dictionary[0], " "))
    return coded(pc.binary_join_element_wise(plain(days), plain(zone), " "))


def fitting(parts: dict[str, Any]) -> Mask:
    """Rows whose parts are as the pattern has them."""
    fits = of_words(parts["stamp"], lambda words: matches(words, f"^{CLF}$"))
    fits &= of_words(parts["status"], lambda words: matches(words, r"^(\d{3}|-)$"))
    fits &= of_words(parts["bytes"], lambda words: matches(words, r"^(\d+|-)$"))
    if "vhost" in parts:
        fits &= of_words(parts["vhost"], lambda words: matches(words, r"^[^\[\]]+:\d+$"))
    for name in ("host", "ident", "authuser"):
        fits &= ~is_empty(plain(parts[name]))
    return np.asarray(fits)


def is_empty(texts: Any) -> Mask:
    return np.asarray(pc.equal(pc.binary_length(texts), 0).to_numpy(zero_copy_only=False))
