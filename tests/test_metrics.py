"""Metrics are the arithmetic of the tables: each is checked on a few rows that can be reckoned in the head."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import load, simulate
from sim.results.counting import open_seconds, queue_spans
from sim.results.intents import intents
from sim.results.latencies import latencies, quantiles
from sim.results.metrics import outcomes, pool_timeline, refused_by
from tests.tables import attainment, attempt, run_of

quickly = settings(max_examples=40)


def served(arrived, started, finished, **more):
    return attempt(arrived, started=started, finished=finished, **more)


def wish(*attempts, **facts):
    """The only intent of a run of these attempts."""
    (row,) = intents(run_of(*attempts, **facts)).to_dict("records")
    return row


def groups(run, by=None, window=None):
    """Each group's counts by name of the count."""
    return outcomes(run, by, window).to_dict("index")


# The tables by hand are like those of a run.


def test_tables_by_hand_look_like_those_of_a_run():
    real = simulate(load("steady", sets={"horizon": "60 s", "warm_up": "0 s"}))
    for run in (run_of(), run_of(served(0, 1, 2))):
        for name in ("requests", "batches", "users", "decisions"):
            ours, theirs = (getattr(r, name).dtypes.map(lambda kind: kind.name).to_dict() for r in (run, real))
            assert ours == theirs
        assert set(run.manifest) <= set(real.manifest)
        assert set(run.manifest["pools"]["gpus"]) <= set(real.manifest["pools"]["gpus"])


def test_intents_are_found_once_for_a_run_and_a_table_of_them_is_the_callers_own():
    run = run_of(served(0, 1, 2), served(3, 4, 5, user=1))
    first = intents(run)
    first["latency"] = 99.0
    assert intents(run)["latency"].tolist() == [2.0, 2.0]
    assert list(run.found) == ["intents"]


# What became of a wish.


def test_a_wish_served_at_once():
    found = wish(served(3, 4, 8, user=7, ask=2, tier="plus"))
    expected = {"user": 7, "ask": 2, "tier": "plus", "feature": "image", "wanted": 3, "attempts": 1, "latency": 5}
    assert expected.items() <= found.items()
    assert (found["outcome"], found["slo"], found["images"]) == ("served", 10, 1)
    assert found["in_time"]
    assert found["decided"]
    assert not found["degraded"]


REFUSED_FIRST = attempt(0, refused="rate limit", retry=True)
LEFT_SECOND = attempt(10, number=1, left=15, retry=True)


def test_latency_of_a_wish_is_counted_from_the_first_attempt():
    found = wish(REFUSED_FIRST, LEFT_SECOND, served(20, 21, 26, number=2))
    assert (found["outcome"], found["attempts"], found["latency"]) == ("served", 3, 26)
    assert not found["in_time"]  # though the last attempt took 6 s


def test_a_retry_may_still_be_in_time():
    found = wish(REFUSED_FIRST, served(5, 6, 9, number=1))
    assert found["in_time"]
    assert found["latency"] == 9


def test_a_wish_without_a_further_retry_is_lost():
    found = wish(REFUSED_FIRST, attempt(10, number=1, refused="quota"))
    assert (found["outcome"], found["reason"], found["latency"]) == ("lost", "quota", math.inf)
    assert found["decided"]
    assert not found["in_time"]


def test_who_left_for_good_has_lost_the_wish_even_if_the_image_was_made():
    assert wish(attempt(0, started=1, finished=9, left=5))["outcome"] == "lost"


def test_a_retry_still_to_come_at_the_horizon_is_unfinished():
    assert wish(attempt(50, refused="shed", retry=True))["outcome"] == "unfinished"
    assert wish(attempt(50, left=60, retry=True))["outcome"] == "unfinished"


def test_in_the_queue_or_in_service_at_the_horizon_is_unfinished():
    assert wish(attempt(50))["outcome"] == "unfinished"
    assert wish(attempt(50, started=99, seconds=5))["outcome"] == "unfinished"


def test_in_time_includes_the_slo_itself():
    assert wish(served(0, 1, 10))["in_time"]
    assert not wish(served(0, 1, math.nextafter(10, 11)))["in_time"]


def test_each_feature_has_its_own_slo():
    assert not wish(served(0, 1, 50))["in_time"]
    assert wish(served(0, 1, 50, feature="video"))["in_time"]


def test_a_degraded_image_counts_as_such_only_when_served():
    assert wish(served(0, 1, 2, level=1))["degraded"]
    assert not wish(attempt(0, left=1, level=1))["degraded"]


