"""Files as operators have them in other shapes: delimiters, orders, units and packings, made by programs and people."""

import bz2
import io
import json
import re
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sim.errors import BadInput
from sim.profile.perf_tables import import_profile
from sim.tables.formats import load_test, recognised
from sim.tables.small_tables import cells_of
from tests.recorded import examined as read


def at(second: int, ends: str = "Z") -> str:
    return f"2025-03-31T10:00:{second:02d}{ends}"


def middle(tmp_path: Path, text: str) -> float:
    path = tmp_path / "file"
    path.write_text(text)
    return import_profile(path, {"method": ""}, side=1, steps=1, batch=1)["points"][0]["latency_s"]["p50"]


@pytest.mark.parametrize(("head", "end"), [(",", ","), ("", ","), (",", ""), (",,", ",,"), ("", "")])
@pytest.mark.parametrize("before", ["", "sep=,\n", "# exported by a tool\n\n"])
def test_delimiters_at_the_end_of_lines_and_hints_before_the_names_are_no_columns(tmp_path, head, end, before):
    rows = "".join(f"{at(k)},u{k % 3},edit{end}\n" for k in range(9))
    trace = read(tmp_path, f"{before}time,user,feature{head}\n{rows}").trace
    assert (len(trace.times), trace.users, trace.kinds) == (9, 3, ("edit",))


def test_a_row_with_something_behind_the_last_name_is_broken(tmp_path):
    found = read(tmp_path, f"time,user\n{at(1)},a,\n{at(2)},b,x\n{at(3)},c,\n").found
    assert [(one.problem, one.rows, one.where) for one in found] == [("broken lines", 1, "file:3")]


def test_bzip2_is_unpacked(tmp_path):
    assert len(read(tmp_path, bz2.compress(f"time,user\n{at(1)},a\n{at(2)},b\n".encode())).trace.times) == 2


@pytest.mark.parametrize(
    ("cells", "right"),
    [
        ("5,919;11,25", ["5.919", "11.25"]),  # 11,25 has no thousands
        ("5,919;0,170", ["5.919", "0.170"]),
        ("5,919;1.234,5", ["5.919", "1234.5"]),
        ("5,919;11,250.5", ["5919", "11250.5"]),
        ("5,919;1,234,567", ["5919", "1234567"]),
        ("5,919;0.17", ["5919", "0.17"]),  # decimals have a point here
        ("5,919;11,250", ["5,919", "11,250"]),  # either
        ("5,919;0,17;0.17", ["5,919", "0,17", "0.17"]),  # both
        ("10,5 req/s;7", ["10.5 req/s", "7"]),
    ],
)
def test_all_numbers_of_a_file_say_what_a_comma_is(cells, right):
    assert cells_of(f"names;of;columns\n{cells}")[1] == right


def test_a_comma_that_may_be_either_is_refused_and_one_that_is_certain_is_read(tmp_path):
    assert middle(tmp_path, "batch;latency_ms\n1;5,919\n4;11,25\n") == pytest.approx(5.919e-3)
    assert middle(tmp_path, "batch;latency_ms\n1;5,919.5\n4;11,250\n") == pytest.approx(5.9195)
    with pytest.raises(BadInput, match="between thousands or before decimals"):
        middle(tmp_path, "batch;latency_ms\n1;5,919\n4;11,250\n")


LATENCIES = 'Metric,avg,p90,p50\nRequest Latency (ms),"6,001.5","6,200.1","5,919.25"\n'
VALUES = "Metric,Value\nRequest Throughput (per sec),0.1666\n"


@pytest.mark.parametrize(
    "text",
    [
        f"{LATENCIES}\n{VALUES}",
        f"{VALUES}\n{LATENCIES}",
        f"{LATENCIES}{VALUES}",
        f"GPU,Metric,avg\n0,GPU Power Usage (W),300\n\n{VALUES}\n{LATENCIES}".replace("\n", "\r\n"),
        'p50,Metric,avg\n"5,919.25",Request Latency (ms),"6,001.5"\n\nValue,Metric\n0.1666,Request Throughput (/s)\n',
        "Metric,Unit,avg,p50\nRequest Latency,ms,6001.5,5919.25\nRequest Throughput,requests/sec,0.1666,\n",
        "Metric;avg;p50\nRequest Latency (ms);6001,5;5919,25\n\nMetric;Value\nRequest Throughput (per sec);0,1666\n",
    ],
)
def test_the_tables_of_an_export_come_in_any_order_with_columns_in_any_order(tmp_path, text):
    assert middle(tmp_path, text) == pytest.approx(5.91925)


