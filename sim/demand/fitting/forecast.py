"""Consequences of a fitted signup curve: a fan of futures, plain sentences, and a demand block for a scenario."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from sim.demand.fitting.counts import Counts
from sim.demand.fitting.fit import (
    ENOUGH_TO_CORRELATE,
    TINY,
    Fit,
    by_aicc,
    correlation_factor,
    lag_one,
    same_curve,
    weights,
)
from sim.demand.fitting.growth_curves import Parameter
from sim.model.streams import FIT, draws, normal
from sim.wording import amount, names_in_words, percent

Floats = NDArray[np.float64]

QUANTILES = (0.025, 0.25, 0.5, 0.75, 0.975)
FUTURES = 400
HELD = 83  # of 100 cases: six counts beyond the first 40, 60 and 80 % of each preset, by 12 counts off by 3 %
UNITS = (("days", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0))


@dataclass(frozen=True)
class Fan:
    """Futures at `times` (seconds): `totals` people and `rates` people a second, one row for each of QUANTILES."""

    times: Floats
    totals: Floats
    rates: Floats


def fan_of_futures(fits: Fit | Sequence[Fit], times: Floats, seed: int = 1) -> Fan:
    """Quantiles over futures: of each curve as many as it weighs, with figures drawn from their joint t distribution.

    Each future has one error, a factor on the whole curve, since errors of a cumulative count are correlated; for the
    same reason the spread of the figures grows (see `correlation_factor`). A figure at its bound, or one that the data
    do not bound at all, is held at its estimate: `sentences` names the figure. No future is below what is counted, nor
    above a market that is given.
    """
    fits = [fits] if isinstance(fits, Fit) else list(fits)
    rows = [futures_of(fit, many, times, seed) for fit, many in zip(fits, futures_each(fits), strict=True) if many]
    totals, rates = (np.concatenate(part) for part in zip(*rows, strict=True))
    return Fan(times, *(np.quantile(part, QUANTILES, axis=0, method="inverted_cdf") for part in (totals, rates)))


def futures_each(fits: list[Fit]) -> list[int]:
    """The number of futures of each curve, by its weight; together they are FUTURES (largest remainders)."""
    if len(fits) == 1:
        return [FUTURES]
    exact = FUTURES * np.array(weights(fits))
    many = np.floor(exact).astype(int)
    many[np.argsort(many - exact, kind="stable")[: FUTURES - many.sum()]] += 1
    return [int(one) for one in many]


def futures_of(fit: Fit, many: int, times: Floats, seed: int) -> tuple[Floats, Floats]:
    """Totals and rates of some futures of one curve, one row each."""
    thetas, errors = joint_draws(fit, many, seed)
    totals, rates = np.empty((2, many, len(times)))
    for number, (theta, error) in enumerate(zip(thetas, errors, strict=True)):
        wave = fit.model.wave(wave_figures(fit, theta), fit.market)
        with np.errstate(all="ignore"):
            totals[number], rates[number] = wave.cumulative(times) * error, wave.rate_at(times) * error
    least = np.where(times >= fit.last, fit.counted, 0.0)
    highest = min(fit.market, 1 / TINY)
    return np.clip(np.nan_to_num(totals), least, highest), np.clip(np.nan_to_num(rates), 0.0, 1 / TINY)


def joint_draws(fit: Fit, many: int, seed: int) -> tuple[Floats, Floats]:
    """Theta of each future, one row each, and the factor by which all its counts are off."""
    p, degrees = len(fit.free), fit.points - len(fit.free)
    futures = np.arange(many)
    wide = np.sqrt(degrees / scipy.stats.chi2.ppf(draws(seed, FIT, futures, p + 1), degrees))
    normals = np.array([[normal.direct(seed, FIT, number, k) for k in range(p + 1)] for number in range(many)])
    spread_of = np.where(np.isfinite(fit.covariance), fit.covariance, 0.0) * correlation_factor(fit)
    sizes, turn = np.linalg.eigh(spread_of)
    spread = normals[:, :p] * np.sqrt(np.maximum(sizes, 0.0)) @ turn.T
    errors = np.exp(np.clip(wide * fit.scatter * normals[:, p], -600, 600))
    return fit.theta + wide[:, None] * spread, errors


def wave_figures(fit: Fit, theta: Floats) -> dict[str, float]:
    """Figures of the wave for one theta; a shape stays within what the wave allows, a market above what is counted."""
    values = {**fit.values, **dict(zip(fit.free, np.exp(np.clip(theta, -600, 600)).tolist(), strict=True))}
    for p in fit.model.parameters:
        if p.unit == "number":
            values[p.name] = min(max(values[p.name], p.low), p.high)
        if p.name == "people":
            values[p.name] = max(values[p.name], fit.counted)
    return values


def sentences(fits: list[Fit], counts: Counts) -> list[str]:
    """The best curve and how it was chosen, then what the data leave open."""
    best, others = fits[0], fits[1:]
    rest = ", ".join(f"{fit.model.name} {percent(fit.rms)}" for fit in others)
    nearer = any(fit.rms < best.rms and not fit.forecasts for fit in others)  # without an end: no forecast
    first = f"Of the curves that have an end, {best.model.name}" if nearer else best.model.name
    lines = [f"{first} fits best: off by {percent(best.rms)} (rms){f', against {rest}' if rest else ''}."]
    if others:
        lines.append(ranked_by(fits))
    over = f", over a base of {counts.base:,.0f}" if counts.base > 0 else ""
    lines += [counts.taken, f"By the last count {counts.counted:,.0f} people came{over}."]
    lines += same_curves(fits)
    lines += [line for fit in fits for line in unidentified(fit)]
    lines += [*without_an_end(fits), *without_a_market(best)]
    if len(fits) > 1:
        lines.append(fan_in_words(fits))
    lines.append(
        "The intervals are optimistic: they take errors of cumulative counts as independent, though people in one "
        "count are in all later ones" + correlation_note(best)
    )
    return lines


def without_an_end(fits: list[Fit]) -> list[str]:
    """The curves that never end, and whether they are forecasts."""
    names = names_in_words([fit.model.name for fit in fits if not fit.model.ends])
    if not names or fits[0].market < math.inf:
        return []
    verb = "has" if " " not in names else "have"
    if not any(fit.forecasts for fit in fits if not fit.model.ends):
        return [f"{names} {verb} no end: a description of the data, and no forecast (--people, or --unbounded)."]
    return [f"{names} {verb} no end: the total is where the horizon cuts it off (--unbounded)."]


def without_a_market(best: Fit) -> list[str]:
    """A warning where the counts do not show that growth ends, so that the best curve's market is a guess."""
    if not is_guess(best):
        return []
    people = amount(best.values["people"])
    return [
        f"NO END IN SIGHT: the counts do not show how many people there are in all. The {people} of "
        f"{best.model.name} are a guess: beyond the last count it and the fan carry growth on, though it may end at "
        "any time. Give the market that you know of: --people."
    ]


