"""The compiled engine's people: each step of sim/users.py, sim/waitlist.py and sim/invitations.py as a function."""

import math

import numpy as np

from sim.chance import (
    FIXED,
    NEVER,
    character,
    count_of,
    day_of_return,
    hour_of_return,
    place_of,
    poisson_of,
    quantile,
    sample,
)
from sim.clock import ABANDON, ASK, SIGNUP
from sim.compiled import tally
from sim.compiled.calendar import AGAIN, BACK, GAVE_UP, INVITED, NEXT, SCRIPT, TIRED, schedule
from sim.compiled.gateway import ask, new_account
from sim.compiled.people import known, new_person, over, remember
from sim.compiled.pools import ATTEMPTS, key_of, settle
from sim.compiled.state import (
    ABANDONED,
    ARRIVED,
    AWAY,
    CHURNED,
    GATE_OPEN,
    LET_IN,
    LIFE,
    LINE_HEAD,
    LINE_TAIL,
    NOBODY,
    NOTIFIED,
    REFUSED,
    RETRY,
    SCRIPT_AGAIN,
    SERVED,
    SIGNUPS,
    USERS,
    WAITING,
    WAITLISTED,
    WISHING,
)
from sim.compiled.state import INVITED as HOW_MANY_INVITED
from sim.compiled.state import SCRIPT as A_SCRIPT
from sim.jit import njit
from sim.rules import GATE, OVER_QUOTA
from sim.streams import (
    ACCOUNT,
    ACTIVITY,
    BREAK,
    CHURN,
    CONVERT,
    COUNT,
    FEATURE,
    IMAGES,
    INVITATION,
    OPENING,
    PATIENCE,
    PAUSE,
    REGENERATE,
    REGION,
    RETURN,
    RETURN_TIME,
    SHARE,
    THINK,
    TIER,
    WAITLIST,
    draw,
    offspring,
    pair,
)
from sim.streams import INVITED as HOW_MANY
from sim.streams import (
    LIFE as WHEN_LIFE_ENDS,
)
from sim.streams import RETRY as WHETHER


@njit
def arrive(s, c, knobs, user, now):  # type: ignore[no-untyped-def]
    """Somebody who was known beforehand is here."""
    place = new_person(s, LIFE)
    known(s, c, place, user)
    begin(s, c, knobs, place, c.newcomers[c.sources[user]], now)


@njit
def begin(s, c, knobs, place, newcomer, now):  # type: ignore[no-untyped-def]
    """Somebody is here: through the signup gate, or onto the list behind it."""
    s.n[ARRIVED] += 1
    person = s.people[place]
    if not newcomer:
        admit(s, c, knobs, place, now)
        return
    s.n[SIGNUPS] += 1
    s.signups[tally.bin_of(s, c, now)] += 1
    if s.n[GATE_OPEN] and s.n[LINE_TAIL] == s.n[LINE_HEAD]:
        person.born = now
        s.n[LET_IN] += 1
        admit(s, c, knobs, place, now)
        return
    person.status = WAITLISTED
    s.line[s.n[LINE_TAIL]] = place
    s.n[LINE_TAIL] += 1
    s.n[WAITING] += 1
    kind, a, b = c.patience_waitlist
    patience = sample(kind, a, b, c.seed, WAITLIST, person.key, 0)
    schedule(s, c, now + patience, ABANDON, person.user, GAVE_UP, place)


@njit
def admit(s, c, knobs, place, now):  # type: ignore[no-untyped-def]
    """Somebody has an account: their first day of use begins."""
    person = s.people[place]
    person.admitted = now
    if c.rows:
        s.past[person.user].admitted = now
    begin_day(s, c, knobs, place, now)


@njit
def begin_day(s, c, knobs, place, now):  # type: ignore[no-untyped-def]
    person = s.people[place]
    kind, mean, r, at_most = c.requests
    if kind == FIXED:
        person.more = int(mean)
    else:
        activity, _ = nature(c, person.key)
        person.more = count_of(kind, mean, r, at_most, activity, draw(c.seed, COUNT, person.key, person.day))
    begin_wish(s, c, knobs, place, now)


@njit
def nature(c, key):  # type: ignore[no-untyped-def]
    """How active and loyal a person is."""
    sigma, heavy, times, loyalty = c.character
    return character(sigma, heavy, times, loyalty, c.seed, ACTIVITY, key)


