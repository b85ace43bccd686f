"""Both engines are one model: the same scenario, playbook and seed give the same tables, to the last bit."""

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.engine.compiled.engine import CompiledEngine
from sim.engine.compiled.room import slack
from sim.engine.play import controls_of
from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.model.jit import compiled_before
from sim.model.machine_code import processor
from sim.profile.profile import constant_profile
from sim.results.counting import timeline_of
from sim.results.folder import TABLES
from sim.results.metrics import outcomes
from sim.results.run import Run
from sim.scenario.load import load
from sim.scenario.parts import Recording
from sim.scenario.people import people_of
from sim.scenario.scenario import Scenario
from tests.random_scenarios import documents, long_documents, plain, scenario_from
from tests.restless import Restless, Spy, assert_seen_alike
from tests.test_scenarios import CASES, SMALL
from tests.timelines import assert_same_timeline

# Hours and slices that the readable engine plays in a second, with a switch of every playbook that has one.
BRIEF: dict[str, dict[str, str]] = {
    "viral-image-launch": {"start": "2025-03-31 17:30", "horizon": "4 h"},
    "million-signup-hour": {"scale": "1/4000"},
    "chatgpt-images-week": {"start": "2025-03-30 12:00", "horizon": "4 h"},
    "launch-2022": {"horizon": "7 h"},
    "steady": {"horizon": "40 min"},
    "retry-storm": {"horizon": "45 min"},
    "surge": {"scale": "1/32", "horizon": "75 min"},
    "chat-beside-images": {"demand.clients.0.rate": "800 per day"},
}


def assert_alike(one: Run, other: Run) -> None:
    for table in TABLES:
        pd.testing.assert_frame_equal(getattr(one, table), getattr(other, table), check_exact=True, obj=table)


@pytest.mark.parametrize(("name", "playbook"), CASES)
def test_engines_agree_on_every_shipped_scenario_and_playbook(name, playbook):
    """In slices that the readable engine plays in a second; the digests of all tables are of larger ones.

    The timeline that the compiled engine counts while it runs is the one that the rows give.
    """
    scenario = load(name, sets={**SMALL[name], **BRIEF.get(name, {})})
    readable, compiled = (simulate(scenario, playbook, engine=engine) for engine in ("simpy", "compiled"))
    assert readable.manifest["engine"] == "simpy"
    assert compiled.manifest["engine"] == "compiled"
    assert len(readable.requests) > 100
    assert_alike(readable, compiled)
    assert_same_timeline(compiled.timeline, timeline_of(compiled))


@pytest.mark.parametrize("playbook", load("viral-image-launch").playbooks)
def test_engines_agree_on_the_hours_around_the_first_switch_of_the_launch(playbook):
    """The rate limit of `march-2025` comes into force at 17:00 on 27 March."""
    hours = {**SMALL["viral-image-launch"], "start": "2025-03-27 15:00", "horizon": "4 h"}
    scenario = load("viral-image-launch", sets=hours)
    assert_alike(*(simulate(scenario, playbook, engine=engine) for engine in ("simpy", "compiled")))


@pytest.mark.parametrize("override", ["word-of-mouth", "around-the-world"])
def test_engines_agree_on_invitations_and_on_when_people_come_back(override):
    scenario = load("viral-image-launch", override=override, sets={"scale": "1/6000", "horizon": "36 h"})
    assert_alike(*(simulate(scenario, engine=engine) for engine in ("simpy", "compiled")))


RECORDINGS = [Recording(), Recording(rows=False), Recording(rows=False, sampled=0.5)]
HOW = st.sampled_from([("one", False), ("other", False), ("one", True)])  # playbook, and whether GPUs are unlimited


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(document=documents(mortal=True), how=HOW)
def test_engines_agree_on_any_mix_of_mechanisms(document, how):
    agree_on(scenario_from(document), *how)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(document=long_documents(), how=HOW)
def test_engines_agree_on_people_who_come_back_under_any_mix_of_mechanisms(document, how):
    agree_on(scenario_from(document), *how)


def agree_on(scenario: Scenario, playbook: str, unlimited: bool) -> None:
    assert_alike(*(simulate(scenario, playbook, seed=3, engine=e, unlimited=unlimited) for e in ("simpy", "compiled")))


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(document=documents(), number=st.integers(0, 10**6))
def test_engines_agree_whatever_a_policy_turns_and_see_the_same(document, number):
    scenario = scenario_from(document)
    spies = {engine: Spy([]) for engine in ("simpy", "compiled")}
    turning = [Restless(number), *scenario.playbooks["one"]]
    assert_alike(*(simulate(scenario, [spy, *turning], engine=engine) for engine, spy in spies.items()))
    for mine, theirs in zip(spies["simpy"].seen, spies["compiled"].seen, strict=True):
        assert_seen_alike(mine, theirs)  # so what a policy decides on is the same, whichever it is


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(document=long_documents(), number=st.integers(0, 10**6))
def test_engines_agree_over_days_whatever_a_policy_turns(document, number):
    scenario = scenario_from(document)
    assert_alike(*(simulate(scenario, [Restless(number)], engine=engine) for engine in ("simpy", "compiled")))


