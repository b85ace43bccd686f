"""A recorded queue is replayed as it was, and the patience of those who were served is estimated."""

import numpy as np
import pytest

from sim.calibration.survival import Survival, kaplan_meier
from sim.validation.own_queue.queue_forecast import (
    recorded_calls,
    split_of,
)
from sim.validation.own_queue.queue_log import read_queue
from sim.validation.own_queue.replay import Calls, play_calls
from sim.validation.own_queue.staffing import OnDuty
from tests.recorded_queues import SHIFTS, day_of_calls, log_of_days, queue

FOR_GOOD = np.inf
SCHEDULE = [(hour * 3600.0, n) for hour, n in SHIFTS]
DUTY = OnDuty(np.array([0.0] + [t for t, _ in SCHEDULE]), np.array([0] + [n for _, n in SCHEDULE]), "by hand")


def test_without_hanging_up_every_request_waits_as_it_did():
    arrived, served, _ = day_of_calls(np.random.default_rng(3), rate=1 / 30, mean=130, patience=1)
    patience = np.full(len(arrived), FOR_GOOD)
    started, _, _ = queue(arrived, served, patience, SCHEDULE)
    found = play_calls(Calls(arrived, served, patience), DUTY, 0.0)
    np.testing.assert_array_equal(found.served, ~np.isnan(started))  # some still wait when all have gone home
    assert (started - arrived > 60).mean() > 0.1
    np.testing.assert_allclose(found.waited, started - arrived, atol=1e-6)


def test_with_known_patience_the_same_people_hang_up_at_the_same_time():
    arrived, served, patience = day_of_calls(np.random.default_rng(4), rate=1 / 20, mean=150, patience=120)
    started, left, _ = queue(arrived, served, patience, SCHEDULE)
    found = play_calls(Calls(arrived, served, patience), DUTY, 0.0)
    hung_up = np.isnan(started)
    assert 0.1 < hung_up.mean() < 0.9
    np.testing.assert_array_equal(found.abandoned, hung_up)
    np.testing.assert_allclose(found.waited, np.where(hung_up, left, started) - arrived, atol=1e-6)


def test_who_is_being_served_does_not_hang_up():
    found = play_calls(
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
    found = play_calls(recorded_calls(split, seed), duty, split.begins)
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
