"""The scalar rules of chance: times, counts and noise from keyed draws."""

import math

import numpy as np

from sim.model.jit import njit
from sim.model.streams import draw, normal, standard_normal

# Distributions of time, by inversion of one uniform.
NEVER, CONSTANT, UNIFORM, EXPONENTIAL, LOGNORMAL, WEIBULL = range(6)


@njit
def quantile(kind, a, b, u):  # type: ignore[no-untyped-def]
    """The quantile of a law at u.

    constant a; uniform a to b; exponential of mean a; lognormal of median a, sigma b; Weibull of scale a, shape b.
    Exponential and Weibull take the share above it: the logarithm is exact where they are long.
    """
    if kind == NEVER:
        return np.inf
    if kind == CONSTANT:
        return a
    if kind == UNIFORM:
        return a + (b - a) * u
    if kind == LOGNORMAL:
        return a * math.exp(b * standard_normal(u))
    if kind == EXPONENTIAL:
        return -a * math.log(u)
    return a * (-math.log(u)) ** (1.0 / b)


@njit
def sample(kind, a, b, seed, stream, entity, k):  # type: ignore[no-untyped-def]
    """One keyed value of a law."""
    if kind <= CONSTANT:
        return quantile(kind, a, b, 0.5)
    return quantile(kind, a, b, draw(seed, stream, entity, k))


NO_NOISE, LOGNORMAL_NOISE, EXPONENTIAL_NOISE, UNIFORM_NOISE, GAMMA_NOISE, WEIBULL_NOISE, EMPIRICAL_NOISE = range(7)
NOISES = {  # by the names that a scenario has for them
    "none": NO_NOISE,
    "lognormal": LOGNORMAL_NOISE,
    "as measured": LOGNORMAL_NOISE,
    "exponential": EXPONENTIAL_NOISE,
    "uniform": UNIFORM_NOISE,
    "gamma": GAMMA_NOISE,
    "weibull": WEIBULL_NOISE,
    "empirical": EMPIRICAL_NOISE,
}


@njit
def noise(kind, shape, factors, seed, stream, entity, k):  # type: ignore[no-untyped-def]
    """The factor on a batch's measured seconds: 1, or of mean 1 by some law.

    shape: sigma of the lognormal, half the width of the uniform, shape of the gamma or the Weibull, or how many of
    `factors` the empirical law draws from.
    """
    if kind == NO_NOISE:
        return 1.0
    if kind == LOGNORMAL_NOISE:
        return math.exp(shape * normal(seed, stream, entity, k) - 0.5 * shape * shape)
    u = draw(seed, stream, entity, k)
    if kind == EXPONENTIAL_NOISE:
        return -math.log(u)
    if kind == UNIFORM_NOISE:
        return 1.0 + shape * (2.0 * u - 1.0)
    if kind == GAMMA_NOISE:
        return gamma_quantile(shape, u) / shape
    if kind == WEIBULL_NOISE:
        return (-math.log(u)) ** (1.0 / shape) * math.exp(-math.lgamma(1.0 + 1.0 / shape))
    return factors[int(u * shape)]


@njit
def log_of_gamma_cdf(a, x):  # type: ignore[no-untyped-def]
    """The logarithm of the distribution function of the gamma law of shape a and scale 1, for x > 0.

    Below a + 1 by its power series, above by Lentz's continued fraction of the other side (DLMF 8.7.1 and 8.9.2).
    """
    front = a * math.log(x) - x - math.lgamma(a)
    if x < a + 1.0:
        term, total, n = 1.0 / a, 1.0 / a, a
        while term > 1e-17 * total:
            n += 1.0
            term *= x / n
            total += term
        return front + math.log(total)
    b = x + 1.0 - a
    c, d = 1e300, 1.0 / b
    fraction = d
    for i in range(1, 10_000):
        step = -i * (i - a)
        b += 2.0
        d = 1.0 / (step * d + b)
        c = b + step / c
        fraction *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return math.log1p(-min(math.exp(front) * fraction, 1.0 - 1e-16))


@njit
def gamma_quantile(a, u):  # type: ignore[no-untyped-def]
    """The quantile of the gamma law of shape a and scale 1, by Newton's method on logarithms.

    There the distribution function is concave, so that every step after the first comes from below and none goes too
    far. It begins with the cube of a normal (Wilson and Hilferty 1931), or, for small shapes, with the first term of
    the series.
    """
    y = (math.log(u) + math.lgamma(a + 1.0)) / a
    if a >= 1.0:
        y = max(
            y,
            math.log(a) + 3.0 * math.log(max(1.0 - 1.0 / (9.0 * a) + standard_normal(u) / (3.0 * math.sqrt(a)), 1e-3)),
        )
    for _ in range(200):
        x = math.exp(y)
        below = log_of_gamma_cdf(a, x)
        step = (math.log(u) - below) / math.exp(a * y - x - math.lgamma(a) - below)
        y += step
        if abs(step) < 1e-14:
            break
    return math.exp(y)


