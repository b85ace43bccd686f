"""How numba compiles Views, their arrays and prefetching; imported only where functions are compiled."""

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.core.typing.templates import AttributeTemplate
from numba.extending import (
    infer_getattr,
    intrinsic,
    lower_builtin,
    lower_cast,
    lower_getattr_generic,
    overload,
    register_model,
)

from sim.engine.compiled.memory import fetch

WORD = 8  # bytes


class ViewType(types.Type):
    """The type of a View of one type of named tuple."""

    def __init__(self, of: Any):
        self.of = of
        super().__init__(name=f"View({of})")


@register_model(ViewType)
class ViewModel(models.OpaqueModel):
    """A pointer."""


@infer_getattr
class ViewAttribute(AttributeTemplate):
    """Attributes have the types that they have in the tuple."""

    key = ViewType

    def generic_resolve(self, view, name):  # type: ignore[no-untyped-def]
        if name in view.of.fields:
            return from_start(view.of.types[view.of.fields.index(name)])
        return None


@lower_getattr_generic(ViewType)
def attribute(context, builder, kind, pointer, name):  # type: ignore[no-untyped-def]
    """Load one attribute from its words."""
    place = kind.of.fields.index(name)
    offset = sum(words_in(before) for before in kind.of.types[:place])
    found = from_start(kind.of.types[place])
    pointer = cgutils.pointer_add(builder, pointer, offset * WORD)
    if isinstance(found, types.Boolean):
        word = builder.load(builder.bitcast(pointer, ir.IntType(8 * WORD).as_pointer()))
        return builder.trunc(word, ir.IntType(1))
    value = builder.load(builder.bitcast(pointer, context.get_value_type(found).as_pointer()))
    value.set_metadata("invariant.load", builder.module.add_metadata([]))  # arrays are replaced between two calls only
    return value


def words_in(kind: types.Type) -> int:
    """The words that View writes for a value of this type."""
    if isinstance(kind, types.Array):
        return 5 + 2 * int(kind.ndim)
    return sum(map(words_in, kind.types)) if isinstance(kind, types.BaseTuple) else 1


class FromStart(types.Array):
    """An array that is never indexed from its end, so no index is compared with 0 first. Its parts are plain arrays."""

    def __init__(self, *arguments: Any, **more: Any):
        super().__init__(*arguments, **more)
        self.name: str = f"from its start {self.name}"


@register_model(FromStart)
class FromStartModel(models.ArrayModel):
    """The same memory as any array."""


@lower_cast(FromStart, types.Array)
def as_plain(context, builder, before, after, array):  # type: ignore[no-untyped-def]
    """A variable that may hold either kind of array holds a plain one."""
    return array


def from_start(kind: types.Type) -> types.Type:
    """The type of an attribute for the type of what a tuple holds."""
    if not isinstance(kind, types.Array):
        return kind
    return FromStart(kind.dtype, kind.ndim, kind.layout, readonly=not kind.mutable, aligned=kind.aligned)


def plain(kind: types.Type) -> types.Type:
    """The type of a plain array for that of an attribute."""
    if not isinstance(kind, FromStart):
        return kind
    return types.Array(kind.dtype, kind.ndim, kind.layout, readonly=not kind.mutable, aligned=kind.aligned)


def address_of(context, builder, kind, array, of_index, index):  # type: ignore[no-untyped-def]
    """The address of one element; None where the index stands for more than one."""
    each = list(of_index) if isinstance(of_index, types.BaseTuple) else [of_index]
    if len(each) != kind.ndim or not all(isinstance(one, types.Integer) for one in each):
        return None
    values = cgutils.unpack_tuple(builder, index) if isinstance(of_index, types.BaseTuple) else [index]
    places = [context.cast(builder, value, one, types.intp) for value, one in zip(values, each, strict=True)]
    struct = context.make_array(kind)(context, builder, array)
    return cgutils.get_item_pointer(context, builder, kind, struct, places, wraparound=False)


@lower_builtin(operator.getitem, FromStart, types.Integer)
@lower_builtin(operator.getitem, FromStart, types.BaseTuple)
def get_item(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
    kind, of_index = signature.args
    address = address_of(context, builder, kind, arguments[0], of_index, arguments[1])
    if address is None:
        usual = signature.replace(args=(plain(kind), of_index))
        return context.get_function(operator.getitem, usual)(builder, arguments)
    return context.unpack_value(builder, kind.dtype, address, None if kind.aligned else 1)


@lower_builtin(operator.setitem, FromStart, types.Integer, types.Number)
@lower_builtin(operator.setitem, FromStart, types.BaseTuple, types.Number)
@lower_builtin(operator.setitem, FromStart, types.Integer, types.Boolean)
@lower_builtin(operator.setitem, FromStart, types.BaseTuple, types.Boolean)
def set_item(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
    kind, of_index, of_value = signature.args
    address = address_of(context, builder, kind, arguments[0], of_index, arguments[1])
    if address is None:
        usual = signature.replace(args=(plain(kind), of_index, of_value))
        return context.get_function(operator.setitem, usual)(builder, arguments)
    value = context.cast(builder, arguments[2], of_value, kind.dtype)
    context.pack_value(builder, kind.dtype, value, address, None if kind.aligned else 1)
    return context.get_dummy_value()


@overload(fetch)
def what_fetch_does(array, place):  # type: ignore[no-untyped-def]
    return lambda array, place: prefetch(array, place)


@intrinsic
def prefetch(context, array, place):  # type: ignore[no-untyped-def]
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
