"""A check: promises are kept, broken or undecided by runs, and exit codes, JUnit XML and Markdown say the same."""

import math
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from sim import BadInput, check, compare, demand_multiple, load, simulate, size
from sim.export.check_files import junit, markdown
from sim.studies.answer_folder import save_comparison
from sim.studies.baseline import FIGURES, Regression, read_regression
from sim.studies.check import Check, check_run
from sim.studies.promise import parts_of, read_condition, read_promise
from sim.studies.promise_findings import BROKEN, KEPT, UNDECIDED, Finding, in_words
from sim.studies.run_record import record_of
from sim.studies.size_words import multiple_sentences, sentences
from sim.wording import points
from tests.random_scenarios import plain

ROOT = Path(__file__).parents[1]
HOUR = {"horizon": "1 hour", "warm_up": "0 s", "alive": {"window": "10 min"}}
TWO_TIERS = {"tiers": {"free": {"share": 1}, "nobody": {"share": 0}}}


@pytest.fixture(scope="module")
def kept_runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


def steady(gpus=2, **settings):
    """Four requests a minute of ten seconds each: two thirds of one GPU."""
    demand = [{"kind": "steady", "rate": "4 per min"}]
    return plain(**{**HOUR, **TWO_TIERS, "pools": {"gpus": {"gpus": gpus}}, "demand": demand, **settings})


def verdicts(store, *promises, **how):
    found = check(steady(), promises=promises, seeds=how.pop("seeds", 4), store=store, processes=1, **how)
    return found, {one.promise: one.verdict for one in found.findings}


def finding(verdict):
    return Finding("95 % in time", verdict, 2, 4, "97 %", ">= 95 %", 0.02, math.nan, math.nan, "too few <runs>")


def checked(*words):
    return Check("A | title", "none", (1, 2, 3, 4), 0.9, 0.95, [finding(word) for word in words])


def test_each_condition_has_a_verdict_of_its_own_and_the_worst_is_the_outcome(kept_runs):
    found, by_name = verdicts(kept_runs, "alive and 50 % in time", "p95 <= 1 s")
    assert by_name == {"alive": KEPT, "50 % in time": KEPT, "p95 <= 1 s": BROKEN}
    assert (found.verdict, found.code) == (BROKEN, 1)


def test_a_promise_to_nobody_is_broken(kept_runs):
    _, by_name = verdicts(kept_runs, "1 % of nobody in time", "lost of nobody <= 50 %", "p95 of nobody <= 1 hour")
    assert set(by_name.values()) == {BROKEN}


def test_what_an_empty_run_promises_is_broken():
    silent = plain(**HOUR, demand=[{"kind": "steady", "rate": "1 per day", "from": "59 min"}])
    found = check(silent, promises=["1 % in time", "alive", "cost of 1,000 images <= $1M"], seeds=3, store=False)
    assert [one.verdict for one in found.findings] == [BROKEN] * 3


def test_the_cost_of_a_run_is_that_of_all_its_gpus(kept_runs):
    """Two GPUs for an hour at $2.50 are $5."""
    found, by_name = verdicts(kept_runs, "cost <= $5", "cost <= $4.99", "cost of 1,000 images <= $1")
    assert list(by_name.values()) == [KEPT, BROKEN, BROKEN]
    assert found.findings[0].reached == "$5"
    assert found.findings[1].margin == pytest.approx(1 - 5 / 4.99)


def test_the_cost_of_a_thousand_images_is_the_runs_over_its_images(kept_runs):
    run = simulate(steady(), seed=1)
    served = int((run.requests["outcome"] == "served").sum())
    margin = read_promise("cost of 1,000 images <= $100", steady()).margin(record_of(run))
    assert margin == pytest.approx(1 - 1000 * 5 / served / 100)


def test_a_profit_needs_prices():
    with pytest.raises(BadInput, match="a tier that pays"):
        check(steady(), promises=["profit >= $0"], seeds=3, store=False)


