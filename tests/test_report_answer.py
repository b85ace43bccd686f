"""A report answers first: the choice, its switches with thresholds, what each alternative costs; also as Markdown."""

import dataclasses
import re

import numpy as np
import pytest

from sim import BadInput, load, simulate, verdict
from sim.cli.places import refuse_other_file, write_page
from sim.plots.saving import short_path, slimmed
from sim.report import render_markdown
from sim.report.answer import by_when
from sim.report.playbook_pages import badge, highlights
from sim.report.review import headroom, merged
from sim.report.switches import named, switch_sentences, switch_table
from sim.results.cohort import WANTED, cohort
from sim.results.intents import intents
from sim.results.latencies import FEWEST, waits_over_time
from sim.results.run import Run
from sim.scenario.scenario import Scenario
from sim.studies.compare import Comparison
from sim.studies.compare import compare as compare_all

PAGED = {"expected_wait": {"above": "20 s", "below": "5 s"}, "pool": "gpus", "for": "1 min", "reaction": "2 min"}
GUARDED = [
    {"policy": {"kind": "queue bound", "requests": 20}},
    {"policy": {"kind": "rate limit", "tiers": ["free"], "rate": "12 per hour", "burst": 3}, "from": "10 min"},
    {"policy": {"kind": "shed", "share": 0.25, "features": ["image"]}, "when": PAGED},
]


def scenario(**settings) -> Scenario:
    sets = {
        "demand.0.rate": "6 per second",
        "pools.gpus.gpus": 10,
        "horizon": "20 min",
        "behaviour.patience": {"kind": "exponential", "mean": "60 s"},
        "serving.notices_leaving": True,
        "tiers": {"free": {"share": 0.8}, "pro": {"share": 0.2}},
        "playbooks": {"none": [], "guarded": GUARDED},
        "alive.attainment": 0.1,
        "warm_up": "0 s",
        **settings,
    }
    return load("steady", sets=sets)


@pytest.fixture(scope="module")
def compared() -> tuple[Comparison, list[Run]]:
    return compare_all(scenario(), seeds=1, processes=1)


def test_the_first_screen_has_the_answer_the_switches_and_the_alternatives(compared):
    comparison, runs = compared
    text = render_markdown(runs, comparison).replace("\\", "")
    first = text[: text.index("\n## Playbooks compared")]
    best = comparison.ranking[0]
    said = f"Choose '{best}'" if comparison.alive else f"'{best}' comes first by the measure alone"
    assert said in first
    assert f"What '{best}' does, in order" in first
    assert re.search(r"By when: before .+ UTC, .+ after the start, when pool 'gpus' saturates under 'none'", first)
    assert all(name in first for name in comparison.playbooks)
    assert "One seed says nothing about chance" in first
    assert "cost of the GPUs" in first
    assert all(field in first for field in ("Owner", "Decided on", "Valid until"))


def test_configurations_whose_people_differ_are_not_said_to_share_them(compared):
    comparison, runs = compared
    apart = dataclasses.replace(comparison, same_people=False)
    text = render_markdown(runs, apart)
    assert "All playbooks meet the same people" not in text


def test_a_switch_names_its_threshold_its_end_and_its_targets(compared):
    _, runs = compared
    guarded = next(run for run in runs if run.manifest["playbook"] == "guarded")
    bound, rate, shed = switch_sentences(guarded)
    assert bound == "Queue bound (requests 20) for everybody: from the start; never ends."
    assert rate.startswith("Rate limit (rate 12 per hour, burst 3) for free: on Wed 01 Jan 2025 00:10;")
    assert "25 %" in shed
    assert "when expected wait of gpus is above 20 s for 60 s, then 2 min to react" in shed
    assert "ends when expected wait of gpus is under 5 s" in shed
    table = switch_table(guarded)
    thrown = guarded.decisions[(guarded.decisions["knob"] == "step") & (guarded.decisions["new"] > 0)]
    assert (table.rows[2][5] == "never thrown") == thrown.empty
    nothing = next(run for run in runs if run.manifest["playbook"] == "none")
    assert switch_table(nothing).rows == []
    assert "no switches" in switch_table(nothing).note


def test_two_switches_of_one_kind_are_told_apart_by_their_thresholds():
    """Three GPUs for twice their work: the wait soon passes one second, and people act 2 min later; never ten hours."""
    later = {**PAGED, "expected_wait": {"above": "10 h", "below": "1 h"}}
    soon = {**PAGED, "expected_wait": {"above": "1 s", "below": "0.5 s"}, "for": "0 s"}
    steps = [{"policy": {"kind": "shed", "share": 0.25}, "when": when} for when in (soon, later)]
    run = simulate(scenario(**{"playbooks": {"twice": steps}, "pools.gpus.gpus": 3}), "twice")
    assert [row[5] for row in switch_table(run).rows] == ["thrown on Wed 01 Jan 2025 00:03", "never thrown"]


def test_policies_given_by_a_program_are_not_guessed(compared):
    _, runs = compared
    own = dataclasses.replace(runs[0], manifest={**runs[0].manifest, "playbook": "custom"})
    assert "given by a program" in switch_table(own).note


