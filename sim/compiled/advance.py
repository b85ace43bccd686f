"""The compiled engine's loop: the next moment, whichever it is, until a given instant or until an array is full."""

from sim.clock import ASK, SIGNUP
from sim.compiled.heap import AGAIN, BACK, FINISH, GAVE_UP, INVITED, LINGERED, NEXT, TIRED, pop
from sim.compiled.line import give_up
from sim.compiled.lives import admit, after, attempt, begin, begin_day, begin_want, draw_character, invited, scripted
from sim.compiled.pools import images_done, leave, serve, wake_one
from sim.compiled.state import (
    ARRIVAL,
    ARRIVAL_SEQ,
    ASK_SEQ,
    BATCHES,
    FREE,
    LIMITERS,
    LINE_TAIL,
    MOMENTS,
    NOBODY,
    NONE,
    PEOPLE,
    REQUESTS,
    ROOM,
    SEQ,
    SERVED,
    WANTS,
)
from sim.compiled.state import ASK as NEXT_ASK
from sim.jit import njit

ENOUGH, FULL = range(2)


@njit
def full(s):  # type: ignore[no-untyped-def]
    """Whether some array may not hold what the next moment adds."""
    n, short = s.n, False
    for pool in range(len(s.gpus)):  # not .max(): this is asked at every moment
        short |= s.lane_count[pool] + 2 > s.lanes.shape[1] or s.gpus[pool] + 2 > s.idle.shape[1]
    return (
        short
        or n[MOMENTS] + ROOM > len(s.heap)
        or n[REQUESTS] + 2 > len(s.requests)
        or n[BATCHES] + 2 > len(s.batches)
        or n[PEOPLE] + 2 > len(s.people)
        or n[WANTS] + 2 > len(s.wants)
        or n[FREE] + 2 > len(s.free)
        or n[LINE_TAIL] + 2 > len(s.line)
        or n[LIMITERS] + 2 > len(s.limiters)
    )


@njit
def advance(s, c, knobs, until, kind):  # type: ignore[no-untyped-def]
    """Play every moment before (until, kind). FULL if it stopped before that because an array must grow.

    Signups and scripted asks that are known beforehand stand in arrays of their own and never enter the heap.
    """
    n = s.n
    stop = kind << 60
    while True:
        if full(s):
            return FULL
        what, time, code, seq = NOBODY, until, stop, 0
        if n[MOMENTS] > 0:
            top = s.heap[0]
            if top.time < time or (top.time == time and top.code < code):
                what, time, code, seq = 0, top.time, top.code, top.seq
        if n[ARRIVAL] < len(c.arriving):
            user = c.arriving[n[ARRIVAL]]
            t, own = s.people[user].arrives, (SIGNUP << 60) + user
            if t < time or (t == time and (own < code or (own == code and n[ARRIVAL_SEQ] < seq))):
                what, time, code, seq = 1, t, own, n[ARRIVAL_SEQ]
        if n[NEXT_ASK] < len(c.ask_times):
            t, own = c.ask_times[n[NEXT_ASK]], (ASK << 60) + c.ask_user[n[NEXT_ASK]]
            if t < time or (t == time and (own < code or (own == code and n[ASK_SEQ] < seq))):
                what, time, code, seq = 2, t, own, n[ASK_SEQ]
        if what == NOBODY:
            return ENOUGH
        if what == 0:
            top = s.heap[0]
            event, a, b = top.what, top.a, top.b
            pop(s.heap, n[MOMENTS])
            n[MOMENTS] -= 1
            play(s, c, knobs, event, a, b, time)
        elif what == 1:
            user = c.arriving[n[ARRIVAL]]
            n[ARRIVAL] += 1
            n[ARRIVAL_SEQ] = n[SEQ]
            n[SEQ] += 1
            draw_character(s, c, user)
            begin(s, c, knobs, user, time)
        else:
            number = n[NEXT_ASK]
            n[NEXT_ASK] += 1
            n[ASK_SEQ] = n[SEQ]
            n[SEQ] += 1
            scripted(s, c, knobs, number, time)


@njit
def play(s, c, knobs, event, a, b, now):  # type: ignore[no-untyped-def]
    """One moment."""
    if event == FINISH:
        images_done(s, a, now)
        serve(s, c, b, s.batches[a].gpu, now)
        row = s.batches[a].first
        while row != NOBODY:  # their users go on once the GPU has its next batch
            if s.requests[row].outcome == SERVED:
                after(s, c, s.requests[row].want, row, now)
            row = s.requests[row].next
    elif event == LINGERED:
        s.requests[a].waited_out = 1
        wake_one(s, c, b, now)
    elif event == TIRED:
        if s.requests[a].outcome == NONE:
            leave(s, c, a, now)
            after(s, c, s.requests[a].want, a, now)
    elif event == GAVE_UP:
        give_up(s, a, now)
    elif event == AGAIN:
        s.wants[a].attempt += 1
        attempt(s, c, knobs, a, now)
    elif event == NEXT:
        begin_want(s, c, knobs, a, now)
    elif event == BACK:
        begin_day(s, c, knobs, a, now)
    elif event == INVITED:
        invited(s, c, knobs, a, b, now)
    else:  # let in from the waitlist
        s.people[s.wants[a].user].born = now
        admit(s, c, knobs, a, now)
