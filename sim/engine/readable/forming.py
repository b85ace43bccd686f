"""The readable engine's batches that close before a GPU takes them: when they do, and which requests are in them."""

import math
from collections.abc import Callable

from sim.engine.clock import LINGER, Clock
from sim.engine.readable.queues import Lane, Queue
from sim.model.dispatch import POLLED, UNFORMED, closes_with, has_slot, times_out
from sim.model.request import Request
from sim.scenario.parts import Pool as Settings


class Forming:
    """The part of a pool in which batches close."""

    env: Clock
    settings: Settings
    images: list[int]
    full: dict[int, int]
    queues: list[Queue]
    linger: float
    timer: int
    slots: int
    gpus: int
    running: int
    formed: int
    taken: int
    next_lane: Callable[[Queue], Lane | None]
    wake_one: Callable[[Queue], None]

    def join_batch(self, request: Request, lane: Lane) -> None:
        """Where batches close before a GPU takes them: put a request into the last one if it may, else the open one."""
        now, each = self.env.now, self.images[lane.spec]
        if lane.room >= each:
            request.formed, lane.room = lane.closes, lane.room - each
            return
        if self.slots:
            lane.open, request.formed = lane.open + 1, UNFORMED
            return
        lane.open, lane.came, request.formed = lane.open + 1, now, lane.closes + 1
        if lane.open == 1:
            lane.first = now
        times = self.timer, self.linger, lane.first, lane.closed
        if closes_with(*times, lane.open * each, each, self.full[lane.spec], now):
            self.close_batch(lane)
        elif lane.open == 1 or self.timer == POLLED:
            queue = self.queues[request.queue]
            self.env.at(float(times_out(*times, now)), LINGER, request.user, lambda _: self.time_out(queue, lane))

    def time_out(self, queue: Queue, lane: Lane) -> None:
        due = times_out(self.timer, self.linger, lane.first, lane.closed, lane.came)
        if lane.open > 0 and self.env.now >= due:
            self.close_batch(lane)
            self.wake_one(queue)

    def close_batch(self, lane: Lane) -> None:
        left = self.full[lane.spec] - lane.open * self.images[lane.spec]
        lane.room = left if self.settings.late_joiners else 0
        lane.open, lane.closes, lane.closed = 0, lane.closes + 1, self.env.now

    def form(self, queue: Queue) -> None:
        """While a slot is free, close a batch of what waits, of the lane whose turn it is."""
        if all(lane.waiting == lane.open for lane in queue.lanes):
            self.taken = self.formed  # closed batches that everybody has left give their slots back
        while has_slot(self.running, self.formed - self.taken, self.slots, self.gpus):
            lane = self.next_lane(queue)
            if lane is None:
                return
            self.fill_slot(lane)

    def fill_slot(self, lane: Lane) -> None:
        """Close a batch of the requests that wait in a lane, as many as it takes."""
        each, room = self.images[lane.spec], self.full[lane.spec]
        self.formed += 1
        for request in lane.line:
            if room >= each and math.isnan(request.dequeued) and request.formed == UNFORMED:
                request.formed, lane.open, room = self.formed, lane.open - 1, room - each
        lane.closes, lane.room = self.formed, room if self.settings.late_joiners else 0

    def next_batch(self, queue: Queue) -> Lane | None:
        """The lane that a free GPU takes a batch from: where a free slot closes batches, they run in that order."""
        if not self.slots:
            return self.next_lane(queue)
        closed = [lane for lane in queue.lanes if lane.waiting > lane.open]
        return min(closed, key=lambda lane: lane.next(0.0).formed, default=None)  # type: ignore[union-attr]

    def leave_batch(self, request: Request, lane: Lane) -> None:
        """Its user has left; where they were the last one of a closed batch, nobody joins it."""
        if request.formed > lane.closes:
            lane.open -= 1
        elif lane.waiting == lane.open:
            lane.room = 0
