"""Each run is kept under all that it depends on, written in full or not at all, and never made twice."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext

import pytest

from sim import BadInput, load, sweep
from sim.studies import executors, store
from sim.studies.executors import Local, made
from sim.studies.runs import Runs
from sim.studies.store import Cell, Store
from tests.random_scenarios import plain

STEPS = {"none": [], "bounded": [{"policy": {"kind": "queue bound", "requests": 3}}]}


def cell(seed=1, playbook="none", **settings):
    return Cell(plain(**{"playbooks": STEPS, **settings}), playbook, seed)


def contents(folder):
    return {path.name: path.read_bytes() for path in Store(folder).files()}


def asked(study, cells):
    return study.ask(cells, lambda record: record.figures["attainment"])


def test_a_key_depends_on_what_is_simulated_and_not_on_labels_or_words():
    key = cell().key
    same = [
        cell(title="Another title"),
        cell(horizon="600 s"),
        cell(playbooks={**STEPS, "later": []}),
        cell(overrides={"small": {"scale": 1}}),
        cell(record="timeline"),
    ]
    assert {one.key for one in same} == {key}
    named_otherwise = Cell(plain(playbooks={"nothing": []}), "nothing", 1)
    assert named_otherwise.key == key
    others = [cell(2), cell(playbook="bounded"), cell(horizon="11 min"), cell(pools={"gpus": {"gpus": 2}})]
    others += [cell(alive={"window": "5 min"}), Cell(cell().scenario, "none", 1, unlimited=True)]
    assert len({key, *(one.key for one in others)}) == 1 + len(others)


def test_a_key_depends_on_the_code_and_the_libraries(monkeypatch):
    key = cell().key
    monkeypatch.setattr(store, "code", lambda: "other code")
    other_code = cell().key
    monkeypatch.undo()
    monkeypatch.setattr(store, "versions", lambda: {"numpy": "0"})
    assert len({key, other_code, cell().key}) == 3


def test_a_record_comes_back_as_it_was_with_nan_and_inf(tmp_path):
    closed = cell(playbooks={"none": [{"policy": {"kind": "feature gate", "open": 0}}]})
    record = made(closed, Store(tmp_path))
    assert record.figures["p95_latency"] == float("inf")
    assert repr(Store(tmp_path).get(closed.key)) == repr(record)


def test_no_run_is_made_twice(tmp_path):
    first, again = (Runs(Local(1), Store(tmp_path)) for _ in range(2))
    cells = [cell(seed) for seed in (1, 2, 3)]
    assert asked(first, cells) == asked(again, cells)
    assert (first.made, again.made) == (3, 0)


def test_a_damaged_run_is_made_again_to_the_same_bytes(tmp_path, caplog):
    asked(Runs(Local(1), Store(tmp_path)), [cell()])
    before, path = contents(tmp_path), Store(tmp_path).path(cell().key)
    for damage in (path.read_bytes()[:-9], b"", path.read_bytes().replace(b'"attainment":', b'"attainment": 7e-9')):
        path.write_bytes(damage)
        study = Runs(Local(1), Store(tmp_path))
        asked(study, [cell()])
        assert study.made == 1
        assert contents(tmp_path) == before
    assert "is damaged" in caplog.text


def test_a_study_that_is_killed_repeats_only_what_was_in_flight_and_ends_with_the_same_bytes(tmp_path):
    """SIGKILL after the third of eight runs; the figures of both are those of a study that nobody touched."""
    program = (
        "import os, signal\n"
        "from sim import load, sweep\n"
        "def report(done, planned):\n"
        "    if done == 3:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "sweep(load('steady'), {'pools.gpus.gpus': [3, 4]}, seeds=4, processes=1, store='killed', progress=report)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=False)
    assert ended.returncode == -signal.SIGKILL
    survived = contents(tmp_path / "killed")
    assert 3 <= len(survived) < 8
    vary = {"pools.gpus.gpus": [3, 4]}
    resumed = sweep(load("steady"), vary, seeds=4, processes=1, store=tmp_path / "killed")
    whole = sweep(load("steady"), vary, seeds=4, processes=1, store=tmp_path / "whole")
    assert resumed.equals(whole)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert contents(tmp_path / "killed").items() >= survived.items()


class Dying:
    """A pool whose process dies a number of times, and then works."""

    def __init__(self, deaths):
        self.deaths = deaths

    def submit(self, call, cell):
        future = Future()
        self.deaths -= 1
        if self.deaths >= 0:
            future.set_exception(BrokenProcessPool("killed"))
        else:
            future.set_result(call(cell))
        return future


@pytest.mark.parametrize("deaths", [1, 2])
def test_runs_of_a_process_that_died_are_made_again(monkeypatch, deaths):
    pool = Dying(deaths)
    monkeypatch.setattr(executors, "workers", lambda count: pooled(pool))
    local = Local(2)
    local.seconds = 1e9
    assert asked(Runs(local), [cell(1), cell(2)]) == asked(Runs(Local(1)), [cell(1), cell(2)])


def test_processes_that_die_again_and_again_end_in_a_message(monkeypatch):
    monkeypatch.setattr(executors, "workers", lambda count: pooled(Dying(99)))
    local = Local(2)
    local.seconds = 1e9
    with pytest.raises(BadInput, match="killed again and again"):
        asked(Runs(local), [cell(1), cell(2)])


UNGUARDED = """
from sim.studies.executors import Local
print(list(Local(2).in_processes(abs, [-1, -2], range(2), 2)))
"""


@pytest.mark.parametrize(("guard", "code", "words"), [("", 1, "__main__"), ("if __name__ == '__main__':\n ", 0, "2)")])
def test_a_script_without_a_guard_learns_so_in_one_message(tmp_path, guard, code, words):
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED.replace("print", f"{guard}print"))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    said = done.stderr if code else done.stdout
    assert (done.returncode, done.stderr.count("Traceback")) == (code, code)
    assert words in said.splitlines()[-1]


@pytest.mark.parametrize(("spent", "count"), [(0.0, []), (executors.SHORT + 1, [2])])
def test_a_study_of_many_calls_with_few_short_runs_starts_processes_once_it_has_taken_long(monkeypatch, spent, count):
    started = []
    monkeypatch.setattr(executors, "workers", lambda count: started.append(count) or pooled(Dying(0)))
    local = Local(2)
    local.spent = spent
    assert asked(Runs(local), [cell(2), cell(3)]) == asked(Runs(Local(1)), [cell(2), cell(3)])
    assert started == count


def pooled(pool):
    return nullcontext(pool)


def test_pruning_deletes_other_versions_damaged_runs_and_unfinished_files(tmp_path):
    kept = Store(tmp_path)
    asked(Runs(Local(1), kept), [cell(1), cell(2), cell(3)])
    old, damaged = kept.path(cell(2).key), kept.path(cell(3).key)
    content = json.loads(old.read_text())
    old.write_text(json.dumps({**content, "code": "of another version"}))
    damaged.write_text("{")
    unfinished = old.parent / f".{old.stem}-1-abc"
    unfinished.write_text("half a ru")
    os.utime(unfinished, (0, 0))
    assert [row["current"] for row in kept.listed()].count(True) == 1
    assert kept.prune()[0] == 3
    assert [path.stem for path in kept.files()] == [cell(1).key]
    assert not unfinished.exists()
    assert kept.prune(older=3600.0) == (0, 0)
    assert kept.prune(everything=True)[0] == 1


def test_a_store_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be kept here"):
        asked(Runs(Local(1), Store(tmp_path / "file")), [cell()])
