"""The arrivals of MLPerf's load generator in its Server scenario, to the nanosecond, from the seed in a log."""

import numpy as np
from numpy.typing import NDArray

CHUNK = 65_536  # gaps drawn at a time


def loadgen_arrivals(seed: int, qps: float, min_duration_ns: int, min_queries: int) -> tuple[NDArray[np.int64], int]:
    """The instant of each query, int64 (n,), nanoseconds from the first; and that of one more.

    After loadgen/loadgen.cc of mlcommons/inference: the first query at 0, then exponential gaps of rate `qps`, each cut
    to whole nanoseconds, until a query at or after `min_duration_ns` that is at least the `min_queries`-th. The second
    number is what the generator's log calls generated_query_duration.
    """
    twister = loadgen_generator(seed)
    instants = np.zeros(1, dtype=np.int64)
    while True:
        over = (instants[:-1] >= min_duration_ns) & (np.arange(1, len(instants)) >= min_queries)
        if over.any():
            last = int(np.argmax(over))
            return instants[: last + 1], int(instants[last + 1])
        later = instants[-1] + np.cumsum(gaps_ns(twister, qps, CHUNK))
        instants = np.concatenate([instants, later])


def loadgen_generator(seed: int) -> np.random.RandomState:
    """std::mt19937 of a seed of 64 bits: it takes the seed modulo 2^32."""
    return np.random.RandomState(seed % 2**32)  # newer generators seed the twister otherwise


def words_of_32_bits(twister: np.random.RandomState, n: int) -> NDArray[np.uint32]:
    """The next n numbers of 32 bits, as they come."""
    return twister.randint(0, 2**32, size=n, dtype=np.uint32)


def gaps_ns(twister: np.random.RandomState, qps: float, n: int) -> NDArray[np.int64]:
    """The next n exponential gaps as libstdc++ has them: a uniform u of two words, the lower first, and -log(1-u)."""
    low, high = words_of_32_bits(twister, 2 * n).reshape(n, 2).T.astype(np.float64)
    uniform = np.minimum((low + high * 2.0**32) / 2.0**64, np.nextafter(1.0, 0.0))
    return np.asarray(-np.log(1.0 - uniform) / qps * 1e9).astype(np.int64)
