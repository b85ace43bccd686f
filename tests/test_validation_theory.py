"""The study of queueing theory: every row of the tables is there, and some of them are run on both engines."""

import math
from collections import Counter

import numpy as np
import pytest

from sim.validation.study import AGREES, MISSES
from tests.results import assert_unmoved
from tests.studies.theory import study as theory
from tests.studies.theory.measures import Measure, busy
from tests.studies.theory.queues import truths_by_system
from tests.studies.theory.study import cases, formula_rows, row_of, rows_of, unexpressed_rows
from tests.studies.theory.systems import SYSTEMS

QUICK = [
    ("M/M/c", 1),
    ("M/M/c/c (=M/G/c/c)", 2),
    ("M/M/c+M (Erlang-A)", 2),
    ("M/M/c non-preemptive priority, lowest class saturated", 0),
    ("M/D(k)^(1,b)/1 dynamic batching", 3),
    ("GCRA / token bucket with Poisson arrivals", 1),
    ("quota of N per window, Poisson demand", 0),
    ("retry amplification", 1),
]


@pytest.mark.parametrize("system", [system for system in truths_by_system() if system in SYSTEMS])
def test_the_figures_of_every_system_are_those_of_theory(system, monkeypatch):
    """The first and the last case of each, on the compiled engine, in runs of a tenth of the study's length.

    With as many seeds, errors are some three times as large as in the study, which has all cases (make validate).
    """
    monkeypatch.setattr("tests.studies.theory.systems.REQUESTS", {"compiled": 5000, "simpy": 1000})
    numbers = [number for name, number, _, _ in cases() if name == system]
    rows = [row for n in {numbers[0], numbers[-1]} for row in rows_of(None, system, n, "compiled", lambda share: None)]
    assert rows
    assert [row for row in rows if row.fits != AGREES] == []


@pytest.mark.parametrize(("system", "number"), QUICK)
def test_the_readable_engine_has_them_in_shorter_runs(system, number, monkeypatch):
    monkeypatch.setattr("tests.studies.theory.systems.REQUESTS", {"compiled": 8000, "simpy": 1000})
    rows = rows_of(None, system, number, "simpy", lambda share: None)
    assert rows
    assert [row for row in rows if row.fits != AGREES] == []


def test_rules_and_closed_forms_have_the_figures_of_the_tables():
    assert [row for row in formula_rows() if row.fits != AGREES] == []
    assert_unmoved("theory", formula_rows())


def test_every_row_of_the_tables_is_simulated_or_has_a_reason():
    rows = sum(len(metrics) for found in truths_by_system().values() for _, metrics in found)
    run = sum(len(metrics) for system, _, _, metrics in cases() if system in SYSTEMS)
    others = unexpressed_rows()
    assert rows == 420 == run + len(formula_rows()) + len(others)
    assert all(math.isnan(row.predicted) and row.note.startswith("cannot be expressed: ") for row in others)
    assert all(len(row.note) > 30 for row in others)


def test_each_system_that_is_run_measures_each_of_its_metrics():
    for system, _, params, metrics in cases():
        if system in SYSTEMS:
            one = SYSTEMS[system](params, metrics, "simpy")
            assert set(one.measures) >= set(metrics), system


def test_few_rows_cannot_be_expressed_and_each_is_named():
    counts = Counter(row.case.partition(",")[0] for row in unexpressed_rows())
    assert counts == {
        "M/G/1": 5,
        "M/G/1 preemptive-resume priority": 4,
        "M/M^[b]/1 bulk service (late joiners allowed)": 8,
        "M/M/1 constant retrial": 10,
        "APF shuffle sharding": 2,
    }


def test_a_mean_that_is_off_by_four_standard_errors_misses():
    samples = np.array([1.0, 3.0] * 8)
    error = samples.std(ddof=1) / 4
    for off, fits in ((3.4, AGREES), (-3.4, AGREES), (3.6, MISSES), (-3.6, MISSES)):
        assert row_of("", "simpy", Measure("", 2.0 + off * error, busy), samples).fits == fits


def test_runs_without_any_spread_must_be_exact():
    assert row_of("", "simpy", Measure("", 4.0, busy), np.full(10, 4.0)).fits == AGREES
    assert row_of("", "simpy", Measure("", 4.001, busy), np.full(10, 4.0)).fits == MISSES


def test_the_study_has_ten_seeds_and_more():
    assert min(theory.SEEDS.values()) >= 10
