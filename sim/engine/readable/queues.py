"""The readable engine's queues: lanes of requests that wait for any GPU of a pool, or each queue for one GPU."""

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from sim.model.balancing import NO_MODEL
from sim.model.dispatch import UNFORMED, work_ahead
from sim.model.dropping import fresh_codel
from sim.model.knobs import LIFO, MOST_FLOWS
from sim.model.request import Request


@dataclass(slots=True)
class Lane:
    """Requests of one priority, spec and flow, in order of arrival. One that is taken out stays until reached."""

    priority: int
    spec: int
    flow: int
    line: deque[Request] = field(default_factory=deque)
    waiting: int = 0  # requests, without those taken out
    # Where batches close by themselves: the one that requests join now, or, closed and not yet started, the last one.
    open: int = 0  # requests in it
    closes: int = 0  # batches that have closed; where a free slot closes them, the number of the last one
    room: int = 0  # images that the last one of these still takes
    first: float = 0.0  # when the first request joined the open one
    closed: float = 0.0  # when the last one closed
    came: float = 0.0

    def first_open(self) -> Request | None:
        """The first request that waits and is in no closed batch, where a free slot closes them."""
        return next((r for r in self.line if math.isnan(r.dequeued) and r.formed == UNFORMED), None)

    def next(self, order: float) -> Request | None:
        """The request to be served next: of those that wait the first, or the last."""
        place, out = (-1, self.line.pop) if order == LIFO else (0, self.line.popleft)
        while self.line and not math.isnan(self.line[place].dequeued):
            out()
        return self.line[place] if self.line else None


class Queue:
    """The lanes of one queue, and its totals."""

    def __init__(self, number: int, images: list[int]):
        """number: of its GPU, where each has one; images: of one request, by spec."""
        self.number, self.images = number, images
        self.lane_of: dict[tuple[int, int, int], Lane] = {}  # by priority, spec and flow, in order of creation
        self.lanes: list[Lane] = []  # the same by priority, then spec and flow
        self.waiting = 0  # requests
        self.inside = 0  # the same with those on its GPU
        self.waiting_images = [0] * len(images)  # by spec
        self.flow_waiting = np.zeros(MOST_FLOWS, dtype=np.int64)
        self.weights, self.deficits, self.flows = np.ones(MOST_FLOWS), np.zeros(MOST_FLOWS + 1), 1
        self.codel = fresh_codel()
        self.holds = NO_MODEL  # the model of the last request that was sent here

    def lane(self, request: Request) -> Lane:
        kind = request.priority, request.spec, request.flow
        if kind not in self.lane_of:
            self.lane_of[kind] = Lane(*kind)
            self.lanes = [self.lane_of[kind] for kind in sorted(self.lane_of)]
        return self.lane_of[kind]

    def append(self, request: Request) -> None:
        """Put a request at the end of its lane."""
        self.lane(request).line.append(request)
        self.count(request, 1)

    def count(self, request: Request, sign: int) -> None:
        """Keep the totals when a request joins (+1) or leaves (-1)."""
        self.waiting += sign
        self.waiting_images[request.spec] += sign * self.images[request.spec]
        self.lane(request).waiting += sign
        self.flow_waiting[request.flow] += sign

    def work_ahead(self, priority: int, work: dict[int, float]) -> float:
        """GPU-seconds that wait at this priority or a more urgent one. work: of a request, by spec."""
        ahead = 0.0  # anew each time, as a running total would drift; not by sum(), which depends on Python's version
        for lane in self.lane_of.values():
            if lane.waiting > 0:
                ahead += work_ahead(priority, lane.priority, lane.waiting, work[lane.spec])
        return ahead

    def emptied(self) -> list[Request]:
        """Everybody who waits, taken off: the urgent first, in each lane in order of arrival."""
        moving = [request for lane in self.lanes for request in lane.line if math.isnan(request.dequeued)]
        for request in moving:
            self.count(request, -1)
        for lane in self.lanes:
            lane.line.clear()
            lane.open = lane.room = 0
        self.inside -= len(moving)
        return moving
