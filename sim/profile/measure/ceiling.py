"""The limits of the card itself: a large matrix product and a large copy, with which measured points are compared."""

from statistics import median

import torch

from sim.profile.file import Ceiling
from sim.profile.measure.machine import Machine
from sim.profile.measure.timing import Call, timed

SIDE = 8192  # of the matrices: large enough to fill every multiprocessor
COPIED = 2**31  # bytes
WARM_UP, CALLS = 3, 12


def ceiling_of(machine: Machine, dtype: str) -> Ceiling | None:
    """Dense matrix work in TFLOP/s and device-to-device copying in GB/s, medians; None on a CPU.

    The matrices hold random numbers: products of zeros run measurably faster. A copy counts bytes read and written.
    """
    if not machine.gpu:
        return None
    left, right = (torch.randn(SIDE, SIDE, device="cuda", dtype=getattr(torch, dtype)) for _ in range(2))
    product = torch.empty_like(left)
    source = torch.empty(COPIED, dtype=torch.uint8, device="cuda").random_()
    target = torch.empty_like(source)
    multiplied = seconds_of(machine, lambda: torch.matmul(left, right, out=product))
    copied = seconds_of(machine, lambda: target.copy_(source))
    return Ceiling(
        matmul_tflops=four_digits(2e-12 * SIDE**3 / multiplied), copy_gb_per_s=four_digits(2e-9 * COPIED / copied)
    )


def seconds_of(machine: Machine, call: Call) -> float:
    """Median device time of a call, after a few that warm up."""
    return median([timed(machine, call)[0] for _ in range(WARM_UP + CALLS)][WARM_UP:])


def four_digits(value: float) -> float:
    return float(f"{value:.4g}")
