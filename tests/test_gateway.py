"""The gateway against traces by hand: each reason to refuse, and what a cheaper spec is; images take ten seconds."""

import math

import numpy as np

from sim.policies.access import FeatureGate
from sim.policies.limits import Concurrency, Quota, RateLimit
from sim.policies.quality import Degrade
from sim.policies.sharing import Priority
from sim.policies.shedding import QueueBound, Shed, WaitBound
from tests.test_service import pool
from tests.traces import arriving, outcomes, served, step

FREE, PLUS = "free", "plus"


def test_a_queue_bound_counts_waiting_requests():
    run = arriving([0, 1, 2, 11], [QueueBound(requests=1)])
    assert outcomes(run) == ["served", "served", "queue bound", "served"]


def test_a_queue_bound_of_nothing_is_a_service_without_a_queue():
    run = arriving([0, 1, 11], [QueueBound(requests=0)])
    assert outcomes(run) == ["served", "queue bound", "served"]


def test_a_queue_bound_is_for_the_whole_service_and_a_slice_has_its_part():
    run = arriving([0, 1, 2, 3], [QueueBound(requests=4)], scale=0.5, pools=pool(gpus=2))
    assert outcomes(run) == ["served", "served", "served", "queue bound"]


def test_a_wait_bound_counts_the_work_before_a_request():
    run = arriving([0, 1, 2, 3], [WaitBound(longest="10 s")])
    assert outcomes(run) == ["served", "served", "served", "expected wait"]
    halved = arriving([0, 1, 2, 3, 4, 5, 6, 7], [WaitBound(longest="10 s")], pools=pool(max_batch=2))
    assert outcomes(halved) == ["served"] * 4 + ["expected wait"] * 4


def test_the_urgent_expect_only_the_work_before_theirs():
    run = arriving(
        [0, 1, 2, 3, 4], [Priority(first=["plus"]), WaitBound(longest="5 s")], tiers=[FREE, FREE, PLUS, PLUS, FREE]
    )
    assert outcomes(run) == ["served", "served", "served", "expected wait", "expected wait"]


def test_a_second_request_at_once_is_too_many():
    twice = {"requests": {"kind": "fixed", "requests": 2}, "think": {"kind": "constant", "value": "1 s"}}
    patience = {"patience": {"kind": "constant", "value": "5 s"}}
    run = arriving([0], [Concurrency(requests=1)], behaviour={**twice, **patience})
    assert outcomes(run) == ["abandoned", "concurrency"]
    assert outcomes(arriving([0], [Concurrency(requests=2)], behaviour={**twice, **patience})) == ["abandoned"] * 2
    # A request that was taken out of the queue is no longer in the service.
    noticed = {"notices_leaving": True}
    run = arriving([0, 1], [Concurrency(requests=1)], behaviour={**twice, **patience}, serving=noticed)
    assert outcomes(run) == ["abandoned", "abandoned", "concurrency", "abandoned"]


def test_a_quota_is_used_up():
    behaviour = {"requests": {"kind": "fixed", "requests": 4}}
    run = arriving([0, 1], [Quota(requests=2)], behaviour=behaviour, pools=pool(gpus=2))
    assert (
        run.requests.groupby("user")["outcome"].agg(list).tolist() == [["served", "served", "refused", "refused"]] * 2
    )
    assert set(run.requests["reason"].dropna()) == {"quota"}


def test_a_rate_limit_lets_a_user_in_again_later():
    behaviour = {"requests": {"kind": "fixed", "requests": 4}, "think": {"kind": "constant", "value": "20 s"}}
    run = arriving([0], [RateLimit(rate="1 per min", burst=1)], behaviour=behaviour)
    assert outcomes(run) == ["served", "rate limit", "rate limit", "served"]  # at 0, 30, 50 and 70 s