@njit
def begin_wish(s, c, knobs, place, now):  # type: ignore[no-untyped-def]
    """A new wish of a life."""
    person = s.people[place]
    person.feature = feature_of(c, person.key, person.ask)
    person.images = number_of_images(c, person.key, person.ask, person.feature)
    person.since, person.attempt, person.status = now, 0, WISHING
    attempt(s, c, knobs, place, NOBODY, now)


@njit
def feature_of(c, key, ask):  # type: ignore[no-untyped-def]
    if len(c.feature_bounds) == 0:
        return 0
    return place_of(c.feature_bounds, draw(c.seed, FEATURE, key, ask))


@njit
def number_of_images(c, key, ask, feature):  # type: ignore[no-untyped-def]
    """The place of the number of images in those the feature offers."""
    if c.image_bounds[feature, 0] > 1.0:
        return 0
    return place_of(c.image_bounds[feature], draw(c.seed, IMAGES, key, ask))


@njit
def scripted(s, c, knobs, number, now):  # type: ignore[no-untyped-def]
    """One ask of a script, whatever became of those before."""
    if number + 1 < len(c.ask_times):
        schedule_script(s, c, number + 1)
    account = c.ask_account[number]
    owner = s.people[account]
    place = new_person(s, SCRIPT_AGAIN if c.ask_again[number] else A_SCRIPT)
    wish, feature, images = s.people[place], c.ask_feature[number], c.ask_images[number]
    wish.key, wish.user, wish.more, wish.tier = owner.key, owner.user, account, owner.tier
    wish.ask = owner.ask
    owner.ask += 1
    if feature < 0:
        feature = feature_of(c, owner.key, wish.ask)
    wish.feature = feature
    if images < 0:
        wish.images = number_of_images(c, owner.key, wish.ask, feature)
    else:
        wish.images = 0
        while c.image_counts[feature, wish.images] != images:
            wish.images += 1
    wish.since, wish.status = now, WISHING
    attempt(s, c, knobs, place, NOBODY, now)


@njit
def schedule_script(s, c, number):  # type: ignore[no-untyped-def]
    """Put a scripted ask on the calendar: the one before it does."""
    schedule(s, c, c.ask_times[number], ASK, c.ask_user[number], SCRIPT, number)


@njit
def attempt(s, c, knobs, place, first, now):  # type: ignore[no-untyped-def]
    """One attempt arrives: refused with a reason, or granted and queued; then the user waits."""
    wish = s.people[place]
    row = ask(s, c, knobs, place, first, now)
    request = s.requests[row]
    if request.outcome == REFUSED:
        after(s, c, place, row, now)
        settle(s, c, row)
        return
    kind, a, b = c.patience_notified if request.mark & NOTIFIED else c.patience
    if kind == NEVER:
        return
    leaves = now + sample(kind, a, b, c.seed, PATIENCE, wish.key, wish.ask * ATTEMPTS + wish.attempt)
    if request.batch != NOBODY and leaves >= now + s.batches[request.batch].seconds:
        return  # it has started already, and will be done before
    schedule(s, c, leaves, ABANDON, request.user, TIRED, key_of(row, request))


@njit
def after(s, c, place, row, now):  # type: ignore[no-untyped-def]
    """An attempt has ended: the wish has come true, is tried again, or is given up."""
    wish, request = s.people[place], s.requests[row]
    if request.outcome == SERVED:
        if c.market > 0 and wish.kind == LIFE:
            share(s, c, place, row, now)
        done(s, c, place, row, now)
        return
    if wish.kind == A_SCRIPT or wish.attempt == c.retries:
        done(s, c, place, row, now)
        return
    hopeless = request.reason == GATE or request.reason == OVER_QUOTA
    refused, left, hopeless_chance, second = c.chances
    chance = left if request.outcome == ABANDONED else hopeless_chance if hopeless else refused
    key, k = wish.key, wish.ask * ATTEMPTS + wish.attempt
    whether, how_long = pair(c.seed, WHETHER, key, k)
    if hopeless and second > 0 and draw(c.seed, ACCOUNT, key, k) < second:
        new_account(s, place if wish.kind == LIFE else wish.more, now)
    elif whether >= chance:
        done(s, c, place, row, now)
        return
    request.mark |= RETRY
    kind, a, b = c.backoff
    pause = quantile(kind, a, b, how_long)
    if c.growth != 1.0:
        pause *= c.growth ** float(wish.attempt)
    schedule(s, c, now + min(pause, c.longest), ASK, wish.user, AGAIN, (np.int64(request.first) << 32) | place)


