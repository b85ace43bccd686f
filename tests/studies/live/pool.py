"""The live server's pool: requests that wait, batches made of them, and the GPUs that serve these in real time."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from heapq import heapify, heappop, heappush
from math import nan

import numpy as np

from sim.errors import BadInput
from sim.model.chance import NOISES, noise, sample
from sim.model.dropping import dropped, fresh_codel
from sim.model.knobs import FLEET, LIFO, NO_SHARING, ORDER, PLAIN_POOL, POWER, SHARING, SHORTEST, SLOWDOWN
from sim.model.request import Request
from sim.model.streams import ATTEMPTS, LOAD, SERVICE
from sim.scenario.scenario import Scenario
from tests.studies.live.clock import RealClock
from tests.studies.live.devices import Device


@dataclass(slots=True, eq=False)
class Attempt(Request):
    """A request of a live run: `arrived` is when it was due, `received` when the server saw it, in seconds."""

    key: int = 0  # the user's, in random draws
    received: float = nan


@dataclass(slots=True, eq=False)
class LiveBatch:
    """Requests of one spec on one GPU. Times in seconds; nan is never."""

    number: int
    pool: int
    gpu: int
    spec: int
    requests: list[Attempt]
    size: int  # images
    started: float
    planned: float  # seconds, by the profile
    power: float
    finished: float = nan

    @property
    def seconds(self) -> float:
        """As it took; as planned where it is not over."""
        return self.planned if math.isnan(self.finished) else self.finished - self.started


class LivePool:
    """Strict priority, then by the pool's order, in batches of one spec that wait `linger` seconds to fill."""

    def __init__(
        self,
        clock: RealClock,
        scenario: Scenario,
        number: int,
        seed: int,
        device: Device,
        *,
        batches: list[LiveBatch],
        start: Callable[[Attempt], None],
        finish: Callable[[Attempt], None],
        drop: Callable[[Attempt], None],
    ):
        """batches: where each is written down; start, finish, drop: called with each request to which that happens."""
        name = list(scenario.pools)[number]
        specs = scenario.specs()
        self.clock, self.number, self.seed, self.device, self.batches = clock, number, seed, device, batches
        self.told_start, self.told_finish, self.told_drop = start, finish, drop
        self.images, self.models = [spec.images for spec in specs], [spec.model for spec in specs]
        self.noises = [(NOISES[scenario.serving.noise.kind], scenario.noise_sigma(spec.model)) for spec in specs]
        self.seconds = {specs.index(spec): table for spec, table in scenario.batch_tables(name).items()}
        self.full = {spec: max(table) for spec, table in self.seconds.items()}  # images in a full batch
        self.work = {  # GPU-seconds of one request in a full batch
            spec: table[max(table)] * self.images[spec] / max(table) for spec, table in self.seconds.items()
        }
        self.linger, self.load = scenario.pools[name].linger, scenario.pools[name].model_load.law
        self.pace = partial(scenario.pace, name, seed=seed)
        self.knobs, self.codel = np.array(PLAIN_POOL), fresh_codel()
        self.lanes: dict[tuple[int, int], dict[Attempt, None]] = {}  # by priority and spec, in order of coming
        self.inside = self.running = 0
        self.own, self.gpus = scenario.gpus(name), 0
        self.idle: list[int] = []  # a heap: the lowest-numbered is woken first
        self.switched_on: set[int] = set()  # in service, or with a last batch to finish
        self.holds: dict[int, str] = {}  # the model that a GPU has loaded
        self.resize(self.own)

    @property
    def queued(self) -> int:
        return sum(map(len, self.lanes.values()))

    def expected_wait(self, priority: int) -> float:
        """Seconds until the work queued at this priority or before it is started, over all GPUs."""
        work = 0.0
        for (urgency, spec), lane in self.lanes.items():
            if urgency <= priority:
                work += len(lane) * self.work[spec]
        return work / self.gpus if self.gpus > 0 else math.inf

    def take_over(self, knobs: np.ndarray) -> None:
        """The knobs hold from now on. Raises BadInput for one that a live server lacks."""
        if knobs[SHARING] != NO_SHARING:
            raise BadInput("the live server has no flows that share a pool", key="sharing", expected="off")
        self.knobs = knobs.copy()
        self.resize(self.own if math.isinf(knobs[FLEET]) else int(knobs[FLEET]))

    def resize(self, gpus: int) -> None:
        """So many GPUs are in service; who goes finishes its batch, who comes holds no model."""
        before, self.gpus = self.gpus, gpus
        self.switched_on -= {gpu for gpu in self.idle if gpu >= gpus}
        self.idle = [gpu for gpu in self.idle if gpu < gpus]
        heapify(self.idle)
        for gpu in range(before, gpus):
            self.holds.pop(gpu, None)
            if gpu not in self.switched_on:
                self.switched_on.add(gpu)
                self.offer(gpu)

    def join(self, attempt: Attempt) -> None:
        """Queue a granted request, and wake a GPU if one may start."""
        self.lanes.setdefault((attempt.priority, attempt.spec), {})[attempt] = None
        self.inside += 1
        if self.linger > 0:
            self.clock.at(self.clock.now() + self.linger, self.stop_lingering, attempt)
        self.wake()

    def leave(self, attempt: Attempt) -> None:
        """Take a request out of the queue."""
        del self.lanes[attempt.priority, attempt.spec][attempt]
        self.inside -= 1

    def stop_lingering(self, attempt: Attempt) -> None:
        attempt.waited_out = True
        self.wake()

    def wake(self) -> None:
        if self.idle and self.next_lane() is not None:
            self.offer(heappop(self.idle))

    def offer(self, gpu: int) -> None:
        """A free GPU takes the next batch, or is idle."""
        while (lane := self.next_lane()) is not None:
            taken = self.take(lane)
            if taken:
                self.begin(taken, gpu)
                return
        heappush(self.idle, gpu)

    def next_lane(self) -> tuple[int, int] | None:
        """The lane to serve next, of those that are ready: the most urgent, then by the pool's order."""
        best, place = None, None
        for lane, line in self.lanes.items():
            if not line:
                continue
            head = self.head(line)
            if self.ready(lane[1], head):
                here = self.place(lane, head)
                if place is None or here < place:
                    best, place = lane, here
        return best

    def head(self, line: dict[Attempt, None]) -> Attempt:
        return next(reversed(line)) if self.knobs[ORDER] == LIFO else next(iter(line))

    def place(self, lane: tuple[int, int], head: Attempt) -> tuple[float, ...]:
        """Where in the order of service a lane's next stands."""
        urgency, spec = lane
        work = self.work[spec] if self.knobs[ORDER] == SHORTEST else 0.0
        sign = -1.0 if self.knobs[ORDER] == LIFO else 1.0
        return urgency, work, sign * head.received, sign * head.user

    def ready(self, spec: int, head: Attempt) -> bool:
        """Without linger always; else when a full batch waits, or the next has waited long enough for one."""
        if self.linger == 0 or head.waited_out:
            return True
        waiting = sum(len(line) for (_, other), line in self.lanes.items() if other == spec)
        return waiting * self.images[spec] >= self.full[spec]

    def take(self, first: tuple[int, int]) -> list[Attempt]:
        """Requests of one spec for one batch, out of the queue: of the lane whose turn it is, then the urgent ones."""
        spec, now, taken = first[1], self.clock.now(), []
        room = self.full[spec]
        for lane in [first, *sorted(lane for lane in self.lanes if lane[1] == spec and lane != first)]:
            line = self.lanes[lane]
            while line and room >= self.images[spec]:
                attempt = self.head(line)
                del line[attempt]
                attempt.dequeued = now
                if self.drops(attempt, now):
                    self.inside -= 1
                    self.told_drop(attempt)
                else:
                    taken.append(attempt)
                    room -= self.images[spec]
        return taken

    def drops(self, attempt: Attempt, now: float) -> bool:
        """Whether a request is dropped now that its turn has come."""
        seconds = self.seconds[attempt.spec][self.full[attempt.spec]]
        return bool(dropped(self.knobs, self.codel, now - attempt.received, seconds, self.queued, now))

    def begin(self, taken: list[Attempt], gpu: int) -> None:
        """Put a batch on a GPU."""
        head, size, now = taken[0], len(taken) * self.images[taken[0].spec], self.clock.now()
        k = head.ask * ATTEMPTS + head.attempt
        factor = noise(*self.noises[head.spec], self.seed, SERVICE, head.key, k)
        seconds = self.seconds[head.spec][size] * self.pace(gpu) * factor * self.knobs[SLOWDOWN]
        if self.holds.get(gpu) != self.models[head.spec]:
            self.holds[gpu] = self.models[head.spec]
            seconds += sample(*self.load, self.seed, LOAD, head.key, k)
        power = float(self.knobs[POWER])
        batch = LiveBatch(len(self.batches), self.number, gpu, head.spec, taken, size, now, float(seconds), power)
        self.batches.append(batch)
        self.running += 1
        for attempt in taken:
            attempt.started, attempt.batch, attempt.gpu_seconds = now, batch.number, seconds / len(taken)
            self.told_start(attempt)
        self.clock.spawn(self.serve(batch))

    async def serve(self, batch: LiveBatch) -> None:
        """Wait for the GPU; then it is free for the next."""
        await self.device.serve(self.clock, batch.started + batch.planned, self.models[batch.spec], batch.size)
        batch.finished = self.clock.now()
        self.running -= 1
        self.inside -= len(batch.requests)
        for attempt in batch.requests:
            self.told_finish(attempt)
        if batch.gpu < self.gpus:
            self.offer(batch.gpu)
        else:
            self.switched_on.discard(batch.gpu)
