"""The scalar rules of GPUs that run many requests at once: how long a pass takes, when the next one begins, who leaves.

Time on such a GPU is counted in passes, which all requests on it make together: of steps whole ones; where threads
share it, seconds of a thread that has it to itself, of which parts count too. Between two changes of who is there a
pass takes the same time, so nothing happens in between, however many passes there are.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.model.chance import noise
from sim.model.jit import njit
from sim.model.standing import rest_of_passes
from sim.model.streams import ATTEMPTS, LENGTH, SERVICE, draw, normal

Floats = NDArray[np.float64]
Integers = NDArray[np.integer[Any]]

FIXED, GEOMETRIC, LOGNORMAL = range(3)
LENGTHS = {"fixed": FIXED, "geometric": GEOMETRIC, "lognormal": LOGNORMAL}  # by the names that a scenario has for them


@njit
def seconds_together(counts, table, size):  # type: ignore[no-untyped-def]
    """Seconds of what takes table[spec, size] where requests of one spec do it together: the mean over those there.

    counts: requests by spec; size: their images. Exact where the table is a cost for all and one for each image.
    """
    total, number = 0.0, 0
    for spec in range(len(counts)):
        if counts[spec] > 0:
            number += counts[spec]
            total += counts[spec] * table[spec, size]
    return total / number


@njit
def passes_at(passes, begun, each, whole, now):  # type: ignore[no-untyped-def]
    """The passes made when others may next join: now, or when the whole pass that is under way is over.

    passes: made at `begun`, which is later than now during an opening; each: seconds of one.
    """
    if now <= begun:
        return passes
    if not whole:
        return passes + (now - begun) / each
    more = math.ceil((now - begun) / each)
    return passes + (more if begun + more * each >= now else more + 1)


@njit
def time_of(due, passes, begun, each, now):  # type: ignore[no-untyped-def]
    """The instant at which `due` passes are made."""
    return max(begun + (due - passes) * each, now)


@njit
def steps_of(kind, sigma, mean, seed, key, ask):  # type: ignore[no-untyped-def]
    """The steps (tokens) of a request: the same for every attempt at one ask. mean: of the law, in steps."""
    if kind == FIXED or mean <= 1.0:
        return mean
    if kind == GEOMETRIC:
        return float(math.ceil(math.log(draw(seed, LENGTH, key, ask)) / math.log1p(-1.0 / mean)))
    factor = math.exp(sigma * normal(seed, LENGTH, key, ask) - 0.5 * sigma * sigma)
    return max(1.0, math.floor(mean * factor + 0.5))


@njit
def passes_needed(whole, passes, first, kind, sigma, noise_kind, noise_shape, factors, begun, seed, key, ask, attempt):  # type: ignore[no-untyped-def]
    """The passes that a request makes after its opening.

    passes: on average; first: steps that are made in the opening; begun: it was under way as the run began, and what is
    left of it counts. Threads, whose passes are seconds, have noise.
    """
    k = ask * ATTEMPTS + attempt
    if whole:
        needed = steps_of(kind, sigma, passes + first, seed, key, ask) - first
    else:
        needed = passes * noise(noise_kind, noise_shape, factors, seed, SERVICE, key, k)
        if kind == GEOMETRIC:
            needed = needed * -math.log(draw(seed, LENGTH, key, ask))
        elif kind == LOGNORMAL:
            needed = needed * math.exp(sigma * normal(seed, LENGTH, key, ask) - 0.5 * sigma * sigma)
    return rest_of_passes(needed, whole, kind == GEOMETRIC, seed, key, k) if begun else needed


@njit
def seconds_per_token(first, last, tokens):  # type: ignore[no-untyped-def]
    """Mean seconds from one token (step) of a request to the next (TPOT), of its instants; 0 where it makes but one."""
    return (last - first) / (tokens - 1.0) if tokens > 1.0 else 0.0


@njit
def lags(since, first, last, tokens, longest, longest_each):  # type: ignore[no-untyped-def]
    """Whether a request's first token, counted from `since`, or its time per token is later than it may be.

    Where no tokens are counted, `first` is nan, and nothing lags.
    """
    return first - since > longest or seconds_per_token(first, last, tokens) > longest_each


@njit
def comes_off_first(end, order, other_end, other_order):  # type: ignore[no-untyped-def]
    """Whether one request leaves a GPU before another: by passes at its end, then by when it joined."""
    return end < other_end or (end == other_end and order < other_order)


@njit
def together_on_average(lasted, share, images, most):  # type: ignore[no-untyped-def]
    """How many images a GPU ran while it ran a request: whose power it drew. lasted, share: seconds, GPU-seconds."""
    if not share > 0.0:
        return images
    return int(min(max(math.floor(lasted / share + 0.5) * images, images), most))


def each_together(lasted: Floats, share: Floats, images: Integers, most: Integers) -> NDArray[np.int64]:
    """The same for arrays of requests."""
    found = np.empty(len(lasted), dtype=np.int64)
    fill_together.direct(lasted, share, images, most, found)
    return found


@njit
def fill_together(lasted, share, images, most, found):  # type: ignore[no-untyped-def]
    for i in range(len(lasted)):
        found[i] = together_on_average(lasted[i], share[i], images[i], most[i])


@njit
def queue_beyond(queued, room):  # type: ignore[no-untyped-def]
    """The queue that a request meets, as for queue_ahead: without those for whom there is room at the next step."""
    return -1 if queued < room else queued - max(room, 0)
