"""The product of two 64-bit numbers in 128 bits, of which numpy and numba give the lower half alone."""

from functools import cache

import numpy as np


def upper_half(a: np.uint64, b: np.uint64) -> np.uint64:
    """The upper 64 bits of a product."""
    return np.uint64((int(a) * int(b)) >> 64)


@cache
def teach_numba() -> None:
    """Have numba compile upper_half as the one instruction that it is."""
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic, overload

    @intrinsic
    def upper_word(context, a, b):  # type: ignore[no-untyped-def]
        def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            wide = ir.IntType(128)
            a, b = (builder.zext(argument, wide) for argument in arguments)
            return builder.trunc(builder.lshr(builder.mul(a, b), wide(64)), ir.IntType(64))

        return types.uint64(types.uint64, types.uint64), code

    @overload(upper_half)
    def what_upper_half_does(a, b):  # type: ignore[no-untyped-def]
        return lambda a, b: upper_word(a, b)
