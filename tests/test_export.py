"""An exported schedule holds every ask at its instant, and files to send them with stand beside it."""

import json
import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from sim.cli.export_command import seconds_of
from sim.cli.main import app
from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.export.export_folder import TARGETS, TEMPLATES, check_url, targets_of, write_export
from sim.export.schedule import COLUMNS, rates, schedule_of, sentences, spec_of, virtual_users
from sim.model.request import Spec
from sim.results.manifest import FORMAT
from sim.scenario.load import load
from tests.schedules import URL, at, by_hand, read, steady_run
from tests.tables import attempt


@pytest.fixture(scope="module")
def steady():
    return steady_run()


def test_a_schedule_holds_what_is_asked_for_in_the_window_and_when():
    run = by_hand(
        attempt(9.5, user=1),
        attempt(10, user=2),
        attempt(14, user=3, feature="video", tier="plus"),
        attempt(20, user=4),
    )
    schedule = schedule_of(run, begin=10, end=20, speed=4)
    assert list(schedule.asks.columns) == list(COLUMNS)
    assert schedule.asks.values.tolist() == [
        [0.0, 2, "free", "image", "model", 1024, 28, 1, 1],
        [1.0, 3, "plus", "video", "model", 480, 50, 81, 1],
    ]
    assert schedule.length == 2.5
    assert schedule.about["from"] == "2025-01-01T00:00:10+00:00"


def test_chats_are_exported_with_the_lengths_that_they_were_drawn_with():
    """Geometric lengths of mean 300 have a deviation of as much: a load test with 300 for all would be another."""
    hour = load("chat-beside-images", sets={"horizon": "4 min", "record": "rows"})
    run = simulate(hour, unlimited=True)
    asks = schedule_of(run).asks
    chats = asks[asks["feature"] == "chat"]["steps"]
    first = run.requests[run.requests["attempt"] == 0]
    assert chats.tolist() == first[first["feature"] == "chat"]["tokens"].astype(int).tolist()
    assert (chats.mean(), chats.std()) == (pytest.approx(300, rel=0.05), pytest.approx(300, rel=0.05))
    assert set(asks[asks["feature"] == "image"]["steps"]) == {28}


def test_retries_are_left_out_unless_wanted():
    run = by_hand(attempt(1, refused="shed", retry=True), attempt(5, number=1), attempt(7, ask=1))
    assert schedule_of(run).asks["t_s"].tolist() == [1, 7]
    assert schedule_of(run, retries=True).asks["t_s"].tolist() == [1, 5, 7]


def test_the_asks_of_a_scenario_are_those_of_an_unlimited_fleet(steady):
    asks = schedule_of(steady, begin=600, end=1200, speed=10).asks
    arrived = steady.requests["arrived"].to_numpy()
    inside = arrived[(arrived >= 600) & (arrived < 1200)]
    assert ((asks["t_s"] == (inside - 600) / 10).all(), len(asks) == len(inside)) == (True, True)
    assert set(asks["model"]) == {"two-seconds"}


@pytest.mark.parametrize(
    "spec", [Spec("m"), Spec("a/b", 512, 4), Spec("v/512px/3st", 480, 50, 81), Spec("m", 1024, 28, 1, 4), Spec("", 8)]
)
def test_a_label_says_all_of_its_spec(spec):
    assert spec_of(spec.label) == spec