def result(concurrency: int, rate: float) -> dict:
    latency = 1000 * concurrency / rate
    run = {"num_prompts": 9, "completed": 9, "max_concurrency": concurrency, "request_throughput": rate}
    return run | {"mean_e2el_ms": latency, "median_e2el_ms": latency}


def test_results_of_a_benchmark_in_a_list_or_a_folder_are_all_read(tmp_path):
    runs = [result(1, 0.5), result(8, 2.0)]
    (tmp_path / "folder").mkdir()
    for number, run in enumerate(runs):
        (tmp_path / "folder" / f"{number}.json").write_text(json.dumps(run))
    (tmp_path / "list.json").write_text(json.dumps(runs, indent=1))
    for name in ("folder", "list.json"):
        _, points, _ = load_test(tmp_path / name)
        assert [(one.concurrency, one.latency["p50"]) for one in points] == [(1, 2.0), (8, 4.0)]
        assert len({one.row for one in points}) == 2
    (tmp_path / "folder" / "2.txt").write_text("notes")
    with pytest.raises(BadInput, match="this file does not"):
        load_test(tmp_path / "folder")


BEGINS = 1743415200  # 2025-03-31 10:00 UTC
MINUTES = [f"2025-03-31 10:0{k}:00" for k in range(5)]
GRAFANA = {
    "epoch ms": '"Time","asked"\n' + "".join(f"{(BEGINS + 60 * k) * 1000},{10 + k}\n" for k in range(5)),
    "unit in the header": "Time,asked (req/min)\n" + "".join(f"{t},{10 + k}\n" for k, t in enumerate(MINUTES)),
    "no quotes": "Time,asked\n" + "".join(f"{t},{10 + k}\n" for k, t in enumerate(MINUTES)),
    "a hint of Excel": 'sep=;\n"Time";"asked"\n' + "".join(f"{t};{10 + k},0 req/min\n" for k, t in enumerate(MINUTES)),
    "rows of series": "Series;Time;Value\n" + "".join(f"asked;{t};{10 + k}\n" for k, t in enumerate(MINUTES)),
}


@pytest.mark.parametrize("shape", GRAFANA)
def test_a_panel_of_grafana_is_counts_in_every_shape_of_its_export(tmp_path, shape):
    counts = read(tmp_path, GRAFANA[shape], zone="UTC", values="per-minute").counts
    assert counts.begins[0] == BEGINS * 10**9
    assert counts.total.tolist() == [10, 11, 12, 13, 14]


def test_a_recording_with_a_column_of_numbers_is_no_panel(tmp_path):
    trace = read(tmp_path, f"Time,tokens\n{at(1)},5\n{at(2)},6\n{at(5)},7\n{at(6)},7\n").trace
    assert len(trace.times) == 4


def test_counts_with_commas_between_thousands_are_counts(tmp_path):
    rows = "".join(f'2025-03-31T10:0{k}:00Z,"1,{200 + k}"\n' for k in range(5))
    assert read(tmp_path, "time,requests\n" + rows).counts.total.tolist() == [1200, 1201, 1202, 1203, 1204]


@pytest.mark.parametrize("statistics", [False, True])
def test_both_answers_of_cloudwatch_are_counts_whatever_their_times_are(tmp_path, statistics):
    if statistics:
        points = [{"Timestamp": f"2025-03-31T10:0{k}:00Z", "Sum": 10.0 * k} for k in (2, 0, 1)]
        text = {"Label": "RequestCount", "Datapoints": points}
    else:
        times = [BEGINS + 60 * k for k in (2, 0, 1)]
        text = {"MetricDataResults": [{"Label": "RequestCount", "Timestamps": times, "Values": [20.0, 0.0, 10.0]}]}
    counts = read(tmp_path, json.dumps(text)).counts
    assert counts.begins[0] == BEGINS * 10**9
    assert counts.total.tolist() == [0, 10, 20]


