"""A GPU that really makes the images of a live run: a diffusion model with random weights in a process of its own."""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from typing import Any

from sim.errors import BadInput
from tests.studies.live.clock import RealClock

NEEDS_TORCH = "pip install 'meltpoint[bench]'"


@dataclass(frozen=True)
class Work:
    """The work of one image: a preset of the benchmark, at a size and a number of steps."""

    preset: str
    side: int  # px
    steps: int


class TorchDevice:
    """One GPU ('cuda') or one core ('cpu'): batches go to a process that holds the model, one after the other.

    works: by the model of a request, the work of one image. Raises BadInput without torch, or such a device.
    """

    def __init__(self, works: Mapping[str, Work], device: str):
        self.works, self.device = dict(works), device
        # Not a thread: the model's Python would keep the event loop waiting for the interpreter.
        self.process = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        try:
            with death_of_the_process_reported():
                self.process.submit(check, device).result()
            for model in self.works:
                self.seconds(model, 1)  # built and warm before anybody asks
        except BaseException:
            self.close()
            raise

    async def serve(self, clock: RealClock, until: float, model: str, size: int) -> None:
        with death_of_the_process_reported():
            await clock.loop.run_in_executor(self.process, make, self.works[model], self.device, size)

    def seconds(self, model: str, size: int) -> float:
        """How long a batch takes, the way to the process and back included."""
        began = time.perf_counter()
        with death_of_the_process_reported():
            self.process.submit(make, self.works[model], self.device, size).result()
        return time.perf_counter() - began

    def close(self) -> None:
        self.process.shutdown(wait=True, cancel_futures=True)


@contextmanager
def death_of_the_process_reported() -> Iterator[None]:
    """Raises BadInput where the process with the model has died."""
    try:
        yield
    except BrokenProcessPool:
        why = "the process with the model has ended"
        raise BadInput(why, key="--device", expected="enough memory, and a process that is not killed") from None


# Run in the process that holds the model.


def check(device: str) -> None:
    try:
        from sim.profile.measure.models import check_device
    except ModuleNotFoundError as missing:
        raise BadInput(f"a live run on torch needs it ({missing})", expected=NEEDS_TORCH) from None
    check_device(device)


def make(work: Work, device: str, size: int) -> None:
    """Make a batch of images, and wait until they are done."""
    call, synchronize = pipeline(work, device, size)
    call()
    synchronize()


@cache
def pipeline(work: Work, device: str, size: int) -> tuple[Callable[[], Any], Callable[[], None]]:
    """A function that makes a batch, its inputs prepared, and one that waits for the device."""
    from sim.profile.measure.machine import Machine

    call = model_of(work.preset, device).pipeline(size, work.side, 1, work.steps)
    return call, Machine(device).synchronize


@cache
def model_of(preset: str, device: str) -> Any:
    from sim.profile.measure.models import build
    from sim.profile.measure.presets import preset_named

    named = preset_named(preset)
    return build(named, device=device, dtype=named.dtype)
