"""People as plain programs in SimPy: they are refused or leave, try again, and storm a service."""

from collections import deque
from collections.abc import Generator
from functools import partial
from typing import Any

import numpy as np
import simpy

from tests.oracles.seen import Attempt, in_steady_state, within

Found = dict[str, float]
Process = Generator[simpy.Event, Any, None]


def within_first(people: list[list[Attempt]], begins: float, ends: float) -> list[list[Attempt]]:
    """Everything that those did who first asked in a window."""
    return [attempts for attempts in people if begins <= attempts[0].arrived < ends]


def refused(
    seed: int,
    *,
    rate: float,
    gpus: int,
    seconds: float,
    places: int,
    at_most: int,
    again: float,
    pause: float,
    growth: float,
    ratio: float,
    bucket: int,
    horizon: float,
    edge: float,
) -> Found:
    """Who finds no place in the queue tries again with some probability, after pauses that grow.

    ratio: where above 0 a retry takes a token from all people's bucket, and each image puts so much of one into it.
    """
    rng, env = np.random.default_rng(seed), simpy.Environment()
    servers, tokens = simpy.Resource(env, gpus), float(bucket)
    people: list[list[Attempt]] = []

    def source() -> Process:
        while True:
            yield env.timeout(rng.exponential(1 / rate))
            people.append([])
            env.process(person(people[-1]))

    def person(attempts: list[Attempt]) -> Process:
        nonlocal tokens
        for number in range(at_most + 1):
            attempts.append(Attempt(env.now))
            if servers.count < gpus or len(servers.queue) < places:
                with servers.request() as turn:
                    yield turn
                    attempts[-1].started = env.now
                    yield env.timeout(rng.exponential(seconds))
                    attempts[-1].finished = env.now
                tokens = min(tokens + ratio, bucket)
                return
            attempts[-1].refused = "full"
            if number == at_most or rng.random() >= again or (ratio > 0 and tokens < 1):
                return
            tokens -= 1
            yield env.timeout(rng.exponential(pause) * growth**number)

    env.process(source())
    env.run(horizon)
    of_all = [attempt for attempts in people for attempt in attempts]
    first_in_time = within_first(people, edge, horizon - edge)
    served = [attempts for attempts in first_in_time if attempts[-1].started >= 0]
    return {
        **in_steady_state(of_all, edge=edge, horizon=horizon, gpus=gpus, beyond=1.0),
        "attempts an ask": float(np.mean([len(attempts) for attempts in first_in_time])),
        "asks served": sum(attempts[-1].finished >= 0 for attempts in first_in_time) / len(first_in_time),
        "from asking to the start": float(np.mean([served_[-1].started - served_[0].arrived for served_ in served])),
    }


