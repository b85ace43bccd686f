"""Closed forms for the scenarios that have one."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def impatience(
    rate: float, seconds: float, gpus: int, stays: Callable[[Floats], Floats], beyond: float
) -> dict[str, float]:
    """M/M/c+G: a customer who does not start in time is lost (Baccelli, Hebuterne 1981; Zeltyn, Mandelbaum 2005).

    stays: the share that still waits after so many seconds. The density of what the next to come would have to wait is
    lambda p(c-1) exp(lambda H(x) - c mu x), where H is the integral of `stays`; by the trapezoidal rule.
    """
    mu, x = 1 / seconds, np.linspace(0, 40 * seconds, 800_001)
    states = [1.0]
    for n in range(1, gpus):
        states.append(states[-1] * rate / (n * mu))
    patient = stays(x)
    patience = np.append(0.0, np.cumsum((patient[1:] + patient[:-1]) / 2) * x[1])
    density = rate * states[-1] * np.exp(rate * patience - gpus * mu * x)
    density /= sum(states) + np.trapezoid(density, x)
    lost = float(np.trapezoid(density * (1 - patient), x))
    started = 1 - lost
    return {
        "never started": lost,
        "mean wait": float(np.trapezoid(x * density * patient, x)) / started,
        "waited longer": float(np.trapezoid(np.where(x > beyond, density * patient, 0), x)) / started,
        "queued": rate * float(np.trapezoid(density * patience, x)),
        "utilisation": rate * started / (gpus * mu),
    }


def until(patience: float) -> Callable[[Floats], Floats]:
    return lambda x: np.where(x < patience, 1.0, 0.0)


def weibull(scale: float, shape: float) -> Callable[[Floats], Floats]:
    return lambda x: np.exp(-((x / scale) ** shape))


def two_classes(rates: tuple[float, float], seconds: float, gpus: int, wait_probability: float) -> dict[str, float]:
    """M/M/c with two classes, the first before the second (Kella and Yechiali 1985).

    wait_probability: of waiting without classes, Erlang C.
    """
    capacity = gpus / seconds
    first, both = rates[0] / capacity, sum(rates) / capacity
    residual = wait_probability / capacity
    return {
        "mean wait, first": residual / (1 - first),
        "mean wait, second": residual / ((1 - first) * (1 - both)),
        "utilisation": both,
    }
