"""Closed forms beside the simulators, where there are some."""

import math


def constant_patience(rate: float, seconds: float, gpus: int, patience: float) -> dict[str, float]:
    """M/M/c+D: who is not started within `patience` seconds is lost (Barrer 1957; Baccelli and Hebuterne 1981).

    The density of what the next to come would have to wait is lambda p(c-1) exp((lambda - c mu) x) up to the patience,
    and falls off at the rate c mu beyond it, where who comes is lost.
    """
    mu = 1 / seconds
    states = [1.0]
    for n in range(1, gpus):
        states.append(states[-1] * rate / (n * mu))
    density, drift = rate * states[-1], rate - gpus * mu
    grown = math.exp(drift * patience)
    lost = density * grown / (gpus * mu)
    within = density * (grown - 1) / drift
    total = sum(states) + within + lost
    waited = density * (patience * grown / drift - (grown - 1) / drift**2)
    return {
        "never started": lost / total,
        "refused": lost / total,
        "mean wait": waited / (total - lost),
        "utilisation": rate * (1 - lost / total) / (gpus * mu),
    }


def two_classes(rates: tuple[float, float], seconds: float, gpus: int, wait_probability: float) -> dict[str, float]:
    """M/M/c with two classes, the first before the second (Kella and Yechiali 1985).

    wait_probability: that somebody waits where all are alike, Erlang C.
    """
    capacity = gpus / seconds
    first, both = rates[0] / capacity, sum(rates) / capacity
    residual = wait_probability / capacity
    return {
        "mean wait, first": residual / (1 - first),
        "mean wait, second": residual / ((1 - first) * (1 - both)),
        "utilisation": both,
    }
