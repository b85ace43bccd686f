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
    if not math.isfinite(number):
        return "unknown" if math.isnan(number) else "no bound"
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
    if unit == "s" and math.isfinite(figure):
        return duration(figure)
    return f"{three_figures(figure)}{space}{unit}" if math.isfinite(figure) else str(value)


def percent(share: float) -> str:
    return "none" if math.isnan(share) else f"{percentage(share)} %"


MANY = 100.0  # times: larger shares, of a baseline near 0, are written as counts are
ROUNDING = 1e-9  # a share as near as this to none or to all is that, and the rest is the computer's rounding


def percentage(share: float) -> str:
    """A share as a percentage in three figures, or as many as tell it from 100: 71.3, 99.95, 99.9996.

    A promise of 99.99 % and the 99.98 % that were reached must not both read 100 %.
    """
    if abs(share) < ROUNDING:
        return "0"
    lacking = 100 * (1 - share)
    if ROUNDING < lacking < 0.050001:  # three figures would round it up to all
        return f"{100 * share:.{math.ceil(-math.log10(lacking) - 1e-6)}f}"
    return three_figures(100 * share) if abs(share) < MANY else amount(100 * share)


def points(share: float) -> str:
    """A difference of shares in points, signed, to a tenth; one that is smaller in one figure."""
    if abs(share) >= MANY:
        return f"{'+' if share > 0 else '-'}{amount(abs(100 * share))}"
    tenths = f"{100 * share:+.1f}"
    return tenths if abs(share) < ROUNDING or tenths.strip("+-0.") else f"{100 * share:+.1g}"


def counted(number: int, noun: str) -> str:
    """'1 request', '2,000 requests'."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def from_to(few: str, many: str) -> str:
    """A span of numbers in words; one number where both read the same."""
    return few if few == many else f"{few} to {many}"


def plain_value(value: object) -> str:
    """A value as a person writes it: 1, not 1.0."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def in_gpus(number: float | str) -> str:
    """'1 GPU', '4,000 GPUs', '2.16 GPUs'; a number in words already is taken as it is."""
    shown = number if isinstance(number, str) else f"{number:,}"
    return f"{shown} GPU" if shown == "1" else f"{shown} GPUs"


def names_in_words(names: list[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return " and ".join(", ".join(names).rsplit(", ", 1))