def test_there_is_room_however_many_are_dropped_at_one_moment():
    """A queue of thousands that nobody serves, and then one GPU, at whose first look nearly all of them are too old."""

    class LateGpu:
        def act(self, telemetry, controls):
            controls.set_pool(expire=100)
            controls.set_pool(fleet=0 if telemetry.now < 300 else 1)

    scenario = plain(
        demand=[{"kind": "spike", "people": 6_000, "lasting": "250 s"}],
        behaviour={"retry": {"at_most": 2, "probability": 0.9, "backoff": {"kind": "constant", "value": "0 s"}}},
    )
    readable = simulate(scenario, [LateGpu()], engine="simpy")
    for recording in RECORDINGS:
        compiled = simulate(scenario, [LateGpu()], recording=recording)
        assert outcomes(compiled).to_dict() == outcomes(readable).to_dict()
        if recording.rows:
            assert_alike(readable, compiled)


def test_scripted_asks_may_be_far_more_than_the_people_behind_them():
    """A scripted ask is a number on the calendar, which once was taken for a person's record when looking ahead."""
    program = {"kind": "clients", "clients": 50, "rate": "3600 per hour", "cv": 1, "skew": 0}
    patience = {"kind": "constant", "value": "60 s"}
    scenario = plain(
        {"quick": constant_profile("quick", 2.0)},
        horizon="15 min",
        features={"image": {"spec": {"model": "quick"}}},
        pools={"gpus": {"gpus": 12}},
        demand={"waves": [], "clients": [program]},
        behaviour={"patience": patience},
    )
    run = simulate(scenario)
    assert len(run.requests) > 40_000
    assert len(run.users) == 50


def test_there_is_room_for_as_many_scripted_accounts_as_there_are():
    program = {"kind": "clients", "clients": 6_000, "rate": "1 per hour", "cv": 1, "skew": 0}
    scenario = plain(demand={"waves": [], "clients": [program]}, pools={"gpus": {"gpus": 40}}, horizon="5 min")
    assert_alike(*(simulate(scenario, engine=engine) for engine in ("simpy", "compiled")))


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


@pytest.mark.parametrize("recording", RECORDINGS, ids=str)
@pytest.mark.parametrize("invited", [False, True], ids=["alone", "word of mouth"])
@pytest.mark.parametrize("largest", [1, 8, 9, 64, 1024])
def test_there_is_always_room_to_go_on_however_much_one_moment_brings(largest, invited, recording):
    """An engine that stops for room it does not get would stop for ever."""
    word = (
        {"market": 200, "shared": 0.5, "signups": 0.8, "delay": {"kind": "constant", "value": "1 min"}}
        if invited
        else None
    )
    machine = {"slow": constant_profile("slow", 8.0, largest_batch=1024)}
    demand = {"waves": [{"kind": "steady", "rate": "1 per min"}], "word_of_mouth": word}
    scenario = plain(machine, pools={"gpus": {"max_batch": largest}}, demand=demand)
    controls = controls_of(scenario)
    engine = CompiledEngine(scenario, *people_of(scenario, 1), controls, 1, recording)
    assert slack.direct(engine.ref, engine.constants_ref) > 0
    engine.make_room()
    assert slack.direct(engine.ref, engine.constants_ref) > 0


def test_an_engine_that_is_not_there_is_refused():
    with pytest.raises(BadInput, match="no such engine"):
        simulate(load("steady"), engine="steam")


def test_engines_agree_where_flows_begin_to_share_in_mid_run():
    """What was served before, mostly at once, is on nobody's account: the flows are even from then on."""

    class LateSharing:
        def act(self, telemetry, controls):
            if telemetry.now >= 300:
                controls.set(features=["edit"], flow=1)
                controls.set_pool(sharing="flows")

    spec = {"spec": {"model": "slow"}, "pool": "gpus", "slo": "60 s"}
    scenario = plain(
        features={"image": {**spec, "share": 0.5}, "edit": {**spec, "share": 0.5}},
        demand=[
            {"kind": "steady", "rate": "2 per min"},
            {"kind": "spike", "people": 1, "lasting": "1 s", "from": "297 s"},  # the GPU is busy until the next come
            {"kind": "spike", "people": 60, "lasting": "2 s", "from": "301 s"},
        ],
        pools={"gpus": {"gpus": 1, "max_batch": 1}},
        horizon="12 min",
    )
    readable, compiled = (simulate(scenario, [LateSharing()], engine=engine) for engine in ("simpy", "compiled"))
    assert_alike(readable, compiled)
    rows = readable.requests[readable.requests["started"].between(310, 510)]
    assert len(rows) == 20
    assert (rows["feature"] == "edit").sum() == 10


def test_machine_code_for_another_processor_is_none(monkeypatch, tmp_path):
    monkeypatch.setattr("sim.model.jit.cached_in", lambda: tmp_path)
    (tmp_path / "engine.compiled.advance.advance-00000000-1.o").touch()
    assert not compiled_before()
    (tmp_path / f"engine.compiled.advance.advance-{processor()}-1.o").touch()
    assert compiled_before()
