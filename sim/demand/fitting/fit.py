"""Fits signup curves to counts of people over time, with intervals for their figures, and ranks them.

Method: least squares on the logarithm of the cumulative, with bounds, from a grid of starts. On the logarithm an error
is a share of the count, as the errors of published milestones are, and early points carry weight. Parameters are
logarithms too. Intervals are theta +- t(0.975, n - p) sqrt(s^2 (J'J)^-1), J the Jacobian at the optimum (Seber and
Wild: Nonlinear Regression, 1989, section 5.1), taken back from the logarithm.

The errors of a cumulative count are correlated (people in one count are in all later ones), and the formula takes them
as independent: with many points the intervals are optimistic.

No market is smaller than what is counted. A curve without an end is no forecast: it comes last, and weighs nothing,
unless a market ends it or it is asked for. The others weigh by AICc (Burnham and Anderson 2002, section 2.9), or by
their error per degree of freedom where points are few.
"""

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
import scipy
from numpy.typing import NDArray

from sim.demand.fitting.counts import Counts
from sim.demand.fitting.growth_curves import MODELS, Curve, Model, Parameter
from sim.errors import BadInput

Floats = NDArray[np.float64]

ENOUGH = 6  # with fewer points no market is fitted: on published launches so few do not identify it
AICC_FROM = 5  # points beyond those that figures use up, from which the correction of AICc is smaller than the fit
SEARCHES = 4  # local searches, from the best starts of the grid
VAGUE = 10.0  # a figure is not identified if the ends of its interval differ by this factor
STEPS = 20_000  # of the grid on which the peak is looked up
TINY = 1e-300
AT_BOUND = 1e-4  # of a figure
SAME = 1e-3  # of the count: two curves closer than this are the same
ENOUGH_TO_CORRELATE = 10  # points
MOST_CORRELATED = 0.9


@dataclass(frozen=True)
class Fit:
    """One curve as fitted. Rates are people a second, times seconds after the beginning.

    theta: logarithms of the free figures (in people and seconds), `free` their names; covariance: theirs. A figure at
    its bound has no spread, and `bounded` names it; `beyond` names it too where the data want it lower still. low,
    high: 95 % intervals of every free figure, 0 and inf where the data do not bound it. rms: of the residuals of the
    logarithm; scatter: the same over n - p. aicc: nan where n is no more than p + 2. total: people by the horizon, no
    fewer than are counted; peak: the highest rate until then. counted: people by `last`, the time of the last count;
    market: where the size of the market is given (inf: it is not). forecasts: whether the curve says anything beyond
    the data.
    """

    model: Model
    wave: Curve
    values: dict[str, float]
    free: tuple[str, ...]
    theta: Floats
    covariance: Floats
    low: dict[str, float]
    high: dict[str, float]
    bounded: tuple[str, ...]
    beyond: tuple[str, ...]
    residuals: Floats
    rms: float
    scatter: float
    aicc: float
    peak: float
    peak_time: float
    total: float
    counted: float
    last: float
    market: float
    forecasts: bool

    @property
    def points(self) -> int:
        return len(self.residuals)

    def vague(self) -> list[str]:
        """The figures that the data do not identify: at a bound, or with an interval of a factor of ten or more."""
        return [name for name in self.free if name in self.bounded or not self.high[name] < VAGUE * self.low[name]]


def fit_all(
    counts: Counts,
    models: list[Model] | None = None,
    *,
    people: float | None = None,
    horizon: float | None = None,
    unbounded: bool = False,
) -> list[Fit]:
    """Every model fitted, the best forecast first. Raises BadInput where there are too few points, or no forecast.

    people: the size of the market where it is known (with the base), so that it is not fitted; horizon: seconds, twice
    the span of the data if not given; unbounded: take curves without an end for forecasts too. Ranked by AICc where
    there are points enough, else by scatter: of six points the correction for a third parameter outweighs an error ten
    times smaller.
    """
    models = list(MODELS.values()) if models is None else models
    market = market_of(counts, people)
    if not (unbounded or people is not None or any(model.ends for model in models)):
        expected = "--people with the size of the market, or --unbounded to forecast growth without an end"
        names = ", ".join(model.name for model in models)
        raise BadInput(
            "these curves have no end, and so are no forecast", key="--model", value=names, expected=expected
        )
    refuse_few(counts, models, people)
    horizon = 2 * float(counts.times[-1]) if horizon is None else horizon
    fits = [fit_one(counts, model, people=market, horizon=horizon, unbounded=unbounded) for model in models]
    figure = (lambda f: f.aicc) if by_aicc(fits) else (lambda f: f.scatter)
    return sorted(fits, key=lambda f: (not f.forecasts, figure(f)))


