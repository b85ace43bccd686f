"""The study of queueing theory: every row of its table is simulated or has a reason, and wrong systems are noticed."""

import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.validation.study import AGREES, MISSES, NOT_HELD
from tests.results import assert_unmoved
from tests.studies.theory import study as theory
from tests.studies.theory.catalogue import built
from tests.studies.theory.closed_forms import erlang_a, mean_wait, present_by_period
from tests.studies.theory.measures import Measure, busy
from tests.studies.theory.params import NotExpressed
from tests.studies.theory.queues import TABLE, truths, truths_by_system
from tests.studies.theory.replay import Discipline, largest_difference, newest_first
from tests.studies.theory.study import (
    Found,
    bound,
    cases,
    followed,
    formula_rows,
    name_of,
    row_of,
    rows_of,
    seeds_of,
    theory_study,
    together,
    unexpressed_rows,
    visible,
    why_not,
)

CASES = [case for case in cases() if why_not(case) == ""]


@pytest.fixture
def short(monkeypatch):
    """Runs of a few hundred requests: enough to follow each of them."""
    monkeypatch.setattr("tests.studies.theory.systems.REQUESTS", {"compiled": 600, "simpy": 200})
    monkeypatch.setattr("tests.studies.theory.surges.LARGE", 2)
    monkeypatch.setattr("tests.studies.theory.surges.SMALL", 400)


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_each_request_starts_when_a_replay_by_hand_says_in_both_engines(case, short):
    model = built(*case, "simpy")
    run = simulate(model.scenario, seed=seeds_of(name_of(case)))
    found = followed(name_of(case), case, model, run, seeds_of(name_of(case)))
    assert [one.row for one in found if one.row.fits != AGREES] == []
    assert len(found) == (3 if model.discipline else 1)


@pytest.mark.parametrize("number", [0, 22])
def test_the_means_of_some_systems_agree_in_short_runs(number, monkeypatch):
    monkeypatch.setattr("tests.studies.theory.systems.REQUESTS", {"compiled": 4000, "simpy": 200})
    monkeypatch.setattr(theory, "MOST_RUNS", theory.RUNS)
    found = rows_of(None, TABLE, number, lambda share: None)
    assert [one.row for one in found if one.row.fits == MISSES] == []
    assert sum(one.row.fits == AGREES for one in found) >= 3


def test_rules_and_closed_forms_have_the_figures_of_the_table():
    rows = formula_rows()
    assert [row for row in rows if row.fits != AGREES] == []
    assert assert_unmoved("theory", rows) == 27


def test_every_row_of_the_table_is_simulated_or_has_a_reason():
    rows = sum(len(metrics) for found in truths_by_system().values() for _, metrics in found)
    run, others = sum(len(case.metrics) for case in CASES), unexpressed_rows()
    assert rows == 451 == run + len(formula_rows()) + len(others)
    assert all(math.isnan(row.predicted) and row.note.startswith("cannot be expressed: ") for row in others)
    assert all(len(row.note) > 30 for row in others)


def test_few_rows_cannot_be_expressed_and_each_is_named():
    counts = Counter(row.case.partition(",")[0] for row in unexpressed_rows())
    assert counts == {
        "M/G/1": 5,
        "M/G/1 preemptive-resume priority": 4,
        "M/M^[b]/1 bulk service (late joiners allowed)": 8,
        "M/M/1 constant retrial": 10,
        "APF shuffle sharding": 2,
    }


def test_no_two_cases_share_a_seed():
    firsts = sorted(seeds_of(name_of(case)) for case in CASES)
    assert np.diff(firsts).min() > theory.MOST_RUNS


def test_demand_that_changes_has_the_values_of_kolmogorovs_equations_which_end_where_steady_queues_are():
    for system in ("M_t/M/c", "M_t/M/c+M"):
        for p, metrics in truths(system):
            patience = 1 / p["theta"] if "theta" in p else math.inf
            found = present_by_period(p["lams"], p["each"], 1 / p["mu"], p["c"], patience)
            assert found == pytest.approx(list(metrics.values()), rel=1e-6)
    (steady,) = present_by_period([0.5], 200.0, 1.0, 1, math.inf)
    assert steady == pytest.approx(0.5 * (mean_wait(0.5, 1.0, 1) + 1.0), rel=1e-6)
    (patient,) = present_by_period([3.0], 200.0, 1.0, 2, 4.0)
    known = erlang_a(3.0, 1.0, 2, 4.0)
    assert patient == pytest.approx(known.queue + 2 * known.utilisation, rel=1e-6)


