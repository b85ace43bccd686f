"""Random numbers by name: draw(seed, stream, entity, k) is the same wherever and whenever it is called.

The generator is Philox2x64-7 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a
counter put through seven rounds of multiplication under a key, one more than it needs to pass all tests of BigCrush.
Here the key is the seed, and the counter holds the entity (a user, say) in one word, and in the other the stream (what
the number is for) and k (the index of the draw). No draw depends on the order of events, so every policy meets the same
people, on any engine and any number of processes.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.model.jit import njit
from sim.model.wide_products import upper_half

# Streams: the purpose of a number. The values are part of every result: never renumber, only append.
SIGNUP, TIER, COUNT, RETURN, RETURN_TIME, FEATURE, THINK, PATIENCE = range(8)
RETRY, BACKOFF, SERVICE, SHED, ROLLOUT, CHURN, WAITLIST, SPEED, LOAD = range(8, 17)
BURST, FIT, SERVEGEN, REGION, ACTIVITY, BREAK, LIFE, IMAGES, SHARE, INVITED, INVITATION, CONVERT = range(17, 29)
REGENERATE, ACCOUNT, OPENING, CLIENT, COPY, PAUSE, HAWKES, CHECK, SAMPLE, CELL = range(29, 39)
CLASS, MIX, DEAL, FAILURE, FUTURE, LENGTH, KILLED, SPILL, REST, DISPATCH = range(39, 49)

SOURCE_SHIFT = 40  # a person's entity is their number in their source, which has room for 2^40, and above it the source

# How the k of a draw is put together.
ATTEMPTS = 1024  # of one ask: attempt `a` at ask `n` has k = n * ATTEMPTS + a
METERS = 1024  # of one account: meter `m` of a user's n-th further account has k = m + METERS * n

MASK = 0xFFFFFFFF
TWO_TO_MINUS_52 = 1.0 / 4503599627370496.0


@njit
def philox(c0, c1, key):  # type: ignore[no-untyped-def]
    """Philox2x64-7: two 64-bit words for a counter of two words and a key of one (all uint64)."""
    for _ in range(7):
        a, b = upper_half(np.uint64(0xD2B74407B1CE6E93), c0), np.uint64(0xD2B74407B1CE6E93) * c0
        c0, c1 = a ^ key ^ c1, b
        key += np.uint64(0x9E3779B97F4A7C15)
    return c0, c1


@njit
def words_of(seed, stream, entity, k):  # type: ignore[no-untyped-def]
    """The two random words for one (seed, stream, entity, k); integers all."""
    purpose = (np.uint64(stream) << np.uint64(32)) | (np.uint64(k) & np.uint64(MASK))
    return philox(np.uint64(entity), purpose, np.uint64(seed))


@njit
def uniform(word):  # type: ignore[no-untyped-def]
    """A uniform of 52 bits in (0, 1): half a step up, so that neither 0 nor 1 comes out and logarithms are safe."""
    return (float(np.int64(word >> np.uint64(12))) + 0.5) * TWO_TO_MINUS_52


@njit
def pair(seed, stream, entity, k):  # type: ignore[no-untyped-def]
    """Two independent uniforms in (0, 1), of 52 bits each, for one (seed, stream, entity, k); integers all."""
    first, second = words_of(seed, stream, entity, k)
    return uniform(first), uniform(second)


@njit
def draw(seed, stream, entity, k):  # type: ignore[no-untyped-def]
    """A uniform in (0, 1) for one (seed, stream, entity, k)."""
    return pair(seed, stream, entity, k)[0]


@njit
def offspring(seed, stream, entity, k):  # type: ignore[no-untyped-def]
    """The key of a person invited by (stream, entity, k): 62 random bits, above all keys of people known beforehand."""
    word, _ = words_of(seed, stream, entity, k)
    return np.int64((word >> np.uint64(2)) | np.uint64(1 << 62))


def draws(seed: int, stream: int, entities: NDArray[np.integer[Any]], k: int) -> NDArray[np.float64]:
    """draw() for an array of entities at one k: float64, of the same length."""
    out = np.empty(len(entities))
    fill_draws.direct(seed, stream, entities, k, out)
    return out


@njit
def fill_draws(seed, stream, entities, k, out):  # type: ignore[no-untyped-def]
    for i in range(len(entities)):
        out[i] = draw(seed, stream, entities[i], k)


def series(seed: int, stream: int, entity: int, first: int, n: int) -> NDArray[np.float64]:
    """draw() for one entity at k = first, first + 1, ...: float64 of length n.

    k has 32 bits; what is above them is carried into the entity's upper half, so a series may be longer than 2^32.
    """
    out = np.empty(n)
    fill_series.direct(seed, stream, entity, first, out)
    return out


@njit
def fill_series(seed, stream, entity, first, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        k = np.int64(first) + i
        out[i] = draw(seed, stream, np.int64(entity) + ((k >> 32) << 32), k & np.int64(MASK))


@njit
def polynomial(x, a, b, c, d, e, f, g, h):  # type: ignore[no-untyped-def]
    """a + b x + ... + h x^7 by Estrin's scheme, in which the pairs do not wait for one another as in Horner's."""
    square = x * x
    return ((h * x + g) * square + (f * x + e)) * (square * square) + ((d * x + c) * square + (b * x + a))


@njit
def standard_normal(u):  # type: ignore[no-untyped-def]
    """The quantile of the standard normal at u in (0, 1) (Wichura 1988, AS 241, PPND16: 16 figures)."""
    q = u - 0.5
    if abs(q) <= 0.425:
        return q * middle_of_normal(0.180625 - q * q)
    r = math.sqrt(-math.log(u if q < 0.0 else 1.0 - u))
    tail = side_of_normal(r - 1.6) if r <= 5.0 else end_of_normal(r - 5.0)
    return -tail if q < 0.0 else tail


@njit
def middle_of_normal(r):  # type: ignore[no-untyped-def]
    return polynomial(
        r,
        3.3871328727963666080,
        1.3314166789178437745e2,
        1.9715909503065514427e3,
        1.3731693765509461125e4,
        4.5921953931549871457e4,
        6.7265770927008700853e4,
        3.3430575583588128105e4,
        2.5090809287301226727e3,
    ) / polynomial(
        r,
        1.0,
        4.2313330701600911252e1,
        6.8718700749205790830e2,
        5.3941960214247511077e3,
        2.1213794301586595867e4,
        3.9307895800092710610e4,
        2.8729085735721942674e4,
        5.2264952788528545610e3,
    )


@njit
def side_of_normal(r):  # type: ignore[no-untyped-def]
    return polynomial(
        r,
        1.42343711074968357734,
        4.63033784615654529590,
        5.76949722146069140550,
        3.64784832476320460504,
        1.27045825245236838258,
        2.41780725177450611770e-1,
        2.27238449892691845833e-2,
        7.74545014278341407640e-4,
    ) / polynomial(
        r,
        1.0,
        2.05319162663775882187,
        1.67638483018380384940,
        6.89767334985100004550e-1,
        1.48103976427480074590e-1,
        1.51986665636164571966e-2,
        5.47593808499534494600e-4,
        1.05075007164441684324e-9,
    )


@njit
def end_of_normal(r):  # type: ignore[no-untyped-def]
    return polynomial(
        r,
        6.65790464350110377720,
        5.46378491116411436990,
        1.78482653991729133580,
        2.96560571828504891230e-1,
        2.65321895265761230930e-2,
        1.24266094738807843860e-3,
        2.71155556874348757815e-5,
        2.01033439929228813265e-7,
    ) / polynomial(
        r,
        1.0,
        5.99832206555887937690e-1,
        1.36929880922735805310e-1,
        1.48753612908506148525e-2,
        7.86869131145613259100e-4,
        1.84631831751005468180e-5,
        1.42151175831644588870e-7,
        2.04426310338993978564e-15,
    )


@njit
def normal(seed, stream, entity, k):  # type: ignore[no-untyped-def]
    """A standard normal for one (seed, stream, entity, k), by inversion."""
    return standard_normal(draw(seed, stream, entity, k))
