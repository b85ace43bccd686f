"""The gateway's scalar rules: GCRA, four kinds of quota, the order of refusals, and the distributions of chance."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sim.model.chance import (
    CONSTANT,
    EXPONENTIAL,
    EXPONENTIAL_NOISE,
    LOGNORMAL,
    LOGNORMAL_NOISE,
    NEVER,
    NO_NOISE,
    UNIFORM,
    WEIBULL,
    noise,
    sample,
)
from sim.model.dropping import codel_drops, dropped, folly_drops, fresh_codel
from sim.model.gateway import (
    GATE,
    GRANTED,
    OVER_QUOTA,
    POOL_FULL,
    QUEUE_FULL,
    RATE_LIMITED,
    RATIONED,
    SHED_AWAY,
    SHED_FOR_GOOD,
    TOO_MANY,
    WAIT_TOO_LONG,
    decide,
    fresh_limiter,
    shed_draw,
)
from sim.model.knobs import CALENDAR, COUNTER, KNOBS, ROLLING, SLIDING, SLIDING_SLOTS, UNLIMITED

DAY, HOUR = 86400.0, 3600.0
N = 20_000


def knobs(**turned: float) -> np.ndarray:
    row = np.array(UNLIMITED)
    for name, value in turned.items():
        row[KNOBS.index(name)] = value
    return row


def ask(
    row,
    limiter,
    now=0.0,
    *,
    midnight=0.0,
    age=0.0,
    in_flight=0,
    granted=0,
    inside=0,
    queued=0,
    wait=0.0,
    lot=0.5,
    chance=0.5,
) -> int:
    return decide(row, limiter, now, midnight, age, in_flight, granted, inside, queued, wait, lot, chance)


def granted(row, instants, *, midnight=0.0) -> list[float]:
    """The instants, of those asked at, that one user was granted."""
    limiter = fresh_limiter()
    return [t for t in instants if ask(row, limiter, t, midnight=midnight) == GRANTED]


def most_in_a_window(instants, window: float) -> int:
    """Most grants in any half-open window of that length."""
    return max(sum(start <= t < start + window for t in instants) for start in instants)


def test_a_rested_user_may_make_exactly_a_burst():
    row = knobs(rate=0.5, burst=5)
    assert granted(row, [0.0] * 9) == [0.0] * 5


def test_a_refused_user_may_try_again_an_emission_interval_later():
    row = knobs(rate=0.5, burst=5)
    assert granted(row, [*[0.0] * 5, 1.999, 2.0, 2.0, 4.0]) == [*[0.0] * 5, 2.0, 4.0]


def test_a_greedy_user_gets_the_burst_and_then_the_rate():
    assert len(granted(knobs(rate=0.5, burst=5), np.arange(0, 60.125, 0.125))) == 5 + math.floor(0.5 * 60)


def test_three_a_day_by_rate_limit_are_five_in_the_first_day():
    times = granted(knobs(rate=3 / DAY, burst=3), np.arange(0, 2 * DAY, 60.0))
    assert sum(t < DAY for t in times) == 5
    assert sum(DAY <= t < 2 * DAY for t in times) == 3


@given(
    gaps=st.lists(st.floats(0, 20), min_size=1, max_size=60),
    burst=st.integers(1, 6),
    rate=st.sampled_from([0.1, 0.5, 2.0]),
)
def test_no_window_holds_more_than_burst_plus_rate_times_its_length(gaps, burst, rate):
    times = granted(knobs(rate=rate, burst=burst), np.cumsum(gaps))
    for i in range(len(times)):
        for j in range(i, len(times)):
            assert j - i + 1 <= burst + rate * (times[j] - times[i]) + 1e-6


@given(gaps=st.lists(st.integers(0, 64), min_size=1, max_size=60), burst=st.integers(1, 6))
def test_the_rate_limit_is_a_token_bucket(gaps, burst):
    asked = np.cumsum(gaps) / 4.0
    tokens, last, times = float(burst), 0.0, []
    for t in asked:
        tokens, last = min(burst, tokens + 0.25 * (t - last)), t
        if tokens >= 1:
            tokens -= 1
            times.append(t)
    assert granted(knobs(rate=0.25, burst=burst), asked) == times


def test_a_rate_of_zero_refuses_everything():
    assert ask(knobs(rate=0.0), fresh_limiter()) == RATE_LIMITED


# Quotas: three requests a day, each kind asked every quarter of an hour for days.


def test_a_calendar_quota_gives_twice_itself_around_midnight():
    row = knobs(quota=3, window=DAY, kind=CALENDAR)
    times = granted(row, np.arange(23.0 * HOUR, 72 * HOUR, 900.0))
    assert times == [23 * HOUR + 900 * i for i in range(3)] + [d * DAY + 900 * i for d in (1, 2) for i in range(3)]
    assert most_in_a_window(times, DAY) == 6


def test_a_calendar_quota_resets_at_midnight_not_at_the_start_of_the_run():
    row = knobs(quota=1, window=DAY, kind=CALENDAR)
    assert granted(row, np.arange(0, 2 * DAY, 900.0), midnight=18 * HOUR) == [0.0, 6 * HOUR, 30 * HOUR]


def test_a_rolling_quota_runs_from_the_first_use():
    row = knobs(quota=3, window=DAY, kind=ROLLING)
    first = 5 * HOUR
    times = granted(row, np.arange(first, first + 2 * DAY, 900.0))
    assert times == [first + 900 * i for i in range(3)] + [first + DAY + 900 * i for i in range(3)]
    # After a pause the window opens at the next use, not on the old grid.
    assert granted(row, [0.0, 1.6 * DAY, 2.1 * DAY, 2.2 * DAY, 2.3 * DAY, 2.7 * DAY]) == [
        0.0,
        1.6 * DAY,
        2.1 * DAY,
        2.2 * DAY,
        2.7 * DAY,
    ]


def test_a_rolling_quota_can_give_twice_itself_in_a_window():
    row = knobs(quota=3, window=DAY, kind=ROLLING)
    times = granted(row, [0.0, DAY - 2, DAY - 1, DAY, DAY + 1, DAY + 2])
    assert most_in_a_window(times, DAY) == 5


def test_a_sliding_quota_gives_exactly_itself_in_any_window():
    row = knobs(quota=3, window=DAY, kind=SLIDING)
    times = granted(row, np.arange(0, 5 * DAY, 900.0))
    assert len(times) == 3 * 5
    assert most_in_a_window(times, DAY) == 3


@pytest.mark.parametrize("quota", [1, 3, SLIDING_SLOTS])
@given(gaps=st.lists(st.floats(0, 20_000), min_size=1, max_size=60))
def test_a_sliding_quota_is_a_log_of_uses(quota, gaps):
    asked, log = np.cumsum(gaps), []
    for t in asked:
        if sum(t - used < DAY for used in log) < quota:
            log.append(t)
    assert granted(knobs(quota=quota, window=DAY, kind=SLIDING), asked) == log


def test_a_sliding_counter_takes_the_window_before_as_spread_evenly():
    row = knobs(quota=3, window=DAY, kind=COUNTER)
    first = [0.9 * DAY] * 3
    assert granted(row, [*first, DAY]) == first  # 3 x 1 + 0 is not under 3
    assert granted(row, [*first, 1.5 * DAY, 1.5 * DAY, 1.5 * DAY]) == [*first, 1.5 * DAY, 1.5 * DAY]  # 1.5, 2.5, 3.5
    assert granted(row, [*first, *[2.0 * DAY] * 4]) == [*first, *[2.0 * DAY] * 3]  # forgotten


@given(gaps=st.lists(st.floats(0, 30_000), min_size=1, max_size=60), midnight=st.floats(0, DAY, exclude_max=True))
def test_a_sliding_counter_follows_its_equation(gaps, midnight):
    asked, uses, times = np.cumsum(gaps), {}, []
    for t in asked:
        day = math.floor((t + midnight) / DAY)
        elapsed = (t + midnight) / DAY - day
        if uses.get(day - 1, 0) * (1 - elapsed) + uses.get(day, 0) < 4:
            uses[day] = uses.get(day, 0) + 1
            times.append(t)
    assert granted(knobs(quota=4, window=DAY, kind=COUNTER), asked, midnight=midnight) == times


@pytest.mark.parametrize("kind", [CALENDAR, ROLLING, SLIDING, COUNTER])
def test_a_quota_of_nothing_refuses_everything(kind):
    assert ask(knobs(quota=0, window=DAY, kind=kind), fresh_limiter()) == OVER_QUOTA


# The order of the gateway.

CLOSED = {
    "open": (0.0, GATE),
    "rate": (0.0, RATE_LIMITED),
    "quota": (0.0, OVER_QUOTA),
    "concurrency": (0.0, TOO_MANY),
    "queue": (0.0, QUEUE_FULL),
    "wait": (0.0, WAIT_TOO_LONG),
    "shed": (1.0, SHED_AWAY),
}


def test_the_first_refusal_names_the_reason():
    names = list(CLOSED)
    for place, name in enumerate(names):
        row = knobs(**{later: CLOSED[later][0] for later in names[place:]})
        assert ask(row, fresh_limiter(), wait=1.0) == CLOSED[name][1]
    assert ask(knobs(), fresh_limiter(), wait=1e9, queued=10**9, in_flight=10**6) == GRANTED


@pytest.mark.parametrize("name", CLOSED)
def test_a_refusal_uses_up_nothing(name):
    limiter = fresh_limiter()
    row = knobs(rate=0.5, burst=5, quota=3, kind=SLIDING) if name not in ("rate", "quota") else knobs()
    row[KNOBS.index(name)] = CLOSED[name][0]
    assert ask(row, limiter, wait=1.0) == CLOSED[name][1]
    assert np.array_equal(limiter, fresh_limiter())


def test_a_grant_uses_up_both_rate_and_quota():
    limiter, row = fresh_limiter(), knobs(rate=1.0, burst=1, quota=2, window=DAY, kind=SLIDING)
    assert [ask(row, limiter, t) for t in (0.0, 0.5, 1.0, 2.0)] == [GRANTED, RATE_LIMITED, GRANTED, OVER_QUOTA]


def test_the_edges_of_every_bound():
    limiter = fresh_limiter()
    assert ask(knobs(open=0.5), limiter, lot=0.5) == GATE
    assert ask(knobs(open=0.5), limiter, lot=0.49) == GRANTED
    assert ask(knobs(open=1.0), limiter, lot=1 - 1e-16) == GRANTED
    assert ask(knobs(min_age=60), limiter, age=59.9) == GATE
    assert ask(knobs(min_age=60), limiter, age=60) == GRANTED
    assert ask(knobs(concurrency=1), limiter, in_flight=0) == GRANTED
    assert ask(knobs(concurrency=1), limiter, in_flight=1) == TOO_MANY
    assert ask(knobs(ration=3), limiter, granted=2) == GRANTED
    assert ask(knobs(ration=3), limiter, granted=3) == RATIONED
    assert ask(knobs(limit=5), limiter, inside=4) == GRANTED
    assert ask(knobs(limit=5), limiter, inside=5) == POOL_FULL
    assert ask(knobs(queue=5), limiter, queued=4) == GRANTED
    assert ask(knobs(queue=5), limiter, queued=5) == QUEUE_FULL
    assert ask(knobs(wait=30), limiter, wait=30) == GRANTED
    assert ask(knobs(wait=30), limiter, wait=30.1) == WAIT_TOO_LONG
    assert ask(knobs(shed=0.25), limiter, chance=0.25) == GRANTED
    assert ask(knobs(shed=0.25), limiter, chance=0.24) == SHED_AWAY


# Chance.

LAWS = {
    UNIFORM: ((10.0, 30.0), stats.uniform(10, 20)),
    EXPONENTIAL: ((7.0, 0.0), stats.expon(scale=7)),
    LOGNORMAL: ((49.0, 1.18), stats.lognorm(1.18, scale=49)),
    WEIBULL: ((30.0, 0.7), stats.weibull_min(0.7, scale=30)),
}


@pytest.mark.parametrize("kind", LAWS)
def test_a_time_has_the_distribution_it_names(kind):
    parameters, law = LAWS[kind]
    values = np.array([sample(kind, *parameters, 1, 6, i, 0) for i in range(N)])
    z = (values.mean() - law.mean()) / (law.std() / math.sqrt(N))
    assert abs(z) < 3.5
    for p in (0.1, 0.5, 0.9):
        assert abs((values <= law.ppf(p)).mean() - p) / math.sqrt(p * (1 - p) / N) < 3.5
    assert stats.kstest(values, law.cdf).pvalue > 0.0005


def test_a_constant_is_constant_and_never_is_never():
    assert sample(CONSTANT, 5.0, 0.0, 1, 6, 0, 0) == 5
    assert sample(NEVER, math.inf, 0.0, 1, 6, 0, 0) == math.inf


def test_noise_has_mean_one_and_the_spread_it_says():
    for cv in (0.05, 0.5):
        sigma = math.sqrt(math.log1p(cv**2))
        values = np.array([noise(LOGNORMAL_NOISE, sigma, np.ones(1), 1, 10, i, 0) for i in range(N)])
        assert abs(values.mean() - 1) / (cv / math.sqrt(N)) < 3.5
        assert abs(np.log(values).std() / sigma - 1) * math.sqrt(2 * N) < 3.5
    values = np.array([noise(EXPONENTIAL_NOISE, 0.0, np.ones(1), 1, 10, i, 0) for i in range(N)])
    assert abs(values.mean() - 1) * math.sqrt(N) < 3.5
    assert noise(NO_NOISE, 0.5, np.ones(1), 1, 10, 0, 0) == 1


@settings(max_examples=50)
@given(lot=st.floats(0, 1, exclude_min=True, exclude_max=True), small=st.floats(0, 1), more=st.floats(0, 1))
def test_a_rollout_is_nested(lot, small, more):
    """Whoever is in the first part is in the larger one too."""
    large = max(small, more)
    if ask(knobs(open=small), fresh_limiter(), lot=lot) == GRANTED:
        assert ask(knobs(open=large), fresh_limiter(), lot=lot) == GRANTED


def test_a_pool_is_full_at_its_limit_and_shedding_may_be_for_good():
    assert ask(knobs(limit=5), fresh_limiter(), inside=4) == GRANTED
    assert ask(knobs(limit=5), fresh_limiter(), inside=5) == POOL_FULL
    assert ask(knobs(shed=0.6), fresh_limiter(), chance=0.5) == SHED_AWAY
    assert ask(knobs(shed=0.6, final=1), fresh_limiter(), chance=0.5) == SHED_FOR_GOOD


def test_a_user_is_shed_or_not_for_as_long_as_the_draw_holds():
    """Half of the requests are shed; a user has one draw for 60 s, or one per request where it holds for no time."""
    draws = np.array([[shed_draw(0.5, 60.0, now, 1, user, now) for now in range(0, 180, 15)] for user in range(400)])
    first, second = draws[:, 0], draws[:, 4]
    assert (draws == np.repeat(draws[:, ::4], 4, axis=1)).all()
    for shed in (first < 0.5, second < 0.5, (first < 0.5) == (second < 0.5)):
        assert abs(shed.mean() - 0.5) / (0.5 / math.sqrt(len(shed))) < 3.5
    assert len({shed_draw(0.5, 0.0, 0, 1, user, k) for user in range(20) for k in range(20)}) == 400


def test_expiry_counts_the_service_as_waited_only_with_foresight():
    for foresight, waited, gone in ((0, 60.0, False), (0, 60.1, True), (1, 56.0, False), (1, 56.1, True)):
        assert dropped(np.array([0, 60.0, foresight, 0, 1, 10]), fresh_codel(), waited, 4.0, 9, 0.0) is gone


def test_folly_drops_as_its_own_unit_test_says():
    """CodelTest.Basic: target 5 ms, interval 100 ms; steps in ms from one interval after the start, delays in ms."""
    state, now, found = fresh_codel(), 0.1, []
    for step, delays in ((110, [100]), (90, [50, 50]), (110, [2]), (90, [20])):
        now += step / 1000
        found += [folly_drops(state, 0.005, 0.1, delay / 1000, now) for delay in delays]
    assert found == [False, False, True, False, True]


def test_folly_drops_in_overload_only_what_has_waited_for_more_than_twice_the_target():
    """slough_timeout() of folly/executors/Codel.cpp is twice the target."""
    for waited, drops in ((1.5, False), (1.99, False), (2.01, True)):
        state = fresh_codel()
        assert not any(folly_drops(state, 1.0, 10.0, 5.0, now) for now in (0.5, 1.0)), "the first of an interval"
        assert folly_drops(state, 1.0, 10.0, waited, 1.5) == drops


def test_codel_lets_a_short_burst_pass_and_drops_ever_faster_while_a_queue_stands():
    state = fresh_codel()
    assert not any(codel_drops(state, 1.0, 10.0, 5.0, 9, t) for t in np.arange(0.0, 10.0, 0.5)), "not for an interval"
    assert not codel_drops(state, 1.0, 10.0, 0.5, 9, 10.0), "the burst is over"
    state, times = fresh_codel(), np.arange(0.0, 60.0, 0.01)
    drops = times[[codel_drops(state, 1.0, 10.0, 5.0, 9, t) for t in times]]
    gaps = np.diff(drops)
    assert drops[0] == pytest.approx(10.01), "the first request seen after an interval above the target"
    # The control law: after the first drop the n-th follows interval / sqrt(n) later.
    assert gaps[:6] == pytest.approx(10.0 / np.sqrt(np.arange(1, 7)), abs=0.03)


def test_codel_drops_nothing_where_only_one_waits():
    state = fresh_codel()
    assert not any(codel_drops(state, 1.0, 10.0, 99.0, 0, t) for t in np.arange(0.0, 100.0, 0.5))
