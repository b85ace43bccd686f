"""The compiled engine's loop: it plays one moment after the other until a given instant, or until an array is full."""

import numpy as np

from sim.engine.clock import ABANDON, ASK, COMPLETION, SIGNUP
from sim.engine.compiled.calendar import (
    AGAIN,
    BACK,
    EMPTY,
    FINISH,
    GAVE_UP,
    INVITED,
    LINGERED,
    NEXT,
    NOTICE_OVER,
    OVERFULL,
    RUN,
    SCRIPT,
    TIRED,
    WHAT,
    code_of,
    peek,
    pop,
)
from sim.engine.compiled.gpus import free_batch
from sim.engine.compiled.invitations import invited
from sim.engine.compiled.lanes import prefetch_heads
from sim.engine.compiled.losses import batch_lost, notice_over
from sim.engine.compiled.memory import fetch
from sim.engine.compiled.pool import serve, time_out, wake_one
from sim.engine.compiled.queues import queue_joined, queue_of
from sim.engine.compiled.records import (
    ARRIVAL,
    DROPPED,
    FIRST,
    GONE,
    KEPTS,
    NOBODY,
    NONE,
    REFUSED,
    REQUESTS,
    RETRY,
    RUN_AT,
    RUN_END,
    SERVED,
    SLACK,
    SOON,
    SPARE_CHUNKS,
    TOLD,
    WAITED_OUT,
    WISHING,
)
from sim.engine.compiled.replicas import fetch_second
from sim.engine.compiled.requests import is_of, keep, settle
from sim.engine.compiled.room import slack
from sim.engine.compiled.service import abandon, images_done
from sim.engine.compiled.together import begin_those_who_join, end_those_who_are_through
from sim.engine.compiled.users import admit, arrive, begin, begin_day, begin_wish, scripted
from sim.engine.compiled.waitlist import give_up
from sim.engine.compiled.wishes import after, attempt
from sim.model.jit import njit
from sim.model.losses import DOOMED

ENOUGH, FULL = range(2)
NUMBER = (1 << 56) - 1  # the bits of a code, moved down, that hold a number
HALF = 0xFFFFFFFF


@njit
def advance(s, c, until, kind):  # type: ignore[no-untyped-def]
    """Play every moment before (until, kind). FULL if it stopped before that because an array must grow.

    People who are known beforehand stand in an array of their own and never enter the calendar.
    """
    n = s.n
    stop = kind << 60
    while True:
        if n[DROPPED] > 0 and not go_on(s, c):
            return FULL
        if n[SLACK] <= 0:
            n[SLACK] = slack(s, c)
            if n[SLACK] <= 0:
                return FULL
        n[SLACK] -= 1
        arrives, code = until, stop
        if n[ARRIVAL] < len(c.arriving):
            user = c.arriving[n[ARRIVAL]]
            comes, own = c.arrives[user], code_of(SIGNUP, user, 0)
            if comes < until or (comes == until and own < stop):
                arrives, code = comes, own
        where = peek(s, c, arrives)
        if where == OVERFULL:
            n[SLACK] = 0
            return FULL
        if where != EMPTY:
            time, first = (
                (s.run[n[RUN_AT]].time, s.run[n[RUN_AT]].code) if where == RUN else (s.soon[0].time, s.soon[0].code)
            )
            if time < arrives or (time == arrives and first < code):
                if where == RUN:
                    load = s.run[n[RUN_AT]].load
                    n[RUN_AT] += 1
                    prefetch(s)
                else:
                    load = s.soon[0].load
                    pop(s)
                play(s, c, first & WHAT, (first >> 4) & NUMBER, load, time)
                continue
        if code == stop:
            return ENOUGH
        n[ARRIVAL] += 1
        fetch_arrivals(c, n[ARRIVAL], user)
        arrive(s, c, user, arrives)


