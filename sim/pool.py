"""The SimPy engine's pool: a queue of lanes, batches formed from them, and GPUs that serve them."""

import math
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any

import numpy as np
from simpy import Event

from sim.chance import CONSTANT
from sim.clock import COMPLETION, LINGER, Clock
from sim.demand.laws import Law
from sim.request import ABANDONED, Request
from sim.rules import FIFO, ORDER, PLAIN_POOL, dropped, fresh_codel
from sim.scenario import Scenario


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

    def next(self, order: float) -> Request | None:
        """The one to be served next: of those who still wait, who came first, or last."""
        place, out = (0, self.line.popleft) if order == FIFO else (-1, self.line.pop)
        while self.line and self.line[place].outcome == ABANDONED and self.line[place].done is None:
            out()
        return self.line[place] if self.line else None


class Pool:
    """GPUs that serve one queue: strict priority, then first come, first served, in batches of one spec."""

    def __init__(
        self,
        env: Clock,
        scenario: Scenario,
        number: int,
        seed: int,
        *,
        start: Callable[[list[Request], "Pool", int], Batch],
        finish: Callable[[Request], None],
        drop: Callable[[Request], None],
        unlimited: bool = False,
    ):
        """start: records requests as a batch on a GPU; finish: tells a request that its image is done; drop: that
        it was dropped.

        unlimited: there is always one GPU more, so that nobody waits: what demand would be if nothing held it back.
        """
        name = list(scenario.pools)[number]
        self.env, self.number, self.start, self.tell, self.drop, self.unlimited = (
            env,
            number,
            start,
            finish,
            drop,
            unlimited,
        )
        self.gpus, self.settings = scenario.gpus(name), scenario.pools[name]
        self.images = [spec.images for spec in scenario.specs()]  # of one request, by spec
        self.seconds = {scenario.specs().index(spec): table for spec, table in scenario.batch_tables(name).items()}
        self.full = {spec: max(table) for spec, table in self.seconds.items()}  # images in a full batch
        self.work = {  # GPU-seconds of one request in a full batch
            spec: table[max(table)] * self.images[spec] / max(table) for spec, table in self.seconds.items()
        }
        self.models = [spec.model for spec in scenario.specs()]
        self.loaded: list[str | None] = [None] * self.gpus  # the model each GPU served last
        self.load = Law(CONSTANT, 0.0, 0.0) if unlimited else self.settings.model_load.law
        self.linger = 0.0 if unlimited else self.settings.linger
        self.pace = scenario.paces(name, seed)
        self.lanes: list[Lane] = []  # sorted by priority
        self.knobs = np.array(PLAIN_POOL)
        self.codel = fresh_codel()
        self.inside = 0  # requests waiting or being served
        self.waiting_images = [0] * len(self.images)  # by spec
        self.queued = 0
        self.waiting: dict[tuple[int, int], int] = {}  # requests, by priority and spec: exact, where sums would drift
        self.idle: list[int] = []  # a heap: the lowest-numbered idle GPU is woken first
        self.wake: dict[int, Event] = {}
        for gpu in range(self.gpus):
            self.env.process(self.serve(gpu))

    def expected_wait(self, priority: int) -> float:
        """Seconds until the work queued at this priority or before it is started, over all GPUs."""
        work = 0.0  # added up one by one, as any engine must: what sum() does depends on Python's version
        for (urgency, spec), n in self.waiting.items():
            if urgency <= priority:
                work += n * self.work[spec]
        return work / self.gpus

    def join(self, request: Request) -> None:
        """Put a granted request into the queue and wake a GPU if one may start."""
        lane = next((x for x in self.lanes if x.priority == request.priority and x.spec == request.spec), None)
        if lane is None:
            lane = Lane(request.priority, request.spec)
            self.lanes.append(lane)
            self.lanes.sort(key=lambda x: (x.priority, x.spec))
        lane.line.append(request)
        self.inside += 1
        self.count(request, 1)
        if self.linger > 0:
            due = self.env.now + self.linger
            self.env.at(due, LINGER, request.user, lambda _: self.stop_lingering(request))
        self.wake_one()

    def count(self, request: Request, sign: int) -> None:
        """Keep the queue's totals when a request joins (+1) or leaves it (-1)."""
        self.queued += sign
        self.waiting_images[request.spec] += sign * self.images[request.spec]
        kind = request.priority, request.spec
        self.waiting[kind] = self.waiting.get(kind, 0) + sign

    def stop_lingering(self, request: Request) -> None:
        request.waited_out = True
        self.wake_one()

    def wake_one(self) -> None:
        if (not self.idle and not self.unlimited) or self.next_lane() is None:
            return
        if self.idle:
            self.wake[heappop(self.idle)].succeed()
        else:
            self.one_more()

    def one_more(self) -> None:
        """Another GPU, as fast as the average one."""
        self.loaded.append(None)
        self.pace.append(1.0)
        self.env.process(self.serve(self.gpus))
        self.gpus += 1

    def next_lane(self) -> Lane | None:
        """The lane to serve next: of those ready the most urgent, then the one whose next came first (or last)."""
        best, best_head, order = None, None, self.knobs[ORDER]
        for lane in self.lanes:
            if best is not None and lane.priority > best.priority:
                break
            head = lane.next(order)
            if head is None or not self.ready(lane, head):
                continue
            if best_head is None or comes_before(head, best_head, order):
                best, best_head = lane, head
        return best

    def ready(self, lane: Lane, head: Request) -> bool:
        """At no linger always; else when a full batch of the spec waits or the head has waited long enough."""
        full = self.full[lane.spec]
        return self.linger == 0 or head.waited_out or self.waiting_images[lane.spec] >= full

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
            if batch is None:
                continue  # all that it took was dropped
            yield self.env.at(self.env.now + batch.seconds, COMPLETION, gpu)
            self.finish(batch)

    def take(self, lane: Lane, gpu: int) -> Batch | None:
        """A batch headed by the lane's next, filled with requests of the same spec, the urgent ones first."""
        order = self.knobs[ORDER]
        room = self.full[lane.spec]
        each = self.images[lane.spec]
        taken: list[Request] = []
        for source in [lane, *[x for x in self.lanes if x.spec == lane.spec and x is not lane]]:
            while room >= each and source.next(order) is not None:
                request = source.line.popleft() if order == FIFO else source.line.pop()
                request.dequeued = self.env.now
                self.count(request, -1)
                if self.drops(request):
                    self.inside -= 1
                    self.drop(request)
                else:
                    taken.append(request)
                    room -= each
        return self.start(taken, self, gpu) if taken else None

    def drops(self, request: Request) -> bool:
        """Whether a request is dropped now that its turn has come."""
        seconds = self.seconds[request.spec][self.full[request.spec]]
        waited = self.env.now - request.arrived
        return bool(dropped(self.knobs, self.codel, waited, seconds, self.queued, self.env.now))

    def loads(self, gpu: int, spec: int) -> bool:
        """Whether this GPU must load the spec's model first; afterwards it holds it."""
        before, self.loaded[gpu] = self.loaded[gpu], self.models[spec]
        return before != self.models[spec]

    def finish(self, batch: Batch) -> None:
        batch.finished = self.env.now
        self.inside -= len(batch.requests)
        for request in batch.requests:
            self.tell(request)


def comes_before(one: Request, other: Request, order: float) -> bool:
    """Whether the next of one lane is served before that of another, alike urgent."""
    earlier = (one.arrived, one.user) < (other.arrived, other.user)
    return earlier if order == FIFO else not earlier
