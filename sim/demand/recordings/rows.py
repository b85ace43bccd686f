"""The rows of a recording as texts: read block by block out of CSV, Parquet or a log, each with its line number."""

import csv
import gzip
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sim.errors import BadInput

BLOCK = 1 << 23  # bytes read at a time
Progress = Callable[[float], None]


@dataclass(frozen=True)
class Broken:
    """A line that is not a row of its format."""

    file: int
    line: int
    text: str


@dataclass(frozen=True)
class Block:
    """Some rows: columns of texts, and the line number of each (the first line is 1)."""

    columns: dict[str, Any]  # pyarrow arrays of strings
    lines: NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """All rows that were asked for, as texts.

    time: the texts of the instants; coded: other columns by their role, each text stored once.
    file, line: where each row is from; a quoted value that spans lines counts as one line.
    same: a 64-bit hash of the whole row, columns that were not asked for included.
    """

    time: Any
    coded: dict[str, Any]
    file: NDArray[np.int16]
    line: NDArray[np.int64]
    same: NDArray[np.uint64]
    broken: list[Broken]
    left_out: int

    def __len__(self) -> int:
        return len(self.line)


def gather(
    paths: list[Path],
    blocks: Callable[[Path, list[tuple[int, str]], Progress], Iterator[Block]],
    roles: dict[str, str],
    keep: dict[str, str],
    progress: Progress,
) -> Rows:
    """The rows of all files in turn.

    blocks: reads one file: its blocks, and broken lines as (line, text) into the list that it is given.
    roles: which column is the time, the user, ...; keep: only rows with this text in this column.
    """
    parts: list[tuple[dict[str, Any], int, NDArray[np.int64], NDArray[np.uint64]]] = []
    broken: list[Broken] = []
    left_out = 0
    for number, path in enumerate(paths):
        wrong: list[tuple[int, str]] = []
        for block in blocks(path, wrong, lambda share, n=number: progress((n + share) / len(paths))):  # type: ignore[misc]
            missing = [name for name in [*roles.values(), *keep] if name not in block.columns]
            if missing:
                expected = f"one of its columns: {', '.join(block.columns)}"
                raise BadInput("the file has no such column", file=path, value=missing[0], expected=expected)
            wanted = kept(block.columns, keep)
            left_out += len(wanted) - int(wanted.sum())
            same, mask = row_hashes(block.columns)[wanted], pa.array(wanted)
            chosen = {role: block.columns[name].filter(mask) for role, name in roles.items()}
            coded = {role: text if role == "time" else text.dictionary_encode() for role, text in chosen.items()}
            parts.append((coded, number, block.lines[wanted], same))
        broken += [Broken(number, line, text) for line, text in wrong]
    if not sum(len(lines) for _, _, lines, _ in parts):
        what = f"no row is left of {left_out} after --keep" if left_out else "the recording has no rows"
        raise BadInput(what, file=paths[0], value=keep or None)
    columns = {role: joined([part[0][role] for part in parts]) for role in roles}
    return Rows(
        time=columns.pop("time"),
        coded=columns,
        file=np.concatenate([np.full(len(lines), number, dtype=np.int16) for _, number, lines, _ in parts]),
        line=np.concatenate([lines for _, _, lines, _ in parts]),
        same=np.concatenate([same for _, _, _, same in parts]),
        broken=broken,
        left_out=left_out,
    )


def joined(parts: list[Any]) -> Any:
    """One array from the arrays of the blocks."""
    whole = pa.chunked_array(parts)
    if pa.types.is_dictionary(whole.type):
        return whole.unify_dictionaries().combine_chunks()
    return whole.cast(pa.large_string()).combine_chunks()  # 2^31 characters are not enough for a long recording


def kept(columns: dict[str, Any], keep: dict[str, str]) -> NDArray[np.bool_]:
    wanted = np.ones(len(next(iter(columns.values()))), dtype=bool)
    for name, text in keep.items():
        wanted &= pc.equal(columns[name], text).to_numpy(zero_copy_only=False)
    return wanted


def row_hashes(columns: dict[str, Any]) -> NDArray[np.uint64]:
    """A number for each row that equal rows share; that two of ten million others do has a chance of 3 in a million."""
    total = np.zeros(len(next(iter(columns.values()))), dtype=np.uint64)
    for values in columns.values():
        coded = values.dictionary_encode()
        texts = np.asarray(coded.dictionary.to_pylist(), dtype=object)
        hashes = np.asarray(pd.util.hash_array(texts, categorize=False), dtype=np.uint64)
        total = total * np.uint64(0x9E3779B97F4A7C15) + hashes[coded.indices.to_numpy()]
    return total


def opened(path: Path) -> tuple[IO[bytes], IO[bytes]]:
    """A file to read, unpacked where its name ends in .gz; and the file itself, which knows how far one is."""
    try:
        raw = path.open("rb")
    except OSError as wrong:
        raise BadInput(f"the file cannot be read ({wrong.strerror})", file=path) from None
    return (gzip.open(raw), raw) if path.suffix == ".gz" else (raw, raw)  # type: ignore[return-value]


def first_line(path: Path) -> str:
    """The first line that is not empty, as text; '' for a Parquet or an empty file."""
    stream, raw = opened(path)
    with raw:
        try:
            head = stream.read(1 << 16)
        except (OSError, EOFError, zlib.error) as wrong:
            raise BadInput(f"the file cannot be unpacked ({wrong})", file=path) from None
    if head.startswith(b"PAR1"):
        return ""
    return next((line for line in lines_of(head) if line.strip()), "")