@njit
def fetch_arrivals(c, place, user):  # type: ignore[no-untyped-def]
    """Fetch what is known of the people who arrive some moments on: they stand in order, each array by itself."""
    fetch(c.arriving, place + 64)
    fetch(c.arrives, user + 48)
    fetch(c.keys, user + 32)
    fetch(c.sources, user + 32)


@njit
def prefetch(s):  # type: ignore[no-untyped-def]
    """Fetch the records that the next moments will need."""
    place, end = s.n[RUN_AT], s.n[RUN_END]
    if place + 8 < end:
        person, row, batch = records_of(s.run[place + 8])
        fetch(s.people, person)
        fetch(s.requests, row)
        fetch(s.batches, batch)
    if place + 4 < end:
        person, row, batch = records_of(s.run[place + 4])
        fetch(s.limiters, s.people[person].limiter)
        fetch(s.people, s.requests[row].wish)
        fetch(s.requests, s.batches[batch].first)
    if place + 2 < end:
        moment = s.run[place + 2]
        if moment.code >> 60 == COMPLETION and moment.load >= 0:
            first = s.batches[moment.load & HALF].first
            if first != NOBODY:  # else the batch was stopped before, and this end of it is void
                fetch(s.people, s.requests[first].person)
                fetch(s.requests, s.requests[first].next)
    if place + 1 < end:
        moment = s.run[place + 1]
        if moment.code >> 60 == COMPLETION and moment.load >= 0:
            first = s.batches[moment.load & HALF].first
            if first != NOBODY and s.requests[first].next != NOBODY:
                fetch(s.people, s.requests[s.requests[first].next].person)


@njit
def records_of(moment):  # type: ignore[no-untyped-def]
    """The person, the request and the batch that a moment is about, 0 for those that it is not about.

    Products rather than branches: which kind comes next is as good as random, and a wrong guess costs as much as the
    rest of this.
    """
    kind, low, high = moment.code >> 60, moment.load & HALF, (moment.load >> 32) & HALF
    asks = (kind == ASK) & (moment.code & WHAT != SCRIPT)  # whose load is the number of a scripted ask
    return asks * low, (kind == ABANDON) * high, ((kind == COMPLETION) & (moment.load >= 0)) * low


@njit
def play(s, c, event, number, load, now):  # type: ignore[no-untyped-def]
    """Play one moment. number: of the user or GPU it belongs to; load: what it is about (see calendar.schedule)."""
    if event == FINISH:
        if load >= 0:
            finish(s, c, load, now)
        else:
            change(s, c, number, load, now)
    elif event == LINGERED:
        if load < 0:
            time_out(s, c, load, now)
            return
        row = load >> 32
        if is_of(s.requests[row], number, load) and np.isnan(s.requests[row].dequeued):
            s.requests[row].mark |= WAITED_OUT
            pool = c.pool_of[s.requests[row].feature]
            wake_one(s, c, pool, queue_joined(s, c, pool, row), now)
    elif event == TIRED:
        row = load >> 32
        if is_of(s.requests[row], number, load):
            patience_over(s, c, row, now)
    elif event == GAVE_UP:
        give_up(s, c, load, number, now)
    elif event == AGAIN:
        try_again(s, c, load & HALF, number, load >> 32, now)
    elif event == NEXT:
        begin_wish(s, c, load, now)
    elif event == BACK:
        begin_day(s, c, load, now)
    elif event == INVITED:
        place = invited(s, c, load, number, now)
        if place != NOBODY:
            begin(s, c, place, True, now)
    elif event == SCRIPT:
        scripted(s, c, load, now)
    elif event == NOTICE_OVER:
        notice_over(s, c, load, number, now)
    else:  # let in from the waitlist
        s.people[load].born = now
        admit(s, c, load, now)


