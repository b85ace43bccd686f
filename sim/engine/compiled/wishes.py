"""The compiled engine's wishes: attempts until one is served or the wish is given up, and what its user does then."""

import numpy as np

from sim.engine.clock import ABANDON, ASK
from sim.engine.compiled import tally
from sim.engine.compiled.calendar import AGAIN, BACK, NEXT, TIRED, schedule
from sim.engine.compiled.crowd import habit_of, nature, number_of_habit, over, standing
from sim.engine.compiled.gateway import ask, new_account, pays_for_retry
from sim.engine.compiled.invitations import share
from sim.engine.compiled.records import (
    ABANDONED,
    ACTIVE,
    AWAY,
    CHURNED,
    FIRST,
    LIFE,
    NOBODY,
    NOTIFIED,
    PRESENT,
    REFUSED,
    RETRY,
    SERVED,
    STARTED,
    TIMED,
)
from sim.engine.compiled.records import SCRIPT as A_SCRIPT
from sim.engine.compiled.requests import key_of, never_leaves, settle
from sim.model.chance import CONSTANT, LOGNORMAL, day_of_return, hour_of_return, quantile
from sim.model.choices import leaves_for_good, time_until_next, wants_regeneration
from sim.model.gateway import EXPIRED
from sim.model.jit import njit
from sim.model.knobs import MOST
from sim.model.retry import chance_of_retry, opens_second_account, own_pause, pause_before_retry
from sim.model.standing import patience_left, waited
from sim.model.streams import ATTEMPTS, PATIENCE, RETURN, RETURN_TIME, draw, pair
from sim.model.streams import LIFE as WHEN_LIFE_ENDS
from sim.model.streams import RETRY as WHETHER


@njit
def attempt(s, c, place, first, now):  # type: ignore[no-untyped-def]
    """One attempt arrives: refused with a reason, or granted and queued; then the user waits."""
    wish = s.people[place]
    row = ask(s, c, place, first, now)
    request = s.requests[row]
    if c.delivers_late:
        s.present[place, PRESENT], s.present[place, FIRST] = row, request.first
    refused = request.outcome == REFUSED and request.reason != EXPIRED  # expired: dropped at once (see advance.go_on)
    if refused and (c.tells_refusals or never_leaves(s, c, request)):
        after(s, c, place, row, now)
        settle(s, c, row)
        return
    if refused:
        request.mark |= RETRY  # in silence: the user finds out when their patience is over
    if never_leaves(s, c, request) or (request.outcome == REFUSED and c.tells_refusals):
        return
    habit = habit_of(c, wish)
    kind, a, b = habit.patience_kind, habit.patience_a, habit.patience_b
    if request.mark & NOTIFIED:
        kind, a, b = habit.notified_kind, habit.notified_a, habit.notified_b
    u = draw(c.seed, PATIENCE, wish.key, wish.ask * ATTEMPTS + wish.attempt) if kind > CONSTANT else 0.5
    seconds = s.batches[request.batch].seconds if request.mark & STARTED else np.inf  # from now, if it has started
    there = standing(c, wish) > 0
    if kind == LOGNORMAL and u >= 0.5 and a >= seconds and not there:
        return  # more patient than the median, which is enough: the exact patience need not be computed
    leaves = now + (patience_left(kind, a, b, u, waited(c.arrives[wish.user])) if there else quantile(kind, a, b, u))
    if leaves < now + seconds:
        request.mark |= TIMED
        schedule(s, c, leaves, ABANDON, request.user, TIRED, key_of(row, request))