def market_of(counts: Counts, people: float | None) -> float | None:
    """The market over the base. Raises BadInput where it is smaller than what was counted."""
    if people is None:
        return None
    market = people - counts.base
    if not counts.counted <= market < math.inf:
        expected = f"at least the people counted, {counts.counted + counts.base:g}"
        raise BadInput("the market is smaller than what was counted", key="--people", value=people, expected=expected)
    return market


def weights(fits: list[Fit]) -> list[float]:
    """The weight of each curve among the forecasts, summing to 1; curves that are the same share one weight.

    exp(-d / 2), d the difference in AICc from the best; where points are few, in 2 n ln(scatter). Correlated errors
    count as fewer points: n (1 - c) / (1 + c), c the correlation of the best curve's errors from one to the next.
    """
    by_criterion, best = by_aicc(fits), fits[0]
    less = 1 / correlation_factor(best)
    raw = []
    for fit in fits:
        ratio = max(fit.scatter, TINY) / max(best.scatter, TINY)
        apart = fit.aicc - best.aicc if by_criterion else 2 * fit.points * math.log(ratio)
        copies = sum(same_curve(fit, other) for other in fits if other.forecasts)
        raw.append(math.exp(-0.5 * less * max(apart, 0.0)) / copies if fit.forecasts else 0.0)
    return [one / sum(raw) for one in raw]


def same_curve(one: Fit, other: Fit) -> bool:
    """Whether two models draw one curve, like Bass and the logistic counted from zero."""
    return bool(np.all(np.abs(one.residuals - other.residuals) < SAME))


def correlation_factor(fit: Fit) -> float:
    """How many times larger the variance of a figure is for the correlation of errors (of a first-order process)."""
    if fit.points < ENOUGH_TO_CORRELATE:
        return 1.0
    c = min(max(lag_one(fit.residuals), 0.0), MOST_CORRELATED)
    return (1 + c) / (1 - c)


def lag_one(residuals: Floats) -> float:
    """The correlation of each residual with the next; 0 where all are equal."""
    centred = residuals - residuals.mean()
    return float(np.sum(centred[1:] * centred[:-1]) / max(float(np.sum(centred**2)), TINY))


def by_aicc(fits: list[Fit]) -> bool:
    """Whether there are enough points for every model to be ranked by AICc."""
    return all(fit.points - len(fit.free) - 2 >= AICC_FROM for fit in fits)


def refuse_few(counts: Counts, models: list[Model], people: float | None) -> None:
    """Few points cannot separate the market from the pace, and as many figures as points fit anything."""
    if people is None and len(counts) < ENOUGH and any(p.name == "people" for m in models for p in m.parameters):
        raise BadInput(
            f"{len(counts)} point{'' if len(counts) == 1 else 's'} cannot tell the size of the market",
            key="--people",
            expected=f"at least {ENOUGH} points, or --people with the size of the market, like 100M",
        )
    most = max(len(free_parameters(model, people)) for model in models)
    if len(counts) <= most:
        message = f"{len(counts)} points are too few to fit {most} figures and say how sure they are"
        raise BadInput(message, expected=f"at least {most + 1} points")


def free_parameters(model: Model, people: float | None) -> tuple[Parameter, ...]:
    return tuple(p for p in model.parameters if people is None or p.name != "people")


def fit_one(counts: Counts, model: Model, *, people: float | None, horizon: float, unbounded: bool = False) -> Fit:
    """One model fitted from the best starts of its grid. people: the market over the base."""
    free = free_parameters(model, people)
    names = tuple(p.name for p in free)
    fixed = {"people": people} if people is not None and len(free) < len(model.parameters) else {}
    market = math.inf if people is None else people
    logs = np.log(counts.totals)
    sizes = np.array([p.size(float(counts.totals[-1]), float(counts.times[-1])) for p in free])

    def figures(theta: Floats) -> dict[str, float]:
        return {**fixed, **dict(zip(names, np.exp(theta).tolist(), strict=True))}

    def residuals(theta: Floats) -> Floats:
        with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
            predicted = model.wave(figures(theta), market).cumulative(counts.times)
        return np.log(np.clip(np.nan_to_num(predicted, nan=0.0), TINY, 1 / TINY)) - logs

    low = np.log([max(p.low * size, p.limits[0], TINY) for p, size in zip(free, sizes, strict=True)])
    high = np.log([min(p.high * size, p.limits[1]) for p, size in zip(free, sizes, strict=True)])
    starts = [np.clip(np.log(s * sizes), low + 1e-6, high - 1e-6) for s in product(*(p.starts for p in free))]
    starts.sort(key=lambda theta: float(np.sum(residuals(theta) ** 2)))
    found = min((search(residuals, start, low, high) for start in starts[:SEARCHES]), key=lambda one: one.cost)
    floors = np.log([max(p.floor * size, TINY) for p, size in zip(free, sizes, strict=True)])
    if (found.x < floors).any():  # by as little as the search may look below them
        low = np.where(found.x - low < AT_BOUND, np.maximum(low, floors), low)
        theta = np.maximum(found.x, floors)
        found.update(x=theta, fun=residuals(theta))
    return fit_of_optimum(
        counts, model, names, figures(found.x), found, (low, high), horizon, market=market, unbounded=unbounded
    )


