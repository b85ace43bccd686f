"""Timing one workload: on a GPU by events around the work beside the host's own clock, on a CPU by the latter."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from sim.profile.measure.machine import Machine

Call = Callable[[], object]

LONG = 1.0  # seconds of a visit from which the energy counter, which moves every 0.1 s, says its mean power


@dataclass(frozen=True)
class Visit:
    """One short stay at one workload."""

    device_us: list[int]  # how long each call took
    host_us: int  # median time until the call returned: on a GPU, how long launching it kept the host
    power_w: float | None
    clock_mhz: float | None
    temperature_c: float | None
    throttled: list[str]


def visit(machine: Machine, call: Call, *, seconds: float, least: int, most: int) -> Visit:
    """Time calls for about `seconds`, at least `least` and at most `most`, after one that is not counted."""
    call()
    machine.synchronize()
    before, began = machine.read(), time.perf_counter()
    device: list[float] = []
    host: list[float] = []
    while len(device) < least or (len(device) < most and time.perf_counter() - began < seconds):
        taken, returned = timed(machine, call)
        device.append(taken)
        host.append(returned)
    lasted, after = time.perf_counter() - began, machine.read()
    power = after.power_w
    if before.energy_mj is not None and after.energy_mj is not None and lasted > LONG:
        power = (after.energy_mj - before.energy_mj) / 1000 / lasted
    return Visit(
        device_us=[microseconds(t) for t in device],
        host_us=microseconds(float(np.median(host))),
        power_w=power or None,
        clock_mhz=after.clock_mhz or None,
        temperature_c=after.temperature_c,
        throttled=sorted({*before.throttled, *after.throttled}),
    )


def timed(machine: Machine, call: Call) -> tuple[float, float]:
    """Seconds that one call took, and until it returned to the host."""
    if not machine.gpu:
        began = time.perf_counter()
        call()
        taken = time.perf_counter() - began
        return taken, taken
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    began = time.perf_counter()
    start.record()
    call()
    end.record()
    returned = time.perf_counter() - began
    end.synchronize()
    return start.elapsed_time(end) / 1000, returned


def microseconds(seconds: float) -> int:
    return max(1, round(seconds * 1e6))


def median_interval(samples: np.ndarray) -> float:
    """Half the 95 % interval of the median over the median, from order statistics; inf for fewer than six samples.

    The ranks are n/2 -+ 0.98 sqrt(n) (the binomial of the number of samples below the median, normal approximation).
    """
    n = len(samples)
    if n < 6:
        return float("inf")
    ordered = np.sort(samples)
    half = 0.98 * np.sqrt(n)
    low, high = max(0, int(np.floor(n / 2 - half))), min(n - 1, int(np.ceil(n / 2 + half)))
    return float((ordered[high] - ordered[low]) / 2 / np.median(ordered))
