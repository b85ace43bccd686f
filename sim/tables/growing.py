"""Files that grow while they are read: lines as they are added, and logs whose lines are cut into pieces."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import IO

from sim.tables.headers import is_parquet
from sim.tables.opening import opened

HEADER_DIGITS = 4  # a line with fewer of them has no time: it names the columns


def is_text(path: Path) -> bool:
    """Whether lines can be added to a file: it is neither packed nor a table of another kind."""
    stream, raw = opened(path)
    with raw:
        return stream is raw and not is_parquet(path)


def added_lines(file: IO[str]) -> Iterator[str]:
    """The lines of a file, and for ever those that are added to it."""
    part = ""
    while True:
        part += file.readline()
        if part.endswith("\n"):
            yield part
            part = ""
        else:
            time.sleep(0.5)


def pieces(path: Path, wait: Callable[[float], None] = time.sleep) -> Iterator[Path]:
    """The lines of a log that grows, once a minute, in a file with its header; a rotated log is opened anew."""
    with tempfile.TemporaryDirectory() as folder:
        piece = Path(folder) / path.name
        while True:
            with path.open("rb") as file:
                for lines in until_rotated(path, file, wait):
                    piece.write_bytes(lines)
                    yield piece


def until_rotated(path: Path, file: IO[bytes], wait: Callable[[float], None]) -> Iterator[bytes]:
    """The header and the lines that were added, once a minute, until another file takes the place of this one."""
    head: list[bytes] | None = None
    rest, goes_on = b"", True
    while goes_on:
        goes_on = not rotated(path, file)
        text = rest + file.read()
        cut = text.rfind(b"\n") + 1
        lines, rest = text[:cut].splitlines(keepends=True), text[cut:]
        if head is None and lines:
            head = list(takewhile(names_columns, lines))
            lines = lines[len(head) :]
        if not all(map(names_columns, lines)):
            yield b"".join([*(head or []), *lines])
        head = head and [*head, *(line for line in lines if line.startswith(b"#"))]  # IIS begins anew
        if goes_on:
            wait(60.0)


def rotated(path: Path, file: IO[bytes]) -> bool:
    """Whether another file has taken the place of the one that is open, or it was emptied."""
    try:
        there = path.stat()
    except FileNotFoundError:  # for a moment
        return False
    return there.st_ino != os.fstat(file.fileno()).st_ino or there.st_size < file.tell()


def names_columns(line: bytes) -> bool:
    return line.startswith(b"#") or sum(chr(one).isdigit() for one in line) < HEADER_DIGITS
