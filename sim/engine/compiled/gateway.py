"""The compiled engine's gateway: an attempt is refused with a reason, or granted a spec and queued."""

import numpy as np

from sim.engine.compiled import tally
from sim.engine.compiled.crowd import standing, without_limiter
from sim.engine.compiled.memory import fetch
from sim.engine.compiled.pool import expected_wait, join
from sim.engine.compiled.queues import queue_for
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
from sim.model.gateway import GRANTED, decide, forget, level_of, needs_limiter, queue_ahead, rollout_lot, shed_draw
from sim.model.jit import njit
from sim.model.knobs import (
    BUCKET,
    BUDGET,
    FLOW,
    MIXED,
    NO_SHARING,
    OPEN,
    PER_FIRST,
    PRIORITY,
    RATIO,
    RETRY_KNOBS,
    SHARING,
    SHED,
    STICKY,
    WAIT,
    WEIGHT,
)
from sim.model.passes import queue_beyond
from sim.model.retry import deposited, withdrawn
from sim.model.routing import is_behind, other_place
from sim.model.sharing import flow_of
from sim.model.streams import ATTEMPTS, MIX, SPILL, draw


@njit
def ask(s, c, place, first, now):  # type: ignore[no-untyped-def]
    """Refuse or queue an attempt. Its row. first: the row of the wish's first attempt, NOBODY if it is this one."""
    wish = s.people[place]
    account = place if wish.kind == LIFE else wish.more
    person = s.people[account]
    tier, feature = person.tier, wish.feature
    if c.spill_to[feature, 0] >= 0:
        feature = served_as(s, c, tier, feature, person.key, wish.ask)
        if wish.attempt == 0:
            wish.feature = feature  # the wish counts where it went first
    row = new_request(s)
    request, knob = s.requests[row], s.knobs[tier, feature]
    pool, ladder = c.pool_of[feature], c.ladders[feature, wish.images]
    cell = tier * len(c.slo) + feature
    request.arrived, request.dequeued, request.left = now, np.nan, np.nan
    request.user, request.person, request.wish = person.user, account, place
    request.batch, request.next, request.first = NOBODY, NOBODY, row if first == NOBODY else first
    request.ask, request.attempt, request.asked, request.lane = wish.ask, wish.attempt, ladder[0], NOBODY
    request.tier, request.feature, request.level, request.outcome = tier, feature, 0, NONE
    request.mark = 0
    there = standing(c, wish) > 0
    if not there:
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
        queue_met(s, c, pool),
        wait,
        rollout_lot(knob[OPEN], region_open(s, person.region), c.seed, person.key, c.meter[feature], person.accounts),
        shed_draw(knob[SHED], knob[STICKY], now, c.seed, person.key, wish.ask * ATTEMPTS + wish.attempt),
    )
    if there:
        request.reason = GRANTED  # before the run began
    if request.reason != GRANTED:
        request.outcome = REFUSED
        s.refused[tier, feature] += 1
        tally.refused(s, c, cell, request.reason, now)
        return row
    s.granted[tier, feature] += 0 if there else 1
    mix = draw(c.seed, MIX, person.key, wish.ask) if knob[MIXED] > 0.0 else 1.0
    request.level = level_of(knob, c.rungs[feature] - 1, mix)
    if wait > c.notifies_above:
        request.mark = NOTIFIED
    person.in_flight += 1
    tally.granted(s, c, cell, feature, c.work[pool, ladder[request.level]], now)
    q = queue_for(s, c, pool, s.gpus[pool], row, ladder[request.level], priority, now)
    join(s, c, row, q, priority, ladder[request.level], flow_joined(s, c, pool, q, person.key, knob), now)
    return row


@njit
def served_as(s, c, tier, feature, key, ask):  # type: ignore[no-untyped-def]
    """The feature as which an attempt is served: its own, unless its pool is behind and another's is not.

    Where it has no GPU at all, another takes the attempt even if it is behind.
    """
    longest = c.spill_above[feature]
    if not behind(s, c, tier, feature, longest):
        return feature
    u, last = draw(c.seed, SPILL, key, ask), s.gpus[c.pool_of[feature]] > 0
    while True:
        for place in range(c.spill_to.shape[1]):
            other = c.spill_to[feature, place]
            s.fits[place] = 1.0 if other >= 0 and not behind(s, c, tier, other, longest) else 0.0
        place = other_place(c.spill_weights[feature], s.fits, u)
        if place >= 0:
            return c.spill_to[feature, place]
        if last:
            return feature
        longest, last = np.inf, True


@njit
def behind(s, c, tier, feature, longest):  # type: ignore[no-untyped-def]
    pool = c.pool_of[feature]
    return is_behind(s.gpus[pool], expected_wait(s, c, pool, int(s.knobs[tier, feature, PRIORITY])), longest)


@njit
def queue_met(s, c, pool):  # type: ignore[no-untyped-def]
    """The queue that a request meets."""
    if c.many[pool]:
        return queue_beyond(s.queued[pool], s.gpus[pool] * c.most[pool] - s.here[pool])
    return queue_ahead(s.queued[pool], s.idle_count[pool])


@njit
def region_open(s, region):  # type: ignore[no-untyped-def]
    """The share of users for whom a region is open."""
    return s.region_open[region] if region >= 0 else 1.0


@njit
def flow_joined(s, c, pool, q, key, knob):  # type: ignore[no-untyped-def]
    """The flow of a queue that a user's request joins; its weight is written down."""
    if s.pool_knobs[pool, SHARING] == NO_SHARING:
        return 0
    flow, weight = flow_of(s.pool_knobs[pool], int(knob[FLOW]), knob[WEIGHT], c.seed, key, s.flow_waiting[q])
    s.weights[q, flow] = weight
    s.flows[q] = max(s.flows[q], flow + 1)
    return flow


@njit
def new_request(s):  # type: ignore[no-untyped-def]
    """A record for an attempt."""
    n = s.n
    if n[FREE_REQUESTS] > 0:
        n[FREE_REQUESTS] -= 1
        fetch(s.requests, s.free_requests[max(n[FREE_REQUESTS] - 1, 0)])  # of the attempt after this one
        return s.free_requests[n[FREE_REQUESTS]]
    n[REQUESTS] += 1
    fetch(s.requests, n[REQUESTS] + 3)
    return n[REQUESTS] - 1


@njit
def limiter(s, c, account, meter, knob):  # type: ignore[no-untyped-def]
    """The row with what is remembered of this account's use of this meter; without limits row 0, never written."""
    if not needs_limiter(knob):
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
    """A user signs up once more, under another name: the account is new, and nothing is remembered of it."""
    person = s.people[place]
    person.accounts += 1
    person.born = now
    without_limiter(s, place)
    s.n[SIGNUPS] += 1


TOKENS = len(RETRY_KNOBS)  # index of the retry budget's tokens, beside its knobs


@njit
def deposit(s):  # type: ignore[no-untyped-def]
    """Pay into the retry budget."""
    s.retries[TOKENS] = deposited(s.retries[TOKENS], s.retries[RATIO], s.retries[BUCKET])


@njit
def pays_for_retry(s):  # type: ignore[no-untyped-def]
    """Whether the retry budget, where there is one, pays for a retry, which is then charged to it."""
    pays, s.retries[TOKENS] = withdrawn(s.retries[BUDGET], s.retries[TOKENS])
    return pays
