"""A size and a decision are saved, read again to the last bit, and reported on in the frame of all reports."""

import dataclasses
import json
import math

import pandas as pd
import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner

from sim import BadInput, load, sentences, simulate, size
from sim.cli.main import app
from sim.plots.fleet_choices import regret_cells
from sim.report import render, render_markdown
from sim.report.answer_pages import runner_up_size, to_do
from sim.results.folder import digest
from sim.studies.answer_folder import (
    DECISION,
    SIZE,
    load_comparison,
    load_decision,
    load_size,
    save_decision,
    save_sizes,
)
from sim.studies.decide import decide
from sim.studies.demand_multiple import Multiple
from sim.studies.looks import first_beyond
from sim.studies.run_record import record_of
from sim.studies.search import Look
from sim.studies.size_words import best_of, multiple_sentences, savings
from sim.studies.uncertain import uncertain
from tests.test_report import ATTACK, Page

PROMISE = "90 % in time"
HERE = {"store": False, "processes": 1}
SETS = {
    "horizon": "10 min",
    "warm_up": "0 s",
    "behaviour.patience": {"kind": "constant", "value": "20 s"},
    "playbooks": {"none": [], ATTACK: [{"policy": {"kind": "queue bound", "requests": 4}}]},
    "title": ATTACK,
}


@pytest.fixture(scope="module")
def scenario():
    return load("steady", sets=SETS)


@pytest.fixture(scope="module")
def sized(scenario):
    return [size(scenario, PROMISE, "none", seeds=2, runs=share, headroom=False, **HERE) for share in (0.6,)]


@pytest.fixture(scope="module")
def decided(scenario):
    inputs = uncertain(scenario, {"demand.waves.0.rate": "~ uniform(1, 4) per s"})
    return decide(inputs, fleets=[3, 6, 9], futures=3, image_worth=0.01, **HERE)


@pytest.fixture(scope="module")
def run(scenario):
    return simulate(scenario, ATTACK)


def test_a_size_is_read_again_as_it_was_and_gives_the_same_page(sized, run, tmp_path):
    save_sizes(sized, savings(sized), run, tmp_path / "size")
    again, runs = load_size(tmp_path / "size")
    for one, other in zip(sized, again, strict=True):
        assert sentences(one) == sentences(other)
        pd.testing.assert_frame_equal(one.table, other.table.reset_index(drop=True))
    page = render(runs, again)
    assert page == render([run], sized)
    seen = Page(page)
    assert "<script" not in page.lower()
    best = best_of(again)
    assert f"{best.total:,} GPUs in pool 'gpus' keep '{PROMISE}'" in seen.text
    assert best.runs == 0.6
    assert "Everything that was looked at" in seen.text
    assert all(len(image["alt"]) > 40 for image in seen.all("img"))
    assert sentences(best)[0] in render_markdown(runs, again).replace("\\", "")


def test_a_report_says_all_that_the_terminal_says(sized, decided, run):
    """That the choice is the largest fleet of the menu was said in the terminal alone."""
    best = dataclasses.replace(best_of(sized), open_end=0.2, apart={"other": 3})
    page = render_markdown([run], [best]).replace("\\", "")
    assert not [line for line in sentences(best) if line not in page]
    first = page[: page.index("To do")]
    assert "STILL WAITING: 20 % of requests" in first
    assert "Pool 'other' stays at 3 GPUs" in first
    end = dataclasses.replace(decided, best=2, minimax=2)
    page = render_markdown([run], end).replace("\\", "")
    assert not [
        line for line in sentences(end) if line not in page and "unner-up" not in line and "better than" not in line
    ]


def test_sizes_with_and_without_a_fleet_are_read_again_with_their_numbers(sized, run, tmp_path):
    """The empty table of the one made texts of the other's numbers, and the report ended in a traceback."""
    (one,) = sized
    none = dataclasses.replace(
        one, gpus={}, answer=None, neighbours={}, reason="no", table=one.table.iloc[:0].astype(object)
    )
    save_sizes([one, none], savings([one, none]), run, tmp_path / "size")
    (again, empty), runs = load_size(tmp_path / "size")
    pd.testing.assert_frame_equal(one.table, again.table.reset_index(drop=True))
    assert empty.table.empty
    assert f"| verify | {one.total} |" in render_markdown(runs, [again, empty])


def test_the_runner_up_of_several_pools_is_the_fleet_that_is_a_step_smaller_in_one_of_them(sized):
    """Both fleets of nine had the cost of one of them."""
    (one,) = sized
    rows = {
        "stage": "verify",
        "gpus": [9, 9, 10],
        "gpus of a": [4, 5, 5],
        "gpus of b": [5, 4, 5],
        "dollars": [28.0, 26.0, 30.0],
    }
    look = next(iter(one.neighbours.values()))
    two = dataclasses.replace(
        one,
        gpus={"a": 5, "b": 5},
        steps={"a": 1, "b": 1},
        neighbours={"a": look, "b": look},
        table=pd.DataFrame(rows),
        dollars=30.0,
    )
    first, second = runner_up_size(two, [two])
    assert "a step fewer in pool 'a', 9 GPUs, costs $28" in first
    assert "a step fewer in pool 'b', 9 GPUs, costs $26" in second