def is_guess(fit: Fit) -> bool:
    """Whether the people of a fit are left open by its data."""
    return "people" in fit.free and "people" in fit.vague()


def fan_in_words(fits: list[Fit]) -> str:
    """The curves in the fan by the share of its futures that is theirs."""
    each = [
        f"{fit.model.name} {percent(many / FUTURES)}"
        for fit, many in zip(fits, futures_each(fits), strict=True)
        if many
    ]
    rule = "AICc" if by_aicc(fits) else "the error per degree of freedom"
    more = "" if is_guess(fits[0]) else ": plan for more than it shows"
    return (
        f"The fan of futures holds curves by their weight ({rule}): {names_in_words(each)}. On the last parts of the "
        f"shipped presets, held out, its 95 % held the truth in {HELD} of 100 cases{more}."
    )


def ranked_by(fits: list[Fit]) -> str:
    if by_aicc(fits):
        return "Ranked by AICc."
    line = "Ranked by the error per degree of freedom; AICc overcorrects with so few points"
    known = [fit for fit in fits if not math.isnan(fit.aicc)]
    first = min(known, key=lambda fit: fit.aicc).model.name if known else ""
    return f"{line}{f' (it would put {first} first)' if first not in ('', fits[0].model.name) else ''}."


def same_curves(fits: list[Fit]) -> list[str]:
    """Groups of models that draw one curve."""
    groups: list[list[Fit]] = []
    for fit in fits:
        home = next((g for g in groups if same_curve(g[0], fit)), None)
        if home is None:
            groups.append([fit])
        else:
            home.append(fit)
    return [f"{names_in_words([f.model.name for f in g])} are the same curve here." for g in groups if len(g) > 1]


