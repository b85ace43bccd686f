"""Recordings read exactly: each format on a few rows written here, and the recorded traces where they are present."""

import gzip
import math
from datetime import UTC, datetime
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from sim.demand.recordings.importing import ImportOptions
from sim.demand.recordings.servegen import Window, arrivals
from sim.demand.recordings.summary import trace_figures
from sim.errors import BadInput
from tests.recorded import imported_trace, recorded


@pytest.fixture
def trace_of(tmp_path):
    """The trace of a text put into a file of a name."""

    def read(text, name="recording.csv", *, repairs=(), **wishes):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return imported_trace([path], ImportOptions(**wishes), list(repairs))

    return read


# Times, to the last bit.


def test_instants_of_100_ns_are_kept_exactly(trace_of):
    trace = trace_of(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951691,396,109\n2023-11-16 19:14:08.4025270,1,2\n"
    )
    assert trace.recorded_as == "azure-llm"
    assert trace.start == datetime(2023, 11, 16, 18, 15, 46, tzinfo=UTC)
    assert trace.times.tolist() == [0.68059, 4.9951691, 3502.402527]
    assert trace.extra["context_tokens"].tolist() == [374, 396, 1]
    assert trace.extra["generated_tokens"].tolist() == [44, 109, 2]
    assert not trace.users_known
    assert trace.user.tolist() == [0, 1, 2]


def test_numbers_since_1970_are_kept_to_the_nanosecond_where_a_float_is_not(trace_of):
    trace = trace_of("t\n1662858720.123456789\n1662858720.123456790\n1662858722\n", unit="s")
    assert trace.times.tolist() == [0.123456789, 0.12345679, 2.0]
    assert trace.start == datetime(2022, 9, 11, 1, 12, tzinfo=UTC)


def test_a_recording_of_months_is_kept_to_the_nearest_float(trace_of):
    trace = trace_of("t\n1600000000000000000\n1631536000123456789\n", unit="ns")
    assert abs(Fraction(trace.times[1]) - Fraction(31536000123456789, 10**9)) <= Fraction(math.ulp(trace.times[1]))


@pytest.mark.parametrize(("unit", "texts"), [("s", ["0.1", "2.5"]), ("ms", ["100", "2500"]), ("us", ["1e5", "+2.5e6"])])
def test_numbers_from_the_recordings_own_zero_are_kept_with_it(trace_of, unit, texts):
    trace = trace_of("time\n" + "\n".join(texts) + "\n", unit=unit)
    assert trace.times.tolist() == [0.1, 2.5]
    assert trace.start is None


@pytest.mark.parametrize(
    ("text", "unit"), [("1700000000", "s"), ("1700000000000", "ms"), ("1700000000000000", "us"), ("1" + "7" * 18, "ns")]
)
def test_the_unit_of_an_epoch_is_told_from_its_size_and_said(trace_of, text, unit):
    trace = trace_of(f"time\n{text}\n")
    assert trace.start.year in (2023, 2026, 2007)
    assert any(f"in {unit}" in note for note in trace.notes)


def test_zones_are_read(trace_of):
    trace = trace_of("time\n2025-03-31T18:00:00Z\n2025-03-31T20:00:01+02:00\n2025-03-31 11:00:02-0700\n")
    assert trace.start == datetime(2025, 3, 31, 18, tzinfo=UTC)
    assert trace.times.tolist() == [0, 1, 2]


def test_times_without_a_zone_are_read_in_the_zone_given(trace_of):
    summer = trace_of("time\n2025-07-01 12:00:00\n2025-07-01 12:00:01\n", zone="Europe/Paris")
    assert summer.start == datetime(2025, 7, 1, 10, tzinfo=UTC)
    assert any("Europe/Paris" in note for note in summer.notes)


@pytest.mark.parametrize(
    "text",
    ["\n\n time , user\n\n1,a\n2,b\n", '\r\n"time";"user";"a;b"\r\n1;a;x\r\n2;b;"x;y"\r\n', "time\tuser\r1\ta\r2\tb"],
)
def test_tables_are_read_however_they_are_laid_out(trace_of, text):
    trace = trace_of(text)
    assert trace.times.tolist() == [1, 2]
    assert trace.users == 2


