"""By when to order: the dates of the lead time's law, and the instant that a run shows to be the last."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from scipy import stats
from typer.testing import CliRunner

from sim import BadInput, load
from sim.cli.main import app
from sim.studies.lead_time import enough_in_time, lead_quantile, order_by, read_lead
from sim.studies.lead_time_words import sentences
from sim.studies.rescue_sentences import NOTHING
from sim.studies.rescue_sentences import sentences as rescue_sentences

Z90 = stats.norm.ppf(0.9)


def lognormal(median, sigma):
    """A lead time in days, by its median and sigma."""
    return read_lead(f"~ lognormal({median * math.exp(-sigma * Z90)!r} days, {median * math.exp(sigma * Z90)!r} days)")


@pytest.mark.parametrize(
    ("median", "sigma", "confidence", "quantile"), [(56, 0.35, 0.95, 99.58887486), (180, 0.25, 0.9, 247.9791679)]
)
def test_the_days_within_which_an_order_arrives(median, sigma, confidence, quantile):
    assert lead_quantile(lognormal(median, sigma), confidence) / 86400 == pytest.approx(quantile, rel=1e-9)


def test_two_of_three_lots_are_in_time_by_the_binomial_law():
    assert enough_in_time(3, 2, lognormal(30, 0.4), 40 * 86400) == pytest.approx(0.8591926646, rel=1e-9)
    assert enough_in_time(3, 3, read_lead("10 days"), 9 * 86400) == 0
    assert enough_in_time(3, 3, read_lead("10 days"), 10 * 86400) == 1


@pytest.mark.parametrize(("lots", "needed"), [(1, 1), (2, 1), (2, 2), (3, 2), (5, 4)])
@pytest.mark.parametrize("lead", [lognormal(30, 0.4), read_lead("~ choice(30 days, 60 days, 90 days)")])
def test_the_days_within_which_enough_lots_arrive_are_those_of_the_binomial_law(lead, lots, needed):
    days = lead_quantile(lead, 0.95, lots, needed)
    assert enough_in_time(lots, needed, lead, days) >= 0.95 - 1e-9
    assert enough_in_time(lots, needed, lead, days * (1 - 1e-6)) < 0.95


def test_of_lead_times_to_choose_from_each_is_as_likely_in_whatever_order_they_stand():
    lead = read_lead("~ choice(90 days, 30 days)")
    assert enough_in_time(2, 1, lead, 60 * 86400) == pytest.approx(0.75)  # 1 - 1/2 * 1/2
    assert [lead_quantile(lead, share) / 86400 for share in (0.5, 0.51, 0.95)] == [30, 90, 90]


@pytest.mark.parametrize(
    "text",
    [
        "soon",
        "never",
        "~ uniform(1, 2)",
        "~ choice(30, 90)",
        "~ choice(soon)",
        "~ lognormal(30 days, 9 days)",
        "-1 days",
    ],
)
def test_what_is_no_lead_time_is_refused(text):
    with pytest.raises(BadInput):
        read_lead(text)


@pytest.fixture(scope="module")
def scenario():
    """Four GPUs, half of them busy, until a spike brings five requests a second more for five minutes."""
    calm = {"kind": "steady", "rate": "1 per second"}
    spike = {"kind": "spike", "name": "launch", "from": "30 min", "people": 1500, "lasting": "5 min"}
    patience, retry = {"kind": "constant", "value": "30 s"}, {"at_most": 0}
    behaviour = {"behaviour.patience": patience, "behaviour.retry": retry}
    return load("steady", sets={"demand": [calm, spike], "record": "timeline", **behaviour})


def test_further_gpus_must_arrive_before_the_spike_is_over_and_the_order_goes_before_that(scenario):
    found = order_by(scenario, 8, "30 days", seeds=1, by=120, burn_in=86400.0, processes=1)
    assert found.needed
    assert scenario.start + timedelta(minutes=28) <= found.latest <= scenario.start + timedelta(minutes=35)
    assert found.order_by == found.latest - timedelta(days=31)
    lost = found.late.set_index("delay")["lost"]
    assert lost[0] < lost[3600] == lost[math.inf]
    assert sentences(found)[0].startswith(f"ORDER BY {found.order_by:%Y-%m-%d %H:%M}")
    early, late = (sentences(found, datetime(2024, 12, day, tzinfo=UTC))[-6] for day in (1, 2))
    assert "100 %" in early
    assert late.startswith("TOO LATE")


def test_the_people_of_the_spike_are_part_of_the_launch(scenario):
    """They were left out: GPUs at the end of the spike "saved the launch" with half of its 1,500 images lost."""
    found = order_by(scenario, 8, "30 days", seeds=1, by=120, keep=0.95, processes=1)
    lost = found.rescue.shares.set_index("begins")["lost"]
    assert found.rescue.at_stake == pytest.approx(7200 + 1500, rel=0.03), "one a second for 2 h, and the spike"
    assert lost[found.rescue.latest] <= 0.05 * found.rescue.at_stake
    assert lost.iloc[-1] > 1000
    assert sentences(found)[-1] == "A run is judged by 95 % of images in time, over every image that is wanted in it."


def saved_in(scenario, shares, **how):
    """An order whose arrival at the start, after 10 and 20 minutes and never saves these shares of five seeds."""
    found = order_by(scenario, 8, how.pop("lead", "30 days"), seeds=1, by=1e9, processes=1, **how)
    begins = [0.0, 600.0, 1200.0, scenario.horizon]
    rows = pd.DataFrame({"begins": begins, "saved": shares, "lost": [0.0, 1.0, 2.0, 3.0], "recovered": 1.0})
    rescue = replace(found.rescue, shares=rows, seeds=5, latest=600.0, too_late=1200.0)
    latest = scenario.start + timedelta(seconds=600)
    quantile = lead_quantile(found.lead, found.confidence, found.lots, found.enough)
    return replace(found, rescue=rescue, latest=latest, order_by=latest - timedelta(seconds=quantile + found.burn_in))


def test_the_chances_of_the_lead_time_and_of_the_seeds_are_joined(scenario):
    """A lead time of 30 or of 30 days and 10 minutes: half of the arrivals save five seeds, the others three."""
    found = saved_in(scenario, [1.0, 0.6, 0.2, 0.0], lead="~ choice(43200 min, 43210 min)")
    assert found.saves(found.order_by) == pytest.approx(0.8)
    assert found.saves(found.order_by + timedelta(minutes=10)) == pytest.approx((0.6 + 0.2) / 2)
    assert found.surely() == found.order_by - timedelta(minutes=10)
    said = " ".join(sentences(found, found.order_by))
    assert "save the launch with a probability of 80 %" in said
    assert f"For 95 % order by {found.surely():%Y-%m-%d %H:%M}" in said
    assert "it arrives in time with a probability of 100 %, and saves the launch with one of 80 %" in said
    never = saved_in(scenario, [0.8, 0.6, 0.2, 0.0])
    assert "no date is early enough: GPUs at the start save 4 of 5 seeds" in " ".join(sentences(never))
    sure = saved_in(scenario, [1.0, 1.0, 0.0, 0.0])
    assert "together" not in " ".join(sentences(sure))


def test_gpus_that_save_a_little_are_not_said_to_save_the_launch(scenario):
    """Of 10 images at stake 8 are lost with them, and 9 without: they are worth having in time, and save no launch."""
    found = saved_in(scenario, [1.0, 1.0, 0.0, 0.0])
    rows = found.rescue.shares.assign(lost=[7.0, 8.0, 9.0, 9.0])
    said = sentences(replace(found, rescue=replace(found.rescue, shares=rows, at_stake=10.0)))
    assert said[1].startswith("TOO FEW: the launch is not saved by them alone")
    assert "Even so 8 images are lost (80 % of those at stake); without them, 9 images are lost (90 %" in said[1]
    enough = sentences(replace(found, rescue=replace(found.rescue, shares=rows, at_stake=100.0)))
    assert enough[1].startswith("Even so 8 images are lost (8 %")


def test_the_last_date_is_that_of_the_lots_that_are_needed(scenario):
    """It was that of one lot: an order of two was "too late for that confidence", and in time with 98 %."""
    lead = "~ lognormal(30 days, 90 days)"
    one, both = (saved_in(scenario, [1.0, 1.0, 0.0, 0.0], lead=lead, lots=2, enough=n) for n in (1, 2))
    for found in (one, both):
        assert found.in_time(found.order_by, 600.0) == pytest.approx(0.95)
        assert "TOO LATE" not in " ".join(sentences(found, found.order_by))
        assert "TOO LATE" in " ".join(sentences(found, found.order_by + timedelta(days=1)))
    assert one.order_by > both.order_by
    assert "The runs have all 8 GPUs: that 1 of 2 lots will do is not shown." in sentences(one)


def test_where_the_fleet_is_enough_no_order_is_needed(scenario):
    rich = scenario.with_(**{"pools.gpus.gpus": 40})
    found = order_by(rich, 8, "30 days", seeds=1, by=1200, processes=1)
    assert not found.needed
    assert found.order_by is None
    assert sentences(found)[0].startswith("NO ORDER NEEDED")


@pytest.fixture(scope="module")
def turned_away():
    """Two GPUs serve 1 of 4 a second and turn the others away at once: alive, as those let in are served in time."""
    bound = [{"policy": {"kind": "queue bound", "requests": 1}}]
    still = {"behaviour.retry.at_most": 0, "behaviour.churn": 0, "warm_up": 0, "record": "timeline"}
    return load(
        "steady",
        sets={"demand": [{"kind": "steady", "rate": "4 per second"}], "pools.gpus.gpus": 2, "always": bound, **still},
    )


def test_a_service_that_turns_three_of_four_away_is_alive_and_its_launch_not_saved(turned_away):
    """It said "NO ORDER NEEDED: the launch is saved without 2 more GPUs", and nothing of the 75 % that are lost."""
    found = order_by(turned_away, 2, "30 days", seeds=1, by=3600, processes=1)
    said = sentences(found)
    assert said[0].startswith("NO ORDER NEEDED TO STAY ALIVE: under 'none' the service is alive without 2 more GPUs")
    assert "images are lost (75" in said[0]
    assert "with them from the start, " in said[0]
    assert "--keep 95%" in said[0]
    assert not any("saved" in line or line.startswith("Arriving at the start") for line in said)
    stricter = turned_away.with_(**{"alive.attainment": 0.4})
    ordered = sentences(order_by(stricter, 2, "30 days", seeds=1, by=3600, processes=1))
    assert "still keep the service alive under 'none'" in ordered[0]


def test_what_is_lost_is_held_against_all_that_people_want_who_are_served():
    """A person who is refused asks once, one who is served three times: 21,600 images in 2 h, not 7,200."""
    people = {"requests": {"kind": "fixed", "requests": 3}, "churn": 1, "retry": {"at_most": 0}}
    people |= {"think": {"kind": "constant", "value": "1 s"}}
    sets = {f"behaviour.{key}": value for key, value in people.items()}
    sets |= {"always": [{"policy": {"kind": "queue bound", "requests": 1}}], "warm_up": 0, "record": "timeline"}
    poor = load("steady", sets={**sets, "pools.gpus.gpus": 1})
    found = order_by(poor, 20, "30 days", seeds=1, by=3600, keep=0.9, processes=1)
    assert found.rescue.at_stake == pytest.approx(3 * 7200, rel=0.03)
    assert found.late["lost"].iloc[-1] == pytest.approx(found.rescue.shares["lost"].iloc[-1], rel=0.01)


def test_a_fleet_that_is_too_small_without_the_spike_as_well_needs_its_order(scenario):
    """One GPU for two of work before any spike: it was held against its own ruin, and found to need nothing."""
    poor = scenario.with_(**{"pools.gpus.gpus": 1, "demand.waves.1.times": 0.1})
    found = order_by(poor, 8, "30 days", seeds=1, by=600, processes=1)
    assert found.needed
    assert found.late.set_index("delay")["lost"][math.inf] > 3000  # of some 6,600 in the 110 minutes after the warm-up
    assert sentences(found)[0].startswith("ORDER BY")


def test_where_no_date_is_early_enough_the_command_ends_with_1():
    asked = ["order-by", "steady", "--gpus", "1", "--lead", "3 days", "--seeds", "1", "--by", "1h", "--processes", "1"]
    sets = ["--set", "pools.gpus.gpus=1", "--set", "demand.times=3"]
    ended = CliRunner().invoke(app, [*asked, *sets])
    assert ended.exit_code == 1
    assert "NO DATE IS EARLY ENOUGH" in ended.output


def test_of_one_gpu_it_speaks_in_the_singular(scenario):
    scarce = scenario.with_(**{"pools.gpus.gpus": 2, "demand.waves.0.times": 1.3, "demand.waves.1.times": 0.01})
    found = order_by(scarce, 1, "30 days", seeds=1, by=1200, processes=1)
    assert "UTC: 1 more GPU in pool 'gpus' that arrives by" in sentences(found)[0]
    assert "still keeps the service alive under 'none'" in sentences(found)[0]


def test_where_nobody_comes_there_is_nothing_to_judge(scenario):
    silent = scenario.with_(demand={"waves": [{"kind": "steady", "rate": 0}]})
    found = order_by(silent, 8, "30 days", seeds=1, by=1200, processes=1)
    assert sentences(found) == [NOTHING]
    assert rescue_sentences(found.rescue) == [NOTHING]


@pytest.mark.parametrize(
    "wrong", [{"gpus": 0}, {"confidence": 1.0}, {"pool": "none"}, {"lead": "soon"}, {"lots": 2, "enough": 3}]
)
def test_an_order_that_cannot_be_is_refused(scenario, wrong):
    with pytest.raises(BadInput):
        order_by(scenario, **{"gpus": 8, "lead": "30 days", **wrong})


def test_an_order_is_of_whole_gpus_of_the_slice():
    with pytest.raises(BadInput, match="at scale 1/6000, one stands for 6,000"):
        order_by(load("viral-image-launch", sets={"scale": "1/6000"}), 4000, "30 days")
