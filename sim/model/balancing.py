"""The scalar rules of dispatch in a pool whose GPUs have a queue each: which of them a request joins when it comes."""

import math

import numpy as np

from sim.model.jit import njit
from sim.model.streams import DISPATCH, draw, pair

CENTRAL, RANDOM, ROUND_ROBIN, TWO_CHOICES, LEAST_REQUESTS, LEAST_WORK, HASH = range(7)
DISPATCHES = {  # by the names that a scenario has for them
    "central queue": CENTRAL,
    "random": RANDOM,
    "round robin": ROUND_ROBIN,
    "two choices": TWO_CHOICES,
    "least requests": LEAST_REQUESTS,
    "least work": LEAST_WORK,
    "hash": HASH,
}
NO_MODEL = -1  # that a GPU holds
STREAM_BITS = 8  # of a stream's number; above them stands the number of GPUs


@njit
def sent_to(rule, gpus, load, turn, seed, key, k):  # type: ignore[no-untyped-def]
    """Which of this number of GPUs a request is sent to.

    load: of each, in requests or seconds, where the rule compares them; turn: how many requests were sent before this
    one; key, k: of its user and attempt. Each number of GPUs has draws of its own: else all that waited for a GPU which
    leaves would go to the same one of the others. Of the least loaded it is the first from a random one on.
    """
    if rule == ROUND_ROBIN:
        return turn % gpus
    if rule == HASH:
        return hashed(gpus, seed, key)
    u, v = pair(seed, DISPATCH + (gpus << STREAM_BITS), key, k)
    first = min(int(u * gpus), gpus - 1)
    if rule == RANDOM or gpus == 1:
        return first
    if rule == TWO_CHOICES:
        other = min(int(v * (gpus - 1)), gpus - 2)
        other += other >= first  # two different ones
        return other if load[other] < load[first] else first
    best = first
    for step in range(gpus):
        if load[best] <= 0.0:
            break
        place = first + step if first + step < gpus else first + step - gpus
        if load[place] < load[best]:
            best = place
    return best


@njit
def candidates(chosen, holds, model, ahead, longer, gpus):  # type: ignore[no-untyped-def]
    """The number of GPUs that a request may be sent to where GPUs keep their models; `chosen` begins with them.

    Those that hold its model, or else those that hold none yet; all of them where there are no such GPUs, or where the
    wait for one is longer by more than `longer` seconds than the shortest. ahead: the wait for each GPU, seconds.
    """
    for empty in range(2):
        wanted = NO_MODEL if empty else model
        count, there, least = 0, np.inf, np.inf
        for gpu in range(gpus):
            least = min(least, ahead[gpu])
            if holds[gpu] == wanted:
                chosen[count] = gpu
                count += 1
                there = min(there, ahead[gpu])
        if count > 0 and there - least <= longer:
            return count
    for gpu in range(gpus):
        chosen[gpu] = gpu
    return gpus


@njit
def hashed(gpus, seed, key):  # type: ignore[no-untyped-def]
    """A user's GPU by jump consistent hashing (Lamping, Veach 2014): when the last GPU leaves only its users move."""
    gpu, following, k = 0, 0.0, 0
    while following < gpus:
        gpu = int(following)
        following = math.floor((gpu + 1) / draw(seed, DISPATCH, key, k))
        k += 1
    return gpu


@njit
def seconds_ahead(work, slower, until, now):  # type: ignore[no-untyped-def]
    """Seconds until a GPU would start a request: the work that waits for it, and the rest of the batch on it.

    work: GPU-seconds as measured; slower: the factor on this GPU's times; until: when the batch should be done.
    """
    return work * slower + max(until - now, 0.0)
