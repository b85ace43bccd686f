"""The point of no return, and the map of where a service recovers."""

import pandas as pd
import pytest

from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.results.storms import recovered
from sim.scenario.load import load
from sim.scenario.scenario import Scenario
from sim.studies.rescue import Rescue, delayed, rescue, turning_point
from sim.studies.rescue_sentences import sentences as sentences_of
from sim.studies.storm_map import at, storm_map
from tests.studies.overload.spikes import experiment_d
from tests.test_storms import changed


@pytest.fixture(scope="module")
def storm():
    return load("retry-storm")


@pytest.fixture(scope="module")
def stuck():
    """Experiment D, which does not recover."""
    return simulate(experiment_d())


# The point of no return.


def test_a_delayed_playbook_does_nothing_before_its_instant(storm):
    late = delayed(storm, "shed", 1500.0)
    (step,) = late.playbooks["shed"]
    assert (storm.seconds(step.from_), storm.seconds(step.until)) == (1500, 2400)
    assert delayed(storm, "shed", 600.0) == storm  # its own 'from' is later
    assert delayed(storm, "shed", 2400.0).playbooks["shed"] == []  # over before it begins
    assert late.always == storm.always


def test_a_retry_budget_ends_the_storm_at_any_time_and_loses_more_the_later_it_begins(storm):
    found = rescue(storm, "budget", seeds=1, by=600.0, processes=1)
    assert found.shares["recovered"].tolist()[:-1] == [1] * (len(found.shares) - 1)
    assert found.shares["recovered"].iloc[-1] == 0
    in_the_storm = found.shares[found.shares["begins"] > 25 * 60]
    assert in_the_storm["lost"].is_monotonic_increasing
    assert found.trigger == "'the spike'"


def test_shedding_that_ends_at_forty_minutes_must_begin_early_enough(storm):
    found = rescue(storm, "shed", seeds=1, by=240.0, processes=1)
    assert 25 * 60 < found.latest < found.too_late < 40 * 60
    assert found.too_late - found.latest <= 240
    by_time = found.shares.set_index("begins")["recovered"]
    for begins, saved in ((found.latest, 1), (found.too_late, 0)):
        late = delayed(storm, "shed", begins)
        assert by_time[begins] == saved == float(recovered(simulate(late, "shed")))
    assert sentences_of(found)[0].startswith("UNTIL Wed 01 Jan 2025 09:")
    assert "'shed' saves half of what it can; started at" in sentences_of(found)[0], "a third is lost all the same"
    assert any(said.startswith("A step ends at Wed 01 Jan 2025 09:40 UTC") for said in sentences_of(found))


def test_without_a_rescue_the_storm_loses_what_comes_in_time_without_the_spike(storm):
    """Eight a second for 80 minutes are in time without the spike; from minute 16 on nearly none are with it."""
    found = rescue(storm, "shed", seeds=1, by=3600.0, processes=1)
    begin, end = found.trouble
    assert begin == pytest.approx(16 * 60, abs=120)
    assert end == storm.horizon
    assert found.at_stake == pytest.approx(8 * (end - begin), rel=0.02)
    assert found.shares["lost"].iloc[-1] == pytest.approx(8 * (end - begin), rel=0.1)


def test_a_playbook_that_saves_nothing_and_a_run_that_needs_none_are_said(storm):
    useless = changed(storm, playbooks={"p": [{"policy": {"kind": "expiry", "after": "60 s", "foresight": False}}]})
    assert sentences_of(rescue(useless, "p", seeds=1, by=600.0, processes=1))[0].startswith("NEVER: 'p'")
    no_spike = storm.with_(**{"demand.waves.1.times": 0})
    assert sentences_of(rescue(no_spike, "lifo", seeds=1, by=600.0, processes=1))[0].startswith("NOTHING TO SAVE")


def test_a_service_that_is_alive_with_most_images_lost_is_not_said_to_have_nothing_lost():
    """Two GPUs serve 1 of 4 a second, and a queue of one turns 75 % away; four turn some 50 % away."""
    sets = {"behaviour.retry.at_most": 0, "warm_up": 0, "record": "timeline", "pools.gpus.gpus": 2}
    more = {"more": [{"policy": {"kind": "scheduled capacity", "pool": "gpus", "gpus": 4}}]}
    bound = [{"policy": {"kind": "queue bound", "requests": 1}}]
    turned = load(
        "steady",
        sets={**sets, "demand": [{"kind": "steady", "rate": "4 per second"}], "always": bound, "playbooks": more},
    )
    said = sentences_of(rescue(turned, "more", seeds=1, by=3600.0, processes=1))[0]
    assert said.startswith("NOTHING TO SAVE: the service is alive without 'more'. Even so ")
    assert "images are lost (75" in said
    assert "at best" in said
    assert "--keep 95%" in said


