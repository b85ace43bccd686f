"""A recorded queue is read as it was written, and the command says what it made of it."""

import gzip
from datetime import date

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from sim.cli.main import app
from sim.errors import BadInput
from sim.validation.own_queue.queue_log import read_queue
from sim.validation.own_queue.queue_study import beyond_servers, departures_from_model, queue_study
from sim.validation.own_queue.replay import Calls, play_calls
from sim.validation.own_queue.staffing import OnDuty, on_duty
from tests.recorded_queues import log_of_days, written

FOR_GOOD = np.inf
BANK = (
    "vru_line\tcall_id\tcustomer_id\tpriority\ttype\tdate\tvru_entry\tvru_exit\tvru_time\tq_start\tq_exit\tq_time\t"
    "outcome\tser_start\tser_exit\tser_time\tserver\n"
    "AA0101\t1\t0\t0\tPS\t990103\t23:58:50\t23:59:00\t10\t0:00:00\t0:00:00\t0\tAGENT\t23:59:00\t0:02:05\t185\tDORIT\n"
    "AA0102\t2\t7\t2\tPS\t990103\t9:00:00\t9:00:06\t6\t9:00:06\t9:00:56\t50\tAGENT\t9:00:56\t9:01:57\t61\tMOSHE\n"
    "AA0103\t3\t0\t0\tNW\t990103\t9:00:10\t9:00:20\t10\t9:00:20\t9:01:40\t80\tHANG\t0:00:00\t0:00:00\t0\tNO_SERVER\n"
    "AA0104\t4\t0\t0\tPS\t990103\t9:05:10\t9:05:20\t10\t0:00:00\t0:00:00\t0\tPHANTOM\t0:00:00\t0:00:00\t0\tNO_SERVER\n"
    "AA0105\t5\t0\t0\tPS\t990104\t8:00:00\t8:00:09\t9\t0:00:00\t0:00:00\t0\tAGENT\t8:00:09\t8:03:09\t180\tDORIT\n"
)
BANK_MAP = ["arrived=vru_exit", "waited=q_time", "served=ser_time", "abandoned=outcome:HANG", "ignored=outcome:PHANTOM"]


def test_a_server_is_on_duty_from_the_first_service_to_the_last_without_long_breaks(tmp_path):
    """A: 8:05 to 9:10 (started 9:00); a break of 40 min; 9:50. B: 8:50, ends 9:05, next at 9:30, 25 min later."""
    rows = ["8:05,300,A", "8:50,900,B", "8:35,60,A", "9:00,600,A", "9:50,60,A", "9:30,60,B"]
    text = "date,arrived,served,server,waited\n" + "".join(f"2025-03-31,{row},0\n" for row in rows)
    log = read_queue(written(tmp_path, text))
    duty = on_duty(log, None, tmp_path)
    minutes = {time: duty.at(np.array([time * 60.0]))[0] for time in (484, 485, 529, 530, 540, 541, 570, 571, 590, 591)}
    assert list(minutes.values()) == [0, 1, 1, 2, 2, 1, 1, 0, 1, 0]
    assert duty.seconds(7 * 3600, 11 * 3600) == 60 * (56 + 1 + 41)
    assert duty.stays


def test_where_all_go_home_by_the_log_one_stays_until_nobody_waits():
    calls = Calls(np.array([10.0, 20.0]), np.array([3000.0, 60.0]), np.full(2, FOR_GOOD))
    since, servers = np.array([0.0, 900.0]), np.array([1, 0])
    told = play_calls(calls, OnDuty(since, servers, "", stays=True))
    assert told.waited[1] == 3010 - 20
    given = play_calls(calls, OnDuty(since, servers, ""))
    assert list(given.served) == [True, False]
    assert np.isnan(given.waited[1])


def test_servers_may_be_a_number_or_a_schedule(tmp_path):
    log = read_queue(written(tmp_path, "arrived,waited,served\n2025-03-31 08:00:00,0,60\n2025-04-01 08:00:00,0,60\n"))
    assert on_duty(log, "12", tmp_path).at(np.array([0.0, 1e6])).tolist() == [12, 12]
    daily = written(tmp_path, "from,servers\n8:00,3\n18:30,0\n", "daily.csv")
    hours = np.array([7, 8, 18.49, 18.5, 24 + 7, 24 + 8, 48 + 12]) * 3600.0
    assert on_duty(log, str(daily), tmp_path).at(hours).tolist() == [0, 3, 3, 0, 0, 3, 3]
    dated = written(tmp_path, "from,servers\n2025-04-01 08:00,5\n2025-03-31 08:00:30,3\n", "dated.csv")
    assert on_duty(log, str(dated), tmp_path).at(hours).tolist() == [0, 0, 3, 3, 3, 5, 5]


