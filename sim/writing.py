"""Files and folders that are written in full or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sim.errors import BadInput


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, which gets its name when all is in it; else nothing is left. Raises BadInput.

    It may not be there already, not even as a link that leads nowhere.
    """
    unfinished = None
    try:
        if folder.is_symlink() or folder.exists():
            raise BadInput("this folder is there already", file=folder, expected="the name of a new folder")
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".meltpoint-", dir=folder.parent))
        yield unfinished
        unfinished.chmod(0o755)
        unfinished.rename(folder)
    except (OSError, ValueError) as wrong:
        message = f"this folder cannot be written ({wrong})"
        raise BadInput(message, file=folder, expected="a new folder where there is space") from None
    finally:
        if unfinished is not None:
            shutil.rmtree(unfinished, ignore_errors=True)


@contextmanager
def replacing(folder: Path) -> Iterator[None]:
    """Write a result where an earlier one may be: that one is put back if writing fails, and deleted if it does not."""
    aside = folder.with_name(f".meltpoint-before-{os.getpid()}")
    if os.path.lexists(folder):
        folder.rename(aside)
    try:
        yield
    except BaseException:
        if aside.exists() and not os.path.lexists(folder):
            aside.rename(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def in_full(path: Path) -> Iterator[Path]:
    """A new file to write, which takes the place of `path` when all is in it; else nothing is left."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    os.close(handle)
    try:
        yield Path(name)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_bytes(content: bytes, path: Path) -> Path:
    """Write a file in full or not at all; through a link or into a device, like /dev/stdout, what can be written."""
    path = Path(path)
    if path.is_symlink() or (path.exists() and not path.is_file()):
        path.write_bytes(content)
        return path
    with in_full(path) as unfinished:
        unfinished.write_bytes(content)
    return path
