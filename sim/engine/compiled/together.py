"""The compiled engine's pools that run many requests at once: who leaves a GPU, and who joins those on it."""

import numpy as np

from sim.engine.compiled import tally
from sim.engine.compiled.gpus import is_begun, new_batch, put_on
from sim.engine.compiled.pool import next_lane, pick
from sim.engine.compiled.queues import queue_of
from sim.engine.compiled.records import NOBODY
from sim.engine.compiled.replicas import BATCH, come_off, fetch_first, look_at, open_or_closed, put_aboard, share_until
from sim.engine.compiled.service import hand_out
from sim.model.jit import njit
from sim.model.knobs import POWER, SLOWDOWN
from sim.model.losses import RUNS
from sim.model.passes import passes_needed, seconds_together


@njit
def end_those_who_are_through(s, c, pool, gpu, now):  # type: ignore[no-untyped-def]
    """A GPU looks: the requests that are through leave it. How many."""
    replica, leaving = s.replicas[pool, gpu], 0
    replica.share, replica.since = share_until(replica, now), now
    if replica.stepless > 0 and replica.due > replica.passes:
        first_steps_made(s, pool, gpu)
    replica.passes, replica.begun, replica.awaited = replica.due, now, 0
    while replica.stays > 0 and s.members[pool, gpu, 0].end <= replica.passes:
        number = come_off(s, c, pool, gpu)
        batch = s.batches[number]
        hand_out(s, c, batch, now)
        tally.spent_together(s, c, batch, now)
        s.leaving[leaving] = number
        leaving += 1
    return leaving


@njit
def begin_those_who_join(s, c, pool, gpu, now):  # type: ignore[no-untyped-def]
    """Requests join in their turn, as long as there is room; and the GPU looks again when the next one is through."""
    replica, joining, joined = s.replicas[pool, gpu], 0, 0
    s.joining[:] = 0
    q = queue_of(c, pool, gpu)
    while gpu < s.gpus[pool] and not replica.doomed and not (c.unlimited and replica.stays > 0):
        place = next_lane(s, c, pool, q)
        if place == NOBODY:
            break
        spec = s.lanes[q, place].spec
        size = c.together_size[pool, spec]
        if replica.size + size > c.most[pool]:
            break
        row, taken = pick(s, c, pool, q, place, c.spec_images[spec], now)
        if taken > 0:
            s.joined[joined] = begin(s, c, pool, gpu, spec, row, now)
            s.joining[spec] += 1
            joined += 1
            joining += size
    open_or_closed(s, pool, gpu)
    if replica.stays == 0:
        return
    slower, table = s.pace[pool, gpu] * s.pool_knobs[pool, SLOWDOWN], s.table[pool, gpu]
    replica.each = slower * seconds_together(s.aboard[pool, gpu], c.each[table], replica.size)
    if joining > 0:
        replica.begun = now + slower * seconds_together(s.joining, c.opening[table], joining)
        if c.whole[pool]:
            await_first_steps(s, c, pool, gpu, joined)
    look_at(s, c, pool, gpu, s.members[pool, gpu, 0].end, now)
    fetch_first(s, pool, gpu)


@njit
def await_first_steps(s, c, pool, gpu, joined):  # type: ignore[no-untyped-def]
    """Those who join make their first step in the opening, or in the pass after it."""
    replica, table = s.replicas[pool, gpu], s.table[pool, gpu]
    for place in range(joined):
        number = s.joined[place]
        if c.first[table, s.batches[number].spec] > 0:
            s.stays[number].first_token = replica.begun
        else:
            replica.stepless += 1


@njit
def first_steps_made(s, pool, gpu):  # type: ignore[no-untyped-def]
    """The first pass is over for those who had made none."""
    replica = s.replicas[pool, gpu]
    replica.stepless = 0
    for place in range(replica.stays):
        stay = s.stays[s.members[pool, gpu, place].key & BATCH]
        if np.isnan(stay.first_token):
            stay.first_token = replica.begun + replica.each


@njit
def begin(s, c, pool, gpu, spec, row, now):  # type: ignore[no-untyped-def]
    """A request joins those on a GPU. The number of its batch of one."""
    replica, request, number = s.replicas[pool, gpu], s.requests[row], new_batch(s)
    passes, first = c.passes[s.table[pool, gpu], spec], c.first[s.table[pool, gpu], spec]
    needed = passes_needed(
        c.whole[pool],
        passes,
        first,
        c.lengths[request.feature],
        c.length_sigma[request.feature],
        c.noise_kind[spec],
        c.noise_shape[spec],
        c.noise_factors[spec],
        is_begun(s, c, request),
        c.seed,
        s.people[request.person].key,
        request.ask,
        request.attempt,
    )
    batch, stay = s.batches[number], s.stays[number]
    batch.pool, batch.gpu, batch.spec, batch.size, batch.taken = pool, gpu, spec, c.spec_images[spec], 1
    batch.started, batch.seconds, batch.finished, batch.first = now, 0.0, np.nan, row
    batch.power, batch.loading, batch.fate = s.pool_knobs[pool, POWER], 0.0, RUNS
    stay.share, stay.request, stay.person = replica.share, row, request.person
    stay.first_token, stay.tokens = np.nan, needed + first if c.whole[pool] else np.nan
    put_on(s, row, number, now)
    s.aboard[pool, gpu, spec] += 1
    replica.size += c.together_size[pool, spec]
    s.here[pool] += c.together_size[pool, spec]
    put_aboard(s, pool, gpu, number, replica.passes + needed)
    return number
