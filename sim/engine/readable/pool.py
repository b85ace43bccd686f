"""The readable engine's pool: one queue or one for each GPU, batches formed from them, and GPUs that serve them."""

import math
from bisect import insort
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

import numpy as np
from simpy import Event

from sim.demand.laws import Law
from sim.engine.clock import COMPLETION, LINGER, Clock
from sim.engine.readable.batch import Batch
from sim.engine.readable.forming import Forming
from sim.engine.readable.losses import Losses
from sim.engine.readable.queues import Lane, Queue
from sim.model.balancing import CENTRAL, DISPATCHES, LEAST_WORK, NO_MODEL, candidates, seconds_ahead, sent_to
from sim.model.chance import CONSTANT
from sim.model.controls import LAST, PoolTelemetry
from sim.model.dispatch import TIMERS, comes_before, is_ready, time_to_start, work_of_request
from sim.model.dropping import dropped
from sim.model.gateway import queue_ahead
from sim.model.knobs import FLEET, LIFO, LOST, NO_SHARING, NOTICE, ORDER, PLAIN_POOL, SHARING, SLOWDOWN
from sim.model.request import Request
from sim.model.sharing import flow_of, whose_turn
from sim.model.streams import ATTEMPTS
from sim.scenario.scenario import Scenario
from sim.scenario.serving_options import SLOT_FREE, WHEN_FREE