def test_a_profit_above_nothing_has_a_margin_in_parts_of_what_the_gpus_cost(kept_runs):
    """It was in dollars, printed as per cent: $576 k of profit were +57,600,000."""
    paid = {"free": {"share": 1, "price": "$1 per image"}}
    found = check(steady(tiers=paid), promises=["profit >= $0"], seeds=3, store=kept_runs, processes=1)
    (one,) = found.findings
    cost = 2 * 2.5  # an hour of two GPUs
    profit = float(one.reached.split()[0].lstrip("$"))
    assert one.margin == pytest.approx(profit / cost, rel=0.01)
    assert "in percent of what the GPUs cost" in markdown(found)
    assert points(14410.0) == "+1.44 M"


def test_requests_that_still_wait_are_named_beside_a_promise_that_they_keep(kept_runs):
    endless = steady(
        gpus=1, demand=[{"kind": "steady", "rate": "12 per min"}], behaviour={"patience": {"kind": "never"}}
    )
    found = check(endless, promises=["lost <= 1 %", "served >= 90 %"], seeds=3, store=kept_runs, processes=1)
    lost, served = found.findings
    assert (lost.verdict, served.verdict) == (KEPT, BROKEN)
    assert "unfinished at the horizon" in lost.note
    assert lost.note in junit(found)
    assert "unfinished" in markdown(found)
    assert not served.note


def test_commas_divide_conditions_but_not_numbers():
    assert parts_of("alive, cost <= $20,000,p95 <= 3 s") == ["alive", "cost <= $20,000", "p95 <= 3 s"]


def test_runs_too_few_to_tell_leave_a_promise_undecided(kept_runs):
    """About half of all runs are above their own mean, so that four do not tell whether nine of ten are."""
    run = [record_of(simulate(steady(), seed=seed)) for seed in (1, 2, 3, 4)]
    share = sorted(one.share_within(("all intents", "latency"), 10.5) for one in run)[1]
    found, by_name = verdicts(kept_runs, f"p{100 * share - 0.01:.3f} <= 10.5 s", runs=0.5)
    assert list(by_name.values()) == [UNDECIDED]
    assert found.code == 3
    assert "does not tell" in found.findings[0].why


def test_a_scenario_that_promises_nothing_is_held_to_being_alive(kept_runs):
    found = check(steady(), seeds=3, store=kept_runs)
    assert [one.promise for one in found.findings] == ["alive"]


def test_promises_of_the_scenario_are_checked_and_make_no_run_again(kept_runs):
    verdicts(kept_runs, "alive")
    before = len(list(kept_runs.glob("??/*.json")))
    found = check(steady(promises=["90 % in time"]), seeds=4, store=kept_runs)
    assert [one.promise for one in found.findings] == ["90 % in time"]
    assert len(list(kept_runs.glob("??/*.json"))) == before


@pytest.mark.parametrize(
    ("promises", "key"),
    [
        (["fast"], "promise"),
        (["in time no worse than baseline"], "promises"),
        (["beauty no worse than baseline"], "promise"),
        (["in time at most 120 % worse than baseline"], "promise"),
        (["cost <= nothing"], "promise"),
        (["cost <= $nan"], "promise"),
    ],
)
def test_what_cannot_be_judged_is_refused_before_any_run(promises, key):
    with pytest.raises(BadInput) as wrong:
        check(steady(), promises=promises, seeds=3, store=False)
    assert wrong.value.key == key


# Against a baseline.


@pytest.fixture(scope="module")
def saved():
    return compare(steady(), seeds=4, processes=1)[0]


ABSENT = ("profit", "energy", "p95 first token", "p95 per token")  # figures that the scenario does not have


def test_the_same_runs_are_no_worse_than_themselves(saved, kept_runs):
    """Also in p95, which the comparison has from rows, and the check from a histogram."""
    promises = [f"{name} no worse than baseline" for name in FIGURES if name not in ABSENT]
    found, _ = verdicts(kept_runs, *promises, baseline=saved)
    assert {one.promise: one.verdict for one in found.findings} == dict.fromkeys(promises, KEPT)


