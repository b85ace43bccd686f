"""Whole numbers in narrow arrays: a number that does not fit is an error, never another number."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def narrow(values: NDArray[Any], kind: Any) -> NDArray[Any]:
    """The values as integers of a narrower kind. Raises OverflowError where one of them does not fit."""
    limits = np.iinfo(kind)
    if len(values) == 0 or np.can_cast(values.dtype, kind):
        return values.astype(kind, copy=False)
    if values.min() < limits.min or values.max() > limits.max:
        raise OverflowError(f"{values.min()} to {values.max()} do not fit into {np.dtype(kind).name}")
    return values.astype(kind, copy=False)
