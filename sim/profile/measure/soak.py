"""Minutes of full load: power, clock and temperature of a GPU second by second, while it multiplies matrices."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch

from sim.profile.measure.ceiling import SIDE
from sim.profile.measure.heat import heat_of
from sim.profile.measure.machine import Machine

AT_ONCE = 16  # products between two looks at the clock
BURST = 3  # first seconds of load, before the card has warmed up and settled


@dataclass(frozen=True)
class Second:
    """One second of a soak; nan where the card does not say."""

    second: float  # since the start
    phase: str  # before | load | after
    tflops: float  # the rate within this second, 0 while idle
    power_w: float
    clock_mhz: float
    temperature_c: float
    throttled: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


COLUMNS = tuple(field.name for field in fields(Second))


def soak(machine: Machine, *, seconds: float, rest: float, dtype: str) -> Iterator[Second]:
    """Seconds one by one: `rest` idle, then `seconds` of products back to back, then `rest` idle again.

    Power is the difference of the card's energy counter where it has one, else what it reports at that instant.
    """
    left, right = (torch.randn(SIDE, SIDE, device=machine.device, dtype=getattr(torch, dtype)) for _ in range(2))
    product = torch.empty_like(left)
    began = last = time.perf_counter()
    energy = machine.read().energy_mj
    for phase, until in (("before", rest), ("load", rest + seconds), ("after", 2 * rest + seconds)):
        while time.perf_counter() - began < until:
            done = 0
            while time.perf_counter() - last < 1.0:
                if phase == "load":
                    for _ in range(AT_ONCE):
                        torch.matmul(left, right, out=product)
                    machine.synchronize()
                    done += AT_ONCE
                else:
                    time.sleep(0.02)
            now, seen = time.perf_counter(), machine.read()
            power = known(seen.power_w)
            if energy is not None and seen.energy_mj is not None:
                power = (seen.energy_mj - energy) / 1000 / (now - last)
            yield Second(
                second=round(now - began, 2),
                phase=phase,
                tflops=float(f"{2e-12 * SIDE**3 * done / (now - last):.4g}"),
                power_w=round(power, 1),
                clock_mhz=known(seen.clock_mhz),
                temperature_c=known(seen.temperature_c),
                throttled="; ".join(seen.throttled),
            )
            energy, last = seen.energy_mj, now


def known(value: float | None) -> float:
    return math.nan if value is None else float(value)


def summary(rows: Sequence[Second]) -> list[str]:
    """A record in sentences: the sustained rate and clock, the reasons for throttling, and the fit of the heat."""
    load = [row for row in rows if row.phase == "load"]
    idle = [row for row in rows if row.phase == "before"]
    late = load[len(load) // 2 :]
    said = [
        f"Full load for {len(load)} s: {mean(late, 'tflops'):.0f} TFLOP/s at {mean(late, 'clock_mhz'):.0f} MHz and "
        f"{mean(late, 'power_w'):.0f} W in the second half; {mean(load[:BURST], 'tflops'):.0f} TFLOP/s at first.",
        f"Idle: {mean(idle, 'clock_mhz'):.0f} MHz, {mean(idle, 'power_w'):.0f} W, "
        f"{mean(idle, 'temperature_c'):.0f} degrees C; hottest {max(row.temperature_c for row in rows):.0f}.",
    ]
    reasons = sorted({row.throttled for row in load} - {""})
    said.append(f"Throttled by: {', '.join(reasons)}." if reasons else "Not throttled.")
    watts, degrees = (np.array([getattr(row, name) for row in rows]) for name in ("power_w", "temperature_c"))
    if np.isfinite(watts).all() and np.isfinite(degrees).all() and len(rows) > 10:
        heat = heat_of(np.array([row.second for row in rows]), watts, degrees)
        said.append(
            f"As 'thermal throttling' takes it: ambient {heat.ambient:.1f}, resistance {heat.resistance:.4f}, "
            f"time_constant {heat.time_constant:.1f} s; the fit is off by {heat.error:.1f} degrees (rms)."
        )
    return said


def mean(rows: Sequence[Second], column: str) -> float:
    return float(np.mean([getattr(row, column) for row in rows])) if rows else math.nan