@pytest.mark.parametrize(
    ("tail", "seconds", "stamped"),
    [
        ("1500000", 1.5, "start"),  # Apache's %D
        ("2", 2.0, "start"),  # its %T
        ('"-" "curl/8" 1500000', 1.5, "start"),
        ('"-" "curl/8" 812 1.503 [default-svc-80] [] 10.0.0.3:80 900 1.5 200 ab01', 1.503, "end"),  # Kubernetes
        ('"-" "curl/8" "1.502" "1.4, 0.1"', 1.502, "end"),
    ],
)
def test_the_duration_of_a_line_is_found_with_its_unit(tmp_path, tail, seconds, stamped):
    lines = [
        f'192.0.2.{k} - - [31/Mar/2025:10:00:{k:02d} +0000] "POST /gen HTTP/1.1" 200 5 {tail}\n' for k in range(30)
    ]
    trace = read(tmp_path, "".join(lines)).trace
    assert trace.extra["duration_s"] == pytest.approx(np.full(30, seconds))
    assert trace.start.timestamp() + trace.times[0] == pytest.approx(
        BEGINS - (seconds if stamped == "end" else 0), abs=1e-6
    )


def test_durations_that_a_log_begins_to_have_in_its_middle_are_used(tmp_path):
    first = "".join(f"2025-03-31 10:00:{k:02d} POST /gen 192.0.2.1 200\n" for k in range(3))
    then = "".join(f"2025-03-31 10:01:{k:02d} 200 192.0.2.1 1500 /gen\n" for k in range(3))
    fields = ("date time cs-method cs-uri-stem c-ip sc-status", "date time sc-status c-ip time-taken cs-uri-stem")
    text = f"#Version: 1.0\n#Fields: {fields[0]}\n{first}#Fields: {fields[1]}\n{then}"
    trace = read(tmp_path, text).trace
    known = trace.extra["duration_s"]
    assert known[~np.isnan(known)].tolist() == [1.5] * 3
    assert np.diff(trace.times)[2] == pytest.approx(58 - 1.5)  # the first with a duration came that much earlier


def test_a_summary_behind_samples_of_k6_is_not_a_request(tmp_path):
    points = [
        {
            "metric": "http_req_duration",
            "type": "Point",
            "data": {"time": at(k), "value": 100.0, "tags": {"status": "200"}},
        }
        for k in range(5)
    ]
    text = "".join(json.dumps(one) + "\n" for one in [*points, {"metrics": {"http_req_duration": {"med": 100}}}])
    assert len(read(tmp_path, text).trace.times) == 5


def test_variants_are_recognised_by_the_reader_that_reads_them(tmp_path):
    for text, name in ((f"{VALUES}\n{LATENCIES}", "genai-perf"), (json.dumps([result(1, 0.5)]), "vllm-bench")):
        (tmp_path / "file").write_text(text)
        assert recognised(tmp_path / "file").name == name


def durations(tmp_path, cells: list[str], name: str = "duration_ms") -> list[float]:
    rows = "".join(f'2025-03-31T10:00:{3 * k + k % 2:02d}.5Z,"{cell}"\n' for k, cell in enumerate(cells))
    return read(tmp_path, f"time,{name}\n{rows}").trace.extra["duration_s"].tolist()


def test_durations_above_a_thousand_with_a_comma_beside_shorter_ones_without_are_all_read(tmp_path):
    assert durations(tmp_path, ["1,457", "954", "12,003", "7"]) == [1.457, 0.954, 12.003, 0.007]
    with pytest.raises(BadInput):  # nothing shows what the comma is
        durations(tmp_path, ["1,457", "2,954"])


def test_minutes_and_seconds_with_decimals_are_a_duration(tmp_path):
    assert durations(tmp_path, ["0:01.5", "2:03.25"], "duration") == [1.5, 123.25]


