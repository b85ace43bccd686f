"""Intervals and tests of independent runs agree with exact values, and stay where a figure can be."""

import math

import numpy as np
import pytest
from scipy import stats

from sim.results.intervals import (
    holm,
    mean_interval,
    paired_difference,
    proportion,
    quantile_interval,
    quantile_ranks,
    ratio_difference,
    ratio_interval,
    t_interval,
)

# Exact values, computed twice in independent ways (Wilson 1927; Clopper and Pearson 1934; Holm 1979).
X = [41.2, 38.7, 44.0, 40.1, 39.5, 42.8, 37.9, 43.3]
Y = [39.0, 38.1, 41.5, 38.8, 38.9, 40.2, 37.5, 41.0]


@pytest.mark.parametrize(
    ("good", "runs", "low", "high"),
    [(0, 10, 0.0, 0.2775327999), (9, 10, 0.5958499732, 0.9821237869), (30, 30, 0.8864866068, 1.0)],
)
def test_a_proportion_of_runs_has_wilsons_interval(good, runs, low, high):
    assert proportion(good, runs) == pytest.approx((low, high), abs=1e-9)


@pytest.mark.parametrize(
    ("n", "share", "ranks"), [(100, 0.5, (40, 61)), (30, 0.5, (10, 21)), (1000, 0.99, (983, 997)), (72, 0.95, (64, 72))]
)
def test_a_quantile_lies_between_these_order_statistics(n, share, ranks):
    assert quantile_ranks(n, share) == ranks
    low, high = ranks
    covered = stats.binom.cdf(high - 1, n, share) - stats.binom.cdf(low - 1, n, share)
    assert covered >= 0.95


def test_too_few_runs_bound_a_high_quantile_on_one_side_only():
    low, high = quantile_interval(np.arange(71.0), 0.95)
    assert low == 62.0
    assert math.isnan(high)
    assert quantile_interval(np.arange(100.0), 0.5) == (39.0, 60.0)


def test_many_p_values_are_corrected_as_by_holm():
    adjusted = [0.0006, 0.08, 0.08, 0.6, 0.055, 0.9]
    np.testing.assert_allclose(holm([0.0001, 0.02, 0.02, 0.3, 0.011, 0.9]), adjusted, rtol=1e-12)


def test_an_unknown_p_value_stays_unknown_and_does_not_count():
    np.testing.assert_allclose(holm([math.nan, 0.03, 0.01]), [math.nan, 0.03, 0.02])


@pytest.mark.parametrize("values", [[1.0, 2.0, 4.0], [3.5, -1.0, 4.0, 4.0, 10.0]])
def test_a_mean_without_bounds_has_students_interval(values):
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert mean_interval(values) == pytest.approx((expected.low, expected.high))


def test_a_share_has_students_interval_of_its_logits():
    values = np.array([0.97, 0.98, 0.999])
    logits = np.log(values / (1 - values))
    low, high = stats.ttest_1samp(logits, 0).confidence_interval(0.95)
    expected = (1 / (1 + math.exp(-low)), 1 / (1 + math.exp(-high)))
    assert mean_interval(values, "share") == pytest.approx(expected)


@pytest.mark.parametrize("values", [[0.001, 0.5, 0.999], [0.0, 0.4, 0.2], [1.0, 0.5, 1.0], [1.0, 1.0, 1.0]])
def test_no_share_is_below_0_or_above_100_per_cent(values):
    low, high = mean_interval(values, "share")
    assert 0 <= low <= np.mean(values) <= high <= 1


def test_no_rate_is_negative():
    assert mean_interval([0.0, 10.0, 200.0], "amount")[0] == 0.0
    assert mean_interval([0.0, 10.0, 200.0])[0] < -100


@pytest.mark.parametrize("values", [[], [2.0], [2.0, 3.0], [2.0, 3.0, math.inf], [2.0, 3.0, math.nan]])
@pytest.mark.parametrize("kind", ["share", "amount", "any"])
def test_two_runs_or_an_infinite_one_have_no_interval(values, kind):
    assert np.isnan(mean_interval(values, kind)).all()