def unidentified(fit: Fit) -> list[str]:
    """The figures of one model that the data leave open."""
    vague = fit.vague()
    lines = []
    if "shape" in fit.beyond:
        lines.append(
            f"{fit.model.name}: the data fit best with a shape below 1, steepest at the very beginning, which a wave "
            "cannot have (its rate would begin infinite): shape 1 is the nearest."
        )
        vague.remove("shape")
    if vague:
        be = "is" if len(vague) == 1 else "are"
        lines.append(f"{fit.model.name}: {names_in_words(vague)} {be} not identified by these data.")
    return lines


def correlation_note(fit: Fit) -> str:
    """The correlation of the errors, where there are enough of them to estimate it."""
    if fit.points < ENOUGH_TO_CORRELATE:
        return "."
    return f" (the correlation from one error to the next is {lag_one(fit.residuals):.2f})."


def interval_in_words(fit: Fit, parameter: Parameter) -> str:
    """A figure with its 95 % interval for a table: 'imitation 0.0905 [0.0424, 0.193] per h'."""
    name, value = parameter.name, fit.values[parameter.name]
    size, unit = 1.0, ""
    if parameter.unit == "time":
        unit, size = unit_of(value)
    elif parameter.unit != "number" and parameter.unit != "people":
        unit, size = "per h", 1 / 3600
    text = f"{name} {amount(value / size)}"
    if name not in fit.free:
        return f"{text} (given)"
    if name in fit.bounded:
        return f"{text} {unit} (at its bound)".replace("  ", " ")
    if math.isinf(fit.high[name]):
        return f"{text} {unit} (not identified)".replace("  ", " ")
    return f"{text} [{amount(fit.low[name] / size)}, {amount(fit.high[name] / size)}] {unit}".rstrip()


def demand_block(fit: Fit, counts: Counts, horizon: float) -> str:
    """The fitted wave as YAML for a scenario, six figures exact; it begins with the scenario unless `from` is added."""
    lines = ["demand:", f"  - kind: {fit.model.kind}", "    name: fitted"]
    if counts.base > 0:
        lines.insert(1, f"  # new people, over a base of {counts.base:,.0f} who were there before")
    if counts.start is not None:
        lines.insert(1, f"  # the data begin {counts.start:%Y-%m-%d %H:%M} UTC; say so with 'from' if it matters")
    if is_guess(fit):
        lines.insert(
            1, "  # people is a guess: the counts do not show where growth ends; set it to the market that you know of"
        )
    lines += [f"    {p.name}: {scenario_value(fit.values[p.name], p.unit)}" for p in fit.model.parameters]
    if not fit.model.ends and fit.market < math.inf:
        if fit.model.kind == "exponential":
            lines.append(f"    people: {six_figures(fit.market)}")
        else:
            lines.append(f"    lasting: {duration(fit.market / fit.values['rate'])}")
    elif not fit.model.ends:  # growth without an end fits these data, not the years after
        lines.append(f"    lasting: {duration(horizon)}")
    return "\n".join(lines) + "\n"


def scenario_value(value: float, unit: str) -> str:
    """A figure as scenarios write it: '35.4198 h', '0.0112247 per h', 101367000."""
    if unit == "time":
        return duration(value)
    if unit in ("per time", "people per time"):
        return f"{six_figures(value * 3600)} per h"
    return six_figures(value)


def duration(seconds: float) -> str:
    unit, size = unit_of(seconds)
    return f"{six_figures(seconds / size)} {unit}"


def unit_of(seconds: float) -> tuple[str, float]:
    """The unit of which a duration has at least two (of days ten: fewer are given in hours), and its size."""
    return next(((n, s) for n, s in UNITS if seconds >= (10 if n == "days" else 2) * s), UNITS[-1])


def six_figures(value: float) -> str:
    return f"{float(f'{value:.6g}'):.12g}"
