"""Tables of counts as dashboards, databases and people export them: gaps, orders, zones, names, series, gauges."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sim.demand.fitting.counts import read_counts
from sim.errors import BadInput
from sim.tables.formats.sampled import sampled
from tests.recorded import examined as read

BEGINS = 1743415200  # 2025-03-31 10:00 UTC


COUNTS = [30, 47, 51, 38, 44, 62, 70, 55]


def iso(minute: float) -> str:
    return f"{datetime.fromtimestamp(BEGINS + 60 * minute, UTC):%Y-%m-%dT%H:%M:%SZ}"


def table(head: str, rows=range(8), row="{time},{count}\n") -> str:
    return head + "\n" + "".join(row.format(time=iso(k), count=COUNTS[k]) for k in rows)


@pytest.mark.parametrize(
    "head",
    ["time,requests", "timestamp,request_count", "minute,http_requests", "Time,num requests", "bucket,invocations"],
)
def test_counts_of_rows_with_a_gap_are_those_of_their_minute_and_no_arrivals(tmp_path, head):
    counts = read(tmp_path, table(head, [0, 1, 2, 5, 6, 7])).counts
    assert counts.total.tolist() == [30, 47, 51, 62, 70, 55]
    assert counts.lasts.tolist() == [60.0] * 6
    assert any("2 rows are missing" in note for note in counts.notes)


@pytest.mark.parametrize(
    ("name", "per"), [("rps", 60), ("requests_per_second", 60), ("rpm", 1), ("asks per hour", 1 / 60)]
)
def test_a_rate_is_known_by_its_name(tmp_path, name, per):
    assert read(tmp_path, table(f"timestamp,{name}")).counts.total == pytest.approx([per * n for n in COUNTS])


def test_numbers_of_an_unknown_name_at_even_steps_are_asked_about_and_not_taken_for_arrivals(tmp_path):
    text = table("timestamp,orders", [0, 1, 2, 5, 6, 7])
    with pytest.raises(BadInput, match="--values"):
        read(tmp_path, text)
    assert read(tmp_path, text, values="per-second").counts.total.sum() == 60 * (30 + 47 + 51 + 62 + 70 + 55)


def test_times_in_numbers_of_parquet_and_of_spreadsheets_are_those_of_counts_too(tmp_path):
    epoch = "".join(f"{BEGINS + 60 * k},{n}\n" for k, n in enumerate(COUNTS))
    serial = "".join(f"{45747 + (600 + k) / 1440:.9f},{n}\n" for k, n in enumerate(COUNTS))
    data = pa.table({"time": pa.array([iso(k) for k in range(8)]), "requests": COUNTS})
    pq.write_table(data, tmp_path / "parquet")
    for text in (f"time,requests\n{epoch}", f"time,requests\n{serial}", (tmp_path / "parquet").read_bytes()):
        counts = read(tmp_path, text, zone="UTC").counts
        assert counts.begins[0] == BEGINS * 10**9
        assert counts.total.tolist() == COUNTS


def test_dates_and_hours_in_two_columns_are_one_time(tmp_path):
    for clock in ("{}", "{}:00", "{}:00:00"):
        rows = "".join(f"2025-03-31,{clock.format(k)},{n}\n" for k, n in enumerate(COUNTS))
        counts = read(tmp_path, f"date,hour,requests\n{rows}", zone="UTC").counts
        assert (counts.lasts.tolist(), counts.total.tolist()) == ([3600.0] * 8, COUNTS)


def test_rows_in_another_order_are_sorted_and_a_time_that_comes_twice_is_refused(tmp_path):
    for head in ("time,requests", "Time,requests"):
        assert read(tmp_path, table(head, range(7, -1, -1))).counts.total.tolist() == COUNTS
        with pytest.raises(BadInput, match="comes twice"):
            read(tmp_path, table(head, [0, 1, 2, 2, 3, 4]))


def test_a_row_for_each_series_and_time_is_a_series_each(tmp_path):
    long = "".join(f"{iso(k)},{name},{n}\n" for name in "ab" for k, n in enumerate(COUNTS))
    for head, values in (("minute,service,requests", None), ("Time,Metric,Value", "per-interval")):
        counts = read(tmp_path, f"{head}\n{long}", values=values).counts
        assert {name: each.tolist() for name, each in counts.series.items()} == {"a": COUNTS, "b": COUNTS}
    some = "".join(f"{iso(k)},200,{n}\n" + f"{iso(k)},429,9\n" * (k > 5) for k, n in enumerate(COUNTS))
    counts = read(tmp_path, f"minute,status,requests\n{some}").counts
    assert counts.series["429"].tolist() == [0] * 6 + [9, 9]


def test_the_ends_of_intervals_say_how_long_they_last(tmp_path):
    rows = "".join(f"{iso(10 * k)},{iso(10 * k + 5)},{n}\n" for k, n in enumerate(COUNTS))
    assert read(tmp_path, f"from,to,requests\n{rows}").counts.lasts.tolist() == [300.0] * 8


def test_the_hour_that_comes_twice_is_counted_twice_in_its_order(tmp_path):
    local = ["01:00", "01:30", "02:00", "02:30", "02:00", "02:30", "03:00", "03:30"]
    for head, order in (("time,requests", 1), ("Time,requests", -1)):
        rows = [f"2025-10-26 {at},{n}\n" for at, n in zip(local, COUNTS, strict=True)]
        counts = read(tmp_path, f"{head}\n" + "".join(rows[::order]), zone="Europe/Berlin").counts
        assert counts.total.tolist() == COUNTS
        assert (np.diff(counts.begins) == 1800 * 10**9).all()
    with pytest.raises(BadInput, match="clock was changed"):
        read(tmp_path, "time,requests\n" + "".join(f"2025-10-26 0{k}:00,5\n" for k in range(6)), zone="Europe/Berlin")


def test_totals_since_a_beginning_are_counted_by_their_differences(tmp_path):
    rows = "".join(f"{iso(k)},{n}\n" for k, n in enumerate([100, 130, 190, 20, 50, 90, 91, 95]))
    counts = read(tmp_path, f"time,requests\n{rows}", values="counter").counts
    assert counts.total.tolist() == [30, 60, 20, 30, 40, 1, 4]
    units = read(tmp_path, f"time,asked (req/min)\n{rows}", values="counter").counts
    assert units.total.tolist() == counts.total.tolist()
    grows = "".join(f"{iso(k)},{100 + 7 * k}\n" for k in range(9))
    with pytest.raises(BadInput, match=r"(?s)never fall.*per-interval: 1,152 requests; counter: 56"):
        read(tmp_path, f"time,requests\n{grows}")


def test_whether_errors_are_inside_requests_is_asked(tmp_path):
    text = table("time,requests,errors", row="{time},{count},3\n")
    with pytest.raises(BadInput, match="--refused"):
        read(tmp_path, text, values="per-interval")
    sums = [read(tmp_path, text, values="per-interval", refused=one).counts.total.sum() for one in ("inside", "beside")]
    assert sums == [sum(COUNTS), sum(COUNTS) + 24]


@pytest.mark.parametrize(
    "text",
    [
        "timestamp, name, index, utilization.gpu [%], power.draw [W]\n"
        + "".join(
            f"2025/03/31 10:00:{k:02d}.{k % 3:03d}, H100, {g}, 5{g} %, [N/A]\n" for k in range(9) for g in (0, 1)
        ),
        "timestamp,gpu,DCGM_FI_DEV_GPU_UTIL\n" + "".join(f"{iso(k)},{g},50\n" for k in range(9) for g in (0, 1)),
        table("timestamp,cpu_percent"),
        table("timestamp,queue_length,running", row="{time},{count},3\n"),
    ],
)
def test_gauges_of_a_machine_are_neither_arrivals_nor_counts(tmp_path, text):
    with pytest.raises(BadInput, match="no series of this file is a count of requests"):
        read(tmp_path, text, zone="UTC")


@pytest.mark.parametrize("name", ['"{namespace=""gpu-inference"", code=""200""}"', "my-gpu-gateway", "sometimes"])
def test_a_series_named_after_a_gpu_service_is_a_count(tmp_path, name):
    assert read(tmp_path, table(f"Time,{name}"), values="per-interval").counts.total.tolist() == COUNTS


def test_large_numbers_of_grafana_and_of_programs_are_read(tmp_path):
    cells = ["990", "1.21 K", "1.20 Mil", "1.5e+06"]
    text = "Time,asked\n" + "".join(f"{iso(k)},{cell}\n" for k, cell in enumerate(cells))
    counts = read(tmp_path, text, values="per-interval").counts
    assert counts.total == pytest.approx([990, 1210, 1.2e6, 1.5e6])


@pytest.mark.parametrize(
    ("head", "row"),
    [
        ("timestamp,status,latency_ms,bytes", "{time},200,900,{count}\n"),  # a load test at a constant rate
        ("timestamp,user,images", "{time},u{count},2\n"),
        ("timestamp,request_id,cost", "{time},{count},2\n"),
        ("timestamp,latency_ms", "{time},{count}\n"),
    ],
)
def test_requests_at_even_steps_are_requests(tmp_path, head, row):
    assert len(read(tmp_path, table(head, row=row)).trace.times) == 8


def fitted(tmp_path: Path, text: str) -> tuple[list[float], list[float]]:
    (tmp_path / "counts").write_text(text)
    found = read_counts(tmp_path / "counts")
    return (found.times / 86400).tolist(), found.totals.tolist()


PEOPLE = [990, 1006, 1120, 1500]
DAYS = ["2025-03-31", "2025-04-01", "2025-04-02", "2025-04-03"]


@pytest.mark.parametrize(
    ("head", "days"),
    [
        ("date,users", DAYS),
        ("Datum;users", ["31.03.2025", "01.04.2025", "02.04.2025", "03.04.2025"]),
        ("timestamp,users", [str(BEGINS + 86400 * k) for k in range(4)]),
        ("timestamp,users", [str(1000 * (BEGINS + 86400 * k)) for k in range(4)]),
        ("date,users", [str(45747 + k) for k in range(4)]),
    ],
)
@pytest.mark.parametrize("newest_first", [False, True])
def test_counts_of_people_are_fitted_whatever_their_dates_look_like(tmp_path, head, days, newest_first):
    mark = ";" if ";" in head else ","
    rows = [f"{day}{mark}{n}\n" for day, n in zip(days, PEOPLE, strict=True)]
    times, totals = fitted(tmp_path, f"{head}\n" + "".join(rows[:: -1 if newest_first else 1]))
    assert (times, totals) == ([1, 2, 3], [n - 990 for n in PEOPLE[1:]])


def test_points_between_thousands_of_people_are_settled_or_refused(tmp_path):
    def table_of(*texts: str) -> str:
        return "date;users\n" + "".join(f"{day};{text}\n" for day, text in zip(DAYS, texts, strict=True))

    assert fitted(tmp_path, table_of("990", "1.006", "1.120", "1.500"))[1] == [16, 130, 510]
    assert fitted(tmp_path, table_of("0.5K", "1.006K", "1.12K", "1.5 K"))[1] == [506, 620, 1000]
    with pytest.raises(BadInput, match="this is no count"):
        fitted(tmp_path, table_of("1.001", "1.006", "1.120", "1.500"))


def test_days_with_points_are_dates_of_counts(tmp_path):
    rows = "".join(f"0{k}.04.2025;{n}\n" for k, n in enumerate(COUNTS, 1))
    counts = read(tmp_path, f"Datum;Anfragen\n{rows}", zone="UTC").counts
    assert (counts.total.tolist(), set(counts.lasts)) == (COUNTS, {86400.0})


def test_one_row_of_counts_is_refused_and_times_alone_do_not_make_arrivals_of_samples(tmp_path):
    with pytest.raises(BadInput, match="one row has no length"):
        read(tmp_path, table("time,requests", [1]))
    with pytest.raises(BadInput, match="come at even steps"):
        read(tmp_path, table("ts,orders"), time="ts")
    assert len(read(tmp_path, table("ts,orders"), time="ts", format="csv").trace.times) == 8


def test_numbers_of_rows_and_spans_beside_counts_are_no_series(tmp_path):
    text = "id,_time,requests,_span\n" + "".join(f"{7 + k},{iso(k)},{n},60\n" for k, n in enumerate(COUNTS))
    counts = read(tmp_path, text).counts
    assert (list(counts.series), counts.total.tolist()) == (["requests"], COUNTS)


def test_samples_under_names_of_another_language_are_no_arrivals(tmp_path):
    with pytest.raises(BadInput, match="come at even steps"):
        read(tmp_path, table("时间,请求数"), time="时间")


@pytest.mark.parametrize("tick", [0.001, 1.0, 60.0])
@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5, 1.0, 5.0, 50.0])
def test_arrivals_by_chance_are_never_taken_for_samples(tick, rate):
    rng = np.random.default_rng(1)
    for _ in range(20):
        at = np.floor(np.cumsum(rng.exponential(1 / rate, 40)) / tick) * tick
        times = [datetime.fromtimestamp(BEGINS + second, UTC) for second in at]
        rows = [[f"{one:%Y-%m-%dT%H:%M:%S.%fZ}", str(rng.integers(1, 99)), "7"] for one in times]
        assert sampled([["time", "cost", "weight"], *rows]) is None


@pytest.mark.parametrize("jitter", [0.0, 0.02])
@pytest.mark.parametrize("gaps", [0.0, 0.2])
def test_samples_with_gaps_and_jitter_are_known(jitter, gaps):
    rng = np.random.default_rng(2)
    for _ in range(20):
        minutes = np.flatnonzero(rng.random(60) >= gaps)
        late = rng.uniform(0, jitter, len(minutes))
        at = [datetime.fromtimestamp(BEGINS + 60 * minute, UTC) for minute in minutes + late]
        rows = [[f"{one:%Y-%m-%dT%H:%M:%S.%fZ}", "5"] for one in at]
        assert sampled([["time", "orders"], *rows]) is not None


def test_ranges_of_times_days_without_marks_and_hours_as_columns_are_intervals(tmp_path):
    def counted(head: str, row: str, **options):
        rows = "".join(
            row.format(k=k, next=k + 1, n=n, day=k + 1, at=iso(k)[:-1], end=iso(k + 1)[:-1])
            for k, n in enumerate(COUNTS)
        )
        return read(tmp_path, f"{head}\n{rows}", zone="UTC", **options).counts

    for head, row, lasts in (
        ("date,interval,calls", "2025-03-31,0{k}:00-0{next}:00,{n}\n", 3600),
        ("interval,calls", "{at} - {end},{n}\n", 60),
        ("date,requests", "2025030{day},{n}\n", 86400),
        ("beginTimeSeconds,endTimeSeconds,count", "174341520{k},174341520{next},{n}\n", 1),
    ):
        counts = counted(head, row)
        assert (counts.total.tolist(), set(counts.lasts)) == (COUNTS, {lasts})
    hours = ",".join(f"{k:02d}:00" for k in range(8))
    text = f"date,{hours}\n" + "".join(f"2025-03-{day},{','.join(map(str, COUNTS))}\n" for day in (30, 31))
    counts = read(tmp_path, text, zone="UTC", values="per-interval").counts
    assert counts.total.tolist() == COUNTS * 2
    assert np.diff(counts.begins)[[0, 7]].tolist() == [3600 * 10**9, 17 * 3600 * 10**9]


def test_words_in_place_of_a_number_are_missing_and_make_no_arrivals(tmp_path):
    text = "Time,reqs\n" + "".join(f"{iso(k)},{'No data' if k == 3 else n}\n" for k, n in enumerate(COUNTS))
    assert read(tmp_path, text, values="per-interval").counts.total.sum() == sum(COUNTS) - COUNTS[3]


def test_a_count_below_zero_is_refused(tmp_path):
    with pytest.raises(BadInput, match="below 0"):
        read(
            tmp_path,
            "time,orders\n" + "".join(f"{iso(k)},{n}\n" for k, n in enumerate([5, 6, -1, 8])),
            values="per-interval",
        )


def test_periods_of_any_length_that_follow_each_other_are_counts(tmp_path):
    edges = [0, 60, 120, 150, 180, 300, 660]
    rates = [120, 340, 2150, 900, 40, 10]
    rows = "".join(f"{iso(a)},{iso(b)},{n}\n" for a, b, n in zip(edges, edges[1:], rates, strict=False))
    counts = read(tmp_path, f"from,to,signups_per_hour\n{rows}").counts
    assert counts.total == pytest.approx([120, 340, 1075, 450, 80, 60])
    requests = "".join(f"{iso(a)},{iso(a + 70)},5\n" for a in edges)
    assert len(read(tmp_path, f"start,end,cost\n{requests}").trace.times) == 7


@pytest.mark.parametrize(
    "names",
    ["/v1/images,/v1/edits", "POST /v1/images,GET /v1/models", "image,edit", "images,steps"],
)
def test_a_column_for_each_path_or_kind_holds_counts_and_no_arrivals(tmp_path, names):
    text = table(f"timestamp,{names}", row="{time},{count},2\n")
    with pytest.raises(BadInput, match="the unit of this series is not in the file"):
        read(tmp_path, text)
    assert read(tmp_path, text, values="per-interval").counts.total.sum() == sum(COUNTS) + 16


def test_a_total_beside_its_parts_is_not_counted_twice(tmp_path):
    text = "timestamp,edit,generate,all\n" + "".join(f"{iso(k)},{n},{k},{n + k}\n" for k, n in enumerate(COUNTS))
    counts = read(tmp_path, text, values="per-interval").counts
    assert counts.total.sum() == sum(COUNTS) + 28
    assert "all is the sum of the others: left out" in counts.notes


@pytest.mark.parametrize("name", ["active_users", "num_images", "max_requests", "images_per_user"])
def test_people_and_sizes_beside_counts_of_requests_are_not_added_to_them(tmp_path, name):
    counts = read(tmp_path, table(f"minute,{name},requests", row="{time},9,{count}\n")).counts
    assert counts.total.tolist() == COUNTS
    assert f"{name} is no count of requests: left out" in counts.notes


def test_an_instant_in_another_form_names_no_series(tmp_path):
    counts = read(tmp_path, table("start_time,start_time_iso,requests", row="{time},{time},{count}\n")).counts
    assert list(counts.series) == ["requests"]


def test_cells_of_no_number_are_unknown_counts(tmp_path):
    counts = read(tmp_path, table("timestamp,requests") + f"{iso(8)},NaN\n{iso(9)},null\n").counts
    assert counts.series["requests"].tolist() == pytest.approx([*COUNTS, np.nan, np.nan], nan_ok=True)


def test_a_counter_that_began_anew_is_named(tmp_path):
    counts = read(tmp_path, table("timestamp,requests_total"), values="counter").counts
    assert counts.total.tolist() == [17, 4, 38, 6, 18, 8, 55]
    assert "requests_total began anew, 2 falls: its count since is taken, a lower bound" in counts.notes


def test_counts_in_thousands_are_not_read_as_units(tmp_path):
    with pytest.raises(BadInput, match="no series of this file is a count of requests"):
        read(tmp_path, table("timestamp,requests_in_thousands"), values="per-interval")


@pytest.mark.parametrize(
    "text",
    [
        " minute | requests \n--------+------\n{rows}(8 rows)\n",  # psql
        "+--------+------+\n| minute | requests |\n+--------+------+\n{rows}+--------+------+\n8 rows in set\n",
        "@timestamp per minute|Count of records\n{rows}",  # Kibana
        "_time|count|_span|_spandays\n{splunk}",
        "minute|requests\n{rows}Total|397\n",
    ],
)
def test_what_databases_draw_around_a_table_is_none_of_it(tmp_path, text):
    bar = "| " if text.startswith("+") else ""
    rows = "".join(f"{bar}{iso(k)[:-1]}+00:00 | {COUNTS[k]} {bar}\n" for k in range(8))
    splunk = "".join(f"{iso(k)}|{COUNTS[k]}|60|0\n" for k in range(8))
    assert read(tmp_path, text.format(rows=rows, splunk=splunk)).counts.total.tolist() == COUNTS


@pytest.mark.parametrize(
    "others",
    ["rps,{rate}", "avg_rps,{rate}", "cumulative_requests,{sum}", "in_flight,7", "success_rate,0.99", "errors_pct,1.5"],
)
def test_what_stands_beside_a_count_of_requests_is_not_added_to_it(tmp_path, others):
    name, cell = others.split(",")
    rows = [cell.format(rate=COUNTS[k] / 60, sum=sum(COUNTS[: k + 1])) for k in range(8)]
    text = f"time,requests,{name}\n" + "".join(f"{iso(k)},{COUNTS[k]},{rows[k]}\n" for k in range(8))
    for values in (None, "per-interval"):
        assert read(tmp_path, text, values=values).counts.total.tolist() == COUNTS
    long = f"time,pod,requests,{name}\n" + "".join(
        f"{iso(k)},{pod},{COUNTS[k]},{rows[k]}\n" for k in range(8) for pod in ("a", "b")
    )
    assert read(tmp_path, long).counts.total.tolist() == [2 * count for count in COUNTS]


def test_requests_for_images_are_requests_and_images_are_none(tmp_path):
    rows = "".join(f"{iso(k)},{COUNTS[k]},{2 * COUNTS[k]},7\n" for k in range(8))
    text = f"time,image_requests,chat_requests,images\n{rows}"
    assert read(tmp_path, text, values="per-interval").counts.total.tolist() == [3 * count for count in COUNTS]


def test_two_columns_that_both_count_all_requests_are_counted_once_or_refused(tmp_path):
    same = "".join(f"{iso(k)},{COUNTS[k]},{COUNTS[k]}\n" for k in range(8))
    assert read(tmp_path, f"time,requests,hits\n{same}").counts.total.tolist() == COUNTS
    other = "".join(f"{iso(k)},{COUNTS[k]},{COUNTS[k] // 5}\n" for k in range(8))
    with pytest.raises(BadInput, match="several columns count requests, and differ"):
        read(tmp_path, f"time,hits,visits\n{other}")


def test_refusals_beside_a_count_of_requests_are_counts_too_and_their_place_is_asked(tmp_path):
    rows = "".join(f"{iso(k)},{COUNTS[k]},5\n" for k in range(8))
    with pytest.raises(BadInput, match="are these refusals within requests") as refused:
        read(tmp_path, f"time,requests,429\n{rows}")
    assert refused.value.key == "--refused"
    assert read(tmp_path, f"time,requests,429\n{rows}", refused="beside").counts.total.sum() == sum(COUNTS) + 40
