"""Consequences of a fitted signup curve: a fan of futures, plain sentences, and a demand block for a scenario."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sim.demand.fitting.counts import Counts
from sim.demand.fitting.fit import TINY, Fit, by_aicc
from sim.demand.fitting.growth_curves import Parameter
from sim.model.streams import FIT, draws, normal
from sim.wording import names_in_words, percent

Floats = NDArray[np.float64]

QUANTILES = (0.025, 0.25, 0.5, 0.75, 0.975)
FUTURES = 400
ENOUGH_TO_CORRELATE = 10  # points
SAME = 1e-3  # of the count: two curves closer than this are the same
UNITS = (("days", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0))


@dataclass(frozen=True)
class Fan:
    """Futures at `times` (seconds): `totals` people and `rates` people a second, one row for each of QUANTILES."""

    times: Floats
    totals: Floats
    rates: Floats


def fan_of_futures(fit: Fit, times: Floats, seed: int = 1) -> Fan:
    """Quantiles over futures: the figures drawn from their joint t distribution, and one error a future.

    The error is a factor on the whole curve, since errors of a cumulative count are correlated. A figure at its bound,
    or one that the data do not bound at all, is held at its estimate: the fan is then too narrow, and `sentences` names
    the figure.
    """
    thetas, errors = joint_draws(fit, seed)
    totals, rates = np.empty((2, FUTURES, len(times)))
    for number, (theta, error) in enumerate(zip(thetas, errors, strict=True)):
        wave = fit.model.wave(wave_figures(fit, theta))
        with np.errstate(all="ignore"):
            totals[number], rates[number] = wave.cumulative(times) * error, wave.rate_at(times) * error
    known = (np.clip(np.nan_to_num(rows), 0.0, 1 / TINY) for rows in (totals, rates))
    return Fan(times, *(np.quantile(rows, QUANTILES, axis=0, method="inverted_cdf") for rows in known))


def joint_draws(fit: Fit, seed: int) -> tuple[Floats, Floats]:
    """Theta of each future, one row each, and the factor by which all its counts are off."""
    p, degrees = len(fit.free), fit.points - len(fit.free)
    futures = np.arange(FUTURES)
    wide = np.sqrt(degrees / stats.chi2.ppf(draws(seed, FIT, futures, p + 1), degrees))
    normals = np.array([[normal(seed, FIT, number, k) for k in range(p + 1)] for number in range(FUTURES)])
    sizes, turn = np.linalg.eigh(np.where(np.isfinite(fit.covariance), fit.covariance, 0.0))
    spread = normals[:, :p] * np.sqrt(np.maximum(sizes, 0.0)) @ turn.T
    errors = np.exp(np.clip(wide * fit.scatter * normals[:, p], -600, 600))
    return fit.theta + wide[:, None] * spread, errors


def wave_figures(fit: Fit, theta: Floats) -> dict[str, float]:
    """Figures of the wave for one theta; a shape stays within what the wave allows."""
    values = {**fit.values, **dict(zip(fit.free, np.exp(np.clip(theta, -600, 600)).tolist(), strict=True))}
    for p in fit.model.parameters:
        if p.unit == "number":
            values[p.name] = min(max(values[p.name], p.low), p.high)
    return values


def sentences(fits: list[Fit], counts: Counts) -> list[str]:
    """The best curve and how it was chosen, then what the data leave open."""
    best, others = fits[0], fits[1:]
    rest = ", ".join(f"{fit.model.name} {percent(fit.rms)}" for fit in others)
    lines = [f"{best.model.name} fits best: off by {percent(best.rms)} (rms){f', against {rest}' if rest else ''}."]
    if others:
        lines.append(ranked_by(fits))
    lines.append(counts.taken)
    lines += same_curves(fits)
    lines += [line for fit in fits for line in unidentified(fit)]
    if best.model.name in ("exponential", "linear"):
        lines.append("This curve has no end of its own: its total is where the horizon cuts it off.")
    lines.append(
        "The intervals are optimistic: they take errors of cumulative counts as independent, though people in one "
        "count are in all later ones" + correlation_note(best)
    )
    return lines


def ranked_by(fits: list[Fit]) -> str:
    if by_aicc(fits):
        return "Ranked by AICc."
    line = "Ranked by the error per degree of freedom; AICc overcorrects with so few points"
    known = [fit for fit in fits if not math.isnan(fit.aicc)]
    first = min(known, key=lambda fit: fit.aicc).model.name if known else ""
    return f"{line}{f' (it would put {first} first)' if first not in ('', fits[0].model.name) else ''}."


def same_curves(fits: list[Fit]) -> list[str]:
    """Groups of models that draw one curve, like Bass and the logistic counted from zero."""
    groups: list[list[Fit]] = []
    for fit in fits:
        home = next((g for g in groups if np.all(np.abs(g[0].residuals - fit.residuals) < SAME)), None)
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


def lag_one(residuals: Floats) -> float:
    """The correlation of each residual with the next; 0 where all are equal."""
    centred = residuals - residuals.mean()
    return float(np.sum(centred[1:] * centred[:-1]) / max(float(np.sum(centred**2)), TINY))


def interval_in_words(fit: Fit, parameter: Parameter) -> str:
    """A figure with its 95 % interval for a table: 'imitation 0.0905 [0.0424, 0.193] per h'."""
    name, value = parameter.name, fit.values[parameter.name]
    size, unit = 1.0, ""
    if parameter.unit == "time":
        unit, size = unit_of(value)
    elif parameter.unit != "number" and parameter.unit != "people":
        unit, size = "per h", 1 / 3600
    text = f"{name} {three_figures(value / size)}"
    if name not in fit.free:
        return f"{text} (given)"
    if name in fit.bounded:
        return f"{text} {unit} (at its bound)".replace("  ", " ")
    if math.isinf(fit.high[name]):
        return f"{text} {unit} (not identified)".replace("  ", " ")
    return f"{text} [{three_figures(fit.low[name] / size)}, {three_figures(fit.high[name] / size)}] {unit}".rstrip()


def three_figures(value: float) -> str:
    """Like 0.0905, 35.4, 101 M."""
    for size, suffix in ((1e9, " bn"), (1e6, " M"), (1e3, " k")):
        if 0.9995 * size <= value < math.inf:
            return f"{value / size:.3g}{suffix}"
    return f"{value:.3g}"


def demand_block(fit: Fit, counts: Counts, horizon: float) -> str:
    """The fitted wave as YAML for a scenario, six figures exact; it begins with the scenario unless `from` is added."""
    lines = ["demand:", f"  - kind: {fit.model.kind}", "    name: fitted"]
    if counts.start is not None:
        lines.insert(1, f"  # the data begin {counts.start:%Y-%m-%d %H:%M} UTC; say so with 'from' if it matters")
    lines += [f"    {p.name}: {scenario_value(fit.values[p.name], p.unit)}" for p in fit.model.parameters]
    if fit.model.kind == "exponential":  # growth without an end fits these data, not the years after
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
