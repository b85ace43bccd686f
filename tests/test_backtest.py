"""An incident is run again with a playbook begun earlier."""

import pytest

from sim.errors import BadInput
from sim.profile.profile import constant_profile
from sim.scenario.scenario import Scenario
from sim.studies.backtest import backtest, earlier


@pytest.fixture(scope="module")
def incident():
    """An hour of one request a second for eight GPUs of two seconds; all are refused from minute 40 on."""
    document = {
        "title": "incident",
        "horizon": "1 h",
        "tiers": {"all": {"share": 1}},
        "features": {"image": {"share": 1, "pool": "gpus", "slo": "30 s", "spec": {"model": "m"}}},
        "pools": {"gpus": {"gpus": 8}},
        "demand": [{"kind": "steady", "rate": "1 per s"}],
        "behaviour": {
            "requests": {"kind": "fixed", "requests": 1},
            "patience": {"kind": "never"},
            "retry": {"at_most": 0},
            "returns": {"kind": "power law", "at_one_day": 0},
        },
        "playbooks": {
            "as it was": [{"policy": {"kind": "shed", "share": 1}, "from": "40 min"}],
            "from the start": [{"policy": {"kind": "shed", "share": 0.5}}],
        },
    }
    return Scenario.from_dict(document, profiles={"m": constant_profile("m", 2.0)})


def test_a_gate_closed_twenty_minutes_earlier_loses_a_third_of_the_hour(incident):
    """Whoever comes while the gate is open is answered in time: 40 of 60 minutes, and 20 of 60."""
    found = backtest(incident, "as it was", [1200.0], seeds=3)
    assert found.labels == ("as it was", "as it was, 20 min earlier")
    rows = found.comparison.differences.set_index(["playbook", "metric"])
    for metric in ("images_share", "attainment"):
        was, early = (rows.loc[(label, metric)] for label in found.labels)
        assert was["mean"] == pytest.approx(2 / 3, abs=0.03)  # four standard errors of 3 x 3600 Poisson arrivals
        assert early["mean"] == pytest.approx(1 / 3, abs=0.03)
        assert early["low"] <= early["difference"] == pytest.approx(-1 / 3, abs=0.03)
        assert early["high"] < 0
    assert not any("against" in line for line in found.sentences()[:2])  # the incident is not compared with itself
    assert "as it was, 20 min earlier: 33" in found.sentences()[2].replace("32.", "33.").replace("34.", "33.")


def test_differences_of_shares_are_in_points_and_one_seed_has_no_intervals(incident):
    found = backtest(incident, "as it was", [1200.0], seeds=3)
    assert " points against 'as it was', -3" in found.sentences()[2]
    assert found.caution.startswith("Intervals cover chance")
    alone = backtest(incident, "as it was", [1200.0], seeds=1)
    assert " points against 'as it was')" in alone.sentences()[2]
    assert alone.caution.startswith("There are no intervals")


def test_no_playbook_begins_before_the_run_and_one_without_a_date_is_refused(incident):
    assert [step.from_ for step in earlier(incident, "as it was", 2400.0)] == [0.0]
    with pytest.raises(BadInput, match="begins 40 min after the start"):  # else 'an hour earlier' would name 40 min
        earlier(incident, "as it was", 3600.0)
    with pytest.raises(BadInput, match="in force from the start"):
        earlier(incident, "from the start", 60.0)
    with pytest.raises(BadInput, match="no such playbook"):
        backtest(incident, "none of these", [60.0])
