"""The readable engine's pools whose GPUs run many requests at once: steps (continuous batching) or threads.

A GPU counts passes, which all requests on it make together. It looks up when the next of them is through, and when
somebody who may join waits for the end of a step; in between nothing changes, so nothing happens.
"""

import math
from dataclasses import dataclass, field
from functools import partial, total_ordering
from heapq import heapify, heappop, heappush
from typing import Any

import numpy as np

from sim.engine.clock import COMPLETION, JOIN
from sim.engine.readable.batch import Batch
from sim.engine.readable.pool import Pool
from sim.engine.readable.queues import Queue
from sim.model.balancing import CENTRAL
from sim.model.knobs import SLOWDOWN
from sim.model.losses import CANCELLED
from sim.model.losses import LOST as LOST_WORK
from sim.model.passes import comes_off_first, passes_at, queue_beyond, seconds_together, time_of
from sim.model.request import Request
from sim.scenario.serving_options import STEPS


@total_ordering
@dataclass(slots=True, eq=False)
class Stay:
    """One request on a GPU, among others."""

    batch: Batch  # its row
    end: float  # passes of the GPU when it is through
    order: int  # of joining
    share: float  # of the GPU's, when it joined
    request: Request

    def __lt__(self, other: "Stay") -> bool:
        return bool(comes_off_first(self.end, self.order, other.end, other.order))


@dataclass(slots=True)
class Replica:
    """A GPU that runs many requests at once."""

    gpu: int
    specs: int
    passes: float = 0.0  # made at `begun`, since the run began
    begun: float = 0.0
    each: float = 1.0  # seconds of a pass
    due: float = math.inf  # passes at its next look
    look: int = 0  # the number of that look: earlier ones are void
    size: int = 0  # images, or threads
    promised: int = 0  # the same of those who will find room at the next look
    joined: int = 0
    share: float = 0.0  # GPU-seconds that somebody who was always there would have had of it
    since: float = 0.0  # the instant that `share` is of
    stays: list[Stay] = field(default_factory=list)  # a heap
    stepless: list[Stay] = field(default_factory=list)  # of them, those who have made no step yet
    counts: Any = None  # of them, by spec
    doomed: bool = False  # it is lost: nobody joins, and what still runs is stopped
    until: float = 0.0  # at this instant

    def __post_init__(self) -> None:
        self.counts = np.zeros(self.specs, dtype=np.int64)

    def share_until(self, now: float) -> float:
        return self.share + (now - self.since) / len(self.stays) if self.stays else self.share


