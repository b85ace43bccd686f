"""Admission control and shedding by importance: their rules, who is refused when, and the same in both engines."""

import math
from collections import deque
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.model.controls import Controls, PoolTelemetry, Telemetry
from sim.policies.playbook import Step
from sim.policies.shedding import (
    AdmissionControl,
    PriorityShedding,
    ReservedShare,
    UtilisationShedding,
    highest_score,
    in_use,
    overload,
    ramped,
    rejection,
    shares,
)
from sim.results.run import Run
from sim.scenario.checks import check_step
from tests.random_scenarios import plain

TIERS = ["plus", "free", "trial"]  # in order of importance


def seen(
    *,
    now: float = 0.0,
    wait: float = 0.0,
    busy: int = 0,
    queued: int = 0,
    inside: int = 0,
    arrivals: float = 0.0,
    refused: float = 0.0,
    served: float = 0.0,
) -> Telemetry:
    """A service of one pool of 20 GPUs; the counts are all of the first tier."""
    asked, no, done = (np.array([[number], [0.0], [0.0]]) for number in (arrivals, refused, served))
    pool, zero = PoolTelemetry(20, busy, queued, inside, wait), np.zeros((3, 1))
    return Telemetry(now, {"gpus": pool}, asked, no, done, zero, zero, zero, 0, 0)


def shed(policy, telemetry: Telemetry) -> list[float]:
    """The share of each tier that is refused after one more tick."""
    controls = Controls(TIERS, ["image"])
    policy.act(telemetry, controls)
    return [controls.knob("shed", tier, "image") for tier in TIERS]


# Envoy's admission control.


def test_nothing_is_rejected_while_enough_succeeds():
    assert [rejection(100, good) for good in (100, 96, 95)] == [0, 0, 0]
    assert rejection(0, 0) == 0
    assert rejection(100, 94) == pytest.approx((100 - 94 / 0.95) / 101)


def test_rejection_is_limited_and_bent_by_its_aggression():
    assert rejection(1000, 0) == 0.8
    assert rejection(1000, 0, most=1) == pytest.approx(1000 / 1001)
    assert rejection(99, 95 * 0.95, aggression=2) == pytest.approx(math.sqrt((99 - 95) / 100))


@pytest.mark.parametrize(("times", "share"), [(3, 0.407651), (10, 0.675557), (100, 0.8)])
def test_steady_overload_settles_where_the_square_root_says(times, share):
    capacity = 1e7  # so many a tick that the 1 beside the count is nothing
    window, rejected = deque[tuple[float, float]](maxlen=10), 0.0
    for _ in range(2000):
        let_in = times * capacity * (1 - rejected)
        window.append((let_in, min(capacity, let_in)))
        rejected = rejection(sum(tick[0] for tick in window), sum(tick[1] for tick in window))
    assert rejected == pytest.approx(share, abs=1e-6)
    assert rejected == pytest.approx(min(0.8, 1 - math.sqrt(1 / (0.95 * times))), abs=1e-6)


def test_only_requests_that_were_let_in_and_have_ended_count():
    policy = AdmissionControl(window="30 s")
    assert shed(policy, seen(now=0, inside=5)) == [0, 0, 0]  # who came before it looked is not counted
    waiting = seen(now=10, arrivals=100, refused=40, inside=65)
    assert shed(policy, waiting) == [0, 0, 0]  # sixty were let in, and all are still inside
    half = seen(now=20, served=30, inside=5)  # sixty have ended, thirty of them well
    assert shed(policy, half) == pytest.approx([rejection(60, 30)] * 3)
    assert shed(policy, seen(now=49, inside=5)) == pytest.approx([rejection(60, 30)] * 3)
    assert shed(policy, seen(now=50, inside=5)) == [0, 0, 0]  # a window later it is forgotten


def test_below_its_rate_nothing_is_rejected_at_any_scale():
    for scale, rejected in ((1.0, False), (0.1, True)):
        policy = AdmissionControl(window="10 s", rps_threshold="600 per min")
        controls = Controls(TIERS, ["image"], scale)
        policy.act(seen(now=0), controls)
        policy.act(seen(now=5, arrivals=99), controls)
        assert (controls.knob("shed", "free", "image") > 0) is rejected


def test_admission_control_rejects_whom_it_is_for():
    policy = AdmissionControl(tiers=["free"], final=True)
    shed(policy, seen())
    controls = Controls(TIERS, ["image"])
    policy.act(seen(now=5, arrivals=50), controls)
    assert [controls.knob("shed", tier, "image") for tier in TIERS] == [0, 0.8, 0]
    assert controls.knob("final", "free", "image") == 1


