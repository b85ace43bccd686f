"""Bad input ends in one message or is said aloud; it is never read as something else, and never a traceback."""

import errno
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sim import load, shipped
from sim.cli.main import messages_for_wrong_input
from sim.demand.recordings.importing import ImportOptions, examine_recording
from sim.errors import BadInput
from sim.model.narrow import narrow
from sim.profile.perf_tables import import_profile
from sim.profile.profile import load_profile
from sim.results.verdict import outside_the_run
from sim.scenario.load import plain_value
from sim.schema import Strict
from sim.tables.files import as_text
from sim.tables.formats import lines
from sim.units import count, moment, plain, seconds
from tests.asserts import effects
from tests.fuzz import CHANGES, KINDS, outcome

WAVE = {"kind": "steady", "rate": "1 per s"}
NO_GPU = {"kind": "scheduled capacity", "pool": "gpus", "gpus": 0}


@pytest.mark.parametrize("text", ["010", "0x10", "0b11", "18:00", "-010", "1:30.5", "1_5", "1__0", "10_", "1_0.5"])
def test_a_number_that_yaml_reads_in_another_base_is_refused(text):
    with pytest.raises(BadInput, match="decimal number"):
        plain_value(text, "pools.gpus.gpus")


@pytest.mark.filterwarnings("error")  # numpy's, of an overflow
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("start: 0000-01-01", "year 0"),
        ("demand: [{kind: steady, rate: 1e308 per second}]", "inf people"),
        ("title: " + "[" * 9999, "deep"),
    ],
)
def test_what_no_run_can_hold_says_what_is_wrong_with_it_and_nothing_else(tmp_path, settings, said):
    (tmp_path / "a.yaml").write_text(f"base: steady\n{settings}\n")
    with pytest.raises(BadInput, match=said):
        load(tmp_path / "a.yaml")


@pytest.mark.parametrize("text", ["1_000", "1_000.5", "+5", "-0.5", "5.", "1e3", "1.0e+3"])
def test_a_number_in_digits_is_read_as_it_is_written(text):
    assert float(plain_value(text, "scale")) == float(text)


@pytest.mark.parametrize("text", ["\u0664", "\uff14", "\u00bd", "1\u00a0000", "\u22125"])
def test_digits_of_other_scripts_are_refused(text):
    with pytest.raises(ValueError, match="expected"):
        count(text)
    with pytest.raises(ValueError, match="expected"):
        seconds(f"{text} s")


@pytest.mark.parametrize(
    "text",
    ["2025-01-01+02:00", "2025-01-01Z", "2025-W05-1", "2025-1-1", "2025-01-01T23:59:60Z", "2025-02-29", "20250101"],
)
def test_a_date_of_another_form_is_refused(text):
    with pytest.raises(ValueError, match="expected"):
        moment(text)


def test_a_date_is_in_its_zone_or_else_in_utc():
    assert moment("2025-01-01T18:00:00+02:00") == moment("2025-01-01 16:00")
    assert moment("2025-01-01 18:00:00-08:00") == moment("2025-01-02 02:00")
    assert str(plain(seconds("-0 s"))) == "0.0"


def test_a_decimal_comma_between_braces_is_no_second_key():
    with pytest.raises(BadInput, match="'5' has no value"):
        plain_value("{gpus: 4,5}", "pools.gpus")
    assert plain_value("{gpus: null}", "pools.gpus") == {"gpus": None}


@pytest.mark.parametrize(
    ("sets", "key"),
    [
        ({"demand": [WAVE | {"name": "a"}, WAVE | {"name": "a"}]}, "demand"),
        ({"demand": [WAVE | {"name": "steady 1"}, WAVE]}, "demand"),
        ({"demand": [WAVE | {"name": " "}]}, "demand"),
        ({"control_tick": "3 h"}, "control_tick"),
        ({"always": [{"policy": NO_GPU}]}, "always.0.policy.gpus"),
        ({"playbooks.none": [{"policy": NO_GPU, "until": "1 day"}]}, "playbooks.none.0.policy.gpus"),
        ({"tiers.free ": {"share": 0}}, "tiers.free "),
    ],
)
def test_what_could_not_be_told_apart_or_would_never_act_is_refused(sets, key):
    with pytest.raises(BadInput) as refused:
        load("steady", sets=sets)
    assert refused.value.key.partition(" (line")[0] == key


def test_a_fleet_may_be_empty_for_a_while():
    later = {"policy": {**NO_GPU, "gpus": 9}, "from": "1 h"}
    for steps in ([{"policy": NO_GPU, "until": "1 h"}], [{"policy": NO_GPU}, later]):
        assert load("steady", sets={"playbooks.none": steps}).playbooks["none"][0].policy.gpus == 0


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path):
    (tmp_path / "a.yaml").write_text("\ufeffbase: steady\ntitle: from an editor\n", encoding="utf-8")
    assert load(tmp_path / "a.yaml").title == "from an editor"


