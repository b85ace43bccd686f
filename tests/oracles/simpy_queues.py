"""Queues as plain programs in SimPy: batches, orders, models and expiry; a queue is a list, a GPU a process."""

from collections import deque
from collections.abc import Generator
from heapq import heappop, heappush
from typing import Any

import numpy as np
import simpy

from tests.oracles.seen import Attempt, column, in_steady_state, on_average, within

Found = dict[str, float]
Process = Generator[simpy.Event, Any, None]


def batching(
    seed: int, *, rate: float, gpus: int, sizes: list[float], linger: float, horizon: float, edge: float
) -> Found:
    """A free GPU starts when a full batch waits, or the oldest request has waited for `linger`; sizes: mean seconds."""
    rng, env, full = np.random.default_rng(seed), simpy.Environment(), len(sizes)
    line: deque[Attempt] = deque()
    attempts: list[Attempt] = []
    batches: list[tuple[float, float, int]] = []
    asleep: list[simpy.Event] = []

    def source() -> Process:
        while True:
            yield env.timeout(rng.exponential(1 / rate))
            attempts.append(Attempt(env.now))
            line.append(attempts[-1])
            ring()
            env.timeout(linger).callbacks.append(ring)

    def ring(_: object = None) -> None:
        if asleep:
            asleep.pop().succeed()

    def gpu() -> Process:
        while True:
            while not (len(line) >= full or (line and env.now >= line[0].arrived + linger - 1e-9)):
                asleep.append(env.event())
                yield asleep[-1]
            taken = [line.popleft() for _ in range(min(full, len(line)))]
            seconds = sizes[len(taken) - 1] * rng.exponential()
            batches.append((env.now, env.now + seconds, len(taken)))
            for attempt in taken:
                attempt.started, attempt.finished = env.now, env.now + seconds
            yield env.timeout(seconds)

    env.process(source())
    for _ in range(gpus):
        env.process(gpu())
    env.run(horizon)
    began, ended, size = np.array(batches).T
    return {
        **in_steady_state(attempts, edge=edge, horizon=horizon, gpus=gpus, beyond=1.0),
        "mean batch": float(size[began >= edge].mean()),
        "full batches": float((size[began >= edge] == full).mean()),
        "utilisation": on_average(began, ended, edge, horizon) / gpus,
    }


def last_first(
    seed: int, *, rate: float, gpus: int, seconds: float, patience: float, horizon: float, edge: float
) -> Found:
    """Last come, first served, and who has no patience left leaves the queue."""
    rng, env, free = np.random.default_rng(seed), simpy.Environment(), gpus
    stack: list[simpy.Event] = []
    attempts: list[Attempt] = []

    def source() -> Process:
        while True:
            yield env.timeout(rng.exponential(1 / rate))
            attempts.append(Attempt(env.now))
            env.process(person(attempts[-1]))

    def person(attempt: Attempt) -> Process:
        nonlocal free
        if free > 0:
            free -= 1
        else:
            turn = env.event()
            stack.append(turn)
            yield turn | env.timeout(rng.exponential(patience))
            if not turn.triggered:
                stack.remove(turn)
                attempt.left = env.now
                return
        attempt.started = env.now
        yield env.timeout(rng.exponential(seconds))
        attempt.finished = env.now
        if stack:
            stack.pop().succeed()
        else:
            free += 1

    env.process(source())
    env.run(horizon)
    return in_steady_state(attempts, edge=edge, horizon=horizon, gpus=gpus, beyond=1.0)


def models(
    seed: int,
    *,
    rate: float,
    share: float,
    gpus: int,
    seconds: tuple[float, float],
    load: float,
    largest: int,
    horizon: float,
    edge: float,
) -> Found:
    """Two models on the same GPUs: the oldest request's is served next; a GPU that held the other loads it.

    Of GPUs that sleep the first in number is woken. seconds: of one image with each model; a batch of n takes n times.
    """
    rng, env = np.random.default_rng(seed), simpy.Environment()
    line: list[Attempt] = []
    attempts: list[Attempt] = []
    batches: list[tuple[float, float, int, bool]] = []
    asleep: list[int] = []
    bells: dict[int, simpy.Event] = {}

    def source() -> Process:
        while True:
            yield env.timeout(rng.exponential(1 / rate))
            attempts.append(Attempt(env.now, kind=int(rng.random() >= share)))
            line.append(attempts[-1])
            if asleep:
                bells[heappop(asleep)].succeed()

    def gpu(number: int) -> Process:
        held = -1
        while True:
            while not line:
                heappush(asleep, number)
                bells[number] = env.event()
                yield bells[number]
            kind = line[0].kind
            taken = [attempt for attempt in line if attempt.kind == kind][:largest]
            line[:] = [attempt for attempt in line if attempt not in taken]
            took = seconds[kind] * len(taken) * rng.exponential() + (load if held != kind else 0.0)
            batches.append((env.now, env.now + took, len(taken), held != kind))
            held = kind
            for attempt in taken:
                attempt.started, attempt.finished = env.now, env.now + took
            yield env.timeout(took)

    env.process(source())
    for number in range(gpus):
        env.process(gpu(number))
    env.run(horizon)
    began, ended, size, _ = np.array(batches).T
    found = in_steady_state(attempts, edge=edge, horizon=horizon, gpus=gpus, beyond=2.0)
    for kind in (0, 1):
        of_kind = within([attempt for attempt in attempts if attempt.kind == kind], edge, horizon - edge)
        found[f"mean wait, model {kind}"] = float(np.nanmean(column(of_kind, "started") - column(of_kind, "arrived")))
    return found | {
        "mean batch": float(size[began >= edge].mean()),
        "seconds of a batch": float((ended - began)[began >= edge].mean()),
        "utilisation": on_average(began, ended, edge, horizon) / gpus,
    }


def expiry(seed: int, *, rate: float, gpus: int, seconds: float, after: float, horizon: float, edge: float) -> Found:
    """Whose turn comes after more than `after` seconds is dropped; the next is looked at."""
    rng, env = np.random.default_rng(seed), simpy.Environment()
    servers = simpy.Resource(env, gpus)
    attempts: list[Attempt] = []

    def source() -> Process:
        while True:
            yield env.timeout(rng.exponential(1 / rate))
            attempts.append(Attempt(env.now))
            env.process(person(attempts[-1]))

    def person(attempt: Attempt) -> Process:
        with servers.request() as turn:
            yield turn
            if env.now - attempt.arrived > after:
                attempt.refused = "expired"
                return
            attempt.started = env.now
            yield env.timeout(rng.exponential(seconds))
            attempt.finished = env.now

    env.process(source())
    env.run(horizon)
    return in_steady_state(attempts, edge=edge, horizon=horizon, gpus=gpus, beyond=0.8 * after)