FIXED, NEGATIVE_BINOMIAL = range(2)


@njit
def count_of(kind, mean, r, at_most, activity, u):  # type: ignore[no-untyped-def]
    """The number of requests that a person of this activity (mean 1) wants on a day of use, 1 to at_most; u: uniform.

    fixed: mean, whatever the activity; negative binomial: 1 + one of mean (mean - 1) activity and dispersion r.
    """
    if kind == FIXED:
        return int(mean)
    extra = (mean - 1.0) * activity
    chance = (r / (r + extra)) ** r
    below, more = chance, 0
    while u >= below and more < at_most - 1:
        chance *= (r + more) / (more + 1.0) * (extra / (r + extra))
        more += 1
        below += chance
    return more + 1


@njit
def poisson_of(mean, u):  # type: ignore[no-untyped-def]
    """A Poisson count of a mean of at most 100, from one uniform u, by inversion."""
    chance = math.exp(-mean)
    below, count = chance, 0
    while u >= below and count < 1000:
        count += 1
        chance *= mean / count
        below += chance
    return count


@njit
def character(sigma, heavy, times, loyalty, seed, stream, entity):  # type: ignore[no-untyped-def]
    """A person's activity, and the factor on their chance of coming back; both of mean 1 over people."""
    activity, returning = 1.0, 1.0
    if sigma > 0.0:
        z = normal(seed, stream, entity, 0)
        activity = math.exp(sigma * z - 0.5 * sigma * sigma)
        returning = math.exp(loyalty * sigma * z - 0.5 * (loyalty * sigma) ** 2)
    if heavy > 0.0:
        factor = times if draw(seed, stream, entity, 1) < heavy else 1.0
        activity *= factor / (1.0 + heavy * (times - 1.0))
        returning *= factor**loyalty / (1.0 + heavy * (times**loyalty - 1.0))
    return activity, returning


DAY = 86400.0  # seconds


@njit
def place_of(bounds, u):  # type: ignore[no-untyped-def]
    """The piece of [0, 1) that u falls into, given the inner bounds, ascending."""
    place = 0
    while place < len(bounds) and bounds[place] <= u:
        place += 1
    return place


@njit
def midnight_of(since, day, local):  # type: ignore[no-untyped-def]
    """The local midnight of the day that is `day` days after `since`; local: the local time at instant 0."""
    return (math.floor((since + local) / DAY) + day) * DAY - local


@njit
def weight_of_day(flat, by_weekday, since, day, local):  # type: ignore[no-untyped-def]
    """The factor on the chance of coming back `day` days after `since`; by_weekday from Monday."""
    if flat:
        return 1.0
    return by_weekday[round((midnight_of(since, day, local) + local) / DAY) % 7]


@njit
def hour_of_return(flat, quantiles, since, day, local, u):  # type: ignore[no-untyped-def]
    """The instant, `day` days after `since`, at which a person comes back: at any hour (flat), or by local habits.

    quantiles: local seconds since midnight, at evenly spaced probabilities.
    """
    if flat:
        return since + (day - 0.5 + u) * DAY
    rank = u * (len(quantiles) - 1)
    below = min(int(rank), len(quantiles) - 2)
    low, high = quantiles[below], quantiles[below + 1]
    return midnight_of(since, day, local) + low + (rank - below) * (high - low)


@njit
def day_of_return(using, staying, fate, loyalty, flat, by_weekday, since, day, local, u):  # type: ignore[no-untyped-def]
    """The day, counted from the first, on which a person comes back after `day`; len(using) if on none of them.

    using: the chance of use by day; staying: the share of people not gone for good by then: a person has gone once
    it is not above their fate, in (0, 1). One uniform u decides for all days: the person comes back on the first on
    which 1 - (1 - p) (1 - p) ... exceeds it.
    """
    away = 1.0
    for later in range(day + 1, len(using)):
        if fate >= staying[later]:
            break
        chance = using[later] * loyalty * weight_of_day(flat, by_weekday, since, later, local)
        away *= 1.0 - min(chance, 1.0)
        if u < 1.0 - away:
            return later
    return len(using)