@pytest.mark.parametrize("record", ["rows", "timeline"])
def test_the_parts_of_a_cohort_add_up_to_what_was_wanted(record):
    run = simulate(scenario(record=record, scale="1/2"), "guarded")
    parts = cohort(run)
    assert sum(count for part, count in parts.items() if part != WANTED) == pytest.approx(parts[WANTED])
    assert parts[WANTED] == pytest.approx(verdict(run).counts["intents"] / run.scale)


def test_waits_over_time_are_the_quantiles_of_each_bin(compared):
    run = compared[1][0]
    table = waits_over_time(run, bins=4)
    wishes = intents(run)
    wishes = wishes[wishes["decided"] & (wishes["tier"] == "free")]
    mine = table[(table["what"] == "latency") & (table["tier"] == "free")]
    assert mine["n"].sum() == len(wishes)
    for row in mine.to_dict("records"):
        inside = wishes[(wishes["wanted"] >= row["time"]) & (wishes["wanted"] < row["time"] + 300)]["latency"]
        assert row["n"] == len(inside) >= FEWEST["p95"]
        for name, share in (("p50", 0.5), ("p95", 0.95)):
            assert row[name] == np.quantile(inside, share, method="inverted_cdf")


def test_headroom_is_the_fleet_over_the_offered_load(compared):
    v = verdict(compared[1][0])
    (row,) = headroom(v).rows
    work = v.pools[0].offered[-1].work
    assert float(row[5].removesuffix(" %")) == pytest.approx(100 * 10 / work, rel=0.01)
    assert float(row[6]) == pytest.approx(2 * work, rel=0.01)


def test_spans_that_touch_are_one():
    assert merged([(0, 1), (1, 2), (4, 5)]) == [(0, 2), (4, 5)]


def test_a_short_path_visits_the_same_points():
    assert short_path("M 0 0 L 10.04 0 L 10.04 5.26 L 3.3 7.7 z") == "M0 0H10V5.3L3.3 7.7z"
    assert short_path("M 1 1 L 1 1") == "M1 1L1 1"
    assert short_path("M 0 0 Q 1.26 2.04 3 4 z") == "M 0 0 Q 1.3 2 3 4 z"


def test_a_slim_drawing_keeps_every_label():
    text = "<text style=\"font-family: 'A', B; x: y\">font-family: z;</text>"
    slim = slimmed(f'<?xml version="1.0"?><svg><style></style>{text}</svg>')
    assert slim.startswith("<svg>")
    assert '<text style="x: y">font-family: z;</text>' in slim


def test_markdown_says_the_same_and_nothing_in_it_is_markup(compared):
    comparison, runs = compared
    attack = "<script>alert(1)</script> | [x](javascript:y) `z` *b*\n# head"
    hostile = [dataclasses.replace(run, manifest={**run.manifest, "title": attack}) for run in runs]
    text = render_markdown(hostile, comparison)
    assert render_markdown(hostile, comparison) == text
    assert text.splitlines()[2] == (r"# \<script\>alert(1)\</script\> \| \[x\](javascript:y) \`z\` \*b\* \# head")
    assert comparison.ranking[0] in text
    lengths = {}
    for number, line in enumerate(text.splitlines()):
        if line.startswith("|"):
            lengths[number] = len(re.findall(r"(?<!\\)\|", line))
            assert lengths.get(number - 1, lengths[number]) == lengths[number]
    assert lengths


def test_a_report_replaces_reports_alone(tmp_path, compared):
    comparison, runs = compared
    ours = write_page(render_markdown(runs, comparison), tmp_path / "report.md")
    refuse_other_file(ours)
    notes = tmp_path / "notes.md"
    notes.write_text("# my notes")
    with pytest.raises(BadInput, match="no report"):
        refuse_other_file(notes)


def test_a_pool_that_serves_no_feature_has_no_load():
    sets = {"pools.research": {"gpus": 4}, "horizon": "2 min"}
    v = verdict(simulate(scenario(**sets)), simulate(scenario(**sets), unlimited=True))
    assert [peak.work for peak in v.pools[1].offered] == [0.0, 0.0]
    assert headroom(v).rows[1][4:6] == ["none", "no load"]


def test_an_optional_share_and_those_of_a_list_are_written_in_per_cent():
    hpa = {"kind": "hpa", "pool": "gpus", "most": 9, "utilisation": 0.7}
    assert named({"policy": hpa})[0] == "hpa (most 9, utilisation 70 %)"
    assert named({"policy": {"kind": "roll-out", "stages": [0.1, 0.5]}})[0] == "roll-out (stages 10 % and 50 %)"


def test_a_service_that_is_behind_when_its_warm_up_ends_needed_help_before():
    found = verdict(simulate(scenario(warm_up="5 min"), "none"))
    (said,) = by_when(found)
    assert "when the warm-up ends and pool 'gpus' is saturated already under 'none'" in said
    assert any("when the warm-up ends, or earlier" in text for _, _, text in highlights(found))


def test_a_run_in_which_nothing_is_decided_has_no_badge_of_life():
    silent = verdict(simulate(scenario(**{"demand.0.rate": 0}), "none"))
    assert badge(silent) == ("strained", "nothing was decided")
