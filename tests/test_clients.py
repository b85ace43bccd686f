"""Policies that act on clients: pauses, announced waits, retry budgets, and a circuit breaker."""

import heapq
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from sim.engine.simulate import simulate
from sim.model.controls import Controls, PoolTelemetry, Telemetry
from sim.model.retry import pause_before_retry
from sim.policies.clients import Backoff, CircuitBreaker, RetryAfter
from sim.results.run import Run
from tests.random_scenarios import plain

# Backoff: each law of pauses, and what it is for.

JITTERS = ["none", "exponential", "full jitter", "equal jitter", "decorrelated jitter"]
BASE, CAP = 5.0, 100.0


def retries(pause: str, *, base: float = BASE, cap: float = CAP) -> np.ndarray:
    """The knobs of everybody's retries under such a backoff."""
    controls = Controls(["free"], ["image"])
    Backoff(pause=pause, base=f"{base} s", cap=f"{cap} s").act(nothing_seen(), controls)
    return controls.retries


def pauses(pause: str, attempt: int, n: int = 4000) -> np.ndarray:
    knobs = retries(pause)
    return np.array([pause_before_retry(knobs, 7.0, True, True, 1, key, 0, attempt) for key in range(n)])


def even(samples: np.ndarray, low: float, high: float) -> bool:
    """Whether samples are uniform on [low, high]: Kolmogorov and Smirnov's distance at one in ten thousand."""
    ordered = (np.sort(samples) - low) / (high - low)
    steps = np.arange(1, len(samples) + 1) / len(samples)
    return bool(np.abs(ordered - steps).max() < 2.23 / math.sqrt(len(samples)))


@pytest.mark.parametrize(("attempt", "bound"), [(0, 5), (1, 10), (4, 80), (5, 100), (9, 100)])
def test_pauses_are_as_aws_has_them(attempt, bound):
    assert (pauses("none", attempt, 10) == 0).all()
    assert (pauses("exponential", attempt, 10) == bound).all()
    assert even(pauses("full jitter", attempt), 0, bound)
    assert even(pauses("equal jitter", attempt), bound / 2, bound)


def test_a_decorrelated_pause_is_between_the_base_and_three_times_the_one_before():
    assert even(pauses("decorrelated jitter", 0), BASE, 3 * BASE)
    knobs = retries("decorrelated jitter")
    for key in range(200):
        path = [pause_before_retry(knobs, 7.0, True, True, 1, key, 0, attempt) for attempt in range(12)]
        for before, after in zip([BASE, *path], path, strict=False):
            assert BASE <= after <= min(CAP, 3 * before)
        assert max(path) <= CAP


def contended(pause: str, clients: int, seed: int) -> tuple[float, float]:
    """Writes tried until every client's has succeeded, and when the last has.

    Each reads a version, and writes if it is still that; else it pauses and reads anew. A message takes about 10 ms
    (normal, deviation 2): optimistic concurrency as in AWS's simulator of backoff. Times in milliseconds.
    """
    base = 5.0 if pause == "decorrelated jitter" else 10.0  # theirs doubles the base of 5 before the first pause
    rng, knobs = np.random.default_rng(seed), retries(pause, base=base, cap=2000.0)
    moments = [(abs(rng.normal(10, 2)), client, "read", 0, 0) for client in range(clients)]
    heapq.heapify(moments)
    version = calls = 0
    now = 0.0
    while moments:
        now, client, what, attempt, read = heapq.heappop(moments)
        there = abs(rng.normal(10, 2)) + abs(rng.normal(10, 2))  # the answer, and the next message
        if what == "read":
            heapq.heappush(moments, (now + there, client, "write", attempt, version))
            continue
        calls += 1
        if read == version:
            version += 1
        else:
            wait = pause_before_retry(knobs, 0.0, True, True, seed, client, 0, attempt)
            heapq.heappush(moments, (now + there + wait, client, "read", attempt + 1, 0))
    return calls, now


def test_jitter_saves_work_where_clients_contend_as_in_awss_experiment():
    """100 clients; the figures are those of AWS's own program, 100 times over: order, and within 5 %."""
    published = {"full jitter": 795, "decorrelated jitter": 999, "exponential": 1849, "none": 2421}
    found = {pause: np.array([contended(pause, 100, seed) for seed in range(20)]) for pause in JITTERS}
    calls = {pause: runs[:, 0].mean() for pause, runs in found.items()}
    in_order = [calls[pause] for pause in published]
    assert in_order == sorted(in_order)
    for pause, expected in published.items():
        assert calls[pause] == pytest.approx(expected, rel=0.05), pause
    assert calls["equal jitter"] == pytest.approx(813, rel=0.05)
    took = {pause: runs[:, 1].mean() for pause, runs in found.items()}
    assert took["none"] < min(took["full jitter"], took["decorrelated jitter"])
    assert took["exponential"] > 10 * took["full jitter"]


