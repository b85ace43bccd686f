"""Both engines are one model: the same scenario, playbook and seed give the same tables, to the last bit."""

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings

from sim.errors import BadInput
from sim.load import load
from sim.run import TABLES, Run
from sim.scenario import Scenario
from sim.simulate import simulate
from tests.random_scenarios import documents, long_documents, scenario_from
from tests.test_scenarios import CASES, SMALL


def assert_alike(one: Run, other: Run) -> None:
    for table in TABLES:
        pd.testing.assert_frame_equal(getattr(one, table), getattr(other, table), check_exact=True, obj=table)


@pytest.mark.parametrize(("name", "playbook"), CASES)
def test_engines_agree_on_every_shipped_scenario_and_playbook(name, playbook):
    scenario = load(name, sets={**SMALL[name], "horizon": "1 day"} if name == "viral-image-launch" else SMALL[name])
    readable, compiled = (simulate(scenario, playbook, engine=engine) for engine in ("simpy", "compiled"))
    assert readable.manifest["engine"] == "simpy"
    assert compiled.manifest["engine"] == "compiled"
    assert len(readable.requests) > 100
    assert_alike(readable, compiled)


@pytest.mark.parametrize("override", ["word-of-mouth", "around-the-world"])
def test_engines_agree_on_who_is_invited_and_when_people_come_back(override):
    scenario = load("viral-image-launch", override=override, sets={"horizon": "4 days"})
    assert_alike(*(simulate(scenario, engine=engine) for engine in ("simpy", "compiled")))


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(document=documents())
def test_engines_agree_on_any_mix_of_mechanisms(document):
    agree_on(scenario_from(document))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(document=long_documents())
def test_engines_agree_on_who_comes_back_among_any_mix_of_mechanisms(document):
    agree_on(scenario_from(document))


def agree_on(scenario: Scenario) -> None:
    for playbook, unlimited in (("one", False), ("other", False), ("one", True)):
        both = [simulate(scenario, playbook, seed=3, engine=e, unlimited=unlimited) for e in ("simpy", "compiled")]
        assert_alike(*both)


def test_engines_agree_where_gpus_differ_and_load_models():
    scenario = load(
        "steady",
        sets={
            "serving.gpu_speed_cv": 0.1,
            "pools.gpus.model_load": {"kind": "lognormal", "median": "5 s", "sigma": 0.5},
            "pools.gpus.linger": "1 s",
        },
    )
    assert_alike(*(simulate(scenario, engine=engine) for engine in ("simpy", "compiled")))


def test_an_engine_that_is_not_there_is_refused():
    with pytest.raises(BadInput, match="no such engine"):
        simulate(load("steady"), engine="steam")
