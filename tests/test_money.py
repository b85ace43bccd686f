"""Revenue by tier, what is lost to capacity, and what one GPU more is worth: by hand, and against queueing theory."""

from dataclasses import replace

import numpy as np
import pytest

from sim import BadInput, compare, load, sentences, simulate, verdict
from sim.cli.money_command import lines, worth_sentence
from sim.report.tables import money_tables
from sim.results.experiences import experienced
from sim.results.money import lost_sentence, money_of, money_sentences, tariffs_of
from sim.scenario.parts import Recording
from sim.scenario.provenance import figures_of_prices
from sim.studies.money_study import AS_IT_IS, UNLIMITED, changed_fleets, money_study
from sim.wording import usd
from tests.random_scenarios import constant, plain
from tests.tables import attempt, run_of

MONTH = 365 * 86400 / 12
FREE = {"share": 0.5, "converts_to": "plus", "conversion": "10 %", "churn": "50 %"}
PLUS = {"share": 0.5, "price": "$30 per month", "stays": "2 months", "churn": "20 %", "churn_late": "10 %"}

# An image is in time within 10 s. A free user: two in time, one of them late enough to be cheaper; one lost. A
# subscriber from second 10 on: one lost, one late. Another from second 50 on, content.
MET = (
    attempt(0, user=0, ask=0, started=0, finished=5),
    attempt(10, user=0, ask=1, started=10, finished=15),
    attempt(20, user=0, ask=2, started=20, finished=25, level=1),
    attempt(30, user=0, ask=3, refused="shed"),
    attempt(10, user=1, ask=0, tier="plus", refused="shed"),
    attempt(20, user=1, ask=1, tier="plus", started=30, finished=40),
    attempt(50, user=2, ask=0, tier="plus", started=50, finished=55),
)


def met(tiers=None, **facts):
    return run_of(*MET, scenario={"tiers": tiers or {"free": FREE, "plus": PLUS}}, **facts)


def by_tier(money, what):
    return {tier.tier: getattr(tier, what) for tier in money.tiers}


# By hand.


def test_subscriptions_accrue_by_the_second():
    assert by_tier(money_of(met()), "accrued") == pytest.approx({"free": 0, "plus": 30 * (90 + 50) / MONTH})


def test_new_subscribers_are_worth_their_later_months():
    assert by_tier(money_of(met()), "signed_up") == pytest.approx({"free": 0, "plus": 2 * 30 * 2})


def test_bad_experiences_make_subscribers_cancel():
    leaves = 1 - (1 - 0.2) * (1 - 0.1)  # one image lost, one late
    money = money_of(met())
    assert by_tier(money, "leaving")["plus"] == pytest.approx(leaves)
    assert by_tier(money, "cancelled") == pytest.approx({"free": 0, "plus": leaves * 60})


def test_good_experiences_make_users_pay_unless_bad_ones_drove_them_away():
    starts = (1 - 0.5) * (1 - 0.9**2.5)  # two as asked for, half of a degraded one; one lost
    money = money_of(met())
    assert by_tier(money, "starting") == pytest.approx({"free": starts, "plus": 0})
    assert by_tier(money, "converted")["free"] == pytest.approx(starts * 60)


def test_revenue_and_margin_add_up():
    money = money_of(met())
    assert money.revenue == pytest.approx(money.accrued + 120 + 0.5 * (1 - 0.9**2.5) * 60 - 0.28 * 60)
    assert money.cost == pytest.approx(0.2)  # two GPUs for 100 s, mostly idle
    assert money.margin == pytest.approx(money.revenue - 0.2)
    assert money.images == 4  # in time, one of them degraded; the late one does not count


def test_cost_per_image_is_price_times_service_time_over_utilisation_and_share_in_time():
    """p s / (3600 util share): two GPUs at $3.6, 45 s of work on eight images, half of which were in time."""
    busy, served, in_time = 5 + 5 + 5 + 10 + 5, 5, 4
    by_formula = 3.6 * (busy / served) / (3600 * (busy / 200) * (in_time / served))
    money = money_of(met())
    assert money.cost / money.images == pytest.approx(by_formula)


def test_images_sold_one_by_one_are_paid_when_delivered():
    money = money_of(met({"free": {"share": 0.5}, "plus": {"share": 0.5, "price": "$0.04 per image"}}))
    assert by_tier(money, "accrued") == pytest.approx({"free": 0, "plus": 2 * 0.04})  # the late one too