# Netflix's priorities.


@pytest.mark.parametrize(("x", "score"), [(0, 100), (0.35, 95.7), (0.8, 48.8), (0.95, 14.3), (1, 0)])
def test_the_curve_passes_the_points_that_were_published(x, score):
    assert highest_score(x) == pytest.approx(score, abs=0.05)


def test_overload_grows_from_its_beginning_to_full():
    assert [overload(wait, 10, 30) for wait in (0, 10, 20, 30, 1e9, math.inf)] == [0, 0, 0.5, 1, 1, 1]


def by_priority(**settings) -> PriorityShedding:
    return PriorityShedding(
        pool="gpus", tiers={"plus": 10, "free": 50, "trial": 95}, begins=0, full="100 s", **settings
    )


def test_a_tier_is_shed_when_its_score_is_over_the_curve():
    waits = [0, 35, 37, 79, 80, 96, 97, 100]
    expected = [[0, 0, 0], [0, 0, 0], [0, 0, 1], [0, 0, 1], [0, 1, 1], [0, 1, 1], [1, 1, 1], [1, 1, 1]]
    assert [shed(by_priority(), seen(wait=wait)) for wait in waits] == expected


def test_a_longer_wait_never_lets_more_in():
    shares_shed = np.array([shed(by_priority(), seen(wait=wait)) for wait in range(120)])
    assert (np.diff(shares_shed, axis=0) >= 0).all()
    assert (np.diff(shares_shed, axis=1) >= 0).all()  # nor a less important tier


def test_a_tier_without_a_score_is_never_shed():
    policy = PriorityShedding(pool="gpus", tiers={"trial": 100}, begins=0, full="1 s")
    assert shed(policy, seen(wait=1e6)) == [0, 0, 1]


@pytest.mark.parametrize("wrong", [{"tiers": {}}, {"tiers": {"free": 0}}, {"tiers": {"free": 101}}, {"full": "5 s"}])
def test_scores_and_waits_must_make_sense(wrong):
    with pytest.raises(ValidationError):
        PriorityShedding(**{"pool": "gpus", "tiers": {"free": 9}, "begins": "5 s", "full": "9 s", **wrong})


# Stripe's two.


def test_use_counts_busy_gpus_and_the_queue():
    assert in_use(PoolTelemetry(20, 10, 0, 10, 0.0)) == 0.5
    assert in_use(PoolTelemetry(20, 20, 30, 50, 9.0)) == 2.5
    assert in_use(PoolTelemetry(0, 0, 0, 0, math.inf)) == math.inf, "no GPU is in service"


def test_a_reserved_share_is_for_the_critical_alone():
    policy = ReservedShare(pool="gpus", tiers=["trial", "free"])
    assert shed(policy, seen(busy=16)) == [0, 0, 0]  # eighty per cent, not above it
    assert shed(policy, seen(busy=17)) == [0, 1, 1]
    assert shed(policy, seen(busy=10, queued=7)) == [0, 1, 1]
    assert shed(policy, seen(busy=20, queued=10_000)) == [0, 1, 1]
    assert shed(policy, seen(busy=1)) == [0, 0, 0]


def test_shares_are_shed_from_the_last_tier_up():
    assert shares(0, 3) == [0, 0, 0]
    assert shares(0.25, 3) == [0, 0, 0.25]
    assert shares(1.5, 3) == [0, 0.5, 1]
    assert shares(3, 3) == [1, 1, 1]


def test_a_ramp_ends_at_nothing_and_at_all():
    up = [ramped(at, True, up=0.4, down=0.1, most=2) for at in (0, 1.5, 1.8, 2)]
    down = [ramped(at, False, up=0.4, down=0.1, most=2) for at in (0, 0.05, 2)]
    assert (up, down) == ([0.4, 1.9, 2, 2], [0, 0, 1.9])


def test_shedding_by_utilisation_ramps_up_and_releases_in_reverse():
    policy = UtilisationShedding(pool="gpus", tiers=["free", "trial"], ramp_up=0.5, ramp_down=0.25, saturated=0.9)
    up = [shed(policy, seen(busy=18)) for _ in range(5)]
    assert up == [[0, 0, 0.5], [0, 0, 1], [0, 0.5, 1], [0, 1, 1], [0, 1, 1]]
    down = [shed(policy, seen(busy=17)) for _ in range(9)]
    assert down[:4] == [[0, 0.75, 1], [0, 0.5, 1], [0, 0.25, 1], [0, 0, 1]]
    assert down[4:] == [[0, 0, 0.75], [0, 0, 0.5], [0, 0, 0.25], [0, 0, 0], [0, 0, 0]]


