"""A table in a CSV (packed or not) or Parquet file, read block by block as texts, each row with its line number."""

import codecs
import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sim.errors import BadInput, printable
from sim.tables.hashes import Hashes
from sim.tables.headers import checked_names, column_names, is_parquet, table_head
from sim.tables.opening import UNREADABLE, Tidy, first_lines, opened, unspaced

BLOCK = 1 << 23  # bytes read at a time
FOOTER = re.compile(r"^\s*(\(\d+ rows?\)|\d+ rows? in set.*|\+[-+]+\+)\s*$")  # of psql and mysql
Progress = Callable[[float], None]


@dataclass(frozen=True)
class Broken:
    """A line that is not a row of its table; cells: how many it has, where lines have cells."""

    line: int
    text: str
    cells: int | None = None


@dataclass(frozen=True)
class RowBlock:
    """Some rows of a table: columns of texts, and the line number of each row (the first line is 1).

    columns: pyarrow arrays of strings, some of them coded; same: numbers, equal for rows that are equal in what no
    column holds.
    """

    columns: dict[str, Any]
    lines: NDArray[np.int64]
    same: Hashes | None = None


def table_blocks(path: Path, broken: list[Broken], progress: Progress, tidy: Tidy | None = None) -> Iterator[RowBlock]:
    """The rows of a CSV or Parquet file with a header, all columns as texts. Broken lines go into `broken`."""
    return parquet_blocks(path, progress) if is_parquet(path) else csv_blocks(path, broken, progress, tidy)


def parquet_blocks(path: Path, progress: Progress) -> Iterator[RowBlock]:
    """A Parquet file's rows as texts; 'line' is the number of the row plus 1, as in a CSV with a header."""
    column_names(path)
    done = 0
    try:
        file = pq.ParquetFile(path)
        for batch in file.iter_batches(1 << 18):
            columns = {name: as_text(batch.column(name)) for name in batch.schema.names if is_flat(batch.column(name))}
            yield RowBlock(columns, done + 2 + np.arange(len(batch)))
            done += len(batch)
            progress(done / max(file.metadata.num_rows, 1))
    except (OSError, pa.ArrowException) as wrong:
        raise BadInput(f"the Parquet file cannot be read ({printable(str(wrong))})", file=path) from None


def is_flat(values: Any) -> bool:
    return not pa.types.is_nested(values.type) and not pa.types.is_binary(values.type)


def as_text(values: Any) -> Any:
    """Any plain column as texts, exactly: instants to the nanosecond, floats with all their digits, null as ''."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_duration(values.type):  # its text would be a bare number, of microseconds or whatever it counts
        each = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[values.type.unit]
        values = pc.divide(values.cast(pa.int64()).cast(pa.float64(), safe=False), each)
    return pc.fill_null(values.cast(pa.string()), "")


def csv_blocks(
    path: Path, broken: list[Broken], progress: Progress = lambda _: None, tidy: Tidy | None = None
) -> Iterator[RowBlock]:
    """A CSV file's rows as texts; rows with too few or too many cells go into `broken`, empty lines are skipped."""
    first = first_lines(path, tidy)
    head = table_head(first)
    if tidy is None and is_spaced(first[head.skip :], head.mark):
        tidy = unspaced
    names, line = checked_names(head.names, path), head.skip + 1
    ends = [f"\0{k}" for k in range(empty_ends(first[head.skip :], len(names), head.mark))]
    unfits: list[int] = []

    def unfit(row: Any) -> str:
        unfits.append(row.number)
        if row.text.strip() and not FOOTER.match(row.text):
            broken.append(Broken(row.number, row.text, row.actual_columns))
        return "skip"

    packed, raw = opened(path, tidy)
    stream, spanning, size = QuoteCounter(packed), False, max(path.stat().st_size, 1)
    options = csv_options([*names, *ends], head.mark, head.skip, unfit)
    try:
        with raw, pa.csv.open_csv(stream, *options) as reader:
            for batch in reader:
                lines = np.arange(line, line + len(batch) + len(unfits))
                lines = lines[~np.isin(lines, unfits)][: len(batch)]
                line = int(lines[-1]) + 1 if len(lines) else line
                unfits[:] = [number for number in unfits if number >= line]
                block = RowBlock(dict(zip([*names, *ends], batch.columns, strict=True)), lines)
                if head.mark == "|":
                    block = replace(block, columns={n: pc.utf8_trim_whitespace(c) for n, c in block.columns.items()})
                block = without_ends(block, ends, broken) if ends else block
                spanning = spanning or (stream.seen > 0 and spans_lines(block))
                yield without_empty_rows(block)
                progress(min(raw.tell() / size, 1.0))
    except UnicodeDecodeError:
        expected = f"UTF-8, as of iconv -f WINDOWS-1252 -t UTF-8 {path} > utf8.csv, if that is what it is in"
        raise BadInput("this file is not UTF-8 text", file=path, expected=expected) from None
    except (pa.ArrowException, *UNREADABLE) as problem:
        raise BadInput(f"the file cannot be read as CSV ({printable(str(problem))})", file=path) from None
    if spanning and stream.seen % 2:
        what = "a quotation mark is opened and never closed, so the lines after it are lost"
        raise BadInput(what, file=path, expected='an even number of ", those within a value doubled')


