"""Figures for a reader: three digits, a unit, and a word where there is no number."""

import math
from typing import Literal

from sim.model.knobs import knob_called
from sim.results.run import Run
from sim.studies.differences import unit_of
from sim.wording import amount, duration, percent, percentage, rate_unit, usd

Unit = Literal["share", "dollars", "number"]  # of a mean or a difference


def count(number: float | None, unit: str = "") -> str:
    """A count or an amount; 'none' where there is none, 'unlimited' where it has no bound."""
    if number is None or math.isnan(number):
        return "none"
    return "unlimited" if math.isinf(number) else f"{amount(number)}{unit}"


def known(number: float, unit: str = "") -> str:
    """An amount that may not be known, like the energy of a GPU whose power was not measured."""
    return f"{amount(number)}{unit}" if math.isfinite(number) else "not known"


def share(number: float | None) -> str:
    return "none" if number is None or not math.isfinite(number) else percent(number)


def seconds(number: float | None) -> str:
    """A duration; 'never' where its end did not come."""
    return "never" if number is None or not math.isfinite(number) else duration(number)


def dollars(number: float) -> str:
    return usd(number) if math.isfinite(number) else "not known"


def figure(metric: str, value: float) -> str:
    """A figure of sim.studies.figures by its name, in its unit: a share, seconds, dollars or a number."""
    written = {"share": share, "seconds": seconds, "dollars": dollars, "number": count}
    return written[unit_of(metric)](value)


def swing(metric: str, value: float) -> str:
    """How far a figure moves: a share in points; 'no end' where it comes to be never."""
    if math.isinf(value):
        return "no end"
    return f"{amount(100 * value)} points" if unit_of(metric) == "share" else figure(metric, value)


def instant(run: Run, number: float) -> str:
    """A date and time (UTC), or 'never'."""
    return run.date(number) if math.isfinite(number) else "never"


def rate(per_second: float) -> str:
    """A rate in the shortest unit in which it is 1 or more."""
    size, unit = rate_unit(per_second)
    return f"{amount(per_second * size)} per {unit}"


def knob(run: Run, name: str, value: float) -> str:
    """The value of a knob of the decision table, of the whole service and in its unit."""
    scaled = name != "step" and knob_called(name).scaled
    return full_knob(name, value / run.scale if scaled else value)


def full_knob(name: str, value: float) -> str:
    """The value of a knob, counted for the whole service, in its unit."""
    if name == "step":
        return "in force" if value else "not in force"
    about = knob_called(name)
    if about.choices:
        return about.choices[int(value)]
    if math.isinf(value):
        return about.unset
    if about.unit == "share":
        return percent(value)
    if about.unit == "yes or no":
        return "yes" if value else "no"
    if about.unit == "seconds":
        return duration(value)
    if about.unit == "per second":
        return rate(value)
    if about.unit == "people per second":
        return f"{amount(value * 86400)} people a day"
    return f"{amount(value)} {about.unit}".strip()


def interval(mean: float, low: float, high: float, unit: Unit = "number", *, signed: bool = False) -> str:
    """A mean and, in a second line, its confidence interval, where there is one; signed: a difference."""
    if not math.isfinite(mean):
        if unit == "dollars":
            return "not known"
        return "never" if mean > 0 else "none"
    after = ""
    if unit == "share":
        after = " points" if signed else " %"

    def written(number: float) -> str:
        if unit == "share" and not signed:
            return percentage(number)
        text = usd(number) if unit == "dollars" else amount(100.0 * number if unit == "share" else number)
        return f"+{text}" if signed and number > 0 else text

    bounds = f"\n({written(low)} to {written(high)})" if math.isfinite(low) and low < high < math.inf else ""
    return f"{written(mean)}{after}{bounds}"
