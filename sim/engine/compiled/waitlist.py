"""The compiled engine's waitlist: first come, first served; newcomers whose patience runs out leave for good."""

from sim.engine.clock import ASK
from sim.engine.compiled.calendar import ADMITTED, schedule
from sim.engine.compiled.crowd import over
from sim.engine.compiled.records import (
    AWAY,
    GAVE_UP_WAITING,
    LET_IN,
    LINE_HEAD,
    LINE_TAIL,
    SOON,
    SPARE_CHUNKS,
    WAITING,
    WAITLISTED,
)
from sim.model.jit import njit


@njit
def length_of_line(s):  # type: ignore[no-untyped-def]
    """People on the waitlist now; those at its head who gave up are taken off."""
    while s.n[LINE_HEAD] < s.n[LINE_TAIL] and s.people[s.line[s.n[LINE_HEAD]]].status != WAITLISTED:
        over(s, s.line[s.n[LINE_HEAD]])
        s.n[LINE_HEAD] += 1
    return s.n[WAITING]


@njit
def let_in(s, c, lots, now):  # type: ignore[no-untyped-def]
    """Let in the first people of the list, at most `lots`, as far as the calendar has room. The lots left over."""
    while s.n[LINE_HEAD] < s.n[LINE_TAIL] and lots >= 1 and s.n[SOON] < len(s.soon) and s.n[SPARE_CHUNKS] > 0:
        place = s.line[s.n[LINE_HEAD]]
        s.n[LINE_HEAD] += 1
        person = s.people[place]
        if person.status != WAITLISTED:
            over(s, place)
            continue
        person.status = AWAY
        s.n[WAITING] -= 1
        s.n[LET_IN] += 1
        schedule(s, c, now, ASK, person.user, ADMITTED, place)
        lots -= 1
    return lots


@njit
def give_up(s, c, place, user, now):  # type: ignore[no-untyped-def]
    """A newcomer's patience with the waitlist is over; perhaps they were let in before."""
    person = s.people[place]
    if person.user == user and person.status == WAITLISTED:
        person.status = AWAY
        s.n[WAITING] -= 1
        s.n[GAVE_UP_WAITING] += 1
        if c.rows:
            s.past[user].left = now
