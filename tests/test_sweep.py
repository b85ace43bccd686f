"""A sweep has one row per point, playbook and seed, with the figures of that run, on designs that fill their space."""

import io
import json

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

from sim import BadInput, simulate, sweep, verdict
from sim.cli.main import app
from sim.cli.sweep_command import sweep_table
from sim.results.intervals import mean_interval
from sim.studies.configurations import scenario_at
from sim.studies.figures import figures
from sim.studies.sweep import DEMAND, cube, points_of, read_axis, scenario_with
from sim.studies.uncertain import load_uncertain
from sim.wording import percent
from tests.random_scenarios import plain

HERE = {"store": False, "processes": 1}
CALLS = CliRunner()


def points(vary, design="grid", count=8):
    return points_of(plain(), [read_axis(key, text) for key, text in vary.items()], design, count)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1,2,5", (1, 2, 5)),
        ("1..5:3", (1, 3, 5)),
        ("1..100:3:log", (1, 10, 100)),
        ("10%..50%:3", ("10 %", "30 %", "50 %")),
        ("30 s..2 min:4", ("30 s", "60 s", "90 s", "120 s")),
        ("1k..2k:3", (1000, 1500, 2000)),
        ("30 s, 1 min", ("30 s", "1 min")),
        ("0.1..0.3:3", (0.1, 0.2, 0.3)),
    ],
)
def test_values_are_read_as_they_are_written(text, values):
    assert read_axis("key", text).values == values


@pytest.mark.parametrize("text", ["", ",", "5..1:3", "1..2:1", "0..1:3:log", "a..b:3", "1..nan:3", "1..2:x"])
def test_what_is_no_range_is_refused(text):
    with pytest.raises(BadInput, match="expected:"):
        read_axis("key", text)


@pytest.mark.parametrize("design", ["latin", "sobol"])
def test_a_number_of_values_is_refused_where_the_points_are_not_those_of_each_key(design):
    """It was passed over: of 2..12:3 there were points at 5, 8, 10 and 11 GPUs."""
    with pytest.raises(BadInput, match=r"3 values[\s\S]*expected: 2..12, and the number of points"):
        points({"pools.gpus.gpus": "2..12:3"}, design)
    assert len(points({"pools.gpus.gpus": "2..12", "demand.times": "1,2"}, design)) == 8


def test_settings_are_printed_to_three_figures_and_keys_in_full():
    """At 80 columns a Sobol sequence was printed as 'pools.gpus.gp…' and '0.5813176520…'."""
    row = {"point": 0, "pools.gpus.gpus": 4250, DEMAND: 0.581317652, "playbook": "none", "seed": 1, "attainment": 0.5}
    table = sweep_table(pd.DataFrame([row]), ["pools.gpus.gpus", DEMAND], "attainment")
    screen = Console(width=80, file=io.StringIO())
    screen.print(table)
    said = screen.file.getvalue()
    assert {"pools.gpus.gpus", "demand.times", "4250", "0.581"} <= set(said.split())


def test_a_grid_has_every_combination():
    found = points({"pools.gpus.gpus": "1..3:3", "demand.times": "1,2"})
    assert [tuple(at.values()) for at in found] == [(g, t) for g in (1, 2, 3) for t in (1, 2)]


@pytest.mark.parametrize("design", ["latin", "sobol"])
def test_points_fill_the_space_and_are_the_same_every_time(design):
    """Of 16 points each sixteenth of every side has one: by definition of a Latin hypercube, and of Sobol's nets."""
    found = np.array(cube(design, 3, 16))
    assert found.tolist() == cube(design, 3, 16)
    assert (np.sort(np.floor(found * 16), axis=0) == np.arange(16)[:, None]).all()


def test_a_key_that_takes_whole_numbers_gets_them_and_others_do_not():
    found = points({"pools.gpus.gpus": "1..9", "serving.gpu_speed_cv": "0..1"}, "latin")
    assert all(isinstance(at["pools.gpus.gpus"], int) for at in found)
    assert all(0 < at["serving.gpu_speed_cv"] < 1 for at in found)


