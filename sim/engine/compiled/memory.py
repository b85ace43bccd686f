"""Memory as the compiled engine wants it: a record a cache line, and records fetched before they are needed."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
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


@intrinsic
def fetch(context, array, place):  # type: ignore[no-untyped-def]
    """Ask the processor for array[place] (the first of a row), which is about to be needed; waits for nothing.

    People are met in an order that no cache can guess, and each costs a trip to main memory: a hundred nanoseconds,
    while a whole moment takes half of that. Asked for a few moments ahead, they are there in time.
    """
    signature = types.void(array, place)
    if not isinstance(array, types.Array) or not isinstance(place, types.Integer):
        return None

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        kind = signature.args[0]
        struct = context.make_array(kind)(context, builder, arguments[0])
        place = context.cast(builder, arguments[1], signature.args[1], types.intp)
        places = [place, *[context.get_constant(types.intp, 0)] * (kind.ndim - 1)]
        address = cgutils.get_item_pointer(context, builder, kind, struct, places, wraparound=False)
        address = builder.bitcast(address, cgutils.voidptr_t)
        number = ir.IntType(32)
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, number, number, number]),
            "llvm.prefetch.p0",
        )
        builder.call(function, [address, number(0), number(3), number(1)])  # to read, keep it, data
        return context.get_dummy_value()

    return signature, code