def test_gpus_to_order_are_those_beyond_the_scenarios_and_needed_when_first_requests_need_more(sized, run):
    """Two windows of 300 s: 3.3 GPUs busy in the first, 7 in the second."""
    record = dataclasses.replace(record_of(run), offered=[[3.3], [7.0]])
    assert first_beyond(record, {"gpus": 2}, 0.0, 600.0) == 0.0
    assert first_beyond(record, {"gpus": 5}, 0.0, 600.0) == 300.0
    assert math.isnan(first_beyond(record, {"gpus": 7}, 0.0, 600.0))
    best = dataclasses.replace(best_of(sized), own={"gpus": best_of(sized).total - 1}, needed=300.0)
    more, when = to_do(best, run)
    assert f"get 1 GPU more than the {best.total - 1} that pool 'gpus' has" in more
    assert "before Wed 01 Jan 2025 00:05 UTC" in when
    spare, never = to_do(dataclasses.replace(best, own={"gpus": 50}, needed=math.nan), run)
    assert f"{50 - best.total} of the 50" in spare
    assert "in no window" in never


def test_a_multiple_of_the_demand_is_kept_and_reported_too(sized, run, tmp_path):
    look = Look((1, 2), (0.1, 0.3), 0.5, 0.95, False)
    table = sized[0].table.assign(demand=1.25)
    found = Multiple(PROMISE, 0.9, "none", 1.25, look, None, table, 0.5, 0.95)
    save_sizes([found], pd.DataFrame({"holds": [found.holds]}), run, tmp_path / "size")
    again, runs = load_size(tmp_path / "size")
    assert again[0].answer == look
    assert multiple_sentences(again[0]) == multiple_sentences(found)
    assert "HOLDS UP TO 1.25 times" in render_markdown(runs, again)


def test_a_decision_is_read_again_as_it_was_and_gives_the_same_page(decided, run, tmp_path):
    save_decision(decided, run, tmp_path / "decision")
    again, runs = load_decision(tmp_path / "decision")
    assert sentences(again) == sentences(decided)
    pd.testing.assert_frame_equal(again.runs, decided.runs)
    pd.testing.assert_frame_equal(again.options, decided.options)
    text = render_markdown(runs, again).replace("\\", "")
    assert text == render_markdown([run], decided).replace("\\", "")
    for words in ("CHOOSE", "Runner-up", "Why nothing cheaper", "Knowing the future beforehand", "Valid until"):
        assert words in text
    assert [row for row in decided.options["label"] if f"Not {row}, $" in text] == [*decided.cheaper["label"]]


def test_the_regrets_are_a_field_each_with_its_number_and_the_choice_in_a_frame(decided):
    ax = Figure().subplots()
    regret_cells(decided, ax)
    shown = [text.get_text().partition("\n")[0] for text in ax.texts]
    assert len(shown) == len(decided.options) == 6
    assert {f"${value:.3g}" for value in decided.options["regret"]} == set(shown)
    (frame,) = [patch for patch in ax.patches if not patch.get_fill()]
    fleets = sorted(set(decided.options["gpus"]))
    assert fleets[int(frame.get_x())] == decided.options["gpus"][decided.best]


@pytest.mark.parametrize("name", [SIZE, DECISION])
def test_a_folder_that_is_not_what_was_written_is_refused_with_one_message(name, sized, decided, run, tmp_path):
    if name == SIZE:
        save_sizes(sized, savings(sized), run, tmp_path / "answer")
    else:
        save_decision(decided, run, tmp_path / "answer")
    facts = json.loads((tmp_path / "answer" / name).read_text())
    runner = CliRunner()
    for wrong in ({**facts, "format": "meltpoint-other/1"}, {**facts, "plain": {}}, forged(facts), [], 7):
        (tmp_path / "answer" / name).write_text(json.dumps(wrong))
        ended = runner.invoke(app, ["report", str(tmp_path / "answer")])
        assert isinstance(ended.exception, BadInput), ended.exception
    assert not (tmp_path / "answer" / "report.html").exists()


def forged(facts):
    """A manifest with a value of a wrong kind and a checksum of its own."""
    (kept,) = [key for key in ("sizes", "decision") if key in facts["plain"]]
    changed = {"runs": "many", "by": 7, "promise": 3}
    value = facts["plain"][kept]
    plain = [{**value[0], **changed}, *value[1:]] if kept == "sizes" else {**value, **changed}
    content = {**facts, "plain": {**facts["plain"], kept: plain}}
    return {**content, "sha256": digest(content)}


def test_a_folder_of_a_run_is_not_asked_to_be_written_by_run_where_a_comparison_is_needed(tmp_path):
    run = simulate(load("steady", sets={"horizon": "20 min"}))
    folder = run.save(tmp_path / "run")
    for read, command in ((load_comparison, "compare"), (load_size, "size"), (load_decision, "decide")):
        with pytest.raises(BadInput) as wrong:
            read(folder)
        assert wrong.value.expected == f"a folder written by 'meltpoint {command}', as it was written"