def test_what_is_too_young_to_be_judged_is_left_out_of_attainment():
    young, old = attempt(91, user=1), attempt(89, user=2)
    found = intents(run_of(served(0, 1, 2), young, old))
    assert found["decided"].tolist() == [True, True, False]  # in order of wanting: 0, 89, 91
    assert attainment(found) == 0.5


def test_refused_for_good_is_decided_however_young():
    assert wish(attempt(99, refused="shed"))["decided"]


def test_the_window_is_on_wanting():
    run = run_of(REFUSED_FIRST, served(20, 21, 22, number=1), served(20, 21, 22, user=1), served(50, 51, 52, user=2))
    assert intents(run, (20, 50))["user"].tolist() == [1]
    assert intents(run, (0, 20))["outcome"].tolist() == ["served"]  # whatever came of it later
    assert len(intents(run)) == 3


def test_the_warm_up_is_left_out_where_no_window_is_given():
    assert intents(run_of(served(4, 5, 6), served(5, 6, 7, user=1), warm_up=5.0))["user"].tolist() == [1]


def test_wishes_come_in_order_of_wanting():
    run = run_of(
        served(9, 9, 10), REFUSED_FIRST | {"user": 1}, served(12, 13, 14, user=1, number=1), attempt(5, user=2)
    )
    assert intents(run)["wanted"].tolist() == [0, 5, 9]


# Counts.

MIXED = (
    served(1, 2, 5, user=0),
    attempt(2, user=1, tier="plus", refused="shed", retry=True),
    served(30, 31, 70, user=1, tier="plus", number=1, level=1),
    attempt(3, user=2, feature="video", refused="quota"),
    attempt(4, user=3, feature="video", left=9),
    attempt(95, user=4, tier="plus"),
)


def test_outcomes_are_counted():
    (found,) = groups(run_of(*MIXED)).values()
    assert found == {
        "intents": 5,
        "served": 2,
        "in_time": 1,
        "degraded": 1,
        "lost": 2,
        "unfinished": 1,
        "attempts": 6,
        "refused": 2,
        "abandoned": 1,
        "retried": 1,
        "attainment": 0.25,  # of the four that can be judged
    }


def test_every_wish_is_served_lost_or_unfinished():
    found = outcomes(run_of(*MIXED), ["tier", "feature"])
    assert (found["served"] + found["lost"] + found["unfinished"] == found["intents"]).all()


@pytest.mark.parametrize("by", ["tier", "feature", ["tier", "feature"]])
@pytest.mark.parametrize("window", [None, (2.0, 31.0), (10.0, 90.0), (96.0, 100.0)])
def test_groups_sum_to_the_whole(by, window):
    run = run_of(*MIXED)
    whole, parts = outcomes(run, None, window).loc["all"], outcomes(run, by, window)
    for count in parts.columns.drop("attainment"):
        assert parts[count].sum() == whole[count]


def test_groups_have_their_own_attainment():
    found = groups(run_of(*MIXED), ["tier", "feature"])
    assert {key: counts["attainment"] for key, counts in found.items() if counts["served"]} == {
        ("free", "image"): 1.0,
        ("plus", "image"): 0.0,
    }
    assert groups(run_of(*MIXED), "tier")["plus"]["intents"] == 2


def test_refusals_are_counted_by_reason():
    run = run_of(*MIXED, attempt(6, user=5, refused="quota"))
    assert refused_by(run)["refused"].to_dict() == {"quota": 2, "shed": 1}
    assert refused_by(run, "tier").to_dict() == {"free": {"quota": 2, "shed": 0}, "plus": {"quota": 0, "shed": 1}}
    assert refused_by(run, window=(0, 3))["refused"].to_dict() == {"shed": 1}


# Latencies.


def test_latency_of_the_served_and_of_all_intents_are_different_things():
    run = run_of(REFUSED_FIRST, served(20, 22, 25, number=1), attempt(30, user=1, refused="shed"))
    found = latencies(run)["p50"].to_dict()
    assert found["served", "wait", "all"] == 2
    assert found["served", "latency", "all"] == 5
    assert found["all intents", "latency", "all"] == 25
    assert latencies(run)["p95"].to_dict()["all intents", "latency", "all"] == math.inf
    assert latencies(run)["n"].tolist() == [1, 1, 2]


def test_the_undecided_have_no_latency_yet():
    found = latencies(run_of(served(0, 1, 2), attempt(99, user=1)))
    assert found.loc[("all intents", "latency", "all")].tolist() == [2, 2, 2, 1]


