"""Triggers as they are written in a scenario file, refused, saved with a run, and shown in its report."""

import pandas as pd
import pytest
from pydantic import ValidationError

from sim import BadInput, load, load_run
from sim.policies.playbook import Step
from sim.policies.shedding import Shed
from sim.policies.trigger import Trigger
from sim.report import render
from tests.test_report import Page
from tests.test_trigger import WHEN, bursts, steps_of

TEXT = """
base: steady
playbooks:
  on-call:
    - policy: {kind: shed, share: 50 %}
      when:
        utilisation: {above: 90 %, below: 1/2}
        pool: gpus
        for: 2 min
        reaction: 5 min
        cool_down: 1 hour
"""


def written(tmp_path, text: str):
    path = tmp_path / "s.yaml"
    path.write_text(text)
    return path


def test_a_trigger_in_a_file_is_the_one_in_python(tmp_path):
    (step,) = load(written(tmp_path, TEXT)).playbooks["on-call"]
    busy = Trigger(
        utilisation={"above": 0.9, "below": 0.5}, pool="gpus", for_="2 min", reaction="5 min", cool_down="1 hour"
    )
    assert step == Step(policy=Shed(share=0.5), when=busy)
    assert (busy.watched, busy.for_, busy.reaction, busy.cool_down) == ("utilisation", 120, 300, 3600)


BOUNDS = "utilisation: {above: 90 %, below: 1/2}"


@pytest.mark.parametrize(
    ("old", "new", "key", "told"),
    [
        ("pool: gpus", "pool: cpus", "pool", ["no 'cpus'", "one of gpus"]),
        ("        pool: gpus\n", "", "", ["utilisation is that of a pool: name it under 'pool'"]),
        (BOUNDS, "refused: {above: 20 %, below: 5 %}", "", ["refused is of no pool", "leave 'pool' out"]),
        (BOUNDS, f"{BOUNDS}\n        queued: {{above: 9, below: 5}}", "", ["one figure", "utilisation, queued"]),
        (BOUNDS, "", "", ["one figure", "none", "expected_wait, utilisation, queued, refused, attempts"]),
        ("below: 1/2", "below: 90 %", "utilisation", ["'below' must be less than 'above'", "90 %"]),
        ("below: 1/2", "below: 95 %", "utilisation", ["'below' must be less than 'above'", "95 %"]),
        ("below: 1/2", "below: 0", "utilisation.below", ["more than 0"]),
        ("above: 90 %", "above: 100 %", "utilisation.above", ["less than 1", "100 %"]),
        (", below: 1/2", "", "utilisation.below", ["a key is missing"]),
        ("utilisation:", "utilization:", "utilization", ["perhaps utilisation"]),
        ("reaction: 5 min", "reaction: never", "reaction", ["finite", "never"]),
        ("for: 2 min", "for: 2", "for", ["duration", "2"]),
    ],
)
def test_a_bad_trigger_is_refused_with_its_key_its_value_and_what_was_expected(tmp_path, old, new, key, told):
    assert TEXT.count(old) == 1
    with pytest.raises(BadInput) as wrong:
        load(written(tmp_path, TEXT.replace(old, new)))
    place = "playbooks.on-call.0.when" + (f".{key}" if key else "")
    assert wrong.value.key.partition(" (line")[0] == place
    for part in told:
        assert part in str(wrong.value)


def test_a_pool_that_is_not_there_is_refused_from_python_too():
    with pytest.raises(BadInput, match="no such pool") as wrong:
        bursts(Step(policy=Shed(share=1), when={**WHEN, "pool": "cpus"}))
    assert (wrong.value.key, wrong.value.value, wrong.value.expected) == ("pool", "cpus", "gpus")
    with pytest.raises(ValidationError, match="one figure"):
        Trigger()


def test_reasons_survive_saving_and_stand_in_the_report(tmp_path):
    run = bursts(Step(policy=Shed(share=1), when=WHEN))
    again = load_run(run.save(tmp_path / "run"))
    pd.testing.assert_frame_equal(again.decisions, run.decisions)
    text = Page(render([run])).text
    assert "for why from to" in text
    assert "in force" in text
    for reason in steps_of(run)["reason"]:
        assert reason in text


def test_a_report_without_triggers_has_no_reasons():
    assert "for why from to" not in Page(render([bursts(Shed(share=0.5))])).text
