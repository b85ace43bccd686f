"""A queue's days are forecast from those before, and the intervals cover as often as they say."""

import numpy as np
import pytest

from sim.model.streams import BURST
from sim.validation.own_queue.queue_forecast import SEEDS as DRAWN
from sim.validation.own_queue.queue_forecast import (
    drawn_again,
    forecast_arrivals,
    forecast_calls,
    groups_of_weekdays,
    poisson_instants,
    rates_of,
    split_of,
    spread_of_days,
    spread_over_seeds,
)
from sim.validation.own_queue.queue_log import QueueLog, read_queue
from sim.validation.own_queue.queue_study import SEEDS, figures_of_log, figures_of_run, prediction_interval
from sim.validation.own_queue.queue_times import Axis
from sim.validation.own_queue.staffing import on_duty
from tests.recorded_queues import log_of_days, written


def test_arrivals_are_poisson_hour_by_hour():
    hours, expected = np.arange(24) * 3600.0, np.zeros(24)
    expected[[8, 9, 20]] = 40.0, 10.0, 0.5
    runs = [poisson_instants(hours, expected, seed) for seed in range(1, 401)]
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


def test_days_drawn_again_vary_as_much_as_that_number_of_days_does():
    """The mean over n drawn days has the variance s^2 / n, and not (n - 1) / n of it."""
    days, totals = np.arange(6), np.array([100.0, 90.0, 130.0, 110.0, 95.0, 105.0])
    counts = totals[:, None] * np.ones((1, 24))
    found = [rates_of(6, days, counts, drawn_again(days, seed))[0] for seed in range(1, 4001)]
    assert abs(np.mean(found) - totals.mean()) < 3.5 * totals.std(ddof=1) / np.sqrt(6 * 4000)
    assert np.var(found) == pytest.approx(totals.var(ddof=1) / 6, rel=3.5 * np.sqrt(2 / 4000))


def test_days_are_drawn_again_within_their_weekday():
    days = np.array([0, 1, 2, 7, 8, 10, 14])
    assert [part.tolist() for part in groups_of_weekdays(days)] == [[0, 7, 14], [1, 8], [2, 10]]
    runs = np.array([drawn_again(days, seed) for seed in range(1, 2001)])
    for part in groups_of_weekdays(days):
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


@pytest.mark.parametrize(("train", "sigma"), [(14, 0.15), (8, 0.0)])
def test_days_that_differ_lie_in_the_interval_as_often_as_it_says(train, sigma):
    """Requests of each of three days of 40 logs: no more of them miss than two in a hundred would by chance.

    An interval that missed one in eight would be found out with a probability of 0.97.
    """
    rng = np.random.default_rng(train)
    missed = 0
    for _ in range(40):
        sizes = rng.poisson(300 * np.exp(sigma * rng.standard_normal(train + 3) - sigma**2 / 2))
        arrived = np.sort(np.concatenate([day * 86400 + 86400 * rng.random(n) for day, n in enumerate(sizes)]))
        n = len(arrived)
        log = QueueLog(
            arrived, np.zeros(n), np.ones(n), np.zeros(n, bool), np.zeros(n, int), Axis("seconds", 0.0, None)
        )
        split = split_of(log, 3)
        runs = [forecast_arrivals(split, seed) for seed in range(1, DRAWN + 1)]
        counts = np.array([np.bincount((run // 86400).astype(int), minlength=train + 3)[train:] for run in runs])
        off = np.array([prediction_interval(counts[:, day]) for day in range(3)])
        missed += int((np.abs(counts.mean(axis=0) - sizes[train:]) > off).sum())
    assert missed < 120 * 0.02 + 3.5 * np.sqrt(120 * 0.02 * 0.98)


def test_seeds_share_the_interval_out_among_them():
    for n in (1, 3):
        found = np.array([spread_over_seeds(seed, BURST, n) for seed in range(1, DRAWN + 1)])
        for place in range(n):
            assert sorted((found[:, place] * DRAWN).astype(int)) == list(range(DRAWN))


def z_of(tmp_path, mean):
    """How many standard deviations over seeds each figure of the log's last days lies from the forecast."""
    log = read_queue(log_of_days(tmp_path / "log.csv", range(12), mean=mean))
    daily = written(tmp_path, "from,servers\n0:00,0\n8:00,4\n10:00,6\n16:00,3\n18:00,0\n", "roster.csv")
    split, duty = split_of(log, 4), on_duty(log, str(daily), tmp_path / "log.csv")
    runs = [figures_of_run((split, duty), "forecast", seed, lambda _: None)[0][None] for seed in range(1, 11)]
    actual = figures_of_log(split.test, duty, split.test.days)
    z = {}
    for name in ("requests", "mean", "p90", "waiting", "abandoned", "utilisation"):
        values = np.array([one[name] for one in runs])
        z[name] = (actual[name] - values.mean()) / values.std(ddof=1)
    return z


def test_days_of_one_law_are_forecast(tmp_path):
    assert max(abs(z) for z in z_of(tmp_path, 150.0).values()) < 3.5


def test_days_with_services_four_times_as_long_are_recognised(tmp_path):
    z = z_of(tmp_path, lambda day: 600.0 if day >= 8 else 150.0)
    assert abs(z["requests"]) < 3.5
    assert min(z[name] for name in ("mean", "p90", "waiting", "abandoned", "utilisation")) > 3.5


def test_the_test_days_have_no_influence_on_the_forecast(tmp_path):
    log = read_queue(log_of_days(tmp_path / "log.csv", range(4)))
    other = read_queue(log_of_days(tmp_path / "other.csv", range(4), mean=lambda day: 150.0 if day < 3 else 600.0))
    one, two = (forecast_calls(split_of(which, 1), 7) for which in (log, other))
    np.testing.assert_array_equal(one.arrived, two.arrived)
    np.testing.assert_array_equal(one.served, two.served)
    np.testing.assert_array_equal(one.patience, two.patience)


def test_one_more_value_lies_in_the_interval_as_often_as_it_says():
    rng = np.random.default_rng(9)
    values = rng.normal(0, 1, (5_000, SEEDS["forecast"] + 1))
    inside = np.mean([abs(row[-1] - row[:-1].mean()) <= prediction_interval(row[:-1]) for row in values])
    assert abs(inside - 0.99) < 3.5 * np.sqrt(0.99 * 0.01 / 5_000)
    assert np.isnan(prediction_interval(np.ones(1)))
