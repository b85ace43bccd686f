"""By when to order: the dates of the lead time's law, and the instant that a run shows to be the last."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from scipy import stats

from sim import BadInput, load
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
    early, late = (sentences(found, datetime(2024, 12, day, tzinfo=UTC))[2] for day in (1, 2))
    assert "100 %" in early
    assert late.startswith("TOO LATE")


def test_where_the_fleet_is_enough_no_order_is_needed(scenario):
    rich = scenario.with_(**{"pools.gpus.gpus": 40})
    found = order_by(rich, 8, "30 days", seeds=1, by=1200, processes=1)
    assert not found.needed
    assert found.order_by is None
    assert sentences(found)[0].startswith("NO ORDER NEEDED")


def test_of_one_gpu_it_speaks_in_the_singular(scenario):
    found = order_by(scenario, 1, "30 days", seeds=1, by=1200, processes=1)
    assert "UTC: 1 more GPU in pool 'gpus' that arrives by" in sentences(found)[0]
    assert "still saves the launch" in sentences(found)[0]


def test_where_nobody_comes_there_is_nothing_to_judge(scenario):
    silent = scenario.with_(demand={"waves": [{"kind": "steady", "rate": 0}]})
    found = order_by(silent, 8, "30 days", seeds=1, by=1200, processes=1)
    assert sentences(found) == [NOTHING]
    assert rescue_sentences(found.rescue) == [NOTHING]


@pytest.mark.parametrize("wrong", [{"gpus": 0}, {"confidence": 1.0}, {"pool": "none"}, {"lead": "soon"}])
def test_an_order_that_cannot_be_is_refused(scenario, wrong):
    with pytest.raises(BadInput):
        order_by(scenario, **{"gpus": 8, "lead": "30 days", **wrong})


def test_an_order_is_of_whole_gpus_of_the_slice():
    with pytest.raises(BadInput, match="at scale 1/6000, one stands for 6,000"):
        order_by(load("viral-image-launch", sets={"scale": "1/6000"}), 4000, "30 days")
