"""The compiled engine's people: a record for each, made when they arrive and used again when they are gone."""

import numpy as np

from sim.engine.compiled.records import AWAY, FREE_LIMITERS, FREE_PEOPLE, LEAVING, LIFE, NOBODY, PEOPLE, USERS
from sim.model.chance import character
from sim.model.jit import njit
from sim.model.streams import ACTIVITY, SOURCE_SHIFT


@njit
def new_person(s, kind):  # type: ignore[no-untyped-def]
    """A record for a life or for one scripted ask; the caller fills in whose it is."""
    n = s.n
    if n[FREE_PEOPLE] > 0:
        n[FREE_PEOPLE] -= 1
        place = s.free_people[n[FREE_PEOPLE]]
    else:
        place = n[PEOPLE]
        n[PEOPLE] += 1
    person = s.people[place]
    person.kind, person.status, person.limiter = kind, AWAY, NOBODY
    person.ask, person.more, person.in_flight, person.attempt, person.day, person.accounts = 0, 0, 0, 0, 0, 0
    return place


@njit
def known(s, c, place, user):  # type: ignore[no-untyped-def]
    """Fill in the record of a person known beforehand."""
    person = s.people[place]
    person.key, person.user = c.keys[user], user
    person.tier, person.region = c.tiers[user], c.regions[user]
    person.born = c.arrives[user] - c.ages[c.sources[user]]
    person.admitted = np.nan


@njit
def number_of_habit(c, person):  # type: ignore[no-untyped-def]
    """Which kind of behaviour a person has; a key begins with its source, and keys of the invited are above all."""
    if len(c.habits) == 1:
        return 0
    return c.habit_of[min(person.key >> SOURCE_SHIFT, len(c.habit_of) - 1), person.tier]


@njit
def habit_of(c, person):  # type: ignore[no-untyped-def]
    """How a person behaves."""
    return c.habits[number_of_habit(c, person)]


@njit
def standing(c, person):  # type: ignore[no-untyped-def]
    """What a person was doing as the run began, at their first attempt (see sim.model.standing); else 0."""
    return habit_of(c, person).standing if person.ask == 0 and person.attempt == 0 else 0


@njit
def nature(c, habit, key):  # type: ignore[no-untyped-def]
    """How active and how loyal a person is: factors on their requests a day and on their chance of coming back."""
    return character(habit.sigma, habit.heavy, habit.times, habit.loyalty, c.seed, ACTIVITY, key)


@njit
def over(s, place):  # type: ignore[no-untyped-def]
    """A person will not be back before the horizon, or a scripted ask has ended."""
    person = s.people[place]
    if person.kind == LIFE and person.in_flight > 0:  # an image that nobody waits for is still to be drawn
        person.status = LEAVING
    else:
        release(s, place)


@njit
def release(s, place):  # type: ignore[no-untyped-def]
    """Make a record free to be used again."""
    without_limiter(s, place)
    s.people[place].status = AWAY
    s.free_people[s.n[FREE_PEOPLE]] = place
    s.n[FREE_PEOPLE] += 1


@njit
def without_limiter(s, place):  # type: ignore[no-untyped-def]
    """Forget what is remembered of this account's use."""
    person = s.people[place]
    if person.limiter != NOBODY:
        s.free_limiters[s.n[FREE_LIMITERS]] = person.limiter
        s.n[FREE_LIMITERS] += 1
        person.limiter = NOBODY


@njit
def remember(s, c, user, arrives, by, source, tier, region, newcomer):  # type: ignore[no-untyped-def]
    """Begin a row of the table of users, where rows are recorded."""
    if c.rows:
        past = s.past[user]
        past.arrives, past.admitted, past.left = arrives, np.nan, np.nan
        past.invited_by, past.source, past.tier, past.region = by, source, tier, region
        past.newcomer = newcomer


@njit
def add_known(s, c):  # type: ignore[no-untyped-def]
    """Begin the table of users with everybody known beforehand."""
    for user in range(len(c.arrives)):
        source = c.sources[user]
        remember(s, c, user, c.arrives[user], NOBODY, source, c.tiers[user], c.regions[user], c.newcomers[source])
    s.n[USERS] = len(c.arrives)


@njit
def add_scripted(s, c):  # type: ignore[no-untyped-def]
    """Make the accounts behind scripts, which exist from their first ask on."""
    at = 0
    for user in range(len(c.arrives)):
        if at < len(c.arriving) and c.arriving[at] == user:
            at += 1
            continue
        known(s, c, new_person(s, LIFE), user)
        if c.rows:
            s.past[user].admitted = c.arrives[user]