def test_a_newcomer_on_the_waitlist_pays_nothing():
    waiting = ({"arrives": 5.0, "tier": "plus"}, {"arrives": 6.0, "left": 20.0, "tier": "plus"})
    run = run_of(*MET, waitlist=waiting, scenario={"tiers": {"free": FREE, "plus": PLUS}})
    assert money_of(run) == money_of(met())


def test_people_from_before_bring_no_new_subscription_and_pay_all_the_time():
    run = met()
    run = replace(run, users=run.users.assign(newcomer=False))
    money = money_of(run)
    assert by_tier(money, "signed_up")["plus"] == 0
    assert by_tier(money, "accrued")["plus"] == pytest.approx(30 * 2 * 100 / MONTH)


def test_a_slice_has_the_money_of_the_whole_service():
    whole, tenth = money_of(met()), money_of(met(scale=0.1))
    for what in ("accrued", "revenue", "cost", "images"):
        assert getattr(tenth, what) == pytest.approx(10 * getattr(whole, what))


def test_without_prices_there_is_no_money():
    assert money_of(run_of(*MET)) is None
    assert money_of(met({"free": {"share": 0.5}, "plus": {"share": 0.5}})) is None


def test_who_signed_up_in_the_warm_up_is_no_new_subscriber_of_the_window():
    """Its GPUs are not counted either. The other subscriber of the two came at second 50."""
    money = money_of(met(warm_up=30.0))
    assert by_tier(money, "signed_up")["plus"] == pytest.approx(2 * 30)
    assert by_tier(money, "accrued")["plus"] == pytest.approx(30 * (70 + 50) / MONTH)


def test_the_plan_is_cut_to_the_days_of_the_run():
    plan = {"revenue": 11.6e9, "loss_before": 5e9, "year": "2025"}
    days = 9 * 86400.0
    run = run_of(*MET, horizon=days, scenario={"tiers": {"free": FREE, "plus": PLUS}, "plan": plan})
    said = " ".join(money_sentences(run, money_of(run)))
    assert "9.86 % of a quarter" in said  # 9 of 91.25 days
    assert "($11.6 bn a year) makes $286 M" in said  # 11.6e9 x 9 / 365
    assert "($5 bn) makes $123 M" in said
    assert lost_sentence({"free": 29e6, "plus": 0.0}, 11.6e9).endswith("($29 M of 'free'), 1 % of a planned quarter.")


# In runs.


def priced(**settings):
    """Ten minutes of more than one GPU serves, by people who pay and people who may."""
    return plain(
        **{
            "tiers": {"free": {**FREE, "conversion": "1 %"}, "plus": PLUS},
            "demand": [{"kind": "steady", "rate": "10 per min"}],
            "behaviour": {"patience": {"kind": "exponential", "mean": "1 min"}, "requests": {"requests": 4}},
            "playbooks": {"none": [], "closed": [{"policy": {"kind": "feature gate", "tiers": ["free"], "open": 0}}]},
            **settings,
        }
    )


def test_no_playbook_earns_what_an_unlimited_fleet_does():
    most = by_tier(money_of(simulate(priced(), "none", unlimited=True)), "revenue")
    for playbook in ("none", "closed"):
        earned = by_tier(money_of(simulate(priced(), playbook)), "revenue")
        assert earned["plus"] < most["plus"]
        assert earned["free"] < most["free"]


def test_counts_by_tier_give_nearly_what_counts_by_person_give():
    scenario = priced(demand=[{"kind": "steady", "rate": "600 per min"}], pools={"gpus": {"gpus": 60}})
    rows, counts = (simulate(scenario, recording=Recording(rows=rows)) for rows in (True, False))
    by_person, estimated = (experienced(run, tariffs_of(run)) for run in (rows, counts))
    for tier in ("free", "plus"):
        assert estimated[tier].people == pytest.approx(by_person[tier].people, rel=0.1)
        assert estimated[tier].leaving == pytest.approx(by_person[tier].leaving, rel=0.05)
        assert estimated[tier].subscribed == pytest.approx(by_person[tier].subscribed, rel=0.05)


def test_counts_by_tier_expect_a_sixth_more_people_to_start_paying_since_good_images_are_not_spread_by_chance():
    scenario = priced(demand=[{"kind": "steady", "rate": "600 per min"}], pools={"gpus": {"gpus": 60}})
    ratios = []
    for seed in range(1, 7):
        runs = (simulate(scenario, seed=seed, recording=Recording(rows=rows)) for rows in (True, False))
        by_person, estimated = (experienced(run, tariffs_of(run))["free"].starting for run in runs)
        ratios.append(estimated / by_person)
    assert np.mean(ratios) == pytest.approx(7 / 6, abs=0.12)  # over seeds they differ by 0.1