def outage(*, lasting: str, horizon: str, **settings):
    """Half a request a second for 50 h, 20 GPUs of 2 s, and an outage of all of them from hour 6."""
    return Scenario.from_dict(
        {
            "title": "an outage",
            "start": "2025-01-01",
            "horizon": horizon,
            "record": "timeline",
            "control_tick": "30 min",
            "tiers": {"all": {"share": 1}},
            "features": {"image": {"share": 1, "pool": "gpus", "slo": "1 min", "spec": {"model": "two-seconds"}}},
            "pools": {"gpus": {"gpus": 20}},
            "demand": [{"kind": "steady", "rate": "0.02 per second", "lasting": "50 h"}],
            "behaviour": {
                "requests": {"kind": "fixed", "requests": 1},
                "returns": {"kind": "power law", "at_one_day": 0},
            },
            "serving": {"noise": {"kind": "none"}},
            "always": [
                {"policy": {"kind": "scheduled capacity", "pool": "gpus", "gpus": 0}, "from": "6 h", "until": lasting}
            ],
            "playbooks": {
                "spare GPUs": [{"policy": {"kind": "scheduled capacity", "pool": "gpus", "gpus": 20}}],
                "shed": [{"policy": {"kind": "shed", "share": "50 %"}}],
            },
            **settings,
        }
    )


@pytest.mark.parametrize("horizon", ["48 h", "8 days"])
def test_an_outage_is_to_be_saved_however_long_after_it_and_after_all_demand_the_run_ends(horizon):
    """42 h without a GPU lose what was wanted in them: 0.02 x 42 x 3600 images. The last tenth of the time is calm."""
    found = rescue(outage(lasting="48 h", horizon=horizon), "spare GPUs", seeds=1, by=4 * 3600.0, processes=1)
    assert found.shares["lost"].iloc[-1] == pytest.approx(0.02 * 42 * 3600, rel=0.1)
    assert found.shares["lost"].iloc[0] == 0
    assert 6 * 3600 < found.latest < 30 * 3600
    assert found.trigger == "'scheduled capacity'"
    begun, lost = found.shares["begins"], found.shares["lost"]
    half = begun[lost <= 0.5 * lost.max()].max()
    assert found.latest == half, "half of what it can save is saved when it begins halfway through the outage"


def test_a_short_outage_in_a_long_run_is_something_to_save():
    """Four hours in eight days are 2 % of the time, and all that was wanted in them is lost."""
    found = rescue(outage(lasting="10 h", horizon="8 days"), "shed", seeds=1, by=86400.0, processes=1)
    assert sentences_of(found)[0].startswith("NEVER: 'shed'")


def test_a_stated_share_is_the_standard_where_one_is_given():
    scenario = outage(lasting="48 h", horizon="60 h")
    strict = rescue(scenario, "spare GPUs", seeds=1, by=3600.0, keep=0.95, processes=1)
    assert strict.latest == pytest.approx((6 + 0.05 * 42) * 3600, abs=1.5 * 3600)
    with pytest.raises(BadInput, match="part of the images"):
        rescue(scenario, "spare GPUs", seeds=1, keep=1.5)


def test_a_run_without_a_trigger_is_judged_by_the_scenarios_definition_of_alive(storm):
    everyday = {"kind": "steady", "rate": "24 per second", "lasting": "20 min"}
    calm = changed(storm, demand=[everyday], horizon="30 min", always=[])
    found = rescue(calm, "lifo", seeds=1, by=3600.0, processes=1)
    assert found.trigger == ""
    assert found.keep is None
    assert "definition of alive" in sentences_of(found)[-1]


@pytest.mark.parametrize(("trigger", "lost", "said"), [("", 9.0, True), ("", 7.0, False), ("'spike'", 9.0, False)])
def test_a_playbook_that_keeps_the_service_alive_and_loses_more_images_than_none_is_said(stuck, trigger, lost, said):
    rows = {"begins": [0.0, 600.0, 660.0, 7200.0], "saved": [1.0, 1.0, 0.0, 0.0], "lost": [lost + 1, lost, 7.5, 8.0]}
    found = Rescue("shed", pd.DataFrame({**rows, "recovered": 1.0}), 1, 600.0, 660.0, trigger, None, 9.0, (0, 1), stuck)
    assert ("It saves no images" in " ".join(sentences_of(found))) == said


