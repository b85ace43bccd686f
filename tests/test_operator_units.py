"""Units and clocks of columns: named by the column, shown by the size of its numbers, or those of a spreadsheet."""

import io
import zipfile
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sim.demand.recordings.importing import ImportOptions, examine_recording
from sim.errors import BadInput
from sim.profile.perf_tables import import_profile
from sim.tables.names import shown_per, unit_of_time
from tests.recorded import examined

BEGINS = datetime(2025, 3, 31, 10, tzinfo=UTC)
SECONDS = [0.5, 3.25, 4.0, 9.125, 15.0, 16.75]
LASTED = [2104, 1890, 3120, 950, 2400, 2210]  # ms


def read(tmp_path: Path, content: str | bytes, **options):
    return examined(tmp_path, content, **options).trace


def parquet(**columns) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream)
    return stream.getvalue()


def sheet(*rows: list) -> bytes:
    book = pytest.importorskip("openpyxl").Workbook()
    for row in rows:
        book.active.append(row)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def at(second: float) -> datetime:
    return BEGINS + timedelta(seconds=second)


def test_a_duration_without_a_unit_is_the_same_in_parquet_as_in_text(tmp_path):
    rows = "".join(f"{at(k).isoformat()},{d}\n" for k, d in zip(SECONDS, LASTED, strict=True))
    for content in (f"timestamp,latency\n{rows}", parquet(timestamp=[at(k) for k in SECONDS], latency=LASTED)):
        assert read(tmp_path, content).extra["duration_s"].tolist() == [d / 1000 for d in LASTED]


@pytest.mark.parametrize(
    ("name", "size"),
    [("arrival_ms", 1e3), ("Arrival (us)", 1e6), ("t_s", 1.0), ("time_ms", 1e3), ("arrival_min", 1 / 60)],
)
@pytest.mark.parametrize("asked", [False, True])
def test_times_are_in_the_unit_that_their_column_names(tmp_path, name, size, asked):
    rows = "".join(f"{k * size:.9f},u{k}\n" for k in SECONDS)
    trace = read(tmp_path, f"{name},user\n{rows}", time=name if asked else None)
    assert trace.times == pytest.approx(SECONDS)


def test_durations_in_ms_are_no_times_and_a_unit_that_the_numbers_refute_is_refused(tmp_path):
    with pytest.raises(BadInput, match="no column has the name of a time"):
        read(tmp_path, "path,time_ms\n/a,900\n/b,300\n/a,1200\n")
    assert unit_of_time("Timestamp (ms)") == ("timestamp", "ms")
    seconds = "".join(f"{BEGINS.timestamp() + k},u\n" for k in SECONDS)
    with pytest.raises(BadInput, match="says ms"):
        read(tmp_path, f"timestamp_ms,user\n{seconds}")
    assert read(tmp_path, f"timestamp_ms,user\n{seconds}", unit="s").start == BEGINS


def test_days_of_a_spreadsheet_are_dates(tmp_path):
    days = [45747 + (36000 + k) / 86400 for k in SECONDS]
    rows = "".join(f"{day:.9f},u\n" for day in days)
    for content in (f"timestamp,user\n{rows}", sheet(["timestamp", "user"], *([day, "u"] for day in days))):
        trace = read(tmp_path, content, zone="UTC")
        assert trace.start == BEGINS
        assert trace.times == pytest.approx(SECONDS, abs=1e-3)
    assert read(tmp_path, f"timestamp,user\n{rows}", unit="s").start is None


def test_a_date_and_a_time_of_day_are_joined_in_sheets_and_parquet_too(tmp_path):
    days, clocks = [date(2025, 3, 31)] * 6, [time(10, 0, int(k)) for k in SECONDS]
    rows = [list(row) for row in zip(days, clocks, "abcdef", strict=True)]
    both = (sheet(["Date", "Time", "User"], *rows), parquet(date=days, time=clocks, user=list("abcdef")))
    for content in both:
        trace = read(tmp_path, content, zone="UTC")
        assert (trace.start, trace.times.tolist()) == (BEGINS, [float(int(k)) for k in SECONDS])


