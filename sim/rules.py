"""The scalar rules of the gateway: each is written once, here, and called by every engine.

Knobs of one (tier, feature) are a float64 row, indexed by the names below; what the gateway remembers of one user and
meter is another such row, its limiter.
"""

import math

import numpy as np

from sim.jit import njit

# Knobs, in the order in which the gateway asks. inf switches a limit off.
OPEN, MIN_AGE, RATE, BURST, QUOTA, WINDOW, KIND, CONCURRENCY, QUEUE, WAIT, SHED, LEVEL, PRIORITY, LIMIT, FINAL = range(
    15
)
KNOBS = (
    "open",  # share of the users of this tier for whom the feature is open, 0 to 1
    "min_age",  # seconds since signup below which it stays closed
    "rate",  # requests per second that a user may keep up
    "burst",  # requests a rested user may make at once
    "quota",  # requests a user may make in a window
    "window",  # that window's length, seconds
    "kind",  # how the window runs: one of QUOTA_KINDS
    "concurrency",  # requests of one user in the service at once
    "queue",  # requests waiting in the pool at which a new one is refused
    "wait",  # expected wait in seconds above which a request is refused
    "shed",  # share of requests refused at random, 0 to 1
    "level",  # how far down the feature's ladder of specs, 0 is as asked
    "priority",  # 0 is served first
    "limit",  # requests in the pool, waiting or being served, at which a new one is refused
    "final",  # 1: who is shed is told not to try again
)
UNLIMITED = (
    1.0,
    0.0,
    math.inf,
    1.0,
    math.inf,
    86400.0,
    0.0,
    math.inf,
    math.inf,
    math.inf,
    0.0,
    0.0,
    0.0,
    math.inf,
    0.0,
)

CALENDAR, ROLLING, SLIDING, COUNTER = range(4)
QUOTA_KINDS = ("calendar", "rolling", "sliding", "sliding counter")
SLIDING_SLOTS = 16  # instants a sliding quota can remember, so the largest such quota

# Knobs of a pool: how its queue is served, and what is dropped from it when its turn has come.
ORDER, EXPIRE, FORESIGHT, CODEL, TARGET, INTERVAL = range(6)
POOL_KNOBS = (
    "order",  # one of ORDERS
    "expire",  # seconds after which a request is dropped when its turn comes
    "foresight",  # 1: its service time counts as waited
    "codel",  # one of CODELS
    "target",  # the queueing delay that CoDel defends, seconds
    "interval",  # for how long it may be exceeded, seconds
)
PLAIN_POOL = (0.0, math.inf, 0.0, 0.0, 1.0, 10.0)
ORDERS = ("first in first out", "last in first out")
FIFO, LIFO = range(2)
CODELS = ("off", "codel", "folly")

# Knobs of everybody's retries.
BUDGET, RATIO, BUCKET = range(3)
RETRY_KNOBS = (
    "budget",  # one of BUDGETS
    "ratio",  # retries that each success, or each first attempt, pays for
    "bucket",  # retries that can be saved up
)
FREE_RETRIES = (0.0, 0.0, 0.0)
BUDGETS = ("off", "success", "first attempt")
NO_BUDGET, PER_SUCCESS, PER_FIRST = range(3)

GRANTED, GATE, RATE_LIMITED, OVER_QUOTA, TOO_MANY, QUEUE_FULL, WAIT_TOO_LONG, SHED_AWAY, EXPIRED, POOL_FULL = range(10)
SHED_FOR_GOOD = 10
REASONS = (
    "",
    "feature gate",
    "rate limit",
    "quota",
    "concurrency",
    "queue bound",
    "expected wait",
    "shed",
    "expired",
    "limit",
    "shed for good",
)
HOPELESS = (GATE, OVER_QUOTA, SHED_FOR_GOOD)  # refusals that will not be otherwise in a minute

# A limiter row: GCRA's theoretical arrival time, then each kind of quota in slots of its own.
TAT, DAY, DAY_USED, DAY_BEFORE, ROLL_START, ROLL_USED, NEXT_SLOT, FIRST_SLOT = range(8)
LIMITER = FIRST_SLOT + SLIDING_SLOTS


def fresh_limiter() -> np.ndarray:
    """The limiter of a user the gateway has not seen."""
    row = np.empty(LIMITER)
    forget(row)
    return row


@njit
def forget(limiter):  # type: ignore[no-untyped-def]
    """Make a limiter that of a user the gateway has not seen."""
    limiter[:] = -np.inf
    limiter[DAY_USED] = limiter[DAY_BEFORE] = limiter[ROLL_USED] = limiter[NEXT_SLOT] = 0.0


@njit
def rate_allows(limiter, rate, burst, now):  # type: ignore[no-untyped-def]
    """GCRA: whether a request at `now` conforms (throttled/throttled rate.go; tau = (burst - 1) / rate)."""
    return now >= limiter[TAT] - (burst - 1.0) / rate


