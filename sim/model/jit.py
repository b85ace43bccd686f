"""The decorator of all compiled functions, and the folder that keeps their machine code until one of them changes.

numba itself looks only at the file that a function is in, not at what it calls from other files: after a change there
it would go on with the old machine code, and give old numbers.
"""

import functools
import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from sim.model.machine_code import Code, content_of, file_name, processor, split, write_whole
from sim.model.wide_products import teach_numba

PACKAGE = Path(__file__).parent.parent


def compiled_sources() -> list[Path]:
    """Every file with compiled functions, or with constants that they hold."""
    others = ("results/timeline.py", "engine/clock.py")
    return [
        *sorted(PACKAGE.glob("model/*.py")),
        *(PACKAGE / other for other in others),
        *sorted(PACKAGE.glob("engine/compiled/*.py")),
    ]


def cache_folder() -> Path:
    """Where machine code of exactly these files is kept: by user, or in the folder that numba's variable names."""
    content = hashlib.sha256(b"".join(path.read_bytes() for path in compiled_sources())).hexdigest()[:16]
    if named := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(named) / content
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "meltpoint" / content


@cache
def cached_in() -> Path | None:
    """The folder for machine code; None where none can be written, and so it is made in every process."""
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError, ValueError):
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


cached_in()  # at once: a source that changes later is not what this process has loaded


def compiled_before() -> bool:
    """Whether this processor's machine code of the engine lies on disk already; else its first run takes minutes."""
    folder = cached_in()
    return folder is not None and any(folder.glob(f"*.advance-{processor()}-*.o"))


class Compiled:
    """A function of numbers and arrays that numba compiles at its first call from Python or from another one.

    An ordinary call goes through numba, whose loading takes half a second. direct() calls the same machine code from a
    file, without numba, but each call takes some microseconds more: for those that a run makes a few times.
    """

    def __init__(self, function: Callable[..., Any]):
        functools.update_wrapper(self, function)
        self.function = function
        self.codes: dict[tuple[Any, ...], Code] = {}

    @cached_property
    def dispatcher(self) -> Any:
        """The function as Python calls it through numba, which keeps its machine code too."""
        return self.compiler(kept=cached_in() is not None)

    @cached_property
    def part(self) -> Any:
        """The function as a part of others, and of programs that are kept as a whole."""
        return self.compiler(kept=False)

    def compiler(self, *, kept: bool) -> Any:
        import numba

        teach_numba()
        if kept:
            numba.config.CACHE_DIR = str(cached_in())
        # It makes no arrays, so no references are counted, which would cost more than most of these functions.
        return numba.njit(cache=kept, error_model="numpy", _nrt=False)(self.function)

    @property
    def _numba_type_(self) -> Any:  # by which numba knows what another compiled function calls
        return self.part._numba_type_

    def __call__(self, *arguments: Any) -> Any:
        return self.dispatcher(*arguments)

    def direct(self, *arguments: Any) -> Any:
        """The same, from the file of machine code for arguments of these kinds, which is made where there is none."""
        kinds, words = split(arguments)
        return (self.codes.get(kinds) or self.prepare(*arguments))(words)

    def prepare(self, *arguments: Any) -> Code:
        """Have the machine code for arguments of these kinds in memory and on disk."""
        kinds, words = split(arguments)
        return self.codes.setdefault(kinds, self.code_for(kinds, arguments, words))

    def code_for(self, kinds: tuple[Any, ...], arguments: tuple[Any, ...], words: list[Any]) -> Code:
        folder, name = cached_in(), f"{self.function.__module__.removeprefix('sim.')}.{self.function.__name__}"
        if folder is None:
            return Code(content_of(self.part, arguments, words))
        path = folder / file_name(name, kinds)
        with suppress(OSError, ValueError):  # no file, or half of one
            return Code(path.read_bytes())
        content = content_of(self.part, arguments, words)
        with suppress(OSError):  # no room: it is made again next time
            write_whole(path, content)
        return Code(content)


def njit(function: Callable[..., Any]) -> Compiled:
    """Compile a function of numbers and arrays at its first call, for good."""
    return Compiled(function)
