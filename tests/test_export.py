"""An exported schedule holds every ask at its instant, and the scripts beside it send them so."""

import csv
import json
import math
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec

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
from tests.tables import attempt, run_of

URL = "http://staging.example/v1/images"


@pytest.fixture(scope="module")
def steady():
    """A run on an unlimited fleet: one ask a second, for two hours."""
    return simulate(load("steady"), unlimited=True)


def by_hand(*attempts, **facts):
    return run_of(*attempts, **{"scenario": {}, "versions": {}, **facts})


def at(*instants, **facts):
    """The schedule of asks at these instants, each of another user, until the horizon at 100 s."""
    return schedule_of(by_hand(*(attempt(t, user=n) for n, t in enumerate(instants)), **facts))


def read(folder):
    with (folder / "schedule.csv").open(newline="") as file:
        return list(csv.DictReader(file))


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


# k6 itself is a Go program; its script runs here in Node on stubs of k6's modules and a clock that only sleep moves.
HARNESS = """
import { readFileSync } from 'node:fs';
globalThis.__ENV = JSON.parse(process.argv[2]);
globalThis.open = (name) => readFileSync(new URL(name, import.meta.url), 'utf8');
globalThis.k6 = { now: 5000, posts: [], lateness: [] };
Date.now = () => globalThis.k6.now;
const script = await import('./k6.js');
const exec = (await import('k6/execution')).default;
for (let i = 0; i < Number(process.argv[3]); i++) {
  exec.scenario = { iterationInTest: i, startTime: 5000 };
  script.default();
}
console.log(JSON.stringify({ ...globalThis.k6, options: script.options, rows: script.rows(open('./schedule.csv')) }));
"""
STUBS = {
    "index.js": "export const sleep = (s) => { globalThis.k6.now += 1000 * s; };",
    "http.js": "export default { post: (url, body) => globalThis.k6.posts.push({ url, body, at: Date.now() }) };",
    "execution.js": "export default { scenario: {} };",
    "data.js": "export class SharedArray { constructor(name, make) { return make(); } }",
    "metrics.js": "export class Trend { add(value) { globalThis.k6.lateness.push(value); } }",
}


def played_in_node(folder, *, asks, **env):
    """What the exported k6 script does with so many iterations."""
    if shutil.which("node") is None:
        pytest.skip("Node.js is not installed")
    modules = folder / "node_modules" / "k6"
    modules.mkdir(parents=True)
    for name, text in STUBS.items():
        (modules / name).write_text(text)
    exports = {".": "./index.js", **{f"./{name[:-3]}": f"./{name}" for name in STUBS}}
    (modules / "package.json").write_text(json.dumps({"name": "k6", "type": "module", "exports": exports}))
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "harness.js").write_text(HARNESS)
    command = ["node", str(folder / "harness.js"), json.dumps(env), str(asks)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_k6_script_posts_each_ask_at_its_instant(tmp_path):
    run = by_hand(attempt(0.5, user=7), attempt(2.25, user=8, feature="video", tier="plus"), attempt(2.25, user=9))
    write_export(schedule_of(run), tmp_path / "out", ["k6"], url=URL)
    did = played_in_node(tmp_path / "out", asks=4)  # one more than there are: it does nothing
    assert [post["at"] - 5000 for post in did["posts"]] == [500, 2250, 2250]
    assert did["lateness"] == [0, 0, 0]
    assert {post["url"] for post in did["posts"]} == {URL}
    wanted = {"user": 8, "tier": "plus", "feature": "video", "model": "model"}
    wanted |= {"side": 480, "steps": 50, "frames": 81, "images": 1}
    assert wanted in [json.loads(post["body"]) for post in did["posts"]]
    (how,) = did["options"]["scenarios"].values()
    assert (how["executor"], how["vus"], how["iterations"]) == ("shared-iterations", 3, 3)


def test_the_k6_script_reads_names_with_commas_quotes_and_new_lines(tmp_path):
    schedule, name = at(1, 2), 'free, "as in\nbeer"'
    write_export(
        type(schedule)(schedule.asks.assign(tier=name), schedule.length, schedule.about),
        tmp_path / "out",
        ["k6"],
        url=URL,
    )
    did = played_in_node(tmp_path / "out", asks=0)
    assert [(row["tier"], row["t_s"]) for row in did["rows"]] == [(name, 1), (name, 2)]


class Stub(ThreadingHTTPServer):
    """A server on a free port that notes when each ask came, and takes its time to answer."""

    request_queue_size = 512
    daemon_threads = True

    def __init__(self, seconds):
        self.seconds, self.arrivals = seconds, []
        super().__init__(("127.0.0.1", 0), Answer)


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        now = time.monotonic()
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.arrivals.append((now, self.path, content))
        time.sleep(self.server.seconds)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def sent(steady, tmp_path_factory):
    """What Locust did with forty seconds' asks in four, in one process and in two (at the same time, to save time)."""
    if find_spec("locust") is None:
        pytest.skip("Locust is not installed (pip install locust)")
    schedule, folder = schedule_of(steady, begin=600, end=640, speed=10), tmp_path_factory.mktemp("locust") / "out"
    write_export(schedule, folder, ["locust"], url=URL)
    started = [locust(folder), locust(folder, "--processes", "2")]
    ended = []
    for server, process in started:
        try:
            _, said = process.communicate(timeout=240)
        finally:
            process.kill()
        server.shutdown()
        server.server_close()
        ended.append((process.returncode, said, server.arrivals))
    return schedule.asks.set_index("user"), ended


def locust(folder, *options):
    """Locust at work on an exported folder, and the server that it asks."""
    server = Stub(seconds=0.8)  # one at a time, forty asks would take half a minute
    threading.Thread(target=server.serve_forever, daemon=True).start()
    command = [sys.executable, "-m", "locust", "-f", "locustfile.py", "--headless", "--only-summary", *options]
    command += ["--host", f"http://127.0.0.1:{server.server_port}"]
    env, silent = os.environ | {"LEAD": "1", "TIMEOUT": "20"}, subprocess.DEVNULL
    return server, subprocess.Popen(command, cwd=folder, env=env, stdout=silent, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("processes", [1, 2])
def test_locust_sends_each_ask_once_at_its_instant_however_slow_the_answers(sent, processes):
    wanted, ended = sent
    code, said, arrivals = ended[processes - 1]
    assert code == 0, said
    assert {path for _, path, _ in arrivals} == {"/v1/images"}
    assert Counter(content["user"] for _, _, content in arrivals) == Counter(wanted.index)
    assert all(content == asked(wanted, content["user"]) for _, _, content in arrivals)
    late = np.array([now - wanted["t_s"][content["user"]] for now, _, content in arrivals])
    assert np.median(late - late.min()) < 4  # one after another would be ten and more, however busy the machine is
    assert np.ptp([now for now, _, _ in arrivals]) > 1  # of four; all at once would be next to nothing
    assert f"lateness of {len(wanted)} asks: p50" in said
    assert "not answered" not in said


def asked(wanted, user):
    """What is posted for the only ask of a user."""
    row = wanted.loc[user].drop("t_s").to_dict()
    return {"user": user, **row}


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
