"""Wishes in progress: a record each, used again when it is over."""

from sim.compiled.state import FREE, WANTS
from sim.jit import njit


@njit
def new_want(s, user, life, again):  # type: ignore[no-untyped-def]
    """A record for a life, or for one scripted ask."""
    if s.n[FREE] > 0:
        s.n[FREE] -= 1
        place = s.free[s.n[FREE]]
    else:
        place = s.n[WANTS]
        s.n[WANTS] += 1
    want = s.wants[place]
    want.user, want.life, want.again = user, life, again
    want.ask, want.attempt, want.day, want.number, want.wanted = 0, 0, 0, 0, 0
    return place


@njit
def over(s, place):  # type: ignore[no-untyped-def]
    s.free[s.n[FREE]] = place
    s.n[FREE] += 1
