"""Numbers in words: durations in the unit a person would choose, counts and shares in three figures."""

import math


def duration(seconds: float) -> str:
    """A duration in the unit a person would choose."""
    if math.isnan(seconds):
        return "never"
    if math.isinf(seconds):
        return "never ends" if seconds > 0 else "always"
    for size, unit in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if abs(seconds) >= 2 * size:
            return f"{three_figures(seconds / size)} {unit}"
    return f"{seconds:.3g} s"


def amount(number: float) -> str:
    """A count in three figures: 12.3 M, 45.6 k, 789."""
    if math.isnan(number):
        return "unknown"
    for size, suffix in ((1e9, " bn"), (1e6, " M"), (1e3, " k")):
        if abs(number) >= 0.9995 * size:  # what rounds up to it
            return f"{three_figures(number / size)}{suffix}"
    return f"{number:.3g}"


def three_figures(number: float) -> str:
    """Three figures, or all those before the point; never an exponent for a large number."""
    return f"{number:.3g}" if abs(number) < 999.5 else f"{number:.0f}"


def percent(share: float) -> str:
    return "none" if math.isnan(share) else f"{three_figures(100 * share)} %"
