"""Behaviour of people, against traces by hand: retries, thinking, churn, coming back, the waitlist."""

import math
from math import nan

import numpy as np
import pytest
from scipy import stats

from sim.demand.behaviour import Behaviour
from sim.demand.laws import FixedCount, NegativeBinomial
from sim.model.chance import count_of
from sim.policies.access import FeatureGate, Waitlist
from sim.policies.limits import Quota
from sim.policies.shedding import QueueBound, Shed, WaitBound
from tests.traces import arriving, outcomes, step

DAY = 86400.0


def constant(value: object) -> dict:
    return {"kind": "constant", "value": value}


def arrivals(run) -> list[float]:
    return run.requests["arrived"].tolist()


# Retries.


def test_a_refused_ask_is_retried_after_longer_and_longer_pauses():
    retry = {"at_most": 3, "probability": 1, "backoff": constant("10 s"), "growth": 2}
    run = arriving([0], [Shed(share=1)], behaviour={"retry": retry})
    assert arrivals(run) == [0, 10, 30, 70]
    assert run.requests["attempt"].tolist() == [0, 1, 2, 3]
    assert run.requests["ask"].tolist() == [0, 0, 0, 0]
    assert run.requests["retry"].tolist() == [True, True, True, False]


def test_an_ask_that_comes_through_is_not_retried():
    retry = {"at_most": 3, "probability": 1, "backoff": constant("10 s")}
    run = arriving([0, 1, 2], [QueueBound(requests=1)], behaviour={"retry": retry})
    assert arrivals(run) == [0, 1, 2, 12]
    assert outcomes(run) == ["served", "served", "queue bound", "served"]


def test_nobody_retries_who_does_not_want_to():
    run = arriving([0], [Shed(share=1)], behaviour={"retry": {"at_most": 3, "probability": 0}})
    assert len(run.requests) == 1
    assert not run.requests["retry"].any()


@pytest.mark.parametrize(("hopeless", "attempts"), [(0, 1), (1, 3)])
def test_a_refusal_for_the_day_is_retried_by_those_who_do_not_believe_it(hopeless, attempts):
    retry = {"at_most": 2, "probability": 1 - hopeless, "hopeless": hopeless, "backoff": constant("10 s")}
    run = arriving([0], [Quota(requests=0)], behaviour={"retry": retry})
    assert outcomes(run) == ["quota"] * attempts


def test_who_left_tries_again():
    retry = {"at_most": 1, "probability": 0, "after_leaving": 1, "backoff": constant("3 s")}
    run = arriving([0], behaviour={"patience": constant("5 s"), "retry": retry})
    assert arrivals(run) == [0, 8]
    assert run.requests["left"].tolist() == [5, 13]
    assert run.requests["started"].tolist() == [0, 10]  # the first was served to nobody


def test_the_share_that_retries_is_the_share_it_says():
    n, p = 1000, 0.72
    run = arriving(np.arange(n) * 0.1, [Shed(share=1)], behaviour={"retry": {"at_most": 1, "probability": p}})
    retried = run.requests["retry"].sum()
    assert abs(retried - n * p) / math.sqrt(n * p * (1 - p)) < 3.5


# Sessions.


def test_people_think_between_images():
    run = arriving([0], behaviour={"requests": {"kind": "fixed", "requests": 3}, "think": constant("5 s")})
    assert arrivals(run) == [0, 15, 30]
    assert run.requests["ask"].tolist() == [0, 1, 2]


def test_patience_runs_from_asking_to_the_image():
    run = arriving([0, 1], behaviour={"patience": constant("12 s")})
    assert outcomes(run) == ["served", "abandoned"]  # it waits for 9 s, and is 3 s into its service
    np.testing.assert_equal(run.requests["left"].tolist(), [nan, 13])


def test_an_ask_that_came_to_nothing_may_be_the_last():
    thrice = {"requests": {"kind": "fixed", "requests": 3}}
    churned = arriving([7], [Shed(share=1)], behaviour={**thrice, "churn": 1})
    assert len(churned.requests) == 1
    assert churned.users["left"].tolist() == [7]
    stayed = arriving([7], [Shed(share=1)], behaviour={**thrice, "churn": 0})
    assert arrivals(stayed) == [7, 12, 17]
    assert math.isnan(stayed.users["left"].iloc[0])


