"""Tables of jobs and exports of databases: which of several stamps is the arrival, and which rows are no requests."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from sim.errors import BadInput
from tests.recorded import examined

BEGINS = datetime(2026, 3, 3, 9, tzinfo=UTC)
CAME = [0.25, 1.5, 4.0, 4.5, 9.0]
WAITED = [0.0, 6.5, 1.0, 0.5, 2.0]
SERVED = [2.0, 1.5, 3.25, 1.0, 4.0]
ROWS = list(zip(CAME, WAITED, SERVED, strict=True))


def at(second: float) -> str:
    return (BEGINS + timedelta(seconds=second)).isoformat()


def stamps(came: float, waited: float, served: float) -> list[str]:
    return [at(came), at(came + waited), at(came + waited + served)]


def read(tmp_path: Path, content: str, **options):
    return examined(tmp_path, content, attempts=True, **options).trace


@pytest.mark.parametrize(
    "names",
    [
        "submitted_at,started_at,finished_at",
        "submit_time,start_time,end_time",
        "Submit,Start,End",
        "created_at,started_at,completed_at",
        "enqueue_time,dequeue_time,finish_time",
        "arrival,start,end",
    ],
)
@pytest.mark.parametrize("form", ["CSV", "another order of columns", "JSON"])
def test_a_job_comes_when_it_is_submitted_and_waits_until_it_starts(tmp_path, names, form):
    heads = names.split(",")
    if form == "JSON":
        text = "".join(json.dumps(dict(zip(heads, stamps(*row), strict=True))) + "\n" for row in ROWS)
    else:
        order = [0, 1, 2] if form == "CSV" else [2, 1, 0]
        rows = [",".join(stamps(*row)[k] for k in order) + ",7\n" for row in ROWS]
        text = ",".join(heads[k] for k in order) + ",run_duration\n" + "".join(rows)
    trace = read(tmp_path, text)
    assert trace.times == pytest.approx(CAME)
    assert trace.extra["wait_s"] == pytest.approx(WAITED)
    assert trace.extra["duration_s"] == pytest.approx(np.add(WAITED, SERVED))


def test_a_job_that_never_started_has_no_wait_and_one_that_is_not_over_no_duration(tmp_path):
    rows = f"{at(0)},{at(1)},{at(3)}\n{at(1)},,{at(5)}\n{at(2)},{at(4)},Unknown\n"
    trace = read(tmp_path, f"submitted_at,started_at,finished_at\n{rows}")
    assert trace.extra["wait_s"] == pytest.approx([1, np.nan, 2], nan_ok=True)
    assert trace.extra["duration_s"] == pytest.approx([3, 4, np.nan], nan_ok=True)


def test_steps_of_jobs_of_slurm_are_no_jobs(tmp_path):
    rows = ""
    for k, row in enumerate(ROWS):
        state = "CANCELLED by 1000" if k == 3 else "COMPLETED"
        began = "|".join([*stamps(*row)[1:2], *stamps(*row)[1:]])
        rows += f"{k}|u{k % 2}|{state}|{'|'.join(stamps(*row))}\n{k}.batch||{state}|{began}\n{k}_1.0||{state}|{began}\n"
    trace = read(tmp_path, f"JobID|User|State|Submit|Start|End\n{rows}")
    assert trace.times == pytest.approx(CAME)
    assert trace.extra["status"].tolist() == [200, 200, 200, 499, 200]
    assert "10 steps of a job of Slurm: left out" in trace.notes


@pytest.mark.parametrize(
    "head",
    [
        "time,elb,request_processing_time,target_processing_time,elb_status_code",  # ALB in Athena
        "timestamp,remote_addr,x,request_time,status",  # nginx in any database
        "time_local,x,y,request_time,status",
    ],
)
def test_columns_of_a_program_that_stamps_the_answer_are_ends_in_a_table_too(tmp_path, head):
    rows = "".join(f"{at(came + lasts)},192.0.2.1,0.0,{lasts},200\n" for came, _, lasts in ROWS)
    trace = read(tmp_path, f"{head}\n{rows}")
    assert trace.times == pytest.approx(CAME)
    assert trace.extra["status"].tolist() == [200] * 5


def test_a_table_says_that_its_times_are_taken_for_arrivals_where_they_may_be_ends(tmp_path):
    rows = "".join(f"{at(came)},{lasts}\n" for came, _, lasts in ROWS)
    asked = "--stamped end if it is when the answer was sent"
    assert any(asked in note for note in read(tmp_path, f"timestamp,duration_s\n{rows}").notes)
    assert not any(asked in note for note in read(tmp_path, f"arrival_time,duration_s\n{rows}").notes)


@pytest.mark.parametrize("name", ["Duration (h:mm:ss)", "duration [hh:mm:ss]"])
def test_a_form_behind_a_name_is_no_part_of_it(tmp_path, name):
    trace = read(tmp_path, f"timestamp,{name}\n" + "".join(f"{at(k)},0:01:{k:02}\n" for k in range(5)))
    assert trace.extra["duration_s"].tolist() == [60, 61, 62, 63, 64]


def access(path: str, second: int, method: str = "GET") -> str:
    return f'192.0.2.7 - - [03/Mar/2026:09:00:{second:02} +0000] "{method} {path} HTTP/1.1" 200 2 "-" "x" 0.5\n'


def test_health_checks_scrapes_and_preflights_are_no_demand(tmp_path):
    others = ["/healthz", "/v2/health/ready", "/metrics", "/health?full=1", "/api/health-check/"]
    asks = "".join(access(f"/v1/images/{k}", 5 * k, "POST") for k in range(6))
    probes = "".join(access(path, 30 + k) for k, path in enumerate(others)) + access("/v1/images", 40, "OPTIONS")
    trace = read(tmp_path, asks + probes + access("/v1/healthy-food", 41), stamped="end")
    assert (len(trace.times), trace.kinds) == (7, ("/v1",))
    assert any(note.startswith("6 health checks, scrapes") for note in trace.notes)
    lined = "".join(json.dumps({"time": at(k), "path": "/ping" if k % 2 else "/gen"}) + "\n" for k in range(6))
    assert len(read(tmp_path, lined).times) == 3


def test_a_log_of_health_checks_alone_is_refused(tmp_path):
    with pytest.raises(BadInput, match="the recording has no rows but 3 health checks"):
        read(tmp_path, "".join(access("/healthz", k) for k in range(3)), stamped="end")


LINE = '192.0.2.7 - - [03/Mar/2026:09:00:01 +0000] "POST /gen HTTP/1.1" 200 2 "-" "x"'
HAR = {
    "log": {
        "version": "1.2",
        "pages": [],
        "entries": [
            {
                "startedDateTime": at(came),
                "time": 1000 * lasts,
                "request": {"method": "POST", "url": "https://api.example.com/gen", "headers": [{"name": "a"}]},
                "response": {"status": 200, "statusText": "", "content": {"size": 1}},
                "timings": {"wait": 900 * lasts, "receive": 100 * lasts},
            }
            for came, _, lasts in ROWS
        ],
    }
}
HITS = {
    "took": 3,
    "hits": {
        "total": {"value": 5},
        "hits": [
            {
                "_id": str(k),
                "_source": {
                    "@timestamp": at(came + lasts),
                    "event": {"start": at(came), "duration": int(1e9 * lasts)},
                    "http": {"response": {"status_code": 200}},
                    "url": {"path": "/gen"},
                },
            }
            for k, (came, _, lasts) in enumerate(ROWS)
        ],
    },
}
RESULTS = {"results": [{"timestamp": at(came), "duration_ms": 1000 * lasts, "status": 200, "path": "/gen"}
                       for came, _, lasts in ROWS]}  # fmt: skip


@pytest.mark.parametrize("document", [HAR, HITS, RESULTS], ids=["a browser's HAR", "Elasticsearch", "a list in a key"])
@pytest.mark.parametrize("indent", [None, 2])
def test_requests_in_a_list_within_a_document_are_read(tmp_path, document, indent):
    trace = read(tmp_path, json.dumps(document, indent=indent), stamped="start")
    assert trace.times == pytest.approx(CAME)
    assert trace.extra["duration_s"] == pytest.approx(SERVED)
    assert trace.extra["status"].tolist() == [200] * 5
    assert trace.kinds == ("/gen",)


def test_a_document_with_times_and_nothing_of_a_request_is_no_log(tmp_path):
    periods = [{"start_time": 3600 * k, "end_time": 3600 * (k + 1), "results": [{"requests": 5}]} for k in range(9)]
    with pytest.raises(BadInput, match="no request is found in this file"):
        read(tmp_path, json.dumps({"object": "page", "data": periods}))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (json.dumps({"data": {"resultType": "streams", "result": [{"values": [["1", LINE]]}]}}), "values[][1]"),
        (json.dumps({"data": {"resultType": "vector", "result": []}}), "/api/v1/query_range"),
        (f"Time,Line\n{at(1)},'{LINE}'\n".replace('"', '""').replace("'", '"') * 2, "those lines alone"),
        (f"{at(1)},200,0.5\n{at(2)},200,0.5\n", "a first line that names the columns"),
        ("http,host=a status=200i,ms=1003 1772528400289000000\n" * 2, "line protocol"),
    ],
    ids=["Loki", "an instant query", "lines in a table", "no header", "line protocol"],
)
def test_a_file_in_another_form_is_refused_with_what_to_do(tmp_path, content, expected):
    with pytest.raises(BadInput) as wrong:
        read(tmp_path, content)
    assert expected in str(wrong.value)


def test_an_annotated_table_of_influxdb_has_its_counts_at_the_times_of_its_rows(tmp_path):
    head = "#group,false,false,true,true,false,false,true,true\n#datatype,string,long,dateTime,dateTime,double\n"
    head += "#default,_result,,,,,,,\n,result,table,_start,_stop,_time,_value,_field,host\n"
    rows = [f",,{n},{at(0)},{at(600)},{at(60 * k)},{5 * n + k},count,{'ab'[n]}\n" for n in (0, 1) for k in range(8)]
    counts = examined(tmp_path, head + "".join(rows), values="per-interval").counts
    assert counts.total.tolist() == [5 + 2 * k for k in range(8)]
    assert len(counts.series) == 2


@pytest.mark.parametrize("form", ["CSV", "JSON"])
@pytest.mark.parametrize(("unit", "per"), [("_ms", 1e3), ("_s", 1.0), ("", 1e3), ("_us", 1e6)])
def test_waits_and_services_are_read_and_share_a_unit_where_none_is_named(tmp_path, form, unit, per):
    names = ["timestamp", f"queue_time{unit}", f"inference_time{unit}"]
    rows = [[at(came), round(per * 0.02), round(per * served)] for came, _, served in ROWS]
    if unit == "_s":
        rows = [[at(came), 0.02, served] for came, _, served in ROWS]
    if form == "JSON":
        text = "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows)
    else:
        text = "\n".join([",".join(names), *(",".join(map(str, row)) for row in rows)])
    trace = read(tmp_path, text, stamped="start")
    assert trace.extra["wait_s"] == pytest.approx([0.02] * 5)
    assert trace.extra["service_s"] == pytest.approx(SERVED)


@pytest.mark.parametrize("form", ["CSV", "JSON"])
def test_a_processing_time_beside_a_wait_is_the_service_and_not_the_whole(tmp_path, form):
    rows = [{"timestamp": at(came), "wait_s": wait, "processing_time_s": lasts} for came, wait, lasts in ROWS]
    lined = "".join(json.dumps(row) + "\n" for row in rows)
    table = "timestamp,wait_s,processing_time_s\n" + "".join(",".join(map(str, row.values())) + "\n" for row in rows)
    trace = read(tmp_path, lined if form == "JSON" else table, stamped="start")
    assert "duration_s" not in trace.extra
    assert trace.extra["wait_s"] == pytest.approx(WAITED)
    assert trace.extra["service_s"] == pytest.approx(SERVED)


def test_microseconds_of_a_server_that_stamps_the_answer_are_known_by_the_order_of_its_lines(tmp_path):
    asks = [(float(k), 3.5 if k % 2 else 0.25) for k in range(12)]
    row = '192.0.2.7 - - [03/Mar/2026:09:00:{:02.0f} +0000] "POST /gen HTTP/1.1" 200 2 "-" "x" {:.0f}\n'
    by_end = sorted(asks, key=sum)
    ends = "".join(row.format(np.floor(came + lasts), 1e6 * lasts) for came, lasts in by_end)
    starts = "".join(row.format(came, 1e6 * lasts) for came, lasts in by_end)  # Apache: written at the end
    assert read(tmp_path, starts).times == pytest.approx([came for came, _ in asks])
    assert sorted(read(tmp_path, ends).times) == pytest.approx([came for came, _ in asks], abs=1.0)
    assert any("stamps are ends" in note for note in read(tmp_path, ends).notes)
    assert read(tmp_path, starts.splitlines(keepends=True)[0] * 2, unit="us").times.tolist() == [0, 0]


EXPORTS = {
    "Kong": lambda k, lasts: {
        "started_at": round(1000 * (BEGINS.timestamp() + k)),
        "latencies": {"request": round(1000 * lasts), "kong": 2},
        "response": {"status": 200},
    },
    "Application Insights": lambda k, lasts: {
        "timestamp": at(k), "duration": 1000 * lasts + 0.1234, "resultCode": "200", "success": True
    },
    "RunPod": lambda k, lasts: {
        "createdAt": at(k), "delayTime": 0, "executionTime": round(1000 * lasts), "status": "COMPLETED"
    },
    "fal": lambda k, lasts: {"sent_at": at(k), "started_at": at(k), "ended_at": at(k + lasts), "status_code": 200},
}  # fmt: skip


@pytest.mark.parametrize("program", EXPORTS)
def test_exports_of_programs_have_their_arrivals_units_and_services(tmp_path, program):
    trace = read(tmp_path, "".join(json.dumps(EXPORTS[program](came, lasts)) + "\n" for came, _, lasts in ROWS))
    assert trace.times == pytest.approx(CAME)
    lasted = trace.extra.get("service_s", trace.extra.get("duration_s"))
    assert lasted == pytest.approx(SERVED, abs=2e-4)
    assert trace.extra["status"].tolist() == [200] * 5


def test_answers_of_log_stores_with_rows_as_lists_are_read(tmp_path):
    fields = [[("@timestamp", at(came + lasts)), ("@duration", f"{1000 * lasts:.2f}")] for came, _, lasts in ROWS]
    insights = {"results": [[{"field": key, "value": text} for key, text in row] for row in fields]}
    names = ["TimeGenerated", "DurationMs", "ResultCode"]
    rows = [[at(came), 1000 * lasts, "200"] for came, _, lasts in ROWS]
    analytics = {"tables": [{"name": "PrimaryResult", "columns": [{"name": name} for name in names], "rows": rows}]}
    for document, stamped in ((insights, "end"), (analytics, None)):
        trace = read(tmp_path, json.dumps(document), stamped=stamped)
        assert trace.times == pytest.approx(CAME)
        assert trace.extra["duration_s"] == pytest.approx(SERVED)


def test_a_column_that_holds_no_times_is_not_the_arrival_whatever_its_name_is(tmp_path):
    rows = "".join(f"{at(came)},{1000 * k},true\n" for k, came in enumerate(CAME))
    assert read(tmp_path, f"timestamp,received,submitted\n{rows}").times == pytest.approx(CAME)
    lined = "".join(json.dumps({"timestamp": at(came), "submitted": True, "status": 200}) + "\n" for came in CAME)
    assert read(tmp_path, lined).times == pytest.approx(CAME)


def test_long_durations_without_a_unit_are_said_to_be_taken_for_seconds(tmp_path):
    for lasts, said in ((1.5, False), (123.5, True)):
        trace = read(tmp_path, f"timestamp,duration\n{at(1)},{lasts}\n{at(5)},{lasts}\n")
        assert ("duration names no unit, and is taken for seconds" in trace.notes) == said


def test_later_stamps_of_a_job_may_have_a_unit_in_their_names(tmp_path):
    rows = "".join(f"{1000 * a:.0f},{1000 * (a + w):.0f},{1000 * (a + w + s):.0f}\n" for a, w, s in ROWS)
    trace = read(tmp_path, f"submitted_ms,started_ms,finished_ms\n{rows}")
    assert trace.times == pytest.approx(CAME)
    assert trace.extra["wait_s"] == pytest.approx(WAITED)
    assert trace.extra["duration_s"] == pytest.approx(np.add(WAITED, SERVED))
    spans = "".join(f"{at(a)},{at(a + s)}\n" for a, _, s in ROWS)
    for names in ("request_start_time,request_end_time", "start_ts,end_ts"):
        assert read(tmp_path, f"{names}\n{spans}").extra["duration_s"] == pytest.approx(SERVED)


def test_a_table_of_which_no_line_fits_names_the_first(tmp_path):
    rows = "".join(f"{at(k)},/gen?size=1,024,5\n" for k in range(4))
    with pytest.raises(BadInput, match="no line of this file is a row") as wrong:
        read(tmp_path, f"time,path,latency_ms\n{rows}")
    assert "file0:2" in str(wrong.value) or "file:2" in str(wrong.value)
    assert "in quotes" in str(wrong.value)


@pytest.mark.parametrize("created", ["create_time", "created", "createdTime", "SentTimestamp"])
def test_when_a_job_was_created_is_its_arrival_and_not_when_its_execution_began(tmp_path, created):
    rows = [{created: 1743415200000 + 1000 * k * k, "started_at": 1743415202000 + 1000 * k * k} for k in range(6)]
    rows = [{**row, "finished_at": row["started_at"] + 5000} for row in rows]
    table = ",".join(rows[0]) + "\n" + "".join(",".join(map(str, row.values())) + "\n" for row in rows)
    for text in ("".join(json.dumps(row) + "\n" for row in rows), table):
        trace = read(tmp_path, text)
        assert trace.times.tolist() == [k * k for k in range(6)]
        assert (trace.extra["wait_s"].tolist(), trace.extra["duration_s"].tolist()) == ([2.0] * 6, [7.0] * 6)


@pytest.mark.parametrize("indent", [None, 1])
def test_one_document_of_spans_is_read_on_one_line_too(tmp_path, indent):
    begins = [1743415200 + 3 * k for k in range(4)]
    spans = [
        {
            "traceId": f"t{k}",
            "spanId": "a",
            "kind": 2,
            "startTimeUnixNano": f"{t}000000000",
            "endTimeUnixNano": f"{t + 2}000000000",
        }
        for k, t in enumerate(begins)
    ]
    trace = read(tmp_path, json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}, indent=indent))
    assert (trace.times.tolist(), trace.extra["duration_s"].tolist()) == ([0, 3, 6, 9], [2.0] * 4)