def lines_of(head: bytes) -> list[str]:
    return head.decode("utf-8-sig", errors="replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")


def lines_before(path: Path) -> int:
    """How many lines there are up to the one that names the columns, which is the first that is not empty."""
    stream, raw = opened(path)
    with raw:
        return 1 + next((place for place, line in enumerate(lines_of(stream.read(1 << 16))) if line.strip()), 0)


def header(path: Path) -> list[str]:
    """The names of the columns of a CSV or Parquet file; of any other text, what its first line falls into."""
    if is_parquet(path):
        try:
            return list(pq.ParquetFile(path).schema_arrow.names)
        except (OSError, pa.ArrowException) as wrong:
            raise BadInput(f"this is not a Parquet file ({wrong})", file=path) from None
    line = first_line(path)
    return [name.strip() for name in next(csv.reader([line], delimiter=delimiter(line)))] if line else []


def is_parquet(path: Path) -> bool:
    stream, raw = opened(path)
    with raw:
        return path.suffix != ".gz" and stream.read(4) == b"PAR1"


def delimiter(line: str) -> str:
    return max(",;\t", key=line.count)


def table_blocks(path: Path, wrong: list[tuple[int, str]], progress: Progress) -> Iterator[Block]:
    """The rows of a CSV or Parquet file with a header, all columns as texts."""
    return parquet_blocks(path, progress) if is_parquet(path) else csv_blocks(path, wrong, progress)


def parquet_blocks(path: Path, progress: Progress) -> Iterator[Block]:
    """A Parquet file's rows as texts; 'line' is the number of the row plus 1, as in a CSV with a header."""
    file = pq.ParquetFile(path)
    done = 0
    try:
        for batch in file.iter_batches(1 << 18):
            columns = {name: as_text(batch.column(name)) for name in batch.schema.names if is_flat(batch.column(name))}
            yield Block(columns, done + 2 + np.arange(len(batch)))
            done += len(batch)
            progress(done / max(file.metadata.num_rows, 1))
    except (OSError, pa.ArrowException) as wrong:
        raise BadInput(f"the Parquet file cannot be read ({wrong})", file=path) from None


def is_flat(values: Any) -> bool:
    return not pa.types.is_nested(values.type) and not pa.types.is_binary(values.type)


def as_text(values: Any) -> Any:
    """Any plain column as texts, exactly: instants to the nanosecond, floats with all their digits, null as ''."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return pc.fill_null(values.cast(pa.string()), "")


def csv_blocks(path: Path, wrong: list[tuple[int, str]], progress: Progress) -> Iterator[Block]:
    """A CSV file's rows as texts; rows with too few or too many fields go into `wrong`, empty lines nowhere."""
    names, line = header(path), lines_before(path) + 1
    if len(set(names)) < len(names) or not all(names):
        expected = "a first line that names each column once"
        raise BadInput("the first line does not name the columns", file=path, value=names, expected=expected)
    unfits: list[int] = []

    def unfit(row: Any) -> str:
        unfits.append(row.number)
        if row.text.strip():
            wrong.append((row.number, row.text))
        return "skip"

    packed, raw = opened(path)
    stream, spanning, size = Quotes(packed), False, max(path.stat().st_size, 1)
    try:
        with raw, pa.csv.open_csv(stream, *csv_options(path, names, line - 1, unfit)) as reader:
            for batch in reader:
                lines = np.arange(line, line + len(batch) + len(unfits))
                lines = lines[~np.isin(lines, unfits)][: len(batch)]
                line = int(lines[-1]) + 1 if len(lines) else line
                unfits[:] = [number for number in unfits if number >= line]
                block = Block(dict(zip(names, batch.columns, strict=True)), lines)
                spanning = spanning or spans_lines(block)
                yield without_empty(block)
                progress(raw.tell() / size)
    except (pa.ArrowException, OSError, EOFError, zlib.error) as problem:
        raise BadInput(f"the file cannot be read as CSV ({problem})", file=path) from None
    if spanning and stream.seen % 2:
        what = "a quotation mark is opened and never closed, and lines are lost in it"
        raise BadInput(what, file=path, expected='an even number of ", those within a value doubled')


def csv_options(path: Path, names: list[str], skip: int, unfit: Callable[[Any], str]) -> tuple[Any, Any, Any]:
    """How to read: nothing guessed, every value a text, one thread so that rows that do not fit have their numbers."""
    return (
        pa.csv.ReadOptions(use_threads=False, block_size=BLOCK, column_names=names, skip_rows=skip),
        pa.csv.ParseOptions(
            delimiter=delimiter(first_line(path)),
            invalid_row_handler=unfit,
            ignore_empty_lines=False,
            newlines_in_values=True,
        ),
        pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
    )


class Quotes:
    """A stream that counts the quotation marks going by."""

    closed = False

    def __init__(self, stream: IO[bytes]):
        self.stream, self.seen = stream, 0

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(size)
        self.seen += data.count(b'"')
        return data


def spans_lines(block: Block) -> bool:
    return any(pc.any(pc.match_substring(values, "\n")).as_py() for values in block.columns.values())


def without_empty(block: Block) -> Block:
    """The rows of a block that hold anything: an empty line is no row."""
    full = np.zeros(len(block.lines), dtype=bool)
    for values in block.columns.values():
        full |= pc.not_equal(values, "").to_numpy(zero_copy_only=False)
    if full.all():
        return block
    mask = pa.array(full)
    return Block({name: values.filter(mask) for name, values in block.columns.items()}, block.lines[full])
