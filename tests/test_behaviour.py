"""How people differ and what they put up with: activity, loyalty, breaks, leaving for good, other accounts, notices."""

import math

import numpy as np
import pytest
from scipy import special, stats

from sim.demand.behaviour import Behaviour, BetaGeometric, PowerLaw
from sim.model.chance import character
from sim.policies.access import FeatureGate
from sim.policies.limits import Quota
from sim.policies.quality import Degrade
from tests.traces import arriving, outcomes

DAY = 86400.0
MANY = {"gpus": {"gpus": 500}}


def constant(value: str) -> dict:
    return {"kind": "constant", "value": value}


def z_of_share(hits: float, n: int, p: float) -> float:
    return (hits - n * p) / math.sqrt(n * p * (1 - p))


def asks_a_person(run) -> np.ndarray:
    return run.requests.drop_duplicates(["user", "ask"]).groupby("user").size().to_numpy()


# How much.


def test_activity_keeps_the_mean_and_spreads_people():
    n, sigma = 3000, 0.8
    counting = {"kind": "negative binomial", "mean": 3, "r": 50}
    behaviour = {"requests": counting, "activity": {"sigma": sigma}, "think": constant("1 s")}
    run = arriving(np.arange(n) * 0.1, behaviour=behaviour, pools=MANY, horizon="2 h", control_tick="1 h")
    extra = asks_a_person(run) - 1
    mixed = 2 + 2**2 / 50 * math.exp(sigma**2) + 2**2 * math.expm1(sigma**2)  # Poisson, day and person
    assert abs(extra.mean() - 2) / math.sqrt(mixed / n) < 3.5
    assert extra.var() > 0.6 * mixed  # the sample variance of so heavy a tail errs low
    assert extra.var() > 2 * (2 + 4 / 50)  # far more than identical people would give


def test_the_busy_come_back_more_often_where_loyalty_says_so():
    n = 1500
    counting = {"kind": "negative binomial", "mean": 4, "r": 20}
    returns = {"kind": "power law", "at_one_day": 0.3, "decay": 0}
    settings = {"pools": MANY, "horizon": "1.9 days", "control_tick": "1 day"}
    activity = {"sigma": 1, "loyalty": 1}
    behaviour = {"requests": counting, "activity": activity, "returns": returns, "think": constant("1 s")}
    run = arriving(np.arange(n) * 1.0, behaviour=behaviour, **settings)
    day = ((run.requests["arrived"] - run.users["arrives"].to_numpy()[run.requests["user"]]) > 0.4 * DAY).to_numpy()
    back = np.isin(np.arange(n), run.requests["user"][day])
    first = np.bincount(run.requests["user"][~day], minlength=n)
    assert stats.mannwhitneyu(first[back], first[~back], alternative="greater").pvalue < 1e-6


def test_activity_and_loyalty_have_mean_one_and_heavy_users_are_so_many_times_as_active():
    n, sigma, heavy, times, loyalty = 20_000, 0.6, 0.02, 10.0, 0.5
    found = np.array([character(sigma, heavy, times, loyalty, 1, 21, person) for person in range(n)])
    spread = found.std(axis=0, ddof=1) / math.sqrt(n)
    assert (np.abs(found.mean(axis=0) - 1) / spread < 3.5).all()
    alone = np.array([character(sigma, 0.0, times, loyalty, 1, 21, person) for person in range(n)])
    ratio = found[:, 0] / alone[:, 0]
    low, high = np.unique(ratio.round(9))
    assert high / low == pytest.approx(times)
    assert abs(z_of_share((ratio > 1).sum(), n, heavy)) < 3.5


# When.


def test_some_pauses_are_breaks():
    n = 600
    behaviour = {
        "requests": {"kind": "fixed", "requests": 3},
        "think": constant("5 s"),
        "breaks": {"probability": 0.3, "lasting": constant("1 h")},
    }
    run = arriving(np.arange(n) * 0.5, behaviour=behaviour, pools=MANY, horizon="5 h", control_tick="1 h")
    gaps = run.requests.groupby("user")["arrived"].diff().dropna()
    assert set(gaps.round(6)) == {15.0, 3610.0}
    assert abs(z_of_share((gaps > 60).sum(), 2 * n, 0.3)) < 3.5


def test_retention_is_the_curve_it_says():
    power = PowerLaw(kind="power law", at_one_day=0.1, decay=0.7)
    assert power.using(3) == pytest.approx([0, 0.1, 0.1 * 2**-0.7, 0.1 * 3**-0.7])
    sbg = BetaGeometric(kind="beta geometric", a=0.7, b=1.3)
    left = sbg.staying(3)
    assert left[0] == 1
    assert left[1] == pytest.approx(1.3 / 2.0)  # E[1 - theta]
    assert left[3] == pytest.approx(special.beta(0.7, 4.3) / special.beta(0.7, 1.3))


