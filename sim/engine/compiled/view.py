"""How compiled functions get at dozens of arrays: through one pointer, and without counting references.

Passing a tuple of arrays from function to function copies it each time, and numba's own reference types lock a counter
at every touch: three quarters of the engine's time went there. A View is the address of a tuple of arrays and numbers,
written down in words of eight bytes; its attributes are the arrays. Nothing keeps them alive but the Python object,
which therefore holds them.
"""

import hashlib
import struct
from typing import Any

import numpy as np

from sim.model.machine_code import split


class View:
    """A named tuple of arrays and numbers, as compiled functions take it."""

    def __init__(self, of: Any):
        self.kind = kind_of_tuple(of)
        self.lengths = [len(words_of(value)) for value in of]
        self.memory = np.zeros(sum(self.lengths), dtype=np.int64)
        self.address = self.memory.ctypes.data
        self.of: Any = (None,) * len(of)
        self.show(of)

    def show(self, of: Any) -> None:
        """Stand for another tuple, whose arrays differ from those before in their lengths alone."""
        place = 0
        for length, before, value in zip(self.lengths, self.of, of, strict=True):
            if value is not before:
                self.memory[place : place + length] = words_of(value)
            place += length
        self.of = of  # keeps the arrays alive

    def fits(self, of: Any) -> bool:
        """Whether another tuple is of that kind."""
        changed = [(a, b) for a, b in zip(self.of, of, strict=True) if a is not b]
        return split([a for a, _ in changed])[0] == split([b for _, b in changed])[0]

    @property
    def _numba_type_(self) -> Any:
        from numba import typeof

        from sim.engine.compiled.for_numba import ViewType

        return ViewType(typeof(self.of))


def kind_of_tuple(of: Any) -> str:
    """A name for the kinds of its arrays and numbers; a tuple inside is one of numbers."""
    kinds = [split(value if isinstance(value, tuple) else [value])[0] for value in of]
    return f"{type(of).__name__} {hashlib.sha256(repr(kinds).encode()).hexdigest()[:16]}"


def words_of(value: Any) -> list[int]:
    """An array or numbers as whole words: a real number as the integer of the same bits."""
    _, words = split(value if isinstance(value, tuple) else [value])
    return [struct.unpack("q", struct.pack("d", word))[0] if isinstance(word, float) else int(word) for word in words]
