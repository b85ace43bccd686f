"""Queueing theory in closed form: the waits, refusals and queues that a simulation must show.

Rates are requests per second and `seconds` is the mean service time, both above 0; `load` is their product, the offered
load in erlangs (GPUs that it keeps busy). Arrivals are Poisson. What never ends is inf.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg, optimize, special, stats

Floats = NDArray[np.float64]


def erlang_b(load: float, gpus: int) -> float:
    """Share of requests refused where none may wait, for any law of the service time (Erlang 1917, recursion)."""
    refused = 1.0
    for gpu in range(1, gpus + 1):
        refused = load * refused / (gpu + load * refused)
    return refused


def erlang_c(load: float, gpus: int) -> float:
    """Share of requests that must wait in M/M/c; 1 where the load is the GPUs or more (Erlang 1917)."""
    if load >= gpus:
        return 1.0
    refused = erlang_b(load, gpus)
    return refused / (1.0 - load / gpus * (1.0 - refused))


def mean_wait(rate: float, seconds: float, gpus: int) -> float:
    """Mean wait in M/M/c, seconds: the share that waits, over the spare capacity (Erlang C)."""
    spare = gpus / seconds - rate
    return erlang_c(rate * seconds, gpus) / spare if spare > 0 else math.inf


def wait_quantile(share: float, rate: float, seconds: float, gpus: int) -> float:
    """The wait in seconds that this share of requests does not exceed, in M/M/c: P(wait > t) = C exp(-spare t)."""
    spare = gpus / seconds - rate
    if spare <= 0:
        return math.inf
    return max(0.0, math.log(erlang_c(rate * seconds, gpus) / (1.0 - share)) / spare)


class Bounded(NamedTuple):
    """M/M/c/K in the long run; the waits are those of requests let in."""

    refused: float  # share of requests
    wait_probability: float
    wait: float  # mean, seconds
    queue: float  # mean number waiting
    throughput: float  # requests per second


def bounded_queue(rate: float, seconds: float, gpus: int, room: int) -> Bounded:
    """M/M/c/K with K = gpus + room: requests are refused while `room` of them wait (birth and death)."""
    states = np.arange(gpus + room + 1)
    p = birth_and_death(rate, np.minimum(states[1:], gpus) / seconds)
    throughput = rate * (1.0 - p[-1])
    queue = float(p[gpus:] @ np.arange(room + 1))
    waits = p[gpus:-1].sum() / (1.0 - p[-1])
    return Bounded(float(p[-1]), float(waits), queue / throughput, queue, float(throughput))


class Impatient(NamedTuple):
    """Erlang-A in the long run."""

    abandoned: float  # share of requests that leave before they start
    wait_probability: float
    wait: float  # mean until started or left, seconds
    wait_of_started: float  # mean of those who start, seconds
    queue: float  # mean number waiting
    utilisation: float


def erlang_a(rate: float, seconds: float, gpus: int, patience: float) -> Impatient:
    """M/M/c+M: exponential patience of this mean, in seconds, until the start (Palm 1957; Garnett and others 2002)."""
    capacity, leaving = gpus / seconds, 1.0 / patience
    # The queue is normal or thinner about its fluid level; 20 deviations away the chance is below rounding.
    longest = int(max(0.0, rate - capacity) * patience + 20.0 * math.sqrt(rate * patience)) + 50
    n = np.arange(1, gpus + longest + 1)
    p = birth_and_death(rate, np.minimum(n, gpus) / seconds + np.maximum(n - gpus, 0) * leaving)
    queue = float(p[gpus:] @ np.arange(longest + 1))
    abandoned = leaving * queue / rate
    place = np.arange(1, longest + 1)  # in the queue, of one who finds all GPUs busy
    starts = capacity / (capacity + place * leaving)
    wait = p[gpus:-1] @ (starts * np.cumsum(1.0 / (capacity + place * leaving))) / (1.0 - abandoned)
    busy = float(p @ np.minimum(np.arange(len(p)), gpus)) / gpus
    return Impatient(abandoned, float(p[gpus:].sum()), queue / rate, float(wait), queue, busy)


def birth_and_death(rate: float, deaths: Floats) -> Floats:
    """Long-run probabilities of 0, 1, ... present, where deaths[n] is the rate, per second, from n + 1 down to n."""
    weights = np.concatenate([[0.0], np.cumsum(math.log(rate) - np.log(deaths))])
    return np.exp(weights - special.logsumexp(weights))


def mean_wait_constant(rate: float, seconds: float, gpus: int) -> float:
    """Mean wait in M/D/c, seconds: all service times the same (Crommelin 1932).

    Those present at t + D are those at t less at most c, plus D seconds of arrivals; that chain's generating function
    gives the mean from the roots of z^c = exp(load (z - 1)) inside the unit circle, which are Lambert W's.
    """
    load = rate * seconds
    if load >= gpus:
        return math.inf
    unity = np.exp(2j * np.pi * np.arange(1, gpus) / gpus)
    share = load / gpus
    roots = -special.lambertw(-share * np.exp(-share) * unity) / share
    queue = (load**2 - gpus * (gpus - 1)) / (2.0 * (gpus - load)) + np.sum(1.0 / (1.0 - roots)).real
    return max(0.0, float(queue)) / rate


def mean_wait_general(rate: float, seconds: float, cv: float) -> float:
    """Mean wait in M/G/1, seconds, for service times of this coefficient of variation (Pollaczek and Khinchine)."""
    load = rate * seconds
    return load * seconds * (1.0 + cv**2) / (2.0 * (1.0 - load)) if load < 1 else math.inf


def priority_waits(rates: Sequence[float], seconds: float, gpus: int) -> Floats:
    """Mean wait of each class in M/M/c, the most urgent first, without pre-emption, seconds (Cobham 1954).

    Where the classes together are more than the GPUs can serve, these are always busy: the urgent classes that still
    fit wait a finite time, the others forever.
    """
    through = np.cumsum(rates) * seconds / gpus  # load of this class and those before it, a share of capacity
    before = np.concatenate([[0.0], through[:-1]])
    until_one_is_free = erlang_c(sum(rates) * seconds, gpus) * seconds / gpus
    fits = through < 1
    waits = np.full(len(rates), math.inf)
    waits[fits] = until_one_is_free / ((1.0 - before[fits]) * (1.0 - through[fits]))
    return waits


class Batching(NamedTuple):
    """A GPU that serves whatever waits, up to a full batch, in the long run."""

    queue: float  # mean number waiting
    wait: float  # mean, seconds
    latency: float  # mean wait and service, seconds
    batch: float  # mean requests in a batch
    utilisation: float


def batching(rate: float, batch_seconds: ArrayLike) -> Batching:
    """One GPU with greedy batches, M/D(k)^(1,b)/1; batch_seconds[k - 1] is the time of a batch of k, k = 1 ... b.

    The chain of the number waiting when a batch ends, solved up to where it is hardly ever; between its steps a batch
    that leaves q waiting adds q tau + rate tau^2 / 2 request-seconds of queue (Markov regenerative).
    """
    tau = np.asarray(batch_seconds, dtype=float)
    largest = len(tau)
    if rate * tau[-1] >= largest:
        return Batching(math.inf, math.inf, math.inf, float(largest), 1.0)
    waiting = np.arange(batching_states(rate, tau))
    size = np.clip(waiting, 1, largest)  # who finds the GPU idle is a batch of one
    left, took = np.maximum(waiting - size, 0), tau[size - 1]
    at_end = stationary(batch_chain(rate * tau, size, left))
    idle = at_end[0] / rate
    cycle = at_end @ took + idle
    queue = at_end @ (left * took + rate * took**2 / 2.0) / cycle
    served = at_end @ size
    latency = queue / rate + at_end @ (size * took) / served
    return Batching(float(queue), float(queue / rate), float(latency), float(served), float(1.0 - idle / cycle))


def batching_states(rate: float, tau: Floats) -> int:
    """How many waiting to reckon with: the queue's tail is geometric, and e^-40 is nothing."""
    largest, arrivals = len(tau), rate * tau[-1]

    def excess(x: float) -> float:
        return float(largest * x - arrivals * math.expm1(x))

    # excess() is 0 at 0, tops out at log(b / a) and falls below 0 before long: a root lies beyond the top.
    top = math.log(largest / arrivals)
    decay = optimize.brentq(excess, top, 2.0 * top + 2.0)
    most = rate * tau.max()
    return int(largest + 40.0 / decay + most + 10.0 * math.sqrt(most)) + 20


