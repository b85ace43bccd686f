"""Long recordings are read in blocks without a step per row, and give what the slow way gives."""

from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from sim.tables.formats.combined_lines import shape_of
from sim.tables.formats.lines import lines_block, nothing
from sim.tables.formats.web_logs import (
    COMBINED,
    LAST,
    NAMED,
    QUOTED_LAST,
    combined_columns,
    cut_columns,
    duration_found,
)
from sim.tables.hashes import row_hashes

LINE = '203.0.113.9 - ann [06/May/2025:12:00:00 +0000] "POST /v1/images HTTP/1.1" 200 366 "-" "app/1.0" rt=2.000'
ODD = {
    "an escaped quote": LINE.replace("/v1/images", r"/v1/\"x\""),
    "a virtual host": "www.example.org:443 " + LINE,
    "no referer": LINE.split(' "-"')[0],
    "no bytes": LINE.replace(" 366 ", " - "),
    "a user with a space": LINE.replace(" ann ", ' "ann b" '),
    "a tab": LINE.replace("/v1", "\t/v1"),
    "Windows's end": LINE + "\r",
    "letters beyond ASCII": LINE.replace("/v1/images", "/v1/ü€"),
    "no zone": LINE.replace(" +0000", ""),
    "an unknown month": LINE.replace("May", "Xyz"),
    "a broken status": LINE.replace(" 200 ", " 20x "),
    "two spaces": LINE.replace(" - ", "  - "),
    "cut in the request": LINE[:70],
    "empty": "",
    "garbage": "no log at all",
}


def columns_of(data: bytes, first: str, *, cut: bool):
    """Columns, line numbers and broken lines of a log, cut at its quotes or by the pattern alone."""
    groups = pc.extract_regex(pa.array([first]), COMBINED)[0].as_py()
    rest = groups["rest"] or ""
    duration = next((one for one in (NAMED, LAST, QUOTED_LAST) if duration_found(pa.array([rest]), one)[0].as_py()), "")
    shape = shape_of(first, groups)
    assert shape is not None
    quick = partial(cut_columns, shape=shape, duration=duration) if cut else nothing
    block, broken = lines_block(data, 7, COMBINED, partial(combined_columns, duration=duration), quick)
    return {name: values.to_pylist() for name, values in block.columns.items()}, block.lines.tolist(), broken


@pytest.mark.parametrize("shape", ODD)
def test_a_line_cut_at_its_quotes_is_the_line_that_the_pattern_reads(shape):
    """Each odd line stands between plain ones, since what it lacks could be taken from its neighbours."""
    data = "\n".join([LINE, LINE, ODD[shape], LINE.replace("ann", "bob"), LINE, ""]).encode()
    assert columns_of(data, LINE, cut=True) == columns_of(data, LINE, cut=False)


TAILS = (
    *("", " 1.5", ' "-" "app/1.0"', ' "-" "app" 0.25', ' "-" "app" rt=2.0', ' "-" "app" rt=0.1 uct="0.2"'),
    *(' "-" "a" "3.5"', ' "-" "app" "7" 12', ' "-" "duration=4.0" 3.0', ' "-" "app" rt="0.5"', " 7 1.0"),
    *(' "a"b" "c" 1.0', ' "" "" 0.1'),
)


@pytest.mark.parametrize("first", [tail for tail in TAILS if tail != ' "-" "app" rt="0.5"'])
def test_logs_of_many_shapes_are_read_as_by_the_pattern(first):
    """Lines are put together at random: nine of ten like the first, some of another tail, some with a part changed."""
    rng = np.random.default_rng(TAILS.index(first))
    heads = ("203.0.113.9 - ann [06/May/2025:12:00:00 +0000]", "a.example.org - - [06/May/2025:12:00:01 +0200]")
    asked = ("GET / HTTP/1.1", "POST /v1/images?n=2 HTTP/2.0", "-", "", "GET / a b", "\\x16\\x03")
    lines = ["203.0.113.9 - - [06/May/2025:12:00:00 +0000] " + f'"GET / HTTP/1.1" 200 5{first}']
    for _ in range(400):
        tail = first if rng.random() < 0.9 else str(rng.choice(TAILS))
        request = rng.choice(asked, p=(0.3, 0.3, 0.1, 0.1, 0.1, 0.1))
        line = f'{rng.choice(heads)} "{request}" {rng.choice((200, 429, 20))} 7{tail}'
        if rng.random() < 0.1:
            place = int(rng.integers(len(line)))
            line = line[:place] + str(rng.choice(tuple('" x[\t\r\\ü-'))) + line[place + int(rng.integers(2)) :]
        lines.append(line)
    data = "".join(f"{line}\n" for line in lines).encode()
    assert columns_of(data, lines[0], cut=True) == columns_of(data, lines[0], cut=False)


def test_plain_lines_do_not_need_the_pattern():
    shape = shape_of(LINE, pc.extract_regex(pa.array([LINE]), COMBINED)[0].as_py())
    (columns, _), good = cut_columns(f"{LINE}\n{LINE}\n".encode(), shape=shape, duration=NAMED)
    assert good.all()
    assert columns["duration"].to_pylist() == ["2.000", "2.000"]


def test_rows_share_a_number_only_if_all_their_cells_are_equal():
    rows = [("ab", "c"), ("a", "bc"), ("abc", ""), ("", "abc"), ("12345678", "9"), ("123456789", ""), ("12345678", "8"),
            ("ab", "c"), ("x" * 40, "y"), ("x" * 39 + "z", "y"), ("\0", ""), ("\0\0", "")]  # fmt: skip
    for first in (0, 3):  # a slice of an array begins in the middle of its bytes
        columns = {str(k): pa.array([row[k] for row in rows]).slice(first) for k in range(2)}
        found = row_hashes(columns.values())
        assert len(np.unique(found)) == len(set(rows[first:]))
    assert row_hashes([pa.array(["same", "same"])])[0] == row_hashes([pa.array(["x", "same"])])[1]
