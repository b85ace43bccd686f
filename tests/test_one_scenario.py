"""Whatever a scenario says is what runs and what the manifest says, however it was made and whichever study runs it."""

import json
import pickle
import random

import pytest

from sim import shipped
from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.results.run import Run
from sim.scenario.load import load
from sim.scenario.scenario import Scenario
from sim.studies.compare import compare
from sim.studies.rescue import delayed, rescue
from sim.studies.storm_map import at, storm_map
from tests.random_scenarios import PROFILES, plain
from tests.test_scenarios import SMALL

NAMES = shipped.names("scenarios", ".yaml")


def changed_at_random(name: str, lot: random.Random) -> tuple[Scenario, dict[str, object]]:
    """A shipped scenario with other values of some keys, as a small slice, and what it should then say."""
    scenario = load(name, sets={"record": "rows", **SMALL[name]})
    pool = lot.choice(list(scenario.pools))
    says = {
        "horizon": float(lot.randrange(300, 900)),
        "control_tick": float(lot.choice([20, 30, 60])),
        "warm_up": float(lot.randrange(0, 200)),
        "gpus": lot.choice([1, 2, 3]) * scenario.pools[pool].gpus,  # a slice has whole GPUs
        "pool": pool,
    }
    changes = {name: f"{says[name]} s" for name in ("horizon", "control_tick", "warm_up")}
    return scenario.with_(**changes, **{f"pools.{pool}.gpus": says["gpus"]}), says


def assert_says(run: Run, scenario: Scenario, seed: int) -> None:
    """The run, its tables and its manifest are of this scenario."""
    manifest = run.manifest
    assert (manifest["horizon"], manifest["scale"]) == (scenario.horizon, scenario.scale)
    assert (manifest["seed"], manifest["warm_up"]) == (seed, scenario.warm_up)
    assert {name: pool["gpus_in_full"] for name, pool in manifest["pools"].items()} == {
        name: pool.gpus for name, pool in scenario.pools.items()
    }
    again = Scenario.from_dict(json.loads(json.dumps(manifest["scenario"])), profiles=scenario.used_profiles)
    assert again == scenario
    assert run.horizon == scenario.horizon
    if run.has_rows and len(run.requests):
        assert run.requests["arrived"].max() < scenario.horizon


@pytest.mark.parametrize("name", NAMES)
def test_what_is_changed_is_what_simulate_and_compare_run_and_what_their_manifests_say(name):
    scenario, says = changed_at_random(name, random.Random(name))
    assert (scenario.horizon, scenario.control_tick, scenario.warm_up) == tuple(
        says[key] for key in ("horizon", "control_tick", "warm_up")
    )
    assert scenario.pools[says["pool"]].gpus == says["gpus"]
    playbook = next(iter(scenario.playbooks))
    run = simulate(scenario, playbook, seed=7)
    assert_says(run, scenario, 7)
    started = run.fleet[(run.fleet["pool"] == says["pool"]) & (run.fleet["time"] == 0)]["change"].sum()
    assert started == scenario.gpus(says["pool"])
    _, (compared,) = compare(scenario, [playbook], seeds=[7], processes=1)
    assert_says(compared, scenario, 7)
    assert compared.requests.equals(run.requests)


@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_changed_is_what_rescue_and_the_map_run(seed):
    scenario, says = changed_at_random("retry-storm", random.Random(seed))
    found = rescue(scenario, "shed", seeds=1, by=300.0, processes=1)
    assert found.shares["begins"].iloc[-1] == says["horizon"]
    assert_says(found.run, delayed(scenario, "shed", scenario.horizon), 1)
    there = at(scenario, 0.5, 2.0, 1)
    assert (there.horizon, there.pools, there.behaviour.retry.at_most) == (scenario.horizon, scenario.pools, 1)
    (place,) = storm_map(scenario, [0.5], [2.0], [1], seeds=1, processes=1).itertuples()
    assert (place.load, place.spike, place.retries) == (0.5, 2.0, 1)


@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_changed_is_what_the_cells_of_a_scenario_run(seed):
    lot = random.Random(seed)
    cells, gpus = lot.choice([2, 4]), lot.choice([4, 8, 12])
    scenario = plain(cells=cells, record="timeline", pools={"gpus": {"gpus": gpus}}).with_(
        horizon=f"{lot.randrange(60, 300)} s"
    )
    run = simulate(scenario, seed=seed, processes=1)
    assert_says(run, scenario, seed)
    assert (run.manifest["cells"], run.manifest["pools"]["gpus"]["gpus"]) == (cells, gpus)


