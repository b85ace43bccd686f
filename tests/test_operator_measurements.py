"""Measurements in operators' files: what is a service time, what is none, and what a reader must be asked for."""

import json
import re

import pandas as pd
import pytest

from sim.cli.profile_commands import profile_app
from sim.demand.recordings.importing import ImportOptions, examine_recording
from sim.errors import BadInput
from sim.profile.perf_tables import import_profile
from sim.tables.formats import load_test
from tests.recorded import imported_trace
from tests.test_operator_files import FILES, written


def points_of(path, **sizes):
    return import_profile(path, {"method": ""}, **{"side": 1024, "steps": 28, "batch": 1, **sizes})


def test_every_batch_of_perf_analyzer_is_a_point():
    found = [(p["batch"], p["latency_s"]["p50"]) for p in points_of(FILES / "perf_analyzer_batch_column.csv")["points"]]
    assert found == [(1, pytest.approx(4.767e-3)), (4, pytest.approx(9.767e-3)), (8, pytest.approx(15.767e-3))]


@pytest.mark.parametrize(("name", "p50"), [("genai_perf_images.csv", 5.91856), ("aiperf_profile_export.jsonl", 2.42)])
def test_latency_of_one_request_at_a_time_is_a_batch_of_one(name, p50):
    (point,) = points_of(FILES / name)["points"]
    assert point["latency_s"]["p50"] == pytest.approx(p50, abs=5e-4)


@pytest.mark.parametrize("name", ["vllm_serve_detailed.json", "vllm_bench_serve.json", "locust_stats.csv", "envoy.log"])
def test_latency_under_load_is_no_service_time(name):
    with pytest.raises(BadInput, match="this file holds"):
        points_of(FILES / name)


def test_a_concurrency_that_the_file_does_not_have_can_be_given(tmp_path):
    """Eight in flight, 16 s each, one answered every 2 s: without the 8 nothing is known but the queue."""
    text = (
        'Metric,avg,p90,p50\nRequest Latency (ms),"16,000.0",1,1\n\nMetric,Value\nRequest Throughput (per sec),0.50\n'
    )
    path = written(tmp_path, text, "gp.csv")
    with pytest.raises(BadInput, match="with 8 in flight"):
        points_of(path)
    assert points_of(path, concurrency=8)["points"][0]["latency_s"] == {"p50": pytest.approx(2.0)}


@pytest.mark.parametrize(
    ("tail", "arrived"),
    [
        ("2.500", 2.5),
        ("2.500 2.499", 2.5),
        ("rt=2.500 urt=2.400", 2.5),
        ('urt="2.4" rt="2.500"', 2.5),
        ("2500000", 5.0),
    ],
)
def test_the_duration_of_a_log_is_found(tmp_path, tail, arrived):
    line = f'192.0.2.1 - - [06/May/2025:12:00:05 +0000] "POST /v1 HTTP/1.1" 200 366 "-" "app/1.0" {tail}\n'
    trace = imported_trace([written(tmp_path, line)], ImportOptions())
    assert trace.start.second + trace.times[0] == arrived
    assert trace.extra["duration_s"].tolist() == [2.5]


def test_a_timestamp_that_programs_differ_about_is_asked_for(tmp_path):
    line = json.dumps({"timestamp": "2025-05-06T12:00:05Z", "status": 200, "duration_ms": 2500})
    path = written(tmp_path, line + "\n")
    with pytest.raises(BadInput, match="--stamped"):
        examine_recording([path], ImportOptions())
    assert imported_trace([path], ImportOptions(stamped="end")).start.second == 2


def test_of_a_closed_loop_the_throughput_is_believed(tmp_path):
    """Eight in flight at one server of 2 s wait 16 s; SGLang's own throughput is 1 / 2 s."""
    run = {"completed": 100, "request_throughput": 0.5, "max_concurrency": 8, "mean_e2e_latency_ms": 16000.0}
    (point,) = points_of(written(tmp_path, json.dumps({**run, "request_rate": float("inf")}) + "\n"))["points"]
    assert point["latency_s"]["p50"] == pytest.approx(2.0)
    with pytest.raises(BadInput, match=r"4\.5 in flight, not 8"):
        points_of(written(tmp_path, json.dumps({**run, "mean_e2e_latency_ms": 9000.0}) + "\n"))


def test_a_rate_that_was_kept_up_shows_no_capacity(tmp_path):
    """SGLang's `concurrency` is the mean in flight, so that Little's law holds at any rate, saturated or not."""
    run = {"completed": 95, "request_throughput": 0.95, "concurrency": 1.9, "mean_e2e_latency_ms": 2000.0}
    with pytest.raises(BadInput, match=r"at 1 requests a second, about 1\.9 in flight, holds a queue"):
        points_of(written(tmp_path, json.dumps({**run, "request_rate": 1.0}) + "\n"))
    (point,) = points_of(written(tmp_path, json.dumps({**run, "request_rate": 4.0}) + "\n"))["points"]
    assert point["latency_s"]["p50"] == pytest.approx(1 / 0.95)