def test_a_paired_difference_is_that_of_a_paired_test():
    expected = stats.ttest_rel(X, Y)
    bounds = expected.confidence_interval(0.95)
    found = paired_difference(X, Y)
    assert found == pytest.approx((np.mean(np.subtract(X, Y)), bounds.low, bounds.high, expected.pvalue))


def test_what_differs_by_the_same_in_every_run_is_certain_and_what_is_equal_is_not_different():
    assert paired_difference([3.0, 4.0, 5.0], [1.0, 2.0, 3.0]) == (2.0, 2.0, 2.0, 0.0)
    assert paired_difference([3.0, 4.0, 5.0], [3.0, 4.0, 5.0]) == (0.0, 0.0, 0.0, 1.0)


def test_shares_differ_by_100_points_at_most():
    low, high = paired_difference([1.0, 0.0, 1.0], [0.0, 0.0, 0.0], "share")[1:3]
    assert (low, high) == (pytest.approx(2 / 3 - 4.302652730 / 3), 1.0)


@pytest.mark.parametrize("kind", ["share", "amount"])
def test_intervals_hold_the_truth_as_often_as_they_say(kind):
    samples = np.random.default_rng(1).normal(0.5, 0.02, size=(2000, 4))
    held = np.array([low <= 0.5 <= high for low, high in (mean_interval(sample, kind) for sample in samples)])
    assert abs(held.mean() - 0.95) / math.sqrt(0.95 * 0.05 / len(held)) < 3.5


def test_holm_finds_a_difference_where_there_is_none_in_at_most_five_of_a_hundred_comparisons_of_many():
    p = np.random.default_rng(2).random((4000, 9))
    wrong = np.mean([holm(row).min() < 0.05 for row in p])
    assert (wrong - 0.05) / math.sqrt(0.05 * 0.95 / len(p)) < 3.5


def test_a_t_interval_of_three_runs_is_4_3_standard_errors_wide():
    low, high = t_interval([1.0, 2.0, 3.0])
    assert (high - low) / 2 == pytest.approx(4.302652730 / math.sqrt(3))


# A ratio of means of eight pairs, with Fieller's interval and the jackknife's, computed twice in independent ways.
PARTS = [41.2, 38.7, 44.0, 40.1, 39.5, 42.8, 37.9, 43.3]
WHOLES = [39.0, 38.1, 41.5, 38.8, 38.9, 40.2, 37.5, 41.0]


def test_a_ratio_of_means_has_fiellers_interval():
    assert ratio_interval(PARTS, WHOLES) == pytest.approx((1.020243287, 1.058183303), rel=1e-8)


def test_a_ratio_whose_denominator_may_be_zero_has_no_interval():
    assert np.isnan(ratio_interval([0.9, -0.4, 1.3, 0.2, 0.8], [0.5, -0.2, 0.1, 0.6, -0.3])).all()  # g is 12.8


def test_the_difference_of_two_ratios_has_the_jackknifes_interval():
    found = ratio_difference(PARTS, WHOLES, [0.0] * 8, WHOLES)
    assert found[:3] == pytest.approx((1.039682540, 1.020819604, 1.058713245), rel=1e-8)


def test_ratios_of_the_same_runs_do_not_differ():
    assert ratio_difference(PARTS, WHOLES, PARTS, WHOLES) == (0.0, 0.0, 0.0, 1.0)


def test_the_intervals_of_ratios_hold_the_truth_as_often_as_they_say():
    draw = np.random.default_rng(3)
    held = []
    for _ in range(1500):
        shared = draw.normal(100, 5, 8)  # what runs of one seed have in common
        wholes, others = shared + draw.normal(0, 2, 8), shared + draw.normal(20, 2, 8)
        parts = 0.4 * shared + draw.normal(0, 1, 8)
        low, high = ratio_interval(parts, wholes)
        _, under, over, _ = ratio_difference(parts, wholes, parts, others)
        held.append((low <= 0.4 <= high, under <= 0.4 - 40 / 120 <= over))
    assert (np.abs(np.mean(held, axis=0) - 0.95) / math.sqrt(0.95 * 0.05 / len(held)) < 3.5).all()
