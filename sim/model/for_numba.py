"""How numba compiles what neither it nor numpy has; imported only where functions are compiled."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from sim.model.streams import upper_half


@overload(upper_half)
def what_upper_half_does(a, b):  # type: ignore[no-untyped-def]
    return lambda a, b: upper_word(a, b)


@intrinsic
def upper_word(context, a, b):  # type: ignore[no-untyped-def]
    """One instruction on processors that have it."""
    signature = types.uint64(types.uint64, types.uint64)

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        wide = ir.IntType(128)
        a, b = (builder.zext(argument, wide) for argument in arguments)
        return builder.trunc(builder.lshr(builder.mul(a, b), wide(64)), ir.IntType(64))

    return signature, code