@njit
def done(s, c, place, row, now):  # type: ignore[no-untyped-def]
    """A wish has ended: on to the next, to another day, or away for good."""
    person, request = s.people[place], s.requests[row]
    tally.wish_over(s, c, request.tier * len(c.slo) + request.feature, request, person.since, now)
    if person.kind != LIFE:
        over(s, place)
        return
    person.status = AWAY
    person.ask += 1
    served = request.outcome == SERVED
    late = now - person.since > c.slo[person.feature]
    leaving = c.churn if not served else c.churn_late if late else 0.0
    if leaving > 0.0 and draw(c.seed, CHURN, person.key, person.ask) < leaving:
        s.n[CHURNED] += 1
        if c.rows:
            s.past[person.user].left = now
        over(s, place)
        return
    person.more -= 1
    if (
        served
        and request.level > 0
        and c.regenerate > 0.0
        and draw(c.seed, REGENERATE, person.key, person.ask) < c.regenerate
    ):
        person.more += 1
    if person.more > 0:
        schedule(s, c, now + until_next(c, person.key, person.ask), ASK, person.user, NEXT, place)
        return
    back = comes_back(c, person, now)
    if back < c.horizon:
        schedule(s, c, back, ASK, person.user, BACK, place)
    else:
        over(s, place)


@njit
def until_next(c, key, ask):  # type: ignore[no-untyped-def]
    """Seconds from an image, or from giving up on it, to wanting the next: a thought, or a break."""
    if c.break_chance > 0 and draw(c.seed, BREAK, key, ask) < c.break_chance:
        kind, a, b = c.breaks
        return sample(kind, a, b, c.seed, PAUSE, key, ask)
    kind, a, b = c.think
    return sample(kind, a, b, c.seed, THINK, key, ask)


@njit
def comes_back(c, person, now):  # type: ignore[no-untyped-def]
    """When somebody's next day of use begins; inf if not before the horizon."""
    if not c.returning:
        return np.inf
    local, key = c.local[person.region], person.key
    fate = draw(c.seed, WHEN_LIFE_ENDS, key, 0) if c.leaving else 0.0
    u = draw(c.seed, RETURN, key, person.day)
    _, loyalty = nature(c, key)
    since = person.admitted
    day = day_of_return(c.using, c.staying, fate, loyalty, c.flat, c.by_weekday, since, person.day, local, u)
    if day == len(c.using):
        return np.inf
    person.day = day
    return max(hour_of_return(c.flat, c.quantiles, since, day, local, draw(c.seed, RETURN_TIME, key, day)), now)


@njit
def share(s, c, place, row, now):  # type: ignore[no-untyped-def]
    """A user got an image: perhaps it is shared, and brings people later."""
    person = s.people[place]
    key, ask = person.key, person.ask
    late = now - person.since > c.slo[person.feature]
    chance = c.shared * (c.late if late else 1.0) * (c.degraded if s.requests[row].level > 0 else 1.0)
    if draw(c.seed, SHARE, key, ask) >= chance:
        return
    kind, a, b = c.delay
    for number in range(poisson_of(c.signups, draw(c.seed, HOW_MANY, key, ask))):
        child = offspring(c.seed, INVITATION, key, ask * ATTEMPTS + number)
        when = now + sample(kind, a, b, c.seed, INVITATION, child, 0)
        schedule(s, c, when, SIGNUP, person.user, INVITED, child)


@njit
def invited(s, c, knobs, key, by, now):  # type: ignore[no-untyped-def]
    """Somebody who saw an image signs up, unless they are here already, or must wait for their tier to be let in."""
    tier = place_of(c.tier_bounds, draw(c.seed, TIER, key, 0))
    if now < c.openings[tier, 0]:
        later = c.openings[tier, 0] - c.openings[tier, 2] * math.log(draw(c.seed, OPENING, key, 1))
        if draw(c.seed, OPENING, key, 0) < c.openings[tier, 1]:
            schedule(s, c, later, SIGNUP, by, INVITED, key)
        return
    if draw(c.seed, CONVERT, key, 0) >= 1.0 - s.n[ARRIVED] / c.market:
        return
    place = new_person(s, LIFE)
    person = s.people[place]
    person.key, person.user, person.born, person.admitted = key, s.n[USERS], now, np.nan
    person.tier, person.region = tier, place_of(c.region_bounds, draw(c.seed, REGION, key, 0))
    s.n[USERS] += 1
    s.n[HOW_MANY_INVITED] += 1
    remember(s, c, person.user, now, by, NOBODY, tier, person.region, True)
    begin(s, c, knobs, place, True, now)
