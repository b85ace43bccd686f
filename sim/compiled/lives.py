"""The compiled engine's people: each step of sim/users.py, sim/waitlist.py and sim/invitations.py as a function."""

import math

import numpy as np

from sim.chance import character, count_of, hour_of_return, place_of, poisson_of, sample, weight_of_day
from sim.clock import ABANDON, ASK, SIGNUP
from sim.compiled.gateway import ask, new_account
from sim.compiled.heap import AGAIN, BACK, GAVE_UP, INVITED, NEXT, TIRED
from sim.compiled.pools import ATTEMPTS, schedule
from sim.compiled.state import (
    ABANDONED,
    ARRIVED,
    GATE_OPEN,
    LINE_HEAD,
    LINE_TAIL,
    NOBODY,
    PEOPLE,
    REFUSED,
    SERVED,
    SIGNUPS,
    WAITLISTED,
)
from sim.compiled.wants import new_want, over
from sim.jit import njit
from sim.rules import GATE, OVER_QUOTA
from sim.streams import (
    ACCOUNT,
    ACTIVITY,
    BACKOFF,
    BREAK,
    CHURN,
    CONVERT,
    COUNT,
    FEATURE,
    IMAGES,
    INVITATION,
    LIFE,
    OPENING,
    PATIENCE,
    PAUSE,
    REGENERATE,
    REGION,
    RETRY,
    RETURN,
    RETURN_TIME,
    SHARE,
    THINK,
    TIER,
    WAITLIST,
    draw,
    offspring,
)
from sim.streams import INVITED as HOW_MANY


@njit
def draw_character(s, c, user):  # type: ignore[no-untyped-def]
    """How active and loyal a person is, and when they leave for good."""
    person = s.people[user]
    sigma, heavy, times, loyalty = c.character
    person.activity, person.loyalty = character(sigma, heavy, times, loyalty, c.seed, ACTIVITY, person.key)
    person.fate = draw(c.seed, LIFE, person.key, 0)


@njit
def begin(s, c, knobs, user, now):  # type: ignore[no-untyped-def]
    """Somebody is here: through the signup gate, or onto the list behind it."""
    s.n[ARRIVED] += 1
    place = new_want(s, user, 1, 1)
    person = s.people[user]
    if not person.newcomer:
        admit(s, c, knobs, place, now)
        return
    s.n[SIGNUPS] += 1
    if s.n[GATE_OPEN] and s.n[LINE_TAIL] == s.n[LINE_HEAD]:
        person.born = now
        admit(s, c, knobs, place, now)
        return
    person.waiting = 1
    s.line[s.n[LINE_TAIL]] = place
    s.n[LINE_TAIL] += 1
    s.n[WAITLISTED] += 1
    kind, a, b = c.patience_waitlist
    patience = sample(kind, a, b, c.seed, WAITLIST, person.key, 0)
    if patience < math.inf:
        schedule(s, now + patience, ABANDON, user, GAVE_UP, user, 0)


@njit
def admit(s, c, knobs, place, now):  # type: ignore[no-untyped-def]
    """Somebody has an account: their first day of use begins."""
    want = s.wants[place]
    s.people[want.user].admitted = now
    begin_day(s, c, knobs, place, now)


@njit
def begin_day(s, c, knobs, place, now):  # type: ignore[no-untyped-def]
    want = s.wants[place]
    person = s.people[want.user]
    kind, mean, r, at_most = c.requests
    want.number = 0
    want.wanted = count_of(kind, mean, r, at_most, person.activity, draw(c.seed, COUNT, person.key, want.day))
    begin_want(s, c, knobs, place, now)


@njit
def begin_want(s, c, knobs, place, now):  # type: ignore[no-untyped-def]
    """A new wish of a life."""
    want = s.wants[place]
    key = s.people[want.user].key
    want.feature = place_of(c.feature_bounds, draw(c.seed, FEATURE, key, want.ask))
    want.images = number_of_images(c, key, want.ask, want.feature)
    want.since, want.attempt = now, 0
    attempt(s, c, knobs, place, now)


@njit
def number_of_images(c, key, ask, feature):  # type: ignore[no-untyped-def]
    """The place of the number of images in those the feature offers."""
    if c.image_bounds[feature, 0] > 1.0:
        return 0
    return place_of(c.image_bounds[feature], draw(c.seed, IMAGES, key, ask))


@njit
def scripted(s, c, knobs, number, now):  # type: ignore[no-untyped-def]
    """One ask of a script, whatever became of those before."""
    user, feature, images = c.ask_user[number], c.ask_feature[number], c.ask_images[number]
    place = new_want(s, user, 0, c.ask_again[number])
    want, person = s.wants[place], s.people[user]
    want.ask = person.asks
    person.asks += 1
    if feature < 0:
        feature = place_of(c.feature_bounds, draw(c.seed, FEATURE, person.key, want.ask))
    want.feature = feature
    if images < 0:
        want.images = number_of_images(c, person.key, want.ask, feature)
    else:
        want.images = 0
        while c.image_counts[feature, want.images] != images:
            want.images += 1
    want.since = now
    attempt(s, c, knobs, place, now)


@njit
def attempt(s, c, knobs, place, now):  # type: ignore[no-untyped-def]
    """One attempt arrives: refused with a reason, or granted and queued; then the user waits."""
    want = s.wants[place]
    row = ask(s, c, knobs, place, now)
    request = s.requests[row]
    if request.outcome == REFUSED:
        after(s, c, place, row, now)
        return
    kind, a, b = c.patience_notified if request.notified else c.patience
    k = want.ask * ATTEMPTS + want.attempt
    patience = sample(kind, a, b, c.seed, PATIENCE, s.people[want.user].key, k)
    if patience < math.inf:
        schedule(s, now + patience, ABANDON, want.user, TIRED, row, 0)


