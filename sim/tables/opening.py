"""The bytes of a file as UTF-8, unpacked: gzip, bzip2, xz, zstd, UTF-16, the sheet of a spreadsheet."""

import bz2
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from sim.errors import BadInput
from sim.tables.spreadsheets import ZIP, sheet_as_csv

BOM = b"\xef\xbb\xbf"
WIDE = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
LARGEST_TIDIED = 50_000_000  # bytes of a file that is tidied, and therefore read whole
FOREIGN = {  # kinds that are not read, by their first bytes, and a command that makes a table of one
    b"SQLite format 3": ("a database of SQLite", "sqlite3 -header -csv {file} 'SELECT * FROM requests' > requests.csv"),
    b"\xd0\xcf\x11\xe0": ("a spreadsheet of an old kind (.xls)", "libreoffice --headless --convert-to csv {file}"),
    b"Obj\x01": ("an Avro file", "duckdb -csv -c \"SELECT * FROM read_avro('{file}')\" > requests.csv"),
    b"ORC": (
        "an ORC file",
        "python -c \"from pyarrow import orc, parquet; parquet.write_table(orc.read_table('{file}'), 'all.parquet')\"",
    ),
    b"\x04\x22\x4d\x18": ("packed by lz4", "lz4 -d {file}"),
    b"7z\xbc\xaf": ("an archive of 7-Zip", "7z x {file}, and one of its files"),
    b"ARROW1": (
        "an Arrow (Feather) file",
        "python -c \"from pandas import read_feather; read_feather('{file}').to_parquet('requests.parquet')\"",
    ),
}
TAR = slice(257, 262)
UNREADABLE = (OSError, EOFError, zlib.error, lzma.LZMAError, UnicodeError)
Tidy = Callable[[bytes], bytes]


def opened(path: Path, tidy: Tidy | None = None) -> tuple[IO[bytes], IO[bytes]]:
    """A file to read, unpacked and in UTF-8, and the raw one, whose position says how far one has read.

    tidy: edits the bytes of the whole file before anything is read from it.
    """
    try:
        raw = path.open("rb")
    except (OSError, ValueError) as wrong:
        reason = getattr(wrong, "strerror", None) or "no file can have this name"
        raise BadInput(f"the file cannot be read ({reason})", file=path) from None
    try:
        stream: Any = narrowed(unpacked(raw, path))
    except BadInput:
        raw.close()
        raise
    except UNREADABLE as wrong:
        raw.close()
        raise BadInput(f"the file cannot be read ({wrong})", file=path) from None
    refuse_foreign(stream, raw, path)
    if tidy is None:
        return stream, raw
    data = all_bytes(stream, raw, path)
    whole = io.BytesIO(data if data.startswith(b"PAR1") else tidy(data))
    return whole, whole


def refuse_foreign(stream: Any, raw: IO[bytes], path: Path) -> None:
    """Raises BadInput, with a command that helps, for a database, an archive or a table of a kind that is not read."""
    try:
        head = b"" if isinstance(stream, io.BytesIO) else stream.peek(TAR.stop)[: TAR.stop]
    except UNREADABLE:
        return
    found = next((kind for magic, kind in FOREIGN.items() if head.startswith(magic)), None)
    found = ("an archive of files", "tar -xf {file}, and one of its files") if head[TAR] == b"ustar" else found
    if found:
        raw.close()
        raise BadInput(f"this is {found[0]}, which is not read", file=path, expected=found[1].format(file=path))


def unpacked(raw: IO[bytes], path: Path) -> Any:
    """The bytes of a file, unpacked as its first bytes say; of a spreadsheet, its first table as CSV."""
    magic = raw.read(6)
    raw.seek(0)
    if magic.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=raw)
    if magic.startswith(b"BZh"):
        return bz2.BZ2File(raw)
    if magic == b"\xfd7zXZ\x00":
        return lzma.LZMAFile(raw)
    if magic.startswith(b"\x28\xb5\x2f\xfd"):
        return io.BufferedReader(pa.CompressedInputStream(raw, "zstd"), 1 << 20)
    if magic.startswith(ZIP):
        return io.BytesIO(sheet_as_csv(path))
    return raw


def narrowed(stream: Any) -> Any:
    """A stream in UTF-8: UTF-16 is known by its mark, or by the zero in every other byte of its first letters."""
    head = stream.getvalue()[:16] if isinstance(stream, io.BytesIO) else stream.peek(16)[:16]
    encoding = WIDE.get(head[:2], "")
    if not encoding and len(head) >= 8:
        zeros = [set(head[place::2]) == {0} for place in (0, 1)]
        encoding = "utf-16-be" if zeros == [True, False] else "utf-16-le" if zeros == [False, True] else ""
    if not encoding:
        return stream
    return io.BufferedReader(pa.transcoding_input_stream(pa.PythonFile(stream, mode="r"), encoding, "utf-8"), 1 << 20)


def first_bytes(stream: IO[bytes], path: Path, size: int) -> bytes:
    try:
        return stream.read(size)
    except UNREADABLE as wrong:
        raise BadInput(f"the file cannot be read ({wrong})", file=path) from None


@contextmanager
def opened_text(path: Path) -> Iterator[io.TextIOWrapper]:
    """A file's text, unpacked, for a reader of CSV; what is not UTF-8 becomes a sign that says so."""
    stream, raw = opened(path)
    with raw:
        yield io.TextIOWrapper(stream, "utf-8-sig", errors="replace", newline="")


def all_bytes(stream: IO[bytes], raw: IO[bytes], path: Path) -> bytes:
    """The whole of a file of moderate size, which is closed. Raises BadInput for a larger one."""
    with raw:
        data = first_bytes(stream, path, LARGEST_TIDIED + 1)
    if len(data) > LARGEST_TIDIED:
        raise BadInput("the file is too large", file=path, expected=f"at most {LARGEST_TIDIED:,} bytes")
    return data


def first_lines(path: Path, tidy: Tidy | None = None) -> list[str]:
    """The lines at the beginning of a file; none of a Parquet file."""
    stream, raw = opened(path, tidy)
    with raw:
        head = first_bytes(stream, path, 1 << 16)
    if head.startswith(b"PAR1"):
        return []
    return head.decode("utf-8-sig", errors="replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")


def unspaced(data: bytes) -> bytes:
    """A CSV without spaces between a delimiter, or the beginning of a line, and a quote."""
    return re.sub(rb'(?m)(?:(?<=[,;\t])|^) +(?=")', b"", data)


def without_comments(data: bytes) -> bytes:
    """A CSV in which lines that begin with '#' are empty, and no space stands between a delimiter and a quote."""
    return unspaced(re.sub(rb"(?m)^#[^\r\n]*", b"", data.removeprefix(BOM)))
