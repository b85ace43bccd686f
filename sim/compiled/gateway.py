"""The compiled engine's gateway: an attempt is refused with a reason, or granted a spec and queued."""

import numpy as np

from sim.compiled import tally
from sim.compiled.budget import deposit
from sim.compiled.people import without_limiter
from sim.compiled.pools import expected_wait, join
from sim.compiled.records import (
    FREE_LIMITERS,
    FREE_REQUESTS,
    LIFE,
    LIMITERS,
    NOBODY,
    NONE,
    NOTIFIED,
    REFUSED,
    REQUESTS,
    SIGNUPS,
)
from sim.compiled.requests import ATTEMPTS
from sim.jit import njit
from sim.rules import (
    BUDGET,
    GRANTED,
    LEVEL,
    OPEN,
    PER_FIRST,
    PRIORITY,
    QUOTA,
    RATE,
    WAIT,
    decide,
    forget,
)
from sim.rules import SHED as SHED_SHARE
from sim.streams import ROLLOUT, SHED, draw

METERS = 1024  # room for the meters of one account


@njit
def ask(s, c, knobs, place, first, now):  # type: ignore[no-untyped-def]
    """The gateway's part. The row of the attempt. first: the row of the intent's first one, NOBODY: it is this."""
    wish = s.people[place]
    account = place if wish.kind == LIFE else wish.more
    person = s.people[account]
    tier, feature = person.tier, wish.feature
    row = new_request(s)
    request, knob = s.requests[row], knobs[tier, feature]
    pool, ladder = c.pool_of[feature], c.ladders[feature, wish.images]
    cell = tier * len(c.slo) + feature
    request.arrived, request.dequeued, request.left = now, np.nan, np.nan
    request.user, request.person, request.wish = person.user, account, place
    request.batch, request.next, request.first = NOBODY, NOBODY, row if first == NOBODY else first
    request.ask, request.attempt, request.asked, request.lane = wish.ask, wish.attempt, ladder[0], NOBODY
    request.tier, request.feature, request.level, request.outcome = tier, feature, 0, NONE
    request.mark = 0
    s.arrivals[tier, feature] += 1
    if wish.attempt == 0 and s.retries[BUDGET] == PER_FIRST:
        deposit(s)
    tally.asked(s, c, cell, pool, ladder[0], wish.attempt, now)
    priority, wait = int(knob[PRIORITY]), 0.0
    if knob[WAIT] < np.inf or c.notifies_above < np.inf:
        wait = expected_wait(s, c, pool, priority)
    request.reason = decide(
        knob,
        s.limiters[limiter(s, c, account, c.meter[feature], knob)],
        now,
        c.midnight,
        now - person.born,
        person.in_flight,
        s.inside[pool],
        s.queued[pool] if s.queued[pool] or s.idle_count[pool] == 0 else -1,
        wait,
        # Where a knob is wide open its draw cannot matter, and is not made.
        draw(c.seed, ROLLOUT, person.key, c.meter[feature] + METERS * person.accounts) if knob[OPEN] < 1.0 else 0.0,
        draw(c.seed, SHED, person.key, wish.ask * ATTEMPTS + wish.attempt) if knob[SHED_SHARE] > 0.0 else 1.0,
    )
    if request.reason != GRANTED:
        request.outcome = REFUSED
        s.refused[tier, feature] += 1
        tally.refused(s, c, cell, request.reason, now)
        return row
    request.level = min(int(knob[LEVEL]), c.rungs[feature] - 1)
    if wait > c.notifies_above:
        request.mark = NOTIFIED
    person.in_flight += 1
    tally.granted(s, c, cell, feature, now)
    join(s, c, row, priority, ladder[request.level], now)
    return row


@njit
def new_request(s):  # type: ignore[no-untyped-def]
    n = s.n
    if n[FREE_REQUESTS] > 0:
        n[FREE_REQUESTS] -= 1
        return s.free_requests[n[FREE_REQUESTS]]
    n[REQUESTS] += 1
    return n[REQUESTS] - 1


@njit
def limiter(s, c, account, meter, knob):  # type: ignore[no-untyped-def]
    """The row of what is remembered of this account's use of this meter; row 0, never written, without limits."""
    if knob[RATE] == np.inf and knob[QUOTA] == np.inf:
        return 0
    person, n = s.people[account], s.n
    if person.limiter == NOBODY:
        if n[FREE_LIMITERS] > 0:
            n[FREE_LIMITERS] -= 1
            person.limiter = s.free_limiters[n[FREE_LIMITERS]]
        else:
            person.limiter = n[LIMITERS]
            n[LIMITERS] += c.meters
        for row in range(person.limiter, person.limiter + c.meters):
            forget(s.limiters[row])
    return person.limiter + meter


@njit
def new_account(s, place, now):  # type: ignore[no-untyped-def]
    """A user signs up once more, under another name: nothing is remembered of that one, and it is new."""
    person = s.people[place]
    person.accounts += 1
    person.born = now
    without_limiter(s, place)
    s.n[SIGNUPS] += 1
