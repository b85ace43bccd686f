"""The frame of the SimPy programs: a clock, chance, people who come at a rate, and GPUs that serve them."""

from collections import Counter
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import simpy

from tests.oracles.seen import Attempt, in_steady_state, within

Found = dict[str, float]
Process = Generator[simpy.Event, Any, None]


class World:
    """One run. rate: people a second; seconds: the mean time of a service; edge: left out at both ends of the run."""

    def __init__(
        self, seed: int, *, gpus: int, horizon: float, rate: float = 0.0, seconds: float = 0.0, edge: float = 0.0
    ):
        self.gpus, self.horizon, self.rate, self.seconds, self.edge = gpus, horizon, rate, seconds, edge
        self.env, self.rng = simpy.Environment(), np.random.default_rng(seed)
        self.attempts: list[Attempt] = []
        self.servers = simpy.Resource(self.env, gpus)

    def exponential(self, mean: float) -> simpy.Timeout:
        """A random pause."""
        return self.env.timeout(self.rng.exponential(mean))

    def attempt(self, user: int = 0, kind: int = 0) -> Attempt:
        """A request that is made now."""
        self.attempts.append(Attempt(self.env.now, user, kind))
        return self.attempts[-1]

    def run(self, arrive: Callable[[], Process | None]) -> None:
        """Play until the horizon: `arrive` at the instants of a Poisson process, and whatever process it returns."""
        self.env.process(self.source(arrive))
        self.env.run(self.horizon)

    def source(self, arrive: Callable[[], Process | None]) -> Process:
        while True:
            yield self.exponential(1 / self.rate)
            person = arrive()
            if person is not None:
                self.env.process(person)

    def service(self, attempt: Attempt, longest_wait: float = np.inf) -> Process:
        """First come, first served, for an exponential time; nobody leaves, and too late is too late."""
        with self.servers.request() as turn:
            yield turn
            if self.env.now - attempt.arrived > longest_wait:
                attempt.refused = "expired"
                return
            attempt.started = self.env.now
            yield self.exponential(self.seconds)
            attempt.finished = self.env.now

    def full(self, places: int) -> bool:
        """Whether every GPU is busy and this many requests wait."""
        return self.servers.count == self.gpus and len(self.servers.queue) >= places

    def watched(self) -> list[Attempt]:
        return within(self.attempts, self.edge, self.horizon - self.edge)

    def figures(self, *, beyond: float = 1.0, refused_by: tuple[str, ...] = ()) -> Found:
        """The figures of all attempts; and the share refused for each of these reasons."""
        why, of = Counter(attempt.refused for attempt in self.watched()), len(self.watched())
        found = in_steady_state(self.attempts, edge=self.edge, horizon=self.horizon, gpus=self.gpus, beyond=beyond)
        return found | {reason: why[reason] / of for reason in refused_by}

    def wishes(self) -> list[list[Attempt]]:
        """The attempts of each user, in order, of those who first asked in the time that is watched."""
        by_user: dict[int, list[Attempt]] = {}
        for attempt in self.attempts:
            by_user.setdefault(attempt.user, []).append(attempt)
        return [found for found in by_user.values() if self.edge <= found[0].arrived < self.horizon - self.edge]


class Line:
    """A queue whose people may leave, and GPUs that serve it one at a time, each for an exponential time."""

    def __init__(self, world: World):
        self.world, self.env = world, world.env
        self.waiting: list[tuple[Attempt, simpy.Event]] = []
        self.asleep: list[simpy.Event] = []
        for _ in range(world.gpus):
            self.env.process(self.gpu())

    def join(self, attempt: Attempt) -> simpy.Event:
        """Wait in line. The event is the image, which is made even for a user who has left."""
        image = self.env.event()
        self.waiting.append((attempt, image))
        if self.asleep:
            self.asleep.pop().succeed()
        return image

    def take_out(self, attempt: Attempt) -> None:
        """An attempt leaves the line, if it is still there."""
        self.waiting = [place for place in self.waiting if place[0] is not attempt]

    def gpu(self) -> Process:
        while True:
            while not self.waiting:
                self.asleep.append(self.env.event())
                yield self.asleep[-1]
            attempt, image = self.waiting.pop(0)
            attempt.started = self.env.now
            yield self.world.exponential(self.world.seconds)
            attempt.finished = self.env.now
            image.succeed()
