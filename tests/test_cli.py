"""The command line as a person uses it: what it prints, what it writes, and how it refuses."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest

from sim import load, plots, shipped, simulate
from sim.cli.main import main
from sim.cli.scenario_commands import json_schema
from sim.engine.compiled.engine import CompiledEngine

COMMAND = [sys.executable, "-m", "sim.cli.main"]


@pytest.fixture
def here(tmp_path, monkeypatch, capsys):
    """Runs the command in an empty folder, in this process: its exit code, and what it writes."""

    def call(*arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["meltpoint", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code or 0, *capsys.readouterr()

    return call


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


SHORT = ("--set", "horizon=20 min")


@pytest.fixture
def no_report(monkeypatch):
    """Draws no report, which other tests read, and which takes longer than all that these ask for."""
    monkeypatch.setattr("sim.cli.run_commands.report_beside", lambda *_: nullcontext())


def test_run_prints_a_verdict_and_writes_tables_and_a_report(here, tmp_path):
    code, text, errors = here("run", "steady", *SHORT, "--out", "result")
    assert code == 0, errors
    assert "ALIVE under playbook 'none'" in text
    assert "result/report.html" in text
    tables = [
        "batches.parquet",
        "decisions.parquet",
        "fleet.parquet",
        "killed.parquet",
        "manifest.json",
        "report.html",
        "requests.parquet",
        "timeline.npz",
        "users.parquet",
    ]
    assert files(tmp_path / "result") == tables


def test_results_go_to_a_new_folder_under_runs_each_time(here, tmp_path, no_report):
    for _ in range(2):
        assert here("run", "steady", *SHORT)[0] == 0
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["steady-none-1", "steady-none-1-2"]


def test_set_and_seed_reach_the_run(here, tmp_path, no_report):
    here("run", "steady", *SHORT, "--set", "pools.gpus.gpus=7", "--seed", "5", "--out", "r")
    manifest = json.loads((tmp_path / "r/manifest.json").read_text())
    assert (manifest["pools"]["gpus"]["gpus"], manifest["seed"]) == (7, 5)


def test_an_existing_folder_is_kept_unless_replace_is_given(here, tmp_path, no_report):
    short = ["run", "steady", *SHORT, "--out", "r"]
    here(*short)
    before = (tmp_path / "r/manifest.json").stat().st_mtime_ns
    assert (here(*short)[0], (tmp_path / "r/manifest.json").stat().st_mtime_ns) == (2, before)
    assert here(*short, "--replace")[0] == 0
    assert (tmp_path / "r/manifest.json").stat().st_mtime_ns > before
    assert files(tmp_path) == [f"r/{name}" for name in files(tmp_path / "r")]


def test_replace_does_not_delete_a_folder_that_holds_no_result(here, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    assert here("run", "steady", "--out", "mine", "--replace")[0] == 2
    assert files(tmp_path) == ["mine/thesis.txt"]


def test_report_is_written_again_from_a_saved_run_with_its_figures(here, tmp_path, monkeypatch):
    monkeypatch.setattr(plots, "run_figures", lambda run: {"queue": plots.run_figure(run, "queue")})
    simulate(load("steady", sets={"horizon": "20 min"})).save(tmp_path / "r")
    code, _, errors = here("report", "r", "--figures", "pictures")
    assert code == 0, errors
    assert (tmp_path / "r/report.html").is_file()
    assert {p.suffix for p in (tmp_path / "pictures").iterdir()} == {".png", ".svg"}


def test_compare_ranks_playbooks_and_writes_one_report(here, tmp_path):
    half = "playbooks.half=[{policy: {kind: shed, share: 50 %}}]"
    code, text, errors = here(
        "compare", "steady", *SHORT, "--set", half, "--seeds", "2", "--processes", "1", "--out", "c"
    )
    assert code == 0, errors
    assert "Ranked by images in time" in text
    assert text.index("1 none") < text.index("2 half")
    assert "Choose 'none'" in text
    assert "Two seeds say nothing about chance" in " ".join(text.split())
    written = set(files(tmp_path / "c"))
    tables = {"differences.csv", "fairness.csv", "runs.csv"}
    assert {*tables, "report.html", "none/manifest.json", "half/manifest.json"} <= written


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "no-such-thing"], ["no-such-thing", "expected", "steady"]),
        (["run", "steady", "--set", "pools.gpus.gpus=-1"], ["steady.yaml", "pools.gpus.gpus", "-1", "expected"]),
        (["run", "steady", "--set", "pools.gpus.gups=1"], ["unknown key", "gups", "gpus"]),
        (["run", "steady", "--set", "horizon=30"], ["horizon", "30", "unit"]),
        (["run", "steady", "--set", "horizon"], ["KEY=VALUE"]),
        (["run", "steady", "--set", "horizon=.nan"], ["horizon", "finite"]),
        (["run", "steady", "--playbook", "hope"], ["playbook", "hope", "none"]),
        (["run", "steady", "--override", "hope"], ["override", "hope"]),
        (["compare", "steady", "--playbooks", "none,hope"], ["hope"]),
        (["compare", "steady", "--by", "hope"], ["by", "hope", "images", "people"]),
        (["report", "nowhere"], ["nowhere", "expected"]),
        (["profile", "show", "nothing"], ["nothing", "sd35-large-h100"]),
    ],
)
def test_wrong_input_ends_in_one_message_and_exit_code_2(here, tmp_path, arguments, words):
    code, _, errors = here(*arguments)
    assert code == 2
    for word in words:
        assert word in errors
    assert files(tmp_path) == [], "nothing was written"


@pytest.mark.parametrize("arguments", [["--seed", "-1"], ["--seeds", "0"], ["--colour", "red"]])
def test_wrong_options_end_in_exit_code_2(here, arguments):
    assert here("compare", "steady", *arguments)[0] == 2


def test_an_interrupted_run_leaves_nothing_behind(tmp_path):
    long = ["run", "viral-image-launch", "--set", "scale=1/40", "--yes", "--out", "r"]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # else it is ignored where a shell runs us behind
    process = subprocess.Popen([*COMMAND, *long], cwd=tmp_path, stderr=subprocess.PIPE, text=True, preexec_fn=heard)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("About "), "what it says just before it simulates"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert files(tmp_path) == []


def test_nor_does_a_terminated_one(here, tmp_path, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(CompiledEngine, "__init__", lambda *_, **__: signal.raise_signal(signal.SIGTERM))
    code, _, errors = here("run", "steady", "--out", "r")
    signal.signal(signal.SIGTERM, before)
    assert (code, "terminated" in errors, "Traceback" in errors) == (143, True, False)
    assert files(tmp_path) == []


def test_lists_name_what_is_shipped(here, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert "viral-image-launch" in here("scenarios")[1]
    assert "sd35-large-edit-h100" in here("profile", "list")[1]
    shown = here("profile", "show", "sd35-large-h100")[1]
    assert "published" in shown
    assert "4421" in shown or "4420" in shown, "joules an image, as published"


def test_schema_is_json_schema(here):
    schema = json.loads(here("schema")[1])
    assert schema["properties"]["playbooks"]
    assert schema["additionalProperties"] is False


def test_the_schema_is_kept_until_a_source_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(shipped, "PACKAGE", tmp_path)
    (tmp_path / "a.py").write_text("one = 1")
    made = json_schema()
    (kept,) = tmp_path.glob("cache/meltpoint/schema-*.json")
    kept.write_text("as kept")
    assert json_schema() == "as kept"
    (tmp_path / "a.py").write_text("one = 2")
    assert json_schema() == made
    assert [path.read_text() for path in tmp_path.glob("cache/meltpoint/*")] == [made]


def test_every_command_explains_itself(here):
    for command in ([], ["run"], ["compare"], ["report"], ["scenarios"], ["schema"], ["profile"], ["profile", "show"]):
        code, text, _ = here(*command, "--help")
        assert code == 0
        assert "Usage" in text


def test_help_lists_every_command_in_the_order_in_which_a_newcomer_needs_them(here):
    text = here("--help")[1].partition("Simulate:")[2]
    order = ["run", "compare", "report", "story", "scenarios", "policies", "size", "check", "decide", "sensitivity"]
    order += ["sweep", "tune", "explore", "money", "rescue", "order-by", "map", "store", "runbook", "watch", "shadow"]
    order += ["export"]
    order += ["calibrate", "backtest", "demand", "profile", "validate"]
    assert re.findall(r"^  ([\w-]+) {2,}\w", text, re.MULTILINE) == [*order, "schema"]
    assert "..." not in text  # no sentence is cut short


def test_a_reader_that_goes_away_is_no_fault(here, tmp_path, monkeypatch, no_report):
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "w") as nobody, monkeypatch.context() as gone:
        gone.setattr(sys, "stdout", nobody)
        code, _, errors = here("run", "steady", *SHORT, "--out", "r")
    assert (code, "Broken" in errors) == (0, False)
    assert "r/manifest.json" in files(tmp_path)


def test_nor_is_one_that_a_process_never_had(tmp_path):
    with subprocess.Popen([*COMMAND, "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, errors = process.communicate(timeout=240)
    assert (process.returncode, errors) == (0, "")


POOR = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "40"}


def test_a_poor_terminal_gets_every_figure_in_its_own_letters(here, monkeypatch, no_report):
    for name, value in POOR.items():
        monkeypatch.setenv(name, value)
    terminal = io.BytesIO()
    letters = io.TextIOWrapper(terminal, "ascii", write_through=True)
    with monkeypatch.context() as poor:
        poor.setattr(sys, "stdout", letters)
        assert here("compare", "steady", *SHORT, "--seeds", "1", "--processes", "1", "--out", "c")[0] == 0
    text = terminal.getvalue().decode("ascii")
    assert "\x1b" not in text
    said = text.partition("Ranked")[0]  # tables are wider: names and figures are never cut
    assert said != text
    assert max(map(len, said.replace("\\xb3", "3").splitlines())) <= 40  # m³ is folded before it is escaped


def test_a_process_with_neither_a_home_nor_an_encoding_is_shown_what_is_wrong(tmp_path):
    home = {name: value for name, value in os.environ.items() if name != "HOME"}
    ascii_only = {**home, **POOR, "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    command = [*COMMAND, "report", "nowhere-é"]
    done = subprocess.run(command, cwd=tmp_path, env=ascii_only, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("meltpoint: ")
    assert done.stderr.isascii()
    assert "Traceback" not in done.stderr


def test_closed_streams_are_no_fault(tmp_path):
    for command, code in (("report nowhere", 2), ("schema", 0)):
        closed = f"{sys.executable} -m sim.cli.main {command} <&- >&- 2>&-"
        assert subprocess.run(["/bin/sh", "-c", closed], cwd=tmp_path, timeout=240, check=False).returncode == code


# Promises, and any configurations.


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 0),
        (["--promise", "p95 <= 1 s"], 1),
        (["--promise", "fast"], 2),
        (["--baseline", "nowhere"], 2),
        (["--junit", "steady.yaml"], 2),
        (["--markdown", "nowhere/table.md"], 2),
        (["--promise", "p94 <= 2.9 s", "--seeds", "2", "--runs", "50%"], 3),
        (["--promise", "p94 <= 2.9 s", "--seeds", "2", "--runs", "50%", "--undecided", "pass"], 0),
    ],
)
def test_check_ends_with_the_code_of_its_verdict(here, arguments, code):
    assert here("check", "steady", *SHORT, "--no-store", "--seeds", "3", *arguments)[0] == code


def test_check_writes_what_a_build_server_reads(here, tmp_path):
    code, text, _ = here(
        "check", "steady", *SHORT, "--no-store", "--seeds", "3", "--junit", "c.xml", "--markdown", "c.md"
    )
    assert (code, "KEPT: 1 promise" in text) == (0, True)
    assert 'failures="0"' in (tmp_path / "c.xml").read_text(encoding="utf-8")
    assert "| ✅ kept | alive |" in (tmp_path / "c.md").read_text(encoding="utf-8")


def test_a_strict_run_ends_with_1_where_it_breaks_a_promise_and_is_saved_all_the_same(here, tmp_path, no_report):
    promise = ("--set", "promises=[p95 <= 1 s]")
    code, text, _ = here("run", "steady", *SHORT, *promise, "--strict", "--out", "r")
    assert (code, "BROKEN: 1 promise" in text) == (1, True)
    assert (tmp_path / "r" / "manifest.json").is_file()
    assert here("run", "steady", *SHORT, "--set", "promises=[fast]", "--strict", "--out", "s")[0] == 2
    assert not (tmp_path / "s").exists()


def test_run_and_compare_print_how_each_promise_of_the_scenario_fares(here, tmp_path):
    """Four GPUs for the ten minutes after the warm-up, at $2.50 an hour, are $1.67; a service takes 2 seconds."""
    promises = ("--set", "promises=[alive and p95 <= 1 s, cost <= $1.67, in time no worse than baseline]")
    code, text, _ = here("run", "steady", *SHORT, *promises, "--out", "r")
    rows = {line.split("  ")[0]: line for line in text.splitlines() if any(w in line for w in ("KEPT", "BROKEN"))}
    assert (code, ["KEPT" in rows[name] for name in ("alive", "p95 <= 1 s", "cost <= $1.67")]) == (
        0,
        [True, False, True],
    )
    assert "only 'meltpoint check --baseline' judges it" in " ".join(text.split())
    assert here("run", "steady", *SHORT, "--set", "promises=[fast]", "--out", "s")[0] == 2  # never numbers
    few = ("--seeds", "2", *SHORT, "--processes", "1", "--no-store", "--config", "more: pools.gpus.gpus=6")
    code, text, _ = here("compare", "steady", *promises, *few, "--out", "c")
    said = " ".join(text.split())
    assert (code, "But 'steady' breaks what the scenario promises: 'p95 <= 1 s' (kept with 0 of 2 seeds)" in said) == (
        0,
        1,
    )
    for folder in ("r", "c"):
        page = (tmp_path / folder / "report.html").read_text(encoding="utf-8")
        assert "What the scenario promises" in page
    assert here("report", "c", "--format", "md")[0] == 0
    rows = (tmp_path / "c" / "report.md").read_text(encoding="utf-8").splitlines()
    kept = {row.split(" | ")[0]: row.split(" | ")[2] for row in rows if r"| cost \<=" in row}
    assert kept == {"| steady": "2 of 2", "| more": "0 of 2"}  # six GPUs cost $2.50


def test_compare_takes_changes_saved_runs_and_an_earlier_comparison(here, tmp_path, no_report):
    few = ("--seeds", "1", *SHORT, "--processes", "1")
    more = ("--config", "more: pools.gpus.gpus=6")
    code, text, _ = here("compare", "steady", *few, *more, "--out", "c")
    assert (code, "pools.gpus.gpus 6" in text) == (0, True)
    assert {"steady", "more"} <= {path.name for path in (tmp_path / "c").iterdir()}
    again = here("compare", "c/more", "steady", *few, "--against", "c", "--out", "d")
    assert (again[0], "'more': nothing was changed." in again[1]) == (0, True)
    assert here("compare", "steady", *few, "--against", "c", "--out", "e")[0] == 2  # has other labels
    assert here("compare", "steady", *few, "--config", "a/b: pools.gpus.gpus=6")[0] == 2
    assert here("compare", "steady", *few, "--config", "steady: pools.gpus.gpus=6")[0] == 2