def stormed(*playbook: dict[str, Any], **settings: Any) -> Run:
    """Twenty minutes of twice what 4 GPUs of 10 s can do; whoever waits 20 s leaves, and tries again."""
    scenario = plain(
        horizon="20 min",
        control_tick="10 s",
        pools={"gpus": {"gpus": 4, "max_batch": 1}},
        demand=[{"kind": "steady", "rate": "48 per min"}],
        behaviour={
            "patience": {"kind": "constant", "value": "20 s"},
            "retry": {
                "at_most": 4,
                "probability": 1,
                "after_leaving": 1,
                "hopeless": 1,
                "backoff": {"kind": "constant", "value": "2 s"},
            },
        },
        playbooks={"one": list(playbook)},
        **settings,
    )
    return simulate(scenario)


def attempts_of(run: Run, attempt: int) -> pd.DataFrame:
    return run.requests[run.requests["attempt"] == attempt]


def test_clients_try_again_as_often_as_they_are_let():
    assert stormed().requests["attempt"].max() == 4
    assert stormed({"policy": {"kind": "backoff", "most": 2}}).requests["attempt"].max() == 2


def gaps(run: Run) -> pd.Series:
    """Seconds from the end of each attempt that was refused to the next of the same wish."""
    rows = run.requests.sort_values(["user", "ask", "attempt"])
    following = rows.groupby(["user", "ask"])["arrived"].shift(-1)
    return (following - rows["arrived"])[rows["outcome"] == "refused"].dropna()


def test_who_is_refused_comes_back_when_told_to():
    bound = {"policy": {"kind": "queue bound", "requests": 2}}
    plainly = gaps(stormed(bound))
    assert np.allclose(plainly, 2)
    told = gaps(stormed(bound, {"policy": {"kind": "retry after", "after": "30 s", "spread": "60 s"}}))
    assert told.between(30, 90).all()
    assert even(told.to_numpy(), 30, 90)


def test_a_retry_after_shorter_than_their_own_pause_hurries_nobody():
    bound = {"policy": {"kind": "queue bound", "requests": 2}}
    assert np.allclose(gaps(stormed(bound, {"policy": {"kind": "retry after", "after": "1 s"}})), 2)


def test_a_refusal_in_silence_has_no_retry_after():
    playbook = [
        {"policy": {"kind": "queue bound", "requests": 2}},
        {"policy": {"kind": "retry after", "after": "30 s"}},
    ]
    found = gaps(stormed(*playbook, serving={"tells_refusals": False}))
    assert np.allclose(found, 22)  # patience, and the own backoff


@pytest.mark.parametrize(("per", "ratio"), [("first attempt", 0.1), ("first attempt", 0.2), ("success", 0.5)])
def test_retries_are_no_more_than_the_budget_of_what_pays_for_them(per, ratio):
    run = stormed({"policy": {"kind": "retry budget", "per": per, "ratio": ratio, "bucket": 5}})
    first, again = len(attempts_of(run, 0)), int((run.requests["attempt"] > 0).sum())
    paying = first if per == "first attempt" else int((run.requests["outcome"] == "served").sum())
    assert again <= 5 + ratio * paying
    assert again > 0.9 * ratio * paying - 5  # and nearly all of it is used
    assert len(stormed().requests) > 2 * len(run.requests)


# The circuit breaker.


def nothing_seen() -> Telemetry:
    return seen(0.0)


def seen(now: float, arrived: float = 0, refused: float = 0, served: float = 0, inside: int = 0) -> Telemetry:
    came, no, done = (np.array([[number]], dtype=float) for number in (arrived, refused, served))
    zero = np.zeros((1, 1))
    return Telemetry(now, {"gpus": PoolTelemetry(4, 4, 0, inside, 0.0)}, came, no, done, zero, zero, zero, 0, 0)


def answer(breaker: CircuitBreaker, telemetry: Telemetry) -> str:
    controls = Controls(["free"], ["image"])
    breaker.act(telemetry, controls)
    if controls.knob("shed", "free", "image") == 1:
        return "open"
    ration = controls.knob("ration", "free", "image")
    return "closed" if ration == math.inf else f"half open: {ration:g}"


def test_it_opens_when_half_have_failed_and_not_before():
    breaker = CircuitBreaker(least=100)
    assert answer(breaker, seen(0)) == "closed"
    assert answer(breaker, seen(10, arrived=99, refused=99)) == "closed"  # too few to judge by
    breaker = CircuitBreaker(least=100)
    answer(breaker, seen(0))
    assert answer(breaker, seen(10, arrived=100, refused=30, served=51)) == "closed"
    assert answer(breaker, seen(20, arrived=10, refused=3, served=4)) == "open"  # 55 of 110