def test_a_row_has_the_figures_of_its_run_and_its_promise():
    table = sweep(plain(), {"pools.gpus.gpus": "1,2", "demand.times": [2, 5]}, seeds=2, promise="50 % in time", **HERE)
    assert table[["pools.gpus.gpus", "demand.times", "seed"]].to_numpy().tolist() == [
        [g, t, s] for g in (1, 2) for t in (2, 5) for s in (1, 2)
    ]
    row = table.iloc[3]
    alone = verdict(simulate(plain(demand=[{"kind": "steady", "rate": "5 per min"}]), seed=2))
    assert row["attainment"] == pytest.approx(alone.life.attainment)
    assert row["promise_margin"] == pytest.approx(alone.life.attainment - 0.5)
    assert row["kept"] == figures(simulate(plain(demand=[{"kind": "steady", "rate": "5 per min"}]), seed=2))["kept"]
    assert row["dollars"] == pytest.approx(alone.dollars)


@pytest.mark.parametrize(
    ("vary", "how"),
    [
        ({}, {}),
        ({"pools.gpus.gpus": "1..9"}, {}),
        ({"pools.gpus.gpus": "0,1"}, {}),
        ({"no.such": "1,2"}, {}),
        ({"demand.times": "a,b"}, {}),
        ({"demand.times": "1,2"}, {"seeds": 0}),
        ({"demand.times": "1..2"}, {"design": "random"}),
        ({"demand.times": "1..2"}, {"design": "sobol", "points": 1}),
        ({"demand.times": "1,2"}, {"playbooks": ["absent"]}),
        ({"demand.times": "1,2"}, {"promise": "fast"}),
    ],
)
def test_what_cannot_be_swept_is_refused_before_any_run(monkeypatch, vary, how):
    monkeypatch.setattr("sim.studies.runs.made", lambda *_, **__: pytest.fail("a run was made"))
    with pytest.raises(BadInput):
        sweep(plain(), vary, **HERE, **how)


@pytest.fixture
def small(tmp_path, monkeypatch):
    monkeypatch.setenv("MELTPOINT_STORE", str(tmp_path / "store"))
    scenario = {
        **plain().document,
        "horizon": "5 min",
        "features": {"image": {"share": 1, "pool": "gpus", "slo": "60 s"}},
    }
    scenario["features"]["image"]["spec"] = {"model": "four-seconds"}
    (tmp_path / "s.yaml").write_text(json.dumps(scenario))
    return tmp_path


def test_the_command_writes_a_table_and_a_figure_and_runs_nothing_twice(small):
    given = ["sweep", str(small / "s.yaml"), "--vary", "pools.gpus.gpus=1,2", "--vary", "demand.times=1..3:2"]
    given += ["--processes", "1"]
    for name in ("t.csv", "t.parquet"):
        done = CALLS.invoke(app, [*given, "--out", str(small / name), "--figure", str(small / "f.png")])
        assert done.exit_code == 0, done.output
    pd.testing.assert_frame_equal(pd.read_csv(small / "t.csv"), pd.read_parquet(small / "t.parquet"), check_dtype=False)
    assert (small / "f.png").read_bytes().startswith(b"\x89PNG")
    listed = CALLS.invoke(app, ["store"])
    assert "4 runs in" in listed.output
    pruned = CALLS.invoke(app, ["store", "--prune", "--all"])
    assert "Deleted 4 files" in pruned.output


def test_three_seeds_give_intervals_where_a_figure_is_no_count(small):
    table = pd.DataFrame({"point": 0, "k": 1, "playbook": "none", "seed": [1, 2, 3], "attainment": [0.7, 0.8, 0.9]})
    shown = sweep_table(table.assign(alive=[True, False, True]), ["k"], "attainment")
    (cell,) = shown.columns[2].cells
    low, high = mean_interval([0.7, 0.8, 0.9], "share")
    assert cell == f"80 % ({percent(low)} to {percent(high)})"
    assert "to" not in next(iter(sweep_table(table.assign(alive=[True, False, True]), ["k"], "alive").columns[2].cells))
    same = sweep_table(table.assign(alive=True, dollars=[22.9, 22.9, 22.9 + 1e-14]), ["k"], "dollars")
    assert list(same.columns[2].cells) == ["$22.9"], "digits that nobody sees are no interval"
    assert next(iter(sweep_table(table.head(2), ["k"], "attainment").columns[2].cells)) == "75 %"


