"""Laws of chance from one uniform each: a normal is the inverse of its distribution, days of use have their chances."""

import math

import numpy as np
import pytest
from scipy import special, stats

from sim.demand.behaviour import BetaGeometric, PowerLaw
from sim.model.chance import (
    EXPONENTIAL,
    EXPONENTIAL_NOISE,
    LOGNORMAL,
    LOGNORMAL_NOISE,
    UNIFORM,
    WEIBULL,
    day_of_return,
    noise,
    quantile,
    weight_of_day,
)
from sim.model.streams import CHECK, SERVICE, draws, standard_normal

DAY = 86400.0
WEEK = np.array([1.2, 1.1, 1.0, 1.0, 1.0, 0.9, 0.8])  # from Monday
EVERY_DAY_ALIKE = np.ones(7)
N = 20_000


# A standard normal.


def relative_errors(shares: np.ndarray) -> np.ndarray:
    found, expected = np.array([standard_normal(u) for u in shares.tolist()]), special.ndtri(shares)
    return np.abs(found - expected) / np.abs(expected)


def test_a_normal_is_the_inverse_of_its_distribution_at_every_share():
    below = np.geomspace(1e-300, 0.499, 20_000)
    assert relative_errors(below).max() < 1e-14
    above = 1 - np.geomspace(1e-16, 0.499, 20_000)
    assert relative_errors(above).max() < 1e-14
    middle = np.concatenate([0.5 - np.geomspace(1e-15, 0.1, 2000), 0.5 + np.geomspace(1e-15, 0.1, 2000)])
    assert relative_errors(middle).max() < 1e-14


def test_a_normal_is_symmetric_and_grows_with_its_share():
    assert standard_normal(0.5) == 0
    shares = np.linspace(1e-6, 0.5, 5000)
    below, above = ([standard_normal(u) for u in part.tolist()] for part in (shares, 1 - shares))
    np.testing.assert_allclose(below, -np.array(above), rtol=1e-9)  # 1 - u is rounded, which is not its fault
    assert (np.diff(below) > 0).all()
    for border in (0.075, 0.925, math.exp(-25.0)):  # where one approximation takes over from another
        left, right = standard_normal(border * (1 - 1e-12)), standard_normal(border * (1 + 1e-12))
        assert 0 <= right - left < 1e-10


def test_the_smallest_and_largest_draws_are_finite():
    least, most = 0.5 / 2**53, 1 - 1 / 2**53
    assert standard_normal(least) == pytest.approx(special.ndtri(least), rel=1e-14)
    assert standard_normal(most) == pytest.approx(special.ndtri(most), rel=1e-14)


# The day of a return.


def comes(using, staying, u, *, fate=0.0, loyalty=1.0, week=None, day=0, since=0.0, local=0.0):
    flat, by_weekday = week is None, EVERY_DAY_ALIKE if week is None else week
    return day_of_return(using, staying, fate, loyalty, flat, by_weekday, since, day, local, u)


def chances(using, *, loyalty=1.0, week=None, since=0.0, local=0.0):
    """The chance of use on each day, as written down: never above 1."""
    by_weekday = EVERY_DAY_ALIKE if week is None else week
    weights = [weight_of_day(week is None, by_weekday, since, day, local) for day in range(len(using))]
    return np.minimum(using * loyalty * np.array(weights), 1.0)


@pytest.mark.parametrize("week", [None, WEEK], ids=["days alike", "weekdays"])
@pytest.mark.parametrize("loyalty", [1.0, 0.2, 5.0])
@pytest.mark.parametrize("after", [0, 3])
def test_a_return_is_on_a_day_with_its_chance_times_that_of_none_before(after, loyalty, week):
    """A day has a length in u: from the chance of an earlier return to that of one by then."""
    law, since, local = PowerLaw(kind="power law", at_one_day=0.6, decay=0.4), 7 * 3600.0, 2.3 * DAY
    using, staying = law.using(12), law.staying(12)
    chance = chances(using, loyalty=loyalty, week=week, since=since, local=local)
    none = np.cumprod(np.append(1.0, 1 - chance[after + 1 :]))
    names = {"loyalty": loyalty, "week": week, "day": after, "since": since, "local": local}
    for place, day in enumerate(range(after + 1, len(using))):
        begin, end = 1 - none[place], 1 - none[place + 1]
        if end - begin > 1e-9:
            inside = begin + (end - begin) * np.array([1e-6, 0.5, 1 - 1e-6])
            assert [comes(using, staying, u, **names) for u in inside] == [day] * 3
    if none[-1] > 1e-9:
        assert comes(using, staying, 1 - none[-1] / 2, **names) == len(using), "on none of these days"


