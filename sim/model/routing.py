"""The scalar rules of requests that are served elsewhere: when a pool is behind, and which other takes one."""

from sim.model.jit import njit


@njit
def is_behind(gpus, wait, longest):  # type: ignore[no-untyped-def]
    """Whether a pool has no GPU in service, or a request would have to wait for longer than this, in seconds."""
    return gpus == 0 or wait > longest


@njit
def other_place(weights, fits, u):  # type: ignore[no-untyped-def]
    """The place of who takes a request; -1: nobody. The first that fits, or by weight where they have any.

    weights: 0 where the order decides; fits: 1 for those who may take it; u: a uniform number.
    """
    total = 0.0
    for place in range(len(weights)):
        if fits[place] > 0:
            if weights[place] == 0.0:
                return place
            total += weights[place]
    rest, found = u * total, -1
    for place in range(len(weights)):
        if fits[place] > 0:
            found = place
            if rest < weights[place]:
                break
            rest -= weights[place]
    return found
