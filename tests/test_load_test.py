"""A load test is held against a scenario: four machines of two seconds, so two a second however many callers."""

import pytest

from sim import shipped
from sim.errors import BadInput
from sim.validation.load_test import load_test_study

HEAD = "Concurrency,Inferences/Second,Client Send,p50 latency,Avg latency\n"


def study(tmp_path, rows, scenario="steady"):
    path = tmp_path / "test.csv"
    path.write_text(HEAD + rows, encoding="utf-8")
    return load_test_study(file=path, scenario=scenario)


def test_a_closed_loop_answers_what_its_machines_can_and_waits_for_the_rest(tmp_path):
    """Little's law at N callers: X = min(N, 4) / 2 a second, W = N / X."""
    found = study(tmp_path, "1,0.5,0,2000000,2000000\n8,2,0,4000000,4000000\n")
    predicted = [row.predicted for row in found.rows]
    assert predicted == pytest.approx([0.5, 2.0, 2.0, 2.0, 4.0, 4.0], rel=1e-6)
    assert not found.misses


def test_a_machine_that_is_faster_than_the_scenario_says_misses(tmp_path):
    found = study(tmp_path, "16,3,0,5333333,5333333\n")
    assert [row.figure for row in found.misses] == ["throughput", "latency, mean", "latency, p50"]


def test_a_file_without_a_load_test_is_refused(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("time,user\n1,2\n", encoding="utf-8")
    with pytest.raises(BadInput, match="no results of a load test"):
        load_test_study(file=path, scenario="steady")


def test_a_test_shorter_than_the_scenarios_control_tick_is_played(tmp_path):
    """A machine of 10 ms: 600 requests take 6 s, and the scenario asks for a tick of a minute, as if calibrated."""
    scenario = tmp_path / "calibrated.yaml"
    steady = shipped.find("scenarios", "steady", ".yaml").read_text(encoding="utf-8")
    scenario.write_text(f"{steady}\ncontrol_tick: 1 min\n", encoding="utf-8")
    found = study(tmp_path, "1,100,0,10000,10000\n", str(scenario))
    assert [row.figure for row in found.misses] == ["throughput", "latency, mean", "latency, p50"]


def test_a_row_without_a_concurrency_is_alone_by_littles_law_or_has_its_place_for_a_name(tmp_path):
    path = tmp_path / "test.csv"
    path.write_text("Inferences/Second,Client Send,p50 latency,Avg latency\n0.5,0,2000000,2000000\n", encoding="utf-8")
    found = load_test_study(file=path, scenario="steady")
    assert {row.case for row in found.rows} == {"concurrency 1"}
    assert not found.misses
    path.write_text("Inferences/Second,Client Send,p50 latency,Avg latency\n2,0,4000000,4000000\n", encoding="utf-8")
    unknown = load_test_study(file=path, scenario="steady")
    assert "nan" not in "".join(row.case for row in unknown.rows)
    assert "nothing could be checked; 3 figures shown without a bound" in unknown.sentence
