"""Queues as plain programs in SimPy: batches, orders, models and expiry; a queue is a list, a GPU a process."""

from collections import deque
from heapq import heappop, heappush
from typing import Any

import numpy as np
import simpy

from tests.oracles.seen import Attempt, column, on_average
from tests.oracles.world import Found, Process, World


def batching(seed: int, *, sizes: list[float], linger: float, **service: Any) -> Found:
    """A free GPU starts when a full batch waits, or the oldest request has waited for `linger`; sizes: mean seconds."""
    world, full = World(seed, **service), len(sizes)
    env = world.env
    line: deque[Attempt] = deque()
    batches: list[tuple[float, float, int]] = []
    asleep: list[simpy.Event] = []

    def arrive() -> None:
        line.append(world.attempt())
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
            seconds = sizes[len(taken) - 1] * world.rng.exponential()
            batches.append((env.now, env.now + seconds, len(taken)))
            for attempt in taken:
                attempt.started, attempt.finished = env.now, env.now + seconds
            yield env.timeout(seconds)

    for _ in range(world.gpus):
        env.process(gpu())
    world.run(arrive)
    size = np.array([size for began, _, size in batches if began >= world.edge])
    return world.figures() | of_batches(world, batches) | {"full batches": float((size == full).mean())}


def of_batches(world: World, batches: list[tuple[float, float, int]]) -> Found:
    """Figures of batches: when each began and ended, and how many images it had."""
    began, ended, size = np.array(batches).T
    late = began >= world.edge
    return {
        "mean batch": float(size[late].mean()),
        "seconds of a batch": float((ended - began)[late].mean()),
        "utilisation": on_average(began, ended, world.edge, world.horizon) / world.gpus,
    }


def last_first(seed: int, *, patience: float, **service: Any) -> Found:
    """Last come, first served; a user whose patience is over leaves the queue."""
    world = World(seed, **service)
    env, free = world.env, world.gpus
    stack: list[simpy.Event] = []

    def person() -> Process:
        nonlocal free
        attempt = world.attempt()
        if free > 0:
            free -= 1
        else:
            turn = env.event()
            stack.append(turn)
            yield turn | world.exponential(patience)
            if not turn.triggered:
                stack.remove(turn)
                attempt.left = env.now
                return
        attempt.started = env.now
        yield world.exponential(world.seconds)
        attempt.finished = env.now
        if stack:
            stack.pop().succeed()
        else:
            free += 1

    world.run(person)
    return world.figures()


def models(
    seed: int, *, share: float, seconds: tuple[float, float], load: float, largest: int, **service: Any
) -> Found:
    """Two models on the same GPUs: that of the oldest request is served next; a GPU that held the other loads it.

    The sleeping GPU of the lowest number is woken. seconds: of one image with each model; a batch of n takes n times.
    """
    world = World(seed, **service)
    env, rng = world.env, world.rng
    line: list[Attempt] = []
    batches: list[tuple[float, float, int]] = []
    asleep: list[int] = []
    bells: dict[int, simpy.Event] = {}

    def arrive() -> None:
        line.append(world.attempt(kind=int(rng.random() >= share)))
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
            batches.append((env.now, env.now + took, len(taken)))
            held = kind
            for attempt in taken:
                attempt.started, attempt.finished = env.now, env.now + took
            yield env.timeout(took)

    for number in range(world.gpus):
        env.process(gpu(number))
    world.run(arrive)
    found = world.figures(beyond=2.0) | of_batches(world, batches)
    for kind in (0, 1):
        of_kind = [attempt for attempt in world.watched() if attempt.kind == kind]
        found[f"mean wait, model {kind}"] = float(np.nanmean(column(of_kind, "started") - column(of_kind, "arrived")))
    return found


def expiry(seed: int, *, after: float, **service: Any) -> Found:
    """A request whose turn comes after more than `after` seconds is dropped, and the next is looked at."""
    world = World(seed, **service)
    world.run(lambda: world.service(world.attempt(), longest_wait=after))
    return world.figures(beyond=0.8 * after)
