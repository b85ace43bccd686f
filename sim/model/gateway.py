"""The scalar rules of the gateway, each written once and called by every engine.

Knobs are rows of numbers, indexed by the names in sim.model.knobs. A limiter is another such row: what the gateway
remembers of one user and meter.
"""

import math

import numpy as np

from sim.model.jit import njit
from sim.model.knobs import (
    BURST,
    CALENDAR,
    CONCURRENCY,
    FINAL,
    KIND,
    LEVEL,
    LIMIT,
    MIN_AGE,
    MIXED,
    OPEN,
    OTHER,
    QUEUE,
    QUOTA,
    RATE,
    RATION,
    ROLLING,
    SLIDING,
    SLIDING_SLOTS,
    WAIT,
    WINDOW,
)
from sim.model.knobs import SHED as SHED_SHARE
from sim.model.streams import CLASS, METERS, ROLLOUT, SHED, draw

GRANTED, GATE, RATE_LIMITED, OVER_QUOTA, TOO_MANY, QUEUE_FULL, WAIT_TOO_LONG, SHED_AWAY, EXPIRED, POOL_FULL = range(10)
SHED_FOR_GOOD, RATIONED, WORK_LOST = 10, 11, 12
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
    "ration",
    "work lost",
)
GRANTED_BEFORE = (EXPIRED, WORK_LOST)  # refusals of attempts that had been granted
HOPELESS = (GATE, OVER_QUOTA, SHED_FOR_GOOD)  # refusals that retrying soon cannot change

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
    """Reset a limiter to that of a user the gateway has not seen."""
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
    # The sliding counter takes the uses of the window before to be spread evenly.
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
def decide(knobs, limiter, now, midnight, age, in_flight, granted, inside, queued, wait, lot, chance):  # type: ignore[no-untyped-def]
    """The gateway's answer to one request: GRANTED (and charged to the limiter), or the first reason to refuse.

    age: seconds since signup; in_flight: this user's requests in the service; granted: requests of this tier for this
    feature since the last control tick; inside: requests in the pool; queued: those that wait there (see queue_ahead);
    wait: expected wait, seconds; lot, chance: draws for the roll-out and for shedding (see rollout_lot, shed_draw). A
    refusal uses up nothing.
    """
    if lot >= knobs[OPEN] or age < knobs[MIN_AGE]:
        return GATE
    if knobs[RATE] < np.inf and (knobs[RATE] == 0.0 or not rate_allows(limiter, knobs[RATE], knobs[BURST], now)):
        return RATE_LIMITED
    if knobs[QUOTA] < np.inf and not quota_allows(limiter, knobs[QUOTA], knobs[WINDOW], knobs[KIND], now, midnight):
        return OVER_QUOTA
    if in_flight >= knobs[CONCURRENCY]:
        return TOO_MANY
    if granted >= knobs[RATION]:
        return RATIONED
    if inside >= knobs[LIMIT]:
        return POOL_FULL
    if queued >= knobs[QUEUE]:
        return QUEUE_FULL
    if wait > knobs[WAIT]:
        return WAIT_TOO_LONG
    if chance < knobs[SHED_SHARE]:
        return SHED_FOR_GOOD if knobs[FINAL] > 0 else SHED_AWAY
    charge(limiter, knobs, now, midnight)
    return GRANTED


@njit
def level_of(knobs, deepest, chance):  # type: ignore[no-untyped-def]
    """The level of the ladder, at most `deepest`, at which a wish is served; chance: a uniform draw, one per wish."""
    return min(int(knobs[OTHER] if chance < knobs[MIXED] else knobs[LEVEL]), deepest)


@njit
def queue_ahead(queued, idle):  # type: ignore[no-untyped-def]
    """The queue a request meets: -1 where a GPU is idle and nobody waits, so that a bound of 0 means no queue."""
    return -1 if queued == 0 and idle > 0 else queued


@njit
def needs_limiter(knobs):  # type: ignore[no-untyped-def]
    """Whether anything is remembered of a user: a rate limit or a quota is on."""
    return knobs[RATE] < np.inf or knobs[QUOTA] < np.inf


@njit
def rollout_lot(tier_open, region_open, seed, key, meter, accounts):  # type: ignore[no-untyped-def]
    """An account's draw for the roll-out of a meter; a user is let in below the share of the tier that it is open to.

    region_open: the share of the user's region; accounts: how many others the user has opened. Where everything is
    open to everybody the draw cannot matter, and is not made.
    """
    if tier_open == 1.0 == region_open:
        return 0.0
    if region_open == 0.0:
        return np.inf
    return draw(seed, ROLLOUT, key, meter + METERS * accounts) / region_open


@njit
def shed_draw(share, sticky, now, seed, key, k):  # type: ignore[no-untyped-def]
    """The draw that decides whether a request is shed: one per request (k), or per user for `sticky` seconds.

    share: that is shed; at 0 the draw cannot matter, and is not made.
    """
    if share == 0.0:
        return 1.0
    if sticky > 0.0:
        return draw(seed, CLASS, key, math.floor(now / sticky))
    return draw(seed, SHED, key, k)
