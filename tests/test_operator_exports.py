"""Exports of databases and services: odd names of durations, buckets, nested rows, and kinds that are not read."""

import gzip
import json
import sqlite3

import pytest

from sim.demand.recordings.importing import ImportOptions, examine_recording
from sim.errors import BadInput
from sim.scenario.scenario import Scenario
from tests.recorded import examined as read

CAME, LASTED = [0.0, 3.0, 4.0, 9.0, 11.5], [6.0, 0.5, 2.5, 1.0, 3.0]


def at(seconds: float) -> str:
    return f"2025-03-31T10:00:{seconds:06.3f}Z"


def lines(*records: dict) -> str:
    return "".join(json.dumps(one) + "\n" for one in records)


@pytest.mark.parametrize("name", ["ms", "total_ms", "response_ms", "runtime_ms", "dur_ms"])
def test_durations_by_the_names_that_people_give_them_are_read(tmp_path, name):
    rows = "".join(f"{at(came)},u,{1000 * lasts:g}\n" for came, lasts in zip(CAME, LASTED, strict=True))
    table = read(tmp_path, f"created_at,user,{name}\n{rows}").trace
    records = [{"created_at": at(came), name: 1000 * lasts} for came, lasts in zip(CAME, LASTED, strict=True)]
    for trace in (table, read(tmp_path, lines(*records)).trace):
        assert trace.times == pytest.approx(CAME)
        assert trace.extra["duration_s"] == pytest.approx(LASTED)


@pytest.mark.parametrize("name", ["gpu_ms", "delay_ms", "gpu_seconds", "time_ms"])
def test_what_may_be_a_duration_and_is_not_read_is_said(tmp_path, name):
    said = f"'{name}': not read; name it duration_ms"
    table = read(tmp_path, f"created_at,{name}\n" + "".join(f"{at(came)},70\n" for came in CAME))
    records = read(tmp_path, lines(*({"created_at": at(came), name: 70} for came in CAME)))
    for found in (table, records):
        assert any(said in note for note in found.trace.notes)


def test_helicone_has_the_times_of_the_request_and_of_the_response(tmp_path):
    both = list(zip(CAME, LASTED, strict=True))
    records = [{"request_created_at": at(a), "response_created_at": at(a + b), "delay_ms": 1000 * b} for a, b in both]
    trace = read(tmp_path, lines(*records)).trace
    assert trace.times == pytest.approx(CAME)
    assert trace.extra["duration_s"] == pytest.approx(LASTED)


def test_dates_of_mongodb_are_read_by_the_name_of_their_key(tmp_path):
    rows = [{"createdAt": {"$date": at(a)}, "latencyMs": 1000 * b} for a, b in zip(CAME, LASTED, strict=True)]
    assert read(tmp_path, lines(*rows)).trace.times == pytest.approx(CAME)


@pytest.mark.parametrize("as_lists", [False, True])
def test_clickhouse_says_the_names_of_columns_before_the_rows(tmp_path, as_lists):
    rows = [{"created_at": at(a), "duration_ms": 1000 * b} for a, b in zip(CAME, LASTED, strict=True)]
    data = [list(row.values()) for row in rows] if as_lists else rows
    document = {"meta": [{"name": name, "type": "String"} for name in rows[0]], "data": data, "rows": 5}
    trace = read(tmp_path, json.dumps(document)).trace
    assert trace.times == pytest.approx(CAME)
    assert trace.extra["duration_s"] == pytest.approx(LASTED)


def test_a_space_between_a_delimiter_and_a_quote_is_none_of_the_value(tmp_path):
    rows = "".join(f'"{at(came)}", "u, {k % 2}", "500"\n' for k, came in enumerate(CAME))
    trace = read(tmp_path, f'"time", "user", "duration_ms"\n{rows}').trace
    assert trace.times == pytest.approx(CAME)
    assert (trace.users, trace.extra["duration_s"].tolist()) == (2, [0.5] * 5)


def test_jobs_of_kubernetes_have_a_wait_and_a_duration(tmp_path):
    def job(second: int) -> dict:
        created, begun, done = (at(second + late).replace(".000", "") for late in (0, 1, 11))
        status = {"startTime": begun, "completionTime": done, "succeeded": 1}
        return {"kind": "Job", "metadata": {"creationTimestamp": created}, "status": status}

    document = {"apiVersion": "v1", "kind": "List", "items": [job(second) for second in (0, 5, 7)]}
    trace = read(tmp_path, json.dumps(document, indent=1)).trace
    assert trace.times == pytest.approx([0, 5, 7])
    assert (trace.extra["wait_s"].tolist(), trace.extra["duration_s"].tolist()) == ([1.0] * 3, [11.0] * 3)


