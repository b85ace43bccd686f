"""Whole numbers in narrow arrays: a number that does not fit is an error, never another number."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def narrow(values: NDArray[Any], kind: Any) -> NDArray[Any]:
    """The values as integers of a narrower kind. Raises OverflowError where one of them does not fit."""
    limits = np.iinfo(kind)
    if not np.can_cast(values.dtype, kind) and len(values) and not (values.min() >= limits.min and values.max() <= limits.max):
        raise OverflowError(f"{values.min()} to {values.max()} do not fit into {np.dtype(kind).name}")
    return values.astype(kind, copy=False)
