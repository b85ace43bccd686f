"""The pages on which settings are moved: what they show is of runs that were made, and wrong input is named."""

import json
import re
import threading

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from sim import BadInput, Scenario, load, simulate, sweep, verdict
from sim.cli.main import app
from sim.cli.places import write_file
from sim.explorer.answers import FIRST, OWN, REFINED, answer
from sim.explorer.latest import Latest
from sim.explorer.offline import offline_page
from sim.explorer.settings import Chosen, read, settings_of, written
from sim.studies.figures import figures
from tests.random_scenarios import plain

CALLS = CliRunner()


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """A saved sweep of two keys and two playbooks, whose texts try to act in a page."""
    here = tmp_path_factory.mktemp("grid") / "grid.parquet"
    books = {"none": [], "</script><b>": [{"policy": {"kind": "shed", "share": 0.5}}]}
    scenario = plain(title="</script><script>alert(1)</script>", playbooks=books)
    vary = {"pools.gpus.gpus": "10,2", "demand.times": "1,5"}
    table = sweep(scenario, vary, list(books), seeds=1, store=False, processes=1)
    write_file(table, here)
    return here, scenario, table


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])


def test_the_offline_page_holds_the_means_of_the_sweep_in_the_order_of_the_values(grid):
    path, _, table = grid
    data = data_of(offline_page(path))
    assert data["keys"][0] == {"name": "pools.gpus.gpus", "values": ["2", "10"]}
    assert len(data["cells"]) == 2 * 2 * 2
    place = 1 + next(n for n, f in enumerate(data["figures"]) if f["column"] == "attainment")
    for at, gpus in enumerate((2, 10)):
        rows = table[(table["pools.gpus.gpus"] == gpus) & (table["demand.times"] == 5) & (table["playbook"] == "none")]
        assert data["cells"][f"{at},1,0"][place][0] == pytest.approx(rows["attainment"].mean(), abs=1e-6)


def test_the_offline_page_loads_nothing_runs_only_its_own_script_and_names_its_sources(grid):
    path, scenario, table = grid
    page = offline_page(path)
    assert offline_page(path) == page
    assert not re.search(r'(src|href)="(?!#)', page)
    assert page.count("<script") == 2
    assert "alert(1)</script>" not in page
    assert scenario.digest in page
    assert table.attrs["made_from"]["code"] in page
    assert next(iter(scenario.used_profiles.values())).sha256[:16] in page


def test_what_is_no_saved_grid_is_refused(grid, tmp_path):
    path, scenario, table = grid
    write_file(table, tmp_path / "t.csv")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and no more")
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "other.parquet")
    filled = sweep(scenario, {"demand.times": "1..2"}, design="sobol", points=2, store=False, processes=1)
    write_file(filled, tmp_path / "sobol.parquet")
    for name in ("t.csv", "t.parquet", "other.parquet", "sobol.parquet", "absent.parquet"):
        with pytest.raises(BadInput, match="expected:"):
            offline_page(tmp_path / name)
    for wrong in (["steady", "--offline", str(path)], [], ["steady", "--out", "x.html"]):
        done = CALLS.invoke(app, ["explore", *wrong])
        assert isinstance(done.exception, BadInput)


def test_the_command_writes_the_page_and_replaces_no_other_file(grid, tmp_path):
    (tmp_path / "mine.html").write_text("mine")
    assert CALLS.invoke(app, ["explore", "--offline", str(grid[0]), "--out", str(tmp_path / "p.html")]).exit_code == 0
    assert CALLS.invoke(app, ["explore", "--offline", str(grid[0]), "--out", str(tmp_path / "p.html")]).exit_code == 0
    done = CALLS.invoke(app, ["explore", "--offline", str(grid[0]), "--out", str(tmp_path / "mine.html")])
    assert isinstance(done.exception, BadInput)