def bucket(k: int, *results: dict) -> dict:
    return {"object": "bucket", "start_time": 3600 * k, "end_time": 3600 * (k + 1), "results": list(results)}


def test_usage_of_openai_is_counts_and_its_costs_are_not(tmp_path):
    used = [bucket(k, {"num_model_requests": k, "images": 9}, {"num_model_requests": 10}) for k in range(1, 7)]
    page = {"object": "page", "data": [*used, bucket(7)], "has_more": True}
    counts = read(tmp_path, json.dumps(page)).counts
    assert counts.total.tolist() == [11, 12, 13, 14, 15, 16, 0]
    assert counts.lasts.tolist() == [3600] * 7
    assert any("not the last page" in note for note in counts.notes)
    costs = {"object": "page", "data": [bucket(k, {"amount": {"value": 0.1, "currency": "usd"}}) for k in range(6)]}
    with pytest.raises(BadInput, match="these buckets hold no requests"):
        read(tmp_path, json.dumps(costs))


@pytest.mark.parametrize(
    ("data", "command"),
    [
        (b"\xd0\xcf\x11\xe0" + bytes(600), "libreoffice --headless --convert-to csv"),
        (b"Obj\x01" + bytes(range(256)), "read_avro"),
        (b"ORC" + bytes(range(256)), "read_table"),
        (b"ARROW1" + bytes(range(256)), "read_feather"),
        (gzip.compress(b"log.txt" + bytes(250) + b"ustar" + bytes(600), mtime=0), "tar -xf"),
    ],
)
def test_kinds_that_are_not_read_are_refused_with_a_command(tmp_path, data, command):
    with pytest.raises(BadInput, match="which is not read") as refused:
        read(tmp_path, data)
    assert command in refused.value.expected


def test_a_database_of_sqlite_is_refused_with_a_command(tmp_path):
    with sqlite3.connect(tmp_path / "file.db") as database:
        database.execute("create table requests (time, user)")
    with pytest.raises(BadInput, match="a database of SQLite") as refused:
        read(tmp_path, (tmp_path / "file.db").read_bytes())
    assert "sqlite3 -header -csv" in refused.value.expected


@pytest.mark.parametrize("name", ["week", "date"])
@pytest.mark.parametrize("first", ["2025-W13", "Mar 2025", "2025-03", "Q1 2025"])
def test_weeks_and_months_are_no_times(tmp_path, name, first):
    with pytest.raises(BadInput, match="weeks, months or quarters") as refused:
        read(tmp_path, f"{name},users\n{first},100\n{first},120\n")
    assert "the first day of each" in refused.value.expected


def test_records_in_the_messages_of_others_are_not_taken_for_the_others(tmp_path):
    inner = [json.dumps({"ts": at(came), "status": 200, "duration": 1.5}) for came in CAME]
    with pytest.raises(BadInput, match="each record holds a line of another log in its key 'log'"):
        read(tmp_path, lines(*({"time": at(came), "log": one} for came, one in zip(CAME, inner, strict=True))))


@pytest.mark.parametrize("line", ['{{"status": 200, "n": {k}}}', "level=info status=200 duration=1.5s n={k}"])
def test_lines_of_a_log_in_a_column_are_not_left_out(tmp_path, line):
    cells = (line.format(k=k).replace('"', '""') for k in range(5))
    rows = "".join(f'{at(came)},"{cell}"\n' for came, cell in zip(CAME, cells, strict=True))
    with pytest.raises(BadInput, match="each row holds a line of a log"):
        read(tmp_path, f"Time,Line\n{rows}")


def test_a_scenario_of_a_dictionary_is_refused_as_one_of_a_file():
    with pytest.raises(BadInput) as refused:
        Scenario.from_dict({"title": "x", "horizont": "1 h"})
    assert (refused.value.key, refused.value.message) == ("horizont", "unknown key")


def test_rows_of_one_request_are_asked_about_and_the_first_of_each_is_its_arrival(tmp_path):
    both = [(came, k, "start") for k, came in enumerate(CAME)]
    both += [(came + lasts, k, "end") for k, (came, lasts) in enumerate(zip(CAME, LASTED, strict=True))]
    table = "time,request_id,event\n" + "".join(f"{at(t)},{k},{event}\n" for t, k, event in sorted(both))
    spans = [{"time": at(a), "trace_id": f"t{k}", "duration_ms": 500} for k, a in enumerate(CAME)]
    spans += [{**one, "time": at(a + 0.1), "duration_ms": 400} for one, a in zip(spans, CAME, strict=True)]
    for text in (table, lines(*spans)):
        found = read(tmp_path, text, stamped="start").found
        assert [(one.problem, one.rows) for one in found if one.open] == [("rows of one request", 5)]
        path = tmp_path / "file"
        repaired = examine_recording([path], ImportOptions(stamped="start"), ["drop-duplicates"]).trace
        assert repaired.times == pytest.approx(CAME)


