"""The compiled engine's users: each step of a life or of a script is a function."""

from sim.engine.clock import ABANDON, ASK
from sim.engine.compiled import tally
from sim.engine.compiled.calendar import GAVE_UP, SCRIPT, schedule
from sim.engine.compiled.crowd import habit_of, known, nature, new_person
from sim.engine.compiled.records import (
    ACTIVE,
    ARRIVED,
    GATE_OPEN,
    LET_IN,
    LIFE,
    LINE_HEAD,
    LINE_TAIL,
    NOBODY,
    SCRIPT_AGAIN,
    SIGNUPS,
    WAITING,
    WAITLISTED,
    WISHING,
)
from sim.engine.compiled.records import SCRIPT as A_SCRIPT
from sim.engine.compiled.wishes import attempt
from sim.model.chance import FIXED, count_of, place_of, sample
from sim.model.jit import njit
from sim.model.streams import COUNT, FEATURE, IMAGES, WAITLIST, draw


@njit
def arrive(s, c, user, now):  # type: ignore[no-untyped-def]
    """A person known beforehand arrives."""
    place = new_person(s, LIFE)
    known(s, c, place, user)
    begin(s, c, place, c.newcomers[c.sources[user]], now)


@njit
def begin(s, c, place, newcomer, now):  # type: ignore[no-untyped-def]
    """A life begins: the person passes the signup gate, or waits on the list behind it."""
    s.n[ARRIVED] += 1
    person = s.people[place]
    if not newcomer:
        admit(s, c, place, now)
        return
    s.n[SIGNUPS] += 1
    s.signups[tally.bin_of(s, c, now)] += 1
    if s.n[GATE_OPEN] and s.n[LINE_TAIL] == s.n[LINE_HEAD]:
        person.born = now
        s.n[LET_IN] += 1
        admit(s, c, place, now)
        return
    person.status = WAITLISTED
    s.line[s.n[LINE_TAIL]] = place
    s.n[LINE_TAIL] += 1
    s.n[WAITING] += 1
    habit = habit_of(c, person)
    patience = sample(habit.waitlist_kind, habit.waitlist_a, habit.waitlist_b, c.seed, WAITLIST, person.key, 0)
    schedule(s, c, now + patience, ABANDON, person.user, GAVE_UP, place)


@njit
def admit(s, c, place, now):  # type: ignore[no-untyped-def]
    """A person has an account: their first day of use begins."""
    person = s.people[place]
    person.admitted = now
    if c.rows:
        s.past[person.user].admitted = now
    begin_day(s, c, place, now)


@njit
def begin_day(s, c, place, now):  # type: ignore[no-untyped-def]
    """A day of use begins with its first wish."""
    person = s.people[place]
    s.n[ACTIVE] += 1
    habit = habit_of(c, person)
    kind, mean, r = habit.count_kind, habit.count_a, habit.count_b
    if kind == FIXED:
        person.more = int(mean)
    else:
        activity, _ = nature(c, habit, person.key)
        u = draw(c.seed, COUNT, person.key, person.day)
        person.more = count_of(kind, mean, r, habit.count_most, activity, u)
    begin_wish(s, c, place, now)


@njit
def begin_wish(s, c, place, now):  # type: ignore[no-untyped-def]
    """A person wants an image."""
    person = s.people[place]
    habit = habit_of(c, person)
    feature = habit.first if person.ask == 0 and habit.standing else habit.feature
    person.feature = feature if feature >= 0 else feature_of(c, person.region, person.key, person.ask)
    person.images = number_of_images(c, person.key, person.ask, person.feature)
    person.since, person.attempt, person.status = now, 0, WISHING
    attempt(s, c, place, NOBODY, now)


@njit
def feature_of(c, region, key, ask):  # type: ignore[no-untyped-def]
    """The feature wanted."""
    if c.feature_bounds.shape[1] == 0:
        return 0
    return place_of(c.feature_bounds[max(region, 0)], draw(c.seed, FEATURE, key, ask))


@njit
def number_of_images(c, key, ask, feature):  # type: ignore[no-untyped-def]
    """The index of the number of images wanted in those that the feature offers."""
    if c.image_bounds[feature, 0] > 1.0:
        return 0
    return place_of(c.image_bounds[feature], draw(c.seed, IMAGES, key, ask))


@njit
def scripted(s, c, number, now):  # type: ignore[no-untyped-def]
    """One scripted ask, whatever became of those before."""
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
        feature = feature_of(c, owner.region, owner.key, wish.ask)
    wish.feature = feature
    if images < 0:
        wish.images = number_of_images(c, owner.key, wish.ask, feature)
    else:
        wish.images = 0
        while c.image_counts[feature, wish.images] != images:
            wish.images += 1
    wish.since, wish.status = now, WISHING
    attempt(s, c, place, NOBODY, now)


@njit
def schedule_script(s, c, number):  # type: ignore[no-untyped-def]
    """Put a scripted ask on the calendar, which the one before it does."""
    schedule(s, c, c.ask_times[number], ASK, c.ask_user[number], SCRIPT, number)
