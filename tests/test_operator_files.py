"""Files as operators have them are read for what a row is; figures are those of the programs that made the files."""

import csv
import gzip
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from typer.testing import CliRunner

from sim.cli.demand_commands import demand_app
from sim.demand.fitting.counts import read_counts
from sim.demand.recordings.importing import ImportOptions, examine_recording
from sim.demand.waves.piecewise import Piecewise
from sim.errors import BadInput
from sim.tables.formats import readers, recognised
from sim.tables.formats.reader import Head
from tests.recorded import imported_trace

FILES = Path(__file__).parent / "operator_files"
W3C = "#Version: 1.0\n#Fields: date time c-ip cs-method cs-uri-stem sc-status x-edge-result-type time-taken\n"
IIS = "#Software: Microsoft IIS 10.0\n#Fields: date time c-ip cs-method cs-uri-stem sc-status time-taken\n"


def trace_of(name, **wishes):
    return imported_trace([FILES / name], ImportOptions(**wishes))


def written(tmp_path, text, name="file.log"):
    path = tmp_path / name
    path.write_text(text)
    return path


def queue(n=400, service=2.0, pause=1.7, seed=1):
    """Arrivals and ends at one server, first come, first served."""
    arrived = np.cumsum(np.random.default_rng(seed).exponential(pause, n))
    ended, free = [], 0.0
    for at in arrived:
        free = max(free, at) + service
        ended.append(free)
    return arrived, np.array(ended)


def log_lines(stamps, durations=None, status=None, users=None):
    """An access log in Combined Log Format, its clock in whole seconds, perhaps with the duration at the end."""
    lines = []
    for k, at in enumerate(stamps):
        when = pd.Timestamp("2025-05-06", tz="UTC") + pd.Timedelta(seconds=int(at))
        last = "" if durations is None else f" {durations[k]:.3f}"
        code, user = (200 if status is None else status[k]), (k if users is None else users[k])
        host = f"192.0.2.{user % 250}" if users is None else f"2001:db8::{user:x}"
        lines.append(f'{host} - - [{when:%d/%b/%Y:%H:%M:%S} +0000] "POST /v1 HTTP/1.1" {code} 9 "-" "app"{last}\n')
    return "".join(lines)


@pytest.mark.parametrize(
    ("name", "kind", "rows"),
    [
        ("alb.log", "alb", 2),
        ("apache_combined_D.log", "access-log", 201),
        ("apache_vhost_combined.log", "access-log", 2),
        ("envoy.log", "envoy", 68),
        ("haproxy.log", "haproxy", 13),
        ("nginx_json.log", "json-lines", 2),
        ("trace.jsonl", "json-lines", 3),
        ("otel_spans.jsonl", "otlp", 27),
        ("k6.csv", "k6", 30),
        ("vllm_serve_detailed.json", "vllm-bench", 24),
        ("aiperf_profile_export.jsonl", "aiperf-records", 20),
    ],
)
def test_each_row_of_a_log_is_one_arrival(name, kind, rows):
    trace = trace_of(name)
    assert (trace.recorded_as, len(trace.times)) == (kind, rows)


def test_only_one_reader_recognises_a_file():
    for path in FILES.iterdir():
        assert len([reader.name for reader in readers() if reader.recognises(Head(path))]) == 1, path.name


