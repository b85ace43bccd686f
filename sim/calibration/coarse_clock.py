"""The likelihood of service times where stamps are those of a coarse clock, so that waits are known to a tick only.

A stamp is anywhere in its tick, so the instant at which a request's turn came lies up to two ticks from where it seems
to lie. A service is what is left of a duration after the wait; its likelihood is the mean over where the turn may be.
A likelihood that took the seeming waits for true ones would prefer numbers of servers at which nobody waits.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
PLACES = 7  # at which the law of an error of the clock is taken
ROUNDS = 6  # of estimating a law, and then the places that it makes likely
LEAST_SPREAD, FEWEST = 1e-3, 3.0  # of a law, of logarithms; and services that show one
GOLDEN = (math.sqrt(5) - 1) / 2


def errors(uniforms: int) -> Floats:
    """Quantiles, in ticks, of the sum of independent errors of a stamp, each uniform in half a tick to both sides."""
    return np.asarray(stats.norm.ppf((np.arange(PLACES) + 0.5) / PLACES)) * math.sqrt(uniforms / 12)


def possible_services(lasted: Floats, late: Floats, tick: float) -> Floats:
    """Each request's service at each place of its turn, float64 (n, places).

    lasted: seconds from arrival to end; late: from the seeming arrival to the seeming turn, below 0 where it came at
    once. A turn is the end of another request, and both stamps were moved into their ticks at random: four errors.
    Durations that are whole ticks themselves have two more.
    """
    waited = np.maximum(late[:, :, None] + tick * errors(4), 0.0)
    waited = np.concatenate(list(waited), axis=1)
    if not np.allclose(lasted, np.round(lasted / tick) * tick, atol=1e-6):
        return lasted[:, None] - waited
    more = tick * errors(2)[np.arange(PLACES) * 3 % PLACES]  # in another order than the errors of the wait
    return lasted[:, None] + np.tile(more, len(late)) - waited


def surprise(services: Floats, group: Ints, outliers: float, widest: float) -> tuple[float, Floats]:
    """The negative log-likelihood of possible services, lognormal within each group; and one likely service of each.

    outliers, widest: the share of services that follow no law, and the seconds over which they are spread.
    """
    found, likely = 0.0, np.full(len(services), np.nan)
    for one in np.unique(group):
        rows = np.flatnonzero(group == one)
        densities = by_place(services[rows], outliers, widest)
        found -= float(np.log(densities.sum(axis=1) + outliers / widest).sum())
        likely[rows] = drawn(services[rows], densities)
    return found, likely


def by_place(services: Floats, outliers: float, widest: float) -> Floats:
    """The part of each place in the density of a service, by the lognormal law that all together make most likely."""
    good, places = services > 0, services.shape[1]
    logs, each = np.log(np.where(good, services, 1.0)), np.where(good, 1 / np.where(good, services, 1.0), 0.0)
    weights, densities = good / places, np.zeros(services.shape)
    for _ in range(ROUNDS):
        known = float(weights.sum())
        if known < FEWEST:
            return np.zeros(services.shape)
        middle = float((weights * logs).sum()) / known
        spread = max(math.sqrt(float((weights * (logs - middle) ** 2).sum()) / known), LEAST_SPREAD)
        densities = stats.norm.pdf(logs, middle, spread) * each * (1 - outliers) / places
        weights = densities / (densities.sum(axis=1) + outliers / widest)[:, None]
    return densities


def drawn(services: Floats, densities: Floats) -> Floats:
    """One service of each row, at a place drawn by its density; the draws are evenly spread, the same each time."""
    total = np.cumsum(densities, axis=1)
    draws = np.arange(len(services)) * GOLDEN % 1
    place = (total < (total[:, -1] * draws)[:, None]).sum(axis=1)
    return np.asarray(np.where(total[:, -1] > 0, services[np.arange(len(services)), place], np.nan))
