"""How compiled functions get at dozens of arrays: through one pointer, and without counting references.

Passing a tuple of arrays from function to function copies it each time, and numba's own reference types lock a counter
at every touch: three quarters of the engine's time went there. A View is the address of a tuple of arrays and numbers
as numba lays it out; its attributes are the arrays. Nothing keeps them alive but the Python object, which therefore
holds them.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import typeof, types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.core.typing.templates import AttributeTemplate
from numba.extending import (
    NativeValue,
    infer_getattr,
    intrinsic,
    lower_getattr_generic,
    register_model,
    typeof_impl,
    unbox,
)

from sim.model.jit import njit

LARGEST = 1 << 15  # bytes of the tuples that are looked at


class ViewType(types.Type):
    """The type of a View of one type of named tuple."""

    def __init__(self, of: Any):
        self.of = of
        super().__init__(name=f"View({of})")


class View:
    """A named tuple of arrays and numbers, as compiled functions take it."""

    def __init__(self, of: Any):
        self.memory = np.zeros(LARGEST, dtype=np.uint8)
        self.address = self.memory.ctypes.data
        self.type = ViewType(typeof(of))
        self.write = direct(write, self.address, of)
        self.show(of)

    def show(self, of: Any) -> None:
        """Stand for another tuple, whose arrays differ from those before in their lengths alone."""
        self.of = of  # keeps the arrays alive
        written = self.write(self.address, of)
        if written > LARGEST:
            raise MemoryError(f"a tuple of {written} bytes does not fit into a view of {LARGEST}")

    def fits(self, of: Any) -> bool:
        """Whether another tuple is of that kind."""
        arrays = ((a, b) for a, b in zip(self.of, of, strict=True) if a is not b and isinstance(a, np.ndarray))
        return all(a.dtype is b.dtype and a.ndim == b.ndim and flags(a) == flags(b) for a, b in arrays)


def flags(array: np.ndarray) -> tuple[bool, bool, bool]:
    return array.flags.c_contiguous, array.flags.aligned, array.flags.writeable


def direct(function: Any, *like: Any) -> Callable[..., Any]:
    """A compiled function for arguments of these types, without numba's look-up of a View's type at every call."""
    code: Callable[..., Any] = function.compile(tuple(map(typeof, like)))
    return code


@intrinsic
def store(context, address, of):  # type: ignore[no-untyped-def]
    """Write a value at an address; the bytes it takes."""

    def code(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        kind = context.get_value_type(signature.args[1])
        builder.store(arguments[1], builder.inttoptr(arguments[0], kind.as_pointer()))
        return context.get_constant(types.intp, context.get_abi_sizeof(kind))

    return types.intp(types.intp, of), code


@njit
def write(address, of):  # type: ignore[no-untyped-def]
    return store(address, of)


@typeof_impl.register(View)
def type_of_view(view, context):  # type: ignore[no-untyped-def]
    return view.type


@register_model(ViewType)
class ViewModel(models.OpaqueModel):
    """A pointer."""


@unbox(ViewType)
def unbox_view(kind, view, c):  # type: ignore[no-untyped-def]
    address = c.pyapi.object_getattr_string(view, "address")
    number = c.pyapi.long_as_longlong(address)
    c.pyapi.decref(address)
    return NativeValue(c.builder.inttoptr(number, cgutils.voidptr_t))


@infer_getattr
class ViewAttribute(AttributeTemplate):
    """Attributes have the types that they have in the tuple."""

    key = ViewType

    def generic_resolve(self, view, name):  # type: ignore[no-untyped-def]
        if name in view.of.fields:
            return view.of.types[view.of.fields.index(name)]
        return None


@lower_getattr_generic(ViewType)
def attribute(context, builder, kind, pointer, name):  # type: ignore[no-untyped-def]
    """Load one attribute; an array is one that nobody counts references to."""
    place = kind.of.fields.index(name)
    tuple_type, found = context.get_value_type(kind.of), kind.of.types[place]
    pointer = builder.bitcast(pointer, tuple_type.as_pointer())
    value = builder.load(cgutils.gep_inbounds(builder, pointer, 0, place))
    value.set_metadata("invariant.load", builder.module.add_metadata([]))  # arrays are replaced between two calls only
    if isinstance(found, types.Array):
        array = context.make_array(found)(context, builder, value)
        array.meminfo = cgutils.get_null_value(array.meminfo.type)
        value = array._getvalue()
    return value