def test_latencies_by_tier_are_those_of_each_tier_alone():
    found = latencies(run_of(*MIXED), "tier")
    assert found["p50"].to_dict() == {
        ("served", "wait", "free"): 1,
        ("served", "wait", "plus"): 1,
        ("served", "latency", "free"): 4,
        ("served", "latency", "plus"): 40,
        ("all intents", "latency", "free"): math.inf,
        ("all intents", "latency", "plus"): 68,
    }


def test_a_quantile_is_a_value_of_the_sample():
    assert quantiles(np.arange(1.0, 101.0)) == {"p50": 50, "p95": 95, "p99": 99, "n": 100}
    assert quantiles(np.array([1.0, math.inf])) == {"p50": 1, "p95": math.inf, "p99": math.inf, "n": 2}
    assert quantiles(np.array([math.inf])) == {"p50": math.inf, "p95": math.inf, "p99": math.inf, "n": 1}


# How many at a time.

spans = st.lists(st.tuples(st.integers(-20, 120), st.one_of(st.integers(0, 60), st.just(math.nan))), max_size=30)


@quickly
@given(spans=spans, edges=st.lists(st.integers(-10, 110), min_size=2, max_size=8, unique=True).map(sorted))
def test_open_intervals_are_those_seen_by_looking_every_second(spans, edges):
    """Starts, ends and edges are whole seconds, so looking at each half second misses nothing."""
    starts = np.array([start for start, _ in spans], dtype=float)
    ends = np.array([start + lasting for start, lasting in spans], dtype=float)
    looks = np.arange(-10, 110) + 0.5
    open_then = [np.sum((starts <= look) & ~(ends <= look)) for look in looks]
    looked = [np.mean([n for n, t in zip(open_then, looks, strict=True) if a < t < b]) for a, b in pairwise(edges)]
    found = open_seconds(starts, ends, np.array(edges, dtype=float)) / np.diff(edges)
    assert found == pytest.approx(looked, rel=1e-12, abs=1e-12)


def test_an_interval_without_end_stays_open():
    assert open_seconds(np.array([5.0]), np.array([math.nan]), np.array([0.0, 10.0, 20.0])).tolist() == [5, 10]


def test_open_intervals_are_exact_late_in_a_long_run():
    """A million intervals of a tenth of a second, one after the other, until the end of the ninth day."""
    starts = 700_000 + np.arange(1_000_000) * 0.1
    edges = 700_000 + np.arange(0.0, 100_001.0, 25_000.0)
    assert np.abs(open_seconds(starts, starts + 0.05, edges) / np.diff(edges) - 0.5).max() < 1e-9
    after = open_seconds(starts, starts + 0.05, np.array([800_001.0, 800_002.0]))
    assert after.tolist() == [0.0]


@quickly
@given(rows=st.lists(st.tuples(st.integers(0, 99), st.integers(0, 50), st.integers(1, 20)), max_size=20))
def test_littles_law_is_an_identity_of_the_tables(rows):
    """Mean queue x time is the sum of the waits inside it, those not over at the horizon included."""
    attempts = []
    for user, (arrived, wait, lasting) in enumerate(rows):
        start = arrived + wait
        times = {"started": start} if start < 100 else {}
        if start + lasting < 100:
            times["finished"] = start + lasting
        attempts.append(attempt(arrived, user=user, seconds=lasting, **times))
    found = pool_timeline(run_of(*attempts), "gpus", 20)
    waits = sum(min(arrived + wait, 100) - arrived for arrived, wait, _ in rows)
    assert found["queued"].sum() * 20 == pytest.approx(waits, rel=1e-12, abs=1e-9)


LEAVER = attempt(10, left=20), attempt(10, user=1, left=20, started=30, finished=31)


def test_who_leaves_the_queue_is_out_of_it_where_the_service_notices():
    starts, ends = queue_spans(run_of(*LEAVER), "gpus")
    assert (starts.tolist(), ends.tolist()) == ([10, 10], [20, 30])


def test_who_leaves_the_queue_stays_in_it_where_the_service_does_not_notice():
    ends = queue_spans(run_of(*LEAVER, notices_leaving=False), "gpus")[1]
    assert ends == pytest.approx([math.nan, 30], nan_ok=True)


def test_the_refused_were_never_in_the_queue():
    assert queue_spans(run_of(attempt(0, refused="shed")), "gpus")[0].size == 0
