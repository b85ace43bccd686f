"""Other people's latency tables become profiles, with their units, or an error that names the cell."""

import pytest
from typer.testing import CliRunner

from sim.cli.profile_commands import profile_app
from sim.errors import BadInput
from sim.model.request import Spec
from sim.profile.perf_tables import import_profile
from sim.profile.profile import load_profile

FACTS = {
    "name": "theirs",
    "model": "some model",
    "feature": "image",
    "provenance": "published",
    "source": "somebody",
    "method": "a table",
    "date": "",
    "precision": "",
    "hardware": {"gpu": "some GPU"},
}
PERF_ANALYZER = (
    "Concurrency,Inferences/Second,Client Send,Network+Server Send/Recv,Server Queue,Server Compute Input,"
    "Server Compute Infer,Server Compute Output,Client Recv,p50 latency,p90 latency,p95 latency,p99 latency\n"
    "1,0.3,10,400,50,2000,3000000,1000,5,3003500,3100000,3110000,3120000\n"
    "2,0.3,10,400,3000000,2000,3000000,1000,5,6003500,6100000,6110000,6120000\n"
)
GENAI_PERF = (
    "Metric,avg,min,max,p99,p95,p90,p75,p50,p25\n"
    'Time To First Token (ms),55.0,50.0,"1,060.0",59.0,58.0,57.0,56.0,54.0,52.0\n'
    "Inter Token Latency (ms),10.5,10.0,11.0,11.0,10.9,10.8,10.6,10.4,10.2\n"
    "\n"
    "Metric,Value\n"
    "Request Throughput (per sec),1.2\n"
)


def imported(tmp_path, text, **sizes):
    table = tmp_path / "table.csv"
    table.write_text(text)
    return import_profile(table, FACTS, **{"side": 1024, "steps": 28, "batch": 1, **sizes})


def test_a_plain_table_is_read_in_its_own_unit(tmp_path):
    text = "batch,latency_ms,power_w\n1,2500,600\n2,4800,650\n"
    points = imported(tmp_path, text)["points"]
    assert [p["latency_s"]["p50"] for p in points] == [2.5, 4.8]
    assert [(p["batch"], p["power_w"], p["side"], p["steps"]) for p in points] == [
        (1, 600, 1024, 28),
        (2, 650, 1024, 28),
    ]


def test_perf_analyzer_gives_the_servers_compute_time_at_concurrency_1(tmp_path):
    (point,) = imported(tmp_path, PERF_ANALYZER, batch=4)["points"]
    assert point["latency_s"]["p50"] == pytest.approx(3.003)
    assert point["batch"] == 4


def test_perf_analyzer_without_server_times_gives_the_clients(tmp_path):
    text = "Concurrency,Inferences/Second,p50 latency,p90 latency\n1,0.3,3003500,3100000\n"
    (point,) = imported(tmp_path, text)["points"]
    assert point["latency_s"] == pytest.approx({"p50": 3.0035, "p90": 3.1})


def test_genai_perf_gives_prefill_and_decode(tmp_path):
    prefill, decode = imported(tmp_path, GENAI_PERF, side=512, batch=8)["points"]
    assert (prefill["component"], prefill["latency_s"]["p50"], prefill["batch"]) == ("prefill", 0.054, 8)
    assert (decode["component"], decode["latency_s"]["p50"]) == ("decode", pytest.approx(0.0104))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("batch,latency\n1,2.5\n", "unit"),
        ("batch,latency_s\n1,fast\n", "latency_s"),
        ("batch,latency_s\n1,-2\n", "above 0"),
        ("batch,latency_s\n1,nan\n", "above 0"),
        ("batch,latency_s\n1.5,2\n", "whole"),
        ("batch,latency_s,colour\n1,2,red\n", "colour"),
        ("batch,latency_s\n", "no rows"),
        ("", "empty"),
        ("Concurrency,p50 latency\n8,1000\n", "concurrency 1"),
        ("Metric,p50,p90\nInter Token Latency (ms),1,2\n", "Time To First Token"),
        ("Metric,p50,p90\nTime To First Token (h),1,2\nInter Token Latency (ms),1,2\n", "unit"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path, text, words):
    with pytest.raises(BadInput, match=words):
        imported(tmp_path, text)


def test_the_command_writes_a_profile_that_loads(tmp_path):
    table, out = tmp_path / "table.csv", tmp_path / "theirs.json"
    table.write_text("batch,latency_s\n1,2.5\n2,4.8\n")
    facts = ["--name", "theirs", "--model", "m", "--gpu", "g", "--source", "s", "--out", str(out)]
    done = CliRunner().invoke(profile_app, ["import", str(table), *facts])
    assert done.exit_code == 0, done.output
    assert load_profile(out).batch_seconds(Spec("theirs", 1024, 28), 2) == 4.8


def test_an_assumed_profile_is_not_shown_as_measured():
    shown = CliRunner().invoke(profile_app, ["show", "two-seconds"]).stdout
    assert "assumed     side 1024" in shown
    assert "measured" not in shown
    assert "; \n" not in shown