def days_of_use(using, staying, *, fates=None, **names):
    """Of N people, the days on which each comes back: one draw for each return."""
    used = np.zeros((N, len(using) + 1), dtype=bool)
    lots = [draws(5, CHECK, np.arange(N), day) for day in range(len(using))]
    for person in range(N):
        day = 0
        while day < len(using):
            fate = 0.0 if fates is None else fates[person]
            day = comes(using, staying, lots[day][person], fate=fate, day=day, **names)
            used[person, day] = True
    return used[:, :-1]


def z_of_shares(counts, n, chance):
    spread = np.sqrt(n * chance * (1 - chance))
    return (counts - n * chance) / np.where(spread > 0, spread, 1.0)


@pytest.mark.parametrize("week", [None, WEEK], ids=["days alike", "weekdays"])
def test_each_day_is_used_with_its_chance_whatever_the_other_days(week):
    law = PowerLaw(kind="power law", at_one_day=0.5, decay=0.3)
    using = law.using(9)
    used, chance = days_of_use(using, law.staying(9), week=week), chances(using, week=week)
    assert np.abs(z_of_shares(used.sum(axis=0), N, chance)).max() < 3.5
    for one in range(1, 9):
        both = (used[:, one] & used[:, one + 1]).sum()
        assert abs(z_of_shares(both, N, chance[one] * chance[one + 1])) < 3.5


def test_who_leaves_for_good_is_gone_from_that_day_on():
    law = BetaGeometric(kind="beta geometric", a=1, b=2, use=0.7)
    using, staying = law.using(9), law.staying(9)
    fates = draws(6, CHECK, np.arange(N), 0)
    used = days_of_use(using, staying, fates=fates)
    assert not (used & (fates[:, None] >= staying)).any()
    assert np.abs(z_of_shares(used[:, 1:].sum(axis=0), N, 0.7 * staying[1:])).max() < 3.5
    here = fates < staying[5]
    assert abs(z_of_shares(used[here, 5].sum(), here.sum(), 0.7)) < 3.5


def test_nobody_comes_on_a_day_without_a_chance_and_everybody_on_a_certain_one():
    never, certain = np.zeros(5), np.array([0.0, 0.0, 1.0, 0.0, 1.0])
    stays = np.ones(5)
    for u in (1e-16, 0.5, 1 - 2**-53):
        assert comes(never, stays, u) == 5
        assert [comes(certain, stays, u, day=day) for day in range(5)] == [2, 2, 4, 4, 5]


@pytest.mark.parametrize(
    ("law", "same"),
    [
        ((UNIFORM, 2.0, 5.0), stats.uniform(2.0, 3.0)),
        ((EXPONENTIAL, 3.0, 0.0), stats.expon(scale=3.0)),
        ((LOGNORMAL, 2.0, 0.7), stats.lognorm(0.7, scale=2.0)),
        ((WEIBULL, 2.0, 0.7), stats.weibull_min(0.7, scale=2.0)),
    ],
    ids=["uniform", "exponential", "lognormal", "weibull"],
)
def test_quantiles_of_a_law_are_those_of_scipy(law, same):
    """Exponential and Weibull take the share above the value, the others that below it."""
    for share in (0.001, 0.2, 0.5, 0.9, 0.999):
        above = law[0] in (EXPONENTIAL, WEIBULL)
        assert quantile(*law, share) == pytest.approx(same.isf(share) if above else same.ppf(share), rel=1e-9)


@pytest.mark.parametrize("kind", [LOGNORMAL_NOISE, EXPONENTIAL_NOISE])
def test_noise_does_not_change_the_mean_of_service_times(kind):
    sigma, n = 0.8, 40_000
    factors = np.array([noise(kind, sigma, np.ones(1), 1, SERVICE, key, 0) for key in range(n)])
    assert abs(factors.mean() - 1.0) < 3.5 * factors.std(ddof=1) / np.sqrt(n)