def test_apache_stamps_arrivals_and_logs_microseconds():
    trace = trace_of("apache_combined_D.log")
    assert np.bincount((trace.times // 60).astype(int)).tolist() == [77, 51, 73]
    assert trace.extra["duration_s"].mean() == pytest.approx(3.110, abs=5e-4)


def test_envoys_refusals_and_hang_ups_are_not_served():
    status = trace_of("envoy.log").extra["status"]
    counts = {code: int((status == code).sum()) for code in (200, 503, 429, 504, 0)}
    assert counts == {200: 50, 503: 5, 429: 7, 504: 2, 0: 4}


def test_haproxy_has_waits_of_those_who_left_and_services_of_those_served():
    trace = trace_of("haproxy.log")
    left = trace.extra["status"] == 499
    assert left.sum() == 2
    assert np.isfinite(trace.extra["wait_s"][left]).all()
    assert np.isnan(trace.extra["service_s"][left]).all()
    assert trace.extra["service_s"][0] == pytest.approx(2.869)


def test_a_trace_of_spans_is_one_request_with_its_queue_and_its_service():
    trace = trace_of("otel_spans.jsonl")
    assert (trace.extra["status"] == 429).sum() == 2
    assert np.nanmean(trace.extra["wait_s"]) == pytest.approx(0.509, abs=5e-4)
    assert np.nanmean(trace.extra["service_s"]) == pytest.approx(1.498, abs=5e-4)


def test_k6_stamps_ends_and_names_what_it_never_sent():
    trace = trace_of("k6.csv")
    served = trace.extra["status"] == 200
    assert np.median(trace.extra["duration_s"][served]) == pytest.approx(3.49, abs=5e-3)
    assert any(note.startswith("12 iterations that k6 dropped") for note in trace.notes)


def test_arrivals_of_a_benchmark_are_before_the_clients_own_queue():
    trace = trace_of("vllm_serve_detailed.json")
    assert trace.extra["client_wait_s"].mean() == pytest.approx(3.73, abs=5e-3)
    assert np.nanmean(trace.extra["duration_s"]) == pytest.approx(3.231, abs=5e-4)


@pytest.mark.parametrize("stamped", ["start", "end"])
def test_the_order_of_lines_shows_which_instant_is_stamped(tmp_path, stamped):
    """Replayed at one server of 2 s, the arrivals wait as long as they did, whichever instant was logged."""
    arrived, ended = queue()
    stamps = arrived if stamped == "start" else ended
    trace = imported_trace([written(tmp_path, log_lines(stamps, ended - arrived))], ImportOptions())
    free, waits = 0.0, []
    for at in trace.times:
        waits.append(max(free - at, 0.0))
        free = max(free, at) + 2.0
    assert any(f"stamps are {stamped}s" in note for note in trace.notes)
    assert np.mean(waits) == pytest.approx((ended - arrived - 2.0).mean(), rel=0.02)


def test_without_durations_the_user_is_asked_and_flat_minutes_are_named(tmp_path):
    _, ended = queue()
    path = written(tmp_path, log_lines(ended))
    with pytest.raises(BadInput, match="--stamped") as asked:
        examine_recording([path], ImportOptions())
    assert "flat" in str(asked.value)
    trace = imported_trace([path], ImportOptions(stamped="end"))
    assert len([note for note in trace.notes if note.startswith("warning")]) == 2


def test_poisson_arrivals_are_not_called_flat(tmp_path):
    times = np.cumsum(np.random.default_rng(2).exponential(0.5, 2000))
    trace = imported_trace([written(tmp_path, log_lines(times))], ImportOptions(stamped="start"))
    assert not any("warning" in note for note in trace.notes)


def test_a_coarse_clock_is_seen_and_spread_within_its_ticks(tmp_path):
    times = np.cumsum(np.random.default_rng(3).exponential(0.2, 500))
    path = written(tmp_path, log_lines(times))
    first, second = (imported_trace([path], ImportOptions(stamped="start")) for _ in range(2))
    assert np.array_equal(first.times, second.times)
    assert np.array_equal(np.floor(first.times), np.floor(times) - np.floor(times[0]))
    assert len(np.unique(first.times)) == 500
    assert any("coarse" in note for note in first.notes)


def test_repeats_of_refused_requests_are_one_wish(tmp_path):
    """300 people; a refused request is repeated with probability 0.7, 8 s later on average."""
    draw = np.random.default_rng(4)
    rows = []
    for user in range(300):
        at, again = draw.uniform(0, 3600), True
        while again:
            refused = draw.random() < 0.6
            rows.append((at, user, 429 if refused else 200))
            again = refused and draw.random() < 0.7
            at += draw.exponential(8.0)
    times, users, status = map(list, zip(*sorted(rows), strict=True))
    path = written(tmp_path, log_lines(times, [0.0] * len(times), status, users))
    assert len(imported_trace([path], ImportOptions(stamped="start", attempts=True)).times) == len(rows)
    trace = imported_trace([path], ImportOptions(stamped="start"))
    assert len(trace.times) == pytest.approx(300, abs=2)
    assert trace.extra["attempts"].sum() == len(rows)
    assert any("repeated with probability 0." in note for note in trace.notes)


def test_an_address_that_returns_whatever_became_of_it_repeats_nothing(tmp_path):
    times, status = np.arange(400) * 1.1, np.where(np.arange(400) % 3, 200, 503)
    path = written(tmp_path, log_lines(times, [0.0] * 400, status.tolist(), [k % 40 for k in range(400)]))
    assert len(imported_trace([path], ImportOptions(stamped="start")).times) == 400


def test_answers_from_a_cache_are_left_out(tmp_path):
    rows = "".join(f"2025-05-06 12:00:0{k} 192.0.2.{k} GET /v1 200 {r} 1.500\n" for k, r in enumerate(["Hit", "Miss"]))
    path = written(tmp_path, (W3C + rows.replace(" ", "\t")).replace("#Fields:\t", "#Fields: "))
    assert recognised(path).name == "cloudfront"
    trace = imported_trace([path], ImportOptions())
    assert len(trace.times) == 1
    assert trace.start.second == 59  # 12:00:01 less 1.5 s
    assert trace.times[0] == pytest.approx(0.5)


def test_iis_logs_milliseconds_until_the_answer(tmp_path):
    trace = imported_trace(
        [written(tmp_path, IIS + "2025-05-06 12:00:05 192.0.2.1 GET /v1 200 2500\n")], ImportOptions()
    )
    assert (trace.start.second, trace.times[0]) == (2, 0.5)


@pytest.mark.parametrize("pack", ["gz", "zst"])
def test_packed_files_are_read_by_content(tmp_path, pack):
    data = (FILES / "envoy.log").read_bytes()
    path = tmp_path / "packed"
    if pack == "gz":
        path.write_bytes(gzip.compress(data))
    else:
        with pa.CompressedOutputStream(str(path), "zstd") as out:
            out.write(data)
    assert len(imported_trace([path], ImportOptions()).times) == 68


def as_table(rows, mark=","):
    text = io.StringIO()
    csv.writer(text, delimiter=mark, lineterminator="\n").writerows(rows)
    return text.getvalue()


def rows_in(name):
    return list(csv.reader((FILES / name).read_text().splitlines()))


@pytest.mark.parametrize("name", ["k6.csv", "envoy.log", "apache_combined_D.log", "nginx_json.log"])
def test_a_byte_order_mark_changes_nothing(tmp_path, name):
    marked = tmp_path / name
    marked.write_bytes(b"\xef\xbb\xbf" + (FILES / name).read_bytes())
    one, other = (imported_trace([path], ImportOptions()) for path in (FILES / name, marked))
    assert one.times.tolist() == other.times.tolist()


def test_a_byte_order_mark_before_the_fields_of_a_log_changes_nothing(tmp_path):
    path = written(tmp_path, "\ufeff" + IIS + "2025-05-06 12:00:05 192.0.2.1 GET /v1 200 2500\n")
    assert len(imported_trace([path], ImportOptions()).times) == 1


def test_samples_of_k6_are_known_by_their_columns_in_any_order(tmp_path):
    path = tmp_path / "k6.csv"
    path.write_text(as_table([row[::-1] for row in rows_in("k6.csv")]))
    assert len(imported_trace([path], ImportOptions()).times) == 30


def test_statistics_of_locust_are_known_with_other_delimiters(tmp_path):
    path = tmp_path / "stats.csv"
    path.write_text(as_table([row[::-1] for row in rows_in("locust_stats.csv")], ";"))
    with pytest.raises(BadInput) as refused:
        examine_recording([path], ImportOptions())
    assert "1,450 requests in 60 s" in refused.value.expected


@pytest.mark.parametrize("decimal", [".", ","])
def test_an_export_with_other_delimiters_has_the_same_latency(tmp_path, decimal):
    rows = rows_in("genai_perf_images.csv")
    if decimal == ",":  # 5,919.16 as 5919,16
        rows = [[cell.replace(",", "").replace(".", ",") for cell in row] for row in rows]
    path = tmp_path / "it.csv"
    path.write_text(as_table(rows, ";"))
    (point,) = recognised(path).load_points(path)
    assert (point.latency["mean"], point.throughput) == pytest.approx((5.91916, 0.17))


@pytest.mark.parametrize("layout", ["appended", "over lines"])
@pytest.mark.parametrize("kind", ["vllm", "sglang"])
def test_results_of_a_benchmark_are_read_over_lines_and_appended(tmp_path, kind, layout):
    run = {"completed": 40, "request_throughput": 4.0, "max_concurrency": 8}
    run |= {"num_prompts": 40, "mean_e2el_ms": 900.0} if kind == "vllm" else {"mean_e2e_latency_ms": 900.0}
    path = tmp_path / "it.json"
    path.write_text(f"{json.dumps(run)}\n" * 2 if layout == "appended" else json.dumps(run, indent=2))
    points = recognised(path).load_points(path)
    assert [(one.latency["mean"], one.throughput) for one in points] == [(0.9, 4.0)] * (
        2 if layout == "appended" else 1
    )


COUNTED = [
    ("prometheus_counter_range.json", {}, [610, 600, 800, 1236, 1533, 2725, 2755, 1635, 960, 655]),
    ("cloudwatch_get_metric_data.json", {"refused": "inside"}, [512, 498, 1330, 0, 2950, 3012, 2871, 640]),
    ("cloudwatch_get_metric_data.json", {"refused": "beside"}, [512, 498, 1330, 0, 4160, 4345, 3886, 640]),
    ("grafana_joined.csv", {"zone": "Europe/Berlin"}, [840, 1212, 2860, 4310, 4730, 1595]),
]


@pytest.mark.parametrize(("name", "wishes", "right"), COUNTED)
def test_counts_are_of_their_intervals(name, wishes, right):
    counts = examine_recording([FILES / name], ImportOptions(**wishes)).counts
    np.testing.assert_allclose(counts.total, right)
    assert counts.begins[0] == pd.Timestamp("2025-05-06 12:00").value
    assert set(counts.lasts) == {60.0}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cloudwatch_get_metric_data.json", "inside: 11,813 requests in all; beside: 15,371"),
        ("grafana_joined.csv", "--zone"),
        ("locust_stats.csv", "1,450 requests in 60 s .* 1,050 answered .17.5/s"),
        ("mlperf_log_summary.txt", "mean latency 2.188 s"),
        ("vllm_bench_serve.json", "JSON.*\n.*\n.*100 requests answered, 3.32 a second"),
        ("genai_perf_images.csv", "GenAI-Perf"),
    ],
)
def test_what_holds_no_arrivals_is_refused_and_said(name, words):
    with pytest.raises(BadInput, match=words):
        examine_recording([FILES / name], ImportOptions())


