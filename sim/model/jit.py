"""numba's njit for all compiled functions, with a cache on disk that is renewed when any of their sources changes.

numba itself looks only at the file that a function is in, not at what it calls from other files: after a change there
it would go on with the old machine code, and give old numbers.
"""

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

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
    """Where machine code of exactly these files is kept, for this user.

    numba tells files apart by their path and time too: so does the folder, or code that is there could be of no use.
    """
    files = [(path.read_bytes(), f"{path}{path.stat().st_mtime_ns}".encode()) for path in compiled_sources()]
    content = hashlib.sha256(b"".join(part for file in files for part in file))
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "meltpoint" / content.hexdigest()[:16]


def use_cache() -> bool:
    """Point numba at the folder, or at the one that the user has named; whether anything can be written there."""
    named = os.environ.get("NUMBA_CACHE_DIR")
    try:
        folder = Path(named) if named else cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError, ValueError):
        return False
    numba.config.CACHE_DIR = str(folder)
    return os.access(folder, os.W_OK | os.X_OK)


CACHED = use_cache()  # else machine code is made in every process, since numba refuses to cache where it cannot write


def njit(function: Callable[..., Any]) -> Any:
    """Compile a function of numbers and arrays at its first call, for good.

    It may not make arrays, so that no references are counted, which would cost more than most of these functions.
    """
    return numba.njit(cache=CACHED, error_model="numpy", _nrt=False)(function)


def njit_with_arrays(function: Callable[..., Any]) -> Any:
    """The same for a function that makes arrays."""
    return numba.njit(cache=CACHED)(function)


def compiled_before() -> bool:
    """Whether this Python's machine code of the engine lies on disk already; else its first run takes minutes."""
    python = f"py{sys.version_info.major}{sys.version_info.minor}{sys.abiflags}"
    return CACHED and any(Path(numba.config.CACHE_DIR).rglob(f"advance.advance-*.{python}.*.nbc"))
