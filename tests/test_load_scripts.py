"""The scripts for k6 and Locust send each ask of a schedule once, at its instant."""

import json
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
import pytest

from sim.export.export_folder import write_export
from sim.export.schedule import schedule_of
from tests.schedules import URL, at, by_hand, steady_run
from tests.tables import attempt

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
    """Run the exported k6 script for a number of iterations: its posts, how late they are, its options and its rows."""
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
def sent(tmp_path_factory):
    """What Locust did with forty seconds' asks in four, in one process and in two (at the same time, to save time)."""
    if find_spec("locust") is None:
        pytest.skip("Locust is not installed (pip install locust)")
    schedule, folder = (
        schedule_of(steady_run(), begin=600, end=640, speed=10),
        tmp_path_factory.mktemp("locust") / "out",
    )
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
