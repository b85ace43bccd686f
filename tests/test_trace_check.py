"""Every problem of a recording is found, refused without a repair, and mended by each repair as it says."""

import sys

import pytest

from sim.cli.main import main
from sim.demand.recordings.findings import PROBLEMS, REPAIRS
from sim.demand.recordings.importing import ImportOptions as Options
from sim.demand.recordings.importing import examine_recording
from sim.demand.recordings.trace import load_trace
from sim.errors import BadInput
from tests.recorded import imported_trace

OF_FILES = {"overlapping files"}  # a problem of two files, in tests/test_operator_requests.py
HEAD = "time,user,images\n"
DAY = "2025-03-30"

# problem -> a recording with it, the line it is in, its value, what else the import is told, and the times and users
# that each repair leaves.
CASES = {
    "broken lines": ("1,a,1\n2,a\n3,a,1\n", 3, "2,a", {}, {"drop-invalid": [1, 3]}),
    "unreadable times": ("1,a,1\n2,a,1\nsoon,a,1\n", 4, "soon", {}, {"drop-invalid": [1, 2]}),
    "mixed types": ("1,a,1\n2025-03-31 18:00:00,a,1\n3,a,1\n", 3, "2025-03-31 18:00:00", {}, {"drop-invalid": [1, 3]}),
    "absurd times": (
        f"1969-12-31 23:59:59Z,a,1\n{DAY} 10:00:00Z,b,1\n{DAY} 10:00:01Z,a,1\n2101-01-01T00:00:00Z,a,1\n",
        2,
        "1969-12-31 23:59:59",
        {},
        {"drop-invalid": [0, 1]},
    ),
    "negative times": ("-2,a,1\n1,b,1\n3,a,1\n", 2, "-2", {}, {"clip-negative": [0, 1, 3], "drop-invalid": [1, 3]}),
    "no zone": (f"{DAY} 10:00:00,a,1\n{DAY} 10:00:05,a,1\n", 2, f"{DAY} 10:00:00", {}, {"assume-zone": [0, 5]}),
    "mixed zones": (
        f"{DAY} 10:00:00+02:00,a,1\n{DAY} 08:00:05,a,1\n",
        3,
        f"{DAY} 08:00:05",
        {},
        {"assume-zone": [0, 5]},
    ),
    "clock change": (
        f"{DAY} 01:59:58,a,1\n{DAY} 02:30:00,a,1\n{DAY} 03:00:05,a,1\n",
        3,
        f"{DAY} 02:30:00",
        {"zone": "Europe/Paris"},
        {"assume-zone": [0, 2, 7], "drop-invalid": [0, 7]},
    ),
    "bad images": ("1,a,2\n2,b,many\n3,c,0\n", 3, "many", {}, {"assume-one": [1, 2, 3], "drop-invalid": [1]}),
    "no user": ("1,a,1\n2,,1\n3,-,1\n4,a,1\n", 3, "", {}, {"assume-user": [1, 2, 3, 4], "drop-invalid": [1, 4]}),
    "duplicates": (
        "1,a,1\n1,b,1\n1,a,1\n2,a,1\n",
        4,
        "1",
        {},
        {"drop-duplicates": [1, 1, 2], "keep-duplicates": [1, 1, 1, 2]},
    ),
    "rows of one request": (
        "time,request_id\n1,a\n2,b\n4,a\n",
        4,
        "4",
        {},
        {"drop-duplicates": [1, 2], "keep-duplicates": [1, 2, 4]},
    ),
    "disorder": ("5,a,1\n7,b,1\n6,c,1\n8,a,1\n", 4, "6 after 7", {}, {"sort": [5, 6, 7, 8]}),
    "gaps": ("".join(f"{t},a,1\n" for t in (*range(500), 9000)), 502, "9000, 8501 s", {"longest_gap": 100}, {}),
}


@pytest.fixture
def recording(tmp_path):
    def write(text):
        path = tmp_path / "r.csv"
        path.write_text(text if text.startswith("time,") else HEAD + text)
        return path

    return write


def test_every_problem_has_a_case():
    assert set(CASES) == set(PROBLEMS) - OF_FILES


@pytest.mark.parametrize("problem", CASES)
def test_a_problem_is_found_in_its_line_and_nothing_else_is(recording, problem):
    text, line, value, wishes, _ = CASES[problem]
    done = examine_recording([recording(text)], Options(**wishes), [])
    assert [one.problem for one in done.found] == [problem]
    assert done.found[0].where == f"r.csv:{line}"
    assert done.found[0].value.startswith(value)
    assert (done.trace is None) == (problem != "gaps")


@pytest.mark.parametrize("problem", [problem for problem in CASES if problem != "gaps"])
def test_a_problem_without_a_repair_is_refused_with_its_remedy(recording, problem):
    text, line, _, wishes, _ = CASES[problem]
    with pytest.raises(BadInput) as refusal:
        imported_trace([recording(text)], Options(**wishes))
    for words in (problem, f"r.csv:{line}", next(iter(PROBLEMS[problem]))):
        assert words in str(refusal.value)


@pytest.mark.parametrize(("problem", "repair"), [(p, r) for p, case in CASES.items() for r in (case[4] or PROBLEMS[p])])
def test_each_repair_does_what_it_says_and_is_noted(recording, problem, repair):
    text, _, _, wishes, after = CASES[problem]
    trace = imported_trace([recording(text)], Options(**wishes), [repair])
    if problem != "gaps":
        assert trace.times.tolist() == after[repair]
    assert any(note.startswith(f"{problem}: ") for note in trace.notes)


