"""Counts over time in the JSON and the metrics of monitoring: pods that come and go, pages, histograms, exemplars."""

import json

import numpy as np
import pytest

from sim.errors import BadInput
from tests.recorded import examined as read
from tests.test_operator_counts import BEGINS, COUNTS, iso

STEPS = [BEGINS + 60 * k for k in range(6)]


def answer(*series: tuple[dict, list], key: str = "values") -> str:
    result = [{"metric": metric, key: values} for metric, values in series]
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}})


def rate(value: float, times=STEPS) -> list:
    return [[t, str(value)] for t in times]


def total(each: int, times=STEPS) -> list:
    return [[t, str(1000 + each * (t - BEGINS) // 60)] for t in times]


NAMED = {"__name__": "http_requests_total", "pod": "a"}


def test_a_rate_counts_for_the_step_before_each_stamp_the_first_too(tmp_path):
    counts = read(tmp_path, answer(({}, rate(2))), values="per-second").counts
    assert counts.total.tolist() == [120.0] * 6
    assert counts.begins[0] == (BEGINS - 60) * 10**9


def test_the_rate_of_a_pod_that_came_later_is_added_and_not_lost(tmp_path):
    text = answer(({"pod": "a"}, rate(2)), ({"pod": "b"}, rate(3, STEPS[3:])))
    assert read(tmp_path, text, values="per-second").counts.total.tolist() == [120.0] * 3 + [300.0] * 3
    text = answer(({"code": "200"}, rate(2)), ({"code": "429"}, rate(1, STEPS[4:])))
    assert read(tmp_path, text, values="per-second").counts.series["429"].tolist() == [0.0] * 4 + [60.0] * 2


def test_an_interval_in_which_no_series_has_a_sample_is_unknown(tmp_path):
    text = answer(({"pod": "a"}, rate(2, [*STEPS[:2], *STEPS[4:]])), ({"pod": "b"}, rate(3, STEPS[:2])))
    values = read(tmp_path, text, values="per-second").counts.series["all"]
    assert [value == value for value in values] == [True, True, False, False, True, True]


def test_several_answers_are_pages_of_the_same_series(tmp_path):
    pages = [answer((NAMED, total(7, STEPS[:3]))), answer((NAMED, total(7, STEPS[2:])))]
    assert read(tmp_path, *pages).counts.total.tolist() == [7.0] * 5
    pages = [answer(({}, rate(2, STEPS[:3]))), answer(({}, rate(2, STEPS[3:])))]
    assert read(tmp_path, *pages, values="per-second").counts.total.tolist() == [120.0] * 6


def test_of_a_histogram_each_request_counts_once(tmp_path):
    def bucket(le: str, share: float) -> tuple[dict, list]:
        metric = {"__name__": "http_request_duration_seconds_bucket", "le": le}
        return metric, [[t, str(share * float(value))] for t, value in total(8)]

    text = answer(bucket("0.5", 0.25), bucket("1", 0.5), bucket("+Inf", 1.0))
    assert read(tmp_path, text).counts.total.tolist() == [8.0] * 5
    with pytest.raises(BadInput, match="do not hold all requests"):
        read(tmp_path, answer(bucket("0.5", 0.25)))
    native = [[t, {"count": value, "sum": "9", "buckets": []}] for t, value in total(8)]
    text = answer(({"__name__": "http_request_duration_seconds"}, native), key="histograms")
    assert read(tmp_path, text).counts.total.tolist() == [8.0] * 5


@pytest.mark.parametrize(
    "name", ["http_request_duration_seconds_sum", "vllm:generation_tokens_total", "container_cpu_usage_seconds_total"]
)
def test_what_adds_up_seconds_or_tokens_counts_no_requests(tmp_path, name):
    with pytest.raises(BadInput, match="something else than requests"):
        read(tmp_path, answer(({"__name__": name}, total(8))), values="counter")


SERIES = [{"timestamp": iso(k), "requests": n} for k, n in enumerate(COUNTS)]
MILLISECONDS = [1000 * (BEGINS + 60 * k) for k in range(8)]
MONITORED = {
    "JSON lines": "".join(json.dumps(one) + "\n" for one in SERIES),
    "a JSON list": json.dumps(SERIES),
    "JSON lines of a kind": "".join(json.dumps({**one, "type": "image"}) + "\n" for one in SERIES),
    "Datadog": json.dumps(
        {
            "query": "sum:trace.http.request.hits{*}.as_count()",
            "series": [{"metric": "hits", "pointlist": [[t, n] for t, n in zip(MILLISECONDS, COUNTS, strict=True)]}],
        }
    ),
    "Google Cloud": json.dumps(
        {
            "timeSeries": [
                {
                    "metricKind": "DELTA",
                    "points": [
                        {"interval": {"startTime": iso(k), "endTime": iso(k + 1)}, "value": {"int64Value": str(n)}}
                        for k, n in reversed(list(enumerate(COUNTS)))
                    ],
                }
            ]
        }
    ),
    "Elasticsearch": json.dumps(
        {
            "aggregations": {
                "minutes": {
                    "buckets": [
                        {"key_as_string": "", "key": t, "doc_count": n}
                        for t, n in zip(MILLISECONDS, COUNTS, strict=True)
                    ]
                }
            }
        }
    ),
}


@pytest.mark.parametrize("form", MONITORED)
def test_counts_in_json_are_counts_and_no_arrivals(tmp_path, form):
    counts = read(tmp_path, MONITORED[form]).counts
    assert (counts.begins[0], counts.total.tolist()) == (BEGINS * 10**9, COUNTS)


def test_an_export_of_victoria_metrics_is_a_counter_per_line(tmp_path):
    totals = np.cumsum(COUNTS).tolist()
    line = {"metric": {"__name__": "http_requests_total"}, "values": totals, "timestamps": MILLISECONDS}
    text = "".join(json.dumps({**line, "metric": {**line["metric"], "pod": pod}}) + "\n" for pod in "ab")
    assert read(tmp_path, text).counts.total.tolist() == [2 * n for n in COUNTS[1:]]


def test_gauges_in_json_are_refused(tmp_path):
    text = "".join(json.dumps({"timestamp": iso(k), "gpu": 0, "utilization": n}) + "\n" for k, n in enumerate(COUNTS))
    with pytest.raises(BadInput, match="no series of this file is a count of requests"):
        read(tmp_path, text)


@pytest.mark.parametrize(
    "row",
    [
        'http_requests_total{{path="a b"}} {total} {at} # {{trace_id="x"}} 1 1743415200.5\n',
        "http_request_duration_seconds_count {total} {at}\n",
        "jobs_total {total} {at}\n",
    ],
)
def test_metrics_with_stamps_are_counts_with_exemplars_and_of_histograms_too(tmp_path, row):
    text = "# TYPE x counter\n" + "".join(row.format(total=100 * k, at=STEPS[k]) for k in range(6)) + "# EOF\n"
    assert read(tmp_path, text).counts.total.tolist() == [100.0] * 5


def test_a_rate_below_zero_is_refused(tmp_path):
    with pytest.raises(BadInput, match="below 0"):
        read(tmp_path, answer(({}, rate(-2))), values="per-interval")


def test_an_instant_that_is_none_is_refused(tmp_path):
    with pytest.raises(BadInput, match="no instant"):
        read(tmp_path, MONITORED["Elasticsearch"].replace(str(MILLISECONDS[3]), "NaN"))


def test_what_two_prometheus_servers_saw_of_one_counter_is_counted_once(tmp_path):
    seen = [({**NAMED, "prometheus_replica": name}, total(5, STEPS[place:])) for place, name in enumerate("ab")]
    counts = read(tmp_path, answer(*seen)).counts
    assert counts.total.tolist() == [5.0] * 5
    assert any("1 series of another Prometheus server" in note for note in counts.notes)


def test_when_a_counter_was_made_is_no_count_and_does_not_hide_one(tmp_path):
    made = ({"__name__": "http_requests_created"}, rate(BEGINS))
    assert read(tmp_path, answer((NAMED, total(5)), made)).counts.total.tolist() == [5.0] * 5


SAMPLES = [3, 7, None, 12, 30, 4]
TARGET = "stats.counters.api.requests.count"


@pytest.mark.parametrize("form", ["json", "csv", "raw"])
def test_series_of_graphite_are_counts_in_each_of_its_forms(tmp_path, form):
    points = [[value, at] for value, at in zip(SAMPLES, STEPS, strict=True)]
    rows = [f"{TARGET},{iso(k)[:-1].replace('T', ' ')},{value or ''}\n" for k, value in enumerate(SAMPLES)]
    text = {
        "json": json.dumps([{"target": TARGET, "datapoints": points}]),
        "csv": "".join(rows),
        "raw": f"{TARGET},{BEGINS},{BEGINS + 360},60|3.0,7.0,None,12.0,30.0,4.0\n",
    }[form]
    with pytest.raises(BadInput, match="the unit of this series is not in the file"):
        read(tmp_path, text, zone="UTC")
    counts = read(tmp_path, text, zone="UTC", values="per-interval").counts
    assert counts.total.tolist() == [3, 7, 0, 12, 30, 4]
    assert counts.begins[0] == BEGINS * 10**9


def test_metrics_of_azure_are_totals_of_each_interval(tmp_path):
    def document(unit: str, key: str) -> str:
        data = [{"timeStamp": iso(k), key: float(COUNTS[k])} for k in range(6)]
        series = [{"metadatavalues": [], "data": data}]
        return json.dumps({"cost": 0, "value": [{"name": {"value": "Requests"}, "unit": unit, "timeseries": series}]})

    assert read(tmp_path, document("Count", "total")).counts.total.tolist() == COUNTS[:6]
    for unit, key in (("Count", "average"), ("MilliSeconds", "total")):
        with pytest.raises(BadInput, match="this metric has no counts"):
            read(tmp_path, document(unit, key))


@pytest.mark.parametrize("other", ["RequestCountPerTarget", "HTTPCode_Target_2XX_Count", "NewConnectionCount"])
def test_metrics_of_the_same_requests_beside_their_count_are_not_added_to_it(tmp_path, other):
    times = [iso(k) for k in range(8)]
    metrics = {"RequestCount": COUNTS, other: [count // 2 for count in COUNTS]}
    found = [{"Id": name, "Label": name, "Timestamps": times, "Values": row} for name, row in metrics.items()]
    counts = read(tmp_path, json.dumps({"MetricDataResults": found})).counts
    assert counts.total.tolist() == COUNTS
    assert any(f"{other} is of the same requests" in note for note in counts.notes)


@pytest.mark.parametrize("name", ["http_requests_in_flight", "vllm:num_requests_waiting", "DCGM_FI_DEV_GPU_UTIL"])
def test_a_level_is_no_count_whatever_its_values_are_said_to_be(tmp_path, name):
    with pytest.raises(BadInput, match="a level, and counts nothing"):
        read(tmp_path, answer(({"__name__": name}, rate(5))), values="per-interval")


def cloud(kind: str, points: list[tuple[int, int, float]], **facts) -> str:
    """A time series of Google Cloud: (begin, end, value) in minutes, the newest first."""
    spans = [
        {"interval": {"startTime": minute(a), "endTime": minute(b)}, "value": {"doubleValue": v}} for a, b, v in points
    ]
    return json.dumps({"timeSeries": [{"metric": {}, "metricKind": kind, "points": spans[::-1], **facts}]})


def minute(k: int) -> str:
    return f"2025-03-31T10:{k:02d}:00Z"


def test_totals_of_google_cloud_are_counted_by_their_growth_and_begin_anew(tmp_path):
    """Asked: 5, 7, 2 and, after the counter began anew, 4 and 6 a minute."""
    whole = [(0, 1, 5), (0, 2, 12), (0, 3, 14), (3, 4, 4), (3, 5, 10)]
    counts = read(tmp_path, cloud("CUMULATIVE", whole)).counts
    assert (counts.total.tolist(), counts.lasts.tolist()) == ([5, 7, 2, 4, 6], [60.0] * 5)
    late = [(0, 20, 1005), (0, 21, 1012), (0, 22, 1014)]  # the first total is of twenty minutes
    assert read(tmp_path, cloud("CUMULATIVE", late)).counts.total.tolist() == [7, 2]


def test_a_rate_of_google_cloud_is_that_of_the_time_before_its_stamp(tmp_path):
    rates = [(k, k, k / 60) for k in (1, 2, 3)]
    for text, values in ((cloud("GAUGE", rates, unit="1/s"), None), (cloud("GAUGE", rates), "per-second")):
        counts = read(tmp_path, text, values=values).counts
        assert counts.total.tolist() == pytest.approx([1, 2, 3])
        assert counts.begins[0] == 1743415200 * 10**9
    with pytest.raises(BadInput, match="ALIGN_RATE"):
        read(tmp_path, cloud("GAUGE", rates))


@pytest.mark.parametrize("histogram", [False, True])
@pytest.mark.parametrize("temporality", [1, 2])
def test_metrics_of_opentelemetry_count_requests_by_status(tmp_path, temporality, histogram):
    """Asked: 5, 7 and 2 a minute, as such or as totals since the server began."""
    points = []
    for k, (own, total) in enumerate([(5, 5), (7, 12), (2, 14)]):
        begin, value = (k, own) if temporality == 1 else (0, total)
        point = {"startTimeUnixNano": str(begin * 60 * 10**9), "timeUnixNano": str((k + 1) * 60 * 10**9)}
        point["attributes"] = [{"key": "http.response.status_code", "value": {"intValue": "200"}}]
        points.append({**point, "count": str(value)} if histogram else {**point, "asInt": str(value)})
    data = {"aggregationTemporality": temporality, "dataPoints": points, **({} if histogram else {"isMonotonic": True})}
    metric = {"name": "http.server.request.duration", "histogram" if histogram else "sum": data}
    counts = read(tmp_path, json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]})).counts
    assert {name: each.tolist() for name, each in counts.series.items()} == {"200": [5, 7, 2]}


def test_what_promtool_dumps_is_a_counter_with_its_restarts(tmp_path):
    """Samples a minute apart: 10, 15, 22, then a restart and 4."""
    totals = list(enumerate([10, 15, 22, 4]))
    labels = '{{__name__="http_requests_total", code="{}"}} {} {}\n'
    dump = "".join(labels.format(200, n, 1743415200000 + 60000 * k) for k, n in totals)
    query = 'http_requests_total{code="200", job="x"} =>\n'
    query += "".join(f"{n} @[{1743415200 + 60 * k}.5]\n" for k, n in totals)
    for text in (dump, query):
        assert read(tmp_path, text).counts.total.tolist() == [5, 7, 4]
    both = dump + "".join(labels.format(503, k, 1743415200000 + 60000 * k) for k, _ in totals)
    assert read(tmp_path, both, refused="beside").counts.total.sum() == 16 + 3
