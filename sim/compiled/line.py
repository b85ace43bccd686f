"""The compiled engine's waitlist: first come, first served; whose patience is over leaves for good."""

from sim.clock import ASK
from sim.compiled.heap import ADMITTED
from sim.compiled.pools import schedule
from sim.compiled.state import LINE_HEAD, LINE_TAIL, MOMENTS, WAITLISTED
from sim.compiled.wants import over
from sim.jit import njit


@njit
def length_of_line(s):  # type: ignore[no-untyped-def]
    """People on the waitlist now; those in front who gave up are passed over."""
    while s.n[LINE_HEAD] < s.n[LINE_TAIL] and not s.people[s.wants[s.line[s.n[LINE_HEAD]]].user].waiting:
        over(s, s.line[s.n[LINE_HEAD]])
        s.n[LINE_HEAD] += 1
    return s.n[WAITLISTED]


@njit
def let_in(s, lots, now):  # type: ignore[no-untyped-def]
    """Let in those whose turn it is, at most `lots` of them. The lots left over; the calendar must have room."""
    while s.n[LINE_HEAD] < s.n[LINE_TAIL] and lots >= 1 and s.n[MOMENTS] < len(s.heap):
        place = s.line[s.n[LINE_HEAD]]
        s.n[LINE_HEAD] += 1
        person = s.people[s.wants[place].user]
        if not person.waiting:
            over(s, place)
            continue
        person.waiting = 0
        s.n[WAITLISTED] -= 1
        schedule(s, now, ASK, s.wants[place].user, ADMITTED, place, 0)
        lots -= 1
    return lots


@njit
def give_up(s, user, now):  # type: ignore[no-untyped-def]
    """A newcomer's patience with the waitlist is over; it may be that they were let in."""
    person = s.people[user]
    if person.waiting:
        person.waiting = 0
        person.left = now
        s.n[WAITLISTED] -= 1
