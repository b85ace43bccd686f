"""The study of overload: each case is played as often as its answer needs, on both engines, and counts are compared."""

import math
from dataclasses import replace

import pytest

from sim.engine.simulate import simulate
from sim.validation.study import AGREES, MISSES
from tests.studies.overload.spikes import at_the_end
from tests.studies.overload.study import CASES, OF, READABLE, Case, agree, overload_study, rows_of

# For 'make validate STUDY=overload' alone: what chance decides needs all runs, and the others ask again what is asked.
ONLY_IN_THE_STUDY = {
    "A, bound 60",
    "A, spike of 10 s",
    "A, adaptive throttle, 2",
    "A, bound 45",
    "A, bound 50",
    "A, spike of 60 s",
    "D, twice the GPUs",
    "D, bound 860",
    "D, bound 900",
    "D, bound 960",
}
BRIEF = Case("A", 20, 1.0, {"base": 1.0, "lasting": 60.0, "retries": 0})  # four thousand requests


def test_all_39_rows_of_the_reference_are_simulated(monkeypatch):
    monkeypatch.setattr("tests.studies.overload.study.in_parallel", lambda call, given, tasks, progress: [])
    assert overload_study().rows == []
    assert len(CASES) == 39
    assert set(CASES) > ONLY_IN_THE_STUDY


@pytest.mark.parametrize("name", [name for name in CASES if name not in ONLY_IN_THE_STUDY])
def test_a_case_recovers_as_often_as_the_reference(name):
    """In the fewest runs for which all differ from none at 0.001: the reference has all or none."""
    case = CASES[name]
    assert case.recovered in (0, OF[case.experiment])
    rows = rows_of(None, name, "compiled", lambda share: None, READABLE[case.experiment])
    assert rows[0].fits == AGREES


def test_the_readable_engine_runs_cases_too(monkeypatch):
    monkeypatch.setitem(CASES, "brief", BRIEF)
    recovers, attempts = rows_of(None, "brief", "simpy", lambda share: None)
    assert recovers.fits == AGREES
    assert recovers.predicted == 1
    assert abs(attempts.predicted - 1) < 3.5 * math.sqrt(1 / 300 / READABLE["A"])  # Poisson's, over 300 s of each run


def test_a_recovery_that_the_reference_does_not_have_is_a_miss(monkeypatch):
    monkeypatch.setitem(CASES, "wrong", Case("A", 0, 5.0, {"retries": 0}))
    assert rows_of(None, "wrong", "compiled", lambda share: None, READABLE["A"])[0].fits == MISSES


@pytest.mark.parametrize("experiment", OF)
def test_the_readable_engine_has_the_fewest_runs_for_which_all_differ_from_none(experiment):
    of, runs = OF[experiment], READABLE[experiment]
    assert not agree(0, runs, of, of)
    assert not agree(runs, runs, 0, of)
    assert agree(0, runs - 1, of, of)


def test_the_end_of_a_run_is_the_same_from_rows_as_from_the_timeline():
    run = simulate(BRIEF.scenario(record="rows"), seed=1)
    assert run.timeline is not None
    assert at_the_end(replace(run, timeline=None)) == pytest.approx(at_the_end(run))
