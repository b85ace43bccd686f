"""A promise in words means what it says, and a run keeps it by the margin that its own tables show."""

import math

import numpy as np
import pytest

from sim import BadInput, latencies, outcomes, simulate, verdict
from sim.studies.promise import Condition, in_windows, read_promise
from sim.studies.run_record import record_of
from tests.random_scenarios import plain

TWO_TIERS = {"tiers": {"free": {"share": 0.5}, "plus": {"share": 0.5}}}


def busy(**settings):
    """Half an hour of about what one GPU serves, from people who leave and try again."""
    behaviour = {"patience": {"kind": "exponential", "mean": "1 min"}, "retry": {"at_most": 2}}
    demand = [{"kind": "steady", "rate": "8 per min"}]
    given = {"horizon": "30 min", "alive": {"window": "5 min"}, "demand": demand, "behaviour": behaviour}
    return plain(**{**given, **TWO_TIERS, **settings})


@pytest.fixture(scope="module")
def run():
    return simulate(busy(), seed=3)


def margin(run, text):
    return read_promise(text, busy()).margin(record_of(run))


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("alive", Condition("alive")),
        ("95 % in time", Condition("in time", 0.95)),
        ("95% of images in time in every window", Condition("in time", 0.95, windows=1.0)),
        ("99 % of plus in time in 90 % of windows", Condition("in time", 0.99, "plus", windows=0.9)),
        ("p95 <= 30 s", Condition("within", 0.95, "", "latency", 30.0)),
        ("p99.9 wait of image <= 1 min", Condition("within", 0.999, "image", "wait", 60.0)),
        ("lost <= 2 %", Condition("at most", 0.02, "", "lost")),
        ("served of free >= 98 %", Condition("at least", 0.98, "free", "served")),
    ],
)
def test_a_condition_is_read_as_it_is_written(text, condition):
    (found,) = read_promise(text, busy()).conditions
    assert repr(found) == repr(condition)  # nan is the same as nan


@pytest.mark.parametrize(
    "text",
    [
        *("", "and", "fast", "95", "101 % in time", "-5 % in time", "0 % in time", "95 % of gold in time"),
        *("p0 <= 1 s", "p100 <= 1 s", "p95 <= 30", "p95 <= never", "lost >= 2 %", "nan % in time"),
        "95 % in time in 0..1 windows",
    ],
)
def test_a_promise_that_means_nothing_is_refused_with_what_was_expected(text):
    with pytest.raises(BadInput, match="expected:"):
        read_promise(text, busy())


def test_margins_are_those_of_the_tables(run):
    """Counted here from the rows, and there from the record."""
    all_of, of_plus = outcomes(run).iloc[0], outcomes(run, "tier").loc["plus"]
    assert margin(run, "80 % in time") == pytest.approx(all_of["attainment"] - 0.8)
    assert margin(run, "80 % of plus in time") == pytest.approx(of_plus["attainment"] - 0.8)
    assert margin(run, "lost <= 50 %") == pytest.approx(0.5 - all_of["lost"] / all_of["intents"])
    assert margin(run, "abandoned <= 50 %") == pytest.approx(0.5 - all_of["abandoned"] / all_of["attempts"])
    assert margin(run, "refused <= 1 %") == pytest.approx(0.01)
    worst = min(outcomes(run, window=(begin, begin + 300.0))["attainment"].iloc[0] for begin in range(0, 1800, 300))
    assert margin(run, "80 % in time in every window") == pytest.approx(worst - 0.8)
    both = margin(run, "80 % in time and lost <= 50 %")
    assert both == min(margin(run, "80 % in time"), margin(run, "lost <= 50 %"))


def test_a_quantile_is_kept_up_to_its_value_and_broken_below(run):
    p80 = latencies(run).loc[("served", "wait", "all"), "p50"]
    assert margin(run, f"p50 wait <= {p80 * 1.01} s") >= 0 > margin(run, f"p50 wait <= {p80 * 0.97} s")


@pytest.mark.parametrize("rate", ["5 per min", "7 per min", "8 per min", "10 per min", "20 per min"])
def test_alive_is_kept_where_the_verdict_says_so(rate):
    run = simulate(busy(demand=[{"kind": "steady", "rate": rate}]))
    assert (margin(run, "alive") >= 0) == verdict(run).life.alive


def test_a_promise_to_nobody_is_broken():
    nobody = simulate(busy(demand=[{"kind": "steady", "rate": "1 per min", "from": "29.9 min", "tiers": ["free"]}]))
    assert margin(nobody, "80 % of plus in time") < 0
    assert margin(nobody, "lost of plus <= 99 %") < 0


def test_a_share_of_windows_is_a_quantile_over_those_with_anybody():
    total, good = np.array([10, 0, 10, 10, 10]), np.array([10, 0, 9, 5, 10])
    assert [in_windows(total, good, share) for share in (1.0, 0.75, 0.5, 0.01)] == [0.5, 0.9, 1.0, 1.0]
    assert math.isnan(in_windows(total[1:2], good[1:2], 1.0))


def test_without_words_a_promise_is_that_of_the_scenario():
    promising = busy(promises=["p95 <= 7 s", "alive", "in time at most 1 % worse than baseline"])
    assert read_promise(None, promising).text == "p95 <= 7 s and alive"
    assert read_promise(None, busy()).text == "alive"
    joined = busy(promises=["p95 <= 7 s and cost no worse than Baseline"])
    assert read_promise(None, joined).text == "p95 <= 7 s"  # only the comparison is left to 'check'
