"""People who want several images in one visit, as a plain program in SimPy."""

import math
from collections.abc import Generator
from typing import Any

import numpy as np
import simpy

from tests.oracles.seen import Attempt, in_steady_state, within

Found = dict[str, float]
Process = Generator[simpy.Event, Any, None]


def visits(
    seed: int,
    *,
    rate: float,
    gpus: int,
    seconds: float,
    patience: float,
    think: float,
    images: float,
    r: float,
    sigma: float,
    churn: float,
    horizon: float,
    edge: float,
) -> Found:
    """Each wants 1 + a negative binomial of images, one after the other, and may give up the rest where one fails.

    images: the mean; r: dispersion; sigma: of the lognormal by which people differ in how many more than one they want.
    Who leaves the queue is taken out of it; who leaves during service is served all the same.
    """
    rng, env = np.random.default_rng(seed), simpy.Environment()
    line: list[Attempt] = []
    image: dict[Attempt, simpy.Event] = {}
    people: list[list[Attempt]] = []
    asleep: list[simpy.Event] = []

    def source() -> Process:
        while True:
            yield env.timeout(rng.exponential(1 / rate))
            people.append([])
            env.process(person(people[-1]))

    def person(attempts: list[Attempt]) -> Process:
        more = (images - 1) * math.exp(sigma * rng.normal() - sigma**2 / 2)
        for number in range(1 + rng.negative_binomial(r, r / (r + more))):
            if number > 0:
                yield env.timeout(rng.exponential(think))
            attempt = Attempt(env.now)
            attempts.append(attempt)
            line.append(attempt)
            image[attempt] = env.event()
            if asleep:
                asleep.pop().succeed()
            yield image[attempt] | env.timeout(rng.exponential(patience))
            if not image[attempt].triggered:
                attempt.left = env.now
                if attempt in line:
                    line.remove(attempt)
                if rng.random() < churn:
                    return

    def gpu() -> Process:
        while True:
            while not line:
                asleep.append(env.event())
                yield asleep[-1]
            attempt = line.pop(0)
            attempt.started = env.now
            yield env.timeout(rng.exponential(seconds))
            attempt.finished = env.now
            if math.isnan(attempt.left):
                image[attempt].succeed()

    env.process(source())
    for _ in range(gpus):
        env.process(gpu())
    env.run(horizon)
    of_all = [attempt for attempts in people for attempt in attempts]
    watched = within(of_all, edge, horizon - edge)
    return {
        **in_steady_state(of_all, edge=edge, horizon=horizon, gpus=gpus, beyond=1.0),
        "left": float(np.mean([attempt.left >= 0 for attempt in watched])),
        "asks a second": len(watched) / (horizon - 2 * edge),
        "asks a person": len(of_all) / len(people),
        "asked once": float(np.mean([len(attempts) == 1 for attempts in people])),
    }