def test_attempts_of_one_request_without_a_user_are_one_wish(tmp_path):
    rows = [(came, k, 429, 10) for k, came in enumerate(CAME)] + [
        (came + 2, k, 200, 900) for k, came in enumerate(CAME)
    ]
    body = "".join(f"{at(t)},r{k},{status},{lasts}\n" for t, k, status, lasts in sorted(rows))
    trace = read(tmp_path, f"time,request_id,status,duration_ms\n{body}").trace
    assert trace.times == pytest.approx(CAME)
    assert (trace.extra["attempts"].tolist(), trace.users_known) == ([2.0] * 5, False)


def test_the_path_of_a_request_is_before_the_name_of_an_operation(tmp_path):
    record = {"operationName": "ApplicationGatewayAccess", "category": "ApplicationGatewayAccessLog"}
    rows = [
        {**record, "time": at(a + b), "properties": {"requestUri": path, "httpStatus": 200, "timeTaken": b}}
        for a, b, path in zip(CAME, LASTED, ["/edit", "/image", "/image", "/healthz", "/image"], strict=True)
    ]
    trace = read(tmp_path, lines(*sorted(rows, key=lambda one: one["time"])), stamped="end").trace
    assert trace.kinds == ("/edit", "/image")
    assert trace.times == pytest.approx([0.0, 3.0, 4.0, 11.5])


def test_a_date_under_the_name_of_a_duration_is_none(tmp_path):
    rows = [
        {
            "requestTimeEpoch": 1743415200000 + 1000 * a,
            "requestTime": "31/Mar/2025:10:00:00 +0000",
            "responseLatency": 70,
        }
        for a in CAME
    ]
    assert read(tmp_path, lines(*rows)).trace.extra["duration_s"] == pytest.approx([0.07] * 5)


@pytest.mark.parametrize("before", ["", "stdout F "])
def test_records_behind_a_time_have_it_as_their_own(tmp_path, before):
    text = "".join(f'{at(came)} {before}{{"status": 200, "duration_ms": 70}}\n' for came in CAME)
    assert read(tmp_path, text, stamped="start").trace.times == pytest.approx(CAME)
    own = "".join(f'{at(59)} {before}{{"time": "{at(came)}", "status": 200, "duration_ms": 70}}\n' for came in CAME)
    assert read(tmp_path, own, stamped="start").trace.times == pytest.approx(CAME)


def test_the_router_of_heroku_and_lograge_stamp_the_answer_before_their_fields(tmp_path):
    both = list(zip(CAME, LASTED, strict=True))
    fields = 'at=info method=POST path="/v1" fwd="192.0.2.7" dyno=web.1 connect=1ms service={:.0f}ms status=200'
    router = "".join(f"{at(a + b)} heroku[router]: {fields.format(1000 * b)}\n" for a, b in both)
    fields = "method=POST path=/v1 controller=Images action=create status=200 duration={:.2f} view=0.10"
    rails = "".join(f"I, [{at(a + b)[:-1]} #7]  INFO -- : {fields.format(1000 * b)}\n" for a, b in both)
    for text, zone in ((router, None), (rails, "UTC")):
        trace = read(tmp_path, text, zone=zone).trace
        assert trace.start.second + trace.times == pytest.approx(CAME)
        assert trace.extra["duration_s"] == pytest.approx(LASTED)


def test_a_path_of_a_file_does_not_make_a_request_of_a_line_of_another_log(tmp_path):
    line = '192.0.2.7 - - [31/Mar/2025:10:00:00 +0000] "POST /v1 HTTP/1.1" 200 9 1.457'
    records = [{"@timestamp": at(a), "message": line, "log": {"file": {"path": "/var/log/access.log"}}} for a in CAME]
    with pytest.raises(BadInput, match="line of another log in its key 'message'"):
        read(tmp_path, lines(*records))


def test_a_latency_of_seconds_and_nanos_is_one_duration(tmp_path):
    records = [{"start_time": at(a), "latency": {"seconds": int(b), "nanos": b % 1 * 1e9}} for a, b in
               zip(CAME, LASTED, strict=True)]  # fmt: skip
    assert read(tmp_path, lines(*records)).trace.extra["duration_s"] == pytest.approx(LASTED)


