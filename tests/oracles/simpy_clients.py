"""Clients as plain programs in SimPy: they are held to limits, or refuse themselves what would be refused."""

from collections import Counter, deque
from typing import Any

from tests.oracles.seen import Attempt
from tests.oracles.world import Found, Process, World


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
    **service: Any,
) -> Found:
    """Each client has a bucket of tokens, a quota in each window of the calendar, and `at_once` requests inside.

    The three are checked in this order, and a refusal takes no token and no request of the quota.
    """
    world = World(seed, **service)
    env, inside = world.env, Counter[int]()

    def client(user: int) -> Process:
        tokens, filled, used = float(depth), 0.0, Counter[int]()
        while True:
            yield world.exponential(1 / rate)
            tokens, filled = min(depth, tokens + refill * (env.now - filled)), env.now
            attempt, today = world.attempt(user), int(env.now // window)
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
        yield from world.service(attempt)
        inside[attempt.user] -= 1

    for user in range(clients):
        env.process(client(user))
    env.run(world.horizon)
    return world.figures(refused_by=("rate limit", "quota", "concurrency"))


def throttle(seed: int, *, places: int, k: float, window: float, **service: Any) -> Found:
    """Each second clients look at the last `window`: they refuse themselves what exceeds k times the images they got.

    The share max(0, (requests - k accepts) / (requests + 1)) of the book on site reliability, chapter 21.
    """
    world = World(seed, **service)
    env, share = world.env, 0.0
    asked: deque[float] = deque()
    images: deque[float] = deque()

    def person() -> Process | None:
        asked.append(env.now)
        attempt = world.attempt()
        if world.full(places):
            attempt.refused = "queue bound"
        elif world.rng.random() < share:
            attempt.refused = "shed for good"
        else:
            return served(attempt)
        return None

    def served(attempt: Attempt) -> Process:
        yield from world.service(attempt)
        images.append(env.now)

    def look() -> Process:
        nonlocal share
        while True:
            for times in (asked, images):
                while times and times[0] <= env.now - window:
                    times.popleft()
            share = max(0.0, (len(asked) - k * len(images)) / (len(asked) + 1))
            yield env.timeout(1.0)

    env.process(look())
    world.run(person)
    return world.figures(refused_by=("shed for good", "queue bound"))