@pytest.mark.parametrize("text", ["1,5", "0,500", "1500,000", "1,50 ", "12,3456"])
def test_a_decimal_comma_is_refused(text):
    with pytest.raises(ValueError, match="expected"):
        count(text)
    with pytest.raises(ValueError, match="expected"):
        seconds(f"{text} s")
    assert count("1,500") == 1500
    assert seconds("1,500.5 s") == 1500.5


def test_true_is_not_one_and_a_text_not_a_number_in_a_profile(tmp_path):
    name = shipped.names("profiles", ".json")[0]
    document = json.loads(shipped.find("profiles", name, ".json").read_text())
    document.pop("sha256", None)
    for odd in (True, "1", 1.5, 1e308):
        document["points"][0]["batch"] = odd
        (tmp_path / "a.json").write_text(json.dumps(document))
        with pytest.raises(BadInput):
            load_profile(tmp_path / "a.json")


def test_a_key_that_is_twice_in_a_profile_is_refused(tmp_path):
    (tmp_path / "a.json").write_text('{"format": "meltpoint-profile/1", "name": "a", "name": "b"}')
    with pytest.raises(BadInput, match="'name' is there twice"):
        load_profile(tmp_path / "a.json")


def test_a_key_that_is_twice_in_a_line_of_json_breaks_that_line(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"time": 1}\n{"time": 2, "time": 9}\n')
    (broken,) = examine_recording([tmp_path / "a.jsonl"], ImportOptions()).found
    assert (broken.problem, broken.rows, broken.open) == ("broken lines", 1, True)


def test_a_message_is_in_one_line_whatever_a_library_says():
    assert BadInput("this file is damaged (no type:\n  \n  0x0f)\n").message == "this file is damaged (no type: 0x0f)"


@pytest.mark.parametrize("key", ["pools..gpus", ".pools", "pools.", " "])
def test_an_empty_part_of_a_key_is_refused(key):
    with pytest.raises(BadInput, match="part of this key is empty"):
        load("steady", sets={key: 1})


@pytest.mark.parametrize("record", [{"a": 1}, {"sample": 2}, [1], 5, {"sample": "1 %", "b": 2}])
def test_a_value_of_another_shape_is_refused_in_one_message(record):
    with pytest.raises(BadInput, match="record"):
        load("steady", sets={"record": record})


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_durations_in_parquet_are_seconds_whatever_they_count(unit):
    values = pa.array(np.array([1, 90], dtype="timedelta64[s]").astype(f"timedelta64[{unit}]"))
    assert [float(text) for text in as_text(values).to_pylist()] == [1, 90]


@pytest.mark.parametrize("year", ["9999", "2262", "1677"])
def test_a_date_that_nanoseconds_cannot_hold_is_a_problem_of_its_row(tmp_path, year):
    path = tmp_path / "a.csv"
    path.write_text(f"time,user\n2025-03-31T18:00:00Z,a\n{year}-12-31T00:00:00Z,b\n")
    found = examine_recording([path], ImportOptions()).found
    assert any(one.rows == 1 and one.open for one in found)


def test_a_column_that_is_there_twice_is_refused_in_parquet_too(tmp_path):
    table = pa.table([pa.array([1.0]), pa.array([2.0])], names=["time", "time"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(BadInput, match="does not name the columns"):
        examine_recording([tmp_path / "a.parquet"], ImportOptions(format="csv", time="time"))


def test_a_decimal_comma_in_a_table_of_latencies_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    for text, works in (('"1,5"', False), ('"1,500.5"', True)):
        path.write_text(f"latency_ms\n{text}\n")
        if works:
            points = import_profile(path, {}, side=1, steps=1, batch=1)["points"]
            assert points[0]["latency_s"]["p50"] == pytest.approx(1.5005)
        else:
            with pytest.raises(BadInput, match="1,5"):
                import_profile(path, {}, side=1, steps=1, batch=1)


def test_a_log_of_one_endless_line_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "LONGEST_LINE", 1000)
    monkeypatch.setattr(lines, "BLOCK", 500)
    (tmp_path / "a.log").write_text("x" * 5000)
    with pytest.raises(BadInput, match="longer than 1,000 bytes"):
        examine_recording([tmp_path / "a.log"], ImportOptions(format="access-log"))


def test_a_number_that_does_not_fit_is_an_error():
    assert narrow(np.array([0, 127]), np.int8).dtype == np.int8
    with pytest.raises(OverflowError):
        narrow(np.array([0, 128]), np.int8)


def test_a_step_outside_the_run_is_said():
    sets = {"playbooks.none": [{"policy": {"kind": "quota", "requests": 1}, "from": "2030-01-01"}]}
    scenario = load("steady", sets=sets)
    manifest = {"start": scenario.start.isoformat(), "horizon": scenario.horizon, "playbook": "none"}
    (said,) = outside_the_run({**manifest, "scenario": scenario.document})
    assert said.startswith("NEVER IN FORCE: playbooks.none.0")


@pytest.mark.parametrize(
    "failure", [OSError(errno.ENOSPC, "No space left on device", "a"), MemoryError(), UnicodeError("surrogates")]
)
def test_a_machine_that_fails_ends_in_one_message(failure, capsys):
    with pytest.raises(SystemExit) as end, messages_for_wrong_input():
        raise failure
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert said.startswith("meltpoint: ")
    assert "Traceback" not in said
    assert "--debug" in said


def test_debug_writes_the_full_report(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["meltpoint", "--debug", "run", "steady"])
    with pytest.raises(SystemExit), messages_for_wrong_input():
        raise OSError(errno.ENOSPC, "No space left on device")
    report = Path(capsys.readouterr().err.rpartition("report:")[2].strip())
    assert "Traceback" in report.read_text()
    report.unlink()


def test_any_other_exception_is_a_fault_of_ours_and_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError), messages_for_wrong_input():
        raise ZeroDivisionError


