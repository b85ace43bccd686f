"""Each claim of the story has a figure of a run that was made, the origin of that, and the run's name."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from sim.plots.two_launches import launches
from sim.report.blocks import Lines, markdown
from sim.report.page import span
from sim.report.story import HOT, LIMITED, NEW, OLD, ON_CALL, RUNS, TITLE, cells, story
from sim.report.tables import Table
from sim.report.words import count
from sim.results.metrics import refused_by
from sim.studies.executors import run_of
from sim.studies.store import Cell

ORIGINS = ("published", "assumed", "measured", "fitted", "simulated", "profiles")


@pytest.fixture(scope="module")
def runs():
    """The story's runs with one GPU each: 6,000 times fewer people in 2025, a hundred times fewer in 2022."""
    few, wanted = {"launch-2022": 0.01, "viral-image-launch": 1 / 6000}, cells()
    made = {
        label: run_of(Cell(wanted[label].scenario.with_(scale=few[RUNS[label][0]]), wanted[label].playbook))
        for label in (OLD, LIMITED, HOT)
    }
    return {**made, NEW: made[HOT], ON_CALL: made[LIMITED]}  # the page is the same, and two runs are saved


@pytest.fixture(scope="module")
def told(runs):
    return story(runs)


def test_every_claim_has_a_figure_an_origin_and_a_run(told):
    page, main, appendix = told
    claims = [row for part in main for one in part.blocks if isinstance(one, Table) for row in one.rows]
    assert len(claims) >= 15
    for claim, figure, origin, run in claims:
        assert claim.endswith(".")
        assert figure
        assert "nan" not in figure
        assert any(word in origin for word in ORIGINS), origin
        assert run in RUNS
    assert {row[3] for row in claims} == {*RUNS}
    text = markdown(page.manifest, span(page), [*main, *appendix])
    for words in (TITLE, "11.6 bn", "5 bn", "CO2e", "m³", "clock down to", "three images a day", "shifts of 8 h"):
        assert words in text.replace("\\", "")
    assert isinstance(main[0].blocks[0], Lines)


def test_the_refusals_of_the_story_are_those_of_the_run(runs, told):
    table = refused_by(runs[LIMITED], "tier")
    tables = [one for part in told[1] for one in part.blocks if isinstance(one, Table)]
    text = " ".join(row[1] for one in tables for row in one.rows)
    for reason, tier in (("feature gate", "free"), ("quota", "free")):
        assert f"{count(table.loc[reason, tier] / runs[LIMITED].scale)} attempts refused" in text


def test_two_launches_on_one_axis_bring_their_people(runs):
    ax = Figure().subplots()
    launches({"2022": runs[OLD], "2025": runs[NEW]}, ax, [(86400.0, "rate limit begins")])
    old, new = ax.patches
    for patch, run in ((old, runs[OLD]), (new, runs[NEW])):
        values, edges, _ = patch.get_data()
        people = np.nansum(values * np.diff(edges) * 24)
        came = (run.users["newcomer"] & run.users["arrives"].notna()).sum()
        assert people == pytest.approx(came / run.scale, rel=1e-6)
    assert ax.get_yscale() == "log"
    assert [text.get_text() for text in ax.texts] == ["rate limit begins"]


def test_each_warning_names_its_run_and_broken_shifts_are_shown_with_and_without_switches(told):
    main = told[1]
    (risks,) = [part for part in main if part.name == "risks"]
    for said in risks.blocks[0].sentences:
        assert said.partition(": ")[0] in RUNS
    (shifts,) = [row[1] for part in main for one in part.blocks if isinstance(one, Table) for row in one.rows
                 if row[0].startswith("Without them")]  # fmt: skip
    assert "shifts, and in" in shifts