def batch_chain(arrivals: Floats, size: NDArray[np.int64], left: NDArray[np.int64]) -> Floats:
    """Chances to go from so many waiting at one batch's end to so many at the next; a row a state.

    arrivals: expected during a batch of 1, 2, ...; size, left: batch taken and requests left behind, by state.
    """
    states = len(size)
    new = np.asarray(stats.poisson.pmf(np.arange(states), arrivals[:, None]))
    chain = np.zeros((states, states))
    for state in range(states):
        chain[state, left[state] :] = new[size[state] - 1, : states - left[state]]
    chain[:, -1] += 1.0 - chain.sum(axis=1)
    return chain


def stationary(chain: Floats) -> Floats:
    """Long-run shares of the states of a Markov chain given as a matrix whose rows add up to 1."""
    balance = chain.T - np.eye(len(chain))
    balance[-1] = 1.0
    return np.asarray(linalg.solve(balance, np.eye(len(chain))[-1]))


def bulk_wait(rate: float, seconds: float, largest_batch: int) -> float:
    """Mean wait with greedy batches of exponential time, the same mean for any size, one GPU, seconds (Bailey 1954)."""
    b, mu = largest_batch, 1.0 / seconds
    if rate >= b * mu:
        return math.inf
    lowest = ((rate + mu) / ((b + 1) * mu)) ** (1.0 / b)  # of the polynomial, between its root and 1
    r = optimize.brentq(lambda x: mu * x ** (b + 1) - (rate + mu) * x + rate, 0.0, lowest, xtol=1e-15)
    busy_and_empty = 1.0 / (1.0 / (1.0 - r) + mu / rate)
    return float(busy_and_empty * r / ((1.0 - r) ** 2 * rate))


