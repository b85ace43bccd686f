"""A recorded queue is read as it was written, replayed as it was, and foretold where its days are alike."""

import gzip
from datetime import date

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from sim.cli import app
from sim.errors import BadInput
from sim.streams import BURST
from sim.validation.on_duty import OnDuty, on_duty
from sim.validation.recorded_figures import figures, unlike
from sim.validation.recorded_forecast import SEEDS as DRAWN
from sim.validation.recorded_forecast import (
    drawn_again,
    foretold_arrivals,
    foretold_calls,
    poisson,
    rates_of,
    recorded_calls,
    split_of,
    spread_of_days,
    spread_over_seeds,
    weekdays,
)
from sim.validation.recorded_queue import QueueLog, read_queue
from sim.validation.recorded_replay import Calls, played
from sim.validation.recorded_study import SEEDS, figures_of, interval, study
from sim.validation.recorded_times import Axis
from sim.validation.survival import Survival, kaplan_meier
from tests.recorded_queues import SHIFTS, day_of_calls, log_of_days, queue

FOR_GOOD = np.inf
SCHEDULE = [(hour * 3600.0, n) for hour, n in SHIFTS]
DUTY = OnDuty(np.array([0.0] + [t for t, _ in SCHEDULE]), np.array([0] + [n for _, n in SCHEDULE]), "by hand")
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