@njit
def quota_allows(limiter, quota, window, kind, now, midnight):  # type: ignore[no-untyped-def]
    """Whether one more request fits the quota at `now`; `midnight` is the time of day at which the run began."""
    if quota < 1:
        return False
    if kind == CALENDAR:
        used = limiter[DAY_USED] if limiter[DAY] == math.floor((now + midnight) / window) else 0.0
        return used < quota
    if kind == ROLLING:  # a window opens at the first use and closes `window` later
        return now >= limiter[ROLL_START] + window or limiter[ROLL_USED] < quota
    if kind == SLIDING:  # exact: the quota-th last use must be a window ago
        oldest = int(limiter[NEXT_SLOT] - quota) % SLIDING_SLOTS
        return limiter[FIRST_SLOT + oldest] <= now - window
    # The sliding counter takes the uses of the window before as spread evenly.
    today = math.floor((now + midnight) / window)
    elapsed = (now + midnight) / window - today
    before, used = counted(limiter, today)
    return before * (1.0 - elapsed) + used < quota


@njit
def counted(limiter, today):  # type: ignore[no-untyped-def]
    """Uses in the calendar window before `today` and in `today`."""
    if limiter[DAY] == today:
        return limiter[DAY_BEFORE], limiter[DAY_USED]
    if limiter[DAY] == today - 1:
        return limiter[DAY_USED], 0.0
    return 0.0, 0.0


@njit
def charge(limiter, knobs, now, midnight):  # type: ignore[no-untyped-def]
    """Write one granted request into the limiter."""
    if knobs[RATE] < np.inf:
        limiter[TAT] = max(now, limiter[TAT]) + 1.0 / knobs[RATE]
    if knobs[QUOTA] == np.inf:
        return
    kind = knobs[KIND]
    if kind == ROLLING:
        if now >= limiter[ROLL_START] + knobs[WINDOW]:
            limiter[ROLL_START] = now
            limiter[ROLL_USED] = 0.0
        limiter[ROLL_USED] += 1.0
    elif kind == SLIDING:
        slot = int(limiter[NEXT_SLOT])
        limiter[FIRST_SLOT + slot] = now
        limiter[NEXT_SLOT] = (slot + 1) % SLIDING_SLOTS
    else:
        today = math.floor((now + midnight) / knobs[WINDOW])
        before, used = counted(limiter, today)
        limiter[DAY] = today
        limiter[DAY_BEFORE] = before
        limiter[DAY_USED] = used + 1.0


@njit
def decide(knobs, limiter, now, midnight, age, in_flight, inside, queued, wait, lot, chance):  # type: ignore[no-untyped-def]
    """The gateway's answer to one request: GRANTED (and charged to the limiter), or the first reason to refuse.

    age: seconds since signup; in_flight: this user's requests in the service; inside: requests in the pool; queued:
    those that wait there (-1 where a GPU is free to take this one at once, so that a bound of 0 is a service without a
    queue); wait: expected wait, seconds; lot, chance: uniform draws for the roll-out (one a user) and for shedding (one
    a request). A refusal uses up nothing.
    """
    if lot >= knobs[OPEN] or age < knobs[MIN_AGE]:
        return GATE
    if knobs[RATE] < np.inf and (knobs[RATE] == 0.0 or not rate_allows(limiter, knobs[RATE], knobs[BURST], now)):
        return RATE_LIMITED
    if knobs[QUOTA] < np.inf and not quota_allows(limiter, knobs[QUOTA], knobs[WINDOW], knobs[KIND], now, midnight):
        return OVER_QUOTA
    if in_flight >= knobs[CONCURRENCY]:
        return TOO_MANY
    if inside >= knobs[LIMIT]:
        return POOL_FULL
    if queued >= knobs[QUEUE]:
        return QUEUE_FULL
    if wait > knobs[WAIT]:
        return WAIT_TOO_LONG
    if chance < knobs[SHED]:
        return SHED_FOR_GOOD if knobs[FINAL] > 0 else SHED_AWAY
    charge(limiter, knobs, now, midnight)
    return GRANTED


# What CoDel remembers of a pool: the first kind's state machine, then folly's.
FIRST_ABOVE, DROP_NEXT, COUNT, LAST_COUNT, DROPPING, PHASE, INTERVAL_END, LEAST_DELAY, FRESH, OVERLOADED = range(10)
CODEL_STATE = 10
STEADY, JUST_DROPPED, FIRST_DROP = range(3)  # phases


def fresh_codel() -> np.ndarray:
    """Of a pool whose queue has not been looked at."""
    state = np.zeros(CODEL_STATE)
    state[FRESH] = 1.0
    return state


@njit
def dropped(pool, codel, waited, seconds, left, now):  # type: ignore[no-untyped-def]
    """Whether a request is dropped when its turn comes, after `waited` seconds, `left` others still waiting.

    pool: its knobs; codel: what is remembered; seconds: what its service would take.
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
    """CoDel (RFC 8289; Linux codel_impl.h), asked about one request after the other as each leaves the queue."""
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