def test_who_has_churned_does_not_come_back_another_day():
    def attempts(churn: float) -> int:
        behaviour = {"returns": {"kind": "power law", "at_one_day": 1, "decay": 0}, "churn": churn}
        return len(arriving([0], [Shed(share=1)], behaviour=behaviour, horizon="3 days", control_tick="1 day").requests)

    assert attempts(churn=0) >= 3
    assert attempts(churn=1) == 1


def test_who_has_left_thinks_from_then_on():
    twice = {"requests": {"kind": "fixed", "requests": 2}, "think": constant("3 s"), "patience": constant("4 s")}
    run = arriving([0], behaviour=twice)
    assert arrivals(run) == [0, 7]
    assert run.requests["started"].tolist() == [0, 10]  # the GPU goes on with what nobody waits for


def test_who_was_served_does_not_churn():
    run = arriving([0], behaviour={"requests": {"kind": "fixed", "requests": 2}, "churn": 1})
    assert outcomes(run) == ["served", "served"]


def test_people_come_back_on_their_days():
    run = arriving([100], behaviour={"returns": {"kind": "power law", "at_one_day": 1, "decay": 0}}, horizon="2.5 days")
    days = (run.requests["arrived"] - 100) / DAY
    assert len(days) in (3, 4)
    for day, at in enumerate(days):
        assert day == 0 == at or day - 0.5 <= at < day + 0.5
    assert run.requests["ask"].tolist() == list(range(len(days)))


def test_the_share_that_comes_back_falls_by_the_power_law():
    n = 1000
    run = arriving(
        np.arange(n) * 1.0,
        behaviour={"returns": {"kind": "power law", "at_one_day": 0.4, "decay": 1}},
        horizon="6 days",
        pools={"gpus": {"gpus": 20}},
        control_tick="1 day",
    )
    since = (run.requests["arrived"] - run.users["arrives"].to_numpy()[run.requests["user"]]) / DAY
    for day, share in ((1, 0.4), (2, 0.2), (4, 0.1)):
        back = ((since >= day - 0.5) & (since < day + 0.5) & (since > 0)).sum()
        assert abs(back - n * share) / math.sqrt(n * share * (1 - share)) < 3.5


def test_asks_are_for_features_by_their_shares():
    n = 2000
    features = {
        "image": {"share": 0.7},
        "edit": {"share": 0.3, "pool": "gpus", "slo": "60 s", "spec": {"model": "quick"}},
    }
    run = arriving(np.arange(n) * 0.1, features=features, pools={"gpus": {"gpus": 300}})
    edits = (run.requests["feature"] == "edit").sum()
    assert abs(edits - 0.3 * n) / math.sqrt(n * 0.21) < 3.5


def test_how_many_images_people_want():
    assert [count_of(*FixedCount(kind="fixed", requests=3).law, 1.0, u) for u in (0.01, 0.99)] == [3, 3]
    law = Behaviour().requests.law
    extra = stats.nbinom(0.535, 0.535 / (0.535 + 2.99))
    for u in np.linspace(0.001, 0.999, 200):
        assert count_of(*law, 1.0, u) == 1 + extra.ppf(u)
        assert count_of(*law, 2.0, u) == 1 + stats.nbinom(0.535, 0.535 / (0.535 + 2 * 2.99)).ppf(u)
    assert count_of(*law, 1.0, 1 - 2**-53) <= law.at_most
    assert count_of(*NegativeBinomial(kind="negative binomial", mean=1, r=0.5).law, 1.0, 0.999) == 1


# The waitlist.

TICK = {"control_tick": "10 s"}


def admitted(run) -> list[float]:
    return run.users["admitted"].tolist()


def test_without_a_waitlist_people_come_in_when_they_arrive():
    assert admitted(arriving([1, 2], **TICK)) == [1, 2]


