"""Studies that stop by themselves cover what they claim, and warm-up is what MSER-5 says it is."""

import numpy as np
import pytest

from sim import BadInput, compare, sentences, size
from sim.cli.run_commands import not_alive
from sim.results.intervals import precise_after, t_interval
from sim.results.warm_up import mser
from sim.studies.choice import imprecise
from sim.studies.objectives import OBJECTIVES
from sim.studies.selection import Race, pick_best
from tests.random_scenarios import plain
from tests.test_compare import overloaded
from tests.test_size import busy

STEPS = {"none": [], "closed": [{"policy": {"kind": "feature gate", "open": 0}}]}
# A first-order recovery from 0 to 10 with noise, and the truncation found by a plain loop elsewhere.
DRIFTING = [-0.19, 0.07, 0.87, 1.3, 0.09, 1.04, 2.14, 1.84, 0.75, 2.36, 1.69, 1.73, 2.6, 2.64, 2.63, 3.7, 3.53, 3.29]
DRIFTING += [3.7, 3.33, 3.88, 4.54, 4.76, 4.93, 5.4, 4.95, 4.62, 6.16, 6.41, 5.04, 5.57, 5.77, 6.07, 6.35, 6.29, 6.71]
DRIFTING += [7.6, 8.2, 7.13, 8.22, 8.0, 8.31, 8.32, 8.01, 8.85, 8.92, 9.21, 8.78, 9.47, 9.52]


def test_mser_5_drops_what_published_arithmetic_drops():
    found = mser(DRIFTING)
    assert (found.dropped, found.at_limit) == (25, True)
    assert (found.statistic, found.mean) == pytest.approx((0.3897192320, 7.2992))


def test_mser_5_drops_a_step_and_nothing_of_what_follows():
    stepped = mser(np.where(np.arange(400) < 40, 20.0, 0.0) + np.tile([1.0, -1.0], 200))
    assert (stepped.dropped, stepped.at_limit) == (40, False)
    with pytest.raises(ValueError, match="two batches"):
        mser([1.0] * 9)


@pytest.mark.parametrize(("kind", "values", "half"), [("any", 10.0, 0.24841), ("share", 0.1, 0.024841)])
def test_precision_is_in_points_for_shares_and_relative_for_amounts(kind, values, half):
    """9, 10, 11 and so on: 4.302653 (Student's t of two degrees) / sqrt(3) = 2.4841 after three."""
    some = values * np.array([0.9, 1.0, 1.1, 1.0, 1.0, 1.0, 1.0, 1.0])
    assert precise_after(some, half * 1.0001, kind) == 8
    assert precise_after(some, half * 0.9999, kind) is None
    assert precise_after(some[:7], 1.0, kind) is None  # five runs ahead of three are not there yet


def test_stopping_when_precise_covers_the_mean_about_as_often_as_it_says():
    """1,000 studies of normal values; stopping at the first narrow interval covers in some 90 % only."""
    rng, covered, seeds = np.random.default_rng(5), [], []
    for _ in range(500):
        values = rng.normal(10.0, 1.0, 60)
        n = precise_after(values, 0.05) or 60
        low, high = t_interval(values[:n])
        covered.append(low <= 10.0 <= high)
        seeds.append(n)
    assert 0.93 <= np.mean(covered) <= 0.97
    assert 18 < np.mean(seeds) < 28  # 1.96^2 * (1 / (10 * 5 %))^2 = 15.4, Student's t and five runs ahead


def test_the_race_picks_the_best_as_often_as_it_promises_where_it_leads_by_just_enough():
    rng, right, seeds = np.random.default_rng(3), [], []
    for _ in range(200):
        people = rng.normal(0.0, 2.0, 400)  # what all have in common, which cancels

        def drawn(some, people=people):
            own = rng.normal(0.0, 1.0, (4, len(some)))
            return {f"{k}": people[some] + own[k] + (1.0 if k == 0 else 0.0) for k in range(4)}

        race = Race(drawn(np.arange(10)), 1.0, 0.95)
        while len(race.left) > 1:
            race.add({name: v[0] for name, v in drawn(np.array([race.seeds])).items() if name in race.left})
        right.append(race.left == ["0"])
        seeds.append(race.seeds)
    assert np.mean(right) >= 0.95
    assert np.mean(seeds) < 40  # without the pairing, the variance of a difference would be five times as large


def test_a_comparison_adds_seeds_until_it_is_precise_or_has_the_most():
    scenario = plain(playbooks=STEPS)
    wide, _ = compare(overloaded(), ["none"], seeds=3, until=0.0001, most=11, processes=1, by="attainment")
    assert wide.seeds == list(range(1, 12))
    assert imprecise(wide, 0.0001) == [
        "NOT AS PRECISE AS ASKED FOR after 11 seeds: 'none'; --most-seeds allows more."
    ], "it ended at the most seeds and said nothing of it"
    one, _ = compare(overloaded(), ["none"], seeds=1, until=0.0001, most=4, processes=1, by="attainment")
    assert one.seeds == [1, 2, 3, 4]  # a single seed says nothing, so there are more
    narrow, _ = compare(scenario, ["closed"], seeds=3, until=0.02, most=100, processes=1, by="attainment")
    assert narrow.seeds == list(range(1, 9))  # nothing is served with any seed: known after three, and five ahead
    assert imprecise(narrow, 0.02) == imprecise(narrow, None) == []


def test_a_size_has_no_more_seeds_than_the_most_and_says_that_it_is_not_precise():
    """It had five at a time, so 15 where 12 were the most, and said nothing of the precision."""
    found = size(busy(), "90 % in time", seeds=4, until=1e-6, most=6, headroom=False, processes=1)
    assert found.answer is not None
    assert len(found.answer.margins) == 6
    said = "NOT AS PRECISE AS ASKED FOR after 6 fresh seeds; --most-seeds allows more."
    assert said in sentences(found)
    assert said not in sentences(size(busy(), "90 % in time", seeds=4, headroom=False, processes=1))


def test_the_best_playbook_is_picked_and_the_worse_one_gets_no_further_seeds():
    found = pick_best(plain(playbooks=STEPS), apart=0.05, by="attainment", processes=1)
    assert (found.best, found.decided) == ("none", True)
    assert found.table.set_index("playbook")["out_after"]["closed"] == 10
    assert "BEST by requests in time: 'none'" in found.sentences()[0]


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("playbooks", {"playbooks": ["none"]}),
        ("apart", {"apart": 0.0}),
        ("pilot", {"pilot": 2}),
        ("pilot", {"most": 5}),
    ],
)
def test_what_cannot_be_picked_from_is_refused_by_its_own_key(key, wrong):
    with pytest.raises(BadInput) as refused:
        pick_best(plain(playbooks=STEPS), **wrong)
    assert refused.value.key == key


def test_a_best_that_dies_is_not_to_be_chosen():
    comparison, _ = compare(plain(playbooks=STEPS), seeds=1, by="attainment", processes=1)
    assert not_alive(comparison.alive[0], comparison) == []
    assert "not to be chosen" in not_alive("a playbook that dies", comparison)[0]


def test_one_point_is_one():
    assert OBJECTIVES["images"].apart(0.01) == "1 point"
    assert OBJECTIVES["images"].apart(0.02) == "2 points"