def test_thinning_keeps_whole_people_and_fewer_of_the_same_for_a_smaller_share():
    run = by_hand(*(attempt(n % 90, user=n // 2, ask=n % 2) for n in range(2000)))
    asks = Counter(run.requests["user"])
    half, tenth = (Counter(schedule_of(run, times=share).asks["user"]) for share in (0.5, 0.1))
    assert all(asks[user] == number for user, number in half.items())
    assert set(tenth) < set(half)


def test_thinning_keeps_its_share_of_the_people():
    people, share, seeds = 500, 0.3, 40
    attempts = [attempt(1, user=n) for n in range(people)]
    kept = [len(schedule_of(by_hand(*attempts, seed=seed), times=share).asks) for seed in range(seeds)]
    n = people * seeds
    assert abs(sum(kept) - share * n) / math.sqrt(share * (1 - share) * n) < 3.5
    z_of_spread = (np.var(kept, ddof=1) / (share * (1 - share) * people) - 1) / math.sqrt(2 / (seeds - 1))
    assert abs(z_of_spread) < 3.5


def test_the_rates_are_those_of_the_replay_and_of_the_whole_service():
    crowd = [n / 250 for n in range(500)]  # 250 a second for two seconds, then one ask in the end
    run = by_hand(*(attempt(t, user=n) for n, t in enumerate([*crowd, 99])), scale=0.01)
    schedule = schedule_of(run, speed=2)
    r = rates(schedule)
    assert (r.mean, r.peak, r.peak_at) == (501 / 50, 500, 0)
    assert (r.full_mean, r.full_peak, r.width) == pytest.approx((501, 25_000, 1))
    assert sentences(schedule)[0] == "501 requests by 501 users in 50 s (100 s of the scenario at 2 times its speed)."


def test_the_peak_of_a_thin_slice_is_counted_over_enough_asks():
    r = rates(at(*np.linspace(0, 99, 200)))
    assert (r.width, r.full_peak) == (60, pytest.approx(2, abs=0.1))
    assert rates(at(0, 0, 50)).width == 100  # too few for any: the whole window


def test_floats_come_back_bit_for_bit(steady, tmp_path):
    schedule = schedule_of(steady, speed=7)
    write_export(schedule, tmp_path / "out", ["csv"], url=URL)
    assert [float(row["t_s"]) for row in read(tmp_path / "out")] == schedule.asks["t_s"].tolist()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["schedule.csv", "schedule.json"]


def test_k6_gets_twice_the_virtual_users_that_are_busy_at_the_peak():
    served = [attempt(1 + n / 100, user=n, started=5.0, finished=9.0 + n / 100, batch="all") for n in range(50)]
    assert virtual_users(schedule_of(by_hand(*served))) == 2 * 50 * 8
    assert virtual_users(at(50)) == 2 * 10  # nobody was served: ten seconds are taken


def test_every_target_has_its_files():
    assert {name for names in TARGETS.values() for name in names} == {path.name for path in TEMPLATES.glob("*.*")}
    assert targets_of(" k6 ,csv") == ["k6", "csv"]


@pytest.mark.parametrize("url", ["", "staging.example/v1", "ftp://a/b", "http://", "http://a b/c", "http://a:70000/"])
def test_an_address_that_nothing_can_be_sent_to_is_refused(url):
    with pytest.raises(BadInput, match="nothing can be sent there"):
        check_url(url)


@pytest.mark.parametrize(
    "wishes",
    [
        {"begin": 100},
        {"begin": -1},
        {"begin": 20, "end": 20},
        {"end": 101},
        {"end": math.inf},
        {"begin": 60},
        {"speed": 0},
        {"speed": math.nan},
        {"speed": math.inf},
        {"times": 0},
        {"times": 1.5},
        {"times": math.nan},
    ],
    ids=str,
)
def test_a_window_a_speed_or_a_share_that_makes_no_sense_is_refused(wishes):
    with pytest.raises(BadInput):
        schedule_of(by_hand(attempt(1), attempt(50)), **wishes)


def export(*arguments):
    done = CliRunner().invoke(app, ["demand", "export", *map(str, arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception  # as main() gets it, which prints a BadInput and exits with 2
    return done


def test_the_command_exports_a_scenario(tmp_path):
    out = tmp_path / "out"
    done = export("steady", "--seed", 2, "--from", "2025-01-01 00:10", "--until", "20 min", "--speed", 10, "--out", out)
    assert "(10 min of the scenario at 10 times its speed)" in " ".join(done.stdout.split())
    assert "if nobody had to wait" in done.stdout
    about = json.loads((out / "schedule.json").read_text())
    assert (about["seed"], about["from_s"], about["until_s"], about["length_s"]) == (2, 600, 1200, 60)
    assert about["asks"] == len(read(out)) == len(set(pd.read_csv(out / "schedule.csv")["user"]))
    assert (out / "k6.js").is_file()
    assert (out / "locustfile.py").is_file()


@pytest.mark.parametrize("record", ["timeline", "{sample: 10 %}"])
def test_a_scenario_that_records_few_rows_is_exported_in_full(tmp_path, record):
    """The recording is for figures; a tenth of the requests is no schedule, and none of them is not 'nobody asks'."""
    export("steady", "--set", f"record={record}", "--to", "csv", "--out", tmp_path / "out")
    assert len(read(tmp_path / "out")) == 7242
    few = simulate(load("steady", sets={"record": {"sample": "10 %"} if "sample" in record else record}))
    with pytest.raises(BadInput, match="not every row"):
        schedule_of(few)


def test_the_command_exports_a_saved_run_and_replaces_an_earlier_export(tmp_path):
    run, out = tmp_path / "run", tmp_path / "out"
    by_hand(attempt(1, refused="shed", retry=True), attempt(5, number=1), format=FORMAT).save(run)
    export(run, "--out", out)
    assert [row["t_s"] for row in read(out)] == ["1.0"]
    export(run, "--retries", "--replace", "--to", "csv", "--out", out)
    assert [row["t_s"] for row in read(out)] == ["1.0", "5.0"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]
    with pytest.raises(BadInput, match="there already"):
        export(run, "--out", out)
    with pytest.raises(BadInput, match="there already"):
        export("steady", "--replace", "--out", run)
    with pytest.raises(BadInput, match="cannot be changed"):
        export(run, "--seed", 1, "--out", tmp_path / "new")


@pytest.mark.parametrize(
    ("text", "at"), [("0", 0), ("90 min", 5400), ("1 h 30 min", 5400), ("1h 30.5min", 5430), ("2025-01-01 01:00", 3600)]
)
def test_an_instant_is_a_duration_in_one_part_or_more_or_a_date(text, at):
    assert seconds_of("--from", text, load("steady").start) == at


@pytest.mark.parametrize(
    "arguments",
    [
        ["nowhere"],
        ["steady", "--to", "csv,jmeter"],
        ["steady", "--to", ","],
        ["steady", "--url", "nowhere"],
        ["steady", "--set", "horizon"],
        ["steady", "--from", "soon"],
        ["steady", "--from", "1 h 3 moons"],
        ["steady", "--from", "30 min 1"],
        ["steady", "--from", "2024-01-01"],
        ["steady", "--until", "never"],
        ["steady", "--retries"],
        ["steady", "--speed", "-1"],
    ],
    ids=" ".join,
)
def test_wrong_input_is_told_and_writes_nothing(tmp_path, arguments):
    with pytest.raises(BadInput):
        export(*arguments, "--out", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="cannot be written"):
        write_export(at(1), tmp_path / "file" / "out", ["csv"], url=URL)