def is_spaced(lines: list[str], mark: str) -> bool:
    """Whether cells begin with a space and a quote, as some programs write after each delimiter."""
    try:
        return any(cell.lstrip(" ")[:1] == '"' for row in csv.reader(lines[:20], delimiter=mark) for cell in row)
    except csv.Error:
        return False


def empty_ends(lines: list[str], names: int, mark: str) -> int:
    """How many delimiters too many the first row has at its end."""
    try:
        cells = next((row for row in csv.reader(lines, delimiter=mark) if any(cell.strip() for cell in row)), [])
    except csv.Error:
        return 0
    return 0 if any(cells[names:]) else max(len(cells) - names, 0)


def without_ends(block: RowBlock, ends: list[str], broken: list[Broken]) -> RowBlock:
    """A block without the columns behind the last delimiter; rows that have something there are broken."""
    filled = np.zeros(len(block.lines), dtype=bool)
    for name in ends:
        filled |= pc.not_equal(block.columns[name], "").to_numpy(zero_copy_only=False)
    for row in np.flatnonzero(filled).tolist():
        cells = [values[row].as_py() for values in block.columns.values()]
        broken.append(Broken(int(block.lines[row]), ",".join(cells), len(cells)))
    columns = {name: values for name, values in block.columns.items() if name not in ends}
    if filled.any():
        columns = {name: values.filter(pa.array(~filled)) for name, values in columns.items()}
    return RowBlock(columns, block.lines[~filled])


def csv_options(names: list[str], mark: str, skip: int, unfit: Callable[[Any], str]) -> tuple[Any, Any, Any]:
    """How to read: nothing guessed, every value a text, one thread so that broken lines have their numbers."""
    return (
        pa.csv.ReadOptions(use_threads=False, block_size=BLOCK, column_names=names, skip_rows=skip),
        pa.csv.ParseOptions(
            delimiter=mark, invalid_row_handler=unfit, ignore_empty_lines=False, newlines_in_values=True
        ),
        pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
    )


class QuoteCounter:
    """A stream that counts the quotation marks read from it, and ends with UnicodeDecodeError where it is not UTF-8."""

    closed = False

    def __init__(self, stream: IO[bytes]):
        self.stream, self.seen = stream, 0
        self.text = codecs.getincrementaldecoder("utf-8")()  # Arrow prints tracebacks about such bytes in broken rows

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(size)
        self.seen += data.count(b'"')
        self.text.decode(data)
        return data


def spans_lines(block: RowBlock) -> bool:
    return any(pc.any(pc.match_substring(values, "\n")).as_py() for values in block.columns.values())


def without_empty_rows(block: RowBlock) -> RowBlock:
    """The rows of a block in which any cell is filled: an empty line is no row."""
    full = np.zeros(len(block.lines), dtype=bool)
    for values in block.columns.values():
        full |= pc.not_equal(values, "").to_numpy(zero_copy_only=False)
        if full.all():
            return block
    mask = pa.array(full)
    return RowBlock({name: values.filter(mask) for name, values in block.columns.items()}, block.lines[full])
