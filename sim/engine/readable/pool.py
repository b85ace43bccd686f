"""The SimPy engine's pool: a queue of lanes, batches formed from them, and GPUs that serve them."""

import math
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from typing import Any

import numpy as np
from simpy import Event

from sim.demand.laws import Law
from sim.engine.clock import COMPLETION, LINGER, Clock
from sim.model.chance import CONSTANT
from sim.model.dropping import (
    dropped,
    fresh_codel,
)
from sim.model.knobs import (
    BY_USER,
    FLEET,
    HAND,
    LIFO,
    MOST_FLOWS,
    NO_SHARING,
    ORDER,
    PLAIN_POOL,
    QUEUES,
    SHARING,
    SHORTEST,
)
from sim.model.request import ABANDONED, Request
from sim.model.sharing import dealt, whose_turn
from sim.scenario.scenario import Scenario


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
    power: float  # what its watts are multiplied by
    finished: float = math.nan


@dataclass(slots=True)
class Lane:
    """Requests of one priority, spec and flow, in order of arrival. Who has left stays until reached."""

    priority: int
    spec: int
    flow: int
    line: deque[Request] = field(default_factory=deque)

    def next(self, order: float) -> Request | None:
        """The one to be served next: of those who still wait, who came first, or last."""
        place, out = (-1, self.line.pop) if order == LIFO else (0, self.line.popleft)
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
        self.gpus, self.settings = 0, scenario.pools[name]  # in service
        self.images = [spec.images for spec in scenario.specs()]  # of one request, by spec
        self.seconds = {scenario.specs().index(spec): table for spec, table in scenario.batch_tables(name).items()}
        self.full = {spec: max(table) for spec, table in self.seconds.items()}  # images in a full batch
        self.work = {  # GPU-seconds of one request in a full batch
            spec: table[max(table)] * self.images[spec] / max(table) for spec, table in self.seconds.items()
        }
        self.models = [spec.model for spec in scenario.specs()]
        self.loaded: list[str | None] = []  # the model each GPU served last
        self.load = Law(CONSTANT, 0.0, 0.0) if unlimited else self.settings.model_load.law
        self.linger = 0.0 if unlimited else self.settings.linger
        self.pace_of = partial(scenario.pace, name, seed=seed)
        self.own = scenario.gpus(name)
        self.lanes: list[Lane] = []  # sorted by priority
        self.knobs = np.array(PLAIN_POOL)
        self.codel = fresh_codel()
        self.inside = 0  # requests waiting or being served
        self.waiting_images = [0] * len(self.images)  # by spec
        self.queued = 0
        self.waiting: dict[tuple[int, int, int], int] = {}  # by priority, spec and flow: exact, where sums would drift
        self.flow_waiting = np.zeros(MOST_FLOWS, dtype=np.int64)
        self.weights, self.deficits, self.flows = np.ones(MOST_FLOWS), np.zeros(MOST_FLOWS + 1), 1
        self.quantum = max(self.work.values(), default=0.0)
        self.idle: list[int] = []  # a heap: the lowest-numbered idle GPU is woken first
        self.wake: dict[int, Event] = {}
        self.running = 0  # batches
        self.switched_on: set[int] = set()  # in service, or with a last batch to finish
        self.resize(self.own)

    def expected_wait(self, priority: int) -> float:
        """Seconds until the work queued at this priority or before it is started, over all GPUs."""
        work = 0.0  # added up one by one, as any engine must: what sum() does depends on Python's version
        for (urgency, spec, _), n in self.waiting.items():
            if urgency <= priority:
                work += n * self.work[spec]
        return work / self.gpus if self.gpus > 0 else math.inf

    def take_over(self, knobs: np.ndarray) -> None:
        """The knobs are set: they hold from now on."""
        self.knobs = knobs.copy()
        if not self.unlimited:
            self.resize(self.own if math.isinf(knobs[FLEET]) else int(knobs[FLEET]))

    def resize(self, gpus: int) -> None:
        """So many GPUs are in service. The last in number go first, each after its batch; who comes holds no model."""
        before, self.gpus = self.gpus, gpus
        if gpus < before:
            for gpu in [gpu for gpu in self.idle if gpu >= gpus]:
                self.switched_on.discard(gpu)
            self.idle = sorted(gpu for gpu in self.idle if gpu < gpus)
        for gpu in range(before, gpus):
            if gpu not in self.switched_on:
                self.switch_on(gpu)

    def switch_on(self, gpu: int) -> None:
        while len(self.loaded) <= gpu:
            self.loaded.append(None)
        self.loaded[gpu] = None
        self.switched_on.add(gpu)
        self.env.process(self.serve(gpu))

    def join(self, request: Request) -> None:
        """Put a granted request into the queue and wake a GPU if one may start."""
        kind = request.priority, request.spec, request.flow
        lane = next((x for x in self.lanes if (x.priority, x.spec, x.flow) == kind), None)
        if lane is None:
            lane = Lane(*kind)
            self.lanes.append(lane)
            self.lanes.sort(key=lambda x: (x.priority, x.spec, x.flow))
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
        kind = request.priority, request.spec, request.flow
        self.waiting[kind] = self.waiting.get(kind, 0) + sign
        self.flow_waiting[request.flow] += sign

    def stop_lingering(self, request: Request) -> None:
        if math.isnan(request.dequeued):
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
        self.gpus += 1
        self.switch_on(self.gpus - 1)

    def pace(self, gpu: int) -> float:
        """What a GPU's times are multiplied by; those beyond the fleet of an unlimited pool are average."""
        return 1.0 if self.unlimited and gpu >= self.own else self.pace_of(gpu)

    def flow_of(self, u: float, flow: int, weight: float) -> int:
        """The flow that a request joins. u: its user's draw; flow, weight: of its tier and feature."""
        if self.knobs[SHARING] == NO_SHARING:
            return 0
        if self.knobs[SHARING] == BY_USER:
            flow, weight = dealt(u, int(self.knobs[QUEUES]), int(self.knobs[HAND]), self.flow_waiting), 1.0
        self.weights[flow], self.flows = weight, max(self.flows, flow + 1)
        return int(flow)

    def next_lane(self) -> Lane | None:
        """The lane to serve next: of those ready the most urgent, of the flow whose turn it is, then by order."""
        order, sharing = self.knobs[ORDER], self.knobs[SHARING] != NO_SHARING
        best: dict[int, tuple[Lane, Request]] = {}  # by flow, where flows share
        for lane in self.lanes:
            if best and lane.priority > next(iter(best.values()))[0].priority:
                break
            head = lane.next(order)
            if head is None or not self.ready(lane, head):
                continue
            flow = lane.flow if sharing else 0
            if flow not in best or self.comes_before(head, best[flow][1]):
                best[flow] = lane, head
        if not best:
            return None
        return best[self.flow_in_turn(best) if sharing else 0][0]

    def flow_in_turn(self, best: dict[int, tuple[Lane, Request]]) -> int:
        ready = np.full(self.flows, -1)
        ready[list(best)] = 1
        turn = whose_turn(self.deficits, self.weights, ready, self.flow_waiting, self.flows, self.quantum)
        return int(turn)

    def comes_before(self, one: Request, other: Request) -> bool:
        """Whether the next of one lane is served before that of another, alike urgent."""
        order = self.knobs[ORDER]
        if order == SHORTEST and self.work[one.spec] != self.work[other.spec]:
            return self.work[one.spec] < self.work[other.spec]
        earlier = (one.arrived, one.user) < (other.arrived, other.user)
        return not earlier if order == LIFO else earlier

    def ready(self, lane: Lane, head: Request) -> bool:
        """At no linger always; else when a full batch of the spec waits or the head has waited long enough."""
        full = self.full[lane.spec]
        return self.linger == 0 or head.waited_out or self.waiting_images[lane.spec] >= full

    def serve(self, gpu: int) -> Generator[Event, Any, None]:
        """One GPU: take the next batch, be busy with it, again; asleep while there is none."""
        while gpu < self.gpus:
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
        self.switched_on.discard(gpu)

    def take(self, lane: Lane, gpu: int) -> Batch | None:
        """A batch headed by the lane's next, filled with requests of the same spec, the urgent ones first."""
        order = self.knobs[ORDER]
        room = self.full[lane.spec]
        each = self.images[lane.spec]
        taken: list[Request] = []
        for source in [lane, *[x for x in self.lanes if x.spec == lane.spec and x is not lane]]:
            while room >= each and source.next(order) is not None:
                request = source.line.pop() if order == LIFO else source.line.popleft()
                request.dequeued = self.env.now
                self.count(request, -1)
                if self.drops(request):
                    self.inside -= 1
                    self.drop(request)
                else:
                    taken.append(request)
                    room -= each
                    if self.knobs[SHARING] != NO_SHARING:
                        self.deficits[request.flow] -= self.work[request.spec]
        if not taken:
            return None
        self.running += 1
        return self.start(taken, self, gpu)

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
        self.running -= 1
        self.inside -= len(batch.requests)
        for request in batch.requests:
            self.tell(request)