def test_a_format_may_lack_its_further_columns(trace_of):
    head = "gmt_create,predict_type,predict_status,exec_time_seconds,groupId,num_images_per_prompt\n"
    trace = trace_of(
        head + "2024-11-15 16:57:50,A,SUCCEED,32.0,G7,1\nsoon,A,SUCCEED,1,G7,1\n", repairs=["drop-invalid"]
    )
    assert set(trace.extra) == {"latency_s", "succeeded"}


# Formats.

GENTD26 = (
    "gmt_create,predict_type,predict_status,exec_time_seconds,"
    "groupId,num_images_per_prompt,num_inference_steps,num_lora\n"
)


def test_gentd26_requests_have_users_images_and_a_latency_that_is_no_service_time(trace_of):
    trace = trace_of(
        GENTD26 + "2024-11-15 16:57:50,TXT_2_IMG,SUCCEED,32.0,G7,1.0,30.0,0\n"
        "2024-11-15 16:57:50,IMG_2_IMG,FAILED,3.0,G3,8.0,40.0,1\n2024-11-15 18:17:06,TXT_2_IMG,SUCCEED,36.0,G7,,,0\n"
    )
    assert trace.recorded_as == "gentd26"
    assert trace.times.tolist() == [0, 0, 4756]
    assert trace.user.tolist() == [0, 1, 0]
    assert trace.images.tolist() == [1, 8, 1]
    assert [trace.kinds[k] for k in trace.kind] == ["TXT_2_IMG", "IMG_2_IMG", "TXT_2_IMG"]
    assert trace.extra["latency_s"].tolist() == [32, 3, 36]
    assert trace.extra["succeeded"].tolist() == [1, 0, 1]
    np.testing.assert_array_equal(trace.extra["steps"], [30, 40, np.nan])
    assert trace.length == 4757
    assert any("1 rows do not say how many images" in note for note in trace.notes)


def test_keep_takes_a_column_or_its_role(trace_of):
    text = GENTD26 + "".join(
        f"2024-11-15 16:57:5{i},A,{s},1,G{i},1,30,0\n" for i, s in enumerate(["SUCCEED", "FAILED"])
    )
    for column in ("status", "predict_status"):
        assert trace_of(text, keep={column: "SUCCEED"}).times.tolist() == [0]
    with pytest.raises(BadInput, match="no row is left of 2"):
        trace_of(text, keep={"status": "succeed"})
    with pytest.raises(BadInput, match="no such column"):
        trace_of(text, keep={"colour": "red"})


def test_the_fleet_is_joined_with_its_loads_by_pod_and_minute(trace_of, tmp_path):
    (tmp_path / "pipeline_update_latency_anon.csv").write_text(
        "timestamp_anon,value,container_ip\n1662858720.0,5000.0,b\n1662858777.0,2500.0,a\n"
    )
    trace = trace_of(
        "timestamp_anon,value,container_ip\n1662858720.0,19106.0,a\n1662858720.0,17536.0,b\n1662858777.0,912.0,a\n",
        "pipeline_inference_data_anon.csv",
    )
    assert trace.recorded_as == "gentd26-fleet"
    assert trace.times.tolist() == [0, 0, 57]
    assert trace.length == 114
    assert trace.extra["service_s"].tolist() == [19.106, 17.536, 0.912]
    np.testing.assert_array_equal(trace.extra["load_s"], [np.nan, 5.0, 2.5])


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("qps.csv", "timestamp_anon,value,container_ip,request_type"),
        ("volume.csv", "timestamp,value"),
        ("minutes.csv", "period,count"),
        ("queue_rt_raw_anon.csv", "value,container_ip,timestamp_anon"),
    ],
)
def test_counts_and_rates_are_refused_with_the_reason(trace_of, name, head):
    with pytest.raises(BadInput, match="not arrivals"):
        trace_of(head + "\n1,2,3,4\n", name)


def test_any_table_with_a_time_is_read(trace_of):
    trace = trace_of(
        "when;who;n;what\n5.5;bob;2;x\n6;amy;1;y\n6;bob;3;x\n", time="when", user="who", images="n", kind="what"
    )
    assert trace.times.tolist() == [5.5, 6, 6]
    assert trace.user.tolist() == [0, 1, 0]
    assert trace.images.tolist() == [2, 1, 3]
    assert trace.kinds == ("x", "y")
    assert trace.length > 6


