"""A saved run is the run, a save is all or nothing, and what is no run is refused."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.model.gateway import REASONS
from sim.model.request import OUTCOMES
from sim.policies.access import Waitlist
from sim.policies.shedding import Shed
from sim.results.folder import TABLES
from sim.results.log_tables import request_table
from sim.results.run import Run, load_run
from sim.scenario.load import load
from sim.scenario.scenario import Scenario
from tests.random_scenarios import plain
from tests.traces import arriving, step


@pytest.fixture(scope="module")
def run() -> Run:
    """A run with something in every table, in every column."""
    policies = [
        step(policy={"kind": "shed", "share": 0.5}, from_="1 min"),
        step(policy={"kind": "waitlist", "rate": "30 per min"}, from_="2 min", until="4 min"),
    ]
    patience = {"patience": {"kind": "constant", "value": "25 s"}, "waitlist_patience": {"kind": "never"}}
    return arriving(np.arange(0, 300, 5.0), policies, behaviour=patience, horizon="5 min")


def assert_same(one: Run, other: Run) -> None:
    for table in TABLES:
        pd.testing.assert_frame_equal(getattr(one, table), getattr(other, table))
    assert one.manifest == other.manifest
    assert (one.timeline is None) == (other.timeline is None)
    if one.timeline is not None and other.timeline is not None:
        assert (one.timeline.width, one.timeline.people) == (other.timeline.width, other.timeline.people)
        for name, counted in one.timeline.arrays().items():
            np.testing.assert_array_equal(counted, other.timeline.arrays()[name], strict=True)


def test_a_run_comes_back_as_it_was_saved(run, tmp_path):
    saved = run.save(tmp_path / "runs" / "one")
    assert saved == tmp_path / "runs" / "one"
    assert sorted(p.name for p in saved.iterdir()) == sorted(
        [*(f"{table}.parquet" for table in TABLES), "manifest.json", "timeline.npz"]
    )
    assert_same(run, load_run(saved))
    assert run.decisions["tier"].isna().any()
    assert run.decisions["tier"].notna().any()


@pytest.mark.parametrize("policies", [[], [Shed(share=0.5)], [Waitlist(rate=0)]], ids=["none", "shed", "waitlist"])
def test_a_run_in_which_nobody_came_comes_back_too(policies, tmp_path):
    empty = arriving([], policies)
    assert_same(empty, load_run(empty.save(tmp_path / "empty")))


def test_the_manifest_is_plain_json_that_makes_the_run_again(run, tmp_path):
    manifest = json.loads((run.save(tmp_path / "one") / "manifest.json").read_text())
    assert manifest["format"] == "meltpoint-run/6"
    assert manifest["seed"] == 1
    assert manifest["scenario"] == run.manifest["scenario"]
    assert {"python", "simpy", "numpy", "numba", "pandas"} <= set(manifest["versions"])


def test_the_scenario_in_a_manifest_makes_the_same_tables_again(tmp_path):
    first = simulate(load("steady", sets={"horizon": "20 min"}), seed=3)
    manifest = load_run(first.save(tmp_path / "one")).manifest
    again = simulate(Scenario.from_dict(manifest["scenario"]), manifest["playbook"], seed=manifest["seed"])
    for table in TABLES:
        pd.testing.assert_frame_equal(getattr(first, table), getattr(again, table))
    assert {**manifest, "wall_seconds": 0} == {**again.manifest, "wall_seconds": 0}


def test_dates_survive_in_a_manifest():
    scenario = load("viral-image-launch", override="small", sets={"horizon": "1 hour"})
    again = Scenario.from_dict(simulate(scenario).manifest["scenario"])
    assert again.model_dump() == scenario.model_dump()


def test_a_manifest_holds_no_nan(run, tmp_path):
    text = (run.save(tmp_path / "one") / "manifest.json").read_text()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_a_folder_that_is_there_is_left_alone(run, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "precious").write_text("data")
    with pytest.raises(BadInput, match="there already"):
        run.save(tmp_path / "there")
    assert [p.name for p in (tmp_path / "there").iterdir()] == ["precious"]
    assert [p.name for p in tmp_path.iterdir()] == ["there"]


def test_a_file_in_the_way_is_bad_input(run, tmp_path):
    (tmp_path / "file").write_text("data")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(BadInput):
            run.save(folder)
    assert (tmp_path / "file").read_text() == "data"


@pytest.mark.parametrize("wrong", [KeyboardInterrupt, OSError("no space left")], ids=["interrupted", "disk full"])
@pytest.mark.parametrize("where", ["write_table", "write_array", "write_text", "rename"])
def test_a_save_that_is_cut_short_leaves_nothing_behind(run, tmp_path, monkeypatch, wrong, where):
    def cut_short(*args, **kwargs):
        raise wrong

    owners = {"write_table": pq, "write_array": np.lib.format}
    monkeypatch.setattr(owners.get(where, Path), where, cut_short)
    with pytest.raises((KeyboardInterrupt, OSError, BadInput)):
        run.save(tmp_path / "one")
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []
    assert_same(run, load_run(run.save(tmp_path / "one")))


@pytest.mark.parametrize("name", ["requests.parquet", "timeline.npz"])
def test_a_table_that_is_cut_short_is_bad_input(run, tmp_path, name):
    folder = run.save(tmp_path / "one")
    whole = (folder / name).read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"neither"):
        (folder / name).write_bytes(content)
        with pytest.raises(BadInput, match="its checksum is another") as damaged:
            load_run(folder)
        assert damaged.value.file == folder / name
    (folder / name).unlink()
    with pytest.raises(BadInput, match="cannot be read"):
        load_run(folder)


@pytest.mark.parametrize("without", [[], ["first"]], ids=["an engine that says which is first", "one that does not"])
def test_the_request_table_does_not_depend_on_the_order_in_which_an_engine_lists_attempts(without):
    retry = {"at_most": 2, "probability": 1, "backoff": {"kind": "exponential", "mean": "1 min"}}
    scenario = plain(behaviour={"retry": retry}, demand=[{"kind": "steady", "rate": "20 per min"}])
    table = simulate(scenario, [Shed(share=0.5)]).requests
    assert (table["first"] != np.arange(len(table))).any()
    coded = {name: column.cat.codes if hasattr(column, "cat") else column for name, column in table.items()}
    log = {name: np.array(column) for name, column in {**coded, "batch": table["batch"].fillna(-1)}.items()}
    log["reason"] = log["reason"] + 1  # in a log 0 is none
    order = np.random.default_rng(1).permutation(len(table))
    shuffled = {name: column[order] for name, column in log.items() if name not in [*without, "pool"]}
    if not without:
        shuffled["first"] = np.argsort(order)[shuffled["first"]]
    pd.testing.assert_frame_equal(request_table(scenario, shuffled, None)[0], table)


@pytest.mark.parametrize("manifest", ["", "[]", "{", "null", '{"format": "meltpoint-run/99"}', "{}", "[" * 100_000])
def test_a_folder_with_another_manifest_is_bad_input(tmp_path, manifest):
    (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(BadInput) as refused:
        load_run(tmp_path)
    assert refused.value.file == tmp_path


def test_what_is_no_folder_of_a_run_is_bad_input(tmp_path):
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path, tmp_path / "none", tmp_path / "file"):
        with pytest.raises(BadInput, match=r"not a saved run|no such folder"):
            load_run(folder)


def test_columns_are_what_the_docstring_says(run):
    text = Run.__doc__ or ""
    for table in TABLES:
        described = text[text.index(f"{table}:") :]
        for column in getattr(run, table).columns:
            assert column in described, f"{table}.{column} is not described"
    assert list(run.requests["outcome"].cat.categories) == list(OUTCOMES)
    assert list(run.requests["reason"].cat.categories) == list(REASONS[1:])


def test_requests_are_in_order_of_arrival_and_batches_of_start(run):
    assert run.requests["arrived"].is_monotonic_increasing
    assert run.batches["started"].is_monotonic_increasing
    assert run.users["arrives"].is_monotonic_increasing
    assert run.batches["batch"].tolist() == list(range(len(run.batches)))