def test_the_columns_of_the_anonymous_bank_are_read(tmp_path):
    log = read_queue(written(tmp_path, BANK, "bank.txt"), BANK_MAP)
    assert log.first == date(1999, 1, 3)
    assert log.arrived.tolist() == [9 * 3600 + 6, 9 * 3600 + 20, 24 * 3600 - 60, 32 * 3600 + 9]
    assert log.waited.tolist() == [50, 80, 0, 0]
    np.testing.assert_array_equal(log.served, [61, np.nan, 185, 180])
    assert log.abandoned.tolist() == [False, True, False, False]
    assert log.server.tolist() == [1, -1, 0, 0]
    assert log.notes == ("Left out because of 'outcome': 1 row.",)


def test_services_may_be_given_by_when_they_start_and_end_past_midnight_too(tmp_path):
    told = [*BANK_MAP[3:], "arrived=vru_exit", "started=ser_start", "left=q_exit", "ended=ser_exit"]
    one = read_queue(written(tmp_path, BANK, "bank.txt"), BANK_MAP)
    two = read_queue(tmp_path / "bank.txt", told)
    np.testing.assert_array_equal(one.waited, two.waited)
    np.testing.assert_array_equal(one.served, two.served)


@pytest.mark.parametrize(
    ("columns", "rows"),
    [
        ("arrived,waited,served", ["100,5,60", "160.5,0,90"]),
        ("arrived,waited,served", ["2025-03-31 00:01:40,5,0:01:00", "2025-03-31T00:02:40.5,0,0:01:30"]),
        ("arrived,started,ended", ["1700006500,1700006505,1700006565", "1700006560.5,1700006560.5,1700006650.5"]),
        ("date,arrived,waited,served", ["1 April,2025-03-31 00:01:40,5,60", "1 April,2025-03-31 00:02:40.5,0,90"]),
        ("date,arrived,started,served", ["20250331,0:01:40,0:01:45,60", "20250331,12:02:40.5 AM,12:02:40.5 AM,90"]),
    ],
)
def test_times_are_seconds_or_dates_or_times_of_day(tmp_path, columns, rows):
    log = read_queue(written(tmp_path, "\n".join([columns, *rows]) + "\n"))
    np.testing.assert_allclose(log.arrived - log.arrived[0], [0, 60.5])
    np.testing.assert_allclose(log.waited, [5, 0])
    np.testing.assert_allclose(log.served, [60, 90])
    assert log.days == [0]


def test_packed_logs_and_parquet_give_the_same_log(tmp_path):
    plain = log_of_days(tmp_path / "log.csv", [0])
    (tmp_path / "log.csv.gz").write_bytes(gzip.compress(plain.read_bytes()))
    pd.read_csv(plain).to_parquet(tmp_path / "log.parquet")
    logs = [read_queue(tmp_path / name) for name in ("log.csv", "log.csv.gz", "log.parquet")]
    for other in logs[1:]:
        np.testing.assert_array_equal(logs[0].served, other.served)
        np.testing.assert_array_equal(logs[0].waited, other.waited)
        np.testing.assert_array_equal(logs[0].abandoned, other.abandoned)


def test_rows_that_cannot_be_replayed_are_left_out_and_counted(tmp_path):
    rows = ["100,5,60,A", "110,,60,A", "120,5,,A", "130,-1,60,A", "90,0,10,"]
    log = read_queue(written(tmp_path, "arrived,waited,served,server\n" + "\n".join(rows) + "\n"))
    assert log.arrived.tolist() == [90, 100]
    assert log.notes == (
        "Left out because a time is missing: 2 rows.",
        "Those of them that waited and were not served may have hung up: --map abandoned=COLUMN:VALUE.",
        "Left out because a wait or a service is below 0: 1 row.",
        "Served, but the server is not named: 1 row.",
    )


def test_a_row_with_a_time_of_leaving_and_no_start_has_hung_up(tmp_path):
    rows = ["100,105,,165", "110,,150,", "120,165,,180"]
    log = read_queue(written(tmp_path, "arrived,started,left,ended\n" + "\n".join(rows) + "\n"))
    assert (log.abandoned.tolist(), log.waited.tolist()) == ([False, True, False], [5, 40, 45])
    np.testing.assert_array_equal(log.served, [60, np.nan, 15])


def test_rows_that_are_in_a_log_twice_are_warned_of(tmp_path):
    rows = ["101,5,60", "112,0,7", "101,5,60", "120,0,60", "120,0,60"]  # whole minutes may be so by chance
    log = read_queue(written(tmp_path, "arrived,waited,served\n" + "\n".join(rows) + "\n"))
    assert log.notes == ("Warning: equal to another row in each time, as where a part is in the log twice: 1 row.",)


