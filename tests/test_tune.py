"""A tuned playbook is scored on seeds that the search never saw, against itself as it was."""

import pytest

from sim import BadInput, tune
from sim.studies.sweep import read_axis
from sim.studies.tune import at_an_end
from tests.test_compare import overloaded

pytest.importorskip("optuna", reason="the extra 'studies' is not installed")
HERE = {"processes": 1, "by": "attainment", "seeds": 2, "fresh": 3}  # runs are kept: settings are tried twice


def shedding(share):
    return overloaded(playbooks={"shed": [{"policy": {"kind": "queue bound", "requests": share}}]})


def test_the_best_of_the_trials_is_scored_on_fresh_seeds_against_the_untuned():
    scenario = shedding(1)
    found = tune(scenario, "shed", {"0.requests": "1..40"}, trials=6, **HERE)
    again = tune(scenario, "shed", {"0.requests": "1..40"}, trials=6, **HERE)
    assert found.table.equals(again.table)
    assert found.table["objective"][0] <= found.table["objective"].max()  # the first trial is the untuned playbook
    assert found.gain.mean == pytest.approx(found.fresh - found.untuned)
    assert len(found.sentences()) == 2 + len(found.at_end)


@pytest.mark.parametrize(
    ("text", "value", "end"), [("1..10", 10, True), ("1..10", 9, False), ("20%..90%", "20.5 %", True)]
)
def test_a_value_at_an_end_of_the_range_that_was_searched_is_known(text, value, end):
    assert at_an_end(read_axis("key", text), value) == end


def test_a_promise_rules_out_settings_that_break_it():
    found = tune(shedding(40), "shed", {"0.requests": "1..40"}, promise="refused <= 100 %", trials=3, **HERE)
    assert found.kept == (1.0, 1.0)
    never = tune(shedding(40), "shed", {"0.requests": "1..40"}, promise="served >= 99 %", trials=3, **HERE)
    assert never.kept == (0.0, 0.0)
    assert (never.table["margin"] < 0).all()


@pytest.mark.parametrize("vary", [{}, {"1.requests": "1..4"}, {"0.requests": "1,4"}, {"0.absent": "1..4"}])
def test_what_cannot_be_tuned_is_refused(vary):
    with pytest.raises(BadInput):
        tune(shedding(1), "shed", vary, **HERE)