def test_people_leave_for_good_as_the_beta_geometric_says():
    n, days = 2000, 4
    returns = {"kind": "beta geometric", "a": 0.7, "b": 1.3, "use": 0.5}
    settings = {"pools": MANY, "horizon": f"{days} days", "control_tick": "1 day"}
    run = arriving(np.arange(n) * 0.1, behaviour={"returns": returns}, **settings)
    since = (run.requests["arrived"] - run.users["arrives"].to_numpy()[run.requests["user"]]) / DAY
    staying = BetaGeometric.model_validate(returns).staying(days)
    for day in range(1, days):
        used = ((since > 0) & (since >= day - 0.5) & (since < day + 0.5)).sum()
        assert abs(z_of_share(used, n, 0.5 * staying[day])) < 3.5


# What they put up with.


@pytest.mark.parametrize(("churn_late", "asks"), [(0, 3), (1, 1)])
def test_an_image_that_came_late_may_be_the_last(churn_late, asks):
    behaviour = {"requests": {"kind": "fixed", "requests": 3}, "churn_late": churn_late}
    features = {"image": {"slo": "5 s"}}  # it takes ten
    assert len(arriving([0], behaviour=behaviour, features=features).requests) == asks


def test_a_degraded_image_is_asked_for_again_by_those_for_whom_it_was_no_good():
    n, p = 1500, 0.3
    features = {"image": {"ladder": [{"model": "quick"}]}}
    behaviour = {"regenerate": p, "think": constant("1 s")}
    settings = {"features": features, "behaviour": behaviour, "pools": MANY, "horizon": "1 h"}
    run = arriving(np.arange(n) * 0.1, [Degrade(level=1)], **settings)
    wished = run.requests.groupby("user").size().to_numpy()
    assert abs(z_of_share((wished > 1).sum(), n, p)) < 3.5
    assert abs(z_of_share((wished > 2).sum(), n, p * p)) < 3.5
    plain = arriving(np.arange(50) * 0.1, **settings)
    assert len(plain.requests) == 50


def test_a_second_account_has_a_quota_of_its_own():
    retry = {"at_most": 3, "probability": 0, "hopeless": 0, "second_account": 1, "backoff": constant("10 s")}
    behaviour = {"requests": {"kind": "fixed", "requests": 2}, "think": constant("1 s"), "retry": retry}
    run = arriving([0], [Quota(requests=1)], behaviour=behaviour)
    assert outcomes(run) == ["served", "quota", "served"]


def test_a_second_account_is_a_new_user():
    retry = {"at_most": 2, "probability": 0, "hopeless": 0, "second_account": 1, "backoff": constant("10 s")}
    run = arriving([100], [FeatureGate(min_age="15 s")], ages=[20], behaviour={"retry": retry})
    assert outcomes(run) == ["served"]
    run = arriving([100], [FeatureGate(min_age="30 s")], ages=[20], behaviour={"retry": retry})
    assert outcomes(run) == ["feature gate"] * 3  # it would have been old enough at 110


def test_pauses_before_a_retry_grow_up_to_the_longest():
    retry = {"at_most": 4, "probability": 0, "hopeless": 1, "backoff": constant("10 s"), "growth": 2, "longest": "25 s"}
    run = arriving([0], [Quota(requests=0)], behaviour={"retry": retry})
    assert run.requests["arrived"].tolist() == [0, 10, 30, 55, 80]


def test_who_is_told_to_come_back_waits_more_patiently():
    behaviour = {"patience": constant("12 s"), "patience_notified": constant("100 s")}
    watching = arriving([0, 0, 0], behaviour=behaviour)
    assert outcomes(watching) == ["served", "abandoned", "abandoned"]
    told = arriving([0, 0, 0], behaviour=behaviour, serving={"notifies_above": "5 s"})
    assert outcomes(told) == ["served", "abandoned", "served"]  # the queue was empty when the second came
    assert told.requests["notified"].tolist() == [False, False, True]


# Several images a request.


def test_requests_are_for_as_many_images_as_people_want():
    n, settings = 2000, {"pools": {"gpus": {"gpus": 400, "max_batch": 4}}}
    features = {"image": {"images": {1: 0.6, 4: 0.4}}}
    run = arriving(np.arange(n) * 0.1, features=features, **settings)
    four = run.requests["asked"].astype(str).str.endswith("/x4")
    assert abs(z_of_share(four.sum(), n, 0.4)) < 3.5
    sizes = run.batches.set_index("batch")["size"]
    assert (sizes[run.requests["batch"]].to_numpy()[four] == 4).all()


def test_defaults_name_their_sources():
    for name, field in Behaviour.model_fields.items():
        extra = field.json_schema_extra
        nested = name in ("retry", "breaks", "returns", "activity")
        assert nested or (isinstance(extra, dict) and {"source", "provenance"} <= extra.keys()), name
