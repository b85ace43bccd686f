"""Tables and logs as people and programs write them: packed, titled, with units, totals, and dates of any kind."""

import json
import lzma
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from sim.calibration.asks import asks_of
from sim.calibration.estimates import Findings
from sim.calibration.fitted_people import patience, retries
from sim.demand.fitting.counts import read_counts
from sim.errors import BadInput
from sim.profile.perf_tables import import_profile
from sim.tables.formats import recognised
from sim.tables.formats.balancer_logs import ALB, alb_parts, cut_alb
from sim.tables.formats.json_logs import columns_at_once
from sim.tables.formats.lines import lines_block, nothing
from sim.tables.formats.reader import Head
from sim.tables.names import seconds_per, shown_per
from sim.tables.written_dates import in_iso
from tests.recorded import examined as read

BEGINS = datetime(2025, 3, 31, 10, tzinfo=UTC)
SECONDS = [0, 3, 4, 9, 15, 16]
LASTED = [1.5, 2.25, 3.125, 1.0, 4.5, 2.0]


def at(second: float, form: str = "%Y-%m-%dT%H:%M:%SZ") -> str:
    return f"{BEGINS + timedelta(seconds=second):{form}}"


ROWS = [f"{at(k)},u{k % 3},edit" for k in SECONDS]
PLAIN = "time,user,feature\n" + "\n".join(ROWS) + "\n"


def seconds_in(found) -> list[float]:
    assert found.trace is not None, found.found
    return (found.trace.times + (found.trace.start - BEGINS).total_seconds()).round(3).tolist()


