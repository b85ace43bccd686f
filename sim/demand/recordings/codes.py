"""Numbers in place of the texts of a recording: users, and kinds of request."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sim.errors import BadInput
from sim.tables.coded import coded, of_words
from sim.tables.hashes import Hashes, hashes_of
from sim.tables.times import floats

LARGEST = 32767  # images of one request, and distinct kinds
# What databases and programs write in place of a name.
NOBODY = pa.array(["", "-", "NULL", "null", "None", "none", "N/A", "n/a", "nan", "NaN", "\\N", "(null)", "undefined"])

YES = pa.array(["true", "yes", "y"])


def each(column: Any, values_of: Callable[[Any], NDArray[Any]]) -> NDArray[Any]:
    """What a function makes of the texts of a column, stripped; found once for each distinct one of a coded column."""
    if pa.types.is_dictionary(column.type):
        return np.asarray(of_words(column, lambda words: values_of(pc.utf8_trim_whitespace(words))))
    return values_of(pc.utf8_trim_whitespace(column))


def numbered_users(hashes: Hashes | None) -> NDArray[np.int64] | None:
    """A number for each hash of a name, in order of appearance; -1 for nobody. None where the rows name no users."""
    if hashes is None:
        return None
    nobody = np.isin(hashes, hashes_of(NOBODY))
    user = np.asarray(pd.factorize(hashes)[0])
    return np.where(nobody, -1, user) if nobody.any() else user


def later_attempts(column: Any) -> NDArray[np.bool_]:
    """Rows that say that they repeat an earlier one: a second attempt (counted from 0 or 1), a first retry, 'true'."""
    numbers = each(column, floats)
    words = each(column, lambda texts: pc.is_in(pc.utf8_lower(texts), YES.cast(texts.type)))
    return np.asarray((numbers > (0.0 if (numbers == 0).any() else 1.0)) | np.asarray(words))


def name_codes(column: Any) -> NDArray[np.int64]:
    """A number for each distinct text, -1 for an empty one or '-'."""

    def numbered(words: Any) -> NDArray[np.int64]:
        nobody = pc.is_in(words, value_set=NOBODY.cast(words.type)).to_numpy(zero_copy_only=False)
        return np.where(nobody, -1, np.arange(len(words)))

    return each(coded(column), numbered)


def named_users(user: NDArray[np.int64]) -> NDArray[np.int64]:
    """Users as numbers; a user without a name gets a number of their own."""
    return np.where(user < 0, user.max(initial=0) + 1 + np.arange(len(user)), user)


def in_order_of_appearance(user: NDArray[np.int64]) -> NDArray[np.int64]:
    """Users as 0, 1, ... in order of first appearance; each -1 becomes a user of its own."""
    nobody = user < 0
    if nobody.any():
        user = np.where(nobody, user.max(initial=0) + np.cumsum(nobody), user)
    largest = np.maximum.accumulate(user)
    if len(user) and user[0] == 0 and (np.diff(largest) <= 1).all():
        return user  # as they are
    first = first_rows(user)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    return rank[user]


def first_rows(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first row of each code from 0 on; the number of rows for one that has none."""
    first = np.full(int(codes.max(initial=-1)) + 1, len(codes), dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)  # of several writes to one place the last one stays
    return first


def kinds_of(column: Any, order: NDArray[np.int64]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Kinds of request as numbers in order of first appearance, and their names."""
    column = coded(column)
    codes = column.indices.to_numpy()[order].astype(np.int64)
    first = first_rows(codes)
    known = np.flatnonzero(first < len(codes))
    if len(known) > LARGEST:
        expected = f"at most {LARGEST:,}; another --kind column, or a smaller --kind-depth for a log"
        raise BadInput("there are too many kinds of request", key="--kind", value=len(known), expected=expected)
    return in_order_of_appearance(codes), tuple(
        column.dictionary[int(code)].as_py() for code in known[np.argsort(first[known])]
    )
