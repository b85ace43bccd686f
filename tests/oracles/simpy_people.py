"""People as plain programs in SimPy: they are refused or leave, try again, storm a service, and want several images."""

import math
from itertools import count
from typing import Any

import numpy as np

from tests.oracles.seen import within
from tests.oracles.world import Found, Line, Process, World


def refused(
    seed: int,
    *,
    places: int,
    at_most: int,
    again: float,
    pause: float,
    growth: float,
    ratio: float,
    bucket: int,
    **service: Any,
) -> Found:
    """People who find no place in the queue try again with some probability, after pauses that grow.

    ratio: above 0, a retry takes a token from a bucket that all people share, and each image adds this part of one.
    """
    world, users, tokens = World(seed, **service), count(), float(bucket)

    def person() -> Process:
        nonlocal tokens
        user = next(users)
        for number in range(at_most + 1):
            attempt = world.attempt(user)
            if not world.full(places):
                yield from world.service(attempt)
                tokens = min(tokens + ratio, bucket)
                return
            attempt.refused = "full"
            if number == at_most or world.rng.random() >= again or (ratio > 0 and tokens < 1):
                return
            tokens -= 1
            yield world.env.timeout(world.rng.exponential(pause) * growth**number)

    world.run(person)
    wishes = world.wishes()
    started = [wish[-1].started - wish[0].arrived for wish in wishes if wish[-1].started >= 0]
    return {
        **world.figures(),
        "attempts an ask": float(np.mean([len(wish) for wish in wishes])),
        "asks served": float(np.mean([wish[-1].finished >= 0 for wish in wishes])),
        "from asking to the start": float(np.mean(started)),
    }


def leavers(
    seed: int, *, scale: float, again: float, pause: float, at_most: int, notices: bool, **service: Any
) -> Found:
    """Patience (Weibull of shape 0.7) is for the image, service included; people who leave may try again after a pause.

    notices: whether a request whose user leaves the queue is taken out of it; during service it is served all the same.
    """
    world, users = World(seed, **service), count()
    line = Line(world)

    def person() -> Process:
        user = next(users)
        for _ in range(at_most + 1):
            attempt = world.attempt(user)
            image = line.join(attempt)
            yield image | world.env.timeout(scale * world.rng.weibull(0.7))
            if image.triggered:
                return
            attempt.left = world.env.now
            if notices:
                line.take_out(attempt)
            if world.rng.random() >= again:
                return
            yield world.exponential(pause)

    world.run(person)
    wishes = world.wishes()
    done = [attempt for attempt in world.attempts if world.edge <= attempt.finished < world.horizon]
    return {
        **world.figures(),
        "left": float(np.mean([attempt.left >= 0 for attempt in world.watched()])),
        "wasted": float(np.mean([attempt.left >= 0 for attempt in done])),
        "attempts an ask": float(np.mean([len(wish) for wish in wishes])),
        "asks served": float(np.mean([not wish[-1].left >= 0 for wish in wishes])),
    }


def storm(
    seed: int,
    *,
    base: float,
    peak: float,
    quiet: float,
    lasting: float,
    after: float,
    patience: float,
    retries: int,
    bound: int,
    **service: Any,
) -> Found:
    """A spike of people who leave unnoticed and try again at once: the service works for people who have left.

    A user who finds `bound` others waiting is refused without being told, and tries again when patience is over.
    """
    world = World(seed, rate=peak, horizon=quiet + lasting + after, **service)
    env, line = world.env, Line(world)

    def arrive() -> Process | None:
        in_spike = quiet <= env.now < quiet + lasting
        return person() if in_spike or world.rng.random() < base / peak else None

    def person() -> Process:
        for number in range(retries + 1):
            attempt, over = world.attempt(kind=number), env.timeout(patience)
            if len(line.waiting) < bound:
                yield line.join(attempt) | over
            else:
                attempt.refused = "full"
                yield over
            if attempt.finished >= 0:
                return
            attempt.left = env.now

    world.run(arrive)
    found: Found = {}
    for name, begins, ends in (
        ("before", 0.0, quiet),
        ("spike", quiet, quiet + lasting),
        ("end", world.horizon - after / 2, world.horizon),
    ):
        came = within(world.attempts, begins, ends)
        done = [attempt for attempt in world.attempts if begins <= attempt.finished < ends]
        in_time = sum(np.isnan(attempt.left) for attempt in done)
        found |= {
            f"asks a second, {name}": sum(attempt.kind == 0 for attempt in came) / (ends - begins),
            f"attempts a second, {name}": len(came) / (ends - begins),
            f"images in time a second, {name}": in_time / (ends - begins),
            f"wasted, {name}": 1 - in_time / len(done),
            f"refused, {name}": sum(bool(attempt.refused) for attempt in came) / len(came),
        }
    return found


def visits(
    seed: int, *, patience: float, think: float, images: float, r: float, sigma: float, churn: float, **service: Any
) -> Found:
    """Each wants 1 + a negative binomial of images, one after the other, and may give up the rest when one fails.

    images: the mean; r: dispersion; sigma: of the lognormal by which people differ in how many more than one they want.
    A user who leaves the queue is taken out of it; one who leaves during service is served all the same.
    """
    world, users = World(seed, **service), count()
    line, rng = Line(world), world.rng

    def person() -> Process:
        user = next(users)
        more = (images - 1) * math.exp(sigma * rng.normal() - sigma**2 / 2)
        for number in range(1 + rng.negative_binomial(r, r / (r + more))):
            if number > 0:
                yield world.exponential(think)
            attempt = world.attempt(user)
            image = line.join(attempt)
            yield image | world.exponential(patience)
            if not image.triggered:
                attempt.left = world.env.now
                line.take_out(attempt)
                if rng.random() < churn:
                    return

    world.run(person)
    watched, visited = world.watched(), np.unique([attempt.user for attempt in world.attempts], return_counts=True)[1]
    return {
        **world.figures(),
        "left": float(np.mean([attempt.left >= 0 for attempt in watched])),
        "asks a second": len(watched) / (world.horizon - 2 * world.edge),
        "asks a person": float(visited.mean()),
        "asked once": float((visited == 1).mean()),
    }
