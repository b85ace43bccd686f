"""A recorded queue is replayed as it was, and the patience of those who were served is estimated."""

from dataclasses import replace

import numpy as np
import pytest

from sim.errors import BadInput
from sim.validation.own_queue.queue_forecast import recorded_calls, split_of
from sim.validation.own_queue.queue_log import read_queue
from sim.validation.own_queue.replay import Calls, play_calls
from sim.validation.own_queue.staffing import OnDuty, on_duty
from sim.validation.own_queue.survival import Survival, kaplan_meier
from tests.queue_in_engine import played_by_engine
from tests.recorded_queues import SHIFTS, day_of_calls, log_of_days, queue

FOR_GOOD = np.inf
SCHEDULE = [(hour * 3600.0, n) for hour, n in SHIFTS]
DUTY = OnDuty(np.array([0.0] + [t for t, _ in SCHEDULE]), np.array([0] + [n for _, n in SCHEDULE]), "by hand")


def test_without_hanging_up_every_request_waits_as_it_did():
    arrived, served, _ = day_of_calls(np.random.default_rng(3), rate=1 / 30, mean=130, patience=1)
    patience = np.full(len(arrived), FOR_GOOD)
    started, _, _ = queue(arrived, served, patience, SCHEDULE)
    found = play_calls(Calls(arrived, served, patience), DUTY)
    np.testing.assert_array_equal(found.served, ~np.isnan(started))  # some still wait when all have gone home
    assert (started - arrived > 60).mean() > 0.1
    np.testing.assert_allclose(found.waited, started - arrived, atol=1e-6)


def test_with_known_patience_the_same_people_hang_up_at_the_same_time():
    arrived, served, patience = day_of_calls(np.random.default_rng(4), rate=1 / 20, mean=150, patience=120)
    started, left, _ = queue(arrived, served, patience, SCHEDULE)
    found = play_calls(Calls(arrived, served, patience), DUTY)
    hung_up = np.isnan(started)
    assert 0.1 < hung_up.mean() < 0.9
    np.testing.assert_array_equal(found.abandoned, hung_up)
    np.testing.assert_allclose(found.waited, np.where(hung_up, left, started) - arrived, atol=1e-6)


def test_who_is_being_served_does_not_hang_up():
    found = play_calls(
        Calls(np.array([5.0]), np.array([100.0]), np.array([1.0])), OnDuty(np.zeros(1), np.ones(1, int), "")
    )
    assert (found.served[0], found.abandoned[0], found.waited[0]) == (True, False, 0.0)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_log_replays_as_it_was_whatever_is_drawn_for_what_was_not_seen(tmp_path, seed):
    """The rest of the patience of who was served, and the service of who hung up, cannot matter: they were not seen."""
    log = read_queue(log_of_days(tmp_path / "log.csv", [0, 1, 2]))
    split = split_of(log, 1)
    assert (split.train.days, split.test.days) == ([0, 1], [2])
    duty = OnDuty(DUTY.since + 2 * 86400, DUTY.servers, "")
    split = replace(split, turnaround=np.empty(0))  # the gaps of idle servers who were not asked
    found = play_calls(recorded_calls(split, seed), duty)
    np.testing.assert_array_equal(found.abandoned, split.test.abandoned)
    np.testing.assert_allclose(found.waited, split.test.waited, atol=1e-6)


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


def test_the_engine_plays_the_same():
    """A day of calls through the readable engine: the same people hang up, and the others wait as long."""
    arrived, served, patience = day_of_calls(np.random.default_rng(9), rate=1 / 25, mean=150, patience=200, until=11)
    calls = Calls(arrived, served, patience)
    waited, abandoned, done = played_by_engine(calls, DUTY)
    found = play_calls(calls, DUTY)
    np.testing.assert_array_equal(found.abandoned, abandoned)
    np.testing.assert_array_equal(found.served, done)
    np.testing.assert_allclose(found.waited, waited, atol=1e-6)
    assert 0.05 < abandoned.mean() < 0.9


def test_a_server_who_is_not_ready_after_a_service_makes_the_next_one_wait():
    calls = Calls(np.array([0.0, 10.0]), np.array([100.0, 100.0]), np.full(2, FOR_GOOD), np.array([60.0, 0.0]))
    assert play_calls(calls, OnDuty(np.zeros(1), np.ones(1, int), "")).waited.tolist() == [0, 150]


def test_the_work_after_each_call_is_found_on_the_train_days_and_replayed(tmp_path):
    """60 s (Gamma, shape 4) after each call, in no column: without them the replay would wait half as long."""
    log = read_queue(log_of_days(tmp_path / "log.csv", range(4), mean=150.0, after=60.0, patience=300.0))
    split = split_of(log, 2)
    assert len(split.turnaround) > 200
    assert abs(split.turnaround.mean() - 60.0) < 3.5 * 30.0 / np.sqrt(len(split.turnaround))
    duty, test = on_duty(log, None, tmp_path), split.test
    found = [play_calls(recorded_calls(split, seed), duty) for seed in (1, 2, 3)]
    waits = np.concatenate([one.waited[one.served] for one in found])
    actual = test.waited[~test.abandoned]
    assert waits.mean() == pytest.approx(actual.mean(), rel=0.11)
    assert np.percentile(waits, 90) == pytest.approx(np.percentile(actual, 90), rel=0.11)
    assert np.mean([one.abandoned.mean() for one in found]) == pytest.approx(test.abandoned.mean(), rel=0.11)
    without = play_calls(recorded_calls(replace(split, turnaround=np.empty(0)), 1), duty)
    assert without.waited[without.served].mean() < 0.7 * actual.mean()


def test_every_other_day_can_be_tested_and_conditions_add_up(tmp_path):
    rows = [
        f"0{d}/04/2025 08:0{m}:00,0,60,{o},{q}"
        for d in (7, 8, 9)
        for m, o, q in ((1, "A", "x"), (2, "B", "y"), (3, "C", "z"))
    ]
    text = "arrived,waited,served,outcome,queue\n" + "\n".join(rows) + "\n" + "13/04/2025 08:01:00,0,60,A,x\n"
    path = tmp_path / "log.csv"
    path.write_text(text, encoding="utf-8")
    log = read_queue(path, ["abandoned=outcome:B", "abandoned=queue:x"], ["queue:z"])
    assert str(log.first) == "2025-04-07"
    assert (len(log), int(log.abandoned.sum())) == (7, 7)
    split = split_of(log, 1, alternate=True)
    assert (split.train.days, split.test.days) == ([0, 2], [1, 6])


def test_dates_that_may_be_read_in_two_ways_are_refused(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("arrived,waited,served\n07/04/2025 08:00:00,0,60\n", encoding="utf-8")
    with pytest.raises(BadInput, match="day first or the month first"):
        read_queue(path)
