"""The search for the smallest place that passes: few looks, verdicts of stated confidence, plain numbers."""

import math

import pytest

from sim.studies.fleets import plain_number
from sim.studies.search import Look, clean_runs, smallest, tolerance


def look(*margins, runs=0.9, stuck=False):
    return Look(tuple(range(len(margins))), margins, runs, 0.95, stuck)


@pytest.mark.parametrize("answer", [1, 2, 7, 50, 99, 100])
@pytest.mark.parametrize("start", [1, 40, 100])
def test_the_smallest_place_is_found_from_anywhere_with_few_looks(answer, start):
    looked = []
    assert smallest(lambda place: looked.append(place) or place >= answer, start, 1, 100) == answer
    assert len(looked) <= 2 * math.ceil(math.log2(100)) + 2
    assert len(set(looked)) == len(looked)


def test_where_no_place_passes_there_is_none():
    assert smallest(lambda place: False, 5, 1, 1000) is None


@pytest.mark.parametrize(("n", "factor"), [(5, 3.407), (10, 2.355), (20, 1.926), (50, 1.646)])
def test_tolerance_factors_are_the_published_ones(n, factor):
    """One-sided, normal, 90 % of values with 95 % confidence (Natrella 1963, table A-7)."""
    assert tolerance(n, 0.9, 0.95) == pytest.approx(factor, abs=5e-4)


def test_half_of_all_runs_is_a_t_test_of_the_mean():
    """t of 9 degrees of freedom at 95 %, one-sided: 1.833."""
    assert tolerance(10, 0.5, 0.95) * math.sqrt(10) == pytest.approx(1.833, abs=5e-4)


@pytest.mark.parametrize(("share", "runs"), [(0.9, 29), (0.99, 299)])
def test_clean_runs_that_prove_a_share_are_those_of_the_binomial_law(share, runs):
    """share^n <= 5 %: 29 clean runs for nine of ten, 299 for 99 of a hundred, and the verdict changes just there."""
    assert clean_runs(share, 0.95) == runs
    verdicts = [Look(tuple(range(n)), (0.1,) * n, share, 0.95, True).verdict for n in (runs - 1, runs)]
    assert verdicts == ["undecided", "meets"]


@pytest.mark.parametrize(
    ("margins", "stuck", "verdict"),
    [
        ([0.05, 0.051, 0.049, 0.05], False, "meets"),
        ([-0.05, -0.051, -0.049, -0.05], False, "misses"),
        ([0.05, -0.002, 0.06, 0.03], False, "undecided"),
        ([0.5] * 10, True, "undecided"),  # ten clean runs of two humps prove no nine of ten
        ([0.5] * 28, True, "undecided"),
        ([0.5] * 29, True, "meets"),
        ([0.5] * 5 + [-0.5] * 5, True, "misses"),
        ([0.01, 0.01, 0.01], False, "meets"),
        ([-0.01, -0.01, -0.01], False, "misses"),
    ],
)
def test_there_are_three_verdicts(margins, stuck, verdict):
    assert look(*margins, stuck=stuck).verdict == verdict


def test_a_fleet_that_breaks_the_promise_too_often_never_meets_it():
    """However large the mean margin: of ten runs, two are more than a tenth."""
    assert look(*[0.3] * 8, -0.001, -0.001).verdict != "meets"


@pytest.mark.parametrize(
    ("margins", "grain", "verdict"),
    [
        ([0.0] * 10, 0.001, "undecided"),  # ten clean runs, of which one lost request would break each
        ([0.0] * 29, 0.001, "meets"),
        ([1e-6] * 9 + [-1e-4], 1.5e-4, "undecided"),  # one request lost in one of ten runs
        ([1e-6] * 5 + [-1e-4] * 5, 1.5e-4, "misses"),
        ([0.05] * 9 + [0.049], 0.001, "meets"),  # fifty requests to spare
        ([0.001] * 9 + [-0.02], 0.0, "undecided"),  # nine of ten kept it: that is no proof that fewer do
    ],
)
def test_where_single_requests_decide_runs_are_counted(margins, grain, verdict):
    assert Look(tuple(range(len(margins))), tuple(margins), 0.9, 0.95, False, grain).verdict == verdict


@pytest.mark.parametrize(
    ("bound", "number"), [(0.3, 1), (1.9, 1), (2, 2), (9.9, 5), (103, 100), (499, 200), (500, 500)]
)
def test_a_step_is_a_plain_number(bound, number):
    assert plain_number(bound) == number
