"""A tuned playbook is scored on seeds that the search never saw, against itself as it was."""

import math

import pandas as pd
import pytest

from sim import BadInput, compare, tune
from sim.results.intervals import Difference
from sim.studies.sweep import read_axis
from sim.studies.tune import Scorer, Tuned, at_an_end
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


def test_an_interrupted_search_scores_the_best_of_the_trials_that_are_done(monkeypatch):
    asked, score = [], Scorer.score

    def interrupted(self, settings, seeds):
        asked.append(settings)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return score(self, settings, seeds)

    monkeypatch.setattr(Scorer, "score", interrupted)
    found = tune(shedding(1), "shed", {"0.requests": "1..40"}, trials=6, **HERE)
    assert len(found.table) == 2
    assert found.sentences()[-1] == "INTERRUPTED: 2 of 6 trials are done."


def test_the_cost_of_an_image_is_that_of_all_images_as_in_a_comparison():
    """It was the mean of the seeds' costs, so that 'tune' and 'compare' named two costs of one playbook."""
    scenario, seeds = shedding(40), [4, 5, 6]
    found = tune(scenario, "shed", {"0.requests": "1..40"}, trials=3, **{**HERE, "by": "cost", "seeds": 3})
    comparison, _ = compare(scenario, ["shed"], seeds=seeds, by="cost", processes=1)
    assert found.untuned == pytest.approx(comparison.mean("shed", "dollars_per_1000_images"))


@pytest.mark.parametrize("vary", [{}, {"1.requests": "1..4"}, {"0.requests": "1,4"}, {"0.absent": "1..4"}])
def test_what_cannot_be_tuned_is_refused(vary):
    with pytest.raises(BadInput):
        tune(shedding(1), "shed", vary, **HERE)


@pytest.mark.parametrize(
    ("best", "gain", "kept", "head"),
    [
        ({}, (0.0, 0.0, 0.0), (math.nan, math.nan), "NO BETTER, of these trials, than untuned: the playbook as it is."),
        ({"k": 3}, (0.1, 0.05, 0.15), (math.nan, math.nan), "TUNED: "),
        ({"k": 3}, (0.1, -0.05, 0.15), (1.0, 1.0), "NO BETTER than untuned, as far as these seeds tell: "),
        ({"k": 3}, (-0.1, -0.15, -0.05), (1.0, 0.0), "TUNED for the promise, and no better by the objective: "),
        ({"k": 3}, (0.1, 0.05, 0.15), (1.0, 0.5), "TUNED for the promise: "),
        ({"k": 3}, (0.1, 0.05, 0.15), (0.5, 1.0), "NO BETTER than untuned, which keeps the promise more often: "),
    ],
)
def test_the_promise_counts_before_the_objective(best, gain, kept, head):
    """A playbook that breaks the promise is no better than one that keeps it, however many images it gives."""
    named = {f"playbooks.shed.0.policy.{key}": value for key, value in best.items()}
    table = pd.DataFrame({"objective": [0.5, 0.6], "margin": [-0.1, 0.1]})
    found = Tuned("shed", "images", named, 0.6, 0.5, Difference(*gain, 0.01), kept, 3, table, 2)
    assert found.sentences()[0].startswith(head)


def test_where_no_trial_keeps_the_promise_none_is_called_tuned():
    table = pd.DataFrame({"objective": [0.5, 0.6], "margin": [-0.2, -0.1]})
    named, gain = {"playbooks.shed.0.policy.k": 3}, Difference(0.1, 0.05, 0.15, 0.01)
    found = Tuned("shed", "images", named, 0.6, 0.5, gain, (0.0, 0.0), 3, table, 2)
    head = "NO TRIAL KEEPS THE PROMISE with every seed; the one that breaks it least: "
    assert found.sentences()[0].startswith(head)
    as_it_was = Tuned("shed", "images", {}, 0.5, 0.5, Difference(0, 0, 0, 1), (0.0, 0.0), 3, table, 2)
    assert as_it_was.sentences()[0] == f"{head}the playbook as it is."


def test_parameters_are_printed_to_three_figures_and_kept_in_full():
    gain, table = Difference(0.1, 0.05, 0.15, 0.01), pd.DataFrame({"objective": [0.5], "margin": [math.nan]})
    best = {"playbooks.shed.0.policy.share": "37.4512345678 %", "playbooks.shed.1.policy.requests": 1543.21098765}
    found = Tuned("shed", "images", best, 0.6, 0.5, gain, (math.nan, math.nan), 3, table, 1, (*best,))
    said = found.sentences()
    assert said[0].endswith("shed.0.policy.share=37.5 %, shed.1.policy.requests=1543.")
    assert said[2].startswith("shed.0.policy.share=37.5 % is at an end")
    assert found.best == best