class Pool(Forming, Losses):
    """GPUs that serve one queue, or each its own: by strict priority, then by order, in batches of one spec.

    A GPU is a replica here: several that serve as one count as one, but for the knobs and for what policies see.
    """

    def __init__(
        self,
        env: Clock,
        scenario: Scenario,
        number: int,
        seed: int,
        *,
        start: Callable[[list[Request], "Pool", int], Batch],
        finish: Callable[[Request], None],
        drop: Callable[..., None],
        unlimited: bool = False,
    ):
        """start: makes requests a batch on a GPU; finish, drop: called with each request to which that happens.

        unlimited: there is always one GPU more, so that nobody waits: demand as it would be if nothing held it back.
        """
        name = list(scenario.pools)[number]
        self.env, self.number, self.seed, self.unlimited = env, number, seed, unlimited
        self.start, self.tell, self.drop = start, finish, drop
        self.gpus, self.settings = 0, scenario.pools[name]  # GPUs in service
        self.images = [spec.images for spec in scenario.specs()]  # of one request, by spec
        self.seconds, *self.kinds = (  # of a mean GPU, and of each kind
            {scenario.specs().index(spec): table for spec, table in tables.items()}
            for tables in (scenario.batch_tables(name), *scenario.tables_by_kind(name))
        )
        self.kind_of = partial(scenario.kind_of, name)
        self.full = {spec: max(table) for spec, table in self.seconds.items()}  # images in a full batch
        self.work, *self.work_on = (  # GPU-seconds of one request in a full batch: on a mean GPU, and on each kind
            {s: float(work_of_request(table[n := max(table)], self.images[s], n)) for s, table in tables.items()}
            for tables in (self.seconds, *self.kinds)
        )
        models = list(dict.fromkeys(spec.model for spec in scenario.specs()))
        self.models = [models.index(spec.model) for spec in scenario.specs()]
        self.loaded: list[int] = []  # the model each GPU served last
        self.load = Law(CONSTANT, 0.0, 0.0) if unlimited else self.settings.model_load.law
        self.linger = 0.0 if unlimited else self.settings.linger
        self.ahead = self.settings.closes != WHEN_FREE and not unlimited  # batches close before a GPU takes them
        self.slots = self.settings.slots if self.settings.closes == SLOT_FREE and not unlimited else 0
        self.formed = self.taken = 0  # where a free slot closes them: how many have closed, the last one on a GPU
        self.timer = TIMERS[self.settings.timer]
        self.pace_of = partial(scenario.pace, name, seed=seed)
        self.own, self.per_replica = scenario.replicas(name), self.settings.gpus_per_replica
        self.rule = CENTRAL if unlimited else DISPATCHES[self.settings.dispatch]
        self.queues = [Queue(0, self.images)]  # and, but for a central queue, one more for each further GPU
        self.affinity = self.settings.affinity
        self.sent = 0  # requests sent to one of them
        self.until: dict[int, float] = {}  # when each GPU's last batch should be done
        self.knobs = np.array(PLAIN_POOL)
        self.inside = 0  # requests waiting or being served
        self.queued = 0  # requests waiting
        self.quantum = max(self.work.values(), default=0.0)
        self.idle: list[int] = []  # ascending: the lowest-numbered idle GPU is woken first
        self.wake: dict[int, Event] = {}
        self.running = 0  # batches
        self.switched_on: set[int] = set()  # in service, or with a last batch to finish
        self.on: dict[int, Batch] = {}  # the batch on each GPU at work
        self.losses = 0  # how often GPUs were lost with what they ran
        self.killed: list[tuple[Request, Batch]] = []  # whose work was lost, and in which batch
        self.serving = scenario.serving
        self.resize(self.own)

    def expected_wait(self, priority: int) -> float:
        """Seconds until the work queued at this priority or a more urgent one is started."""
        work = 0.0
        for queue in self.queues[: max(self.gpus, 1)]:
            work += queue.work_ahead(priority, self.work)
        return float(time_to_start(work, self.gpus))

    def queue_ahead(self) -> int:
        """The queue that a request meets."""
        return int(queue_ahead(self.queued, len(self.idle)))

    def telemetry(self) -> PoolTelemetry:
        """The state of the pool that a policy may see."""
        each = self.per_replica
        return PoolTelemetry(each * self.gpus, each * self.running, self.queued, self.inside, self.expected_wait(LAST))

    def take_over(self, knobs: np.ndarray) -> None:
        """These knobs hold from now on."""
        lost, self.knobs = int(knobs[LOST] - self.knobs[LOST]) // self.per_replica, knobs.copy()
        if self.unlimited:
            return
        gpus = self.hit(lost) if lost > 0 else []
        self.resize(self.own if math.isinf(knobs[FLEET]) else int(knobs[FLEET]) // self.per_replica)
        if gpus:
            self.doom(gpus, self.env.now + float(knobs[NOTICE]))

    def resize(self, gpus: int) -> None:
        """Change the number of GPUs: the highest numbers leave first, each after its batch; new ones hold no model."""
        before, self.gpus = self.gpus, gpus
        if gpus < before:
            for gpu in [gpu for gpu in self.idle if gpu >= gpus]:
                self.switched_on.discard(gpu)
            self.idle = sorted(gpu for gpu in self.idle if gpu < gpus)
        for gpu in range(before, gpus):
            if gpu not in self.switched_on:
                self.switch_on(gpu)
        if self.rule == CENTRAL or gpus == before:
            return
        self.queues += [Queue(n, self.images) for n in range(len(self.queues), gpus)]
        for queue in self.queues[gpus:before]:
            queue.holds = NO_MODEL
        self.hand_over(self.queues[:1] if before == 0 else self.queues[max(gpus, 1) :])

    def hand_over(self, leaving: list[Queue]) -> None:
        """Send all requests in these queues to GPUs that are in service; without any, all wait in the first queue."""
        moving = [request for queue in leaving for request in queue.emptied()]
        for request in moving:
            before = self.queues[request.queue]
            request.queue = self.sent_to(request)
            after = self.queues[request.queue]
            after.weights[request.flow] = before.weights[request.flow]
            after.flows = max(after.flows, request.flow + 1)
            after.append(request)
            after.inside += 1
            self.after_joining(request)
        for queue in self.queues[: self.gpus if moving else 0]:
            self.wake_one(queue)

    def switch_on(self, gpu: int) -> None:
        while len(self.loaded) <= gpu:
            self.loaded.append(NO_MODEL)
        self.loaded[gpu] = NO_MODEL
        self.switched_on.add(gpu)
        self.env.process(self.serve(gpu))

    def sent_to(self, request: Request) -> int:
        """The number of the queue that a request joins."""
        if self.rule == CENTRAL:
            return 0
        queues = self.queues[: max(self.gpus, 1)]
        load = np.array([float(queue.inside) for queue in queues])
        ahead = np.zeros(len(queues))
        if self.rule == LEAST_WORK or self.affinity is not None:
            ahead[:] = [self.seconds_ahead(queue.number, request.priority) for queue in queues]
        chosen, count = np.arange(len(queues), dtype=np.int32), len(queues)
        if self.affinity is not None:
            holds = np.array([queue.holds for queue in queues], dtype=np.int32)
            count = candidates(chosen, holds, self.models[request.spec], ahead, self.affinity, len(queues))
        load = (ahead if self.rule == LEAST_WORK else load)[chosen[:count]]
        turn, self.sent = self.sent, self.sent + 1
        k = request.ask * ATTEMPTS + request.attempt
        queue = queues[chosen[sent_to(self.rule, count, load, turn, self.seed, request.key, k)]]
        queue.holds = self.models[request.spec]
        return queue.number

    def seconds_ahead(self, gpu: int, priority: int) -> float:
        """Seconds until this GPU would start a request of some priority, by what was measured."""
        queue, slower = self.queues[gpu], self.pace(gpu) * self.knobs[SLOWDOWN]
        until = self.until[gpu] if queue.inside > queue.waiting else 0.0  # else its last batch ended before that
        work = queue.work_ahead(priority, self.work_on[self.kind_of(gpu)])
        return float(seconds_ahead(work, slower, until, self.env.now))

    def join(self, request: Request) -> None:
        """Put a granted request into its queue and wake a GPU if one may start."""
        queue = self.queues[request.queue]
        queue.append(request)
        self.queued += 1
        self.inside += 1
        queue.inside += 1
        if self.linger > 0 and (self.slots or not self.ahead):
            due = self.env.now + self.linger
            self.env.at(due, LINGER, request.user, lambda _: self.stop_lingering(request))
        self.after_joining(request)
        self.wake_one(queue)

    def after_joining(self, request: Request) -> None:
        """A request has come to the end of its lane."""
        if self.ahead:
            self.join_batch(request, self.queues[request.queue].lane(request))

    def remove(self, request: Request) -> None:
        """Take a request out of the queue whose user has left; its lane passes over it."""
        queue = self.queues[request.queue]
        request.dequeued = self.env.now
        self.inside -= 1
        queue.inside -= 1
        self.count(queue, request)
        if self.ahead:
            self.leave_batch(request, queue.lane(request))

    def order(self) -> float:
        """The order of those who wait; batches that are closed start in the order in which they did."""
        return 0.0 if self.ahead and self.knobs[ORDER] == LIFO else float(self.knobs[ORDER])

    def count(self, queue: Queue, request: Request) -> None:
        """A request leaves the queue."""
        self.queued -= 1
        queue.count(request, -1)

    def stop_lingering(self, request: Request) -> None:
        if math.isnan(request.dequeued):
            request.waited_out = True
            self.wake_one(self.queues[request.queue])

    def wake_one(self, queue: Queue) -> None:
        """If a batch may start, an idle GPU that serves this queue takes it; an unlimited pool gets one more GPU."""
        if self.slots:
            self.form(queue)
        idle = self.idle if self.rule == CENTRAL else [gpu for gpu in self.idle if gpu == queue.number]
        if (not idle and not self.unlimited) or self.next_batch(queue) is None:
            return
        if idle:
            self.idle.remove(gpu := idle[0])
            self.wake[gpu].succeed()
        else:
            self.one_more()

    def one_more(self) -> None:
        """Another GPU, as fast as the average one."""
        self.gpus += 1
        self.switch_on(self.gpus - 1)

    def times(self, gpu: int) -> dict[int, dict[int, float]]:
        """Seconds of batches on a GPU, by spec and size; those beyond the fleet of an unlimited pool are average."""
        return self.seconds if self.unlimited and gpu >= self.own else self.kinds[self.kind_of(gpu)]

    def pace(self, gpu: int) -> float:
        """The factor on a GPU's times; those beyond the fleet of an unlimited pool are average."""
        return 1.0 if self.unlimited and gpu >= self.own else self.pace_of(gpu)

    def flow_joined(self, number: int, flow: int, weight: float, key: int) -> int:
        """The flow of a queue that a user's request joins. flow, weight: of its tier and feature."""
        if self.knobs[SHARING] == NO_SHARING:
            return 0
        queue = self.queues[number]
        flow, weight = flow_of(self.knobs, flow, weight, self.seed, key, queue.flow_waiting)
        queue.weights[flow], queue.flows = weight, max(queue.flows, flow + 1)
        return int(flow)

    def next_lane(self, queue: Queue) -> Lane | None:
        """The lane to serve next: of those ready the most urgent, of the flow whose turn it is, then by order."""
        order, sharing = self.order(), self.knobs[SHARING] != NO_SHARING
        best: dict[int, tuple[Lane, Request]] = {}  # by flow, where flows share
        for lane in queue.lanes:
            if best and lane.priority > next(iter(best.values()))[0].priority:
                break
            head = lane.first_open() if self.slots else lane.next(order)
            if head is None or not self.ready(queue, lane, head):
                continue
            flow = lane.flow if sharing else 0
            if flow not in best or self.comes_before(order, head, best[flow][1]):
                best[flow] = lane, head
        if not best:
            return None
        return best[self.flow_in_turn(queue, best) if sharing else 0][0]

    def flow_in_turn(self, queue: Queue, best: dict[int, tuple[Lane, Request]]) -> int:
        ready = np.full(queue.flows, -1)
        ready[list(best)] = 1
        turn = whose_turn(queue.deficits, queue.weights, ready, queue.flow_waiting, queue.flows, self.quantum)
        return int(turn)

    def comes_before(self, order: float, one: Request, other: Request) -> bool:
        """Whether the next request of one lane is served before that of another of the same priority."""
        a, b = ((self.work[request.spec], request.arrived, request.user) for request in (one, other))
        return bool(comes_before(order, *a, *b))

    def ready(self, queue: Queue, lane: Lane, head: Request) -> bool:
        """Whether a batch that this request heads may start."""
        if self.ahead and not self.slots:
            return lane.waiting > lane.open
        images = lane.open * self.images[lane.spec] if self.slots else queue.waiting_images[lane.spec]
        return bool(is_ready(self.linger, head.waited_out, images, self.full[lane.spec]))

    def serve(self, gpu: int) -> Generator[Event, Any, None]:
        """One GPU: take the next batch and be busy with it, again and again; sleep while there is none."""
        while gpu < self.gpus:
            queue = self.queue_of(gpu)
            if self.slots:
                self.form(queue)
            lane = self.next_batch(queue)
            if lane is None:
                insort(self.idle, gpu)
                self.wake[gpu] = self.env.event()
                yield self.wake[gpu]
                continue
            batch = self.take(queue, lane, gpu)
            if batch is None:
                continue  # every request taken was dropped
            self.on[gpu] = batch
            yield self.env.at(self.env.now + batch.seconds, COMPLETION, gpu)
            if batch.ends:
                return  # it was stopped before
            self.finish(batch)
        self.switched_on.discard(gpu)

    def queue_of(self, gpu: int) -> Queue:
        return self.queues[0 if self.rule == CENTRAL else gpu]

    def take(self, queue: Queue, lane: Lane, gpu: int) -> Batch | None:
        """A batch headed by the lane's next request and filled with others of its spec, the urgent ones first."""
        taken = self.pick(queue, lane, self.full[lane.spec])
        if not taken:
            return None
        self.running += 1
        batch = self.start(taken, self, gpu)
        slower = self.pace(gpu) * self.knobs[SLOWDOWN]
        self.until[gpu] = self.env.now + batch.loading + self.times(gpu)[batch.spec][batch.size] * slower
        return batch

    def pick(self, queue: Queue, lane: Lane, room: int) -> list[Request]:
        """Take requests for `room` images off the queue: this lane's, then others of its spec."""
        order, formed = self.order(), 0
        each = self.images[lane.spec]
        taken: list[Request] = []
        for source in [lane, *[x for x in queue.lanes if x.spec == lane.spec and x is not lane and not self.ahead]]:
            while room >= each and (head := source.next(order)) is not None:
                if self.ahead:
                    if formed and head.formed != formed:
                        break
                    formed = head.formed
                request = source.line.pop() if order == LIFO else source.line.popleft()
                request.dequeued = self.env.now
                self.count(queue, request)
                if self.drops(queue, request):
                    self.inside -= 1
                    queue.inside -= 1
                    self.drop(request)
                else:
                    taken.append(request)
                    room -= each
                    if self.knobs[SHARING] != NO_SHARING:
                        queue.deficits[request.flow] -= self.work[request.spec]
        if formed == lane.closes:
            lane.room = 0
        if self.slots:
            self.taken = max(self.taken, formed)
        return taken

    def drops(self, queue: Queue, request: Request) -> bool:
        """Whether a request is dropped now that its turn has come."""
        seconds = self.seconds[request.spec][self.full[request.spec]]
        waited = self.env.now - request.arrived
        return bool(dropped(self.knobs, queue.codel, waited, seconds, queue.waiting, self.env.now))

    def loads(self, gpu: int, spec: int) -> bool:
        """Whether this GPU must load the spec's model first; afterwards it holds it."""
        before, self.loaded[gpu] = self.loaded[gpu], self.models[spec]
        return before != self.models[spec]

    def finish(self, batch: Batch) -> None:
        self.running -= 1
        del self.on[batch.gpu]
        self.done(batch)

    def done(self, batch: Batch) -> None:
        batch.finished = self.env.now
        self.inside -= len(batch.requests)
        self.queue_of(batch.gpu).inside -= len(batch.requests)
        for request in batch.requests:
            self.tell(request)

    def close(self) -> None:
        """The run is over."""
