"""The study of overload: each case on both engines, and which counts agree."""

import pytest

from sim.engine.simulate import simulate
from sim.validation.study import AGREES, MISSES
from tests.studies.overload.spikes import at_the_end, experiment_a
from tests.studies.overload.study import CASES, OF, READABLE, Case, agree, overload_study, rows_of


def test_all_39_rows_of_the_reference_are_simulated(monkeypatch):
    monkeypatch.setattr("tests.studies.overload.study.in_parallel", lambda call, given, tasks, progress: [])
    assert overload_study().rows == []
    assert len(CASES) == 39


@pytest.mark.parametrize("name", CASES)
def test_a_case_recovers_as_often_as_the_reference(name):
    """In the fewest runs for which all differ from none at 0.001, where the reference has all or none; else in all."""
    case = CASES[name]
    certain = case.recovered in (0, OF[case.experiment])
    rows = rows_of(None, name, "compiled", lambda share: None, READABLE[case.experiment] if certain else None)
    assert rows[0].fits == AGREES


def test_the_readable_engine_runs_the_cases_too():
    recovers, attempts = rows_of(None, "A, no retries", "simpy", lambda share: None)
    assert recovers.fits == AGREES
    assert attempts.predicted == pytest.approx(attempts.actual, rel=0.05)


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
    ends = [
        at_the_end(simulate(experiment_a(record=record), seed=1, engine=engine))
        for record, engine in (("timeline", "compiled"), ("rows", "simpy"))
    ]
    assert ends[0] == pytest.approx(ends[1])
