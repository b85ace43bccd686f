"""The GPUs of a live run: threads that sleep as long as a batch takes."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from tests.studies.live.clock import RealClock

MOST_GPUS = 256  # threads


class Device(Protocol):
    """Something that serves a batch of `size` images of a model, which by the profile is done at the instant `until`.

    Instants are seconds since the run began.
    """

    async def serve(self, clock: RealClock, until: float, model: str, size: int) -> None: ...


class SleepDevice:
    """GPUs that only take their time, with a thread for each that is busy."""

    def __init__(self) -> None:
        self.threads = ThreadPoolExecutor(MOST_GPUS, thread_name_prefix="gpu")

    async def serve(self, clock: RealClock, until: float, model: str, size: int) -> None:
        await clock.loop.run_in_executor(self.threads, sleep_until, clock, until)

    def close(self) -> None:
        self.threads.shutdown(wait=True)


def sleep_until(clock: RealClock, instant: float) -> None:
    time.sleep(max(0.0, instant - clock.now))