def test_two_scrapes_say_what_was_between_them():
    with pytest.raises(BadInput) as refusal:
        examine_recording([FILES / "vllm_metrics_t0.txt", FILES / "vllm_metrics_t300.txt"], ImportOptions())
    said = refusal.value.expected
    assert "750 requests ended, 30 of them aborted" in said
    assert "e2e_request_latency_seconds 4.6 on average of 750: p50 3.12 (between 2.5 and 5)" in said


def test_intervals_that_were_full_are_said(tmp_path):
    rows = "".join(f"2025-03-03T{h:02}:00Z,{min(300 + 10 * h, 380)},{int(h > 8)}\n" for h in range(24))
    path = written(tmp_path, "time,admitted,full\n" + rows)
    counts = examine_recording([path], ImportOptions()).counts
    assert counts.notes[0].startswith("15 of 24 intervals are marked as full")
    assert "15 of 24 intervals are marked as full" in read_counts(path, value="admitted", counts="interval").taken


def test_a_wave_of_counts_brings_as_many_people_as_were_counted(tmp_path):
    out = tmp_path / "wave.yaml"
    done = CliRunner().invoke(demand_app, ["import", str(FILES / "prometheus_counter_range.json"), "--out", str(out)])
    assert done.exit_code == 0, done.output
    wave = Piecewise.model_validate(yaml.safe_load(out.read_text())["demand"][0])
    np.testing.assert_allclose(wave.cumulative([60, 600, 9999]), [610, 13509, 13509], rtol=1e-8)