@pytest.mark.parametrize(
    ("name", "good", "bad", "status"),
    [
        ("success", "True", "False", 500),
        ("ok", "true", "false", 500),
        ("error", "", "503 overloaded", 503),
        ("exception", "null", "HTTPError('429 Too Many Requests')", 429),
        ("error_message", "", "CUDA out of memory", 500),
        ("error_code", "", "ThrottlingException", 429),
        ("err", "", "context deadline exceeded", 504),
    ],
)
def test_failures_are_known_by_a_column_of_errors_or_of_success(tmp_path, name, good, bad, status):
    cells = [good, bad, good]
    table = f"time,user,{name}\n" + "".join(f"2025-03-31T10:00:0{k * k}Z,u,{cell}\n" for k, cell in enumerate(cells))
    values = [json.loads(cell) if name == "ok" else None if cell == "null" else cell for cell in cells]
    records = [{"time": f"2025-03-31T10:00:0{k * k}Z", "path": "/v1", name: value} for k, value in enumerate(values)]
    for text in (table, "".join(json.dumps(one) + "\n" for one in records)):
        assert read(tmp_path, text, attempts=True).trace.extra["status"].tolist() == [200, status, 200]


def test_hours_minutes_and_seconds_in_columns_of_their_own_are_read_with_the_date(tmp_path):
    rows = "".join(f"2025-03-31,10,{k},{7 * k},200\n" for k in range(5))
    assert read(tmp_path, f"date,hour,minute,second,status\n{rows}", zone="UTC").trace.times.tolist() == [
        67.0 * k for k in range(5)
    ]


def test_a_count_beside_what_a_request_was_is_said_not_to_be_read(tmp_path):
    rows = "".join(f"2025-03-31T10:00:0{k * k}Z,u{k},200,{1 + k % 3}\n" for k in range(3))
    notes = read(tmp_path, f"time,user,status,count\n{rows}").trace.notes
    assert "warning: 'count' is not read, each row is one request" in notes


def test_the_one_file_of_a_zip_is_read(tmp_path):
    rows = "time,status\n" + "".join(f"2025-03-31T10:00:0{k * k}Z,200\n" for k in range(3))
    for more in ([], ["other.txt"]):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for name in ["log.csv", *more]:
                archive.writestr(name, rows)
        if more:
            with pytest.raises(BadInput, match="zip archive of other files"):
                read(tmp_path, packed.getvalue())
        else:
            assert read(tmp_path, packed.getvalue()).trace.times.tolist() == [0, 1, 4]


def test_a_table_padded_with_spaces_is_refused_with_a_command_that_makes_columns(tmp_path):
    rows = [("JobID", "User", "State", "Submit"), ("-" * 8, "-" * 9, "-" * 10, "-" * 19)]
    rows += [(k, f"u{k}", "COMPLETED", f"2025-03-31T10:00:0{k * k}") for k in range(3)]
    text = "".join(
        " ".join(f"{cell:>{w}}" for cell, w in zip(row, (8, 9, 10, 19), strict=True)) + " \n" for row in rows
    )
    with pytest.raises(BadInput, match=r"padded with spaces.*--parsable2") as refused:
        read(tmp_path, text)
    command = re.search(r"sed -E '.*?'", str(refused.value))[0]
    made = subprocess.run(["bash", "-c", command], input=text, capture_output=True, text=True, check=True).stdout
    assert read(tmp_path, made, zone="UTC").trace.times.tolist() == [0, 1, 4]


@pytest.mark.parametrize(
    ("name", "weight"), [("itemCount", 5), ("SampleRate", 5), ("_sample_interval", 5), ("sample_rate", 0.2)]
)
def test_rows_that_stand_for_several_requests_are_said_to_be_a_sample(tmp_path, name, weight):
    for each, said in ((weight, True), (1, False)):
        rows = "".join(f"2025-03-31T10:00:0{k * k}Z,200,{each}\n" for k in range(3))
        records = [{"time": f"2025-03-31T10:00:0{k * k}Z", "status": 200, name: each} for k in range(3)]
        for text in (f"time,status,{name}\n{rows}", "".join(json.dumps(one) + "\n" for one in records)):
            notes = read(tmp_path, text).trace.notes
            assert any("each row stands for 5 requests" in note for note in notes) is said
