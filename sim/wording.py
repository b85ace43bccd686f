"""Numbers in words: durations, rates, counts and shares, to three figures and in the unit a person would choose."""

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


def rate_unit(per_second: float) -> tuple[float, str]:
    """The seconds of the shortest unit of time in which a rate is 1 or more, and its name."""
    for size, unit in ((1.0, "second"), (60.0, "minute"), (3600.0, "hour")):
        if per_second * size >= 1:
            return size, unit
    return 86400.0, "day"


def amount(number: float) -> str:
    """A count in three figures: 12.3 M, 45.6 k, 789."""
    if math.isnan(number):
        return "unknown"
    for size, suffix in ((1e9, " bn"), (1e6, " M"), (1e3, " k")):
        if abs(number) >= 0.9995 * size:  # what rounds up to it
            return f"{three_figures(number / size)}{suffix}"
    return without_minus(f"{number:.3g}")


def three_figures(number: float) -> str:
    """Three figures, or all those before the point; never an exponent for a large number."""
    return without_minus(f"{number:.3g}" if abs(number) < 999.5 else f"{number:.0f}")


def without_minus(text: str) -> str:
    """A number in digits; what is rounded to 0 has no sign."""
    return text.removeprefix("-") if text.startswith("-") and not text.strip("-0.") else text


def usd(number: float) -> str:
    """An amount of dollars; a negative one with its sign in front."""
    if math.isnan(number):
        return "an unknown amount"
    return f"{'-' if number < 0 else ''}${amount(abs(number))}" if math.isfinite(number) else "no bound"


def setting(value: object) -> str:
    """A value of a scenario, a number with its unit to three figures."""
    number, space, unit = str(value).partition(" ")
    try:
        figure = float(number)
    except ValueError:
        return str(value)
    return f"{figure:.3g}{space}{unit}" if math.isfinite(figure) else str(value)


def percent(share: float) -> str:
    return "none" if math.isnan(share) else f"{three_figures(100 * share)} %"


def in_gpus(number: float | str) -> str:
    """'1 GPU', '4,000 GPUs', '2.16 GPUs'; a number in words already is taken as it is."""
    shown = number if isinstance(number, str) else f"{number:,}"
    return f"{shown} GPU" if shown == "1" else f"{shown} GPUs"


def names_in_words(names: list[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return " and ".join(", ".join(names).rsplit(", ", 1))
