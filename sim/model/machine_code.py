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
from numpy.typing import NDArray

PLAIN = {int: "int64", float: "float64", bool: "bool"}  # as numba names them
IN_C: dict[str, Any] = {
    "int64": ctypes.c_int64,
    "float64": ctypes.c_double,
    "bool": ctypes.c_bool,
    "none": ctypes.c_int64,  # of which nothing is written
}
POINTER = ctypes.c_void_p


@cache
def processor() -> str:
    """Eight letters that stand for this processor, for which alone machine code is made, and for what makes it."""
    maker = (llvm.get_host_cpu_name(), features(), version("llvmlite"), version("numba"))
    return hashlib.sha256(repr(maker).encode()).hexdigest()[:8]


def split(arguments: Sequence[Any]) -> tuple[tuple[Any, ...], list[Any]]:
    """The kinds of arguments, for each of which other machine code is needed, and the words that it is called with.

    An array is two references that nobody counts, its sizes, its address and its shape, as numba passes it.
    """
    kinds: list[Any] = []
    words: list[Any] = []
    for value in arguments:
        plain = PLAIN.get(type(value))
        if plain is not None:
            kinds.append(plain)
            words.append(value)
        elif hasattr(value, "address"):  # a View
            kinds.append(value.kind)
            words.append(value.address)
        elif isinstance(value, np.ndarray):
            kinds.append(kind_of_array(value))
            words += words_of_array(value)
        else:  # a number of numpy's
            kinds.append(PLAIN[type(value.item())])
            words.append(value.item())
    return tuple(kinds), words


def kind_of_array(array: NDArray[Any]) -> tuple[Any, ...]:
    flags = array.flags
    return array.dtype, array.ndim, flags.c_contiguous, flags.aligned, flags.writeable


def words_of_array(array: NDArray[Any]) -> tuple[int, ...]:
    return (0, 0, array.size, array.itemsize, array.ctypes.data, *array.shape, *array.strides)


def file_name(function: str, kinds: Sequence[Any]) -> str:
    """The name of the file for a function with arguments of some kinds, on this processor."""
    return f"{function}-{processor()}-{hashlib.sha256(repr(kinds).encode()).hexdigest()[:16]}.o"


class Code:
    """One function in memory, called with a sequence of arguments of the kinds for which it was made."""

    def __init__(self, content: bytes):
        """Raises ValueError where the content is not that of a whole file."""
        header, _, machine_code = content.partition(b"\n")
        said = json.loads(header)
        if said["bytes"] != len(machine_code):
            raise ValueError(f"{len(machine_code)} bytes of machine code, of {said['bytes']}")
        self.result, self.returns = IN_C[said["returns"]], said["returns"] != "none"
        self.engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), host())  # the code lives as long as this
        self.engine.add_object_file(llvm.ObjectFileRef.from_data(machine_code))
        self.engine.finalize_object()
        words = [IN_C[word] for word in said["words"]]
        prototype = ctypes.CFUNCTYPE(ctypes.c_int32, POINTER, POINTER, *words)
        self.call = prototype(self.engine.get_function_address(said["entry"]))

    def __call__(self, words: Sequence[Any]) -> Any:
        """The result, or None; other threads run meanwhile. RuntimeError where the function has raised."""
        found, error = self.result(), POINTER()
        if status := self.call(ctypes.byref(found), ctypes.byref(error), *words):
            raise RuntimeError(f"machine code ended with status {status}")
        return found.value if self.returns else None


def content_of(dispatcher: Any, arguments: Sequence[Any], words: Sequence[Any]) -> bytes:
    """A file of machine code for arguments like these: of a function of numba's that is not kept by numba itself."""
    import numba

    values = (value.item() if isinstance(value, np.generic) else value for value in arguments)
    signature = tuple(map(numba.typeof, values))
    dispatcher.compile(signature)
    compiled = dispatcher.overloads[signature]
    entry = compiled.fndesc.llvm_func_name
    machine_code = whole_program(dispatcher.inspect_llvm(signature), entry)
    header = {
        "entry": entry,
        "returns": str(compiled.signature.return_type),
        "words": [PLAIN[type(word)] for word in words],
        "bytes": len(machine_code),
    }
    return json.dumps(header).encode() + b"\n" + machine_code


def host() -> Any:
    """LLVM's target: this processor, with all that it can do."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(llvm.get_host_cpu_name(), features(), opt=3, jit=True)


def features() -> str:
    """What the processor can do, as LLVM writes it; nothing where that is not known."""
    try:
        found: str = llvm.get_host_cpu_features().flatten()
    except RuntimeError:
        return ""
    return found


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