class TogetherPool(Pool):
    """GPUs on each of which up to `max_batch` images, chats or threads run at once."""

    def __init__(self, env: Any, scenario: Any, number: int, *arguments: Any, **how: Any):
        self.replicas: list[Replica] = []
        self.specs = len(scenario.specs())
        super().__init__(env, scenario, number, *arguments, **how)
        self.whole = self.settings.runs == STEPS
        self.most = self.settings.max_batch
        self.size = {spec: self.images[spec] if self.whole else 1 for spec in self.seconds}  # of a request
        several = len(self.settings.kinds) > 1
        kinds = 1 + several * len(self.settings.kinds)  # a mean GPU, then each kind where there are several
        self.opening, self.each = np.zeros((2, kinds, self.specs, self.most + 1))
        name = list(scenario.pools)[number]
        self.steps = {spec: scenario.steps_of(scenario.specs()[spec], name) for spec in self.seconds}
        for spec, of_kinds in self.steps.items():
            for kind, steps in enumerate(of_kinds):
                for n, seconds in steps.each.items():
                    place = n if self.whole else n // self.images[spec]
                    self.opening[kind, spec, place], self.each[kind, spec, place] = steps.opening[n], seconds

    def row(self, gpu: int) -> int:
        """The row of the tables that has the times of a GPU."""
        average = len(self.settings.kinds) < 2 or (self.unlimited and gpu >= self.own)
        return 0 if average else 1 + self.kind_of(gpu)

    def switch_on(self, gpu: int) -> None:
        if gpu == len(self.replicas):
            self.replicas.append(Replica(gpu, self.specs))
        self.switched_on.add(gpu)

    def resize(self, gpus: int) -> None:
        """Change the number of GPUs: those that leave finish what runs on them, and nobody joins it."""
        changed = gpus != self.gpus
        for gpu in range(gpus, self.gpus):
            self.replicas[gpu].promised = 0
            if not self.replicas[gpu].stays:
                self.switched_on.discard(gpu)
        super().resize(gpus)
        if changed:
            self.look_about()

    def look_about(self) -> None:
        """Have the GPUs with room look at the queue."""
        looks = 0
        for replica in self.replicas[: self.gpus if self.rule == CENTRAL else 0]:
            if looks < self.queued and not replica.doomed and replica.size + replica.promised < self.most:
                self.look(replica)
                looks += 1

    def works(self, gpu: int) -> bool:
        return bool(self.replicas[gpu].stays) and not self.replicas[gpu].doomed

    def doom(self, gpus: list[int], until: float) -> None:
        for replica in (self.replicas[gpu] for gpu in gpus):
            replica.doomed, replica.until, replica.promised = True, until, 0
            self.env.at(until, COMPLETION, replica.gpu, partial(self.notice_over, replica))
        self.look_about()

    def notice_over(self, replica: Replica, _: Any) -> None:
        """A GPU is lost with the requests that it still runs."""
        now = self.env.now
        if not replica.doomed or replica.until != now:
            return
        replica.share, replica.since = replica.share_until(now), now
        replica.doomed, replica.due, replica.look = False, math.inf, replica.look + 1
        self.running -= bool(replica.stays)
        while replica.stays:
            stay = heappop(replica.stays)
            self.take_off(replica, stay)
            stay.batch.finished, stay.batch.fate = now, LOST_WORK
            self.give_up(stay.request, stay.batch)
            self.promise(replica.gpu, self.size[stay.batch.spec])
        if replica.gpu < self.gpus:
            self.look(replica)
        else:
            self.switched_on.discard(replica.gpu)

    def stop_if_unwanted(self, batch: Batch) -> None:
        """A request that nobody waits for leaves its GPU as soon as others may join: before its end, or at it."""
        replica, stay = self.replicas[batch.gpu], batch.stay
        due = float(passes_at(replica.passes, replica.begun, replica.each, self.whole, self.env.now))
        if due < stay.end:
            batch.fate, stay.end = CANCELLED, due
            heapify(replica.stays)
            self.look(replica)

    def queue_ahead(self) -> int:
        """The queue that a request meets: without those whom the next step takes."""
        return int(queue_beyond(self.queued, self.gpus * self.most - sum(replica.size for replica in self.replicas)))

    def after_joining(self, request: Request) -> None:
        """Have the GPU with the fewest, or the one whose queue it is, look for a request if it has room."""
        self.promise(request.queue, self.size[request.spec])

    def promise(self, queue: int, size: int) -> None:
        """A request of this size is in a queue: a GPU that serves it looks, the one with the fewest, if it has room."""
        replicas = self.replicas[: self.gpus]
        if self.rule != CENTRAL:
            replicas = replicas[queue : queue + 1]
        roomy = [replica for replica in replicas if self.has_room(replica, size)]
        if roomy:
            replica = min(roomy, key=lambda replica: (replica.size + replica.promised, replica.gpu))
        elif self.unlimited:
            self.one_more()
            replica = self.replicas[-1]
        else:
            return
        replica.promised += size
        self.look(replica)

    def has_room(self, replica: Replica, size: int) -> bool:
        taken = replica.size + replica.promised
        return taken == 0 if self.unlimited else taken + size <= self.most and not replica.doomed

    def loads(self, gpu: int, spec: int) -> bool:
        """Every GPU holds all models."""
        return False

    def wake_one(self, queue: Queue) -> None:
        """Nobody lingers here, so nothing follows when somebody leaves the queue."""

    def look(self, replica: Replica) -> None:
        """Have a GPU look at the queue as soon as others may join those on it."""
        now, due = self.env.now, replica.passes
        if replica.stays:
            due = float(passes_at(replica.passes, replica.begun, replica.each, self.whole, now))
        else:
            replica.begun = now
        if due < replica.due:
            self.look_at(replica, due)

    def look_at(self, replica: Replica, due: float) -> None:
        """Have a GPU look when it has made `due` passes; of what else happens at that instant, arrivals come before."""
        now = self.env.now
        replica.due, replica.look = due, replica.look + 1
        time, number = float(time_of(due, replica.passes, replica.begun, replica.each, now)), replica.look
        self.env.at(time, COMPLETION if time > now else JOIN, replica.gpu, lambda _: self.change(replica, number))

    def change(self, replica: Replica, look: int) -> None:
        """Those who are through leave, others join, and it is worked out when that is the case again."""
        if look != replica.look:
            return
        now, before = self.env.now, len(replica.stays)
        replica.share, replica.since = replica.share_until(now), now
        if replica.due > replica.passes:
            self.first_steps_made(replica)
        replica.passes, replica.begun, replica.due, replica.promised = replica.due, now, math.inf, 0
        while replica.stays and replica.stays[0].end <= replica.passes:
            self.leave(replica, heappop(replica.stays))
        joined = self.take_in(replica)
        self.running += bool(replica.stays) - (before > 0)
        if not replica.stays:
            if replica.gpu >= self.gpus:
                self.switched_on.discard(replica.gpu)
            return
        slower, row = self.pace(replica.gpu) * self.knobs[SLOWDOWN], self.row(replica.gpu)
        replica.each = slower * seconds_together(replica.counts, self.each[row], replica.size)
        if joined:
            counts = np.bincount([stay.batch.spec for stay in joined], minlength=self.specs)
            size = sum(self.size[stay.batch.spec] for stay in joined)
            replica.begun = now + slower * seconds_together(counts, self.opening[row], size)
            self.await_first_steps(replica, joined)
        self.look_at(replica, replica.stays[0].end)

    def await_first_steps(self, replica: Replica, joined: list[Stay]) -> None:
        """Those who join make their first step in the opening, or in the pass after it."""
        for stay in joined if self.whole else []:
            if self.steps[stay.request.spec][self.row(replica.gpu)].first:
                stay.request.first_token = replica.begun
            else:
                replica.stepless.append(stay)

    def first_steps_made(self, replica: Replica) -> None:
        for stay in replica.stepless:
            if not math.isnan(stay.batch.finished):
                continue  # it has left before
            stay.request.first_token = replica.begun + replica.each
        replica.stepless.clear()

    def take_in(self, replica: Replica) -> list[Stay]:
        """Requests that join, in their turn, as long as there is room for the next one."""
        joined: list[Stay] = []
        while replica.gpu < self.gpus and not replica.doomed and not (self.unlimited and replica.stays):
            queue = self.queue_of(replica.gpu)
            lane = self.next_lane(queue)
            if lane is None or replica.size + self.size[lane.spec] > self.most:
                break
            joined += [self.begin(replica, request) for request in self.pick(queue, lane, self.images[lane.spec])]
        return joined

    def begin(self, replica: Replica, request: Request) -> Stay:
        batch = self.start([request], self, replica.gpu)
        needed = batch.seconds  # passes, as yet
        batch.seconds = 0.0
        stay = Stay(batch, replica.passes + needed, replica.joined, replica.share, request)
        if self.whole:
            request.tokens = needed + self.steps[request.spec][self.row(replica.gpu)].first
        batch.stay = stay
        heappush(replica.stays, stay)
        replica.joined += 1
        replica.counts[request.spec] += 1
        replica.size += self.size[request.spec]
        return stay

    def leave(self, replica: Replica, stay: Stay) -> None:
        self.take_off(replica, stay)
        self.done(stay.batch)

    def take_off(self, replica: Replica, stay: Stay) -> None:
        replica.counts[stay.batch.spec] -= 1
        replica.size -= self.size[stay.batch.spec]
        self.settle(stay, replica.share)

    def settle(self, stay: Stay, share: float) -> None:
        """Write down the GPU-seconds that a request has had so far."""
        stay.batch.seconds = share - stay.share
        stay.request.gpu_seconds = stay.batch.seconds

    def close(self) -> None:
        for replica in self.replicas:
            self.first_steps_made(replica)
            for stay in replica.stays:
                self.settle(stay, replica.share_until(self.env.now))