@pytest.mark.parametrize(
    ("system", "params", "words"),
    [
        ("M/M/c", {"lam": 1.0, "mu": 2.0, "c": 1, "rooms": 5}, "'rooms' is not simulated"),
        ("M/M/c", {"lam": 1.0, "c": 1}, "'mu'"),
        ("M/G/1", {"lam": 0.5, "ES": 1.0, "ES2": 1.3, "service": "pareto"}, "service times 'pareto'"),
        ("M/D(k)^(1,b)/1 dynamic batching", {"lam": 1.0, "b": 4, "batch_time": "1 + sqrt(k)"}, "batch_time"),
        ("M/G/1 non-preemptive priority", {"classes": [{"lam": 0.1, "ES": 1.0, "ES2": 1.5}]}, "exponential nor"),
        ("G/G/1", {}, "no scenario"),
    ],
)
def test_a_builder_reads_every_parameter_or_refuses(system, params, words):
    with pytest.raises(NotExpressed, match=words):
        built(system, params, {"Wq_mean": 1.0}, "compiled")


def test_moments_that_are_not_those_of_the_law_are_refused():
    params = {"lam": 0.5, "ES": 1.0, "ES2": 2.0, "ES3": 7.0, "service": "exponential"}
    with pytest.raises(ValueError, match="ES3: 7 is given, but 6 follows"):
        built("M/G/1", params, {"Wq_mean": 1.0}, "compiled")


@pytest.mark.parametrize(
    ("system", "params", "seconds"),
    [
        ("M/M/c/K", {"lam": 4.0, "mu": 5.0, "c": 1, "K": 3}, 0.2),
        ("M/M/1 linear retrial", {"lam": 1.0, "mu": 4.0, "theta": 1.0}, 0.25),
        ("M/G/1", {"lam": 0.1, "ES": 3.0, "ES2": 11.25, "service": "lognormal mean3 cv0.5"}, 3.0),
    ],
)
def test_service_times_are_those_of_the_parameters(system, params, seconds, short):
    metric = {"M/M/c/K": "P_block", "M/M/1 linear retrial": "P_busy"}.get(system, "Wq_mean")
    run = simulate(built(system, params, {metric: 0.5}, "compiled").scenario)
    took = run.batches["seconds"]
    assert abs(took.mean() - seconds) < 3.5 * took.std() / math.sqrt(len(took))


def test_a_table_of_ones_own_is_read_and_a_bad_one_is_refused(tmp_path):
    mine = tmp_path / "mine.csv"
    mine.write_text('system,params,metric,value\nM/M/c,"{""c"": 3, ""lam"": 2.0, ""mu"": 1.0}",Wq_mean,0.4444444444\n')
    (case,) = cases(mine)
    assert (case.system, why_not(case)) == ("M/M/c", "")
    for text, words in (
        ("system,params,metric\nM/M/c,{},Wq_mean\n", "a value is missing"),
        ("system,params,metric,value\nM/M/c,{c: 3},Wq_mean,1\n", "Expecting property name"),
        ("system,params,metric,value\nM/M/c,{},Wq_mean,much\n", "could not convert"),
    ):
        bad = tmp_path / f"{words[:5]}.csv"
        bad.write_text(text)
        with pytest.raises(BadInput, match=words):
            list(cases(bad))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ('M/M/c,"{""c"": 1, ""lam"": 0.5, ""mu"": 1.0}",Wq_meen,1', "Wq_meen"),
        ('M/M/c,"{""c"": 1, ""lam"": 0.5}",Wq_mean,1', "'mu'"),
        ('M/M/c,"{""c"": 1, ""lam"": 0.5, ""mu"": 0}",Wq_mean,1', "division by zero"),
        ("M/M/seven,{},Wq_mean,1", "no scenario is written"),
        ('quota of N per window,"{""N"": 3, ""m"": 2}",E_accepted,1', "no scenario is written"),
        ('"quota of N per window, Poisson demand","{""N"": 3, ""m"": 2}",E_accepted,1', "E_accepted"),
        ('HPA,"{""current"": 1, ""metric"": 2, ""target"": 1}",desird_replicas,2', "desird_replicas"),
        ('HPA,"{""current"": 1, ""metric"": 2, ""target"": 0}",desired_replicas,2', "division by zero"),
        ('HPA,"{""current"": 1, ""metric"": 2, ""target"": 1, ""c"": 1}",desired_replicas,2', "'c' is not used"),
        ("APF shuffle sharding,{},p,0.5", "no row of the table can be held"),
        ("M/M/c,[3],Wq_mean,1", "line 2"),
        ("M/M/c,{},Wq_mean,nan", "line 2"),
        ("M/M/c,{},Wq_mean,1\nM/M/c,{},Wq_mean,2", "line 3"),
        ("", "no rows"),
    ],
)
def test_a_row_that_would_not_be_held_ends_the_study_with_its_reason(tmp_path, row, words):
    mine = tmp_path / "mine.csv"
    mine.write_text(f"system,params,metric,value\n{row}\n")
    with pytest.raises(BadInput, match=words):
        theory_study(file=mine)