def test_percentiles_are_no_requests(tmp_path):
    with pytest.raises(BadInput, match="percentiles or shares"):
        read(tmp_path, "Percentage served,Time in ms\n0,12.1\n50,2100.0\n100,9580.2\n")  # as ab -e writes them


def test_a_part_of_what_a_search_found_is_said_to_be_one(tmp_path):
    hits = [{"_source": {"@timestamp": at(came), "status": 200, "duration_ms": 70}} for came in CAME]
    for found, said in ((25_000, True), (5, False)):
        document = {"hits": {"total": {"value": found, "relation": "eq"}, "hits": hits}}
        notes = read(tmp_path, json.dumps(document), stamped="start").trace.notes
        assert any("5 of 25,000 requests" in note for note in notes) is said


@pytest.mark.parametrize(
    ("others", "whole"),
    [
        ({"db_duration_ms": 5}, "total_duration_ms"),
        ({"queue_latency_ms": 1, "ttft_latency_ms": 30}, "total_latency_ms"),
        ({"model_latency_s": 0.1}, "overall_latency_ms"),
        ({"gc_latency_ms": 1}, "gateway_latency_ms"),  # no name says it, and one is longer
        ({"audio_duration_s": 90}, "latency_ms"),
    ],
)
def test_of_several_durations_that_of_the_whole_request_is_taken(tmp_path, others, whole):
    rows = [{"created_at": at(a), **others, whole: 1000 * b} for a, b in zip(CAME, LASTED, strict=True)]
    table = ",".join(rows[0]) + "\n" + "".join(",".join(map(str, row.values())) + "\n" for row in rows)
    for text in (lines(*rows), table):
        assert read(tmp_path, text).trace.extra["duration_s"] == pytest.approx(LASTED)


def test_the_length_of_a_video_is_not_how_long_its_request_took(tmp_path):
    trace = read(tmp_path, "created_at,video_duration_s\n" + "".join(f"{at(came)},90\n" for came in CAME)).trace
    assert "duration_s" not in trace.extra


def test_codes_below_those_of_http_say_nothing_of_success(tmp_path):
    trace = read(tmp_path, "created_at,code\n" + "".join(f"{at(came)},{k % 2}\n" for k, came in enumerate(CAME))).trace
    assert not any("failed" in note for note in trace.notes)
    assert any("code: 5 texts are no outcome of a request" in note for note in trace.notes)


def test_a_list_that_is_sorted_by_its_times_does_not_show_whether_these_are_ends(tmp_path):
    rows = [{"timestamp": at(a), "latency_ms": 1000 * b, "status": 200} for a, b in zip(CAME, LASTED, strict=True)]
    with pytest.raises(BadInput, match="nor does the order of its lines") as refused:
        read(tmp_path, json.dumps(rows))
    assert refused.value.key == "--stamped"
    assert read(tmp_path, json.dumps(rows), stamped="start").trace.times == pytest.approx(CAME)
    by_end = sorted(rows, key=lambda row: CAME[rows.index(row)] + LASTED[rows.index(row)])
    assert read(tmp_path, json.dumps(by_end)).trace.times == pytest.approx(CAME)  # which only a log's starts are


def test_the_beginning_of_a_request_is_another_message_of_a_program_that_logs_its_end(tmp_path):
    begun = [(a, {"ts": at(a), "request_id": k, "path": "/a", "msg": "started"}) for k, a in enumerate(CAME)]
    over = [
        (a + b, {"ts": at(a + b), "request_id": k, "path": "/a", "msg": "done", "status": 200, "duration_ms": 1000 * b})
        for k, (a, b) in enumerate(zip(CAME, LASTED, strict=True))
    ]
    trace = read(tmp_path, lines(*(one for _, one in sorted(begun + over, key=lambda one: one[0])))).trace
    assert trace.times == pytest.approx(CAME)
    assert trace.extra["duration_s"] == pytest.approx(LASTED)


@pytest.mark.parametrize(
    ("name", "first", "again"),
    [("attempt", 1, 2), ("attempt_number", 0, 1), ("retry_count", 0, 1), ("is_retry", "false", "true")],
)
def test_rows_that_say_that_they_are_retries_are_no_requests_of_their_own(tmp_path, name, first, again):
    rows = [(came, first, 429) for came in CAME] + [(came + 2, again, 200) for came in CAME]
    records = [{"created_at": at(t), name: which, "status": status} for t, which, status in sorted(rows)]
    table = f"created_at,{name},status\n" + "".join(",".join(map(str, one.values())) + "\n" for one in records)
    for text in (table, lines(*records)):
        found = read(tmp_path, text).found
        assert [(one.problem, one.rows) for one in found if one.open] == [("rows of one request", 5)]
        repaired = examine_recording([tmp_path / "file"], ImportOptions(), ["drop-duplicates"]).trace
        assert repaired.times == pytest.approx(CAME)