def written(tmp_path, text, name="log.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


# Replaying


def test_without_hanging_up_every_request_waits_as_it_did():
    arrived, served, _ = day_of_calls(np.random.default_rng(3), rate=1 / 30, mean=130, patience=1)
    patience = np.full(len(arrived), FOR_GOOD)
    started, _, _ = queue(arrived, served, patience, SCHEDULE)
    found = played(Calls(arrived, served, patience), DUTY, 0.0)
    np.testing.assert_array_equal(found.served, ~np.isnan(started))  # some still wait when all have gone home
    assert (started - arrived > 60).mean() > 0.1
    np.testing.assert_allclose(found.waited, started - arrived, atol=1e-6)


def test_with_known_patience_the_same_people_hang_up_at_the_same_time():
    arrived, served, patience = day_of_calls(np.random.default_rng(4), rate=1 / 20, mean=150, patience=120)
    started, left, _ = queue(arrived, served, patience, SCHEDULE)
    found = played(Calls(arrived, served, patience), DUTY, 0.0)
    hung_up = np.isnan(started)
    assert 0.1 < hung_up.mean() < 0.9
    np.testing.assert_array_equal(found.abandoned, hung_up)
    np.testing.assert_allclose(found.waited, np.where(hung_up, left, started) - arrived, atol=1e-6)


def test_who_is_being_served_does_not_hang_up():
    found = played(
        Calls(np.array([5.0]), np.array([100.0]), np.array([1.0])), OnDuty(np.zeros(1), np.ones(1, int), ""), 0.0
    )
    assert (found.served[0], found.abandoned[0], found.waited[0]) == (True, False, 0.0)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_log_replays_as_it_was_whatever_is_drawn_for_what_was_not_seen(tmp_path, seed):
    """The rest of the patience of who was served, and the service of who hung up, cannot matter: they were not seen."""
    log = read_queue(log_of_days(tmp_path / "log.csv", [0, 1, 2]))
    split = split_of(log, 1)
    assert (split.train.days, split.test.days) == ([0, 1], [2])
    duty = OnDuty(DUTY.since + 2 * 86400, DUTY.servers, "")
    found = played(recorded_calls(split, seed), duty, split.begins)
    np.testing.assert_array_equal(found.abandoned, split.test.abandoned)
    np.testing.assert_allclose(found.waited, split.test.waited, atol=1e-6)


# Patience


def test_kaplan_and_meier_by_hand():
    """Seven callers: hung up after 2, 4, 4, 7; served after 3, 4, 9. 6/7, then 3/5 of it, then 1/2 of that."""
    waited = np.array([2.0, 3.0, 4.0, 4.0, 4.0, 7.0, 9.0])
    law = kaplan_meier(waited, np.array([True, False, True, True, False, True, False]))
    np.testing.assert_array_equal(law.times, [2, 4, 7])
    np.testing.assert_allclose(law.left, [6 / 7, 6 / 7 * 3 / 5, 6 / 7 * 3 / 5 / 2])
    np.testing.assert_allclose(law.beyond(np.array([0, 2, 3.9, 4, 7])), [1, 6 / 7, 6 / 7, 18 / 35, 9 / 35])


def test_patience_is_estimated_through_services_that_hide_it():
    """Of exponential patience, hidden by exponential services: within Greenwood's standard error of exp(-t / mean)."""
    rng = np.random.default_rng(5)
    patience, offered = rng.exponential(100, 20_000), rng.exponential(60, 20_000)
    law = kaplan_meier(np.minimum(patience, offered), patience < offered)
    for t in (20.0, 60.0, 120.0, 200.0):
        exact = np.exp(-t / 100)
        # Greenwood: the variance is S^2 x the integral of the hazard over the number still in the queue.
        h = 1 / 100
        error = exact * np.sqrt(h / (h + 1 / 60) * (np.exp(t * (h + 1 / 60)) - 1) / 20_000)
        assert abs(law.beyond(np.array([t]))[0] - exact) < 3.5 * error


def test_patience_is_drawn_from_what_is_left_beyond_the_wait():
    law = Survival(np.array([10.0, 20.0, 30.0]), np.array([0.8, 0.4, 0.2]))
    shares = np.array([0.95, 0.7, 0.3, 0.1])
    np.testing.assert_allclose(law.patience(shares, np.full(4, -1.0)), [10, 20, 30, 30 * np.log(0.1) / np.log(0.2)])
    # Beyond 10 s: half of them by 20, a quarter more by 30, the rest later.
    found = law.patience(np.array([0.9, 0.6, 0.4, 0.2]), np.full(4, 10.0))
    np.testing.assert_allclose(found, [20, 20, 30, 30 * np.log(0.2 * 0.8) / np.log(0.2)])
    u = (np.arange(100_000) + 0.5) / 100_000
    for waited in (-1.0, 0.0, 10.0, 15.0, 29.0, 31.0, 80.0):
        drawn = law.patience(u, np.full(len(u), waited))
        assert (drawn > waited).all()
        for t in (10.0, 20.0, 30.0, 50.0, 200.0):
            wanted = min(1.0, law.beyond(np.array([t]))[0] / law.beyond(np.array([waited]))[0])
            assert abs((drawn > t).mean() - wanted) < 1e-4


def test_who_waited_for_longer_than_anybody_was_seen_to_stays():
    law = kaplan_meier(np.array([5.0, 8.0, 10.0]), np.array([False, False, True]))
    assert law.left[-1] == 0
    assert law.patience(np.array([0.5, 0.9]), np.array([20.0, 20.0])).tolist() == [FOR_GOOD, FOR_GOOD]
    assert law.patience(np.array([0.5]), np.array([-1.0])).tolist() == [10.0]


def test_beyond_what_was_seen_patience_ends_at_the_rate_so_far():
    """30 s have left a fifth, so 60 s leave a fifth of that, by the exponential through both."""
    law = Survival(np.array([10.0, 30.0]), np.array([0.8, 0.2]))
    np.testing.assert_allclose(law.beyond(np.array([29.0, 30.0, 60.0, 90.0])), [0.8, 0.2, 0.04, 0.008])


@pytest.mark.parametrize("waits", [[], [0.0, 0.0]])
def test_where_nobody_waited_and_hung_up_the_rest_wait_for_good(waits):
    waited = np.array([*waits, 1.0, 2.0])
    law = kaplan_meier(waited, np.arange(len(waited)) < len(waits))
    assert (law.patience(np.array([0.01, 0.45]), np.zeros(2)) == FOR_GOOD).all()


# Foretelling


def test_arrivals_are_poisson_hour_by_hour():
    hours, expected = np.arange(24) * 3600.0, np.zeros(24)
    expected[[8, 9, 20]] = 40.0, 10.0, 0.5
    runs = [poisson(hours, expected, seed) for seed in range(1, 401)]
    counts = np.array([np.histogram(run, np.arange(25) * 3600.0)[0] for run in runs])
    assert (counts[:, expected == 0] == 0).all()
    for hour in (8, 9, 20):
        of_hour, mean = counts[:, hour], expected[hour]
        assert abs(of_hour.mean() - mean) < 3.5 * np.sqrt(mean / 400)
        # The variance of a sample variance of Poisson numbers: (mu4 - mu2^2) / n, mu4 = m + 3 m^2.
        assert abs(of_hour.var() - mean) < 3.5 * np.sqrt((mean + 2 * mean**2) / 400)
    inside = np.concatenate(runs) % 3600
    assert abs(inside.mean() - 1800) < 3.5 * 3600 / np.sqrt(12 * len(inside))


def test_rates_are_those_of_the_weekday_where_two_days_tell_them():
    days = np.array([0, 1, 7, 9, 14])
    counts = np.arange(5)[:, None] * np.ones((1, 24))
    assert rates_of(21, days, counts, days)[0] == (0 + 2 + 4) / 3
    assert rates_of(22, days, counts, days)[0] == (0 + 1 + 2 + 3 + 4) / 5
    # Of day 22's weekday there is one day: that it is drawn twice does not make it two.
    assert rates_of(22, days, counts, np.array([0, 1, 1, 7, 14]))[0] == pytest.approx(2 - 0.4 * np.sqrt(5 / 4))


def test_drawn_days_tell_a_rate_as_badly_as_so_many_days_can():
    """The mean over n drawn days has the variance s^2 / n, and not (n - 1) / n of it."""
    days, totals = np.arange(6), np.array([100.0, 90.0, 130.0, 110.0, 95.0, 105.0])
    counts = totals[:, None] * np.ones((1, 24))
    found = [rates_of(6, days, counts, drawn_again(days, seed))[0] for seed in range(1, 4001)]
    assert abs(np.mean(found) - totals.mean()) < 3.5 * totals.std(ddof=1) / np.sqrt(6 * 4000)
    assert np.var(found) == pytest.approx(totals.var(ddof=1) / 6, rel=3.5 * np.sqrt(2 / 4000))


def test_days_are_drawn_again_within_their_weekday():
    days = np.array([0, 1, 2, 7, 8, 10, 14])
    assert [part.tolist() for part in weekdays(days)] == [[0, 7, 14], [1, 8], [2, 10]]
    runs = np.array([drawn_again(days, seed) for seed in range(1, 2001)])
    for part in weekdays(days):
        found = np.isin(runs, part)
        assert (found.sum(axis=1) == len(part)).all()
        share = (runs == part[0]).sum() / found.sum()
        assert abs(share - 1 / len(part)) < 3.5 * np.sqrt((1 / len(part)) * (1 - 1 / len(part)) / found.sum())


def test_days_of_one_rate_have_no_spread_and_others_have_theirs():
    rng = np.random.default_rng(8)
    assert spread_of_days(np.arange(60), rng.poisson(1000, 60), 0.5) < 0.02
    busy = np.exp(0.3 * rng.standard_normal(200))
    totals = rng.poisson(300 * busy)
    found = [spread_of_days(np.arange(200), totals, u) for u in (0.01, 0.5, 0.99)]
    assert abs(found[1] - 0.3) < 3.5 * 0.3 / np.sqrt(2 * 200)
    assert found[0] > found[1] > found[2], "a small chi-square makes a large variance"


@pytest.mark.parametrize(("train", "sigma"), [(14, 0.15), (6, 0.15), (8, 0.0)])
def test_days_that_differ_are_foretold_as_often_as_the_interval_says(train, sigma):
    """Requests of each of three days of 150 logs: no more of them miss than three in a hundred would by chance."""
    rng = np.random.default_rng(train)
    missed = 0
    for _ in range(150):
        sizes = rng.poisson(300 * np.exp(sigma * rng.standard_normal(train + 3) - sigma**2 / 2))
        arrived = np.sort(np.concatenate([day * 86400 + 86400 * rng.random(n) for day, n in enumerate(sizes)]))
        n = len(arrived)
        log = QueueLog(
            arrived, np.zeros(n), np.ones(n), np.zeros(n, bool), np.zeros(n, int), Axis("seconds", 0.0, None)
        )
        runs = [foretold_arrivals(split_of(log, 3), seed) for seed in range(1, DRAWN + 1)]
        counts = np.array([np.bincount((run // 86400).astype(int), minlength=train + 3)[train:] for run in runs])
        off = np.array([interval(counts[:, day]) for day in range(3)])
        missed += int((np.abs(counts.mean(axis=0) - sizes[train:]) > off).sum())
    assert missed < 450 * 0.03 + 3.5 * np.sqrt(450 * 0.03 * 0.97) / 2


def test_seeds_share_the_interval_out_among_them():
    for n in (1, 3):
        found = np.array([spread_over_seeds(seed, BURST, n) for seed in range(1, DRAWN + 1)])
        for place in range(n):
            assert sorted((found[:, place] * DRAWN).astype(int)) == list(range(DRAWN))


def z_of(tmp_path, mean):
    """How many standard deviations over seeds each figure of the log's last days lies from those foretold."""
    log = read_queue(log_of_days(tmp_path / "log.csv", range(12), mean=mean))
    daily = written(tmp_path, "from,servers\n0:00,0\n8:00,4\n10:00,6\n16:00,3\n18:00,0\n", "roster.csv")
    split, duty = split_of(log, 4), on_duty(log, str(daily), tmp_path / "log.csv")
    runs = [figures_of((split, duty), "foretold", seed, lambda _: None)[0][None] for seed in range(1, 11)]
    actual = figures(split.test, duty, split.test.days)
    z = {}
    for name in ("requests", "mean", "p90", "waiting", "abandoned", "utilisation"):
        values = np.array([one[name] for one in runs])
        z[name] = (actual[name] - values.mean()) / values.std(ddof=1)
    return z


def test_days_of_one_law_are_foretold(tmp_path):
    assert max(abs(z) for z in z_of(tmp_path, 150.0).values()) < 3.5


def test_days_whose_services_are_four_times_as_long_are_told_apart(tmp_path):
    z = z_of(tmp_path, lambda day: 600.0 if day >= 8 else 150.0)
    assert abs(z["requests"]) < 3.5
    assert min(z[name] for name in ("mean", "p90", "waiting", "abandoned", "utilisation")) > 3.5


def test_the_test_days_tell_nothing_of_what_is_foretold(tmp_path):
    log = read_queue(log_of_days(tmp_path / "log.csv", range(4)))
    other = read_queue(log_of_days(tmp_path / "other.csv", range(4), mean=lambda day: 150.0 if day < 3 else 600.0))
    one, two = (foretold_calls(split_of(which, 1), 7) for which in (log, other))
    np.testing.assert_array_equal(one.arrived, two.arrived)
    np.testing.assert_array_equal(one.served, two.served)
    np.testing.assert_array_equal(one.patience, two.patience)


def test_one_more_value_lies_in_the_interval_as_often_as_it_says():
    rng = np.random.default_rng(9)
    values = rng.normal(0, 1, (20_000, SEEDS["foretold"] + 1))
    inside = np.mean([abs(row[-1] - row[:-1].mean()) <= interval(row[:-1]) for row in values])
    assert abs(inside - 0.99) < 3.5 * np.sqrt(0.99 * 0.01 / 20_000)
    assert np.isnan(interval(np.ones(1)))


# Servers


def test_who_serves_is_on_duty_from_the_first_service_to_the_last_without_long_breaks(tmp_path):
    """A: 8:05 to 9:10 (started 9:00); a break of 40 min; 9:50. B: 8:50, ends 9:05, next at 9:30, 25 min later."""
    rows = ["8:05,300,A", "8:50,900,B", "8:35,60,A", "9:00,600,A", "9:50,60,A", "9:30,60,B"]
    text = "date,arrived,served,server,waited\n" + "".join(f"2025-03-31,{row},0\n" for row in rows)
    log = read_queue(written(tmp_path, text))
    duty = on_duty(log, None, tmp_path)
    hours = {time: duty.at(np.array([time * 3600.0]))[0] for time in (7.99, 8, 8.74, 8.75, 9.24, 9.25, 9.74, 9.75, 10)}
    assert list(hours.values()) == [0, 1, 1, 2, 2, 1, 1, 1, 0]
    assert duty.seconds(7 * 3600, 11 * 3600) == 60 * (75 + 15 + 60)
    assert duty.stays


def test_where_all_go_home_by_the_log_one_stays_until_nobody_waits():
    calls = Calls(np.array([10.0, 20.0]), np.array([3000.0, 60.0]), np.full(2, FOR_GOOD))
    since, servers = np.array([0.0, 900.0]), np.array([1, 0])
    told = played(calls, OnDuty(since, servers, "", stays=True), 0.0)
    assert told.waited[1] == 3010 - 20
    given = played(calls, OnDuty(since, servers, ""), 0.0)
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
    assert on_duty(log, str(dated), tmp_path).tick(0.0) == 30


# Reading


def test_the_columns_of_the_anonymous_bank_are_read(tmp_path):
    log = read_queue(written(tmp_path, BANK, "bank.txt"), BANK_MAP)
    assert log.first == date(1999, 1, 3)
    assert log.arrived.tolist() == [9 * 3600 + 6, 9 * 3600 + 20, 24 * 3600 - 60, 32 * 3600 + 9]
    assert log.waited.tolist() == [50, 80, 0, 0]
    np.testing.assert_array_equal(log.served, [61, np.nan, 185, 180])
    assert log.abandoned.tolist() == [False, True, False, False]
    assert log.server.tolist() == [1, -1, 0, 0]
    assert log.notes == ("Left out, as told by 'outcome': 1 row.",)


def test_services_may_be_told_by_when_they_start_and_end_past_midnight_too(tmp_path):
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


def test_packed_logs_and_parquet_are_read_alike(tmp_path):
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
        "Left out, since a time is missing: 2 rows.",
        "Those of them that waited and were not served may have hung up: --map abandoned=COLUMN:VALUE.",
        "Left out, since a wait or a service is below 0: 1 row.",
        "Served by nobody who is named: 1 row.",
    )


def test_where_a_log_is_unlike_the_model_the_notes_say_so(tmp_path):
    """Two servers. The second waits 50 s beside an idle one; the third overtakes it; and A has two at once."""
    rows = ["0,0,100,A", "10,50,60,B", "20,0,30,A"]
    log = read_queue(written(tmp_path, "arrived,waited,served,server\n" + "\n".join(rows) + "\n"))
    notes = unlike(log, log, on_duty(log, "2", tmp_path))
    assert notes == [
        "Test days, waited 1 s or more though fewer were being served than were on duty: 1 row.",
        "Test days, served 1 s or more before somebody who had come earlier: 1 row.",
        "Test days, began 1 s or more before their server's last had ended: 1 row.",
    ]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["arived=vru_exit"], "arived=vru_exit.*\n.*NAME=COLUMN, with a name of arrived"),
        (["arrived"], "does not say what a column is"),
        (["arrived=exit"], "no such column(.|\n)*one of its columns: vru_line"),
        (["arrived=vru_exit", "arrived=q_start"], "said twice"),
        (BANK_MAP[:2], "for how long: served(.|\n)*--map served=COLUMN or --map ended=COLUMN"),
        (BANK_MAP[1:], "arrived(.|\n)*--map arrived=COLUMN"),
        (["arrived=vru_exit", "started=ser_start", *BANK_MAP[2:]], "how long those waited who hung up"),
        ([*BANK_MAP[:2], "served=server"], "server, row 2(.|\n)*'DORIT'(.|\n)*a number of seconds"),
        (["arrived=call_id", *BANK_MAP[1:]], "call_id, row 2(.|\n)*'1'(.|\n)*a time of day"),
        (["date=type", *BANK_MAP], "type, row 2(.|\n)*'PS'(.|\n)*a date like"),
    ],
)
def test_a_wrong_mapping_is_told_with_what_was_expected(tmp_path, given, words):
    with pytest.raises(BadInput, match=words):
        read_queue(written(tmp_path, BANK, "bank.txt"), given)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("arrived,waited,served\n", "no rows"),
        ("arrived,waited,served\n1,2\n", "row 2(.|\n)*not a row|not a row(.|\n)*row 2"),
        ("arrived,waited,served\n1,2,3\n2,soon,3\n", "waited, row 3(.|\n)*'soon'"),
        (
            "arrived,waited,served\n1,-2,3\n",
            "no row of the log can be replayed(.|\n)*Left out, since a wait or a service is below 0: 1 row",
        ),
        ("arrived,waited,served\n,,\nyesterday,2,3\n", "arrived, row 3(.|\n)*a date and time like"),
        ("arrived,waited,served\n2025-02-30 10:00:00,2,3\n", "arrived, row 2"),
    ],
)
def test_a_bad_log_is_told_by_column_row_and_value(tmp_path, text, words):
    with pytest.raises(BadInput, match=words):
        read_queue(written(tmp_path, text))


