"""Long recordings are read in blocks without a step per row, and give what the slow way gives."""

import numpy as np
import pyarrow as pa
import pytest

from sim.demand.recordings.recorded_rows import row_hashes
from sim.tables.formats.combined_lines import combined_parts
from sim.tables.formats.lines import lines_block
from sim.tables.formats.web_logs import COMBINED

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


@pytest.mark.parametrize("shape", ODD)
def test_a_line_cut_at_its_quotes_is_the_line_that_the_pattern_reads(shape):
    """Each odd line stands between plain ones, since what it lacks could be taken from its neighbours."""
    data = "\n".join([LINE, ODD[shape], LINE.replace("ann", "bob"), ""]).encode()
    broken: tuple[list, list] = [], []
    one, other = (
        lines_block(data, 7, lines, COMBINED, dict, quick)
        for lines, quick in zip(broken, (combined_parts, lambda _: None), strict=True)
    )
    assert one.lines.tolist() == other.lines.tolist()
    for name, values in one.columns.items():
        assert values.to_pylist() == other.columns[name].to_pylist()
    assert broken[0] == broken[1]


def test_plain_lines_do_not_need_the_pattern():
    parts, good = combined_parts(f"{LINE}\n{LINE}\n".encode())
    assert good.all()
    assert parts["rest"].to_pylist() == [' "-" "app/1.0" rt=2.000'] * 2


def test_rows_share_a_number_only_if_all_their_cells_are_equal():
    rows = [("ab", "c"), ("a", "bc"), ("abc", ""), ("", "abc"), ("12345678", "9"), ("123456789", ""), ("12345678", "8"),
            ("ab", "c"), ("x" * 40, "y"), ("x" * 39 + "z", "y"), ("\0", ""), ("\0\0", "")]  # fmt: skip
    for first in (0, 3):  # a slice of an array begins in the middle of its bytes
        columns = {str(k): pa.array([row[k] for row in rows]).slice(first) for k in range(2)}
        found = row_hashes(columns)
        assert len(np.unique(found)) == len(set(rows[first:]))
    assert row_hashes({"a": pa.array(["same", "same"])})[0] == row_hashes({"a": pa.array(["x", "same"])})[1]