def test_requests_inside_the_service_have_not_ended():
    breaker = CircuitBreaker(least=10)
    answer(breaker, seen(0))
    assert answer(breaker, seen(10, arrived=100, inside=100)) == "closed"
    assert answer(breaker, seen(20, inside=80)) == "open"  # twenty have left


def test_answers_from_before_the_window_are_forgotten():
    breaker = CircuitBreaker(least=100, window="60 s")
    answer(breaker, seen(0))
    assert answer(breaker, seen(10, arrived=90, refused=90)) == "closed"
    assert answer(breaker, seen(80, arrived=90, refused=90)) == "closed"


def test_it_tries_with_a_few_and_closes_or_opens_again():
    for served, then in ((6, "closed"), (5, "open")):
        breaker = CircuitBreaker(least=10, wait="60 s", probes=10)
        answer(breaker, seen(0))
        assert answer(breaker, seen(10, arrived=10, refused=10)) == "open"
        assert answer(breaker, seen(60, arrived=99, refused=99)) == "open"
        assert answer(breaker, seen(70, arrived=99, refused=99)) == "half open: 10"
        assert answer(breaker, seen(80, arrived=9, refused=3, inside=6)) == "half open: 4"
        assert answer(breaker, seen(90, arrived=9, refused=5, inside=10)) == "half open: 0"
        assert answer(breaker, seen(100, arrived=9, refused=9, served=served)) == then


def test_each_tier_and_feature_has_its_own_probes_and_a_slice_a_part_of_them():
    breaker, zero = CircuitBreaker(least=10, wait="60 s", probes=10), np.zeros((2, 1))

    def rations(now: float, granted: tuple[float, float]) -> list[float]:
        controls = Controls(["paid", "free"], ["image"], scale=0.5)
        came = np.array([[number] for number in granted])
        refused = came if now <= 10 else zero
        pool = {"gpus": PoolTelemetry(4, 4, 0, int(came.sum()) if now > 70 else 0, 0.0)}
        breaker.act(Telemetry(now, pool, came, refused, zero, zero, zero, zero, 0, 0), controls)
        return [controls.knob("ration", tier, "image") for tier in controls.tiers]

    assert rations(0, (0, 0)) == [math.inf, math.inf]
    assert rations(10, (5, 5)) == [math.inf, math.inf]  # open
    assert rations(70, (0, 0)) == [5, 5]
    assert rations(80, (3, 1)) == [2, 4]


def test_open_it_grants_nothing_for_its_wait_and_then_no_more_than_its_probes():
    run = stormed(
        {"policy": {"kind": "circuit breaker", "least": 20, "wait": "120 s"}},
        {"policy": {"kind": "queue bound", "requests": 8}},
    )
    turns = run.decisions[run.decisions["knob"].isin(["shed", "ration"])]
    granted = run.requests[run.requests["reason"].isna()]["arrived"]
    opened = turns[(turns["knob"] == "shed") & (turns["new"] == 1)]["time"].tolist()
    over = turns[(turns["knob"] == "shed") & (turns["new"] == 0)]["time"].tolist()
    assert len(opened) >= 2
    for begin, end in zip(opened, over, strict=False):
        assert end - begin == 120
        assert not granted.between(begin, end, inclusive="left").any()
        tried = turns[(turns["knob"] == "ration") & (turns["new"] == math.inf) & (turns["time"] > end)]["time"]
        if len(tried):
            assert 1 <= granted.between(end, tried.iloc[0], inclusive="left").sum() <= 10


def test_it_stays_closed_at_half_load():
    scenario = plain(
        control_tick="10 s",
        horizon="2 h",
        pools={"gpus": {"gpus": 4, "max_batch": 1}},
        demand=[{"kind": "steady", "rate": "12 per min"}],
        behaviour={"patience": {"kind": "constant", "value": "60 s"}},
        playbooks={"one": [{"policy": {"kind": "circuit breaker", "least": 20}}]},
    )
    assert not (simulate(scenario).requests["outcome"] == "refused").any()


@pytest.mark.parametrize(
    ("made", "wrong"),
    [
        (Backoff, {"base": "2 min"}),
        (Backoff, {"pause": "own"}),
        (RetryAfter, {"after": 0}),
        (CircuitBreaker, {"failures": 0}),
    ],
)
def test_settings_must_make_sense(made, wrong):
    with pytest.raises(ValidationError):
        made(**wrong)
