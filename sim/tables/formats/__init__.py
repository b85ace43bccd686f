"""The formats of files that operators have: a reader for each, found here, which recognises its own by content."""

import pkgutil
from functools import cache
from importlib import import_module
from pathlib import Path

from sim.tables.formats.reader import Head, Reader


@cache
def readers() -> tuple[Reader, ...]:
    """One reader of each class in the files of this folder."""
    for module in pkgutil.iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    return tuple(sorted((kind() for kind in Reader.__subclasses__()), key=lambda reader: reader.name))


def recognised(path: Path) -> Reader | None:
    """The reader of a file, by its first 64 KiB; None for a table of another kind."""
    head = Head(path)
    return next((reader for reader in readers() if reader.recognises(head)), None)