def test_who_is_still_there_at_the_first_test_midnight_is_counted_and_keeps_servers_busy(tmp_path):
    """Two servers, both busy past midnight with people of the day before: nobody waits beside an idle one."""
    rows = ["86300,0,500,A", "86310,0,490,B", "86500,300,60,A"]
    log = read_queue(written(tmp_path, "arrived,waited,served,server\n" + "\n".join(rows) + "\n"))
    assert unlike(log.on([1]), log, on_duty(log, "2", tmp_path)) == [
        "Left out of the replay, since they came before the test days but were still there: 2 rows."
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
def test_what_would_be_read_wrongly_is_refused(tmp_path, text, given, words):
    with pytest.raises(BadInput, match=words):
        read_queue(written(tmp_path, text), [given])


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ("when,servers\n8:00,3\n", "columns from, servers"),
        ("from,servers\n8:00,3.5\n", "servers, row 2"),
        ("from,servers\n8:00,3\n8:00,4\n", "same instant"),
        ("from,servers\n100,3\nlater,4\n", "from, row 3"),
        ("from,servers\n0:00,3\n24:30,4\n", "from, row 3"),
    ],
)
def test_a_bad_schedule_is_told(tmp_path, schedule, words):
    log = read_queue(written(tmp_path, "arrived,waited,served\n1,2,3\n"))
    with pytest.raises(BadInput, match=words):
        on_duty(log, str(written(tmp_path, schedule, "roster.csv")), tmp_path)
    for servers in ("0", "-3", "twelve", None):
        with pytest.raises(BadInput):
            on_duty(log, servers, tmp_path)