def fluid_queue(times: ArrayLike, rates: ArrayLike, capacity: ArrayLike) -> Floats:
    """Requests queued at each of `times` (seconds, ascending), from none at the first, with arrivals as a fluid.

    rates[i] holds from times[i] until times[i + 1] (the last is not used); capacity is in requests per second, one
    number or as many as rates. The queue is the net inflow less its lowest level so far below 0 (Skorokhod reflection).
    """
    t = np.asarray(times, dtype=float)
    surplus = np.broadcast_to(np.asarray(rates, dtype=float) - np.asarray(capacity, dtype=float), t.shape)
    net = np.concatenate([[0.0], np.cumsum(surplus[:-1] * np.diff(t))])
    return net - np.minimum(np.minimum.accumulate(net), 0.0)


class Surge(NamedTuple):
    """What a rectangular surge does to a queue, as a fluid."""

    peak_queue: float  # requests, at the end of the surge
    drain_time: float  # seconds from the end of the surge until the queue is empty
    worst_wait: float  # seconds


def surge(before: float, during: float, lasting: float, capacity: float) -> Surge:
    """A rate of `during` for `lasting` seconds over one of `before`, all rates in requests per second."""
    peak = max(0.0, (during - capacity) * lasting)
    if peak == 0:
        return Surge(0.0, 0.0, 0.0)
    drain = peak / (capacity - before) if before < capacity else math.inf
    return Surge(peak, drain, peak / capacity if capacity > 0 else math.inf)


def present_by_period(rates: Sequence[float], each: float, seconds: float, gpus: int, patience: float) -> list[float]:
    """Mean number waiting or in service at the end of each period of M_t/M/c+M, from empty (Kolmogorov's equations).

    rates: of each period, per second; each: its length, seconds; patience: mean, seconds, inf where nobody leaves.
    """
    most, passed = gpus, 1.0
    while passed > 1e-12:
        most *= 2
        found, passed = present_with_room(most, rates, each, seconds, gpus, patience)
    return found


def present_with_room(
    most: int, rates: Sequence[float], each: float, seconds: float, gpus: int, patience: float
) -> tuple[list[float], float]:
    """The same, stopped when more than `most` are there; and the probability that they ever are, which bounds what
    that leaves out.
    """
    n = np.arange(most + 2)  # the last: more than most, which nobody leaves
    deaths = np.where(n > most, 0.0, np.minimum(n, gpus) / seconds + np.maximum(n - gpus, 0) / patience)
    p, found = np.eye(most + 2)[0], []
    for rate in rates:
        p = distribution_after(each, p, np.where(n > most, 0.0, rate), deaths)
        found.append(float(p @ n))
    return found, float(p[-1])


def distribution_after(seconds: float, p: Floats, births: Floats, deaths: Floats) -> Floats:
    """The distribution of a birth-and-death process after some seconds, from p: by uniformisation (Jensen 1953)."""
    fastest = float((births + deaths).max())
    jumps = fastest * seconds
    total = np.zeros_like(p)
    for weight in stats.poisson.pmf(np.arange(jumps + 10 * math.sqrt(jumps) + 30), jumps):
        total += weight * p
        moved = (1 - (births + deaths) / fastest) * p
        moved[1:] += (births * p)[:-1] / fastest
        moved[:-1] += (deaths * p)[1:] / fastest
        p = moved
    return total
