"""The SimPy engine's service: a gateway that decides, pools that queue and form batches, GPUs that serve them."""

import math
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import datetime
from heapq import heappop, heappush
from typing import Any

import numpy as np
from simpy import Event

from sim.clock import COMPLETION, LINGER, Clock
from sim.controls import Controls, PoolTelemetry, Telemetry
from sim.demand.people import People
from sim.request import ABANDONED, REFUSED, SERVED, Request, Spec
from sim.rules import (
    EXPONENTIAL_NOISE,
    GRANTED,
    LEVEL,
    LOGNORMAL_NOISE,
    NO_NOISE,
    PRIORITY,
    QUOTA,
    RATE,
    decide,
    fresh_limiter,
    noise,
)
from sim.scenario import Scenario
from sim.streams import ROLLOUT, SERVICE, SHED, draw

ATTEMPTS = 1024  # room for the attempts of one ask in the k of a draw

NOISES = {"none": NO_NOISE, "lognormal": LOGNORMAL_NOISE, "exponential": EXPONENTIAL_NOISE}


@dataclass(slots=True, eq=False)
class Batch:
    """Requests of one spec on one GPU: a row of the batch table. Times in seconds; nan is never."""

    number: int
    pool: int
    gpu: int
    spec: int
    requests: list[Request]
    size: int  # images
    started: float
    seconds: float
    finished: float = math.nan


@dataclass(slots=True)
class Lane:
    """Requests of one priority and spec, in order of arrival. Who has left stays until reached (lazy deletion)."""

    priority: int
    spec: int
    line: deque[Request] = field(default_factory=deque)

    def head(self) -> Request | None:
        """The first who still waits to be served."""
        while self.line and self.line[0].outcome == ABANDONED and self.line[0].done is None:
            self.line.popleft()
        return self.line[0] if self.line else None


class Pool:
    """GPUs that serve one queue: strict priority, then first come, first served, in batches of one spec."""

    def __init__(self, service: "Service", number: int, name: str):
        scenario = service.scenario
        self.service, self.env, self.number = service, service.env, number
        self.gpus, self.settings = scenario.gpus(name), scenario.pools[name]
        self.seconds = {service.specs.index(spec): table for spec, table in scenario.batch_tables(name).items()}
        self.full = {spec: max(table) for spec, table in self.seconds.items()}  # images in a full batch
        self.work = {  # GPU-seconds of one request in a full batch
            spec: table[max(table)] * service.specs[spec].images / max(table) for spec, table in self.seconds.items()
        }
        self.lanes: list[Lane] = []  # sorted by priority
        self.waiting_images = [0] * len(service.specs)  # by spec
        self.queued = 0
        self.backlog: dict[int, float] = {}  # GPU-seconds queued, by priority
        self.idle: list[int] = []  # a heap: the lowest-numbered idle GPU is woken first
        self.wake: dict[int, Event] = {}
        for gpu in range(self.gpus):
            self.env.process(self.serve(gpu))

    def expected_wait(self, priority: int) -> float:
        """Seconds until the work queued at this priority or before it is started, over all GPUs."""
        return sum(work for p, work in self.backlog.items() if p <= priority) / self.gpus

    def join(self, request: Request) -> None:
        """Put a granted request into the queue and wake a GPU if one may start."""
        lane = next((x for x in self.lanes if x.priority == request.priority and x.spec == request.spec), None)
        if lane is None:
            lane = Lane(request.priority, request.spec)
            self.lanes.append(lane)
            self.lanes.sort(key=lambda x: (x.priority, x.spec))
        lane.line.append(request)
        self.count(request, 1)
        if self.settings.linger > 0:
            due = self.env.now + self.settings.linger
            self.env.at(due, LINGER, request.user, lambda _: self.stop_lingering(request))
        self.wake_one()

    def count(self, request: Request, sign: int) -> None:
        """Keep the queue's totals when a request joins (+1) or leaves it (-1)."""
        self.queued += sign
        self.waiting_images[request.spec] += sign * self.service.specs[request.spec].images
        work = self.work[request.spec]
        left = self.backlog.get(request.priority, 0.0) + sign * work
        self.backlog[request.priority] = left if left > 1e-9 * work else 0.0

    def stop_lingering(self, request: Request) -> None:
        request.waited_out = True
        self.wake_one()

    def wake_one(self) -> None:
        if self.idle and self.next_lane() is not None:
            self.wake[heappop(self.idle)].succeed()

    def next_lane(self) -> Lane | None:
        """The lane to serve next: of those ready the most urgent, then the one whose head came first."""
        best, best_head = None, None
        for lane in self.lanes:
            if best is not None and lane.priority > best.priority:
                break
            head = lane.head()
            if head is None or not self.ready(lane, head):
                continue
            if best_head is None or (head.arrived, head.user) < (best_head.arrived, best_head.user):
                best, best_head = lane, head
        return best

    def ready(self, lane: Lane, head: Request) -> bool:
        """At no linger always; else when a full batch of the spec waits or the head has waited long enough."""
        full = self.full[lane.spec]
        return self.settings.linger == 0 or head.waited_out or self.waiting_images[lane.spec] >= full

    def serve(self, gpu: int) -> Generator[Event, Any, None]:
        """One GPU: take the next batch, be busy with it, again; asleep while there is none."""
        while True:
            lane = self.next_lane()
            if lane is None:
                heappush(self.idle, gpu)
                self.wake[gpu] = self.env.event()
                yield self.wake[gpu]
                continue
            batch = self.take(lane, gpu)
            yield self.env.at(self.env.now + batch.seconds, COMPLETION, gpu)
            self.finish(batch)

    def take(self, lane: Lane, gpu: int) -> Batch:
        """A batch headed by the lane's first, filled with requests of the same spec, the urgent ones first."""
        room = self.full[lane.spec]
        each = self.service.specs[lane.spec].images
        taken: list[Request] = []
        for source in [lane, *[x for x in self.lanes if x.spec == lane.spec and x is not lane]]:
            while room >= each and source.head() is not None:
                taken.append(source.line.popleft())
                room -= each
        for request in taken:
            self.count(request, -1)
        return self.service.start(taken, self, gpu)

    def finish(self, batch: Batch) -> None:
        batch.finished = self.env.now
        for request in batch.requests:
            self.service.finish(request)