def test_services_in_another_unit_than_seconds_are_warned_of(tmp_path):
    rows = [f"{60 * k},{{}},{'AB'[k % 2]}" for k in range(20)]
    for served, warned in ((50, False), (50_000, True)):
        text = "arrived,waited,served,server\n" + "".join(row.format(f"0,{served}") + "\n" for row in rows)
        log = read_queue(written(tmp_path, text))
        for servers in ("2", None):
            assert any("served_ms" in note for note in beyond_servers(log, on_duty(log, servers, tmp_path))) == warned


def test_where_a_log_is_unlike_the_model_the_notes_say_so(tmp_path):
    """Two servers. The second waits 50 s beside an idle one; the third overtakes it; and A has two at once."""
    rows = ["0,0,100,A", "10,50,60,B", "20,0,30,A"]
    log = read_queue(written(tmp_path, "arrived,waited,served,server\n" + "\n".join(rows) + "\n"))
    notes = departures_from_model(log, log, on_duty(log, "2", tmp_path))
    assert notes == [
        "Test days, waited 1 s or more while a server on duty was idle: 1 row.",
        "Test days, served 1 s or more before an earlier arrival: 1 row.",
        "Test days, began 1 s or more before their server's last had ended: 1 row.",
    ]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["arived=vru_exit"], "arived=vru_exit.*\n.*NAME=COLUMN, with a name of arrived"),
        (["arrived"], "does not say what a column is"),
        (["arrived=exit"], "no such column(.|\n)*one of its columns: vru_line"),
        (["arrived=vru_exit", "arrived=q_start"], "mapped twice"),
        (BANK_MAP[:2], "for how long: served(.|\n)*--map served=COLUMN or --map ended=COLUMN"),
        (BANK_MAP[1:], "arrived(.|\n)*--map arrived=COLUMN"),
        (["arrived=vru_exit", "started=ser_start", *BANK_MAP[2:]], "how long the callers who hung up had waited"),
        ([*BANK_MAP[:2], "served=server"], ":2(.|\n)*server(.|\n)*'DORIT'(.|\n)*a number of seconds"),
        (["arrived=call_id", *BANK_MAP[1:]], ":2(.|\n)*call_id(.|\n)*'1'(.|\n)*a time of day"),
        (["date=type", *BANK_MAP], ":2(.|\n)*type(.|\n)*'PS'(.|\n)*a date like"),
    ],
)
def test_a_wrong_mapping_is_refused_with_what_was_expected(tmp_path, given, words):
    with pytest.raises(BadInput, match=words):
        read_queue(written(tmp_path, BANK, "bank.txt"), given)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("arrived,waited,served\n", "no rows"),
        ("arrived,waited,served\n1,2\n", "not a row(.|\n)*:2"),
        ("arrived,waited,served\n1,2,3\n2,soon,3\n", ":3(.|\n)*waited(.|\n)*'soon'"),
        (
            "arrived,waited,served\n1,-2,3\n",
            "no row of the log can be replayed(.|\n)*Left out because a wait or a service is below 0: 1 row",
        ),
        ("arrived,waited,served\n,,\nyesterday,2,3\n", ":3(.|\n)*arrived(.|\n)*a date and time like"),
        ("arrived,waited,served\n2025-02-30 10:00:00,2,3\n", ":2(.|\n)*arrived"),
    ],
)
def test_a_bad_log_is_refused_by_column_row_and_value(tmp_path, text, words):
    with pytest.raises(BadInput, match=words):
        read_queue(written(tmp_path, text))


def test_callers_still_there_at_the_first_test_midnight_are_counted_and_keep_servers_busy(tmp_path):
    """Two servers, both busy past midnight with people of the day before: nobody waits beside an idle one."""
    rows = ["86300,0,500,A", "86310,0,490,B", "86500,300,60,A"]
    log = read_queue(written(tmp_path, "arrived,waited,served,server\n" + "\n".join(rows) + "\n"))
    assert departures_from_model(log.on([1]), log, on_duty(log, "2", tmp_path)) == [
        "Left out of the replay: came before the test days and were still there: 2 rows."
    ]


