"""Scenarios changed at random: nothing but BadInput ever comes out of reading them, and what loads can be simulated."""

import copy
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import shipped
from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.scenario.load import parse
from sim.scenario.scenario import Scenario
from tests.random_scenarios import JUNK, PLAIN, places
from tests.rich_scenario import RICH, read, refused

# Fuzzing: nothing but BadInput ever comes out.

QUICK = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # where there is libyaml, ten times as quick
DOCUMENT = yaml.safe_load(RICH)


def loaded(path, **changes) -> Scenario | None:
    try:
        return read(path, **changes)
    except BadInput:
        return None


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "fuzzed.yaml"


def dumped(document, path):
    path.write_text(yaml.dump(document, Dumper=QUICK, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return path


@settings(max_examples=50)
@given(data=st.data())
def test_junk_at_any_key_is_bad_input_or_harmless(fuzzed, data):
    document = copy.deepcopy(DOCUMENT)
    node, key = data.draw(st.sampled_from(places(document)))
    node[key] = data.draw(JUNK)
    loaded(dumped(document, fuzzed))


HUGE = [10**400, -(10**400), 16**5000, 1e308, 5e-324, "1e308 s", "1e300 years", "1e300 bn", "1 per 1e-320 s", "9" * 400]
NAMES = [
    "~nobody-of-this-name/x.json",
    "/",
    "..",
    "x" * 5000,
    "a\0.json",
    "\ud800",
    "\x1b[31m",
    "9999-12-31 23:59",
    {"kind": []},
]
SHIPPED = {name: parse(shipped.find("scenarios", name, ".yaml")) for name in shipped.names("scenarios", ".yaml")}


@settings(max_examples=40)
@given(data=st.data(), name=st.sampled_from([*SHIPPED, "plain"]))
def test_junk_in_a_scenario_as_shipped_is_bad_input_or_harmless(fuzzed, data, name):
    """Set by keys, so that it need not be what YAML can say."""
    document = SHIPPED.get(name, PLAIN)
    dumped(document, fuzzed)
    key = data.draw(st.sampled_from(dotted(document)))
    loaded(fuzzed, sets={key: data.draw(JUNK | st.sampled_from([*HUGE, *NAMES]))})


def dotted(node, key="") -> list[str]:
    """Every key of a nested document, as a setting names it."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    found = [(f"{key}.{name}" if key else str(name), child) for name, child in items]
    return [name for name, _ in found] + [below for name, child in found for below in dotted(child, name)]


@pytest.mark.parametrize("levels", [50, 500, 100_000])
def test_a_setting_too_deep_is_refused(write, levels):
    deep: list = []
    for _ in range(levels):
        deep = [deep]
    assert len(str(refused(write(RICH), sets={"title": deep}))) < 2000


@settings(max_examples=40)
@given(data=st.data())
def test_junk_for_a_key_is_bad_input_or_harmless(fuzzed, data):
    document = copy.deepcopy(DOCUMENT)
    node, key = data.draw(st.sampled_from([place for place in places(document) if isinstance(place[0], dict)]))
    node[data.draw(st.text(max_size=4))] = node.pop(key)
    loaded(dumped(document, fuzzed))


@settings(max_examples=40)
@given(key=st.lists(st.text(max_size=4) | st.sampled_from(["demand", "0", "pools", "gpus"]), max_size=4), value=JUNK)
def test_junk_in_a_setting_is_bad_input_or_harmless(fuzzed, key, value):
    fuzzed.write_text(RICH, encoding="utf-8")
    loaded(fuzzed, sets={".".join(key): value})


@settings(max_examples=60)
@given(content=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes_are_bad_input(fuzzed, content):
    fuzzed.write_bytes(content)
    assert loaded(fuzzed) is None


NEVER = {"kind": "constant", "value": "never"}
TRICKY: st.SearchStrategy[Any] = st.sampled_from(
    ["never", "unlimited", "sliding", "constant", "1/3", "100 %", "1 s", "2 min", "1 day", "2025-03-25", "1 per s"]
) | st.sampled_from([0, "0", "0 s", "0 per s", 1, 3, 0.5, -1, "", [], {}, None, True, {"kind": "never"}, NEVER])


@settings(max_examples=30)
@given(data=st.data(), playbook=st.sampled_from(["none", "all"]))
def test_whatever_loads_can_be_simulated(fuzzed, data, playbook):
    document = copy.deepcopy(DOCUMENT)
    for _ in range(data.draw(st.integers(1, 3))):
        node, key = data.draw(st.sampled_from(places(document)))
        node[key] = data.draw(TRICKY)
    scenario = loaded(dumped(document, fuzzed))
    if scenario is not None and scenario.horizon <= 86400 and playbook in scenario.playbooks:
        run = simulate(scenario, playbook)
        times = run.requests[["arrived", "started", "finished", "left"]].to_numpy()
        assert not (times > scenario.horizon).any()