@njit
def after(s, c, place, row, now):  # type: ignore[no-untyped-def]
    """An attempt has ended: the wish has come true, is tried again, or is given up."""
    want, request = s.wants[place], s.requests[row]
    key, k = s.people[want.user].key, want.ask * ATTEMPTS + want.attempt
    if request.outcome == SERVED:
        if c.market > 0 and want.life:
            share(s, c, place, row, now)
        done(s, c, place, row, now)
        return
    hopeless = request.reason == GATE or request.reason == OVER_QUOTA
    refused, left, hopeless_chance, second = c.chances
    chance = left if request.outcome == ABANDONED else hopeless_chance if hopeless else refused
    if not want.again or want.attempt == c.retries:
        done(s, c, place, row, now)
        return
    if hopeless and draw(c.seed, ACCOUNT, key, k) < second:
        new_account(s, want.user, now)
    elif draw(c.seed, RETRY, key, k) >= chance:
        done(s, c, place, row, now)
        return
    request.retry = 1
    kind, a, b = c.backoff
    pause = sample(kind, a, b, c.seed, BACKOFF, key, k) * c.growth ** float(want.attempt)
    schedule(s, now + min(pause, c.longest), ASK, want.user, AGAIN, place, 0)


@njit
def done(s, c, place, row, now):  # type: ignore[no-untyped-def]
    """A wish has ended: on to the next, to another day, or away for good."""
    want, request = s.wants[place], s.requests[row]
    if not want.life:
        over(s, place)
        return
    person = s.people[want.user]
    want.ask += 1
    served = request.outcome == SERVED
    late = now - want.since > c.slo[want.feature]
    leaving = c.churn if not served else c.churn_late if late else 0.0
    if draw(c.seed, CHURN, person.key, want.ask) < leaving:
        person.left = now
        over(s, place)
        return
    if served and request.level > 0 and draw(c.seed, REGENERATE, person.key, want.ask) < c.regenerate:
        want.wanted += 1
    want.number += 1
    if want.number < want.wanted:
        schedule(s, now + until_next(c, person.key, want.ask), ASK, want.user, NEXT, place, 0)
        return
    want.day = next_day(c, person, want.day)
    if want.day == len(c.using):
        over(s, place)
        return
    u = draw(c.seed, RETURN_TIME, person.key, want.day)
    back = hour_of_return(c.flat, c.quantiles, person.admitted, want.day, c.local[person.region], u)
    schedule(s, max(back, now), ASK, want.user, BACK, place, 0)


@njit
def until_next(c, key, ask):  # type: ignore[no-untyped-def]
    """Seconds from an image, or from giving up on it, to wanting the next: a thought, or a break."""
    if c.break_chance > 0 and draw(c.seed, BREAK, key, ask) < c.break_chance:
        kind, a, b = c.breaks
        return sample(kind, a, b, c.seed, PAUSE, key, ask)
    kind, a, b = c.think
    return sample(kind, a, b, c.seed, THINK, key, ask)


@njit
def next_day(c, person, day):  # type: ignore[no-untyped-def]
    """The next day, counted from arrival, on which this person comes back; past the horizon if none before it."""
    local = c.local[person.region]
    for later in range(day + 1, len(c.using)):
        if person.fate >= c.staying[later]:
            break
        weight = person.loyalty * weight_of_day(c.flat, c.by_weekday, person.admitted, later, local)
        if draw(c.seed, RETURN, person.key, later) < c.using[later] * weight:
            return later
    return len(c.using)


@njit
def share(s, c, place, row, now):  # type: ignore[no-untyped-def]
    """A user got an image: perhaps it is shared, and brings people later."""
    want = s.wants[place]
    key = s.people[want.user].key
    late = now - want.since > c.slo[want.feature]
    chance = c.shared * (c.late if late else 1.0) * (c.degraded if s.requests[row].level > 0 else 1.0)
    if draw(c.seed, SHARE, key, want.ask) >= chance:
        return
    kind, a, b = c.delay
    for number in range(poisson_of(c.signups, draw(c.seed, HOW_MANY, key, want.ask))):
        child = offspring(c.seed, INVITATION, key, want.ask * ATTEMPTS + number)
        when = now + sample(kind, a, b, c.seed, INVITATION, child, 0)
        if when < c.horizon:
            schedule(s, when, SIGNUP, want.user, INVITED, child, want.user)


@njit
def invited(s, c, knobs, key, by, now):  # type: ignore[no-untyped-def]
    """Somebody who saw an image signs up, unless they are here already, or must wait for their tier to be let in."""
    tier = place_of(c.tier_bounds, draw(c.seed, TIER, key, 0))
    if now < c.openings[tier, 0]:
        later = c.openings[tier, 0] - c.openings[tier, 2] * math.log(draw(c.seed, OPENING, key, 1))
        if draw(c.seed, OPENING, key, 0) < c.openings[tier, 1] and later < c.horizon:
            schedule(s, later, SIGNUP, by, INVITED, key, by)
        return
    if draw(c.seed, CONVERT, key, 0) >= 1.0 - s.n[ARRIVED] / c.market:
        return
    user = s.n[PEOPLE]
    s.n[PEOPLE] += 1
    person = s.people[user]
    person.key, person.arrives, person.born, person.invited_by = key, now, now, by
    person.admitted, person.left, person.source, person.newcomer = np.nan, np.nan, NOBODY, 1
    person.accounts, person.in_flight, person.asks, person.waiting = 0, 0, 0, 0
    person.tier = tier
    person.region = place_of(c.region_bounds, draw(c.seed, REGION, key, 0))
    draw_character(s, c, user)
    begin(s, c, knobs, user, now)
