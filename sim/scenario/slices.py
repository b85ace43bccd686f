"""A slice of a service: whether its GPUs, cells, fleets and bounds divide without rounding, and the scales that do."""

import math
from collections.abc import Iterable
from fractions import Fraction

FEW_GPUS = 10  # a pool of fewer queues noticeably more than its service would
NEARLY = 1e-6  # of a GPU: what is left of 1/3 written as a decimal fraction


def divides(count: float, scale: float) -> bool:
    """Whether a slice has a whole number, at least one, of what the service has `count` of; 0 stays 0."""
    part = count * scale
    return count == 0 or (part >= 1 - NEARLY and abs(part - round(part)) <= NEARLY * max(1.0, part))


def as_ratio(scale: float) -> str:
    """A scale as people write it: 1/600, 7/4000."""
    near = Fraction(scale).limit_denominator(1_000_000)
    return str(near) if near and math.isclose(near, scale, rel_tol=1e-9) else f"{scale:g}"


def divisors(number: int) -> list[int]:
    """All divisors, ascending; none of 0."""
    small = [n for n in range(1, math.isqrt(number) + 1) if number % n == 0]
    return sorted({*small, *(number // n for n in small)})


def scales_that_divide(counts: Iterable[float], scale: float) -> list[str]:
    """The next smaller and the next larger scale 1/n that divides all whole counts; '1' divides any."""
    common = math.gcd(*(int(count) for count in counts if count == int(count)))
    parts = divisors(common) or [1]
    smaller = [n for n in parts if 1 / n < scale]
    larger = [n for n in parts if 1 / n > scale]
    return [as_ratio(1 / n) for n in (*smaller[:1], *larger[-1:])]
