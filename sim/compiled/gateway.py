"""The compiled engine's gateway: an attempt is refused with a reason, or granted a spec and queued."""

import numpy as np

from sim.compiled.pools import ATTEMPTS, expected_wait, join
from sim.compiled.state import LIMITERS, NOBODY, NONE, REFUSED, REQUESTS, SIGNUPS
from sim.jit import njit
from sim.rules import DAY_BEFORE, DAY_USED, GRANTED, LEVEL, NEXT_SLOT, PRIORITY, QUOTA, RATE, ROLL_USED, decide
from sim.streams import ROLLOUT, SHED, draw

METERS = 1024  # room for the meters of one account


@njit
def ask(s, c, knobs, place, now):  # type: ignore[no-untyped-def]
    """The gateway's part. The row of the attempt."""
    want = s.wants[place]
    person = s.people[want.user]
    tier, feature = person.tier, want.feature
    row = s.n[REQUESTS]
    s.n[REQUESTS] += 1
    request, knob = s.requests[row], knobs[tier, feature]
    pool, ladder, meter = c.pool_of[feature], c.ladders[feature, want.images], c.meter[feature]
    request.user, request.want, request.ask, request.attempt = want.user, place, want.ask, want.attempt
    request.tier, request.feature, request.asked, request.spec = tier, feature, ladder[0], ladder[0]
    request.priority, request.level, request.outcome = int(knob[PRIORITY]), 0, NONE
    request.arrived, request.started, request.finished, request.left = now, np.nan, np.nan, np.nan
    request.gpu_seconds, request.batch, request.next = np.nan, NOBODY, NOBODY
    request.retry, request.notified, request.gone, request.waited_out = 0, 0, 0, 0
    s.arrivals[tier, feature] += 1
    wait = expected_wait(s, c, pool, request.priority)
    request.reason = decide(
        knob,
        s.limiters[limiter(s, want.user, meter, knob)],
        now,
        c.midnight,
        now - person.born,
        person.in_flight,
        s.queued[pool] if s.queued[pool] or s.idle_count[pool] == 0 else -1,
        wait,
        draw(c.seed, ROLLOUT, person.key, meter + METERS * person.accounts),
        draw(c.seed, SHED, person.key, want.ask * ATTEMPTS + want.attempt),
    )
    if request.reason != GRANTED:
        request.outcome = REFUSED
        s.refused[tier, feature] += 1
        return row
    request.level = min(int(knob[LEVEL]), c.rungs[feature] - 1)
    request.spec = ladder[request.level]
    request.notified = wait > c.notifies_above
    person.in_flight += 1
    join(s, c, row, now)
    return row


@njit
def limiter(s, user, meter, knob):  # type: ignore[no-untyped-def]
    """The row of what is remembered of this user's use of this meter; row 0, never written, without limits."""
    if knob[RATE] == np.inf and knob[QUOTA] == np.inf:
        return 0
    if s.limiter_of[user, meter] == NOBODY:
        row = s.n[LIMITERS]
        s.n[LIMITERS] += 1
        s.limiters[row] = -np.inf
        for slot in (DAY_USED, DAY_BEFORE, ROLL_USED, NEXT_SLOT):
            s.limiters[row, slot] = 0.0
        s.limiter_of[user, meter] = row
    return s.limiter_of[user, meter]


@njit
def new_account(s, user, now):  # type: ignore[no-untyped-def]
    """A user signs up once more, under another name: nothing is remembered of that one, and it is new."""
    s.people[user].accounts += 1
    s.people[user].born = now
    s.limiter_of[user, :] = NOBODY
    s.n[SIGNUPS] += 1
