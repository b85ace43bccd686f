"""Clients as plain programs in SimPy: they are held to limits, or refuse themselves what would be refused."""

from collections import Counter, deque
from collections.abc import Generator
from typing import Any

import numpy as np
import simpy

from tests.oracles.seen import Attempt, in_steady_state, within

Found = dict[str, float]
Process = Generator[simpy.Event, Any, None]


def limits(
    seed: int,
    *,
    clients: int,
    rate: float,
    refill: float,
    depth: int,
    quota: int,
    window: float,
    at_once: int,
    gpus: int,
    seconds: float,
    horizon: float,
) -> Found:
    """Each client has a bucket of tokens, a quota a window of the calendar, and so many requests inside at once.

    They are asked in this order, and a refusal takes no token and no request of the quota.
    """
    rng, env = np.random.default_rng(seed), simpy.Environment()
    servers = simpy.Resource(env, gpus)
    attempts: list[Attempt] = []
    inside: Counter[int] = Counter()

    def client(user: int) -> Process:
        tokens, filled, used = float(depth), 0.0, Counter[int]()
        while True:
            yield env.timeout(rng.exponential(1 / rate))
            tokens, filled = min(depth, tokens + refill * (env.now - filled)), env.now
            attempt, today = Attempt(env.now, user), int(env.now // window)
            attempts.append(attempt)
            if tokens < 1:
                attempt.refused = "rate limit"
            elif used[today] >= quota:
                attempt.refused = "quota"
            elif inside[user] >= at_once:
                attempt.refused = "concurrency"
            else:
                tokens -= 1
                used[today] += 1
                inside[user] += 1
                env.process(served(attempt))

    def served(attempt: Attempt) -> Process:
        with servers.request() as turn:
            yield turn
            attempt.started = env.now
            yield env.timeout(rng.exponential(seconds))
            attempt.finished = env.now
            inside[attempt.user] -= 1

    for user in range(clients):
        env.process(client(user))
    env.run(horizon)
    why = Counter(attempt.refused for attempt in attempts)
    found = in_steady_state(attempts, edge=0.0, horizon=horizon, gpus=gpus, beyond=1.0)
    return found | {reason: why[reason] / len(attempts) for reason in ("rate limit", "quota", "concurrency")}


def throttle(
    seed: int,
    *,
    rate: float,
    gpus: int,
    seconds: float,
    places: int,
    k: float,
    window: float,
    horizon: float,
    edge: float,
) -> Found:
    """Each second clients look at the last `window`: what they asked beyond k times the images they refuse.

    The share max(0, (requests - k accepts) / (requests + 1)) of the book on site reliability, chapter 21.
    """
    rng, env = np.random.default_rng(seed), simpy.Environment()
    servers, share = simpy.Resource(env, gpus), 0.0
    attempts: list[Attempt] = []
    asked: deque[float] = deque()
    images: deque[float] = deque()

    def source() -> Process:
        while True:
            yield env.timeout(rng.exponential(1 / rate))
            asked.append(env.now)
            attempt = Attempt(env.now)
            attempts.append(attempt)
            if servers.count == gpus and len(servers.queue) >= places:
                attempt.refused = "queue bound"
            elif rng.random() < share:
                attempt.refused = "shed for good"
            else:
                env.process(served(attempt))

    def served(attempt: Attempt) -> Process:
        with servers.request() as turn:
            yield turn
            attempt.started = env.now
            yield env.timeout(rng.exponential(seconds))
            attempt.finished = env.now
            images.append(env.now)

    def look() -> Process:
        nonlocal share
        while True:
            for times in (asked, images):
                while times and times[0] <= env.now - window:
                    times.popleft()
            share = max(0.0, (len(asked) - k * len(images)) / (len(asked) + 1))
            yield env.timeout(1.0)

    env.process(source())
    env.process(look())
    env.run(horizon)
    watched = within(attempts, edge, horizon - edge)
    why = Counter(attempt.refused for attempt in watched)
    found = in_steady_state(attempts, edge=edge, horizon=horizon, gpus=gpus, beyond=1.0)
    return found | {reason: why[reason] / len(watched) for reason in ("shed for good", "queue bound")}