@pytest.fixture(scope="module")
def queue_run():
    case = next(case for case in CASES if case.system == "M/M/c" and case.params["c"] == 2)
    model = built(*case, "simpy")
    return simulate(model.scenario, seed=1)


def test_a_replay_notices_a_microsecond_another_order_a_second_server_and_a_refusal(queue_run):
    rows, how = queue_run.requests, Discipline(2)
    assert largest_difference(queue_run, how).seconds == 0.0
    late = rows.assign(started=rows["started"] + np.where(rows.index == 100, 1e-6, 0.0))
    assert largest_difference(with_rows(queue_run, late), how).seconds == pytest.approx(1e-6, rel=1e-3)
    assert largest_difference(queue_run, Discipline(3)).seconds > 0.1
    assert largest_difference(queue_run, Discipline(2, order=newest_first)).seconds > 0.1
    assert largest_difference(queue_run, Discipline(2, room=5)).seconds == math.inf


def with_rows(run, rows: pd.DataFrame):
    return type(run)(rows, run.batches, run.users, run.decisions, run.fleet, run.manifest, run.timeline)


def test_a_mean_misses_beyond_the_bound_that_hardly_any_of_all_rows_passes_by_chance():
    samples = np.array([99.0, 101.0] * 16)
    error, most = samples.std(ddof=1) / math.sqrt(32), bound(32)
    assert 2 * theory.ROWS * stats.t.sf(most, 31) == pytest.approx(theory.LEVEL)
    for off, fits in ((most - 0.1, AGREES), (0.1 - most, AGREES), (most + 0.1, MISSES), (-most - 0.1, MISSES)):
        assert row_of("", Measure("", 100.0 + off * error, busy), samples).row.fits == fits


def test_a_row_that_cannot_see_ten_per_cent_is_not_counted():
    """Its mean is known to 2 %: a bias of 10 % would pass the bound in most studies."""
    wide = np.array([88.0, 112.0] * 16)
    found = row_of("", Measure("", 100.0, busy), wide)
    assert found.row.fits == NOT_HELD
    error = wide.std(ddof=1) / math.sqrt(32)
    sees = visible(wide, 100.0)
    assert sees > theory.VISIBLE
    assert f"sees {sees:.1%}, so it is not counted" in found.row.note
    assert stats.norm.sf(bound(32) - sees * 100.0 / error) == pytest.approx(0.9, abs=0.001)


def test_runs_without_any_spread_must_be_exact():
    assert row_of("", Measure("", 4.0, busy), np.full(10, 4.0)).row.fits == AGREES
    assert row_of("", Measure("", 4.001, busy), np.full(10, 4.0)).row.fits == MISSES


@pytest.mark.parametrize(("shift", "spread", "fits"), [(0, 1, AGREES), (0.6, 1, MISSES), (0, 0.5, MISSES)])
def test_cases_that_are_all_a_little_off_or_all_too_close_are_noticed_together(shift, spread, fits):
    """z of 80 cases as chance has them, moved, and narrowed as where all share one stream of arrivals."""
    z = stats.t.ppf((np.arange(80) + 0.5) / 80, 15) * spread + shift
    row = row_of("", Measure("", 100.0, busy), np.array([99.0, 101.0] * 16)).row
    found = [Found(type(row)(f"case {n}", *row_values(row)), float(value), 16) for n, value in enumerate(z)]
    assert (MISSES if MISSES in {row.fits for row in together(found)} else AGREES) == fits


def row_values(row):
    return row.figure, row.unit, row.actual, row.predicted, row.low, row.high, row.note