def test_events_of_a_request_are_refused_until_one_of_them_is_kept(tmp_path):
    both = [(came, k, "request_started") for k, came in enumerate(CAME)]
    both += [(came + lasts, k, "request_completed") for k, (came, lasts) in enumerate(zip(CAME, LASTED, strict=True))]
    text = "time,user,event\n" + "".join(f"{at(t)},{k},{event}\n" for t, k, event in sorted(both))
    with pytest.raises(BadInput, match="events, of which a request has several") as refused:
        read(tmp_path, text)
    assert "--keep event=request_started" in refused.value.expected
    assert read(tmp_path, text, keep={"event": "request_started"}).trace.times == pytest.approx(CAME)


@pytest.mark.parametrize("key", ["event", "msg", "type"])
@pytest.mark.parametrize("listed", [False, True])
def test_records_of_a_beginning_and_an_end_under_no_id_are_not_two_requests(tmp_path, key, listed):
    both = [{"time": at(a), key: "request started", "user": f"u{a}"} for a in CAME]
    ends = [(a, a + b) for a, b in zip(CAME, LASTED, strict=True)]
    both += [{"time": at(end), key: "request completed", "user": f"u{a}"} for a, end in ends]
    text = json.dumps(both) if listed else lines(*both)
    with pytest.raises(BadInput, match="events, of which a request has several") as refused:
        read(tmp_path, text)
    command = refused.value.expected.partition(": ")[2]
    assert command == f"""jq -c '{".[] | " if listed else ""}select(.{key} == "request started")'"""
    alone = lines(*(one for one in both if one[key] == "request started"))
    assert read(tmp_path, alone).trace.times == pytest.approx(CAME)


def test_kinds_of_events_that_say_nothing_of_an_outcome_are_asked_about(tmp_path):
    kinds = ("Image Requested", "Image Viewed")
    records = [{"event_time": at(a), "event_type": kind, "user_id": "u"} for a in CAME for kind in kinds]
    table = "event_time,event_type\n" + "".join(f"{one['event_time']},{one['event_type']}\n" for one in records)
    for text in (lines(*records), table):
        with pytest.raises(BadInput, match="events, of which a request has several"):
            read(tmp_path, text)
    assert read(tmp_path, table, keep={"event_type": kinds[0]}).trace.times == pytest.approx(CAME)
    assert len(read(tmp_path, table, kind="event_type").trace.times) == 10  # where each is a request


@pytest.mark.parametrize("key", ["http.status_code", "data.http.status_code"])
@pytest.mark.parametrize("inner", [False, True])
def test_a_dot_in_the_name_of_a_key_is_not_an_object_within_one(tmp_path, key, inner):
    """{"http.status_code": 503}, {"data": {"http.status_code": 503}} and objects within objects say the same."""
    outer, _, rest = key.partition(".")
    records = [{"start_time": at(a), "latency_ms": 70, **({outer: {rest: 503}} if inner else {key: 503})} for a in CAME]
    assert read(tmp_path, lines(*records)).trace.extra["status"].tolist() == [503] * 5


def test_an_export_sorted_by_its_times_does_not_show_whether_they_are_ends(tmp_path):
    """A program writes its log in order of the answers; an export is sorted by whatever its times are."""
    rows = sorted(zip(CAME, LASTED, strict=True))
    records = [{"time": at(a), "duration_ms": 1000 * b} for a, b in rows]
    with pytest.raises(BadInput, match="requests or of answers"):
        read(tmp_path, lines(*records))
    assert read(tmp_path, lines(*records), stamped="start").trace.times == pytest.approx(CAME)
    logged = [{"level": "info", **one} for one in records]
    assert any("shows that stamps are ends" in note for note in read(tmp_path, lines(*logged)).trace.notes)


def test_traefik_stamps_the_request_in_its_common_log_too(tmp_path):
    form = '192.0.2.7 - - [31/Mar/2025:10:00:{:02.0f} +0000] "POST /v1 HTTP/1.1" 200 2 "-" "x" 1 "a@docker" "http://x" '
    form += "{:.0f}ms\n"
    text = "".join(form.format(3 * a, 1000 * b) for a, b in zip(CAME, LASTED, strict=True))
    assert read(tmp_path, text).trace.times == pytest.approx([0, 9, 12, 27, 34], abs=0.5)
