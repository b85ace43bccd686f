"""Minutes of full load: power, clock and temperature of a GPU second by second, while it multiplies matrices."""

import time
from collections.abc import Callable

import torch

from sim.profile.measure.ceiling import SIDE
from sim.profile.measure.machine import Machine

COLUMNS = ("second", "phase", "tflops", "power_w", "clock_mhz", "temperature_c", "throttled")
Row = dict[str, float | str | None]


def soak(machine: Machine, *, seconds: float, rest: float, dtype: str, say: Callable[[Row], None]) -> list[Row]:
    """One row per second: `rest` seconds idle, `seconds` of back-to-back products, `rest` seconds idle again.

    tflops is the rate within the second, nan while idle; power is the energy counter's difference where the card has
    one, else what it reports at that instant.
    """
    left, right = (torch.randn(SIDE, SIDE, device=machine.device, dtype=getattr(torch, dtype)) for _ in range(2))
    product = torch.empty_like(left)
    each = 2e-12 * SIDE**3
    rows: list[Row] = []
    began = time.perf_counter()
    energy, last = machine.read().energy_mj, began
    ends = (("before", rest), ("load", rest + seconds), ("after", 2 * rest + seconds))
    for phase, until in ends:
        while time.perf_counter() - began < until:
            done = 0
            while time.perf_counter() - last < 1.0:
                if phase == "load":
                    for _ in range(16):
                        torch.matmul(left, right, out=product)
                    machine.synchronize()
                    done += 16
                else:
                    time.sleep(0.02)
            now, seen = time.perf_counter(), machine.read()
            power = seen.power_w
            if energy is not None and seen.energy_mj is not None:
                power = (seen.energy_mj - energy) / 1000 / (now - last)
            rows.append(
                {
                    "second": round(now - began, 2),
                    "phase": phase,
                    "tflops": round(done * each / (now - last), 1) if phase == "load" else None,
                    "power_w": None if power is None else round(power, 1),
                    "clock_mhz": seen.clock_mhz,
                    "temperature_c": seen.temperature_c,
                    "throttled": "; ".join(seen.throttled),
                }
            )
            energy, last = seen.energy_mj, now
            say(rows[-1])
    return rows
