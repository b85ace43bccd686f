"""Finished work is kept whatever happens after it, nothing else is deleted, and processes end with their parent."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.table import Table
from rich.text import Text

from sim import compare, load, simulate
from sim.calibration.calibrate import FITTED
from sim.cli import reports, run_commands
from sim.cli.console import Console
from sim.cli.main import app, messages_for_wrong_input
from sim.cli.places import (
    GENERATOR,
    begins_with,
    folder_names,
    others,
    refuse_other_file,
    refuse_taken,
    result_folder,
    write_file,
)
from sim.demand.recordings.trace import recording, save_trace
from sim.errors import BadInput
from sim.export.export_folder import check_folder, write_export
from sim.export.schedule import schedule_of
from sim.results.run import load_run
from sim.studies.answer_folder import load_comparison, save_comparison

COMMAND = [sys.executable, "-m", "sim.cli.main"]
QUICK = ["run", "steady", "--set", "horizon=20 min", "--out", "r"]
HALF = "playbooks.half=[{policy: {kind: shed, share: 50 %}}]"


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: str) -> None:
    """The command in this process, without its exit."""
    app(list(arguments), standalone_mode=False)


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_results_stay_when_drawing_the_report_fails_and_report_makes_it_again(here, monkeypatch, capsys, stop):
    def fail(*_):
        raise stop

    said = ""
    with monkeypatch.context() as broken:
        broken.setattr("sim.report.render", fail)
        try:
            call(*QUICK)  # returns where it was interrupted
        except (BadInput, MemoryError) as ended:
            said = str(ended)
    assert "meltpoint report r" in capsys.readouterr().err + said
    assert not (here / "r/report.html").exists()
    call("report", "r")
    assert GENERATOR in (here / "r/report.html").read_text()


def test_a_comparison_stays_too_and_comes_back_as_it_was(here, monkeypatch, capsys):
    compared = ["compare", "steady", "--set", "horizon=20 min", "--set", HALF, "--seeds", "1", "--out", "c"]
    whole = {}
    monkeypatch.setattr(run_commands, "report_beside", lambda runs, about, folder: nullcontext(whole.update(c=about)))
    call(*compared)
    again, runs = load_comparison(here / "c")
    assert again.table.equals(whole["c"].table)
    assert again.differences.equals(whole["c"].differences)
    assert (again.playbooks, again.seeds, again.baseline) == (["none", "half"], [1], "none")
    assert [run.manifest["playbook"] for run in runs] == ["none", "half"]
    text = (here / "c/runs.csv").read_text()
    (here / "c/runs.csv").write_text(text.replace("half", "none"))
    with pytest.raises(BadInput, match="its checksum is another"):
        load_comparison(here / "c")


def test_an_earlier_result_is_put_back_when_the_new_one_cannot_be_saved(here, monkeypatch):
    call(*QUICK)
    before = (here / "r/manifest.json").read_text()
    with monkeypatch.context() as full:
        full.setattr("pyarrow.parquet.write_table", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(BadInput, match="cannot be written"):
            call(*QUICK, "--replace", "--seed", "2")
    assert (here / "r/manifest.json").read_text() == before
    assert [path.name for path in here.iterdir()] == ["r"]


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Writing fails midway, once a file has a given number of bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def writers(here: Path) -> dict[str, Callable[[], object]]:
    """What writes results, each to a place of its own in a folder that holds the run r and the comparison c."""
    run, (comparison, runs) = load_run(here / "r"), load_comparison(here / "c")
    table = pd.DataFrame({"x": np.arange(3000.0)})
    schedule = schedule_of(run)
    return {
        "run": lambda: run.save(here / "new"),
        "compare": lambda: save_comparison(comparison, runs, here / "new"),
        "report": lambda: reports.write_report([run], None, here / "r", here / "new.html"),
        "export": lambda: write_export(schedule, here / "new", ["csv"], url="http://localhost"),
        "table": lambda: write_file(table, here / "new.csv"),
        "parquet": lambda: write_file(table, here / "new.parquet"),
        "text": lambda: write_file("x" * 30_000, here / "new.json"),
    }


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    steady = load("steady", sets={"horizon": "20 min"})
    simulate(steady).save(folder / "r")
    save_comparison(*compare(steady, seeds=1), folder / "c")
    return folder


@pytest.mark.parametrize("size", [0, 15_000])
@pytest.mark.parametrize("what", ["run", "compare", "report", "export", "table", "parquet", "text"])
def test_what_cannot_be_written_in_full_leaves_nothing_and_is_one_message(results, monkeypatch, capsys, what, size):
    monkeypatch.setattr("sim.report.render", lambda *_: "x" * 30_000)  # drawn in a test of its own
    before = sorted(results.rglob("*"))
    write = writers(results)[what]
    with files_of_at_most(size), pytest.raises(SystemExit) as ended, messages_for_wrong_input():
        write()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("meltpoint: ")
    assert sorted(results.rglob("*")) == before


def test_a_file_is_written_through_a_link_and_never_in_its_place(here):
    (here / "real.csv").write_text("old")
    (here / "link.csv").symlink_to(here / "real.csv")
    write_file("new", here / "link.csv")
    assert (here / "link.csv").is_symlink()
    assert (here / "real.csv").read_text() == "new"


def result(folder: Path) -> Path:
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"format": "meltpoint-run/6"}))
    return folder


def test_replace_deletes_only_what_its_format_says_is_a_result(here):
    mine = result(here / "mine")
    assert result_folder(mine, "", replace=True) == mine
    (here / "link").symlink_to(mine)
    (here / "dangling").symlink_to("nowhere")
    (here / "other").mkdir()
    (here / "other/manifest.json").write_text('{"name": "an app", "format": 3}')
    (here / "source.py").write_text("1")
    for name in ("link", "dangling", "other", "source.py", "/dev/null"):
        with pytest.raises(BadInput, match="there already"):
            result_folder(here / name, "", replace=True)
    for name in ("thesis.txt", "figures.csv", "notes.json", "own.png", "requests.csv"):
        (mine / name).write_text("years of work")
        with pytest.raises(BadInput, match="would be lost"):
            result_folder(mine, "", replace=True)
        assert [path.name for path in others(mine)] == [name]
        (mine / name).unlink()


def test_replace_takes_the_place_of_a_file_of_the_same_kind_only(here):
    earlier, other = here / "earlier.yaml", here / "other.yaml"
    earlier.write_text(FITTED + "title: a\n")
    other.write_text("title: by hand\n")
    (here / "link.yaml").symlink_to(earlier)
    refuse_taken(here / "new.yaml", begins_with(FITTED), replace=False)
    refuse_taken(earlier, begins_with(FITTED), replace=True)
    for name, replace in (("earlier.yaml", False), ("other.yaml", True), ("link.yaml", True), (".", True)):
        with pytest.raises(BadInput, match="there already"):
            refuse_taken(here / name, begins_with(FITTED), replace=replace)
    with pytest.raises(BadInput, match="there already"):
        save_trace(recording(np.array([1.0]), "a.csv"), other, replace=True)
    assert other.read_text() == "title: by hand\n"


def test_an_export_takes_the_place_of_nothing_but_an_export(here):
    folder = here / "mine"
    folder.mkdir()
    (folder / "schedule.json").write_text('{"seed": 1, "rates": {}, "url": ""}')
    check_folder(folder, replace=True)
    (folder / "thesis.txt").touch()
    with pytest.raises(BadInput, match="there already"):
        check_folder(folder, replace=True)
    (folder / "thesis.txt").unlink()
    (folder / "schedule.json").write_text("{}")
    with pytest.raises(BadInput, match="there already"):
        check_folder(folder, replace=True)


def test_a_place_where_nothing_can_be_written_is_refused_before_anything_is_simulated(here, monkeypatch):
    (here / "file").touch()
    for out in (here / "file" / "below", here / ("long" * 100), here / "nul\0"):
        with pytest.raises(BadInput, match="nothing can be written"):
            result_folder(out, "", replace=False)
    usage = type("Usage", (), {"free": 10**6})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(BadInput, match="are free there"):
        result_folder(here / "new", "", replace=False)
    assert [path.name for path in here.iterdir()] == ["file"]


def test_a_report_replaces_a_report_and_no_other_file(here):
    (here / "report.html").write_text(f"<html>{GENERATOR}")
    refuse_other_file(here / "report.html")
    refuse_other_file(here / "new.html")
    (here / "notes.html").write_text("<html>")
    (here / "link.html").symlink_to(here / "report.html")
    for name in ("notes.html", "link.html", "/dev/null", "."):
        with pytest.raises(BadInput):
            refuse_other_file(here / name)


@pytest.mark.parametrize(
    "name", ["../up", "/abs", "a/b", "a\\b", ".hidden", "x" * 101, "", " ", "a\x1b[31m", "a\nb", "c:"]
)
def test_a_playbook_whose_name_would_form_a_path_is_refused(name):
    with pytest.raises(BadInput, match="folder"):
        folder_names(["none", name], "s.yaml")


@pytest.mark.parametrize("names", [["report.html"], ["Runs.csv"], ["shed", "Shed"]])
def test_playbooks_whose_folders_would_meet_something_else_are_refused(names):
    with pytest.raises(BadInput, match="one name"):
        folder_names(names, "s.yaml")


def test_control_characters_reach_the_terminal_as_escapes(capsys):
    table = Table("head\x1b]0;pwned\x07", title="\x1b[2J")
    table.add_row(Text("cell\x1b[31m"))
    Console(width=200).print("line\x1b[1m", Text("text\x9b"), table)
    shown = capsys.readouterr().out
    assert not set(shown) & {"\x1b", "\x07", "\x9b"}
    for part in (r"line\x1b[1m", r"text\x9b", r"cell\x1b[31m", r"\x1b[2J"):
        assert part in shown
    assert "\x1b" not in str(BadInput("head\x1b", expected="a\x1b\nb"))


SLEEPERS = """
import multiprocessing, os, pathlib, signal, sys, time
from sim.engine.parallel import in_parallel