def search(residuals, start: Floats, low: Floats, high: Floats) -> scipy.optimize.OptimizeResult:  # type: ignore[no-untyped-def]
    return scipy.optimize.least_squares(residuals, start, jac="3-point", bounds=(low, high), xtol=1e-12, ftol=1e-12)


def fit_of_optimum(
    counts: Counts,
    model: Model,
    names: tuple[str, ...],
    values: dict[str, float],
    found: scipy.optimize.OptimizeResult,
    bounds: tuple[Floats, Floats],
    horizon: float,
    *,
    market: float,
    unbounded: bool,
) -> Fit:
    """The fit at an optimum: intervals, errors, peak and total."""
    n, p = len(counts), len(names)
    squares = float(np.sum(found.fun**2))
    scatter = math.sqrt(squares / (n - p))
    at_bound = np.minimum(found.x - bounds[0], bounds[1] - found.x) < AT_BOUND
    covariance = scatter**2 * inverse(found.jac, ~at_bound)
    reach = scipy.stats.t.ppf(0.975, n - p) * np.sqrt(np.diag(covariance))
    with np.errstate(over="ignore"):
        low, high = np.exp(found.x - reach), np.exp(found.x + reach)
    low, high = np.where(at_bound, 0.0, low), np.where(at_bound, np.inf, high)
    low = np.maximum(low, [counts.counted if name == "people" else 0.0 for name in names])
    wave = model.wave(values, market)
    grid = np.linspace(0.0, horizon, STEPS + 1)
    rates = wave.rate_at(grid)
    highest = int(np.argmax(rates))
    return Fit(
        model=model,
        wave=wave,
        values=values,
        free=names,
        theta=found.x,
        covariance=covariance,
        low=dict(zip(names, low.tolist(), strict=True)),
        high=dict(zip(names, high.tolist(), strict=True)),
        bounded=tuple(name for name, stuck in zip(names, at_bound, strict=True) if stuck),
        beyond=tuple(name for name, out in zip(names, at_bound & wants_lower(found), strict=True) if out),
        residuals=found.fun,
        rms=math.sqrt(squares / n),
        scatter=scatter,
        aicc=aicc(squares, n, p),
        peak=float(rates[highest]),
        peak_time=float(grid[highest]),
        total=max(float(wave.cumulative(horizon)), counts.counted),
        counted=counts.counted,
        last=float(counts.times[-1]),
        market=market,
        forecasts=model.ends or unbounded or market < math.inf,
    )


def wants_lower(found: scipy.optimize.OptimizeResult) -> NDArray[np.bool_]:
    """The figures that a free Gauss-Newton step would lower by 2 % or more."""
    return np.linalg.lstsq(found.jac, -found.fun, rcond=1e-6)[0] < -0.02


def inverse(jacobian: Floats, moving: NDArray[np.bool_]) -> Floats:
    """(J'J)^-1 over the figures that are not at a bound; infinite variances where the data cannot separate them."""
    full = np.zeros((len(moving), len(moving)))
    part = jacobian[:, moving]
    if part.shape[1] == 0:
        return full
    _, sizes, turn = np.linalg.svd(part, full_matrices=False)
    if sizes[-1] <= 1e-8 * sizes[0]:
        full[moving, moving] = np.inf
        return full
    full[np.ix_(moving, moving)] = turn.T @ np.diag(sizes**-2.0) @ turn
    return full


def aicc(squares: float, n: int, p: int) -> float:
    """Akaike's criterion, corrected for few points (Hurvich and Tsai 1989), the error's variance among the figures."""
    k = p + 1
    if n <= k + 1:
        return math.nan
    return n * math.log(max(squares, TINY) / n) + 2 * k + 2 * k * (k + 1) / (n - k - 1)
