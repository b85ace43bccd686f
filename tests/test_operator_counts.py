"""Counts over time as dashboards, databases and people export them: pods, pages, gaps, orders, zones, names."""

import json
from pathlib import Path

import pytest

from sim.demand.recordings.importing import ImportOptions, examine_recording
from sim.errors import BadInput

BEGINS = 1743415200  # 2025-03-31 10:00 UTC
STEPS = [BEGINS + 60 * k for k in range(6)]


def read(tmp_path: Path, *texts: str | bytes, **options):
    paths = [tmp_path / f"file{place}" for place in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return examine_recording(paths, ImportOptions(**options))


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