def test_features_with_one_meter_share_a_quota():
    both = {
        "image": {"share": 0.5, "meter": "generations"},
        "edit": {"share": 0.5, "pool": "gpus", "slo": "60 s", "spec": {"model": "quick"}, "meter": "generations"},
    }
    behaviour = {"requests": {"kind": "fixed", "requests": 6}}
    shared = arriving(range(30), [Quota(requests=1)], features=both, behaviour=behaviour, pools=pool(gpus=30))
    assert (shared.requests["reason"].isna().groupby(shared.requests["user"]).sum() == 1).all()
    apart = {name: {**feature, "meter": ""} for name, feature in both.items()}
    own = arriving(range(30), [Quota(requests=1)], features=apart, behaviour=behaviour, pools=pool(gpus=30))
    assert (own.requests["reason"].isna().groupby(own.requests["user"]).sum() == 2).mean() > 0.8


def test_shedding_refuses_the_share_it_says():
    n = 2000
    run = arriving(np.arange(n) * 0.1, [Shed(share=0.3)], pools=pool(gpus=200))
    shed = (run.requests["reason"] == "shed").sum()
    assert abs(shed - 0.3 * n) / math.sqrt(n * 0.3 * 0.7) < 3.5


def test_a_feature_gate_is_for_tiers_and_features_it_names():
    run = arriving([0, 1], [FeatureGate(open=0, tiers=["free"])], tiers=[FREE, PLUS])
    assert outcomes(run) == ["feature gate", "served"]


def test_a_feature_is_off_for_new_users():
    run = arriving([0, 1, 2], [FeatureGate(min_age="1 day")], ages=[0, 3600, 2 * 86400])
    assert outcomes(run) == ["feature gate", "feature gate", "served"]


def test_an_account_grows_up():
    behaviour = {"requests": {"kind": "fixed", "requests": 3}, "think": {"kind": "constant", "value": "40 s"}}
    run = arriving([0], [FeatureGate(min_age="1 min")], behaviour=behaviour)
    assert outcomes(run) == ["feature gate", "feature gate", "served"]  # at 0, 40 and 80 s


def test_a_rollout_opens_to_the_same_share_of_users_throughout():
    n = 1000
    behaviour = {"requests": {"kind": "fixed", "requests": 3}, "think": {"kind": "constant", "value": "1 s"}}
    half, third = (
        arriving(np.arange(n) * 0.1, [FeatureGate(open=share)], behaviour=behaviour, pools=pool(gpus=400))
        for share in (1 / 2, 1 / 3)
    )
    inside = [run.requests["reason"].isna().groupby(run.requests["user"]).agg(["min", "max"]) for run in (half, third)]
    for table, share in zip(inside, (1 / 2, 1 / 3), strict=True):
        assert (table["min"] == table["max"]).all()
        assert abs(table["max"].sum() - n * share) / math.sqrt(n * share * (1 - share)) < 3.5
    assert not (inside[1]["max"] & ~inside[0]["max"]).any()  # nested


def test_policies_act_between_their_dates():
    gate = {"kind": "feature gate", "open": 0}
    times = [30, 90, 150]
    by_date = [step(policy=gate, from_="2025-01-01 00:01", until="2025-01-01 00:02")]
    assert outcomes(arriving(times, by_date)) == ["served", "feature gate", "served"]
    by_time = [step(policy=gate, from_="1 min", until="2 min")]
    assert outcomes(arriving(times, by_time)) == ["served", "feature gate", "served"]
    assert outcomes(arriving(times, [step(policy=gate)])) == ["feature gate"] * 3
    before_the_start = [step(policy=gate, until="2024-12-31")]
    assert outcomes(arriving(times, before_the_start)) == ["served"] * 3


def test_a_degraded_request_gets_a_cheaper_spec():
    ladder = {"image": {"ladder": [{"model": "quick"}, {"model": "quick", "images": 2}]}}
    run = arriving([0], [Degrade(level=1)], features=ladder, pools=pool(max_batch=2))
    only = run.requests.iloc[0]
    assert (only["asked"], only["spec"], only["level"]) == ("slow/1024px/28st", "quick/1024px/28st", 1)
    assert served(run) == [(0, 4)]
    deepest = arriving([0], [Degrade(level=9)], features=ladder, pools=pool(max_batch=2)).requests.iloc[0]
    assert (deepest["spec"], deepest["level"]) == ("quick/1024px/28st/x2", 2)
    flat = arriving([0], [Degrade(level=1)]).requests.iloc[0]
    assert (flat["spec"], flat["level"]) == ("slow/1024px/28st", 0)
