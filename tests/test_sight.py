"""What the studies can see: how faults are put into scenarios, and that each study notices those that it should."""

import math
from pathlib import Path

import pytest

from sim.errors import BadInput
from sim.validation.study import AGREES, MISSES, NOT_HELD, Row
from tests.results import committed
from tests.studies.faults import BACKOFF, FAULTS, LINGER, PATIENCE, PLACE, SERVICE
from tests.studies.overload.study import CASES
from tests.studies.peers.of_people import about_leaving
from tests.studies.peers.samples import LARGEST_Z
from tests.studies.peers.study import together
from tests.studies.sight import BLIND, FAULTY, faulty_batcher, faulty_mlperf, rows_of_fault, sight_study

PAGE = (Path(__file__).parent.parent / "docs" / "validation.md").read_text(encoding="utf-8")


def quiet(share: float) -> None:
    """Progress that nobody looks at."""


def test_a_fault_changes_its_times_alone_and_leaves_what_has_none_as_it_was():
    scenario = about_leaving("one", notices=True, rate=1.0).scenario_with()  # Weibull, a scale of 4 s; backoff 3 s
    patient = FAULTS[PATIENCE](1)(scenario).document["behaviour"]
    assert patient["patience"] == {"kind": "weibull", "scale": "4.12 s", "shape": 0.7}
    assert patient["retry"] == scenario.document["behaviour"]["retry"]
    assert FAULTS[BACKOFF](10)(scenario).document["behaviour"]["retry"]["backoff"]["mean"] == "6 s"
    slow = FAULTS[SERVICE](1)(scenario).batch_tables("gpus")
    assert [seconds for table in slow.values() for seconds in table.values()] == [pytest.approx(1.01)]
    assert FAULTS[PLACE](1)(scenario) == FAULTS[LINGER](1)(scenario) == scenario


def test_every_bound_of_a_queue_gets_one_place_more():
    steps = FAULTS[PLACE](1)(CASES["A, bound 60"].scenario()).document["playbooks"]["only"]
    assert steps == [{"policy": {"kind": "queue bound", "requests": 61.0}}]


def test_what_no_question_shows_alone_shows_in_all_of_them_together():
    """Sixteen figures that are each 1 standard error high are 16 / sqrt(16) = 4 high together (Stouffer)."""
    rows = [Row(f"question {n}", "mean wait", "", 10.0, 11.0, 6.5, 13.5, "z 1.0") for n in range(16)]
    assert {row.fits for row in rows} == {AGREES}
    (row,) = together([*rows, Row("one", "mean wait by theory, Ciw", "", 1.0, 9.0, 0.0, 2.0, "z 9.0")])
    assert (row.fits, row.low, row.high) == (MISSES, -LARGEST_Z, LARGEST_Z)
    assert row.predicted == pytest.approx(4.0)
    assert together(rows[:1]) == []


def test_one_per_cent_of_service_time_moves_every_published_latency_beyond_its_bound():
    """At 98 to 101 % of capacity latency is mostly queue, which grows many times as fast as the service time."""
    rows = [row for row in faulty_mlperf("", FAULTS[SERVICE](1), quiet) if row.fits != NOT_HELD]
    assert len(rows) == 3 * 8
    assert {row.fits for row in rows} == {MISSES}


def test_the_batching_server_tells_half_a_linger_from_a_whole_one_at_every_load_below_capacity():
    missed = {row.case for row in faulty_batcher("", FAULTS[LINGER](1), quiet) if row.fits == MISSES}
    assert {"load 0.5", "load 0.7", "load 0.9"} <= missed


def test_a_study_that_a_fault_does_not_touch_has_no_row_for_it():
    assert rows_of_fault(None, "mlperf", PATIENCE, quiet) == []


def test_only_studies_that_there_are_can_be_tried():
    with pytest.raises(BadInput, match="no such study"):
        sight_study(cases=["traces"])


def test_the_committed_table_has_every_study_and_the_page_repeats_it():
    table = committed("sight")[1]
    parts = table["case"].str.split(", ", n=1, expand=True)
    assert set(parts[0]) == set(FAULTY)
    assert set(parts[1]) == set(FAULTS)
    for row, study, words in zip(table.itertuples(), parts[0], parts[1], strict=True):
        assert math.isnan(row.low) == ((study, words) in BLIND)
        assert (row.predicted == 0) == ((study, words) in BLIND)
        lines = [line for line in PAGE.splitlines() if line.startswith(f"| {words} |")]
        assert any(f"{row.predicted:.0f} of {row.actual:.0f}" in line for line in lines), (study, words)