def sleep(_, number, report):
    pathlib.Path(f"pid-{number}").write_text(str(os.getpid()))
    time.sleep(120)

def note(_):
    for child in multiprocessing.active_children():
        pathlib.Path(f"pid-child-{child.pid}").write_text(str(child.pid))

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    in_parallel(sleep, None, [(0,), (1,)], processes=2, progress=note)
"""


def runs(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(shown.strip()) and not shown.startswith("Z")


def wait_until(holds: Callable[[], bool]) -> bool:
    """Whether something becomes true within two minutes: machines that test are busy."""
    deadline = time.monotonic() + 120
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.1)
    return holds()


def noted(folder: Path) -> set[int]:
    """The processes that have been written down."""
    return {int(text) for path in folder.glob("pid-*") if (text := path.read_text())}


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_processes_end_with_their_parent(tmp_path, how):
    (tmp_path / "sleepers.py").write_text(SLEEPERS)
    root = str(Path(__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": root}
    with subprocess.Popen([sys.executable, "sleepers.py"], cwd=tmp_path, env=environment) as parent:
        assert wait_until(lambda: len(noted(tmp_path)) == 3), "two that work, and one that keeps what they report"
        pids = noted(tmp_path)
        assert all(map(runs, pids))
        parent.send_signal(how)
        assert parent.wait(240) == (143 if how == signal.SIGTERM else -signal.SIGKILL)
    assert wait_until(lambda: not any(map(runs, pids)))
