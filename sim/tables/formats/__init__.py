"""The formats of files that operators have: a reader for each, found here, which recognises its own by content."""

import pkgutil
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path

from sim.errors import BadInput
from sim.tables.formats.reader import Head, LoadPoint, Reader, reading


@cache
def readers() -> tuple[Reader, ...]:
    """One reader of each class in the files of this folder."""
    for module in pkgutil.iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    return tuple(sorted((kind() for kind in Reader.__subclasses__()), key=lambda reader: (reader.general, reader.name)))


def recognised(path: Path) -> Reader | None:
    """The reader of a file, by its first 64 KiB; None for a table of another kind."""
    head = Head(path)
    return next((reader for reader in readers() if reader.recognises(head)), None)


def load_test(path: Path) -> tuple[str, list[LoadPoint] | None, str] | None:
    """What a file is, the rows of its load test (None if it is none), and what it says; None if nobody knows it.

    Of a folder, the rows of all its files, which are of one kind.
    """
    if not path.is_dir():
        reader = recognised(path)
        if reader is None:
            return None
        with reading(path, reader.title):
            return reader.title, reader.load_points(path), reader.figures([path])
    files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    found = [load_test(file) for file in files]
    if not found or found[0] is None or found[0][1] is None:
        return found[0] if found else None
    for file, one in zip(files, found, strict=True):
        if one is None or one[0] != found[0][0]:
            what = f"{files[0].name} beside it holds {found[0][0]}, and this file does not"
            raise BadInput(what, file=file, expected="a folder with files of one kind")
    rows = [
        replace(point, row=f"{file.name}, {point.row}")
        for file, one in zip(files, found, strict=True)
        for point in (one[1] or [] if one else [])
    ]
    return found[0][0], rows, "; ".join(one[2] for one in found if one and one[2])
