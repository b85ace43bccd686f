"""What would change a decision: the root of the difference between options, and the inputs nobody has measured."""

import numpy as np
import pytest

from sim import load, simulate
from sim.report.origins import sources
from sim.results.money import of_service
from sim.results.verdict import verdict
from sim.scenario.provenance import assumed
from sim.studies import switch_points as switches
from sim.studies.assumed import with_assumed
from sim.studies.decide import decide
from sim.studies.sweep import DEMAND
from sim.studies.switch_points import switch_points, switch_sentences, what_would_change
from sim.studies.uncertain import Uncertain, read_law, uncertain


def test_the_switch_is_where_both_options_lose_the_same():
    """Losses 10 + x and 14: equal at x = 4, which a uniform law on 0 to 5 exceeds in one case of five."""
    laws = {"x": read_law("x", "~ uniform(0, 5)"), "y": read_law("y", "~ uniform(0, 1)")}
    best, table = switch_points(lambda places: np.array([[10 + p["x"], 14 + 0 * p["y"]] for p in places]), laws)
    (row,) = table.to_dict("records")
    assert (best, row["key"], row["side"], row["winner"]) == (0, "x", "above", 1)
    assert row["at"] == pytest.approx(4, abs=0.02)
    assert row["beyond"] == pytest.approx(0.2, abs=0.005)


def test_an_input_can_change_the_choice_at_both_ends_and_the_likelier_one_comes_first():
    laws = {"x": read_law("x", "~ uniform(-10, 10)")}
    _, table = switch_points(lambda places: np.array([[1.0, 4 + p["x"], 7 - p["x"]] for p in places]), laws)
    assert table["side"].tolist() == ["below", "above"]
    assert table["winner"].tolist() == [1, 2]
    assert table["at"].tolist() == pytest.approx([-3, 6], abs=0.05)


def test_where_one_option_is_always_the_best_nothing_changes_the_choice():
    laws = {"x": read_law("x", "~ uniform(0, 5)")}
    assert switch_points(lambda places: np.array([[0.0, 1 + p["x"]] for p in places]), laws)[1].empty


def test_an_option_that_loses_as_little_does_not_take_the_place_of_the_best():
    """Up to x = 3 the second option loses less than the first, and from there on both lose the same."""
    laws = {"x": read_law("x", "~ uniform(0, 5)")}
    best, table = switch_points(lambda places: np.array([[5.0, 5 - max(0, 3 - p["x"])] for p in places]), laws)
    assert (best, table.empty) == (1, True)


def test_assumed_numbers_get_laws_about_what_they_are_and_laws_that_are_given_stay():
    patience = {"kind": "lognormal", "median": "361 s", "sigma": 2.1}
    scenario = load("viral-image-launch", override="small", sets={"behaviour.patience": patience})
    given = uncertain(scenario, {"behaviour.patience.median": "~ uniform(1 min, 2 min)"})
    every = with_assumed(Uncertain(scenario))
    assert every.laws["behaviour.patience.median"].quantile(0.5) == pytest.approx(scenario.behaviour.patience.median)
    assert with_assumed(given).laws["behaviour.patience.median"].kind == "uniform"
    assert every.scenario.behaviour == scenario.behaviour
    assert {"behaviour.retry.hopeless", "behaviour.retry.at_most"} < set(every.laws)
    assert "behaviour.retry.probability" not in every.laws  # measured
    assert "serving.delivers_late" not in every.laws  # a switch
    for key, law in every.laws.items():
        every.with_values({key: law.at(0.1)})
        every.with_values({key: law.at(0.9)})
    keys = {key for key, _ in assumed(scenario)}
    assert keys > {"behaviour.patience", "behaviour.churn"}
    known = ("gpus_per_replica", "slots", "spot.interruptions_per_hour")  # to the operator; there are no spot GPUs
    assert not [key for key in keys if key.endswith(known)]
    assert "demand.season.weekend" not in keys  # a week without a season
    assert "demand.season.weekend" in {key for key, _ in assumed(scenario.with_(**{"demand.season.weekend": 0.8}))}
    rented = scenario.with_(**{f"pools.{next(iter(scenario.pools))}.spot.gpus": 1})
    assert any(key.endswith("spot.interruptions_per_hour") for key, _ in assumed(rented))