def test_a_pool_without_gpus_is_saturated_once_a_request_is_in_it():
    policy = UtilisationShedding(pool="gpus", tiers=["trial"], ramp_up=1)
    assert shed(policy, replace(seen(), pools={"gpus": PoolTelemetry(0, 0, 0, 0, math.inf)}))[2] == 0
    assert shed(policy, replace(seen(), pools={"gpus": PoolTelemetry(0, 0, 1, 1, math.inf)}))[2] == 1


def test_a_ramp_of_tenths_comes_back_to_nothing():
    policy = UtilisationShedding(pool="gpus", tiers=["trial"], ramp_up=0.3)
    for _ in range(3):
        shed(policy, seen(busy=20))
    assert [shed(policy, seen())[2] for _ in range(10)][-2:] == [0, 0]


def test_a_tier_is_named_once():
    with pytest.raises(ValidationError, match="once"):
        UtilisationShedding(pool="gpus", tiers=["free", "free"])


# All of them.

POOLED = {
    "priority": by_priority(),
    "reserved": ReservedShare(pool="gpus", tiers=["free", "trial"]),
    "utilisation": UtilisationShedding(pool="gpus", tiers=TIERS),
}
ALL = {"admission": AdmissionControl(), **POOLED}


@pytest.mark.parametrize("name", ALL)
def test_what_is_not_refused_is_left_as_others_have_it(name):
    controls = Controls(TIERS, ["image"])
    controls.set(shed=0.3)
    ALL[name].model_copy(deep=True).act(seen(), controls)
    assert [controls.knob("shed", tier, "image") for tier in TIERS] == [0.3] * 3


@pytest.mark.parametrize("name", ALL)
def test_names_that_the_scenario_lacks_are_told(name):
    wrong = [{"tiers": {"gold": 5}} if name == "priority" else {"tiers": ["gold"]}, {"features": ["music"]}]
    wrong += [{"pool": "spare"}] if name in POOLED else []
    for update in wrong:
        policy = ALL[name].model_copy(update=update, deep=True)
        with pytest.raises(BadInput, match=r"gold|music|spare"):
            shed(policy, seen())
        step = Step.model_construct(policy=policy, from_=0.0, until=math.inf)
        with pytest.raises(ValueError, match=r"playbooks.one.0.policy.*(gold|music|spare)"):
            check_step(crowded(), step, "playbooks.one.0")


def crowded(**settings):
    """Some three times what four GPUs can do, of three tiers, for a quarter of an hour; people leave after a minute."""
    return plain(
        horizon="15 min",
        control_tick="5 s",
        tiers={"plus": {"share": 0.2}, "free": {"share": 0.4}, "trial": {"share": 0.4}},
        demand=[{"kind": "steady", "rate": "180 per min"}],
        pools={"gpus": {"gpus": 4, "max_batch": 4}},
        behaviour={"patience": {"kind": "exponential", "mean": "1 min"}},
        **settings,
    )


def refused(run: Run) -> pd.DataFrame:
    """The share refused of each tier (columns, in order of importance) in each control interval (rows)."""
    ticks = (run.requests["arrived"] // 5).rename("tick")
    shed = run.requests["reason"] == "shed"
    return shed.groupby([ticks, run.requests["tier"].astype(str)]).mean().unstack()[TIERS]


@pytest.mark.parametrize("name", POOLED)
def test_in_no_interval_is_a_more_important_tier_refused_more(name):
    share = refused(simulate(crowded(), [POOLED[name]])).dropna()
    assert (np.diff(share.to_numpy(), axis=1) >= 0).all()
    assert share["trial"].max() == 1
    assert share["plus"].mean() < share["trial"].mean()


def test_the_critical_are_served_as_if_there_were_no_others():
    policy = ReservedShare(pool="gpus", tiers=["free", "trial"])
    without, with_it = (simulate(crowded(), playbook).requests for playbook in ([], [policy]))
    plus = [(r[r["tier"] == "plus"]["outcome"] == "served").mean() for r in (without, with_it)]
    assert plus[0] < 0.5
    assert plus[1] > 0.6


@pytest.mark.parametrize("name", ALL)
def test_nothing_is_refused_at_little_load(name):
    quiet = plain(
        control_tick="5 s",
        tiers={"plus": {"share": 0.2}, "free": {"share": 0.4}, "trial": {"share": 0.4}},
        demand=[{"kind": "steady", "rate": "60 per min"}],
        pools={"gpus": {"gpus": 40}},
        warm_up=0,
    )
    assert simulate(quiet, [ALL[name]]).requests["reason"].isna().all()