def test_fewer_gpus_are_a_regression_of_latency_and_none_of_cost(saved, kept_runs):
    worse = check(steady(1), seeds=4, baseline=saved, store=kept_runs, processes=1)
    assert {one.promise: one.verdict for one in worse.findings}["p95 latency no worse than baseline"] == BROKEN
    asked = ["cost no worse than baseline", "p95 latency at most 90 % worse than baseline"]
    found = check(steady(1), promises=asked, seeds=4, baseline=saved, store=kept_runs, processes=1)
    assert found.findings[0].verdict == KEPT
    assert found.findings[0].margin == pytest.approx(0.5)  # half of the GPUs


def test_people_whom_a_waitlist_keeps_out_are_named_beside_what_is_promised_to_the_others(kept_runs):
    """Of four newcomers a minute one is let in: in an hour 180 of 240 are left, who asked for nothing."""
    steps = [{"policy": {"kind": "waitlist", "rate": "1 per min"}}]
    scenario = steady(playbooks={"none": [], "waitlist": steps}, behaviour={"waitlist_patience": {"kind": "never"}})
    out = check(scenario, "waitlist", ["50 % in time"], seeds=3, store=kept_runs, processes=1)
    assert (out.verdict, out.kept_out) == (KEPT, pytest.approx(0.75, abs=0.05))
    assert "KEPT OUT: 7" in markdown(out)
    assert "KEPT OUT" not in markdown(check(scenario, "none", ["50 % in time"], seeds=3, store=kept_runs, processes=1))
    found = size(scenario, "50 % in time", "waitlist", seeds=3, store=kept_runs, processes=1)
    carries = demand_multiple(scenario, "50 % in time", "waitlist", seeds=3, store=kept_runs, processes=1)
    assert "KEPT OUT: 7" in " ".join(sentences(found))
    assert "KEPT OUT: 99" in " ".join(multiple_sentences(carries))  # of a thousand times as many


def test_what_was_changed_since_the_baseline_is_said_in_every_output(kept_runs, tmp_path):
    """A run of two hours costs twice as much as one of an hour, of other people: no news of the service."""
    folder = save_comparison(*compare(steady(), seeds=2, processes=1), tmp_path / "then")

    def held(scenario):
        how = {"seeds": 2, "baseline": folder, "store": kept_runs, "processes": 1}
        return check(scenario, promises=["cost no worse than baseline"], **how)

    found = held(steady(horizon="2 hours"))
    assert (found.findings[0].reached, found.findings[0].limit) == ("$10", "$5")
    assert found.since.startswith(
        "Changed since the baseline: horizon 3600 s -> 7200 s. People or their requests differ"
    )
    for text in (junit(found), markdown(found).replace("\\", "")):
        assert "horizon 3600 s -> 7200 s" in text.replace("&gt;", ">")
    fewer = held(steady(1))
    assert fewer.since == "Changed since the baseline: pools.gpus.gpus 2 -> 1."  # the same people
    assert "runs of the same people counts" in markdown(fewer)
    assert held(steady()).since == ""


def test_a_figure_that_is_not_known_keeps_no_promise(saved, kept_runs):
    """Without prices there is no profit, and this profile has no power."""
    _, by_name = verdicts(kept_runs, "profit no worse than baseline", "energy no worse than baseline", baseline=saved)
    assert set(by_name.values()) == {BROKEN}


def test_one_saved_run_breaks_or_keeps_only_what_one_run_can(kept_runs):
    run = simulate(steady(), seed=2)
    same, by_name = verdicts(kept_runs, "in time no worse than baseline", baseline=run)
    assert (list(by_name.values()), same.findings[0].seeds) == ([KEPT], 1)
    asked = ["cost no worse than baseline", "p95 latency no worse than baseline"]
    fewer = check(steady(1), promises=asked, seeds=3, baseline=run, store=kept_runs, processes=1)
    assert [one.verdict for one in fewer.findings] == [UNDECIDED, BROKEN]


def test_a_baseline_of_other_seeds_or_playbooks_is_refused(saved):
    with pytest.raises(BadInput, match="other seeds"):
        check(steady(), seeds=3, baseline=simulate(steady(), seed=9), store=False)
    with pytest.raises(BadInput, match="no such playbook"):
        check(steady(playbooks={"other": []}), seeds=3, baseline=saved, store=False)


