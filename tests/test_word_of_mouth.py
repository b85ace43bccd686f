"""Images bring people: as many as the branching process says, no more than the market, fewer where service is bad."""

import math

import numpy as np
import pytest

from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.policies.quality import Degrade
from sim.results.verdict import sentences, verdict
from sim.scenario.fields import UNLIMITED
from sim.scenario.people import people_of
from sim.studies.compare import compare
from tests.random_scenarios import plain
from tests.traces import arriving

WORD = {"market": "1M", "shared": 1, "signups": 0.5, "delay": {"kind": "exponential", "mean": "20 s"}}
MANY = {"gpus": {"gpus": 2000}}


def spreading(n, *, seed=1, horizon="2 h", **word):
    """A run in which n people arrive at once and bring others."""
    demand = {"waves": [{"kind": "steady", "rate": 0}], "word_of_mouth": {**WORD, **word}}
    return arriving(np.zeros(n), seed=seed, demand=demand, pools=MANY, horizon=horizon, control_tick=horizon)


def test_a_branching_process_of_factor_k_brings_n_over_one_minus_k_people():
    n, k = 200, 0.5
    totals = np.array([len(spreading(n, seed=seed).users) for seed in range(1, 13)])
    # Total progeny of n with Poisson offspring (Borel-Tanner): mean n / (1 - k), variance n k / (1 - k)^3.
    mean, variance = n / (1 - k), n * k / (1 - k) ** 3
    assert abs(totals.mean() - mean) / math.sqrt(variance / len(totals)) < 3.5
    assert abs(totals.var(ddof=1) / variance - 1) < 3.5 * math.sqrt(2 / (len(totals) - 1))


def test_the_invited_come_after_the_delay_and_are_new():
    run = spreading(20, signups=3, delay={"kind": "constant", "value": "30 s"}, horizon="45 s")
    invited = run.users[run.users["invited_by"].notna()]
    assert (invited["arrives"] == 40).all()  # an image takes ten seconds
    assert invited["newcomer"].all()
    assert (invited["wave"] == "word of mouth").all()
    assert invited["invited_by"].between(0, 19).all()
    assert abs(len(invited) - 60) / math.sqrt(60) < 3.5


def test_growth_above_one_ends_with_the_market():
    run = spreading(20, signups=4, market=1000, horizon="3 h")
    assert 900 < len(run.users) <= 1000


def test_people_who_are_here_already_do_not_sign_up_again():
    n = 1500  # and as many places are free: a Poisson number n of invitations fall on 2 n places
    run = spreading(n, signups=1, market=2 * n, delay={"kind": "constant", "value": "30 s"}, horizon="45 s")
    invited, p = run.users["invited_by"].notna().sum(), 1 - math.exp(-0.5)
    assert abs(invited - n * p) / math.sqrt(n * p * (1 - p)) < 3.5


def assert_shared_by(factor, *, when, playbook=(), slo="60 s"):
    """Of people who have an image of 10 s, or a cheaper one of 4 s, this share brings one other person each."""
    n, word = 1500, {**WORD, "signups": 1, "delay": {"kind": "constant", "value": "10 s"}, **when}
    demand = {"waves": [{"kind": "steady", "rate": 0}], "word_of_mouth": word}
    features = {"image": {"slo": slo, "ladder": [{"model": "quick"}]}}
    horizon = "17 s" if playbook else "29 s"  # before the first of those invited have an image
    run = arriving(np.zeros(n), playbook, demand=demand, pools=MANY, features=features, horizon=horizon)
    invited = run.users["invited_by"].notna().sum()
    spread = math.sqrt(n * (factor * 2 - factor**2)) or 1
    assert abs(invited - n * factor) / spread < 3.5


@pytest.mark.parametrize("late", [0, 0.5, 1])
def test_a_late_image_is_shared_by_fewer(late):
    assert_shared_by(late, when={"late": late}, slo="5 s")


@pytest.mark.parametrize("degraded", [0, 0.5, 1])
def test_a_degraded_image_is_shared_by_fewer(degraded):
    assert_shared_by(degraded, when={"degraded": degraded}, playbook=[Degrade(level=1)])
    assert_shared_by(1, when={"degraded": degraded})


def growing(**settings):
    """A scenario in which people come, tell others, and may find the service full."""
    return plain(
        demand={"waves": [{"kind": "spike", "people": 150, "lasting": "1 min"}], "word_of_mouth": WORD},
        behaviour={"patience": {"kind": "exponential", "mean": "30 s"}},
        horizon="20 min",
        **settings,
    )