def test_packed_csv_quotes_and_empty_lines_are_read(trace_of):
    packed = gzip.compress(b'\xef\xbb\xbftime,user,prompt\n1,"a,b","two\nlines"\n\n2,c,\n\n')
    trace = trace_of(packed, "recording.csv.gz")
    assert trace.times.tolist() == [1, 2]
    assert trace.users == 2


def test_parquet_is_read_as_exactly_as_csv(tmp_path):
    path = tmp_path / "r.parquet"
    stamps = pd.to_datetime(["2023-11-16 18:15:46.680590001Z", "2023-11-16 18:15:47Z"], format="ISO8601")
    pd.DataFrame({"timestamp": stamps, "user": pd.Categorical(["u", "v"]), "images": [4, 1]}).to_parquet(path)
    trace = imported_trace([path], ImportOptions())
    assert trace.times.tolist() == [0.680590001, 1.0]
    assert trace.images.tolist() == [4, 1]
    assert trace.users == 2


LOG = (
    '127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /api/images/7?size=2 HTTP/1.0" 200 2326\n'
    '::1 - - [10/Oct/2000:20:55:37 +0000] "POST /api/a\\"b HTTP/1.1" 404 - "http://x/" "Moz \\"x\\" (y)"\n'
    '::1 - - [10/Oct/2000:20:55:37 +0000] "\\x16\\x03" 400 12 "-" "-"\n'
)


@pytest.mark.parametrize(("depth", "kinds"), [(1, ("/api", "")), (2, ("/api/images", '/api/a\\"b', "")), (0, None)])
def test_access_logs_are_read_with_their_zones(trace_of, depth, kinds):
    trace = trace_of(LOG, "access.log", kind_depth=depth, stamped="start")
    assert trace.recorded_as == "access-log"
    assert trace.start == datetime(2000, 10, 10, 20, 55, 36, tzinfo=UTC)
    assert trace.times.tolist() == [0, 1, 1]
    assert trace.user.tolist() == [0, 1, 1]
    assert trace.extra["status"].tolist() == [200, 404, 400]
    np.testing.assert_array_equal(trace.extra["bytes"], [2326, np.nan, 12])
    assert trace.kinds == (kinds or ("/api/images/7", '/api/a\\"b', ""))


def test_parts_of_a_log_are_read_in_turn_packed_or_not(tmp_path):
    lines = LOG.splitlines(keepends=True)
    old, new = tmp_path / "access.log.1.gz", tmp_path / "access.log"
    old.write_bytes(gzip.compress(lines[0].encode()))
    new.write_text("".join(lines[1:]).rstrip("\n"))
    trace = imported_trace([old, new], ImportOptions(stamped="start"))
    assert trace.times.tolist() == [0, 1, 1]
    assert trace.source == "access.log.1.gz, access.log"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty"),
        ("a,b\n1,2\n", "no column has the name of a time"),
        ("time,user\n", "the recording has no rows"),
        ("time,time\n1,2\n", "does not name the columns"),
        ("time\nsoon\nlater\n", "no row has a time"),
        ('time,user\n1,a\n2,"b\n3,c\n4,d\n', "never closed"),
        (b"time,user\n1,\xff\xfe\n", "is not UTF-8 text"),
    ],
)
def test_what_is_no_recording_is_refused_with_the_reason(trace_of, text, words):
    with pytest.raises(BadInput, match=words):
        trace_of(text)


@pytest.mark.parametrize(
    "wishes", [{"format": "excel"}, {"zone": "Mars/Base"}, {"time": "when"}, {"format": "azure-llm"}, {"length": 1.0}]
)
def test_wishes_that_do_not_fit_are_refused(trace_of, wishes):
    with pytest.raises(BadInput):
        trace_of("time\n2025-03-31 18:00:00\n2025-03-31 18:00:05\n", **{"zone": "UTC", **wishes})


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(BadInput, match="cannot be read"):
        imported_trace([tmp_path / "none.csv"], ImportOptions())


# ServeGen: arrivals are generated.


def test_servegen_is_generated_the_same_by_the_same_seed(trace_of):
    text = "client,t_s,rate_rps,cv,dist,p1,p2\n3,0,0.5,2,Gamma,0.25,8\n3,600,0,0,,0,0\n"
    text += "7,0,0,0,,0,0\n7,600,1,1,Weibull,1,1\n"
    one, again, other = (trace_of(text, seed=seed) for seed in (1, 1, 2))
    assert one.recorded_as == "servegen"
    assert one.times.tolist() == again.times.tolist() != other.times.tolist()
    assert one.length == 1200
    assert one.users == 2
    assert one.times[one.user == 0].max() < 600 <= one.times[one.user == 1].min()