@njit
def after(s, c, place, row, now):  # type: ignore[no-untyped-def]
    """An attempt has ended: the wish is fulfilled, tried again, or given up."""
    wish, request = s.people[place], s.requests[row]
    request.mark &= ~RETRY
    if c.delivers_late:
        s.present[place, PRESENT] = NOBODY
    if request.outcome == SERVED:
        if c.market > 0 and wish.kind == LIFE and not habit_of(c, wish).program:
            share(s, c, place, row, now)
        done(s, c, place, row, now)
        return
    habit = habit_of(c, wish)
    if wish.kind == A_SCRIPT or wish.attempt >= min(habit.retries, s.retries[MOST]):
        done(s, c, place, row, now)
        return
    chances = habit.after_refusal, habit.after_leaving, habit.hopeless
    chance = chance_of_retry(request.outcome == ABANDONED, request.reason, chances[0], chances[1], chances[2])
    key, k = wish.key, wish.ask * ATTEMPTS + wish.attempt
    whether, how_long = pair(c.seed, WHETHER, key, k)
    if opens_second_account(request.reason, habit.second_account, c.seed, key, k):
        new_account(s, place if wish.kind == LIFE else wish.more, now)
    elif whether >= chance or not pays_for_retry(s):
        done(s, c, place, row, now)
        return
    request.mark |= RETRY
    kind, a, b = habit.backoff_kind, habit.backoff_a, habit.backoff_b
    own = own_pause(kind, a, b, habit.growth, habit.longest, wish.attempt, how_long)
    refused, says_so = request.outcome == REFUSED, c.tells_refusals
    pause = pause_before_retry(s.retries, own, refused, says_so, c.seed, key, wish.ask * ATTEMPTS, wish.attempt)
    which = wish.ask if c.delivers_late else request.first  # this wish may be over by then, and another under way
    schedule(s, c, now + pause, ASK, wish.user, AGAIN, (np.int64(which) << 32) | place)


@njit
def done(s, c, place, row, now):  # type: ignore[no-untyped-def]
    """A wish has ended: on to the next, to another day, or away for good."""
    person, request = s.people[place], s.requests[row]
    tally.wish_over(s, c, request.tier * len(c.slo) + person.feature, request, person.since, now)
    if person.kind != LIFE:
        over(s, place)
        return
    person.status = AWAY
    person.ask += 1
    served = request.outcome == SERVED
    late = served and tally.is_late(s, c, request, person.since, now)
    habit = habit_of(c, person)
    if leaves_for_good(served, late, habit.churn, habit.churn_late, c.seed, person.key, person.ask):
        s.n[CHURNED] += 1
        s.n[ACTIVE] -= 1
        if c.rows:
            s.past[person.user].left = now
        over(s, place)
        return
    person.more -= 1
    if wants_regeneration(served, request.level, habit.regenerate, c.seed, person.key, person.ask):
        person.more += 1
    if person.more > 0:
        pause = until_next(c, habit, person.key, person.ask)
        if not served:
            pause += habit.pause
        schedule(s, c, now + pause, ASK, person.user, NEXT, place)
        return
    s.n[ACTIVE] -= 1
    back = comes_back(c, person, now)
    if back < c.horizon:
        schedule(s, c, back, ASK, person.user, BACK, place)
    else:
        over(s, place)


@njit
def until_next(c, habit, key, ask):  # type: ignore[no-untyped-def]
    """Seconds from the end of one ask to the next."""
    kind, a, b = habit.think_kind, habit.think_a, habit.think_b
    break_kind, break_a, break_b = habit.breaks_kind, habit.breaks_a, habit.breaks_b
    return time_until_next(habit.break_chance, break_kind, break_a, break_b, kind, a, b, c.seed, key, ask)


@njit
def comes_back(c, person, now):  # type: ignore[no-untyped-def]
    """The instant at which a person's next day of use begins; inf if not before the horizon."""
    which = number_of_habit(c, person)
    habit, using, staying = c.habits[which], c.using[which], c.staying[which]
    if not habit.returning:
        return np.inf
    local, key = c.local[person.region], person.key
    fate = draw(c.seed, WHEN_LIFE_ENDS, key, 0) if habit.leaving else 0.0
    u = draw(c.seed, RETURN, key, person.day)
    _, loyalty = nature(c, habit, key)
    since = person.admitted
    day = day_of_return(using, staying, fate, loyalty, c.flat, c.by_weekday, since, person.day, local, u)
    if day == len(using):
        return np.inf
    person.day = day
    return max(hour_of_return(c.flat, c.quantiles, since, day, local, draw(c.seed, RETURN_TIME, key, day)), now)