def test_what_a_stream_cannot_print_is_escaped():
    code = "from sim.cli.console import careful_streams as e; e(); print('\\u2026 \\udcff')"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=True)
    assert done.stdout.strip() == rb"\u2026 \udcff"


def test_an_assert_that_does_something_is_found():
    assert effects("assert write(1) < 2") == [1]
    assert effects("assert (n := 1)") == [1]
    assert effects("assert isinstance(a, int) and a.b is not None") == []


def test_help_works_where_nothing_can_be_written():
    environment = {**os.environ, "XDG_CACHE_HOME": "/dev/null/none", "HOME": "/dev/null/none"}
    environment.pop("NUMBA_CACHE_DIR", None)
    code = "from sim.model.jit import cached_in; print(cached_in())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=True, text=True)
    assert done.stdout.strip() == "None"


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(KINDS), st.integers(0, 10**6), CHANGES)
def test_a_document_changed_at_random_is_used_or_refused(tmp_path, kind, number, changes):
    assert outcome(kind, number, changes, tmp_path) in ("used", "refused")


def test_yes_is_not_the_seed_one():
    failures = {"kind": "failures", "pool": "gpus", "mtbf": "1 h", "mttr": "1 h", "seed": True}
    with pytest.raises(BadInput) as wrong:
        load("steady", sets={"always": [{"policy": failures}]})
    assert (wrong.value.key, wrong.value.value) == ("always.0.policy.seed", True)


def test_a_misspelt_pool_is_no_new_pool_but_a_new_one_may_be_given_in_whole():
    with pytest.raises(BadInput, match="perhaps gpus"):
        load("steady", sets={"pools.gpu.gpus": 9})
    with pytest.raises(BadInput, match="perhaps free"):
        load("steady", sets={"tiers.fee.price": "$1 per month"})
    assert load("steady", sets={"pools.spare": {"gpus": 9}}).pools["spare"].gpus == 9


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("gpsu", "perhaps gpus"),
        ("dollars_per_gpu_hours", "perhaps dollars_per_gpu_hour"),
        ("dispatching", "perhaps dispatch"),
        ("target", "one of runs, max_batch"),  # it was "perhaps affinity", or "perhaps age"
        ("rates", "one of runs, max_batch"),
    ],
)
def test_only_a_name_that_is_near_is_suggested(key, meant):
    with pytest.raises(BadInput, match=meant):
        load("steady", sets={f"pools.gpus.{key}": 9})


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("horizon", "0 s", "1 or more (seconds)"),
        ("pools.gpus.gpus", 0, "1 or more"),
        ("pools", [1], "keys with values"),
        ("title", 5, "a text"),
        ("serving.delivers_late", "perhaps", "true or false"),
        ("playbooks.none", {"policy": 1}, "a list"),
    ],
)
def test_what_was_expected_is_said_in_plain_words(key, value, expected):
    with pytest.raises(BadInput) as refused:
        load("steady", sets={key: value})
    assert refused.value.expected.startswith(expected)


def test_a_batch_that_takes_less_time_than_a_smaller_one_is_named(tmp_path):
    (tmp_path / "a.csv").write_text("batch,latency_ms\n1,100\n2,50\n4,120\n")
    said = import_profile(tmp_path / "a.csv", {"method": "a table"}, side=1, steps=1, batch=1)["method"]
    assert said == "a table; warning: a batch of 2 takes less time than one of 1"


def schemas(of: type[Strict] = Strict) -> list[type[Strict]]:
    """Every schema of scenario files that is no base of another."""
    below = of.__subclasses__()
    ours = of.__module__.split(".")[1] in ("scenario", "demand", "policies")
    return [*([of] if ours and not below else []), *(found for one in below for found in schemas(one))]


NO_NUMBERS = [True, "1_5", "\u0664", "1,5", math.nan, math.inf, "nan", "inf", "1e400", "", " ", "0x1", "1:30"]


def test_no_number_of_a_scenario_file_is_read_from_what_is_none():
    read = set()
    for schema in schemas():
        for name, field in schema.model_fields.items():
            if not re.search("float|int", f"{field.annotation}{field.metadata}"):
                continue
            key = field.alias or name
            for odd in NO_NUMBERS:
                with pytest.raises(ValidationError) as wrong:
                    schema.model_validate({key: odd})
                if not any(error["loc"][:1] == (key,) for error in wrong.value.errors()):
                    read.add((schema.__name__, key, str(odd)))
    assert len(schemas()) > 50
    assert read == set()