@pytest.mark.parametrize("row", ["1,0,1,1,Pareto,1,1", "1,0,-1,1,Gamma,1,1", "1,0,1,1,Gamma,0,1", "1,x,1,1,Gamma,1,1"])
def test_servegen_windows_that_cannot_be_are_refused(trace_of, row):
    with pytest.raises(BadInput):
        trace_of(f"client,t_s,rate_rps,cv,dist,p1,p2\n{row}\n", format="servegen")


@pytest.mark.parametrize(("law", "shape"), [("Gamma", 0.05), ("Gamma", 4.0), ("Weibull", 0.5), ("Weibull", 1.3)])
def test_a_client_asks_at_its_rate_from_the_first_minute_on(law, shape):
    """Stationary renewal: the mean count of every stretch is rate x time, however bursty; also of a window's head."""
    head, whole = [], []
    for seed in range(400):
        times = arrivals(Window(client=seed, begins=600.0, lasts=600.0, rate=0.2, law=law, shape=shape), seed)
        assert ((times >= 600) & (times < 1200)).all()
        head.append((times < 660).sum())
        whole.append(len(times))
    for counts, mean in ((head, 12.0), (whole, 120.0)):
        assert abs(np.mean(counts) - mean) / (np.std(counts, ddof=1) / math.sqrt(len(counts))) < 3.5


def test_the_pauses_of_a_client_vary_as_recorded():
    """Gamma of shape 1 / cv^2: the mean of the squared pauses over the squared mean is 1 + cv^2."""
    cv = 2.0
    ratios = []
    for seed in range(50):
        window = Window(client=1, begins=0.0, lasts=20000.0, rate=1.0, law="Gamma", shape=1 / cv**2)
        ratios.append(np.mean(np.diff(arrivals(window, seed)) ** 2))
    assert abs(np.mean(ratios) - (1 + cv**2)) / (np.std(ratios, ddof=1) / math.sqrt(len(ratios))) < 3.5


# What is recorded.


def test_azure_conversations_are_what_was_computed_of_them():
    trace = imported_trace([recorded("azurellm/AzureLLMInferenceTrace_conv.csv")], ImportOptions())
    f = trace_figures(trace)
    assert f.rows == 19366
    assert round(f.rate, 2) == 5.53
    assert round(f.pause_cv, 2) == 1.09
    assert round(f.fano, 1) == 16.4
    # By calendar minutes, the first and the last of which are not whole, the figure is ten higher.
    minutes = np.bincount(((trace.times + trace.start.second) // 60).astype(int))
    assert round(minutes.var(ddof=0) / minutes.mean()) == 26
    ticks = trace.times * 1e7  # every time is a whole number of 100 ns
    assert np.abs(ticks - np.rint(ticks)).max() < 1e-4


def test_azure_code_is_bursty_and_has_gaps():
    trace = imported_trace([recorded("azurellm/AzureLLMInferenceTrace_code.csv")], ImportOptions())
    assert (len(trace.times), round(trace_figures(trace).pause_cv, 1)) == (8819, 13.2)
    assert any(note.startswith("gaps: 22 rows") for note in trace.notes)


def test_gentd26_is_read_whole_with_the_equal_rows_of_its_script():
    path = recorded("gentd26/lora_request_trace.csv")
    trace = imported_trace([path], ImportOptions())
    assert (len(trace.times), trace.users) == (26823, 4247)
    assert round(trace_figures(trace).span / 86400) == 23
    assert any(note.startswith("duplicates: 19 rows") for note in trace.notes)
    assert len(imported_trace([path], ImportOptions(), ["drop-duplicates"]).times) == 26823 - 19
    assert len(imported_trace([path], ImportOptions(keep={"status": "SUCCEED"})).times) == 26392


def test_the_fleet_is_read_with_its_loads():
    trace = imported_trace([recorded("gentd26/pipeline_inference_data_anon.csv")], ImportOptions())
    assert len(trace.times) == 34421
    assert round(trace.extra["service_s"].mean(), 1) == 18.2
    assert "load_s" in trace.extra
    assert set(np.unique(np.diff(trace.times)) % 57) == {0.0}