def test_a_tolerance_is_in_points_of_a_share_and_else_part_of_the_baseline():
    assert read_regression("in time at most 2 % worse than the baseline") == Regression("in time", 0.02)
    assert Regression("in time", 0.02).gains([0.90], [0.93]).tolist() == pytest.approx([-0.01])
    assert Regression("cost", 0.1).gains([105, 120], [100, 100]).tolist() == pytest.approx([0.05, -0.1])
    assert Regression("p95 latency").gains([math.inf, math.inf], [math.inf, 5]).tolist() == [0, -math.inf]


# One run, files and codes.


def test_one_run_keeps_or_breaks_each_promise(kept_runs):
    scenario = steady(promises=["alive and p95 <= 1 s"])
    found = check_run(simulate(scenario, seed=3), scenario)
    assert [one.verdict for one in found.findings] == [KEPT, BROKEN]
    assert (found.code, found.seeds) == (1, (3,))
    _, several = verdicts(kept_runs, "alive", "p95 <= 1 s")
    assert [several[one.promise] for one in found.findings] == [KEPT, BROKEN]


@pytest.mark.parametrize(("words", "code"), [((KEPT, KEPT), 0), ((KEPT, BROKEN, UNDECIDED), 1), ((KEPT, UNDECIDED), 3)])
def test_the_exit_code_is_that_of_the_worst_promise(words, code):
    assert checked(*words).code == code


@pytest.mark.parametrize(("undecided", "failures", "skipped"), [("fail", 2, 0), ("pass", 1, 1)])
def test_junit_has_a_test_case_for_each_promise_and_counts_what_it_shows(undecided, failures, skipped):
    root = ET.fromstring(junit(checked(KEPT, BROKEN, UNDECIDED), undecided=undecided))
    suite = root[0]
    assert (root.get("tests"), root.get("failures"), root.get("skipped")) == ("3", str(failures), str(skipped))
    assert len(suite.findall("testcase")) == 3
    assert len(suite.findall("testcase/failure")) == failures
    assert len(suite.findall("testcase/skipped")) == skipped
    assert "too few <runs>" in suite.find("testcase/system-out").text


def test_markdown_has_a_row_for_each_promise_and_names_change_no_table():
    text = markdown(checked(KEPT, BROKEN))
    rows = [line for line in text.splitlines() if line.startswith(("| ✅", "| ❌"))]
    assert len(rows) == 2
    assert "A \\| title" in text
    hostile = replace(finding(KEPT), promise="a|b\nc")
    assert "a\\|b c" in markdown(replace(checked(KEPT), findings=[hostile]))


def test_the_workflow_in_the_docs_runs_commands_that_are_there():
    from sim.cli.main import app

    document = yaml.safe_load((ROOT / "docs" / "ci" / "promises.yml").read_text(encoding="utf-8"))
    (job,) = document["jobs"].values()
    commands = [step["run"].split() for step in job["steps"] if step.get("run", "").startswith("meltpoint")]
    known = {command.callback.__name__: command.callback for command in app.registered_commands}
    assert [command[1] for command in commands] == ["compare", "check"]
    for _, name, *words in commands:
        options = {word.removeprefix("--") for word in words if word.startswith("--")}
        assert options <= set(known[name].__annotations__), name
    assert True in document  # YAML reads 'on' so


def test_promises_of_shipped_scenarios_can_be_read():
    for path in sorted((ROOT / "scenarios").glob("*.yaml")):
        scenario = load(path)
        assert all(read_promise(text, scenario) for text in scenario.promises)


def test_the_time_that_is_shown_of_several_runs_is_the_median_runs_with_its_order_statistics():
    """Of six runs, the least and the largest hold the median with 96.9 %; one that never ends hides no other."""
    rule = read_condition("p95 <= 30 s", load("steady"))
    shown, limit = in_words(rule, [0.9, 0.9, 0.9, 0.9, 0.9, 0.9], [10.0, 12.0, 14.0, 16.0, 18.0, math.inf])
    assert shown.startswith("15 s (10 s to never)")
    assert limit == "<= 30 s"
    assert in_words(rule, [0.9, 0.9], [10.0, 14.0])[0].startswith("12 s; ")