@pytest.mark.parametrize(("best", "said"), [(6.0, True), (4.0, False)])
def test_a_playbook_under_which_most_is_lost_whenever_it_begins_saves_little(stuck, best, said):
    """Half of what it can save is a run that is saved, and may be a tenth of what is at stake."""
    rows = {"begins": [0.0, 600.0, 660.0, 7200.0], "saved": [1.0, 1.0, 0.0, 0.0], "lost": [best, 7.0, 9.0, 9.0]}
    shares = pd.DataFrame({**rows, "recovered": 1.0})
    found = Rescue("shed", shares, 1, 600.0, 660.0, "'spike'", None, 10.0, (0, 1), stuck)
    text = " ".join(sentences_of(found))
    assert ("IT SAVES LITTLE: whenever 'shed' begins, 60 % of the images at stake are lost" in text) == said


def test_an_answer_that_turns_twice_is_said(stuck):
    shares = pd.DataFrame(
        {"begins": [0.0, 60.0, 120.0, 180.0], "saved": [1.0, 0.0, 1.0, 0.0], "lost": [0.0, 9.0, 1.0, 9.0]}
    )
    found = Rescue("p", shares, 1, 120.0, 180.0, "'the spike'", None, 10.0, (0.0, 180.0), stuck)
    assert turning_point(dict(shares[["begins", "saved"]].itertuples(index=False))) == (120, 180)
    assert sentences_of(found)[-1].startswith("NOT MONOTONE")


@pytest.mark.parametrize(
    ("saved", "said"),
    [
        ([1.0, 1.0, 0.0, 0.0], None),
        ([1.0, 0.8, 0.0, 0.0], "00:00 is the last that saves all of them, and Wed 01 Jan 2025 00:11 the first that"),
        ([1.0, 0.8, 0.2, 0.0], "in 4 of 5 seeds. Of the instants looked at, Wed 01 Jan 2025 00:00 is the last that"),
        ([0.8, 0.6, 0.4, 0.2], "in 3 of 5 seeds. Of the instants looked at, none saves them all, and all save some"),
    ],
)
def test_where_seeds_differ_the_instants_that_save_all_of_them_and_none_are_named(stuck, saved, said):
    shares = pd.DataFrame({"begins": [0.0, 600.0, 660.0, 7200.0], "saved": saved, "lost": 0.0, "recovered": 1.0})
    found = Rescue("shed", shares, 5, 600.0, 660.0, "", None, 1.0, (0.0, 1.0), stuck)
    text = " ".join(sentences_of(found))
    assert ("seeds" in text) == (said is not None)
    assert said is None or said in text


def test_one_seed_is_said_to_show_nothing_about_chance(stuck):
    rows = {"begins": [0.0, 600.0, 660.0, 7200.0], "saved": [1.0, 1.0, 0.0, 0.0], "lost": 0.0, "recovered": 1.0}
    one, five = (
        Rescue("shed", pd.DataFrame(rows), seeds, 600.0, 660.0, "", None, 1.0, (0.0, 1.0), stuck) for seeds in (1, 5)
    )
    assert "That is of one seed, which says nothing about chance." in sentences_of(one)
    assert "seed" not in " ".join(sentences_of(five))


# The map.


def test_the_map_agrees_with_the_reference(storm):
    """Experiment D: 3.5 a second recovers and 8 does not, and without retries it does."""
    table = storm_map(storm, [3.5 / 16, 0.5], [3.0], [0, 3], seeds=2, processes=1)
    shares = table.set_index(["load", "retries"])["share"]
    assert shares.to_dict() == {(0.21875, 0): 1, (0.21875, 3): 1, (0.5, 0): 1, (0.5, 3): 0}
    assert table.set_index("retries")["stable"].to_dict() == {0: 1, 3: 0.25}


def test_a_place_on_the_map_is_the_scenario_with_three_figures_changed(storm):
    there = at(storm, 0.5, 3.0, 3)
    assert [wave.cumulative(600.0) for wave in there.demand.waves] == [4800, 9600]
    assert there.behaviour == storm.behaviour
    assert at(storm, 0.25, 1.0, 5).behaviour.retry.at_most == 5
    assert at(storm, 0.25, 1.0, 5).demand.waves[1].people == 0  # no spike


def test_below_the_line_of_theory_every_spike_is_got_over(storm):
    table = storm_map(storm, [0.15, 0.2], [5.0], [3], seeds=1, processes=1)
    assert (table["load"] < table["stable"]).all()
    assert (table["share"] == 1).all()