def test_numbers_that_a_scenario_does_not_use_are_neither_varied_nor_listed_as_assumed():
    """Of 'steady', whose images take exactly 2 s and where nobody pays, a noise of 5 % and churn were to be doubted."""
    steady = load("steady")
    keys = {key for key, _ in assumed(steady)}
    assert not {"serving.noise.cv", "tiers.free.stays", "tiers.free.churn", "tiers.free.conversion"} & keys
    assert "serving.noise.cv" in {key for key, _ in assumed(steady.with_(**{"serving.noise.kind": "lognormal"}))}
    paying = steady.with_(tiers={"free": {"share": 1, "price": "$20 per month"}})
    assert "tiers.free.stays" in {key for key, _ in assumed(paying)}
    rows = {row[0]: row[1:] for table in sources([({}, steady.document)]) for row in table.rows}
    assert rows["serving.noise"] == ["none", "assumed", "set in the scenario"]
    assert "serving.noise.cv" not in rows


def test_a_decision_names_the_demand_at_which_the_larger_fleet_wins_and_runs_agree(monkeypatch):
    monkeypatch.setattr(switches, "with_assumed", lambda inputs: inputs)  # these are looked at above
    quick = {"horizon": "4 min", "warm_up": "30 s", "behaviour.patience": {"kind": "constant", "value": "10 s"}}
    inputs = uncertain(load("steady", sets={**quick, "record": "timeline"}), {DEMAND: "~ uniform(0.5, 3.5)"})
    found = what_would_change(inputs, [4, 8], image_worth=0.01, seeds=1, store=False, processes=1)
    (row,) = found.table.to_dict("records")
    assert {found.best, row["winner"]} == {"4 GPUs", "8 GPUs"}

    def best(times):
        runs = {
            n: simulate(inputs.with_values({DEMAND: times}).with_(**{"pools.gpus.gpus": n}), seed=1) for n in (4, 8)
        }
        lost = {n: verdict(run).dollars - 0.01 * of_service(run) for n, run in runs.items()}
        return f"{min(lost, key=lambda n: lost[n])} GPUs"

    assert (best(row["base"]), best(row["at"])) == (found.best, row["winner"])
    assert "FIRST" in switch_sentences(found)[1]


def test_what_would_change_a_choice_looks_only_at_options_that_may_be_chosen(monkeypatch):
    """It named four GPUs the best, beside a decision that refused them as they stay alive too rarely."""
    monkeypatch.setattr(switches, "with_assumed", lambda inputs: inputs)
    quick = {"horizon": "4 min", "warm_up": "30 s", "behaviour.patience": {"kind": "constant", "value": "10 s"}}
    inputs = uncertain(load("steady", sets={**quick, "record": "timeline"}), {DEMAND: "~ uniform(0.5, 3.5)"})
    here = {"image_worth": 1e-9, "store": False, "processes": 1}
    some = decide(inputs, [2, 8, 10], futures=4, alive=1.0, **here)
    assert some.eligible == [(8, "none"), (10, "none")]
    found = what_would_change(inputs, [2, 8, 10], seeds=1, among=some.eligible, **here)
    assert (found.best, found.options) == ("8 GPUs", 2)
    assert "Over all futures" not in switch_sentences(found, "8 GPUs")[0]
    assert "Over all futures 10 GPUs is chosen" in switch_sentences(found, "10 GPUs")[0]
    alone = what_would_change(inputs, [2, 10], seeds=1, among=[(10, "none")], **here)
    assert switch_sentences(alone)[0].startswith("NO OTHER CHOICE: only 10 GPUs stays alive")
