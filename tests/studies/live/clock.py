"""The engine's clock in real time: the gateway and the pools of the readable engine run on it as asyncio tasks."""

import asyncio
import math
import selectors
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from sim.engine.clock import COMPLETION

BEAT = 0.01  # seconds from one look at the event loop to the next


def precise_loop() -> asyncio.AbstractEventLoop:
    """An event loop whose timers are good to some 0.1 ms: select() takes seconds as they are, epoll whole ms."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


class Moment(asyncio.Future[None]):
    """Something that tasks wait for, as SimPy's Event."""

    def succeed(self) -> None:
        if not self.done():
            self.set_result(None)


class RealClock:
    """Seconds since the run began, with the methods of sim.engine.clock.Clock that a service and its pools call."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.start()
        self.tasks: set[asyncio.Task[None]] = set()
        self.failed: asyncio.Future[None] = self.loop.create_future()
        self.over = False
        self.gap = 0.0  # seconds: the longest delay of the event loop
        self.serve_batch: Callable[[float], Coroutine[Any, Any, None]]  # what the GPU does whose batch starts now

    def start(self) -> None:
        """Now is 0."""
        self.began = self.loop.time()

    @property
    def now(self) -> float:
        return self.loop.time() - self.began

    def event(self) -> Moment:
        return Moment(loop=self.loop)

    def at(self, time: float, kind: int, number: int, then: Callable[[Moment], Any] | None = None) -> Moment:
        """A moment at `time`, or, where it is the completion of a batch, as soon as the GPU is done with it."""
        moment = self.event()
        if kind == COMPLETION:
            self.spawn(self.serve_batch(time), moment)
        else:
            self.call(time, self.happen, moment, then)
        return moment

    def happen(self, moment: Moment, then: Callable[[Moment], Any] | None) -> None:
        if then is not None:
            then(moment)
        moment.succeed()

    def process(self, generator: Generator[Moment, Any, None]) -> None:
        """Run a SimPy process as a task."""
        self.spawn(until_it_ends(generator))

    async def until(self, instant: float) -> float:
        """Sleep until an instant. How many seconds late this returns."""
        await asyncio.sleep(max(0.0, instant - self.now))
        return max(0.0, self.now - instant)

    def call(self, instant: float, function: Callable[..., None], *given: Any) -> asyncio.TimerHandle:
        """Call a function at an instant; an error in it ends the run."""

        def called() -> None:
            if self.over:  # other runs may go on, on the same loop
                return
            try:
                function(*given)
            except Exception as wrong:  # noqa: BLE001
                self.fail(wrong)

        return self.loop.call_at(self.began + instant, called)

    def spawn(self, work: Coroutine[Any, Any, None], then: Moment | None = None) -> None:
        """Begin a task of this run, and end a moment with it; an error in it ends the run."""

        def ended(task: asyncio.Task[None]) -> None:
            self.tasks.discard(task)
            if task.cancelled():
                return
            if (wrong := task.exception()) is not None:
                self.fail(wrong)
            elif then is not None:
                then.succeed()

        task = self.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(ended)

    def fail(self, wrong: BaseException) -> None:
        if not self.failed.done():
            self.failed.set_exception(wrong)

    async def run_until(self, horizon: float) -> None:
        """Let everything go on until the horizon, and end it then. Raises what any part of the run raised."""
        end: asyncio.Future[Any] = self.loop.create_task(self.until(horizon))
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
        """Look at the loop every BEAT seconds, and keep its longest delay."""
        beat = 0
        while True:
            beat = max(beat + 1, math.floor(self.now / BEAT))
            self.gap = max(self.gap, await self.until(beat * BEAT))


async def until_it_ends(generator: Generator[Moment, Any, None]) -> None:
    for moment in generator:
        await moment
