"""Logs of requests of further programs: load generators, collectors, gateways, databases; outcomes in words."""

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from sim.demand.recordings.importing import ImportOptions, examine_recording
from sim.errors import BadInput
from sim.tables.times import written_seconds
from tests.recorded import examined

BEGINS = datetime(2025, 3, 31, 10, tzinfo=UTC)
SECONDS = [0, 3, 4, 9, 15, 16]
LASTED = [1.5, 2.25, 3.125, 1.0, 4.5, 2.0]
CODES = [200, 200, 503, 200, 429, 200]
ROWS = list(zip(SECONDS, LASTED, CODES, strict=True))
BY_END = sorted(ROWS, key=lambda row: row[0] + row[1])


def read(tmp_path: Path, content: str, **options):
    return examined(tmp_path, content, attempts=True, **options).trace


def at(second: float, form: str = "%Y-%m-%dT%H:%M:%S.%fZ") -> str:
    return f"{BEGINS + timedelta(seconds=second):{form}}"


def since(second: float, per: int) -> int:
    return round((BEGINS.timestamp() + second) * per)


def lines(row, rows=ROWS) -> str:
    found = [row(*one) for one in rows]
    return "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in found)


JMETER = "timeStamp,elapsed,label,responseCode,responseMessage,success\n"
PROGRAMS = {
    "JMeter": JMETER + lines(lambda k, d, c: f"{since(k, 1000)},{int(d * 1000)},gen,{c},OK,true", BY_END),
    "vegeta CSV": lines(
        lambda k, d, c: f"{since(k, 10**9)},{c},{int(d * 1e9)},1,2,,aGk=,img,{k},POST,http://x.org/gen,Q28="
    ),
    "vegeta JSON": lines(
        lambda k, d, c: {"attack": "a", "seq": k, "code": c, "timestamp": at(k), "latency": int(d * 1e9), "url": "/gen"}
    ),
    "API Gateway": lines(
        lambda k, d, c: {
            "requestId": f"r{k}",
            "requestTime": at(k, "%d/%b/%Y:%H:%M:%S +0000"),
            "status": str(c),
            "responseLatency": int(d * 1000),
        }
    ),
    "its epoch": lines(
        lambda k, d, c: {"requestTimeEpoch": since(k, 1000), "status": str(c), "integrationLatency": int(d * 1000)}
    ),
    "a unit in the key": lines(
        lambda k, d, c: {"ts_ms": since(k + d, 1000), "latency_ms": 1000 * d, "status": c, "path": "/gen"}, BY_END
    ),
    "start and end in JSON": lines(lambda k, d, c: {"start_time": at(k), "end_time": at(k + d), "status": c}),
    "start and end in CSV": "started_at,finished_at,status\n" + lines(lambda k, d, c: f"{at(k)},{at(k + d)},{c}"),
    "start and end in ms": "start,end,code\n" + lines(lambda k, d, c: f"{since(k, 1000)},{since(k + d, 1000)},{c}"),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_requests_of_a_program_have_their_arrivals_durations_and_outcomes(tmp_path, program):
    ends = {"stamped": "end"} if program == "a unit in the key" else {}
    trace = read(tmp_path, PROGRAMS[program], **ends)
    assert (trace.times + (trace.start - BEGINS).total_seconds()).round(3).tolist() == SECONDS
    assert trace.extra["duration_s"].tolist() == pytest.approx(LASTED)
    assert trace.extra["status"].tolist() == CODES


def test_offsets_of_hey_are_starts_in_seconds(tmp_path):
    head = "response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset\n"
    trace = read(tmp_path, head + lines(lambda k, d, c: f"{d},0.1,0.1,0.1,1,0.1,{c},{k}", BY_END))
    assert (trace.times.tolist(), trace.extra["duration_s"].tolist()) == (SECONDS, LASTED)


def test_sums_of_a_transaction_of_jmeter_are_no_requests_and_its_errors_have_an_outcome(tmp_path):
    more = f"{since(0, 1000)},9,all,,Number of samples in transaction : 3,true\n"
    lost = f"{since(20, 1000)},9,gen,Non HTTP response code: java.net.SocketTimeoutException,Read timed out,false\n"
    trace = read(tmp_path, PROGRAMS["JMeter"] + more + lost)
    assert trace.extra["status"].tolist() == [*CODES, 504]


@pytest.mark.parametrize("keys", [("Duration", "OriginDuration", "time"), ("latency", "attack", "timestamp")])
def test_durations_of_programs_that_log_nanoseconds_are_nanoseconds_however_short(tmp_path, keys):
    duration, sign, time = keys
    rows = lines(lambda k, d, c: {duration: 3_000_000 + k, sign: 1, "seq": k, time: at(k), "status": c, "path": "/a"})
    assert read(tmp_path, rows).extra["duration_s"] == pytest.approx([0.003] * 6, rel=1e-3)


def test_durations_in_words_are_read_and_one_that_cannot_be_is_reported(tmp_path):
    words = {"4.1s": 4.1, "1m2.5s": 62.5, "1h0m3s": 3603, "PT2.5S": 2.5, "00:00:02.1040000": 2.104, "850ms": 0.85}
    assert {word: written_seconds(word) for word in words} == words
    assert [written_seconds(word) for word in ("-0:00:05", "2 seconds", "-1m2s")] == [-5, 2, -62]
    assert [written_seconds(word) for word in ("", "--5s", "P", "PT", "h", "fast")] == [None] * 6
    rows = "".join(
        json.dumps({"time": at(k), "duration": one, "status": 200}) + "\n" for k, one in enumerate([*words, "slow"])
    )
    trace = read(tmp_path, rows, stamped="start")
    assert trace.extra["duration_s"][:-1].tolist() == list(words.values())
    assert any("'slow'" in note for note in trace.notes)
    text = "time,duration\n" + "".join(f"{at(k)},{one}\n" for k, one in enumerate(words))
    assert read(tmp_path, text).extra["duration_s"].tolist() == list(words.values())


def test_outcomes_in_words_are_statuses(tmp_path):
    words = {"success": 200, "COMPLETED": 200, "503 Service Unavailable": 503, "HTTP/1.1 429": 429, "Failed": 500}
    words |= {"RESOURCE_EXHAUSTED": 429, "DeadlineExceeded": 504, "cancelled": 499, "rate_limited": 429}
    rows = "".join(f"{at(k)},{one}\n" for k, one in enumerate([*words, "pending"]))
    trace = read(tmp_path, f"time,status\n{rows}")
    assert trace.extra["status"][:-1].tolist() == list(words.values())
    assert any("2 served, 4 refused (429, 503), 3 failed" in note for note in trace.notes)
    trace = read(tmp_path, "time,status\n" + "".join(f"{at(k)},gold\n" for k in range(5)))
    assert not any("served" in note for note in trace.notes)


def combined(k: float, d: float, c: int) -> str:
    stamp = at(k + d, "%d/%b/%Y:%H:%M:%S +0000")
    return f'192.0.2.{int(k)} - - [{stamp}] "POST /gen HTTP/1.1" {c} 9 "-" "curl/8" {d:.3f}'


def test_a_time_of_day_before_a_line_is_no_address(tmp_path):
    before = "Mar 31 {} gw1 nginx: "
    trace = read(tmp_path, lines(lambda k, d, c: before.format(at(k, "%H:%M:%S")) + combined(0, k + d, c), BY_END))
    assert trace.users == 1


@pytest.mark.parametrize("key", ["log", "message"])
def test_lines_of_another_log_within_records_are_refused_and_not_taken_for_requests(tmp_path, key):
    rows = lines(lambda k, d, c: {key: combined(k, d, c) + "\n", "stream": "stdout", "time": at(k + d)}, BY_END)
    with pytest.raises(BadInput, match="a line of another log") as wrong:
        read(tmp_path, rows)
    assert f"jq -r .{key}" in str(wrong.value)


def zipkin(k: int, d: float, c: int) -> list[dict]:
    begins, lasts = since(k, 10**6), int(d * 1e6)
    root = {
        "traceId": f"t{k}",
        "id": "a",
        "name": "post /gen",
        "kind": "SERVER",
        "timestamp": begins,
        "duration": lasts,
    }
    child = {"traceId": f"t{k}", "id": "b", "parentId": "a", "name": "infer", "timestamp": begins + 5, "duration": 9}
    shared = {**root, "shared": True, "timestamp": begins + 3}
    return [child, shared, root | {"tags": {"http.status_code": str(c)}}]


def jaeger(k: int, d: float, c: int) -> dict:
    tags = [{"key": "http.status_code", "type": "int64", "value": c}]
    own = {"traceID": f"t{k}", "startTime": since(k, 10**6), "duration": int(d * 1e6)}
    root = {**own, "spanID": "a", "operationName": "/gen", "references": [], "tags": tags}
    above = {"refType": "CHILD_OF", "traceID": f"t{k}", "spanID": "a"}
    return {
        "traceID": f"t{k}",
        "spans": [{**own, "spanID": "b", "operationName": "queue", "references": [above]}, root],
    }


def otlp(k: int, d: float, c: int) -> dict:
    """A gateway's spans in a trace that a browser began."""
    own = {"traceId": f"t{k}", "startTimeUnixNano": str(since(k, 10**9))}
    attribute = {"key": "http.response.status_code", "value": {"intValue": str(c)}}
    gate = {**own, "spanId": "a", "parentSpanId": "browser", "kind": 2, "attributes": [attribute]}
    gate["endTimeUnixNano"] = str(since(k + d, 10**9))
    child = {**own, "spanId": "b", "parentSpanId": "a", "kind": "SPAN_KIND_SERVER"}
    return {"resourceSpans": [{"scopeSpans": [{"spans": [child, gate]}]}]}


TRACES = {
    "Zipkin's list": json.dumps([span for row in ROWS for span in zipkin(*row)]),
    "Zipkin's traces": json.dumps([zipkin(*row) for row in ROWS]),
    "Zipkin's lines": "".join(json.dumps(span) + "\n" for row in ROWS for span in zipkin(*row)),
    "Jaeger": json.dumps({"data": [jaeger(*row) for row in ROWS]}),
    "OpenTelemetry": lines(otlp),
}


@pytest.mark.parametrize("form", TRACES)
def test_a_trace_is_one_request_whatever_wrote_it_and_wherever_it_began(tmp_path, form):
    trace = read(tmp_path, TRACES[form])
    assert trace.times.tolist() == pytest.approx(SECONDS, abs=1e-6)
    assert trace.extra["duration_s"].tolist() == pytest.approx(LASTED, abs=1e-6)
    assert trace.extra["status"].tolist() == CODES


TAILS = {
    "response_time={0:.3f}": 1,
    "duration_ms={1:.0f}": 1,
    "latency={1:.1f}ms": 1,
    "{1:.0f}ms": 1,
    "{0:.3f}s": 1,
    'rt="{0:.3f}"': 1,
}


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("agent", ['"-" "curl/8" ', ""])
def test_a_duration_with_its_name_or_unit_is_found_in_an_access_log(tmp_path, tail, agent):
    def line(k: float, d: float, c: int) -> str:
        head = combined(k, d, c).partition(' "-"')[0]
        return f"{head} {agent}{tail.format(d, 1000 * d)}"

    trace = read(tmp_path, lines(line, BY_END), stamped="end")
    assert sorted(trace.extra["duration_s"]) == pytest.approx(sorted(LASTED))


def test_wrong_requests_are_not_served(tmp_path):
    rows = "".join(f"{at(k)},{code}\n" for k, code in enumerate([200, 304, 400, 404, 429, 500]))
    trace = read(tmp_path, f"time,status\n{rows}")
    assert any("2 served, 1 refused (429, 503), 3 failed" in note for note in trace.notes)


def test_rows_that_two_rotated_logs_have_in_common_are_not_counted_twice_in_silence(tmp_path):
    every = [combined(k, 1.5, 200) for k in range(40)]
    parts = [every[:25], every[20:]]
    paths = [tmp_path / "1.log", tmp_path / "2.log"]
    for path, part in zip(paths, parts, strict=True):
        path.write_text("\n".join(part) + "\n")
    found = examine_recording(paths, ImportOptions())
    assert [(one.problem, one.rows, one.where, one.open) for one in found.found] == [
        ("overlapping files", 5, "2.log:1", True)
    ]
    for repair, rows in (("drop-overlap", 40), ("drop-duplicates", 40), ("keep-duplicates", 45)):
        trace = examine_recording(paths, ImportOptions(), [repair]).trace
        assert len(trace.times) == rows
        assert any(note.startswith("overlapping files: 5 rows") for note in trace.notes)
    paths[1].write_text("\n".join([every[20], *[combined(k, 2.5, 200) for k in range(20, 40)]]) + "\n")
    assert not any(one.problem == "overlapping files" for one in examine_recording(paths, ImportOptions()).found)


def test_files_in_the_wrong_order_do_not_make_ends_starts(tmp_path):
    every = [combined(k, 0.5, 200).rpartition(" ")[0] for k in range(40)]
    paths = [tmp_path / "2.log", tmp_path / "1.log"]
    for path, part in zip(paths, (every[20:], every[:20]), strict=True):
        path.write_text("\n".join(part) + "\n")
    with pytest.raises(BadInput, match="does not say whether its times"):
        examine_recording(paths, ImportOptions())


def test_the_log_of_tgi_has_waits_services_and_refusals(tmp_path):
    times = 'total_time="{:.1f}s" validation_time="7µs" queue_time="{:.0f}ms" inference_time="1s"'
    text = "".join(
        f"{at(k + d)}  INFO generate{{parameters=x {times.format(d, 1000 * (d - 1))}}}: router: Success\n"
        for k, d, _ in BY_END
    )
    text += f"{at(30)} ERROR generate: router: Model is overloaded\n{at(31)}  INFO router: a message\n"
    trace = read(tmp_path, text)
    assert trace.times.tolist() == pytest.approx([*SECONDS, 30], abs=0.06)
    assert trace.extra["wait_s"][:-1].tolist() == pytest.approx([d - 1 for d in LASTED])
    assert trace.extra["status"].tolist() == [200] * 6 + [429]


GIN = '[GIN] {at} | {code} | {lasted:>13} |       192.0.2.{user} | POST     "/api/generate"'
PYTHON = {
    "Gin": lambda k, d, c: GIN.format(at=at(k + d, "%Y/%m/%d - %H:%M:%S"), code=c, lasted=f"{d:.4f}s", user=k),
    "Flask": lambda k, d, c: f'192.0.2.{k} - - [{at(k + d, "%d/%b/%Y %H:%M:%S")}] "POST /gen HTTP/1.1" {c} -',
    "logging": lambda k, d, c: f'{at(k + d, "%Y-%m-%d %H:%M:%S")},250 INFO 192.0.2.{k} - "POST /gen HTTP/1.1" {c}',
    "loguru": lambda k, d, c: f"{at(k + d, '%Y-%m-%d %H:%M:%S')}.250 | INFO | app:1 - POST /gen {c} {d:.3f}s",
}


@pytest.mark.parametrize("program", PYTHON)
def test_logs_of_frameworks_are_read_and_their_zone_is_asked_for(tmp_path, program):
    text = lines(PYTHON[program], BY_END)
    trace = read(tmp_path, text, zone="UTC", stamped="end")
    assert len(trace.times) == 6
    assert trace.start - BEGINS < timedelta(seconds=3)
    found = examine_recording([tmp_path / "file"], ImportOptions(stamped="end"))
    assert [one.problem for one in found.found if one.open] == ["no zone"]
    if program in ("Gin", "loguru"):
        assert sorted(trace.extra["duration_s"]) == pytest.approx(sorted(LASTED))


def test_messages_of_ollama_around_those_of_gin_are_no_requests(tmp_path):
    text = f'time={at(0)} level=INFO source=x msg="Listening"\n' + lines(PYTHON["Gin"], BY_END)
    assert len(read(tmp_path, text, zone="UTC").times) == 6


def test_the_order_of_lines_shows_that_whole_numbers_are_milliseconds(tmp_path):
    rng = np.random.default_rng(1)
    begins = np.sort(rng.uniform(0, 600, 200)).round(3)
    lasted = rng.gamma(4, 0.5, 200).round(3)
    by_end = sorted(zip(begins, lasted, strict=True), key=sum)

    def line(k: float, number: int) -> str:
        return f'192.0.2.1 - - [{at(k, "%d/%b/%Y:%H:%M:%S +0000")}] "POST /gen HTTP/1.1" 200 9 {number}\n'

    for per in (1e3, 1e6):
        trace = read(tmp_path, "".join(line(k, round(d * per)) for k, d in by_end))
        assert trace.extra["duration_s"].mean() == pytest.approx(lasted.mean(), rel=1e-3)


def test_behind_a_proxy_users_are_the_forwarded_addresses(tmp_path):
    def line(k: float, d: float, c: int) -> str:
        head = combined(k, d, c).rpartition(" ")[0].replace(f"192.0.2.{int(k)} ", "10.9.9.9 ")
        return f'{head} "203.0.113.{k % 5}, 10.1.1.1" {d:.3f}'

    assert read(tmp_path, lines(line, BY_END)).users == len({k % 5 for k in SECONDS})
    odd = lines(line, BY_END) + combined(30, 1, 200).replace('"curl/8"', r'"a \" b" "2001:db8::1"') + "\n"
    assert read(tmp_path, odd).users == len({k % 5 for k in SECONDS}) + 1
    fields = "#Version: 1.0\n#Fields: date time c-ip sc-status time-taken X-Forwarded-For\n"
    rows = lines(
        lambda k, d, c: f"{at(k + d, '%Y-%m-%d %H:%M:%S')} 10.9.9.9 {c} {int(1000 * d)} 203.0.113.{k % 5}", BY_END
    )
    assert read(tmp_path, fields + rows).users == len({k % 5 for k in SECONDS})


def test_the_log_of_gatling_has_a_start_and_an_end_and_words_about_failures(tmp_path):
    def row(k: float, d: float, c: int) -> str:
        outcome = "OK\t " if c == 200 else f"KO\tstatus.find.in(200), but actually found {c}"
        return f"REQUEST\t\tPOST /gen\t{since(k, 1000)}\t{since(k + d, 1000)}\t{outcome}"

    users = f"USER\tlaunch\tSTART\t{since(0, 1000)}\n"
    trace = read(tmp_path, f"RUN\tLaunch\tlaunch\t{since(0, 1000)}\t \t3.9\n{users}{lines(row, BY_END)}")
    assert (trace.times.tolist(), trace.extra["duration_s"].tolist()) == (SECONDS, pytest.approx(LASTED))
    assert (trace.extra["status"].tolist(), trace.kinds) == (CODES, ("POST /gen",))


def test_the_table_of_ab_has_seconds_of_starts_in_order_of_durations(tmp_path):
    def row(k: float, d: float, c: int) -> str:
        return f"{at(k, '%a %b %d %H:%M:%S %Y')}\t{since(k, 1)}\t0\t{d * 1000:g}\t{d * 1000:g}\t{d * 1000:g}"

    by_duration = sorted(ROWS, key=lambda one: one[1])
    trace = read(tmp_path, "starttime\tseconds\tctime\tdtime\tttime\twait\n" + lines(row, by_duration))
    assert (trace.times.tolist(), trace.extra["duration_s"].tolist()) == (SECONDS, LASTED)


def test_microseconds_behind_their_whole_seconds_are_taken_for_the_duration(tmp_path):
    def row(k: float, d: float, c: int) -> str:
        stamp = at(k, "%d/%b/%Y:%H:%M:%S +0000")
        return f'192.0.2.{int(k)} - - [{stamp}] "POST /gen HTTP/1.1" {c} 9 {int(d)} {d * 1e6:.0f}'

    trace = read(tmp_path, lines(row, BY_END), stamped="start")
    assert (trace.times.tolist(), trace.extra["duration_s"].tolist()) == (SECONDS, LASTED)


def test_a_stamp_in_brackets_before_a_line_of_uvicorn_is_its_time(tmp_path):
    text = lines(lambda k, d, c: f'[{at(k, "%Y-%m-%d %H:%M:%S")}] INFO:     192.0.2.7:1 - "POST /gen HTTP/1.1" {c} OK')
    trace = read(tmp_path, text, stamped="start", zone="UTC")
    assert (trace.times.tolist(), trace.extra["status"].tolist()) == (SECONDS, CODES)


def test_redirects_and_pages_of_a_balancer_are_no_requests_of_the_service(tmp_path):
    def moved(k: float, d: float, c: int) -> str:
        return combined(k, 0.0, 307) + "\n" + combined(k, float(int(d)), c)

    page = "Mar 31 10:00:00 lb haproxy[1]: 192.0.2.1:9 [31/Mar/2025:10:00:00.000] s s/<STATS> 0/0/0/0/1 200 9 - - LR--"
    page += ' 1/1/0/0/0 0/0 "GET /haproxy?stats;csv HTTP/1.1"'
    with pytest.raises(BadInput, match="health checks"):
        read(tmp_path, f"{page}\n{page}\n")
    trace = read(tmp_path, lines(moved), stamped="end")
    assert (trace.times.tolist(), trace.extra["status"].tolist()) == (SECONDS, CODES)
    assert any("6 redirects" in note for note in trace.notes)


def test_whole_durations_that_may_be_milliseconds_or_microseconds_are_asked_about(tmp_path):
    """Tomcat before version 10 logs milliseconds where Apache has microseconds, and stamps the answer."""
    text = lines(lambda k, d, c: combined(k, d, c).rsplit(" ", 1)[0] + f" {1000 * d:.0f}", BY_END)
    with pytest.raises(BadInput, match="milliseconds or in microseconds") as asked:
        read(tmp_path, text)
    assert asked.value.key == "--time-unit"
    command = asked.value.expected.partition("seconds in the file: ")[2]
    made = subprocess.run(["bash", "-c", command], input=text, capture_output=True, text=True, check=True).stdout
    for trace in (read(tmp_path, text, unit="ms"), read(tmp_path, made)):
        assert sorted(trace.extra["duration_s"]) == pytest.approx(sorted(LASTED))
        assert sorted((trace.start - BEGINS).total_seconds() + trace.times) == pytest.approx(
            SECONDS, abs=1.0
        )  # its clock ticks in seconds
    apache = read(tmp_path, text, unit="us").extra["duration_s"]
    assert sorted(apache) == pytest.approx([d / 1000 for d in sorted(LASTED)])


def test_a_line_of_morgan_ends_with_a_dash_and_milliseconds(tmp_path):
    text = lines(lambda k, d, c: combined(k, d, c).rsplit(" ", 1)[0] + f" - {1000 * d:.3f} ms", BY_END)
    assert sorted(read(tmp_path, text).extra["duration_s"]) == pytest.approx(sorted(LASTED))