def test_the_command_sizes_and_saves_what_the_answer_rests_on(small):
    given = ["size", str(small / "s.yaml"), "--promise", "90 % in time", "--seeds", "2", "--processes", "1"]
    done = CALLS.invoke(app, [*given, "--out", str(small / "o")])
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert "keeps '90 % in time' under playbook 'none'" in said
    assert {"stage", "gpus", "kept", "verdict"} <= set(pd.read_csv(small / "o/looks.csv"))
    assert (small / "o/curve.png").read_bytes().startswith(b"\x89PNG")
    own = CALLS.invoke(app, ["size", str(small / "s.yaml"), "--set", "promises=[90 % in time]", *given[4:]])
    assert "keeps '90 % in time' under playbook 'none'" in " ".join(own.output.split()), own.output
    many = CALLS.invoke(app, [*given, "--demand"])
    assert "HOLDS UP TO" in many.output


@pytest.mark.parametrize(
    "given",
    [
        ["size", "steady", "--promise", "fast"],
        ["size", "steady", "--runs", "lots"],
        ["size", "steady", "--playbooks", "absent"],
        ["size", "steady", "--demand", "--step", "2"],
        ["size", "steady", "--futures", "5"],  # options that would change nothing
        ["size", "steady", "--seeds", "5", "--set", "demand.times=~ uniform(1, 2)"],
        ["size", "steady", "--most-seeds", "5"],
        ["compare", "steady", "--most-seeds", "5"],
        ["compare", "steady", "--until-precise", "0 %"],  # as many seeds as there may be, for nothing
        ["size", "steady", "--until-precise", "0"],
        ["sweep", "steady", "--vary", "demand.times=1,2", "--points", "8"],
        ["sweep", "steady", "--vary", "pools.gpus.gpus"],
        ["sweep", "steady", "--vary", "demand.times=1,2", "--metric", "fame", "--no-store"],
        ["sweep", "steady", "--vary", "demand.times=1,2", "--metric", "playbook", "--no-store"],
        ["sweep", "steady", "--vary", "demand.times=1,2", "--out", "table.xlsx"],
        ["store", "--older", "30 days"],
        ["store", "--prune", "--older", "long"],
        ["store", "--store", "no/such/folder"],
    ],
)
def test_wrong_input_ends_in_a_message(given):
    done = CALLS.invoke(app, given)
    assert isinstance(done.exception, BadInput), done.output


@pytest.mark.parametrize(
    "command", [["run", "--out", "o", "--replace"], ["size", "--seeds", "2"], ["check", "--seeds", "2"]]
)
def test_every_command_can_multiply_the_demand(command, small, monkeypatch):
    """As a sweep does: twice the people ask for twice as much, and nobody else is changed."""
    monkeypatch.chdir(small)
    name, *options = command
    done = CALLS.invoke(app, [name, str(small / "s.yaml"), *options, "--set", "demand.times=2"])
    assert done.exit_code != 2, done.output
    wrong = CALLS.invoke(app, [name, str(small / "s.yaml"), *options, "--set", "demand.times=two"])
    assert isinstance(wrong.exception, BadInput)
    assert "this is no multiple" in str(wrong.exception)
    with pytest.raises(BadInput, match="this input is uncertain"):
        scenario_with("steady", None, {DEMAND: "~ uniform(0.5, 3)"})


def test_a_multiple_of_the_demand_doubles_it_in_a_run_and_in_a_configuration(small):
    path = str(small / "s.yaml")
    once, twice = (scenario_with(path, None, sets) for sets in ({}, {DEMAND: 2}))
    assert [wave.times for wave in twice.demand.waves] == [2 * wave.times for wave in once.demand.waves]
    assert scenario_at(path, sets={DEMAND: 2}) == twice == load_uncertain(path, sets={DEMAND: 2}).scenario
    with pytest.raises(BadInput, match="a part of the demand has a law"):
        load_uncertain(path, sets={DEMAND: 2, "demand.0.times": "~ uniform(1, 2)"})


def test_the_cost_of_images_can_be_swept_and_is_that_of_all_seeds_together():
    table = sweep(plain(), {"pools.gpus.gpus": [2, 3]}, seeds=3, **HERE)
    assert table["dollars_per_1000_images"].tolist() == pytest.approx(1000 * table["dollars"] / table["images_worth"])
    uneven = table.head(3).assign(dollars=[1.0, 1.0, 1.0], images_worth=[1000.0, 1000.0, 1400.0])
    (shown,) = sweep_table(uneven, ["pools.gpus.gpus"], "dollars_per_1000_images").columns[2].cells
    assert shown.startswith("$0.882 (")