# A scenario as a value.


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_is_what_it_says_and_no_less(name):
    scenario = load(name)
    for override in (None, *scenario.overrides):
        one = load(name, override=override)
        again = Scenario.from_dict(json.loads(json.dumps(one.document)), near=shipped.folder("scenarios"))
        assert one == again == pickle.loads(pickle.dumps(one)) == one.with_()
        assert hash(one) == hash(again)
        assert one.digest == again.digest
        assert one.model_dump() == again.model_dump()
        assert (one == scenario) == (override is None)


def test_other_words_for_the_same_are_the_same_scenario():
    steady = load("steady")
    assert steady.with_(horizon="120 min") == steady.with_(horizon="2 h")
    assert len({steady.with_(horizon="120 min"), steady.with_(horizon="2 h"), steady.with_(horizon="3 h")}) == 2


def test_other_profiles_make_another_scenario():
    document = plain().document
    slow = {name: next(p for other, p in PROFILES.items() if other != name) for name in PROFILES}
    assert Scenario.from_dict(document, profiles=slow) != Scenario.from_dict(document, profiles=PROFILES)


def test_nothing_of_a_scenario_can_be_set():
    with pytest.raises(ValueError, match="frozen"):
        load("steady").horizon = 1800


def test_keys_are_dotted_or_nested_and_none_takes_one_away():
    steady = load("steady")
    dotted = steady.with_(**{"pools.gpus.gpus": 9, "behaviour.retry.at_most": 1})
    assert dotted == steady.with_(pools={"gpus": {"gpus": 9}}, behaviour={"retry": {"at_most": 1}})
    assert (dotted.pools["gpus"].gpus, dotted.behaviour.retry.at_most) == (9, 1)
    assert dotted.pools["gpus"].max_batch == steady.pools["gpus"].max_batch
    assert steady.with_(warm_up="10 min").with_(warm_up=None).warm_up == 0


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"horizon": 1800}, "horizon"),
        ({"horizon": "soon"}, "horizon"),
        ({"horizons": "1 h"}, "horizons"),
        ({"pools.gpus.gpus": 0}, "pools.gpus.gpus"),
        ({"pools.gpus.size": 3}, "pools.gpus.size"),
        ({"demand.waves.7.rate": "1 per s"}, "demand.waves.7.rate"),
        ({"warm_up": "2 h"}, "warm_up"),
        ({"features.image.spec.model": "no-such-model"}, "features.image.spec.model"),
        ({"title": "a\x00b"}, "title"),
    ],
)
def test_a_change_that_no_file_could_make_is_refused(changes, key):
    with pytest.raises(BadInput) as refused:
        load("steady").with_(**changes)
    assert refused.value.key == key


def test_a_copy_with_other_values_is_a_scenario_like_any_other():
    steady = load("steady")
    copy = steady.model_copy(update={"horizon": 1800})
    assert copy == steady.with_(horizon="30 min")
    run = simulate(copy)
    assert_says(run, copy, 1)
    _, (compared,) = compare(copy, ["none"], seeds=1, processes=1)
    assert compared.horizon == run.horizon == 1800
    for update in ({"horizon": "soon"}, {"horizon": -1}, {"pools": {}}, {"no_such_field": 1}):
        with pytest.raises(BadInput):
            steady.model_copy(update=update)


def test_a_validated_document_runs_and_one_whose_files_are_missing_is_refused():
    steady = load("steady")
    assert Scenario.model_validate(steady.document) == steady
    with pytest.raises(BadInput, match="no such profile"):
        Scenario.model_validate(plain().document)


def test_another_profile_file_and_leave_to_extrapolate_reach_the_profile(tmp_path):
    steady = load("steady")
    assert not steady.used_profiles["two-seconds"].extrapolate
    assert steady.with_(extrapolate=True).used_profiles["two-seconds"].extrapolate
    other = tmp_path / "other.json"
    content = json.loads(shipped.find("profiles", "two-seconds", ".json").read_text())
    for point in content["points"]:
        point["latency_s"]["p50"] *= 2
    content.pop("sha256", None)
    other.write_text(json.dumps(content))
    changed = steady.with_(profiles={"two-seconds": str(other)})
    spec = changed.specs()[0]
    assert changed.used_profiles[spec.model].batch_seconds(spec, 1) == pytest.approx(
        2 * steady.used_profiles[spec.model].batch_seconds(spec, 1)
    )


def test_nothing_inside_a_scenario_can_be_changed_in_place():
    scenario = load("viral-image-launch")
    before = scenario.digest
    for change in (
        lambda: scenario.pools.pop("fleet"),
        lambda: scenario.pools.update(fleet=None),
        lambda: scenario.playbooks["none"].append("a step"),
        lambda: scenario.features["image"].ladder.clear(),
    ):
        with pytest.raises(TypeError, match="frozen"):
            change()
    assert pickle.loads(pickle.dumps(scenario)).digest == before