def leavers(
    seed: int,
    *,
    rate: float,
    gpus: int,
    seconds: float,
    scale: float,
    again: float,
    pause: float,
    at_most: int,
    notices: bool,
    horizon: float,
    edge: float,
) -> Found:
    """Patience (Weibull of shape 0.7) is for the image, service included; who leaves may try again after a pause.

    notices: whether who leaves the queue is taken out of it; who leaves during service is served all the same.
    """
    rng, env = np.random.default_rng(seed), simpy.Environment()
    line: list[tuple[Attempt, simpy.Event]] = []
    people: list[list[Attempt]] = []
    asleep: list[simpy.Event] = []

    def source() -> Process:
        while True:
            yield env.timeout(rng.exponential(1 / rate))
            people.append([])
            env.process(person(people[-1]))

    def person(attempts: list[Attempt]) -> Process:
        for _ in range(at_most + 1):
            attempt, over = Attempt(env.now), env.event()
            attempts.append(attempt)
            line.append((attempt, over))
            if asleep:
                asleep.pop().succeed()
            patience = env.timeout(scale * rng.weibull(0.7))
            yield over | patience
            if over.triggered:
                return
            attempt.left = env.now
            if notices and (attempt, over) in line:
                line.remove((attempt, over))
            if rng.random() >= again:
                return
            yield env.timeout(rng.exponential(pause))

    def gpu() -> Process:
        while True:
            while not line:
                asleep.append(env.event())
                yield asleep[-1]
            attempt, over = line.pop(0)
            attempt.started = env.now
            yield env.timeout(rng.exponential(seconds))
            attempt.finished = env.now
            if np.isnan(attempt.left):
                over.succeed()

    env.process(source())
    for _ in range(gpus):
        env.process(gpu())
    env.run(horizon)
    of_all = [attempt for attempts in people for attempt in attempts]
    done = [attempt for attempt in of_all if edge <= attempt.finished < horizon]
    first_in_time = within_first(people, edge, horizon - edge)
    return {
        **in_steady_state(of_all, edge=edge, horizon=horizon, gpus=gpus, beyond=1.0),
        "left": float(np.mean([attempt.left >= 0 for attempt in within(of_all, edge, horizon - edge)])),
        "wasted": float(np.mean([attempt.left >= 0 for attempt in done])),
        "attempts an ask": float(np.mean([len(attempts) for attempts in first_in_time])),
        "asks served": float(np.mean([not attempts[-1].left >= 0 for attempts in first_in_time])),
    }


def storm(
    seed: int,
    *,
    base: float,
    peak: float,
    quiet: float,
    lasting: float,
    after: float,
    gpus: int,
    seconds: float,
    patience: float,
    retries: int,
    bound: int,
) -> Found:
    """A spike of people who leave unnoticed and try again at once: the service works for those who have left.

    Who finds `bound` others waiting is not told, and tries again when their patience is over.
    """
    rng, env, horizon = np.random.default_rng(seed), simpy.Environment(), quiet + lasting + after
    line: deque[tuple[Attempt, simpy.Event]] = deque()
    asleep: list[simpy.Event] = []
    attempts: list[Attempt] = []

    def source() -> Process:
        while True:
            yield env.timeout(rng.exponential(1 / peak))
            in_spike = quiet <= env.now < quiet + lasting
            if in_spike or rng.random() < base / peak:
                env.process(person())

    def person() -> Process:
        for number in range(retries + 1):
            attempt, over = Attempt(env.now, kind=number), env.event()
            attempts.append(attempt)
            if len(line) < bound:
                line.append((attempt, over))
                if asleep:
                    asleep.pop().succeed()
            else:
                attempt.refused = "full"
            env.timeout(patience).callbacks.append(partial(patience_over, over))
            if (yield over) == "image":
                return
            attempt.left = env.now

    def patience_over(over: simpy.Event, _: simpy.Event) -> None:
        if not over.triggered:
            over.succeed("left")

    def gpu() -> Process:
        while True:
            while not line:
                asleep.append(env.event())
                yield asleep[-1]
            attempt, over = line.popleft()
            attempt.started = env.now
            yield env.timeout(rng.exponential(seconds))
            attempt.finished = env.now
            if not over.triggered:
                over.succeed("image")

    env.process(source())
    for _ in range(gpus):
        env.process(gpu())
    env.run(horizon)
    found: Found = {}
    for name, begins, ends in (
        ("before", 0.0, quiet),
        ("spike", quiet, quiet + lasting),
        ("end", horizon - after / 2, horizon),
    ):
        came = within(attempts, begins, ends)
        done = [attempt for attempt in attempts if begins <= attempt.finished < ends]
        in_time = sum(np.isnan(attempt.left) for attempt in done)
        found |= {
            f"asks a second, {name}": sum(attempt.kind == 0 for attempt in came) / (ends - begins),
            f"attempts a second, {name}": len(came) / (ends - begins),
            f"images in time a second, {name}": in_time / (ends - begins),
            f"wasted, {name}": 1 - in_time / len(done),
            f"refused, {name}": sum(bool(attempt.refused) for attempt in came) / len(came),
        }
    return found