def test_whole_numbers_between_milliseconds_and_nanoseconds_are_microseconds():
    assert shown_per("latency", [2104000.0, 1890000.0])[0] == 1e6
    assert shown_per("latency", [310400.0, 189000.0])[0] == 1e3


@pytest.mark.parametrize(
    "form",
    [
        "%a %b %d %Y %H:%M:%S GMT+0000 (Coordinated Universal Time)",  # of JavaScript
        "%b %d, %Y @ %H:%M:%S.%f",  # of Kibana
        "%a, %d %b %Y %H:%M:%S +0000",
    ],
)
def test_dates_of_browsers_are_read(tmp_path, form):
    rows = "".join(f'"{at(int(k)):{form}}",u\n' for k in SECONDS)
    trace = read(tmp_path, f"time,user\n{rows}", zone="UTC")
    assert (trace.start, trace.times.tolist()) == (BEGINS, [float(int(k)) for k in SECONDS])
    east = "Mon Mar 31 2025 12:00:00 GMT+0200 (Central European Summer Time)"
    assert read(tmp_path, f"time,user\n{east},a\n{east},b\n").start == BEGINS


def test_the_sheet_with_a_table_is_read_and_others_like_it_below_it(tmp_path):
    def rows(day: int) -> list[list]:
        return [["time", "user"], *([datetime(2025, 3, day, 10, 0, int(k)), "u"] for k in SECONDS)]

    book = pytest.importorskip("openpyxl").Workbook()
    book.active.append(["Report", "of March"])
    book.active.append(["made by", "operations"])
    book.active.append(["for", "all"])
    for day in (30, 31):
        made = book.create_sheet(f"day {day}")
        for row in rows(day):
            made.append(row)
    stream = io.BytesIO()
    book.save(stream)
    trace = read(tmp_path, stream.getvalue(), zone="UTC")
    assert len(trace.times) == 2 * len(SECONDS)
    assert trace.start == BEGINS - timedelta(days=1)


def test_local_times_of_the_hour_that_comes_twice_are_placed_by_their_order(tmp_path):
    clocks = ["01:50:00", "02:10:00", "02:40:00", "02:05:00", "02:50:00", "03:10:00"]
    rows = "".join(f"2025-10-26 {clock},u\n" for clock in clocks)
    trace = read(tmp_path, f"time,user\n{rows}", zone="Europe/Berlin")
    assert (trace.times / 60).tolist() == [0, 20, 50, 75, 120, 140]
    found = tmp_path / "open"
    found.write_text("time,user\n2025-10-26 02:10:00,u\n2025-10-26 02:40:00,u\n")
    problems = examine_recording([found], ImportOptions(zone="Europe/Berlin")).found
    assert [(one.problem, one.rows) for one in problems] == [("clock change", 2)]


def test_times_with_a_decimal_comma_are_read_where_it_is_certain(tmp_path):
    rows = "".join(f"{BEGINS.timestamp() + k:.3f};u\n".replace(".", ",") for k in SECONDS)
    trace = read(tmp_path, f"time;user\n{rows}")
    assert (trace.start, trace.times.tolist()) == (BEGINS, SECONDS)
    with pytest.raises(BadInput, match="no row has a time"):
        read(tmp_path, "time;user\n1,500;a\n2,500;b\n3,500;c\n")


def test_waits_and_services_are_read_in_the_unit_of_their_name(tmp_path):
    rows = "".join(f"{at(k).isoformat()},500,{d}\n" for k, d in zip(SECONDS, LASTED, strict=True))
    trace = read(tmp_path, f"arrived,queue_time_ms,service_ms\n{rows}")
    assert trace.extra["wait_s"].tolist() == [0.5] * 6
    assert trace.extra["service_s"].tolist() == [d / 1000 for d in LASTED]


