"""The committed results of full studies: each is there, says when and with what, and the README repeats it rightly."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from sim.validation import STUDIES, mlperf
from sim.validation.study import AGREES, MISSES
from tests import studies
from tests.results import FOLDER, assert_unmoved, committed, keys

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
OF_ONES_OWN = {"trace", "loadtest"}  # studies of whatever recording or load test somebody has
STUDIED = sorted({*STUDIES, *studies.STUDIES} - OF_ONES_OWN)


def test_every_study_has_results_and_every_file_a_study():
    assert sorted(path.stem for path in FOLDER.glob("*.csv")) == STUDIED


@pytest.mark.parametrize("study", STUDIED)
def test_the_readme_has_how_many_figures_agree_and_when_that_was(study):
    made, table = committed(study)
    agree, held = (table["fits"] == AGREES).sum(), table["fits"].isin([AGREES, MISSES]).sum()
    assert held >= 4
    line = next(line for line in README.splitlines() if line.startswith(f"| `{study}`"))
    assert f"| {agree} of {held} |" in line
    first, last, month = re.search(r"Results of (\d+) to (\d+) (\w+ \d+)", README).groups()
    day, of = re.search(r"Made (\d+) (\w+ \d+)", made).groups()
    assert int(first) <= int(day) <= int(last)
    assert of == month
    assert re.search(r"numba \d+\.\d+", made).group() in README


@pytest.mark.parametrize("study", STUDIED)
def test_a_figure_is_told_once(study):
    twice = "attempts the same in both engines"  # appears once for each order of service
    told = [key for key in keys(study) if key[1] != twice]
    assert len(told) == len(set(told))
    assert set(committed(study)[1]["study"]) == {study}


def test_a_prediction_that_has_moved_is_noticed():
    row = next(row for row in mlperf.mlperf_study().rows if row.figure == "latency p99")
    assert assert_unmoved("mlperf", [row, replace(row, predicted=1.04 * row.predicted)]) == 2
    with pytest.raises(AssertionError):
        assert_unmoved("mlperf", [replace(row, predicted=1.06 * row.predicted)])
