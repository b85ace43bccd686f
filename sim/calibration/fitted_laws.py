"""Laws of times fitted to samples in which some times are only known to be longer (censored), by maximum likelihood."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
Z = float(stats.norm.ppf(0.975))
FEWEST = 10  # times that were seen, below which no law is fitted
NAMES = {"exponential": ("mean",), "lognormal": ("median", "sigma"), "weibull": ("scale", "shape")}
UNIFORM = ("low", "high")


@dataclass(frozen=True)
class FittedLaw:
    """A law, its parameters (those of time in seconds) with 95 % intervals, and how many times were seen of how many.

    aic: twice the number of parameters less twice the log-likelihood (Akaike 1974); the lowest is chosen.
    """

    kind: str
    parameters: dict[str, tuple[float, float, float]]
    aic: float
    seen: int
    n: int

    @property
    def document(self) -> dict[str, Any]:
        """The law as a scenario writes it."""
        plain = ("sigma", "shape")
        values = {k: float(f"{v[0]:.4g}") if k in plain else f"{v[0]:.4g} s" for k, v in self.parameters.items()}
        return {"kind": self.kind, **values}


def log_density(kind: str, p: Floats, t: Floats) -> tuple[Floats, Floats]:
    """Logarithms of density and survival at times t; p: logarithms of the parameters."""
    if kind == "exponential":
        return -p[0] - t / math.exp(p[0]), -t / math.exp(p[0])
    if kind == "lognormal":
        z = (np.log(t) - p[0]) / math.exp(p[1])
        return -0.5 * z * z - HALF_LOG_2PI - p[1] - np.log(t), np.asarray(special.log_ndtr(-z))
    ratio = np.log(t) - p[0]
    power = np.exp(np.minimum(math.exp(p[1]) * ratio, 700.0))
    return p[1] - p[0] + (math.exp(p[1]) - 1.0) * ratio - power, -power


def fitted(
    times: Floats, seen: Mask, kinds: Sequence[str] = tuple(NAMES), weights: Floats | None = None
) -> FittedLaw | None:
    """The law of the lowest AIC; None for fewer than FEWEST times that were seen.

    times: float64 (n,), seconds above 0; seen: False where the time is only known to be longer; weights: how much each
    time counts. 'uniform' is tried where it is asked for and every time was seen, and counts.
    """
    times = np.maximum(times, 1e-6)
    counts = np.ones(len(times)) if weights is None else weights
    if counts[seen].sum() < FEWEST:
        return None
    found = [one_law(kind, times, seen, counts) for kind in kinds if kind != "uniform"]
    if "uniform" in kinds and seen.all() and weights is None:
        found.append(uniform(times))
    return min((one for one in found if math.isfinite(one.aic)), key=lambda one: one.aic, default=None)


def one_law(kind: str, times: Floats, seen: Mask, weights: Floats) -> FittedLaw:
    """The maximum of the likelihood, and intervals by its curvature in the logarithms of the parameters."""
    middle = math.log(float((weights * times).sum()) / float(weights[seen].sum()))
    guess = np.array([middle] + [0.0] * (len(NAMES[kind]) - 1))

    def cost(p: Floats) -> float:
        density, survival = log_density(kind, p, times)
        return -float((weights * np.where(seen, density, survival)).sum())

    if seen.all() and kind != "weibull":  # where nothing is hidden, logs have a mean and a deviation
        logs, total = np.log(times), float(weights.sum())
        mean = float((weights * logs).sum()) / total
        spread = max(math.sqrt(float((weights * (logs - mean) ** 2).sum()) / total), 1e-9)
        at = guess if kind == "exponential" else np.array([mean, math.log(spread)])
    else:
        at = optimize.minimize(cost, guess, method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-5}).x
    errors = standard_errors(cost, at)
    names = {n: interval_of(v, e) for n, v, e in zip(NAMES[kind], at.tolist(), errors.tolist(), strict=True)}
    return FittedLaw(kind, names, 2.0 * len(names) + 2.0 * cost(at), round(float(weights[seen].sum())), len(times))


def interval_of(log_value: float, error: float) -> tuple[float, float, float]:
    return math.exp(log_value), math.exp(log_value - Z * error), math.exp(min(log_value + Z * error, 700.0))


def standard_errors(cost: Any, at: Floats) -> Floats:
    """Square roots of the diagonal of the inverse of the second differences of a cost at its minimum."""
    step, k = 1e-3, len(at)
    eye = np.eye(k) * step
    second = np.empty((k, k))
    for i in range(k):
        for j in range(k):
            corners = [a * b * cost(at + a * eye[i] + b * eye[j]) for a in (1, -1) for b in (1, -1)]
            second[i, j] = sum(corners) / (4 * step * step)
    try:
        return np.sqrt(np.maximum(np.diag(np.linalg.inv(second)), 0.0))
    except np.linalg.LinAlgError:
        return np.full(k, math.inf)


def uniform(times: Floats) -> FittedLaw:
    """The range of the times; its ends lie beyond those seen by up to a part of the range (exact, for n times)."""
    low, high, n = float(times.min()), float(times.max()), len(times)
    beyond = (high - low) * (0.05 ** (-1.0 / max(n - 1, 1)) - 1.0)
    ends = {"low": (low, max(low - beyond, 0.0), low), "high": (high, high, high + beyond)}
    cost = n * math.log(high - low) if high > low else -math.inf
    return FittedLaw("uniform", ends, 4.0 + 2.0 * cost, n, n)
