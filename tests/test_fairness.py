"""Fairness between people: Gini and Jain by their definitions, and who counts as a person."""

import dataclasses
import math

import numpy as np
import pytest

from sim.results.fairness import fairness, gini, jain
from tests.tables import attempt, run_of


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 1, 1, 1], 0.0),
        ([0, 0, 0, 1], 3 / 4),
        ([1, 2, 3, 4], 1 / 4),
        ([0.2, 0.9, 0.5], (0.7 + 0.3 + 0.4) / (3 * 1.6)),
    ],
)
def test_gini_is_half_the_mean_difference_of_two_people_over_the_mean(values, expected):
    pairs = np.abs(np.subtract.outer(values, values)).mean()
    assert gini(values) == pytest.approx(expected) == pytest.approx(pairs / (2 * np.mean(values)))


@pytest.mark.parametrize(("values", "expected"), [([1, 1, 1, 1], 1.0), ([0, 0, 0, 5], 1 / 4), ([1, 2, 3], 36 / 42)])
def test_jain_is_one_for_equals_and_a_share_k_of_n_where_k_have_all(values, expected):
    assert jain(values) == pytest.approx(expected)


def test_where_nobody_has_anything_neither_index_is_defined():
    assert math.isnan(gini([0, 0]))
    assert math.isnan(jain([0, 0]))
    assert math.isnan(gini([]))


def two_tiers():
    """A free person gets one of two images, another none of one; somebody who pays gets both; one waits outside."""
    return run_of(
        attempt(0, user=0, ask=0, started=1, finished=5),
        attempt(10, user=0, ask=1, refused="shed"),
        attempt(20, user=1, ask=0, refused="shed", retry=True),
        attempt(21, user=1, ask=0, number=1, refused="shed"),
        attempt(30, user=2, ask=0, tier="plus", started=31, finished=35),
        attempt(40, user=2, ask=1, tier="plus", started=41, finished=45),
        waitlist=({"arrives": 50.0},),
    )


def test_a_persons_share_is_served_of_asked_however_often_they_tried():
    table = fairness(two_tiers())
    assert table.loc["plus tier", ["people", "asked", "images", "served_share"]].tolist() == [1, 2, 2, 1.0]
    free = table.loc["free tier"]
    assert (free["people"], free["asked"], free["images"]) == (3, 3, 1)
    assert free["images_per_person"] == pytest.approx(1 / 3)
    assert free["served_share"] == pytest.approx((1 / 2 + 0 + 0) / 3)
    assert free["jain"] == pytest.approx(1 / 3)
    assert table.loc["all", "gini"] == pytest.approx(gini([0.5, 0, 1, 0]))


def test_people_who_are_not_let_in_got_nothing():
    run = two_tiers()
    inside = dataclasses.replace(run, users=run.users[run.users["admitted"].notna()])
    assert fairness(run).loc["all", "people"] == fairness(inside).loc["all", "people"] + 1
    assert fairness(run).loc["all", "gini"] > fairness(inside).loc["all", "gini"]


def test_newcomers_stand_against_people_from_before():
    run = two_tiers()
    users = run.users.assign(newcomer=[False, True, True, True])
    table = fairness(dataclasses.replace(run, users=users))
    assert table.loc["from before", "served_share"] == 0.5
    assert table.loc["newcomers", "people"] == 3


def test_without_rows_of_people_there_is_no_table():
    run = two_tiers()
    assert fairness(dataclasses.replace(run, users=run.users.iloc[:0])) is None
