"""A scenario file is read as it is written: bases and overrides are diffs, a setting is a dotted key."""

import pytest

from sim.engine.simulate import simulate
from sim.scenario.load import load
from tests.rich_scenario import RICH, read


def test_a_scenario_is_read_as_it_is_written(write):
    scenario = read(write(RICH))
    assert scenario.horizon == 600
    assert [tier.share for tier in scenario.tiers.values()] == [0.75, 0.25]
    assert [wave.kind for wave in scenario.demand.waves] == ["steady", "spike", "weibull", "bass"]
    assert scenario.seconds(scenario.demand.waves[1].from_) == 120
    assert scenario.specs()[2].label == "quick/1024px/28st/x2"
    assert scenario.meters() == ["image", "image"]
    assert len(simulate(scenario, "all").requests) > 0


def test_an_override_is_a_diff(write):
    scenario, other = read(write(RICH)), read(write(RICH), override="more-gpus")
    assert (scenario.pools["gpus"].gpus, other.pools["gpus"].gpus) == (2, 8)
    assert other.pools["gpus"].max_batch == scenario.pools["gpus"].max_batch
    assert other.pools["spare"] == scenario.pools["spare"]
    assert other.document["pools"]["gpus"]["gpus"] == 8


def test_a_setting_is_a_dotted_key(write):
    sets = {"pools.gpus.gpus": 5, "demand.1.people": "2k", "behaviour.retry.at_most": 0, "warm_up": "1 min"}
    scenario = read(write(RICH), override="more-gpus", sets=sets)
    assert scenario.pools["gpus"].gpus == 5
    assert scenario.demand.waves[1].model_dump()["people"] == 2000
    assert (scenario.behaviour.retry.at_most, scenario.warm_up) == (0, 60)


def test_a_base_is_merged_from_below(write):
    write(RICH, "base.yaml")
    middle = write("base: ../base.yaml\npools: {spare: {gpus: 3}}\nhorizon: 20 min\n", "sub/middle.yaml")
    top = write("base: middle.yaml\ntitle: The top\nhorizon: 30 min\noverrides: {}\n", "sub/top.yaml")
    scenario = read(top)
    assert (scenario.title, scenario.horizon) == ("The top", 1800)
    assert (scenario.pools["spare"].gpus, scenario.pools["gpus"].gpus) == (3, 2)
    assert read(middle, override="more-gpus").pools["gpus"].gpus == 8


def test_a_null_takes_a_key_away(write):
    write(RICH, "base.yaml")
    scenario = read(write("base: base.yaml\ndemand: [{kind: steady, rate: 1 per min}]\nalways: null\nserving: null\n"))
    assert scenario.always == []
    assert scenario.serving.notices_leaving is False


def test_a_base_may_be_a_shipped_scenario(write):
    assert read(write("base: steady\nhorizon: 1 hour\n")).title == "A steady service"


def test_a_profile_is_found_beside_the_scenario(write):
    write(
        '{"format": "meltpoint-profile/1", "name": "mine", "model": "m", "feature": "image", "provenance": "assumed",'
        '"source": "s", "method": "m", "date": "", "precision": "", "hardware": {"gpu": "none"},'
        '"points": [{"side": 1024, "steps": 28, "batch": 1, "latency_s": {"p50": 7}}]}',
        "profiles/mine.json",
    )
    text = "base: steady\nprofiles: {two-seconds: profiles/mine.json}\n"
    scenario = load(write(text))
    assert scenario.used_profiles["two-seconds"].name == "mine"


def test_another_kind_replaces_what_was_there(write):
    """The keys of one kind mean nothing to another."""
    write(RICH, "base.yaml")
    scenario = read(write("base: base.yaml\nbehaviour: {patience: {kind: exponential, mean: 2 min}}\n"))
    assert scenario.behaviour.patience.model_dump() == {"kind": "exponential", "mean": 120}
    assert scenario.behaviour.think == read(write(RICH)).behaviour.think
    longer = read(write("base: base.yaml\nbehaviour: {patience: {scale: 2 min}}\n"))
    assert longer.behaviour.patience.model_dump() == {"kind": "weibull", "scale": 120, "shape": 0.7}


@pytest.mark.parametrize("name", ["no", "on", "null", "1", "0x10", "2025-03-25"])
def test_a_key_is_what_is_written(write, name):
    """YAML would make other things of some words: of 'no', false."""
    assert list(read(write(RICH.replace("[plus]", f"['{name}']").replace("plus", name))).tiers) == ["free", name]
