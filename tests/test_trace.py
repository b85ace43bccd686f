"""A trace is saved and loaded as it is, and nothing else is taken for one; its figures are those of its arrivals."""

import dataclasses
import math
from datetime import UTC, datetime

import numpy as np
import pyarrow.parquet as pq
import pytest

from sim.demand.recordings.summary import trace_figures
from sim.demand.recordings.trace import Trace, load_trace, save_trace
from sim.errors import BadInput
from sim.model.streams import FIT, series


def trace(times=(0.0, 0.1 + 0.2, 7.0), **fields) -> Trace:
    n = len(times)
    plain = {
        "times": np.array(times, dtype=np.float64),
        "user": np.arange(n, dtype=np.int64),
        "images": np.ones(n, dtype=np.int16),
        "kind": np.zeros(n, dtype=np.int16),
        "kinds": ("",),
        "start": None,
        "length": float(times[-1]) + 1 if n else 1.0,
        "users_known": True,
        "source": "r.csv",
        "sha256": "0" * 64,
        "recorded_as": "csv",
    }
    return Trace(**{**plain, **fields})


def test_a_trace_is_loaded_as_it_was_saved(tmp_path):
    one = trace(
        start=datetime(2025, 3, 31, 18, tzinfo=UTC),
        user=np.array([0, 1, 0]),
        images=np.array([1, 4, 8], dtype=np.int16),
        kind=np.array([1, 0, 1], dtype=np.int16),
        kinds=("é", "conv"),
        notes=("sorted",),
        extra={"latency_s": np.array([1.5, np.nan, 3.0])},
    )
    again = load_trace(save_trace(one, tmp_path / "new" / "t.parquet"))
    for field in dataclasses.fields(Trace):
        if field.name == "extra":
            np.testing.assert_array_equal(again.extra["latency_s"], one.extra["latency_s"])
        elif field.name in ("times", "user", "images", "kind"):
            np.testing.assert_array_equal(getattr(again, field.name), getattr(one, field.name), strict=True)
        else:
            assert getattr(again, field.name) == getattr(one, field.name)


def test_a_file_is_kept_unless_replace_is_asked_for(tmp_path):
    path = save_trace(trace(), tmp_path / "t.parquet")
    before = path.read_bytes()
    with pytest.raises(BadInput, match="there already"):
        save_trace(trace((1.0, 2.0)), path)
    assert path.read_bytes() == before
    assert len(load_trace(save_trace(trace((1.0, 2.0)), path, replace=True)).times) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["t.parquet"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"times": np.array([0.0, 2.0, 1.0])}, "not ascending"),
        ({"times": np.array([-1.0, 2.0, 3.0])}, "not ascending"),
        ({"times": np.array([0.0, np.nan, 3.0])}, "not ascending"),
        ({"length": 7.0}, "length is not above"),
        ({"length": math.inf}, "length is not above"),
        ({"kind": np.array([0, 0, 1], dtype=np.int16)}, "no name"),
        ({"images": np.array([1, 0, 1], dtype=np.int16)}, "no image"),
        ({"user": np.array([1, 0, 2])}, "order of appearance"),
        ({"user": np.array([0, 2, 1])}, "order of appearance"),
        ({"user": np.array([0, 1])}, "differ in length"),
        ({"times": np.array([])}, "no rows"),
    ],
)
def test_an_unsound_trace_is_not_written(tmp_path, fields, words):
    with pytest.raises(BadInput, match=words):
        save_trace(trace(**fields), tmp_path / "t.parquet")
    assert not list(tmp_path.iterdir())


def other_format(table):
    return table.replace_schema_metadata({b"meltpoint": b'{"format": "meltpoint-trace/9"}'})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda table: table.replace_schema_metadata({}),
        other_format,
        lambda table: table.replace_schema_metadata({b"meltpoint": b"[1]"}),
        lambda table: table.replace_schema_metadata({b"meltpoint": b'{"format": "meltpoint-trace/1"}'}),
        lambda table: table.drop_columns(["user"]),
        lambda table: table.take([2, 1, 0]),
        lambda table: table.slice(0, 0),
        lambda table: table.set_column(0, "times", [["a", "b", "c"]]),
    ],
)
def test_a_file_that_is_no_trace_or_is_damaged_is_refused(tmp_path, spoil):
    path = save_trace(trace(), tmp_path / "t.parquet")
    pq.write_table(spoil(pq.read_table(path)), path)
    with pytest.raises(BadInput):
        load_trace(path)


@pytest.mark.parametrize("content", [b"", b"time\n1\n", b"PAR1 and no more"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "t.parquet"
    path.write_bytes(content)
    for wrong in (path, tmp_path / "none.parquet", tmp_path):
        with pytest.raises(BadInput, match="not a saved trace"):
            load_trace(wrong)


def test_the_figures_of_regular_arrivals_have_no_spread():
    f = trace_figures(trace(np.arange(0.0, 600.0, 2.0)))
    assert (f.rows, f.span, f.peak_minute) == (300, 598.0, 30)
    assert f.rate == 0.5
    assert f.fano == 0
    assert f.pause_cv == 0


def test_the_figures_of_poisson_arrivals_are_one():
    """Fano of m minutes: standard error sqrt(2 / (m - 1)); coefficient of variation of n pauses: 1 / sqrt(n)."""
    times = np.cumsum(-np.log(series(5, FIT, 1, 0, 36000)))
    f = trace_figures(trace(times))
    minutes = times[-1] // 60
    assert abs(f.fano - 1) / math.sqrt(2 / (minutes - 1)) < 3.5
    assert abs(f.pause_cv - 1) * math.sqrt(f.rows) < 3.5


def test_one_arrival_has_no_rate():
    f = trace_figures(trace((3.0,)))
    assert math.isnan(f.rate)
    assert math.isnan(f.fano)
    assert math.isnan(f.pause_cv)
    assert f.peak_minute == 1
