"""Is a measurement possible at all? Against the card's ceiling, against itself, against the published sizes."""

import itertools
import math
from statistics import median

from sim.errors import BadInput
from sim.profile.file import Anchor, Point

# Dense matrix peak of one card in TFLOP/s, from NVIDIA's data sheets (without sparsity).
CEILINGS = {
    ("H200", "bfloat16"): 989.0, ("H200", "float16"): 989.0, ("H100", "bfloat16"): 989.0, ("H100", "float16"): 989.0,
    ("B200", "bfloat16"): 2250.0, ("A100", "bfloat16"): 312.0, ("A100", "float16"): 312.0,
    ("L40S", "bfloat16"): 362.0, ("4090", "bfloat16"): 165.2,
}  # fmt: skip
FAR_BELOW = 0.05  # of the ceiling, at four requests and more
ANCHOR_MAY_MOVE = 0.02
FEW = 3  # points that are named one by one
LAUNCHING = 0.9  # of a call, beyond which the host bounds it
ABOVE_LIMIT = 1.05  # of the power limit: a card overshoots for some milliseconds
BUSY = 0.1  # spread between visits beyond which it is the machine that was measured


def ceiling(gpu: str, dtype: str) -> float:
    """TFLOP/s that this card cannot exceed; nan where none is known."""
    return next((peak for (card, of), peak in CEILINGS.items() if card in gpu and of == dtype), math.nan)


def marks(
    points: list[Point], anchor: Anchor | None, gpu: str, dtype: str, *, on_gpu: bool, power_limit: float = math.inf
) -> list[str]:
    """Warnings for the reader of these points; raises BadInput for a point that cannot be true."""
    found = far_below(points, ceiling(gpu, dtype))
    found += unsettled(points)
    found += bound_by_host(points) if on_gpu else []
    found += faster_with_more(points)
    return found + of_machine(points, anchor if on_gpu else None, power_limit)


def far_below(points: list[Point], top: float) -> list[str]:
    """Points that use little of the card's TFLOP/s; raises BadInput for one that exceeds them."""
    found = []
    for point in points:
        if point.status == "oom" or not point.teraflop:
            continue
        speed, name = point.teraflop / point.median, label(point)
        if speed > top:
            raise BadInput(
                f"{name} ran at {speed:.0f} TFLOP/s, above the {top:.0f} that this card can do: the clock or the count "
                "of operations is wrong",
                key=name,
            )
        if point.component == "denoise" and point.batch >= 4 and speed < FAR_BELOW * top:
            found.append(f"{name}: {speed:.0f} TFLOP/s is less than {FAR_BELOW:.0%} of the card's {top:.0f}")
    return found


def of_machine(points: list[Point], anchor: Anchor | None, power_limit: float) -> list[str]:
    """What the machine did meanwhile: other work, drift of the anchor, power above its limit, throttling."""
    found = []
    spreads = [p.spread for p in points if not math.isnan(p.spread)]
    if spreads and median(spreads) > BUSY:
        found.append(f"visits to one point differ by {median(spreads):.0%}: the machine was busy with something else")
    if anchor is not None and anchor.moved > ANCHOR_MAY_MOVE:
        found.append(f"the anchor moved {anchor.moved:.1%}, more than {ANCHOR_MAY_MOVE:.0%}: the machine drifted")
    over = sum((p.power_w or 0.0) > ABOVE_LIMIT * power_limit for p in points)
    if over:
        found.append(f"{over} points show more power than the card may draw: their visits were short for its counter")
    throttled = sorted({reason for p in points for reason in p.throttled})
    if throttled:
        found.append("throttled while measuring: " + ", ".join(throttled))
    return found


def unsettled(points: list[Point]) -> list[str]:
    """The points whose median is not known as well as was asked: by name if they are few, else how many."""
    names = [label(p) for p in points if p.status == "unsettled"]
    if len(names) <= FEW:
        return [f"{name}: did not settle" for name in names]
    once = sum(p.status == "unsettled" and len(p.visits_us or []) == 1 for p in points)
    visited = f", {once} of them visited only once" if once else ""
    return [f"{len(names)} of {len(points)} points did not settle{visited}"]


def bound_by_host(points: list[Point]) -> list[str]:
    """How many points measure the host that launches the work rather than the GPU."""
    timed = [p for p in points if p.status != "oom" and p.host_us]
    slow = [p for p in timed if median(p.host_us or []) * 1e-6 > LAUNCHING * p.median]
    if not slow:
        return []
    return [
        f"{len(slow)} of {len(timed)} points are bound by the host: launching takes over {LAUNCHING:.0%} of the call"
    ]


def faster_with_more(points: list[Point]) -> list[str]:
    """Points where a larger batch took less time, by more than their spread explains."""
    found = []
    cells: dict[tuple[str, int, int], list[Point]] = {}
    for point in points:
        if point.status != "oom":
            cells.setdefault((point.component, point.side, point.frames), []).append(point)
    for cell in cells.values():
        ordered = sorted(cell, key=lambda p: p.batch)
        for small, large in itertools.pairwise(ordered):
            spread = max(0.02, *(s for s in (small.spread, large.spread) if not math.isnan(s)), 0.0)
            if large.median < small.median * (1 - 2 * spread):
                found.append(f"{label(large)} is faster than batch {small.batch}")
    return found


def label(point: Point) -> str:
    frames = f", {point.frames} frames" if point.frames != 1 else ""
    return f"{point.component} at {point.side} px{frames}, batch {point.batch}"


def check_parameters(measured: dict[str, int], published: dict[str, int], preset: str) -> None:
    """Raises BadInput where the model that was built is not the one it is called after."""
    for component, count in published.items():
        if count and measured.get(component) != count:  # 0: nothing was published
            raise BadInput(
                f"the model built for preset {preset!r} is not the published one",
                key=f"parameters of {component}",
                value=measured.get(component),
                expected=str(count),
            )
