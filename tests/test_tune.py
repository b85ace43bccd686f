"""A tuned playbook is scored on seeds that the search never saw, against itself as it was."""

import pandas as pd
import pytest

from sim import BadInput, compare, tune
from sim.results.intervals import Difference
from sim.studies.tune import Scorer, Tuned, axis_of, more_beyond
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
    assert len(found.sentences()) == 3 + len(found.at_end)


@pytest.mark.parametrize(
    ("parameter", "text", "value", "more"),
    [
        ("requests", "1..10", 10, True),
        ("requests", "1..10", 9, False),
        ("requests", "0..10", 0, False),
        ("share", "20%..90%", "20.5 %", True),
        ("share", "0%..90%", "0.01 %", False),
        ("share", "20%..100%", "99.9 %", False),
    ],
)
def test_a_wider_range_is_advised_only_where_the_scenario_takes_values_beyond_its_end(parameter, text, value, more):
    """Of a share of 0.01 %, found in 0..90%, it said that a wider range may hold a better one: there is none."""
    policy = {"kind": "queue bound" if parameter == "requests" else "shed", parameter: value}
    scenario = overloaded(playbooks={"p": [{"policy": policy}]})
    assert more_beyond(scenario, axis_of(scenario, "p", f"0.{parameter}", text), value) == more


def test_a_promise_rules_out_settings_that_break_it():
    found = tune(shedding(40), "shed", {"0.requests": "1..40"}, promise="refused <= 100 %", trials=3, **HERE)
    assert found.kept == (1.0, 1.0)
    never = tune(shedding(40), "shed", {"0.requests": "1..40"}, promise="served >= 99 %", trials=3, **HERE)
    assert never.kept == (0.0, 0.0)
    assert (never.table["margin"] < 0).all()


def test_without_a_promise_trials_are_held_to_those_of_the_scenario_or_to_being_alive():
    """Trials were held to nothing then, so that a playbook could be called tuned that breaks what is promised."""
    promising = shedding(40).with_(promises=["served >= 99 %", "cost no worse than baseline"])
    found = tune(promising, "shed", {"0.requests": "1..40"}, trials=2, **HERE)
    assert (found.promise, found.kept) == ("served >= 99 %", (0.0, 0.0)), "40 GPU-seconds for 60 serve two of three"
    assert found.sentences()[0].startswith("NO TRIAL KEEPS THE PROMISE")
    alive = tune(shedding(40), "shed", {"0.requests": "1..40"}, trials=2, **HERE)
    assert f"The promise 'alive' is kept in {100 * alive.kept[0]:.3g} % of these runs" in alive.sentences()[2]


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
        ({}, (0.0, 0.0, 0.0), (1.0, 1.0), "NO BETTER, of these trials, than untuned: the playbook as it is."),
        ({"k": 3}, (0.1, 0.05, 0.15), (1.0, 1.0), "TUNED: "),
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
    found = Tuned("shed", "images", named, 0.6, 0.5, Difference(*gain, 0.01), kept, 3, table, 2, "alive")
    assert found.sentences()[0].startswith(head)


def test_where_no_trial_keeps_the_promise_none_is_called_tuned():
    table = pd.DataFrame({"objective": [0.5, 0.6], "margin": [-0.2, -0.1]})
    named, gain = {"playbooks.shed.0.policy.k": 3}, Difference(0.1, 0.05, 0.15, 0.01)
    found = Tuned("shed", "images", named, 0.6, 0.5, gain, (0.0, 0.0), 3, table, 2, "alive")
    head = "NO TRIAL KEEPS THE PROMISE with every seed; the one that breaks it least: "
    assert found.sentences()[0].startswith(head)
    as_it_was = Tuned("shed", "images", {}, 0.5, 0.5, Difference(0, 0, 0, 1), (0.0, 0.0), 3, table, 2, "alive")
    assert as_it_was.sentences()[0] == f"{head}the playbook as it is."


def test_parameters_are_printed_to_three_figures_and_kept_in_full():
    gain, table = Difference(0.1, 0.05, 0.15, 0.01), pd.DataFrame({"objective": [0.5], "margin": [0.1]})
    best = {"playbooks.shed.0.policy.share": "37.4512345678 %", "playbooks.shed.1.policy.requests": 1543.21098765}
    found = Tuned("shed", "images", best, 0.6, 0.5, gain, (1.0, 1.0), 3, table, 1, "alive", (*best,))
    said = found.sentences()
    assert said[0].endswith("shed.0.policy.share=37.5 %, shed.1.policy.requests=1543.")
    assert said[3].startswith("shed.0.policy.share=37.5 % is at an end")
    assert found.best == best