@pytest.mark.parametrize("nobody", ["NULL", "None", "N/A", r"\N", "nan"])
def test_what_a_database_writes_for_nobody_is_no_user(tmp_path, nobody):
    path = tmp_path / "file"
    path.write_text(f"time,user\n{at(1).isoformat()},{nobody}\n{at(2).isoformat()},{nobody}\n{at(3).isoformat()},a\n")
    problems = examine_recording([path], ImportOptions()).found
    assert [(one.problem, one.rows) for one in problems] == [("no user", 2)]


def test_spaces_around_quoted_names_do_not_make_a_panel_of_a_recording(tmp_path):
    rows = "".join(f'"{at(k).isoformat()}" , "u{k}"\n' for k in SECONDS)
    assert len(read(tmp_path, f'"Time" , "User"\n{rows}').times) == 6


def test_a_table_of_latencies_may_have_other_usual_names_and_further_quantiles(tmp_path):
    path = tmp_path / "file"
    path.write_text("Resolution,Batch size,num_inference_steps,p50_ms,p90_ms,p99_ms\n1024x1024,4,30,2000,2100,2500\n")
    found = import_profile(path, {"method": ""}, side=1, steps=1, batch=1)
    sizes = {"side": 1024, "steps": 30, "frames": 1, "batch": 4}
    assert found["points"] == [{**sizes, "latency_s": {"p50": 2.0, "p90": 2.1}}]
    assert "p99_ms: left out" in found["method"]


def test_a_damaged_spreadsheet_is_refused(tmp_path):
    whole = sheet(["time", "user"], *(["2025-03-31 10:00:00", f"u{k}"] for k in range(9)))
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data.replace(b"<sheetData>", b"<sheetData>&&&") if "sheet1" in name else data)
    with pytest.raises(BadInput, match="this spreadsheet cannot be read"):
        read(tmp_path, stream.getvalue())


def test_a_day_without_marks_is_a_date_and_an_absurd_duration_is_none(tmp_path):
    assert str(read(tmp_path, "date,user\n20250331,a\n20250401,b\n", zone="UTC").start) == "2025-03-31 00:00:00+00:00"
    rows = "".join(
        f'{{"ts_ms": {1743415200000 + k}, "latency_ms": {d}, "status": 200}}\n' for k, d in ((0, 5), (9, "9e20"))
    )
    trace = read(tmp_path, rows, stamped="end")
    assert len(trace.times) == 2
    assert trace.start.year == 2025


@pytest.mark.parametrize(
    ("form", "head", "moved"),
    [
        ("%a %b %d %H:%M:%S UTC %Y", "time", 0),
        ("%Y-%m-%d %H:%M:%S CEST", "time", 2),
        ("%d.%m.%Y %H:%M:%S CET", "time", 1),
        ("%Y-%m-%d %H:%M:%S PDT", "time", -7),
        ("%Y-%m-%d %H:%M:%S", "time (Europe/Berlin)", 2),
        ("%Y%m%dT%H%M%SZ", "time", 0),
        ("%Y%m%d%H%M%S", "time_utc", 0),
    ],
)
def test_the_zone_of_a_time_is_behind_it_or_in_the_name_of_its_column(tmp_path, form, head, moved):
    rows = "".join(f"{BEGINS + timedelta(hours=moved, seconds=7 * k * k):{form}},u{k}\n" for k in range(5))
    trace = read(tmp_path, f"{head},user\n{rows}")
    assert trace.start.isoformat() == "2025-03-31T10:00:00+00:00"
    assert trace.times == pytest.approx([0, 7, 28, 63, 112])


def test_letters_that_name_several_zones_are_refused_with_the_way_out(tmp_path):
    with pytest.raises(BadInput, match="CST names no zone, or several") as refused:
        read(tmp_path, "time,user\n2025-03-31 10:00:00 CST,a\n2025-03-31 10:00:07 CST,b\n")
    assert "an offset in its place" in refused.value.expected


