"""Random numbers by name: draw(seed, stream, entity, k) is the same wherever and whenever it is asked for.

The generator is Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011):
a counter put through ten rounds of multiplication under a key. Here the key is the seed, and the counter holds the
entity (a user, say), the stream (what the number is for) and k (the how-manieth). No draw depends on the order of
events, so every policy meets the same people, on any engine and any number of processes.
"""

import math

import numpy as np

from sim.jit import njit

# What a number is for. A value is part of every result: never renumber, only append.
SIGNUP, TIER, COUNT, RETURN, RETURN_TIME, FEATURE, THINK, PATIENCE = range(8)
RETRY, BACKOFF, SERVICE, SHED, ROLLOUT, CHURN, WAITLIST, SPEED, LOAD = range(8, 17)
BURST, FIT, SERVEGEN, REGION, ACTIVITY, BREAK, LIFE, IMAGES, SHARE, INVITED, INVITATION, CONVERT = range(17, 29)
REGENERATE, ACCOUNT, OPENING, CLIENT, COPY, PAUSE, HAWKES, CHECK = range(29, 37)

MASK = 0xFFFFFFFF
TWO_TO_MINUS_53 = 1.0 / 9007199254740992.0


@njit
def philox(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """Philox4x32-10: four 32-bit words for a 128-bit counter and a 64-bit key (all given as 32-bit words in uint64)."""
    mask = np.uint64(MASK)
    half = np.uint64(32)
    for _ in range(10):
        a = np.uint64(0xD2511F53) * c0
        b = np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (b >> half) ^ c1 ^ k0, b & mask, (a >> half) ^ c3 ^ k1, a & mask
        k0 = (k0 + np.uint64(0x9E3779B9)) & mask
        k1 = (k1 + np.uint64(0xBB67AE85)) & mask
    return c0, c1, c2, c3


@njit
def pair(seed, stream, entity, k):  # type: ignore[no-untyped-def]
    """Two independent uniforms in (0, 1), of 53 bits each, for one (seed, stream, entity, k); integers all."""
    mask = np.uint64(MASK)
    half = np.uint64(32)
    key, who = np.uint64(seed), np.uint64(entity)
    w0, w1, w2, w3 = philox(
        who & mask, who >> half, np.uint64(stream) & mask, np.uint64(k) & mask, key & mask, key >> half
    )
    # 26 + 27 bits, and half a step up so that neither 0 nor 1 can come out and logarithms are safe.
    first = (float(w0 >> np.uint64(6)) * 134217728.0 + float(w1 >> np.uint64(5)) + 0.5) * TWO_TO_MINUS_53
    second = (float(w2 >> np.uint64(6)) * 134217728.0 + float(w3 >> np.uint64(5)) + 0.5) * TWO_TO_MINUS_53
    return min(first, 1.0 - TWO_TO_MINUS_53), min(second, 1.0 - TWO_TO_MINUS_53)


@njit
def draw(seed, stream, entity, k):  # type: ignore[no-untyped-def]
    """A uniform in (0, 1) for one (seed, stream, entity, k)."""
    return pair(seed, stream, entity, k)[0]


@njit
def offspring(seed, stream, entity, k):  # type: ignore[no-untyped-def]
    """The key of somebody whom (stream, entity, k) brings into the world: 62 random bits, above every given key."""
    mask = np.uint64(MASK)
    half = np.uint64(32)
    key, who = np.uint64(seed), np.uint64(entity)
    w0, w1, _, _ = philox(
        who & mask, who >> half, np.uint64(stream) & mask, np.uint64(k) & mask, key & mask, key >> half
    )
    return np.int64((w0 << np.uint64(30)) | (w1 & np.uint64(0x3FFFFFFF)) | np.uint64(1 << 62))


@njit
def draws(seed, stream, entities, k):  # type: ignore[no-untyped-def]
    """draw() for an array of entities at one k: float64, of the same length."""
    out = np.empty(len(entities))
    for i in range(len(entities)):
        out[i] = draw(seed, stream, entities[i], k)
    return out


@njit
def series(seed, stream, entity, first, n):  # type: ignore[no-untyped-def]
    """draw() for one entity at k = first, first + 1, ...: float64 of length n.

    k has 32 bits; what is above them is carried into the entity's upper half, so a series may be longer than 2^32.
    """
    out = np.empty(n)
    for i in range(n):
        k = np.int64(first) + i
        out[i] = draw(seed, stream, np.int64(entity) + ((k >> 32) << 32), k & np.int64(MASK))
    return out


@njit
def normal(seed, stream, entity, k):  # type: ignore[no-untyped-def]
    """A standard normal for one (seed, stream, entity, k): Box and Muller on the two uniforms of one Philox call."""
    u, v = pair(seed, stream, entity, k)
    return math.sqrt(-2.0 * math.log(u)) * math.cos(2.0 * math.pi * v)