TABLES = {
    "xz": lzma.compress(PLAIN.encode()),
    "UTF-16, as PowerShell writes it": PLAIN.encode("utf-16"),
    "UTF-16 without its mark": PLAIN.encode("utf-16-le"),
    "delimited by |": PLAIN.replace(",", "|"),
    "as psql prints it": PLAIN.replace(",", " | ").replace("\n", "\n-----+-----+-----\n", 1) + "(6 rows)\n",
    "of Markdown": "\n".join(f"| {' | '.join(r.split(','))} |" for r in ["time,user,feature", "--,--,--", *ROWS]),
    "below a title": f"Requests of March\nmade by a tool\n\n{PLAIN}",
    "below cells of a title": "Report,March,,\n,,,\n" + PLAIN.replace("\n", ",\n"),
    "below a small table": f"Report,Requests,-\nmade,2025-04-01,-\n\n{PLAIN}",
    "above totals": PLAIN + "Total,6,\n",
    "with an index": "\n".join(f"{k - 1 if k else ''},{r}" for k, r in enumerate(PLAIN.splitlines())),
    "names in capitals": PLAIN.replace("time,user", "Start Time (UTC),User ID"),
    "names in German": PLAIN.replace("time,user", "Zeitpunkt,Benutzer"),
    "Windows's ends": PLAIN.replace("\n", "\r\n"),
    "lines within cells": PLAIN.replace("edit", '"a ""b"",\nc"'),
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_in_another_dress_has_the_same_rows(tmp_path, kind):
    found = read(tmp_path, TABLES[kind])
    assert seconds_in(found) == SECONDS
    assert found.trace.users == 2


def test_units_below_the_names_are_those_of_the_columns(tmp_path):
    rows = "".join(f"{at(k, '%Y-%m-%d %H:%M:%S')},u{k},1500\n" for k in SECONDS)
    found = read(tmp_path, f"time,user,latency\nUTC,,ms\n{rows}")
    assert seconds_in(found) == SECONDS
    assert found.trace.extra["duration_s"].tolist() == [1.5] * len(SECONDS)


@pytest.mark.parametrize(
    ("form", "head"),
    [
        ("%d/%m/%Y %H:%M:%S", "time,user"),
        ("%m/%d/%Y %I:%M:%S %p", "time,user"),
        ("%d.%m.%Y %H:%M:%S", "time,user"),
        ("%d-%b-%Y %H:%M:%S", "time,user"),
        ("%Y/%m/%d %H:%M:%S", "time,user"),
        ("%Y-%m-%d %H:%M:%S.000 UTC", "time,user"),
        ("%d/%m/%Y,%H:%M:%S", "Date,Time,user"),
    ],
)
def test_dates_of_any_order_are_read(tmp_path, form, head):
    rows = "".join(f"{at(k, form)},u{k}\n" for k in SECONDS)
    assert seconds_in(read(tmp_path, f"{head}\n{rows}", zone="UTC")) == SECONDS


def test_the_order_of_day_and_month_is_shown_by_the_days_or_asked_for(tmp_path):
    both = "time,user\n01/04/2025 10:00:00,a\n02/04/2025 10:00:00,b\n"  # ascend in either order
    with pytest.raises(BadInput, match="--dates day-first"):
        read(tmp_path, both, zone="UTC")
    starts = [read(tmp_path, both, zone="UTC", dates=f"{one}-first").trace.start for one in ("day", "month")]
    assert [(start.day, start.month) for start in starts] == [(1, 4), (4, 1)]
    ascend = ["10/04/2025", "11/04/2025", "01/05/2025"]  # 4 October and 4 November would be before 5 January
    assert in_iso(pa.array(ascend)).to_pylist() == ["2025-04-10", "2025-04-11", "2025-05-01"]
    with pytest.raises(BadInput, match="no dates of one order"):
        in_iso(pa.array(["13/01/2025", "01/13/2025"]))
    with pytest.raises(BadInput, match="day first or the month first"):
        in_iso(pa.array(["25/03/31"]))  # or the year


COUNTS = [1200, 1310, 1404, 990]


@pytest.mark.parametrize(
    ("head", "form", "number", "options"),
    [
        ("Zeit;Anfragen", "%d.%m.%Y %H:%M", "{:,}", {}),
        ("time;requests", "%Y-%m-%d %H:%M", "{:,}", {}),
        ("Interval;Asked", "%Y-%m-%d %H:%M", "{}", {"values": "per-interval"}),
    ],
)
def test_counts_are_counts_whatever_their_names_and_points_are(tmp_path, head, form, number, options):
    mark = "." if "Zeit" in head else " "
    rows = [f"{at(60 * k, form)};{number.format(n).replace(',', mark)}" for k, n in enumerate(COUNTS)]
    found = read(tmp_path, "\n".join(["Requests", "", head, *rows, "Total;4904", ""]), zone="UTC", **options)
    assert found.counts.total.tolist() == COUNTS


def test_counts_of_days_are_no_arrivals_and_totals_below_them_no_day(tmp_path):
    rows = "".join(f'{at(86400 * k, "%Y-%m-%d")},"{n:,}"\n' for k, n in enumerate((1000, 1500, 2600, 4000, 6000, 9000)))
    with pytest.raises(BadInput, match="meltpoint demand fit"):
        read(tmp_path, f"date,total users\n{rows}", zone="UTC")
    (tmp_path / "growth.csv").write_text(f"Growth\n\ndate,total users\n{rows}Total,9000\n")
    assert read_counts(tmp_path / "growth.csv").totals.tolist() == [500, 1600, 3000, 5000, 8000]
    with pytest.raises(BadInput, match="between thousands"):
        read(tmp_path, "time;requests\n2025-03-31 10:00;1.234\n2025-03-31 10:01;1.310\n", zone="UTC")


def test_durations_are_read_with_their_commas_and_units_or_refused(tmp_path):
    def lasted(name: str, *cells: str) -> list[float]:
        rows = "".join(f"{at(k)};{cell}\n" for k, cell in enumerate(cells))
        return read(tmp_path, f"time;{name}\n{rows}").trace.extra["duration_s"].round(6).tolist()

    assert lasted("latency_ms", "1.500,5", "2.000,25") == [1.5005, 2.00025]
    assert lasted("Response Time (ms)", "1,500.5", "900") == [1.5005, 0.9]
    assert lasted("latency", "1.5s", "200 ms", "0:01:00") == [1.5, 0.2, 60.0]
    with pytest.raises(BadInput, match="latency_ms"):
        lasted("latency_ms", "1,500", "2,500")


def test_the_unit_of_a_duration_is_in_its_name_or_its_size():
    named = {"DurationMs": 1e3, "latency_s": 1.0, "elapsed_micros": 1e6, "user": None, "time": None, "took": 0.0}
    assert {name: seconds_per(name) for name in named} == named
    assert shown_per("event.duration", [3.1e9, 2.5e9])[0] == 1e9
    assert shown_per("responseTime", [3100.0, 2500.0])[0] == 1e3
    assert shown_per("latency", [3.1, 2.5])[0] == 1.0


ENDS = [k + d for k, d in zip(SECONDS, LASTED, strict=True)]
BY_END = sorted(zip(ENDS, SECONDS, LASTED, strict=True))
CLF, ASK = "%d/%b/%Y:%H:%M:%S +0000", '"POST /gen HTTP/1.1"'
STAMP = "%Y-%m-%dT%H:%M:%S.%fZ"
LINES = {
    "milliseconds since 1970": lambda e, d: (
        f"{(BEGINS + timedelta(seconds=e)).timestamp():.3f} 192.0.2.1 {ASK} 200 {d:.3f}"
    ),
    "tabs": lambda e, d: f"{at(e, STAMP)}\t192.0.2.1\tPOST\t/gen\t200\t{d:.3f}",
    "brackets first": lambda e, d: f'[{at(e, STAMP)}] 192.0.2.1 "x.org" {ASK} 200 9 {d:.3f} {d - 0.01:.3f} "-"',
    "logfmt": lambda e, d: (
        f'time={at(e, STAMP)} method=POST uri=/gen status=200 request_time={d:.3f} remote_addr="192.0.2.1"'
    ),
}


@pytest.mark.parametrize("form", LINES)
def test_a_log_with_a_format_of_its_own_gives_the_arrivals(tmp_path, form):
    found = read(tmp_path, "".join(LINES[form](e, d) + "\n" for e, _, d in BY_END))
    assert seconds_in(found) == SECONDS
    assert found.trace.kinds == ("/gen",)


@pytest.mark.parametrize("tail", ["{d}/{us}", "D={us}", "**{d}/{us}**"])
def test_microseconds_of_apache_are_known_by_name_or_by_the_seconds_before_them(tmp_path, tail):
    lines = "".join(f"192.0.2.1 - - [{at(k, CLF)}] {ASK} 200 9 {tail.format(d=3, us=3143000)}\n" for k in range(30))
    assert read(tmp_path, lines).trace.extra["duration_s"].tolist() == [3.143] * 30


PROGRAMS = {
    "pino": lambda e, d: {
        "time": round(1e3 * (BEGINS.timestamp() + e)),
        "req": {"method": "POST", "url": "/gen"},
        "res": {"statusCode": 200},
        "responseTime": round(1e3 * d),
    },
    "of Azure": lambda e, d: {"TimeGenerated": at(e - d, STAMP), "DurationMs": 1e3 * d, "ResultCode": "200", "Id": "x"},
    "CloudFront": lambda e, d: {
        "date": at(e, "%Y-%m-%d"),
        "time": at(e, "%H:%M:%S.%f"),
        "time-taken": f"{d:.3f}",
        "sc-status": "200",
        "x-edge-result-type": "Miss",
    },
}


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("form", ["lines", "other messages among them", "a list"])
def test_records_of_programs_are_requests_and_their_other_messages_are_not(tmp_path, program, form):
    records = [PROGRAMS[program](e, d) for e, _, d in BY_END]
    if form == "a list":
        text = json.dumps(records, indent=1)
    else:
        other = [{"level": "info", "msg": "begins", "ts": at(0)}] if form != "lines" else []
        text = "".join(json.dumps(one) + "\n" for one in [*other, *records, *other])
    stamped = "start" if program == "of Azure" else None
    assert seconds_in(read(tmp_path, text, stamped=stamped)) == SECONDS


def test_a_large_log_of_json_is_read_at_once_as_record_by_record(tmp_path):
    records = [PROGRAMS["pino"](e, d) for e, _, d in BY_END]
    path = tmp_path / "file"
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    reader = recognised(path)
    assert reader is not None
    keys = reader.requests(Head(path)).blocks.keywords["keys"]
    at_once = columns_at_once(path.read_bytes(), keys)
    mixed = columns_at_once(path.read_bytes().replace(b'"/gen"', b"7", 1), keys)
    assert at_once["duration"].to_pylist() == [f"{d:g}" for _, _, d in BY_END]
    assert mixed is None  # and these lines are read one by one


def test_lines_of_a_balancer_cut_at_spaces_are_those_that_the_pattern_reads():
    line = (
        f"https {at(2, STAMP)} app/a/1 192.0.2.1:4000 10.0.0.1:80 0.001 1.5 0.001 200 200 9 9 "
        '"POST https://x.org:443/gen HTTP/1.1" "app" A TLSv1.2 arn "Root=1" "x.org" "arn" 0 '
        f'{at(0, STAMP)} "forward" "-" "-" "10.0.0.1:80" "200" "-" "-" TID_1'
    )
    odd = [line.replace("app/a", "net/a"), line.replace('"app"', r'"a \"b\""'), line.replace(" TID_1", ""), "none", ""]
    data = "\n".join([line, line.replace("1.5", "-1"), *odd, line, ""]).encode()
    cut, slow = (lines_block(data, 1, ALB, alb_parts, quick) for quick in (cut_alb, nothing))
    assert cut_alb(data) is not None
    assert {k: v.to_pylist() for k, v in cut[0].columns.items()} == {
        k: v.to_pylist() for k, v in slow[0].columns.items()
    }
    assert (cut[0].lines.tolist(), cut[1]) == (slow[0].lines.tolist(), slow[1])


def test_the_console_of_cloudwatch_and_samples_of_latencies_are_counts(tmp_path):
    facts = "Full label,RequestCount\nLabel,RequestCount\nPeriod,60\nStatistic,{}\n"
    rows = "".join(f"2025/03/31 10:0{k}:00,{10 * k}\n" for k in range(4))
    assert read(tmp_path, facts.format("Sum") + rows).counts.total.tolist() == [0, 10, 20, 30]
    with pytest.raises(BadInput, match="no counts"):
        read(tmp_path, facts.format("Average") + rows)
    points = [{"Timestamp": at(60 * k), "SampleCount": 10.0 * k, "Average": 0.5} for k in (1, 0, 2)]
    found = read(tmp_path, json.dumps({"Label": "TargetResponseTime", "Datapoints": points}))
    assert found.counts.total.tolist() == [0, 10, 20]


def test_json_of_genai_perf_says_its_concurrency_and_tables_of_latency_may_have_titles(tmp_path):
    def middle(text: str) -> float:
        (tmp_path / "file").write_text(text)
        return import_profile(tmp_path / "file", {"method": ""}, side=1, steps=1, batch=1)["points"][0]["latency_s"][
            "p50"
        ]

    def export(concurrency: int) -> str:
        latency = {"unit": "ms", "avg": 2500.0 * concurrency, "p50": 2400.0 * concurrency}
        config = {"perf_analyzer": {"stimulus": {"concurrency": concurrency}}}
        rate = {"unit": "requests/sec", "avg": 0.4}
        return json.dumps({"request_latency": latency, "request_throughput": rate, "input_config": config})

    assert middle(export(1)) == pytest.approx(2.4)
    assert middle(export(4)) == pytest.approx(1 / 0.4)  # of the throughput, since four were in flight
    assert middle("A benchmark\n\nBatch;Latency (ms)\n1;2400,5\n") == pytest.approx(2.4005)


def test_a_timeout_is_a_constant_patience_and_who_may_not_try_again_does_not_count(tmp_path):
    """Half of all people are refused four times, the others leave four times after 60 s: three retries each."""
    rng = np.random.default_rng(1)
    rows = []
    for user, first in enumerate(np.sort(rng.uniform(0, 30000, 400))):
        status, lasts = ("429", 0.5) if user % 2 else ("499", 60.0)
        rows += [(first + (lasts + 1.0) * attempt, user, status, lasts) for attempt in range(4)]
    text = "".join(f"{at(t, STAMP)},u{user},{status},{lasts}\n" for t, user, status, lasts in sorted(rows))
    asks = asks_of(read(tmp_path, f"time,user,status,duration_s\n{text}", attempts=True).trace)
    found = Findings("log")
    patience(asks, found)
    retries(asks, found)
    assert found.keys["behaviour.patience"] == {"kind": "constant", "value": "60 s"}
    assert found.keys["behaviour.retry.at_most"] == 3
    assert found.keys["behaviour.retry.after_leaving"] == pytest.approx(1.0)


def test_where_nobody_left_the_default_patience_stays_unless_the_log_refutes_it(tmp_path):
    def fitted(lasts: float) -> Findings:
        rows = "".join(f"{at(10 * k)},u{k % 50},200,{lasts}\n" for k in range(500))
        found = Findings("log")
        patience(asks_of(read(tmp_path, f"time,user,status,duration_s\n{rows}", attempts=True).trace), found)
        return found

    short, long = fitted(0.5), fitted(20.0)
    assert "behaviour.patience" in short.unknown
    assert long.keys["behaviour.patience"] == {"kind": "never"}
    assert long.estimates[0].high == pytest.approx(3 / 500, rel=0.01)  # the rule of three


def hourly(name: str, hours, values=(5, 7, 6)) -> str:
    return f"date,hour,{name}\n" + "".join(f"2025-03-31,{h},{v}\n" for h, v in zip(hours, values, strict=True))


def test_a_table_of_counts_whose_times_cannot_be_read_is_no_table_of_requests(tmp_path):
    """Hours from 1 to 24 end where those from 0 to 23 begin: 24:00 is no time of day."""
    assert read(tmp_path, hourly("requests", (21, 22, 23)), zone="UTC").counts.total.tolist() == [5, 7, 6]
    with pytest.raises(BadInput, match="cannot be read as those of intervals"):
        read(tmp_path, hourly("requests", (22, 23, 24)), zone="UTC")


def test_hours_with_an_h_name_the_columns_of_a_table_with_a_row_a_day(tmp_path):
    text = "date," + ",".join(f"{h}h" for h in range(24)) + "\n2025-03-31," + ",".join(map(str, range(24))) + "\n"
    counts = read(tmp_path, text, zone="UTC", values="per-interval").counts
    assert (counts.total.tolist(), counts.lasts[0]) == (list(range(24)), 3600)


def test_a_total_of_successes_and_failures_holds_both_wherever_refusals_are_said_to_be(tmp_path):
    rows = "".join(f"2025-03-31T{h:02d}:00Z,10,{8 - h % 2},{2 + h % 2}\n" for h in range(6))
    for refused in ("inside", "beside"):
        text = f"time,total,success,failed\n{rows}"
        assert read(tmp_path, text, values="per-interval", refused=refused).counts.total.tolist() == [10] * 6


def test_the_peak_of_an_interval_is_not_what_came_in_it(tmp_path):
    rows = "".join(f"2025-03-31T{h:02d}:00Z,{20 + h % 3}\n" for h in range(6))
    with pytest.raises(BadInput, match="count of requests"):
        read(tmp_path, f"time,max_rps\n{rows}")
    assert read(tmp_path, f"time,max_rps\n{rows}", values="per-second").counts.total[0] == 20 * 3600  # as asked


@pytest.mark.parametrize("ends", ["Z", "+02", "+02:00"])
def test_hours_without_minutes_may_name_their_zone(tmp_path, ends):
    rows = "".join(f"2025-03-31T{h:02d}{ends},{5 + h % 2}\n" for h in range(4, 9))
    counts = read(tmp_path, f"time,requests\n{rows}").counts
    begins = datetime(2025, 3, 31, 4 if ends == "Z" else 2, tzinfo=UTC)
    assert (counts.begins[0], counts.lasts[0]) == (begins.timestamp() * 1e9, 3600)


def test_times_with_an_exponent_and_all_their_digits_are_those_of_counts(tmp_path):
    rows = "".join(f"{BEGINS.timestamp() + 3600 * k:.9E},{5 + k % 2}\n" for k in range(4))
    counts = read(tmp_path, f"timestamp,requests\n{rows}").counts
    assert (counts.total.tolist(), counts.begins[0]) == ([5, 6, 5, 6], BEGINS.timestamp() * 1e9)


def test_commas_between_lakhs_are_refused_and_no_traceback(tmp_path):
    rows = "".join(f"2025-03-31T{k:02d}:00Z;1,23,{100 + k % 3}\n" for k in range(6))
    with pytest.raises(BadInput, match=r"1,23,100"):
        read(tmp_path, f"time;requests\n{rows}")
