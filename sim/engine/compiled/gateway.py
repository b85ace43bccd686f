"""The compiled engine's gateway: an attempt is refused with a reason, or granted a spec and queued."""

import math

import numpy as np

from sim.engine.compiled import tally
from sim.engine.compiled.crowd import without_limiter
from sim.engine.compiled.pools import expected_wait, join
from sim.engine.compiled.records import (
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
from sim.engine.compiled.requests import ATTEMPTS
from sim.model.gateway import (
    GRANTED,
    decide,
    forget,
    level_of,
)
from sim.model.jit import njit
from sim.model.knobs import (
    BUCKET,
    BUDGET,
    BY_USER,
    FLOW,
    HAND,
    MIXED,
    NO_BUDGET,
    OPEN,
    PER_FIRST,
    PRIORITY,
    QUEUES,
    QUOTA,
    RATE,
    RATIO,
    RETRY_KNOBS,
    SHARING,
    STICKY,
    WAIT,
    WEIGHT,
)
from sim.model.knobs import SHED as SHED_SHARE
from sim.model.sharing import dealt
from sim.model.streams import CLASS, DEAL, MIX, ROLLOUT, SHED, draw

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
        s.granted[tier, feature],
        s.inside[pool],
        s.queued[pool] if s.queued[pool] or s.idle_count[pool] == 0 else -1,
        wait,
        lot(s, c, person, c.meter[feature], knob[OPEN]),
        shed_draw(c, person.key, wish.ask * ATTEMPTS + wish.attempt, knob[SHED_SHARE], knob[STICKY], now),
    )
    if request.reason != GRANTED:
        request.outcome = REFUSED
        s.refused[tier, feature] += 1
        tally.refused(s, c, cell, request.reason, now)
        return row
    s.granted[tier, feature] += 1
    mix = draw(c.seed, MIX, person.key, wish.ask) if knob[MIXED] > 0.0 else 1.0
    request.level = level_of(knob, c.rungs[feature] - 1, mix)
    if wait > c.notifies_above:
        request.mark = NOTIFIED
    person.in_flight += 1
    tally.granted(s, c, cell, feature, now)
    flow = flow_of(s, c, pool, person.key, knob) if s.pool_knobs[pool, SHARING] > 0.0 else 0
    join(s, c, row, priority, ladder[request.level], flow, now)
    return row


@njit
def lot(s, c, person, meter, open_share):  # type: ignore[no-untyped-def]
    """A user's draw for the roll-out of a meter: above 1 where their region is not open.

    Where all is wide open it cannot matter, and is not made.
    """
    here = s.region_open[person.region] if person.region >= 0 else 1.0
    if open_share == 1.0 == here:
        return 0.0
    if here == 0.0:
        return np.inf
    return draw(c.seed, ROLLOUT, person.key, meter + METERS * person.accounts) / here


@njit
def shed_draw(c, key, k, share, sticky, now):  # type: ignore[no-untyped-def]
    """The draw that decides who is shed: one a request, or one a user for `sticky` seconds; none where nobody is."""
    if share == 0.0:
        return 1.0
    if sticky > 0.0:
        return draw(c.seed, CLASS, key, math.floor(now / sticky))
    return draw(c.seed, SHED, key, k)


@njit
def flow_of(s, c, pool, key, knob):  # type: ignore[no-untyped-def]
    """The flow that a request joins."""
    row, flow, weight = s.pool_knobs[pool], int(knob[FLOW]), knob[WEIGHT]
    if row[SHARING] == BY_USER:
        u, weight = draw(c.seed, DEAL, key, 0), 1.0
        flow = dealt(u, int(row[QUEUES]), int(row[HAND]), s.flow_waiting[pool])
    s.weights[pool, flow] = weight
    s.flows[pool] = max(s.flows[pool], flow + 1)
    return flow


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


TOKENS = len(RETRY_KNOBS)  # where the retry budget's savings stand, beside its knobs


@njit
def deposit(s):  # type: ignore[no-untyped-def]
    """Pay into the retry budget."""
    s.retries[TOKENS] = min(s.retries[TOKENS] + s.retries[RATIO], s.retries[BUCKET])


@njit
def pays_for_retry(s):  # type: ignore[no-untyped-def]
    """Whether the retry budget, where there is one, has a retry left; it is taken out."""
    if s.retries[BUDGET] == NO_BUDGET:
        return True
    if s.retries[TOKENS] < 1.0:
        return False
    s.retries[TOKENS] -= 1.0
    return True