class Service:
    """The gateway in front of the pools, and the record of all that happened."""

    def __init__(self, env: Clock, scenario: Scenario, people: People, controls: Controls, seed: int):
        self.env, self.scenario, self.controls, self.seed = env, scenario, controls, seed
        self.keys, self.tiers = people.key.tolist(), people.tier.tolist()
        self.born = (people.arrives - people.account_age).tolist()
        self.midnight = seconds_of_day(scenario.start)
        self.specs: list[Spec] = scenario.specs()
        features = list(scenario.features.values())
        self.ladders = [[self.specs.index(rung) for rung in feature.rungs()] for feature in features]
        self.meters = [sorted(set(scenario.meters())).index(meter) for meter in scenario.meters()]
        self.pool_of = [list(scenario.pools).index(feature.pool) for feature in features]
        self.noise = (NOISES[scenario.serving.noise.kind], math.sqrt(math.log1p(scenario.serving.noise.cv**2)))
        self.notices = scenario.serving.notices_leaving
        self.limiters: dict[tuple[int, int], np.ndarray] = {}
        self.no_limiter = fresh_limiter()  # nothing is ever written into it: it stands for users without limits
        self.in_flight: dict[int, int] = {}
        self.requests: list[Request] = []
        self.batches: list[Batch] = []
        self.signups = 0
        self.refresh()
        self.forget()
        self.pools = [Pool(self, number, name) for number, name in enumerate(scenario.pools)]

    def refresh(self) -> None:
        """Take over the knobs as they are now."""
        self.rows = [[(row, row.tolist()) for row in tier] for tier in self.controls.knobs]

    def ask(self, user: int, feature: int, ask: int, attempt: int) -> Request:
        """One attempt arrives: it is refused with a reason, or granted (perhaps less than asked) and queued."""
        tier, now, key = self.tiers[user], self.env.now, self.keys[user]
        row, knobs = self.rows[tier][feature]
        pool, ladder, meter = self.pools[self.pool_of[feature]], self.ladders[feature], self.meters[feature]
        request = Request(user, ask, attempt, tier, feature, now, ladder[0], ladder[0])
        request.priority = int(knobs[PRIORITY])
        self.requests.append(request)
        self.arrivals[tier][feature] += 1
        request.reason = decide(
            row,
            self.limiter(user, meter, knobs),
            now,
            self.midnight,
            now - self.born[user],
            self.in_flight.get(user, 0),
            pool.queued if pool.queued or not pool.idle else -1,
            pool.expected_wait(request.priority),
            draw(self.seed, ROLLOUT, key, meter),
            draw(self.seed, SHED, key, ask * ATTEMPTS + attempt),
        )
        if request.reason != GRANTED:
            request.outcome = REFUSED
            self.refused[tier][feature] += 1
            return request
        request.level = min(int(knobs[LEVEL]), len(ladder) - 1)
        request.spec = ladder[request.level]
        request.done = self.env.event()
        self.in_flight[user] = self.in_flight.get(user, 0) + 1
        pool.join(request)
        return request

    def limiter(self, user: int, meter: int, knobs: list[float]) -> np.ndarray:
        """What is remembered of this user's use of this meter; kept only while a rate limit or quota is on."""
        if math.inf == knobs[RATE] == knobs[QUOTA]:
            return self.no_limiter
        found = self.limiters.get((user, meter))
        if found is None:
            found = self.limiters[user, meter] = fresh_limiter()
        return found

    def leave(self, request: Request) -> None:
        """The user's patience is over. If the service notices, a queued request is taken out; else it is served."""
        if request.outcome is not None:
            return
        request.left, request.outcome = self.env.now, ABANDONED
        done, queued = request.done, math.isnan(request.started)
        if queued and self.notices:
            request.done = None  # the mark by which its lane passes over it
            self.pools[self.pool_of[request.feature]].count(request, -1)
            self.in_flight[request.user] -= 1
        done.succeed()  # type: ignore[attr-defined]

    def start(self, requests: list[Request], pool: Pool, gpu: int) -> Batch:
        """Put a batch on a GPU."""
        head, now = requests[0], self.env.now
        spec = self.specs[head.spec]
        size = len(requests) * spec.images
        factor = noise(*self.noise, self.seed, SERVICE, self.keys[head.user], head.ask * ATTEMPTS + head.attempt)
        seconds = pool.seconds[head.spec][size] * factor
        batch = Batch(len(self.batches), pool.number, gpu, head.spec, requests, size, now, seconds)
        self.batches.append(batch)
        for request in requests:
            request.started, request.batch, request.gpu_seconds = now, batch.number, seconds / len(requests)
            self.started[request.tier][request.feature] += 1
            self.waited[request.tier][request.feature] += now - request.arrived
        return batch

    def finish(self, request: Request) -> None:
        """An image is done; if its user is still there, it is served."""
        request.finished = self.env.now
        self.in_flight[request.user] -= 1
        if request.outcome is None:
            request.outcome = SERVED
            self.served[request.tier][request.feature] += 1
            request.done.succeed()  # type: ignore[attr-defined]

    def forget(self) -> None:
        """Begin a new control interval: the counts since the last tick are zero."""
        tiers, features = len(self.scenario.tiers), len(self.scenario.features)
        self.arrivals, self.refused, self.served, self.started = (
            [[0] * features for _ in range(tiers)] for _ in range(4)
        )
        self.waited = [[0.0] * features for _ in range(tiers)]
        self.signups = 0

    def telemetry(self, waitlisted: int) -> Telemetry:
        """What a policy may see now, counts since the tick before."""
        pools = {
            name: PoolTelemetry(pool.gpus, pool.gpus - len(pool.idle), pool.queued, pool.expected_wait(LAST))
            for name, pool in zip(self.scenario.pools, self.pools, strict=True)
        }
        return Telemetry(
            now=self.env.now,
            pools=pools,
            arrivals=read_only(self.arrivals),
            refused=read_only(self.refused),
            served=read_only(self.served),
            waited=read_only(self.waited),
            started=read_only(self.started),
            signups=self.signups,
            waitlisted=waitlisted,
        )


LAST = 1_000_000  # a priority after every other


def read_only(counts: list[list[int]] | list[list[float]]) -> np.ndarray:
    array = np.array(counts, dtype=float)
    array.flags.writeable = False
    return array


def seconds_of_day(start: datetime) -> float:
    return start.hour * 3600.0 + start.minute * 60.0 + start.second