@njit
def try_again(s, c, place, user, which, now):  # type: ignore[no-untyped-def]
    """The pause before a retry is over. which: the row of the wish's first attempt, or its ask (see wishes.after)."""
    if c.delivers_late:
        person = s.people[place]
        if person.user != user or person.ask != which or person.status != WISHING:
            return  # a late image came meanwhile
        which = s.present[place, FIRST]
    s.people[place].attempt += 1
    attempt(s, c, place, which, now)


@njit
def patience_over(s, c, row, now):  # type: ignore[no-untyped-def]
    """Patience with a request is over; perhaps the image came first, or it was refused in silence."""
    request = s.requests[row]
    if request.outcome == NONE:
        abandon(s, c, row, now)
        after(s, c, request.wish, row, now)
        if request.mark & GONE:
            keep(s, c, row)  # before its lane is looked at, which frees it
            pool = c.pool_of[request.feature]
            wake_one(s, c, pool, queue_joined(s, c, pool, row), now)  # the next may have lingered for long enough
    elif request.outcome == REFUSED and request.mark & RETRY and not c.tells_refusals:
        after(s, c, request.wish, row, now)
        settle(s, c, row)


@njit
def go_on(s, c):  # type: ignore[no-untyped-def]
    """Let users go on whose requests were dropped at this moment. Whether all could: else an array must grow first."""
    n = s.n
    while n[TOLD] < n[DROPPED]:
        if n[SPARE_CHUNKS] < 2 or len(s.soon) - n[SOON] < 2 or (c.sampled > 0 and len(s.kept) - n[KEPTS] < 2):
            n[SLACK] = 0
            return False
        row = s.dropped[n[TOLD]]
        n[TOLD] += 1
        request = s.requests[row]
        if request.outcome == REFUSED:
            after(s, c, request.wish, row, request.dequeued)
        settle(s, c, row)
    n[DROPPED] = n[TOLD] = 0
    n[SLACK] = 0
    return True


@njit
def finish(s, c, load, now):  # type: ignore[no-untyped-def]
    """A batch is done: its images are delivered, its GPU takes its next batch, and then its users go on."""
    number = load & HALF
    batch = s.batches[number]
    if load >> 32 != batch.version:
        return  # it was stopped before
    if batch.fate == DOOMED:
        batch_lost(s, c, number, now)
        return
    pool, gpu, row = batch.pool, batch.gpu, batch.first
    prefetch_heads(s, queue_of(c, pool, gpu))
    images_done(s, c, number, now)
    serve(s, c, pool, gpu, now)
    while row != NOBODY:
        request = s.requests[row]
        following = request.next
        if request.outcome == SERVED:
            after(s, c, request.wish, row, now)
        settle(s, c, row)
        row = following
    free_batch(s, c, number)


@njit
def change(s, c, gpu, load, now):  # type: ignore[no-untyped-def]
    """A GPU that runs many requests looks: some are through, others join; then the users of the former go on."""
    look, pool = (-1 - load) >> 16, (-1 - load) & 0xFFFF
    replica = s.replicas[pool, gpu]
    if look != replica.look:
        return
    prefetch_heads(s, queue_of(c, pool, gpu))
    fetch_second(s, pool, gpu)
    leaving, before = end_those_who_are_through(s, c, pool, gpu, now), replica.stays
    begin_those_who_join(s, c, pool, gpu, now)
    s.running[pool] += (replica.stays > 0) - (before + leaving > 0)
    for place in range(leaving):
        number = s.leaving[place]
        row = s.batches[number].first
        request = s.requests[row]
        if request.outcome == SERVED:
            after(s, c, request.wish, row, now)
        settle(s, c, row)
        free_batch(s, c, number)


@njit
def keep_the_rest(s, c):  # type: ignore[no-untyped-def]
    """At the horizon, write down requests of the sample that are still inside. Whether there was too little room."""
    for row in range(s.n[REQUESTS]):
        request = s.requests[row]
        if request.user == NOBODY or request.mark & GONE:
            continue
        if s.n[KEPTS] == len(s.kept):
            return True
        keep(s, c, row)
        request.user = NOBODY
    return False