def test_the_waitlist_lets_in_at_its_rate_first_come_first_served():
    run = arriving([0.5, 1, 1.5], [Waitlist(rate="6 per min")], **TICK)
    assert admitted(run) == [10, 20, 30]
    assert arrivals(run) == [10, 20, 30]


def test_a_rate_below_one_a_tick_adds_up():
    assert admitted(arriving([0.5, 1, 1.5], [Waitlist(rate="3 per min")], **TICK)) == [10, 30, 50]


def test_a_turn_that_nobody_took_is_not_saved_up():
    assert admitted(arriving([35, 36, 37], [Waitlist(rate="6 per min")], **TICK)) == [40, 50, 60]


def test_a_slice_of_the_service_lets_in_its_part():
    run = arriving([0.5, 1, 1.5], [Waitlist(rate="12 per min")], scale=0.5, pools={"gpus": {"gpus": 2}}, **TICK)
    assert admitted(run) == [10, 20, 30]


def test_closed_signups_let_nobody_new_in():
    run = arriving([1, 2], [Waitlist(rate=0)], ages=[0, 3600], **TICK)
    np.testing.assert_equal(admitted(run), [nan, 2])
    assert run.requests["user"].tolist() == [1]


def test_everybody_comes_in_when_the_waitlist_is_lifted():
    closed = step(policy={"kind": "waitlist", "rate": 0}, until="25 s")
    run = arriving([1, 2, 26, 31], [closed], **TICK)
    assert admitted(run) == [30, 30, 30, 31]


def test_people_give_up_on_a_waitlist_and_free_their_place():
    run = arriving(
        [1, 2, 3, 4], [Waitlist(rate="6 per min")], behaviour={"waitlist_patience": constant("15 s")}, **TICK
    )
    np.testing.assert_equal(admitted(run), [10, nan, nan, nan])
    np.testing.assert_equal(run.users["left"].tolist(), [nan, 17, 18, 19])
    # The one who came later is next in line.
    run = arriving([1, 2, 15], [Waitlist(rate="6 per min")], behaviour={"waitlist_patience": constant("15 s")}, **TICK)
    np.testing.assert_equal(admitted(run), [10, nan, 20])


def test_who_gave_up_takes_nobodys_turn():
    run = arriving(
        np.arange(60) * 0.15,
        [Waitlist(rate="18 per min")],
        behaviour={"waitlist_patience": {"kind": "exponential", "mean": "30 s"}},
        **TICK,
    )
    arrives, came, left = (run.users[name].fillna(math.inf) for name in ("arrives", "admitted", "left"))
    for now in range(10, 600, 10):
        waiting = (arrives < now) & (came >= now) & (left > now)
        assert (came == now).sum() == min(3, waiting.sum())
        assert waiting.idxmax() == (came == now).idxmax()  # the first in line is the first let in
    assert np.isfinite(left).sum() > 20


def test_who_would_give_up_at_the_instant_of_being_let_in_comes_in():
    run = arriving([5], [Waitlist(rate="6 per min")], behaviour={"waitlist_patience": constant("5 s")}, **TICK)
    assert admitted(run) == [10]


def test_people_let_in_together_find_every_idle_gpu():
    for bound in (QueueBound(requests=0), WaitBound(longest=0)):
        run = arriving([1, 2, 3, 4], [Waitlist(rate="24 per min"), bound], pools={"gpus": {"gpus": 4}}, **TICK)
        assert arrivals(run) == [10] * 4
        assert outcomes(run) == ["served"] * 4


def test_an_account_begins_when_its_owner_is_let_in():
    run = arriving([1, 2], [Waitlist(rate="6 per min"), FeatureGate(min_age="15 s")], **TICK)
    assert admitted(run) == [10, 20]
    assert outcomes(run) == ["feature gate"] * 2


def test_people_ask_from_when_they_were_let_in():
    run = arriving([5], [Waitlist(rate="6 per min")], behaviour={"requests": {"kind": "fixed", "requests": 2}}, **TICK)
    assert arrivals(run) == [10, 25]
