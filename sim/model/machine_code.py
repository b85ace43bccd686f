"""Machine code in files: made once by numba and LLVM, and called afterwards without loading numba.

numba keeps its machine code in files too, but to call it must first be loaded, which takes longer than a small run. A
file here holds one function with all that it calls. So LLVM sees the whole program, of which only the entry is called
from outside: it drops arguments that are always the same, and what they make unreachable.
"""

import ctypes
import hashlib
import json
import os
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np

INTEGER, REAL, TRUTH = "int64", "float64", "bool"  # as numba names them
IN_C = {INTEGER: ctypes.c_int64, REAL: ctypes.c_double, TRUTH: ctypes.c_bool, "none": ctypes.c_int64}
WORD, POINTER = ctypes.c_int64, ctypes.c_void_p


@cache
def processor() -> str:
    """Eight letters that stand for this processor, for which alone machine code is made, and for what makes it."""
    features = llvm.get_host_cpu_features().flatten()
    maker = (llvm.get_host_cpu_name(), features, version("llvmlite"), version("numba"))
    return hashlib.sha256(repr(maker).encode()).hexdigest()[:8]


def kind_of(value: Any) -> Any:
    """What machine code has to know of an argument. TypeError where it cannot take one."""
    if isinstance(value, np.ndarray):
        flags = value.flags
        return value.dtype, value.ndim, flags.c_contiguous, flags.aligned, flags.writeable
    if isinstance(value, bool | np.bool_):
        return TRUTH
    if isinstance(value, int | np.int64):
        return INTEGER
    if isinstance(value, float):  # and np.float64
        return REAL
    if hasattr(value, "address"):  # a View
        return value.kind
    raise TypeError(f"machine code takes no {type(value).__name__}")


def file_name(function: str, kinds: Sequence[Any]) -> str:
    """The name of the file for a function with arguments of some kinds, on this processor."""
    return f"{function}-{processor()}-{hashlib.sha256(repr(kinds).encode()).hexdigest()[:16]}.o"


class Code:
    """One function in memory, called with a sequence of arguments of the kinds for which it was made."""

    def __init__(self, content: bytes):
        header, _, machine_code = content.partition(b"\n")
        said = json.loads(header)
        self.result = IN_C[said["returns"]]
        self.engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), host())  # the code lives as long as this
        self.engine.add_object_file(llvm.ObjectFileRef.from_data(machine_code))
        self.engine.finalize_object()
        arguments = [IN_C.get(word, WORD) for word in said["words"]]
        prototype = ctypes.PYFUNCTYPE(ctypes.c_int32, POINTER, POINTER, *arguments)
        self.call = prototype(self.engine.get_function_address(said["entry"]))

    def __call__(self, arguments: Sequence[Any]) -> Any:
        """The result. RuntimeError where the function has raised."""
        found, error = self.result(), POINTER()
        flat = [word for argument in arguments for word in words_of(argument)]
        if status := self.call(ctypes.addressof(found), ctypes.addressof(error), *flat):
            raise RuntimeError(f"machine code ended with status {status}")
        return found.value


def words_of(value: Any) -> Sequence[Any]:
    """An argument as numba passes it: an array as two references that nobody counts, sizes, address and shape."""
    if isinstance(value, np.ndarray):
        return (0, 0, value.size, value.itemsize, value.ctypes.data, *value.shape, *value.strides)
    return (getattr(value, "address", value),)


def content_of(dispatcher: Any, kinds: Sequence[Any], arguments: Sequence[Any]) -> bytes:
    """A file of machine code: a function of numba's, which has not been compiled, for arguments of these kinds."""
    import numba

    plain = {INTEGER: numba.types.int64, REAL: numba.types.float64, TRUTH: numba.types.boolean}
    types = [plain.get(kind) or numba.typeof(value) for kind, value in zip(kinds, arguments, strict=True)]
    dispatcher.compile(tuple(types))
    [(signature, compiled)] = dispatcher.overloads.items()
    entry = compiled.fndesc.llvm_func_name
    header = {
        "entry": entry,
        "returns": str(compiled.signature.return_type),
        "words": [kind if kind in IN_C else "" for kind, value in zip(kinds, arguments, strict=True) for _ in words_of(value)],
    }
    return json.dumps(header).encode() + b"\n" + whole_program(dispatcher.inspect_llvm(signature), entry)


def host() -> Any:
    """LLVM's target: this processor, with all that it can do."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().flatten()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(llvm.get_host_cpu_name(), features, opt=3, jit=True)


def whole_program(assembly: str, entry: str) -> bytes:
    """Machine code of a module of LLVM's, optimised as a program that begins at `entry`."""
    module, target = llvm.parse_assembly(assembly), host()
    for value in (*module.functions, *module.global_variables):
        if not value.is_declaration and value.name != entry:
            value.linkage = "internal"
    builder = llvm.create_pass_builder(target, llvm.create_pipeline_tuning_options(speed_level=3))
    builder.getModulePassManager().run(module, builder)
    if foreign := [f.name for f in module.functions if f.is_declaration and f.name.startswith(("numba_", "NRT_"))]:
        raise RuntimeError(f"{entry[:60]} ... calls {', '.join(foreign)}, which only numba has")
    code: bytes = target.emit_object(module)
    return code


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that other processes see whole or not at all."""
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.write_bytes(content)
    os.replace(part, path)
