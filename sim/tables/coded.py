"""Columns of texts in which each distinct text is stored once and rows are numbers: what is done is done per text."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

TEXT_CODES = pa.dictionary(pa.int32(), pa.string())


def repeats(texts: Any) -> bool:
    """Whether texts are few distinct ones, as a sample shows, so that work on each distinct one is less."""
    sample = texts.slice(len(texts) // 2, 1000)
    return len(texts) > 1000 and len(sample.unique()) < len(sample) / 4


def coded(texts: Any) -> Any:
    return texts if pa.types.is_dictionary(texts.type) else texts.dictionary_encode()


def coded_where_repeated(texts: Any) -> Any:
    return coded(texts) if pa.types.is_dictionary(texts.type) or repeats(texts) else texts


def plain(texts: Any) -> Any:
    """Each row's own text."""
    return texts.dictionary_decode() if pa.types.is_dictionary(texts.type) else texts


def stored_like(other: Any, texts: Any) -> Any:
    """Texts in the form of another column: coded if that is coded, plain if it is plain."""
    return coded(texts) if pa.types.is_dictionary(other.type) else plain(texts)


def of_words(texts: Any, values_of: Callable[[Any], Any]) -> Any:
    """What a function makes of each text, found once for each distinct one: an array as the function returns.

    Texts made of coded texts are coded again.
    """
    codes = coded(texts)
    found = values_of(codes.dictionary)
    if isinstance(found, np.ndarray):
        return found[codes.indices.to_numpy()] if len(found) else found
    if codes is texts and pa.types.is_string(found.type):
        words = found.dictionary_encode()
        return pa.DictionaryArray.from_arrays(words.indices.take(codes.indices), words.dictionary)
    return found.take(codes.indices)


def joined(parts: list[Any]) -> Any:
    """One array from arrays of the same meaning: coded if some are coded texts, else texts if some are."""
    parts = [part for part in parts if len(part)] or parts[:1]
    types = {part.type for part in parts}
    if len(types) > 1:
        texts = all(pa.types.is_string(one) or pa.types.is_dictionary(one) for one in types)
        parts = [coded(part) if texts else plain(part).cast(pa.string()) for part in parts]
    whole = pa.chunked_array(parts)
    if pa.types.is_dictionary(whole.type):
        return whole.unify_dictionaries().combine_chunks()
    if whole.nbytes >= 1 << 31:  # more than the offsets of a plain array reach
        whole = whole.cast(pa.large_string())
    return whole.combine_chunks()