def test_what_nobody_recognises_is_described(tmp_path):
    for text, words in (
        ('{"a": 1, "b": {"c": 2}}\n', "a JSON document with the keys a, b"),
        ("<!DOCTYPE html><html></html>\n", "an HTML page"),
        ("x,y\n1,2\n", "a table with 2 columns: x, y"),
    ):
        with pytest.raises(BadInput, match=words):
            examine_recording([written(tmp_path, text)], ImportOptions())


def test_rates_of_unequal_intervals_are_counted_by_their_lengths(tmp_path):
    """100 an hour for half an hour and 20 an hour for twelve are 290 people, not 120."""
    rows = "2025-03-31T00:00Z,2025-03-31T00:30Z,100\n2025-03-31T00:30Z,2025-03-31T12:30Z,20\n"
    counts = read_counts(written(tmp_path, "from,to,signups_per_hour\n" + rows), value="signups_per_hour")
    assert counts.totals.tolist() == [50, 290]
    assert counts.times.tolist() == [1800, 12.5 * 3600]


def test_a_decimal_comma_is_read_and_a_text_that_is_no_number_is_said(tmp_path):
    rows = "".join(f"2025-05-06 12:00:0{k}+02:00;u{k};{text}\n" for k, text in enumerate(("1,5", "2,25", "soon")))
    path = written(tmp_path, "\ufefftime;user;duration_s\n" + rows, "rows.csv")
    trace = examine_recording([path], ImportOptions()).trace
    np.testing.assert_array_equal(trace.extra["duration_s"], [1.5, 2.25, np.nan])
    assert any("1 texts are no numbers, the first 'soon'" in note for note in trace.notes)