# The command


def test_the_command_shows_both_predictions_and_says_what_it_used(tmp_path):
    path = log_of_days(tmp_path / "log.csv", range(3), rate=1 / 120)
    told = CliRunner().invoke(
        app, ["validate", "trace", str(path), "--test-days", "1", "--out", str(tmp_path / "p.html")]
    )
    assert told.exit_code == 0, told.output
    page = (tmp_path / "p.html").read_text(encoding="utf-8")
    for words in (
        "replayed, all test days",
        "foretold, all test days",
        "Servers: from the log",
        "Tested: the last 1 of 3 days",
    ):
        assert words in page


def test_a_log_of_one_day_is_replayed_alone(tmp_path):
    made = study(file=log_of_days(tmp_path / "log.csv", [0], rate=1 / 120), servers="6")
    assert {row.case for row in made.rows} == {"replayed, all test days"}
    assert "only be replayed" in " ".join(made.notes)
    with pytest.raises(BadInput, match="--test-days"):
        study(file=tmp_path / "log.csv", servers="6", test_days=1)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["trace"], "validate trace FILE"),
        (["trace", "nowhere.csv"], "cannot be read"),
        (["theory", "--servers", "3"], "takes no --servers"),
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
        study(file=written(tmp_path, "arrived,waited,served\n1,2,3\n"), servers=str(roster))
