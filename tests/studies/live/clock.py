"""Real time for a live run: seconds since its start, tasks that live no longer than it, and how late things happen."""

import asyncio
import math
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

BEAT = 0.01  # seconds from one look at the event loop to the next


def precise_loop() -> asyncio.AbstractEventLoop:
    """An event loop whose timers are good to some 0.1 ms: select() takes seconds as they are, epoll whole ms."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


class RealClock:
    """Seconds since the run began, by the event loop that it runs on."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.start()
        self.tasks: set[asyncio.Task[None]] = set()
        self.failed: asyncio.Future[float] = self.loop.create_future()
        self.over = False
        self.gap = 0.0  # seconds: by how much the loop was late at worst

    def start(self) -> None:
        """Now is 0."""
        self.began = self.loop.time()

    def now(self) -> float:
        return self.loop.time() - self.began

    async def until(self, instant: float) -> float:
        """Sleep until an instant. By how much (seconds) it is past when this goes on."""
        await asyncio.sleep(max(0.0, instant - self.now()))
        return max(0.0, self.now() - instant)

    def at(self, instant: float, call: Callable[..., None], *given: Any) -> asyncio.TimerHandle:
        """Call something at an instant; an error in it ends the run."""

        def called() -> None:
            if self.over:  # other runs may go on, on the same loop
                return
            try:
                call(*given)
            except Exception as wrong:  # noqa: BLE001
                self.fail(wrong)

        return self.loop.call_at(self.began + instant, called)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin a task of this run; an error in it ends the run."""
        task = self.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.ended)

    def ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (wrong := task.exception()) is not None:
            self.fail(wrong)

    def fail(self, wrong: BaseException) -> None:
        if not self.failed.done():
            self.failed.set_exception(wrong)

    async def run_until(self, horizon: float) -> None:
        """Let everything go on until the horizon, and end it then. Raises what any part of the run raised."""
        end: asyncio.Future[float] = self.loop.create_task(self.until(horizon))
        try:
            await asyncio.wait((end, self.failed), return_when=asyncio.FIRST_COMPLETED)
            if self.failed.done():
                self.failed.result()
        finally:
            self.over = True
            end.cancel()
            self.failed.cancel()
            for task in list(self.tasks):
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)

    async def watch(self) -> None:
        """Look at the loop every BEAT seconds, and keep by how much it was late at worst."""
        beat = 0
        while True:
            beat = max(beat + 1, math.floor(self.now() / BEAT))
            self.gap = max(self.gap, await self.until(beat * BEAT))
