"""The scalar rules of requests that are in the service as a run begins: their order, and what is left of their times.

People who are there ask within the first millisecond, the one who has waited longest first. So a queue keeps its order,
and the instant of asking says how long they have waited.
"""

import math

from sim.model.chance import (
    CONSTANT,
    EXPONENTIAL,
    EXPONENTIAL_NOISE,
    GAMMA_NOISE,
    LOGNORMAL,
    LOGNORMAL_NOISE,
    NEVER,
    NO_NOISE,
    UNIFORM,
    UNIFORM_NOISE,
    WEIBULL_NOISE,
    gamma_quantile,
    quantile,
)
from sim.model.jit import njit
from sim.model.streams import REST, SERVICE, draw, normal, standard_normal

QUEUED, IN_SERVICE = 1, 2  # what a person is doing as the run begins; 0: they are not there
FIRST = 1e-3  # s: the instant at which those ask who have not waited at all


@njit
def waited(asked):  # type: ignore[no-untyped-def]
    """Seconds that a person had waited when the run began who asks at this instant: FIRST / (1 + waited)."""
    return FIRST / asked - 1.0


@njit
def patience_left(kind, a, b, u, age):  # type: ignore[no-untyped-def]
    """The rest of a patience of this law, given that it is longer than `age` seconds: its quantile at u."""
    if kind in (NEVER, EXPONENTIAL) or age <= 0.0:
        return quantile(kind, a, b, u)
    if kind == CONSTANT:
        return max(a - age, 0.0)
    if kind == UNIFORM:
        return (b - max(a, age)) * u + max(a - age, 0.0) if age < b else 0.0
    if kind == LOGNORMAL:
        longer = 0.5 * math.erfc(math.log(age / a) / b / math.sqrt(2.0)) if b > 0.0 else 0.0
        return max(a * math.exp(b * -standard_normal(longer * u)) - age, 0.0) if longer * u > 1e-300 else 0.0
    return max(a * ((age / a) ** b - math.log(u)) ** (1.0 / b) - age, 0.0)  # Weibull


@njit
def rest_of_noise(kind, shape, factors, seed, key, k):  # type: ignore[no-untyped-def]
    """What is left of a service that is under way at a random instant, as a factor on its measured seconds.

    A uniform part of a length-biased service (the equilibrium law of renewal theory): its density is that of `noise`
    times the value. Of a lognormal law the mean of the logarithm is sigma^2 higher, the shape of a gamma law is 1 more,
    and what is left of an exponential one is exponential. shape, factors: see `noise`.
    """
    u = draw(seed, REST, key, k)
    if kind == NO_NOISE:
        return u
    if kind == EXPONENTIAL_NOISE:
        return -math.log(u)
    if kind == LOGNORMAL_NOISE:
        return u * math.exp(shape * normal(seed, SERVICE, key, k) + 0.5 * shape * shape)
    v = draw(seed, SERVICE, key, k)
    if kind == UNIFORM_NOISE:
        return u * math.sqrt((1.0 - shape) ** 2 + 4.0 * shape * v)
    if kind == GAMMA_NOISE:
        return u * gamma_quantile(shape + 1.0, v) / shape
    if kind == WEIBULL_NOISE:
        power = 1.0 / shape
        return u * gamma_quantile(1.0 + power, v) ** power * math.exp(-math.lgamma(1.0 + power))
    return u * by_length(factors, int(shape), v)


@njit
def by_length(factors, number, v):  # type: ignore[no-untyped-def]
    """One of the first `number` factors, whose mean is 1, each as likely as it is long; v: uniform in (0, 1)."""
    left = v * number
    for place in range(number):
        left -= factors[place]
        if left < 0.0:
            return factors[place]
    return factors[number - 1]


@njit
def rest_of_passes(passes, whole, geometric, seed, key, k):  # type: ignore[no-untyped-def]
    """What is left of a request's passes at a random instant: a uniform part; all where their law has no memory."""
    if geometric:
        return passes
    left = draw(seed, REST, key, k) * passes
    return float(math.ceil(left)) if whole else left