def test_every_value_on_a_slider_can_be_simulated_and_an_address_restores_it():
    s = load("viral-image-launch")
    for playbook in ("none", "degrade", "on-call"):
        for setting in settings_of(s, playbook):
            assert setting.own in setting.values
            low, *_, high = setting.values
            for value in {low, high} - {setting.own}:
                sides = {"a": Chosen(playbook, {setting.key: value}), "b": Chosen("none", {})}
                assert read(s, written(sides)) == (sides, [])


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("?a.pools.fleet.gpus=abc", "a count"),
        ("?a.pools.fleet.gpus=6100", "a whole number"),
        ("?a.playbook=nope", "no such playbook"),
        ("?c.x=1", "no setting"),
        ("?a.title=x", "no such setting"),
        ("?b.behaviour.retry.probability=3", "Expected"),
        ("?b.demand.times=-1", "Expected"),
    ],
)
def test_a_wrong_value_in_an_address_is_named_and_the_own_one_used(query, said):
    sides, problems = read(load("viral-image-launch"), query)
    assert len(problems) == 1
    assert said in problems[0]
    assert sides["a"] == Chosen("none", {})


def test_the_refined_picture_has_ten_gpus_or_more_and_the_last_the_ticks_of_the_scenario():
    s = load("viral-image-launch").with_(horizon="24 hours")
    side = Chosen("degrade", {"pools.fleet.gpus": 7000})
    first, refined = (answer(s, side, stage, lambda: None) for stage in (FIRST, REFINED))
    assert first.scenario.gpus("fleet") < 10 <= refined.scenario.gpus("fleet")
    assert "fewer than ten GPUs" in first.slice_in_words
    assert "7 k GPUs" in refined.slice_in_words
    assert first.scenario.control_tick == 720 > refined.scenario.control_tick
    assert "policies look every 12 min instead of every 60 s" in first.slice_in_words
    assert refined.scenario.control_tick == s.control_tick
    assert answer(s, side, OWN, lambda: None) is None


def test_an_answer_has_the_figures_of_its_run():
    s = plain(horizon="10 min")
    found = answer(s, Chosen("none", {"demand.times": 3}), REFINED, lambda: None)
    assert found.scenario.scale == 1
    alone = verdict(simulate(plain(horizon="10 min", demand=[{"kind": "steady", "rate": "3 per min"}]), seed=1))
    assert found.figures["attainment"] == pytest.approx(alone.life.attainment)
    assert repr(found.figures) == repr(figures(found.run))  # of the bins added up once, and of all that were recorded
    wanted = found.over_time["wanted"]
    assert wanted.sum() * 600 / len(wanted) == pytest.approx(alone.counts["intents"])


@pytest.mark.parametrize(
    ("demand", "said"),
    [
        ([{"kind": "spike", "people": 3, "from": "599 s", "lasting": "1 s"}], "NOTHING WAS DECIDED"),
        ([{"kind": "steady", "rate": 0}], "NOBODY CAME"),
    ],
)
def test_a_setting_in_which_nothing_is_decided_is_neither_alive_nor_dead(demand, said):
    steady = load("steady", sets={"warm_up": "0 s", "horizon": "10 min", "demand": demand})
    assert answer(steady, Chosen("none", {}), FIRST, lambda: None).sentence.startswith(said)


def test_a_fleet_of_which_no_small_slice_can_be_run_is_refused():
    many = [{"kind": "steady", "rate": "30 per second"}]
    s = load("steady").with_(horizon="2 days", demand=many, pools={"gpus": {"gpus": 6007}})  # a prime
    with pytest.raises(BadInput, match="small enough"):
        answer(s, Chosen("none", {}), REFINED, lambda: None)


def test_only_the_latest_wish_is_answered_and_quick_pictures_come_first():
    began, go, seen, all_seen = threading.Event(), threading.Event(), [], threading.Event()

    def work(wish, stage, go_on):
        if wish == "old":
            began.set()
            go.wait(10)
            go_on()  # raises: a newer wish is there
        return f"{wish} {stage}"

    def done(wish, stage, result):
        seen.append(result)
        if len(seen) == 4:
            all_seen.set()

    worker = Latest(work, stages=2)
    worker.ask("a", "old", done)
    assert began.wait(10)
    worker.ask("a", "new", done)
    worker.ask("b", "other", done)
    go.set()
    assert all_seen.wait(10)
    assert sorted(seen[:2]) == ["new 0", "other 0"]
    assert sorted(seen[2:]) == ["new 1", "other 1"]
    worker.close()


def test_a_setting_as_a_file_is_the_scenario_that_was_run(tmp_path):
    page = pytest.importorskip("sim.explorer.live_page", reason="needs the extra 'explore'", exc_type=ImportError)
    s, side = load("surge"), Chosen("none", {"pools.gpus.gpus": 96, "demand.times": 2})
    assert Scenario.from_dict(yaml.safe_load(page.yaml_text(s, side))) == side.applied(s)
