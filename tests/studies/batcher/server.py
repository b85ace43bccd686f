"""A model server with the dynamic batcher that NVIDIA Triton's user guide describes; the simulator has no part in it.

From the guide ("Dynamic Batcher", "Model Configuration"): requests join one queue in the order of their arrival. When
an instance of the model is free and max_batch_size requests wait, they go to it. Fewer go as soon as the oldest has
been delayed by max_queue_delay. A queue of max_queue_size refuses what comes beyond. With the timeout action REJECT a
request that has waited longer than the timeout is refused when its turn comes.
"""

import asyncio
import math
from collections import deque
from dataclasses import dataclass
from typing import Literal

TICK = 1e-9  # seconds: a timer that the loop rings this much early is on time

Outcome = Literal["served", "refused", "expired"]


@dataclass(frozen=True)
class Settings:
    """Of one model. Times in seconds; a batch of n takes base + n each."""

    instances: int
    max_batch_size: int
    base: float
    each: float
    max_queue_delay: float = 0.0
    max_queue_size: float = math.inf
    timeout: float = math.inf


@dataclass
class Inference:
    """A request as the server sees it; instants of the event loop, nan is never. batch: the size."""

    enqueued: float
    done: asyncio.Future[Outcome]
    started: float = math.nan
    finished: float = math.nan
    batch: int = 0


class Server:
    """One model behind its queue."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.loop = asyncio.get_running_loop()
        self.queue: deque[Inference] = deque()
        self.free = settings.instances
        self.running: set[asyncio.Task[None]] = set()

    def infer(self) -> Inference:
        """Send a request now; its future says what becomes of it."""
        request = Inference(self.loop.time(), self.loop.create_future())
        if len(self.queue) >= self.settings.max_queue_size and not self.free:
            request.done.set_result("refused")
            return request
        self.queue.append(request)
        if self.settings.max_queue_delay > 0:
            self.loop.call_at(request.enqueued + self.settings.max_queue_delay, self.schedule)
        self.schedule()
        return request

    def schedule(self) -> None:
        """Send batches to free instances while the batcher's rule says so."""
        while self.free and self.queue:
            self.expire()
            if not self.queue:
                return
            leaves = self.queue[0].enqueued + self.settings.max_queue_delay - TICK
            if len(self.queue) < self.settings.max_batch_size and self.loop.time() < leaves:
                return
            size = min(len(self.queue), self.settings.max_batch_size)
            self.free -= 1
            task = self.loop.create_task(self.execute([self.queue.popleft() for _ in range(size)]))
            self.running.add(task)
            task.add_done_callback(self.running.discard)

    def expire(self) -> None:
        now = self.loop.time()
        while self.queue and now - self.queue[0].enqueued > self.settings.timeout:
            self.queue.popleft().done.set_result("expired")

    async def execute(self, batch: list[Inference]) -> None:
        """An instance works on a batch; then it is free."""
        now = self.loop.time()
        for request in batch:
            request.started, request.batch = now, len(batch)
        await asyncio.sleep(self.settings.base + self.settings.each * len(batch))
        now = self.loop.time()
        for request in batch:
            request.finished = now
            request.done.set_result("served")
        self.free += 1
        self.schedule()