@pytest.mark.parametrize(
    "hours",
    [
        [f"2025-03-31 {k}" for k in range(8, 14)],
        [f"2025-03-31 {k:02d}h" for k in range(8, 14)],
        [f"3/31/2025 {k % 12 or 12} {'AM' if k < 12 else 'PM'}" for k in range(8, 14)],
        [f"20250331{k:02d}" for k in range(8, 14)],  # an epoch in seconds of these digits would be in 2034
    ],
)
@pytest.mark.parametrize("head", ["hour", "Date + hour (YYYYMMDDHH)"])
def test_hours_without_minutes_begin_at_the_hour(tmp_path, hours, head):
    text = f"{head},requests\n" + "".join(f"{hour},{k + 5}\n" for k, hour in enumerate(hours))
    counts = examined(tmp_path, text, zone="UTC").counts
    assert counts.begins[0] == datetime(2025, 3, 31, 8, tzinfo=UTC).timestamp() * 1e9
    assert (counts.total.tolist(), counts.lasts.tolist()) == ([5, 6, 7, 8, 9, 10], [3600.0] * 6)


def test_durations_in_minutes_are_read_and_a_least_latency_is_none(tmp_path):
    rows = "".join(f"{BEGINS + timedelta(seconds=k * k):%Y-%m-%dT%H:%M:%SZ},0.5,0.1\n" for k in range(6))
    trace = read(tmp_path, f"started_at,duration_minutes,latency_min\n{rows}")
    assert trace.extra["duration_s"].tolist() == [30.0] * 6


def test_times_that_a_spreadsheet_has_shortened_are_refused(tmp_path):
    rows = "".join(f"{1743415200000 + 10_000_000 * k:.5E},{k}\n" for k in range(4))
    with pytest.raises(BadInput, match="has lost its last digits") as refused:
        read(tmp_path, f"timestamp,latency_s\n{rows}")
    assert refused.value.value == "1.74342E+12"
    whole = "".join(f"{1743415200 + 7 * k:.9E},{k}\n" for k in range(4))
    assert read(tmp_path, f"timestamp,latency_s\n{whole}").times.tolist() == [0, 7, 14, 21]


@pytest.mark.parametrize("names", ["request_timestamp,response_timestamp", "start_ms,finish_ms", "start,stop"])
def test_a_duration_is_from_the_request_to_the_response(tmp_path, names):
    begins = [int((BEGINS.timestamp() + s) * 1000) for s in SECONDS]
    rows = "".join(f"{at},{at + lasts}\n" for at, lasts in zip(begins, LASTED, strict=True))
    trace = read(tmp_path, f"{names}\n{rows}")
    assert trace.extra["duration_s"] == pytest.approx([lasts / 1000 for lasts in LASTED])


@pytest.mark.parametrize(("name", "days"), [("week_start", 7), ("week", 7), ("month", 28), ("day_start", 1)])
def test_counts_of_weeks_and_months_begin_at_their_first_days(tmp_path, name, days):
    rows = "".join(f"{date(2025, 2, 3) + timedelta(days=days * k)},{100 + k}\n" for k in range(5))
    counts = examined(tmp_path, f"{name},requests\n{rows}", zone="UTC").counts
    assert (counts.total.tolist(), counts.lasts.tolist()) == ([100, 101, 102, 103, 104], [days * 86400.0] * 5)


def test_times_of_day_alone_are_refused_with_where_their_dates_belong(tmp_path):
    rows = "23:59:50,1\n23:59:58,2\n00:00:05,3\n"
    with pytest.raises(BadInput, match="times of day without a date") as refused:
        read(tmp_path, f"time,duration_s\n{rows}", zone="UTC")
    assert "a column named date" in refused.value.expected
    days = ["2025-03-31", "2025-03-31", "2025-04-01"]
    dated = "".join(f"{day},{row}\n" for day, row in zip(days, rows.splitlines(), strict=True))
    assert read(tmp_path, f"date,time,duration_s\n{dated}", zone="UTC").times.tolist() == [0, 8, 15]
