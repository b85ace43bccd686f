"""Shipped scenarios: the slices that tests play, their overrides, the people they bring, and their schema."""

import json

import jsonschema
import pytest

from sim import shipped
from sim.engine.simulate import simulate
from sim.scenario.load import load
from sim.scenario.scenario import Scenario

NAMES = shipped.names("scenarios", ".yaml")
# The smallest slice that still has a GPU, and the hours in which things happen: every playbook's switches but one.
SMALL: dict[str, dict[str, str]] = {
    "viral-image-launch": {"scale": "1/6000", "start": "2025-03-31 15:30", "horizon": "9 h"},
    "million-signup-hour": {"scale": "1/1000"},
    "chatgpt-images-week": {"scale": "1/12500", "record": "rows", "start": "2025-03-30 07:00", "horizon": "36 h"},
    "chat-beside-images": {"scale": "1/500", "record": "rows", "start": "2025-03-31 17:05", "horizon": "15 min"},
    "launch-2022": {"scale": "1/100", "horizon": "27 h"},
    "creative-studio": {"horizon": "3 days"},
    "steady": {},
    "retry-storm": {"scale": "1/8", "record": "rows"},
    "surge": {"scale": "1/8", "record": "rows"},
}
CASES = [(name, playbook) for name in NAMES for playbook in load(name).playbooks]


@pytest.mark.parametrize(("name", "override"), [(name, o) for name in NAMES for o in load(name).overrides])
def test_override_loads_and_runs(name, override):
    scenario = load(name, override=override)
    assert scenario.title
    part = {} if scenario.scale < 1 else SMALL[name]  # what runs at full scale is not for a test
    run = simulate(load(name, override=override, sets={**part, "horizon": "12 h"}))
    assert len(run.requests) > 0


def test_the_wave_brings_a_million_people_in_its_busiest_hour():
    scenario = load("viral-image-launch")
    waves = [w for w in scenario.demand.waves if w.newcomers]
    hours = [3600.0 * h for h in range(9 * 24)]
    counts = [
        sum(float(w.cumulative(h + 3600 - b) - w.cumulative(h - b)) for w, b in begins(scenario, waves)) for h in hours
    ]
    assert 1.0e6 <= max(counts) < 1.03e6
    busiest = hours[counts.index(max(counts))] / 3600
    assert 6 * 24 <= busiest <= 6 * 24 + 7, "the hour lies on 31 March"


def test_a_hundred_and_thirty_million_people_come_by_3_april():
    scenario = load("viral-image-launch")
    until = 8.7 * 86400
    people = sum(float(w.cumulative(until - b)) for w, b in begins(scenario, scenario.demand.waves))
    assert 125e6 < people < 145e6


def begins(scenario, waves):
    return [(wave, scenario.seconds(wave.from_)) for wave in waves]


def test_schema_describes_every_key_of_every_shipped_scenario():
    schema = Scenario.model_json_schema(by_alias=True)
    json.dumps(schema, allow_nan=False)
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    documents = {name: json.loads(json.dumps(load(name).document, default=str)) for name in NAMES}
    for document in documents.values():
        assert set(document) <= set(schema["properties"])
        kind(schema).validate(document)
    demand = {"waves": [{"kind": "preset", "name": "threads"}], "word_of_mouth": {"market": "1M"}}
    for written in (demand, demand["waves"], demand["waves"][0], {"kind": "trace", "file": "a.parquet"}):
        kind(schema).validate({**documents["steady"], "demand": written})
    with pytest.raises(jsonschema.ValidationError):
        kind({**schema, "required": []}).validate({"demand": [{"kind": "tsunami"}]})