def test_with_a_warm_up_counts_give_what_rows_give():
    """People of the warm-up have an account all the time, and are no new subscribers, whatever was recorded."""
    scenario = priced(demand=[{"kind": "steady", "rate": "60 per min"}], pools={"gpus": {"gpus": 6}}, warm_up="5 min")
    rows, counts = (verdict(simulate(scenario, recording=Recording(rows=rows))).money for rows in (True, False))
    for what in ("accrued", "signed_up"):
        assert by_tier(counts, what)["plus"] == pytest.approx(by_tier(rows, what)["plus"], rel=0.1)


def test_where_one_gpu_changes_nothing_and_many_would_it_says_that_this_is_of_one_step():
    """A fleet of one in a storm: a second GPU serves nobody in time, and an unlimited fleet everybody."""
    rate, slo = [{"kind": "steady", "rate": "60 per min"}], {"image": {"slo": "11 s"}}
    crowd = priced(demand=rate, features=slo, warm_up="2 min")
    found = money_study(crowd, seeds=3, processes=1)
    assert found.tiers["lost"].sum() > found.money.cost
    assert any(line.startswith("This is of one step, and says nothing of several: $") for line in lines(found))
    rich = money_study(priced(pools={"gpus": {"gpus": 60}}), seeds=3, processes=1)
    assert not any(line.startswith("This is of one step") for line in lines(rich))


def test_the_verdict_and_the_comparison_speak_of_the_same_dollars():
    scenario = load("steady", sets={"pools.gpus.gpus": 40, "horizon": "10 min", "warm_up": "0 s", "scale": 0.1})
    comparison, (run,) = compare(scenario, seeds=1, processes=1)
    assert verdict(run).dollars == pytest.approx(40 / 6 * 2.5)
    assert comparison.table["dollars"].tolist() == [verdict(run).dollars]


def test_the_verdict_says_what_was_earned_where_there_are_prices():
    run = simulate(priced())
    assert any("Revenue:" in sentence for sentence in sentences(verdict(run)))
    assert not any("Revenue:" in sentence for sentence in sentences(verdict(simulate(plain()))))


def test_one_gpu_more_is_worth_what_queueing_theory_says():
    """Erlang A, 20 asks a second of 5 s, people who wait 50 s on average, a cent an image, $3.5 a GPU-hour.

    The 99th GPU brings 4.0586 an hour, more than it costs; a 100th would bring 3.3845, less. Both from closed forms. In
    them nobody leaves while being served; here one in eleven does (0.02 against 0.2 a second), so an image is sold for
    1.1 cents.
    """
    scenario = plain(
        {"five": constant(5.0)},
        horizon="90 min",
        warm_up="10 min",
        record="timeline",
        tiers={"free": {"share": 1, "price": "$0.011 per image"}},
        features={"image": {"slo": "1 hour", "spec": {"model": "five"}}},
        pools={"gpus": {"gpus": 99, "dollars_per_gpu_hour": "$3.5"}},
        demand=[{"kind": "steady", "rate": "20 per s"}],
        behaviour={"patience": {"kind": "exponential", "mean": "50 s"}},
        serving={"noise": {"kind": "exponential"}, "notices_leaving": True},
    )
    study = money_study(scenario, seeds=8, processes=1)
    more, less = study.marginal.to_dict("records")
    assert more["low"] < 3.5 - 0.1154846445 < more["high"]
    assert less["low"] < 3.5 + 0.5585728121 < less["high"]
    assert more["high"] - more["low"] < 1
    assert [more["cost"], less["cost"]] == pytest.approx([3.5, 3.5])
    assert more["value"] < less["value"]


@pytest.mark.parametrize(("gpus", "images", "said"), [(1, 58.0, True), (-1, 58.0, True), (1, 0.0, False)])
def test_images_in_time_that_no_price_counts_are_named_where_a_gpu_does_not_pay(gpus, images, said):
    """A GPU that brought 58 images an hour into time was said not to pay, and no more."""
    row = {"pool": "gpus", "gpus": gpus, "share": 0.25, "revenue": 0.0, "low": 0.0, "high": 0.0, "cost": 2.5}
    line = worth_sentence({**row, "images": images})
    assert ("by these prices, which 58 images in time an hour do not change" in line) == said
    assert ("it does not pay" if gpus > 0 else "giving it up pays") in line