@pytest.mark.parametrize(
    ("text", "given", "words"),
    [
        ("arrived,waited,served,outcome\n1,0,9,HANG\n2,0,9,DONE\n", "abandoned=outcome:HUNG", "DONE, HANG"),
        ("arrived,waited,served,outcome\n1,0,9,HANG\n2,0,9,DONE\n", "abandoned=outcome", "yes or no"),
        ("arrived,waited,served\n1741000000000,0,9\n", "arrived=arrived", "milliseconds"),
        ("arrived,waited,served\n1e400,0,9\n", "arrived=arrived", "milliseconds"),
    ],
)
def test_a_column_that_would_be_read_wrongly_is_refused(tmp_path, text, given, words):
    with pytest.raises(BadInput, match=words):
        read_queue(written(tmp_path, text), [given])


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ("when,servers\n8:00,3\n", "columns from, servers"),
        ("from,servers\n8:00,3.5\n", ":2(.|\n)*servers"),
        ("from,servers\n8:00,3\n8:00,4\n", "same instant"),
        ("from,servers\n100,3\nlater,4\n", ":3(.|\n)*from"),
        ("from,servers\n0:00,3\n24:30,4\n", ":3(.|\n)*from"),
    ],
)
def test_a_bad_schedule_is_refused(tmp_path, schedule, words):
    log = read_queue(written(tmp_path, "arrived,waited,served\n1,2,3\n"))
    with pytest.raises(BadInput, match=words):
        on_duty(log, str(written(tmp_path, schedule, "roster.csv")), tmp_path)
    for servers in ("0", "-3", "twelve", None):
        with pytest.raises(BadInput):
            on_duty(log, servers, tmp_path)


def test_the_command_shows_both_predictions_and_says_what_it_used(tmp_path, monkeypatch):
    monkeypatch.setattr("sim.validation.own_queue.queue_study.SEEDS", {"replayed": 1, "forecast": 3})
    path = log_of_days(tmp_path / "log.csv", range(3), rate=1 / 900)
    told = CliRunner().invoke(
        app, ["validate", "trace", str(path), "--test-days", "1", "--out", str(tmp_path / "p.html")]
    )
    assert told.exit_code == 1, told.output  # one day of fifteen calls forecasts badly, and the command says so
    assert "3 miss" in told.output
    page = (tmp_path / "p.html").read_text(encoding="utf-8")
    for words in ("replayed, all test days", "forecast, all test days", "Servers: from the log", "Tested: 1 of 3 days"):
        assert words in page


def test_a_log_of_one_day_is_replayed_alone(tmp_path):
    made = queue_study(file=log_of_days(tmp_path / "log.csv", [0], rate=1 / 120), servers="6")
    assert {row.case for row in made.rows} == {"replayed, all test days"}
    assert "only be replayed" in " ".join(made.notes)
    with pytest.raises(BadInput, match="--test-days"):
        queue_study(file=tmp_path / "log.csv", servers="6", test_days=1)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["trace"], "trace FILE"),
        (["trace", "nowhere.csv"], "cannot be read"),
        (["mlperf", "--servers", "3"], "takes no --servers"),
        (["mlperf", "--map", "arrived=x"], "takes no --map"),
    ],
)
def test_wrong_calls_end_with_a_message(given, words):
    told = CliRunner().invoke(app, ["validate", *given])
    assert told.exit_code != 0
    assert words in f"{told.output}{told.exception}"


def test_days_without_anybody_on_duty_are_refused(tmp_path):
    roster = written(tmp_path, "from,servers\n0:00,0\n", "roster.csv")
    with pytest.raises(BadInput, match="nobody is on duty"):
        queue_study(file=written(tmp_path, "arrived,waited,served\n1,2,3\n"), servers=str(roster))


@pytest.mark.parametrize(
    ("names", "cells"),
    [
        (("waited_ms", "served_min"), ("45000", "2")),
        (("waited", "served"), ("45 s", "2 min")),
        (("waited", "served"), ('"45,0"', '"120,5"')),
    ],
)
def test_durations_are_in_the_unit_that_their_column_or_cell_names(tmp_path, names, cells):
    mark = ";" if "," in cells[0] else ","
    head = mark.join(("arrived", *names))
    rows = "".join(mark.join((f"2025-03-31 08:00:0{k}", *cells)) + "\n" for k in range(3)).replace('"', "")
    given = [f"{name}={column}" for name, column in zip(("waited", "served"), names, strict=True)]
    log = read_queue(written(tmp_path, f"{head}\n{rows}"), given)
    assert (log.waited.tolist(), set(log.served)) == ([45.0] * 3, {120.5 if mark == ";" else 120.0})


def test_times_in_days_of_a_spreadsheet_are_dates(tmp_path):
    rows = "".join(
        f"{45747 + (28800 + 60 * k) / 86400:.8f},{45747 + (28830 + 60 * k) / 86400:.8f},60\n" for k in range(4)
    )
    log = read_queue(written(tmp_path, f"arrived,started,served\n{rows}"))
    assert str(log.first) == "2025-03-31"
    np.testing.assert_allclose(log.waited, 30, atol=2e-3)