def test_every_repair_of_every_problem_has_a_case():
    assert {(p, r) for p, case in CASES.items() for r in case[4]} == {
        (p, r) for p, repairs in PROBLEMS.items() for r in repairs if p not in {"gaps", *OF_FILES}
    }


def test_who_is_not_named_becomes_a_user_of_their_own(recording):
    trace = imported_trace([recording(CASES["no user"][0])], Options(), ["assume-user"])
    assert trace.user.tolist() == [0, 1, 2, 0]


def test_images_that_cannot_be_read_are_one(recording):
    assert imported_trace([recording(CASES["bad images"][0])], Options(), ["assume-one"]).images.tolist() == [2, 1, 1]


def test_sorting_keeps_rows_of_one_instant_in_their_order_and_moves_whole_rows(recording):
    trace = imported_trace([recording("5,a,1\n4,b,2\n5,c,3\n4,d,4\n")], Options(), ["sort"])
    assert trace.images.tolist() == [2, 4, 1, 3]
    assert trace.user.tolist() == [0, 1, 2, 3]


def test_an_hour_that_came_twice_is_taken_as_the_first(recording):
    text = "2025-10-26 02:30:00,a,1\n2025-10-26 04:00:00,b,1\n"
    trace = imported_trace([recording(text)], Options(zone="Europe/Paris"), ["assume-zone"])
    assert trace.times.tolist() == [0, 2.5 * 3600]


def test_equal_times_of_different_users_are_no_duplicates(recording):
    assert not examine_recording([recording("1,a,1\n1,b,1\n1,a,2\n")], Options(), []).found


def test_the_first_repair_that_fits_is_taken(recording):
    text = CASES["negative times"][0]
    assert imported_trace([recording(text)], Options(), ["drop-invalid", "clip-negative"]).times.tolist() == [1, 3]
    assert imported_trace([recording(text)], Options(), ["clip-negative", "drop-invalid"]).times.tolist() == [0, 1, 3]


def test_a_repair_for_one_problem_does_not_hide_another(recording):
    path = recording("1,a,1\nsoon,a,1\n0,b,1\n")
    with pytest.raises(BadInput, match="disorder"):
        imported_trace([path], Options(), ["drop-invalid"])
    assert imported_trace([path], Options(), ["drop-invalid", "sort"]).times.tolist() == [0, 1]


def test_an_unknown_repair_is_refused(recording):
    with pytest.raises(BadInput, match="no such repair"):
        imported_trace([recording("1,a,1\n")], Options(), ["magic"])


def test_malformed_lines_of_a_log_are_counted_with_their_numbers(tmp_path):
    path = tmp_path / "access.log"
    line = '::1 - - [10/Oct/2000:20:55:37 +0000] "GET / HTTP/1.1" 200 1\n'
    path.write_text(line + "garbage\n" + line.replace("Oct", "Och") + "\n" + line)
    done = examine_recording([path], Options(stamped="start"), [])
    assert [(one.problem, one.rows, one.where) for one in done.found if one.open] == [
        ("broken lines", 1, "access.log:2"),
        ("unreadable times", 1, "access.log:3"),
    ]
    assert len(imported_trace([path], Options(stamped="start"), ["drop-invalid"]).times) == 2


def test_line_numbers_hold_across_blocks(recording, monkeypatch):
    monkeypatch.setattr("sim.tables.files.BLOCK", 256)
    rows = [f"{t},user-{t},1" for t in range(1000)]
    rows[400], rows[900] = "broken", "soon,x,1"
    found = examine_recording(
        [recording("\n".join(rows[:500]) + "\n\n" + "\n".join(rows[500:]) + "\n")], Options(), []
    ).found
    assert [(one.problem, one.where) for one in found] == [
        ("broken lines", "r.csv:402"),
        ("unreadable times", "r.csv:903"),
    ]


def test_lines_are_counted_from_the_top_of_the_file(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("\n\ntime,user\n1,a\n2,b,c\n\nsoon,a\n")
    found = examine_recording([path], Options(), []).found
    assert {one.problem: one.where for one in found} == {"broken lines": "r.csv:5", "unreadable times": "r.csv:7"}


# The command.


@pytest.fixture
def meltpoint(tmp_path, monkeypatch, capsys):
    """Imports in an empty folder: the exit code, and what is written."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["meltpoint", "demand", "import", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0, *capsys.readouterr()

    return call


def test_the_command_reports_refuses_repairs_and_saves(recording, meltpoint, tmp_path):
    path = recording("5,a,1\n7,b,1\n6,c,1\n8,a,1\n")
    code, text, errors = meltpoint(path)
    assert code == 2
    assert "disorder" in text
    assert "--repair sort" in errors
    assert "Traceback" not in errors
    assert not list(tmp_path.glob("*.parquet"))
    code, text, errors = meltpoint(path, "--repair", "sort", "--length", "10 s")
    assert code == 0, errors
    for words in ("Read as csv", "rows    4", "users   3", "sort"):
        assert words in text
    trace = load_trace(tmp_path / "r.trace.parquet")
    assert trace.times.tolist() == [5, 6, 7, 8]
    assert trace.length == 10


def test_every_repair_is_named_in_the_help(meltpoint):
    _, text, _ = meltpoint("--help")
    assert not {name for name in REPAIRS if name not in text} - {"keep-gaps"}
