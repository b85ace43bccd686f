"""The committed results of full studies: each is there, says when and with what, and the README repeats it rightly."""

import re
from pathlib import Path

import pytest

from sim.validation import OF_A_FILE, STUDIES
from sim.validation.study import AGREES, MISSES
from tests.results import FOLDER, committed

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
OF_ONES_OWN = {"trace"}  # a study of whatever recording somebody has
STUDIED = sorted({*STUDIES, *OF_A_FILE} - OF_ONES_OWN)


def test_every_study_has_results_and_every_file_a_study():
    assert sorted(path.stem for path in FOLDER.glob("*.csv")) == STUDIED


@pytest.mark.parametrize("study", STUDIED)
def test_the_readme_has_how_many_figures_agree_and_when_that_was(study):
    made, table = committed(study)
    agree, held = (table["fits"] == AGREES).sum(), table["fits"].isin([AGREES, MISSES]).sum()
    assert held > 10
    line = next(line for line in README.splitlines() if line.startswith(f"| `{study}`"))
    assert f"| {agree} of {held} |" in line
    assert re.search(r"Made (\d+ \w+ \d+)", made).group(1) in README
    assert re.search(r"numba \d+\.\d+", made).group() in README


@pytest.mark.parametrize("study", STUDIED)
def test_a_figure_is_told_once(study):
    table = committed(study)[1]
    told = table[table["figure"] != "attempts the same in both engines"]  # once for each order of service
    assert not told[["case", "figure", "note"]].duplicated().any()
    assert set(table["study"]) == {study}
