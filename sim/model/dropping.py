"""The scalar rules of dropping a request when its turn has come: expiry, CoDel, and folly's CoDel."""

import math

import numpy as np

from sim.model.jit import njit
from sim.model.knobs import CODEL, EXPIRE, FORESIGHT, INTERVAL, TARGET

# The state of CoDel for one pool: first the standard's state machine, then folly's.
FIRST_ABOVE, DROP_NEXT, COUNT, LAST_COUNT, DROPPING, PHASE, INTERVAL_END, LEAST_DELAY, FRESH, OVERLOADED = range(10)
CODEL_STATE = 10
STEADY, JUST_DROPPED, FIRST_DROP = range(3)  # phases


def fresh_codel() -> np.ndarray:
    """The state of a pool whose queue has not been looked at."""
    state = np.zeros(CODEL_STATE)
    state[FRESH] = 1.0
    return state


@njit
def dropped(pool, codel, waited, seconds, left, now):  # type: ignore[no-untyped-def]
    """Whether a request is dropped when its turn comes, after `waited` seconds, `left` others still waiting.

    pool: its knobs; codel: its state; seconds: of the request's service.
    """
    if waited + (seconds if pool[FORESIGHT] > 0 else 0.0) > pool[EXPIRE]:
        return True
    if pool[CODEL] == 1.0:
        return codel_drops(codel, pool[TARGET], pool[INTERVAL], waited, left, now)
    if pool[CODEL] == 2.0:
        return folly_drops(codel, pool[TARGET], pool[INTERVAL], waited, now)
    return False


@njit
def codel_drops(s, target, interval, waited, left, now):  # type: ignore[no-untyped-def]
    """CoDel (RFC 8289; Linux codel_impl.h), called for one request after the other as each leaves the queue."""
    above = False
    if waited < target or left == 0:
        s[FIRST_ABOVE] = 0.0
    elif s[FIRST_ABOVE] == 0.0:
        s[FIRST_ABOVE] = now + interval
    else:
        above = now > s[FIRST_ABOVE]
    if s[PHASE] == FIRST_DROP:  # the one before began a spell of dropping; this one is let through
        s[PHASE], s[DROPPING] = STEADY, 1.0
        delta = s[COUNT] - s[LAST_COUNT]
        s[COUNT] = delta if delta > 1 and now - s[DROP_NEXT] < 16 * interval else 1.0
        s[LAST_COUNT] = s[COUNT]
        s[DROP_NEXT] = now + interval / math.sqrt(s[COUNT])
        return False
    if s[PHASE] == JUST_DROPPED:
        s[PHASE] = STEADY
        if above:
            s[DROP_NEXT] += interval / math.sqrt(s[COUNT])
    if s[DROPPING] > 0:
        if not above:
            s[DROPPING] = 0.0
        elif now >= s[DROP_NEXT]:
            s[COUNT] += 1.0
            s[PHASE] = JUST_DROPPED
            return True
        return False
    if above:
        s[PHASE] = FIRST_DROP
        return True
    return False


@njit
def folly_drops(s, target, interval, waited, now):  # type: ignore[no-untyped-def]
    """CoDel as Facebook's services run it (folly/executors/Codel.cpp): the least delay of the last interval decides."""
    if now > s[INTERVAL_END] and s[FRESH] == 0.0:
        s[FRESH], s[INTERVAL_END] = 1.0, now + interval
        s[OVERLOADED] = 1.0 if s[LEAST_DELAY] > target else 0.0
    if s[FRESH] > 0.0:  # the first of an interval is never dropped
        s[FRESH], s[LEAST_DELAY] = 0.0, waited
        return False
    s[LEAST_DELAY] = min(s[LEAST_DELAY], waited)
    return s[OVERLOADED] > 0.0 and waited > 2.0 * target
