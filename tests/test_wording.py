"""Numbers in words: durations, amounts, shares and differences of shares."""

import math

import pytest

from sim.wording import amount, duration, percent, points


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (119.9, "120 s"),
        (120, "2 min"),
        (7199, "120 min"),
        (7200, "2 h"),
        (86400 * 9, "9 days"),
        (math.nan, "never"),
        (math.inf, "never ends"),
    ],
)
def test_durations_are_in_the_unit_a_person_would_choose(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "0"),
        (999.4, "999"),
        (999.6, "1 k"),
        (45_600, "45.6 k"),
        (999_600, "1 M"),
        (12.3e6, "12.3 M"),
        (5e12, "5000 bn"),
        (math.nan, "unknown"),
    ],
)
def test_amounts_are_in_three_figures(number, words):
    assert amount(number) == words


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.9999, "99.99 %"),
        (0.9995, "99.95 %"),
        (0.99949, "99.9 %"),
        (0.999996, "99.9996 %"),
        (1 - 1e-13, "100 %"),
        (1.2e-16, "0 %"),
        (-1e-17, "0 %"),
        (1e-5, "0.001 %"),
    ],
)
def test_only_all_reads_100_percent_and_only_nothing_0(share, text):
    """Four nines of an agreement are not what they are measured against, five."""
    assert percent(share) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0.05, "+5.0"), (-0.1234, "-12.3"), (0.0, "+0.0"), (0.0001, "+0.01"), (-2e-5, "-0.002")]
)
def test_a_small_difference_of_shares_keeps_a_figure(share, text):
    assert points(share) == text
