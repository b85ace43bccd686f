"""The readable engine's losses: GPUs that are lost with what they run, and work that is stopped before its end."""

import math
from collections.abc import Callable, Generator
from typing import Any

import numpy as np

from sim.engine.clock import COMPLETION, Clock
from sim.engine.readable.batch import Batch
from sim.engine.readable.queues import Queue
from sim.model.gateway import WORK_LOST
from sim.model.losses import CANCELLED, DOOMED, RUNS, hit
from sim.model.losses import LOST as LOST_WORK
from sim.model.request import ABANDONED, Request
from sim.scenario.parts import WAITS_AGAIN, Serving
from sim.scenario.parts import Pool as Settings


class Losses:
    """The part of a pool in which work ends early."""

    env: Clock
    number: int
    seed: int
    gpus: int
    queued: int
    inside: int
    running: int
    losses: int
    on: dict[int, Batch]
    until: dict[int, float]
    killed: list[tuple[Request, Batch]]
    queues: list[Queue]
    serving: Serving
    settings: Settings
    drop: Callable[..., None]
    finish: Callable[[Batch], None]
    serve: Callable[[int], Generator[Any, Any, None]]
    queue_of: Callable[[int], Queue]
    wake_one: Callable[[Queue], None]

    def hit(self, lost: int) -> list[int]:
        """The GPUs whose work is lost with this number of them."""
        self.losses += 1
        at_work = np.array([self.works(gpu) for gpu in range(self.gpus)], dtype=bool)
        unlike = bool(self.settings.kinds)
        found: list[int] = hit(at_work, lost, self.seed, self.number, self.losses, unlike=unlike).tolist()
        return found

    def works(self, gpu: int) -> bool:
        """Whether a GPU runs something that is not doomed yet."""
        return gpu in self.on and self.on[gpu].fate == RUNS

    def doom(self, gpus: list[int], until: float) -> None:
        """These GPUs are lost: what they still run at an instant, now or later, is stopped then."""
        for gpu in gpus:
            batch = self.on[gpu]
            if batch.started + batch.seconds > until:
                self.end_early(batch, until, DOOMED)

    def stop_if_unwanted(self, batch: Batch) -> None:
        """Somebody has left what a GPU works on: it stops, once nobody waits for it any more."""
        if all(request.outcome == ABANDONED for request in batch.requests):
            self.end_early(batch, self.env.now, CANCELLED)

    def end_early(self, batch: Batch, at: float, fate: int) -> None:
        """A batch will be stopped at an instant, before its end."""
        batch.fate, batch.seconds, batch.ends = fate, at - batch.started, batch.ends + 1
        batch.loading, self.until[batch.gpu] = min(batch.loading, batch.seconds), at
        for request in batch.requests:
            request.gpu_seconds = batch.seconds / len(batch.requests)
        ends = batch.ends
        self.env.at(at, COMPLETION, batch.gpu, lambda _: self.ended_early(batch, ends))

    def ended_early(self, batch: Batch, ends: int) -> None:
        if ends != batch.ends:
            return
        if batch.fate == DOOMED:
            self.lose(batch)
        else:
            self.finish(batch)
        self.env.process(self.serve(batch.gpu))
        if batch.fate == LOST_WORK and batch.gpu >= self.gpus:
            self.wake_one(self.queue_of(batch.gpu))

    def lose(self, batch: Batch) -> None:
        """A GPU is lost with its batch. Another, or what has its number, takes the next one."""
        self.running -= 1
        del self.on[batch.gpu]
        batch.finished, batch.fate = self.env.now, LOST_WORK
        for request in reversed(batch.requests):  # so that they come into their lanes in order
            self.give_up(request, batch)

    def give_up(self, request: Request, batch: Batch) -> None:
        """The work on a request is lost: it waits again where it waited before, or its user is refused."""
        self.killed.append((request, batch))
        request.started, request.batch, request.gpu_seconds = math.nan, None, math.nan
        request.first_token = request.tokens = math.nan
        blind = not self.serving.notices_leaving
        if self.serving.lost_work == WAITS_AGAIN and (request.outcome is None or blind):
            self.line_up_again(request)
        else:
            request.dequeued = self.env.now
            self.inside -= 1
            self.queue_of(batch.gpu).inside -= 1
            self.drop(request, WORK_LOST)

    def line_up_again(self, request: Request) -> None:
        """Put a request back into its lane, before those that came later."""
        queue = self.queues[request.queue]
        line = queue.lane(request).line
        place = next((n for n, other in enumerate(line) if other.arrived >= request.arrived), len(line))
        line.insert(place, request)
        request.dequeued, request.waited_out = math.nan, True
        self.queued += 1
        queue.count(request, 1)