def test_what_the_playbook_loses_whatever_the_fleet_is_no_loss_of_too_few_gpus():
    """A gate that is closed to half of all loses what no GPU brings back; it was compared with itself, and lost $0."""
    half = {"none": [], "half": [{"policy": {"kind": "feature gate", "open": 0.5}}]}
    rich = priced(pools={"gpus": {"gpus": 60}}, playbooks=half)
    none, gate = (money_study(rich, name, seeds=1, processes=1) for name in ("none", "half"))
    assert none.tiers["lost"].sum() == pytest.approx(0, abs=1e-6)
    assert none.by_playbook == 0
    lost = gate.tiers["lost"].sum()
    assert lost > 0
    assert gate.by_playbook == pytest.approx(lost)
    assert any("of it by the playbook, whatever the fleet" in line for line in lines(gate))
    assert not any(line.startswith("This is of one step") for line in lines(gate))


def test_a_gpu_of_the_slice_stands_for_many():
    scenario = priced(scale="1/3", pools={"gpus": {"gpus": 6}})
    assert [(pool, gpus) for pool, gpus, _ in changed_fleets(scenario)] == [("gpus", 3), ("gpus", -3)]
    study = money_study(scenario, seeds=[2], processes=1)
    assert [round(row["share"], 3) for row in study.marginal.to_dict("records")] == [0.5, 0.5]
    assert study.marginal["low"].isna().all()  # no interval from one seed
    base, free = (study.runs.set_index("fleet").loc[label] for label in (AS_IT_IS, UNLIMITED))
    assert study.tiers["lost"].sum() == pytest.approx(free["revenue"] - base["revenue"])
    assert study.tiers["revenue"].sum() == pytest.approx(base["revenue"])


def test_the_last_gpu_of_a_slice_cannot_be_given_up():
    assert [gpus for _, gpus, _ in changed_fleets(priced())] == [1]


def test_cells_get_a_gpu_each():
    scenario = priced(cells=3, record="timeline", pools={"gpus": {"gpus": 6}})
    assert [(gpus, one.pools["gpus"].gpus) for _, gpus, one in changed_fleets(scenario)] == [(3, 9), (-3, 3)]


def test_a_study_of_money_needs_prices():
    with pytest.raises(BadInput, match="no prices"):
        money_study(plain())


@pytest.mark.parametrize("to", ["nobody", "free", "vip"])
def test_users_start_to_pay_for_a_tier_with_a_price_per_month(to):
    tiers = {"free": {**FREE, "converts_to": to}, "plus": PLUS, "vip": {"share": 0, "price": "$1 per image"}}
    with pytest.raises(BadInput, match=r"tiers.free.converts_to\s.*expected one of \['plus'\]"):
        priced(tiers=tiers)


def test_the_shipped_launches_have_prices_a_plan_and_their_water():
    for name in ("viral-image-launch", "chatgpt-images-week"):
        scenario = load(name)
        assert [str(tier.price) for tier in scenario.tiers.values()] == [
            "$0 per month",
            "$20 per month",
            "$200 per month",
        ]
        assert scenario.tiers["free"].converts_to == "plus"
        assert (scenario.plan.revenue, scenario.plan.loss_before, scenario.plan.year) == (11.6e9, 5e9, "2025")
        assert {"grams_co2e_per_kwh", "water_on_site", "water_of_grid", "pue"} <= scenario.footprint.model_fields_set


def test_the_report_lists_the_assumptions_behind_the_revenue():
    tiers = {"free": {**FREE, "share": 0.6}, "plus": {"share": 0.4, "price": "$30 per month"}}
    rows = {row.key: list(row[1:]) for row in figures_of_prices(tiers)}
    assert rows["tiers.plus.price"] == ["$30 per month", "assumed", "set in the scenario"]
    assert rows["tiers.plus.churn"][1] == "assumed"
    assert "tiers.free.conversion" in rows
    assert "tiers.plus.conversion" not in rows
    assert figures_of_prices({"free": {"share": 1}}) == []


def test_the_report_has_the_money_of_its_run():
    v = verdict(simulate(priced()))
    revenue, contracts = money_tables(v)
    assert [row[0] for row in revenue.rows] == ["free", "plus", "all"]
    assert revenue.rows[-1][-1] == usd(v.money.revenue)
    assert contracts.rows[0][-1] == usd(v.dollars)
    assert len(money_tables(verdict(simulate(plain())))) == 1  # no prices, so no revenue