def test_the_durations_of_envoy_are_milliseconds_in_json_too(tmp_path):
    """Envoy's own JSON keys: START_TIME, and DURATION in milliseconds; the port of an address is no person."""
    call = {"duration": 2000, "response_code": 200, "path": "/v1", "downstream_remote_address": "192.0.2.1:"}
    calls = [
        {**call, "start_time": f"2025-05-06T12:00:0{n}.5Z", "downstream_remote_address": f"192.0.2.1:{n}"}
        for n in (1, 3)
    ]
    trace = imported_trace([written(tmp_path, "".join(json.dumps(one) + "\n" for one in calls))], ImportOptions())
    assert trace.extra["duration_s"].tolist() == [2.0, 2.0]
    assert trace.extra["status"].tolist() == [200, 200]
    assert trace.times.tolist() == [0.5, 2.5]
    assert len(set(trace.user)) == 1


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("batch,latency_ms\n1,5\n1,6\n", "two points for pipeline at side 1024, frames 1, batch 1$"),
        ("batch,latency_ms\n1,1e300\n", "points.0.latency_s.p50\n.*1e.297"),
        ('{"results": [1', "looks like JSON, and is cut off"),
        ("[1, 2]", "looks like JSON, and is cut off"),
    ],
)
def test_a_table_that_makes_no_profile_is_one_plain_message(tmp_path, table, said):
    arguments = ["import", str(written(tmp_path, table, "t.csv")), "--out", str(tmp_path / "p.json")]
    facts = [f"--{name}=x" for name in ("name", "model", "gpu", "source")]
    with pytest.raises(BadInput) as wrong:
        profile_app([*arguments, *facts], standalone_mode=False)
    assert re.search(said, str(wrong.value), re.MULTILINE)
    assert "pydantic" not in str(wrong.value)
    assert not (tmp_path / "p.json").exists()


@pytest.mark.parametrize("time", ["03/04/2024 10:00", "1,5"])
def test_a_time_that_cannot_be_read_names_its_file(tmp_path, time):
    path = written(tmp_path, f'time,user\n"{time}",a\n', "t.csv")
    with pytest.raises(BadInput, match=r"t\.csv"):
        examine_recording([path], ImportOptions())


@pytest.mark.parametrize("corner", [0, 2])
@pytest.mark.parametrize("suffix", ["xlsx", "ods"])
def test_a_spreadsheet_is_a_table_wherever_it_stands(tmp_path, suffix, corner):
    pytest.importorskip("openpyxl" if suffix == "xlsx" else "odf")
    path = tmp_path / f"calls.{suffix}"
    pd.DataFrame({"time": pd.to_datetime(["2025-03-31 18:00:01", "2025-03-31 18:00:05"]), "user": ["a", "b"]}).to_excel(
        path, index=False, startrow=corner, startcol=corner
    )
    assert imported_trace([path], ImportOptions(zone="UTC")).times.tolist() == [0, 4]


@pytest.mark.parametrize("name", [path.name for path in FILES.iterdir()])
def test_half_a_file_is_read_or_refused(tmp_path, name):
    data = (FILES / name).read_text()
    path = written(tmp_path, data[: len(data) // 2], name)
    for use in (lambda: examine_recording([path], ImportOptions()), lambda: points_of(path)):
        try:
            use()
        except BadInput as refusal:
            assert refusal.message  # noqa: PT017


STARTED, TOOK = [0.0, 3.0, 4.0, 9.0], [1.5, 2.25, 3.5, 1.0]


def benchmark(tool: str) -> str:
    """Four requests as GuideLLM or GenAI-Perf writes them; the last one fails."""
    begins = 1743415200
    sent = list(zip(STARTED, TOOK, strict=True))
    if tool == "GuideLLM":
        each = [{"start_time": begins + a, "end_time": begins + a + b} for a, b in sent]
        ended = {"successful": each[:3], "errored": each[3:], "incomplete": []}
        return json.dumps({"args": {}, "benchmarks": [{"duration": 180.0, "start_time": begins, "requests": ended}]})
    stamps = [
        (int((begins + a) * 1e9), [int((begins + a + b / 2) * 1e9), int((begins + a + b) * 1e9)]) for a, b in sent
    ]
    asks = [{"timestamp": a, "response_timestamps": ends if a < stamps[3][0] else []} for a, ends in stamps]
    return json.dumps({"service_kind": "openai", "experiments": [{"experiment": {"mode": "x"}, "requests": asks}]})


@pytest.mark.parametrize("tool", ["GuideLLM", "GenAI-Perf"])
def test_the_requests_of_a_benchmark_are_read_from_the_lists_of_its_runs(tmp_path, tool):
    (tmp_path / "file.json").write_text(benchmark(tool))
    trace = imported_trace([tmp_path / "file.json"], ImportOptions())
    assert trace.times == pytest.approx(STARTED)
    assert trace.extra["duration_s"][:3] == pytest.approx(TOOK[:3])
    assert trace.extra["status"].tolist() == [200, 200, 200, 500]
    _, points, _ = load_test(tmp_path / "file.json")
    assert points[0].latency["mean"] == pytest.approx(sum(TOOK[:3]) / 3)
    assert (points[0].concurrency, points[0].rate) == (None, pytest.approx(4 / 10, abs=0.05))  # two overlap
    with pytest.raises(BadInput, match="concurrency 1"):
        points_of(tmp_path / "file.json")