def test_keys_within_objects_are_found_by_their_last_name(tmp_path):
    line = '{"meta":{"start_time":174653280%d123},"user":{"id":"u%d"},"http":{"status":200,"duration_ms":1500}}'
    path = written(tmp_path, "".join(line % (k, k) + "\n" for k in (0, 3)), "rows.jsonl")
    trace = examine_recording([path], ImportOptions()).trace
    assert np.diff(trace.times) == pytest.approx([3.0])
    assert trace.extra["duration_s"].tolist() == [1.5, 1.5]
    assert trace.users == 2


def test_the_log_of_a_mesh_is_that_of_its_envoy(tmp_path):
    """Istio's default has the details of the response between the flags and the bytes (istio.io, access logs)."""
    line = (
        '[2025-05-06T12:00:0{k}.123Z] "POST /v1 HTTP/1.1" {status} via_upstream - "-" 10 20 {ms} - "192.0.2.{k}" '
        '"curl" "id" "x" "10.0.0.1:80" outbound|80 10.1.1.1:3 10.0.0.1:80 - default\n'
    )
    text = line.format(k=1, status="200 -", ms=1500) + line.format(k=2, status="503 UO", ms=1)
    trace = examine_recording([written(tmp_path, text)], ImportOptions()).trace
    assert trace.extra["duration_s"].tolist() == [1.5, 0.001]
    assert trace.extra["status"].tolist() == [200.0, 503.0]