def test_the_first_people_are_the_same_under_every_playbook_and_keep_what_they_want():
    scenario = growing(pools={"gpus": {"gpus": 4}})
    one, other = (simulate(scenario, [], seed=1, unlimited=unlimited) for unlimited in (False, True))
    own = [run.users[run.users["invited_by"].isna()] for run in (one, other)]
    assert own[0]["arrives"].tolist() == own[1]["arrives"].tolist() == people_of(scenario, 1)[0].arrives.tolist()
    assert own[0]["tier"].tolist() == own[1]["tier"].tolist()


def test_on_an_unlimited_fleet_nobody_waits():
    run = simulate(growing(), unlimited=True)
    assert run.manifest["playbook"] == UNLIMITED
    assert (run.requests["started"] == run.requests["arrived"]).all()


def test_a_full_service_loses_growth_and_the_comparison_says_how_much():
    comparison, runs = compare(growing(pools={"gpus": {"gpus": 4}}), seeds=2, processes=1)
    assert (comparison.table["growth_lost"] > 0).all()
    assert comparison.playbooks == ["none"]
    assert [run.manifest["playbook"] for run in runs] == ["none"]
    best = simulate(growing(pools={"gpus": {"gpus": 4}}), unlimited=True, seed=1)
    lost = len(best.users) - len(runs[0].users)
    assert comparison.table.set_index("seed").loc[1, "growth_lost"] == lost


def test_growth_lost_counts_people_who_were_not_let_in():
    waitlist = {"wait": [{"policy": {"kind": "waitlist", "rate": "1 per min"}}]}
    comparison, (run,) = compare(growing(playbooks=waitlist), ["wait"], seeds=1, processes=1)
    best = simulate(growing(playbooks=waitlist), unlimited=True, seed=1)
    let_in = [int(r.users.loc[r.users["newcomer"], "admitted"].notna().sum()) for r in (best, run)]
    assert comparison.table["growth_lost"].tolist() == [let_in[0] - let_in[1]]
    assert comparison.table["signups"][0] - comparison.table["let_in"][0] > 0


def test_a_factor_above_one_is_warned_of():
    said = " ".join(sentences(verdict(simulate(growing()))))
    assert "brought by images" in said
    assert "ABOVE 1" not in said
    loud = (
        growing(override={})
        if False
        else plain(
            demand={"waves": [{"kind": "steady", "rate": "1 per min"}], "word_of_mouth": {**WORD, "signups": 1.5}}
        )
    )
    assert "WORD OF MOUTH ABOVE 1: each person would bring 1.50 more" in " ".join(sentences(verdict(simulate(loud))))


def test_the_invited_of_a_tier_wait_until_it_is_let_in():
    demand = {
        "waves": [{"kind": "spike", "people": 300, "lasting": "1 min"}],
        "word_of_mouth": {**WORD, "signups": 2},
        "openings": {"free": {"at": "10 min", "pent_up": 1, "within": "1 min"}},
    }
    tiers = {"free": {"share": 0.5}, "plus": {"share": 0.5}}
    users = simulate(plain(demand=demand, tiers=tiers, pools=MANY, horizon="15 min")).users
    free = users[users["tier"] == "free"]
    assert free["invited_by"].notna().sum() > 50
    assert (free["arrives"] >= 600).all()
    assert (users.loc[users["tier"] == "plus", "arrives"] < 600).any()


def test_programs_tell_nobody():
    program = {"kind": "clients", "clients": 5, "rate": "20 per min"}
    run = simulate(plain(demand={"clients": [program], "word_of_mouth": WORD}, pools=MANY))
    assert run.users["invited_by"].isna().all()


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ({**WORD, "market": 10}, "more than the 150 people of the waves"),
        ({**WORD, "market": "19M", "signups": 100}, "invitations are more than a run can hold"),
    ],
)
def test_a_market_too_small_and_growth_too_large_are_refused(word, complaint):
    waves = [{"kind": "spike", "people": 150, "lasting": "1 min"}]
    with pytest.raises(BadInput, match=complaint):
        plain(demand={"waves": waves, "word_of_mouth": word})


def test_the_name_of_the_unlimited_fleet_is_taken():
    with pytest.raises(BadInput, match="this is what the run without limits is called"):
        plain(playbooks={UNLIMITED: []})


def test_a_run_in_which_nothing_is_wanted_says_so():
    nobody = plain(demand=[{"kind": "steady", "rate": 0}])
    assert any(line.startswith("NOBODY CAME") for line in sentences(verdict(simulate(nobody))))
