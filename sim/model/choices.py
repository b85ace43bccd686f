"""The scalar rules of what users decide: to come, to want another image, to share one, to leave for good."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.model.chance import sample
from sim.model.jit import njit
from sim.model.streams import BREAK, CHURN, CONVERT, OPENING, PAUSE, REGENERATE, SHARE, THINK, draw

Floats = NDArray[np.float64]


@njit
def time_until_next(  # type: ignore[no-untyped-def]
    break_chance, break_kind, break_a, break_b, think_kind, think_a, think_b, seed, key, ask
):
    """Seconds from the end of one ask to the next, number `ask`: a break with some probability, else a think time."""
    if break_chance > 0.0 and draw(seed, BREAK, key, ask) < break_chance:
        return sample(break_kind, break_a, break_b, seed, PAUSE, key, ask)
    return sample(think_kind, think_a, think_b, seed, THINK, key, ask)


@njit
def leaves_for_good(served, late, churn, churn_late, seed, key, ask):  # type: ignore[no-untyped-def]
    """Whether a user churns: after an ask that was lost with probability `churn`, after a late image `churn_late`.

    ask: the number of the next one, which names the draw.
    """
    chance = churn if not served else churn_late if late else 0.0
    return chance > 0.0 and draw(seed, CHURN, key, ask) < chance


@njit
def wants_regeneration(served, level, chance, seed, key, ask):  # type: ignore[no-untyped-def]
    """Whether a user asks once more because the image was degraded; level: how far; ask: as for leaves_for_good."""
    return served and level > 0 and chance > 0.0 and draw(seed, REGENERATE, key, ask) < chance


@njit
def shares_image(shared, late, when_late, level, when_degraded, seed, key, ask):  # type: ignore[no-untyped-def]
    """Whether an image is shared: with probability `shared`, times a factor each where it is late or degraded."""
    chance = shared * (when_late if late else 1.0) * (when_degraded if level > 0 else 1.0)
    return draw(seed, SHARE, key, ask) < chance


@njit
def signup_instant(now, opens, pent_up, within, seed, key):  # type: ignore[no-untyped-def]
    """When somebody signs up who would like to at `now`, for a tier that opens at `opens`; inf: never.

    After the opening at once; before it, a share `pent_up` of people come later, an exponential time of mean `within`
    after the opening.
    """
    if not now < opens:
        return now
    if draw(seed, OPENING, key, 0) < pent_up:
        return opens - within * math.log(draw(seed, OPENING, key, 1))
    return np.inf


def signup_instants(
    instants: Floats, tiers: NDArray[np.integer[Any]], openings: Floats, seed: int, keys: NDArray[np.int64]
) -> Floats:
    """signup_instant() for arrays of people: float64, of the same length.

    openings: by tier, when it opens, the share of the pent-up, and the mean time that they take to come.
    """
    out = np.empty(len(instants))
    fill_signup_instants.direct(instants, tiers, openings, seed, keys, out)
    return out


@njit
def fill_signup_instants(instants, tiers, openings, seed, keys, out):  # type: ignore[no-untyped-def]
    for i in range(len(instants)):
        opens, pent_up, within = openings[tiers[i]]
        out[i] = signup_instant(instants[i], opens, pent_up, within, seed, keys[i])


@njit
def is_new_here(arrived, market, seed, key):  # type: ignore[no-untyped-def]
    """Whether a person invited is not yet among the `arrived` of a market."""
    return draw(seed, CONVERT, key, 0) < 1.0 - arrived / market
