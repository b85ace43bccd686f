"""The command validate: what it prints and writes, and what it refuses."""

import re
import sys

import pytest
from typer import Typer
from typer.testing import CliRunner

from sim.cli.main import app
from sim.errors import BadInput
from sim.validation import mlperf
from sim.validation.study_file import number
from tests.results import read_results
from tests.studies.__main__ import app as studies
from tests.studies.live.torch_device import check


def printed_by(app: Typer, *arguments: str, columns: int = 100) -> str:
    told = CliRunner().invoke(app, list(arguments), env={"COLUMNS": str(columns)})
    if told.exception is not None:
        raise told.exception
    return told.output


def validate(*arguments: str, columns: int = 100) -> str:
    return printed_by(app, "validate", *arguments, columns=columns)


@pytest.mark.parametrize("columns", [70, 80, 160])
def test_no_number_is_cut_however_narrow_the_terminal(columns):
    printed = validate("mlperf", columns=columns)
    assert "…" not in printed
    for row in mlperf.mlperf_study().rows:
        assert number(row.actual) in printed
        assert number(row.predicted) in printed
    assert max(map(len, printed.splitlines())) <= columns


def test_a_page_has_every_row_and_a_figure_and_needs_no_other_file(tmp_path):
    validate("mlperf", "--out", str(tmp_path / "page.html"))
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<tr>") + page.count('<tr class="misses">') == len(mlperf.mlperf_study().rows) + 1
    assert "36 of 36 figures agree" in page
    assert page.count('src="data:image/svg+xml;base64,') == 1
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_a_table_has_every_row(tmp_path):
    validate("mlperf", "--out", str(tmp_path / "table.csv"))
    made, table = read_results(tmp_path / "table.csv")
    assert made.startswith("Made ")
    assert table["figure"].tolist() == [row.figure for row in mlperf.mlperf_study().rows]


def test_only_misses_are_printed_where_that_is_wanted():
    printed = validate("mlperf", "--misses")
    assert "latency" not in printed.partition("Actual:")[0]
    assert "36 of 36 figures agree" in printed


@pytest.mark.parametrize(
    ("arguments", "key", "words"),
    [
        (["theorie"], "study", "no such study"),
        (["theory"], "study", "no such study"),
        (["trace"], "file", "recording of your own"),
        (["mlperf", "nowhere.json"], None, "not a readable JSON"),
        (["mlperf", "--servers", "3"], "study", "no --servers"),
        (["mlperf", "--out", "page.pdf"], None, "another ending"),
        (["mlperf", "--out", "nowhere/page.html"], None, "cannot be written"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_run(arguments, key, words):
    with pytest.raises(BadInput, match=words) as wrong:
        validate(*arguments)
    assert key in (None, wrong.value.key)


@pytest.mark.parametrize(
    ("arguments", "key", "words"),
    [
        (["mlperf"], "study", "no such study"),
        (["overload", "log.csv"], "study", "takes no file"),
        (["traces"], "file", "recording of your own"),
        (["traces", "nowhere"], None, "no such folder"),
        (["theory", "--device", "cpu"], "study", "no --device"),
        (["torch", "--device", "tpu"], "--device", "no such device"),
    ],
)
def test_studies_outside_the_package_say_it_before_they_run_too(arguments, key, words):
    with pytest.raises(BadInput, match=words) as wrong:
        printed_by(studies, *arguments)
    assert key in (None, wrong.value.key)


def test_a_live_server_with_a_model_says_that_it_needs_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "sim.profile.measure.models", None)  # as where it cannot be imported
    with pytest.raises(BadInput) as wrong:
        check("cpu")
    assert wrong.value.expected == "pip install 'meltpoint[bench]'"
