"""The compiled engine's timeline: every event is counted in its bin when it happens."""

import numpy as np

from sim.engine.compiled.records import ABANDONED as HAS_LEFT
from sim.engine.compiled.records import CHANGED, DRAIN, PEAK, PEAK_AT, SERVED, WISHING
from sim.engine.compiled.replicas import share_until
from sim.model.jit import njit
from sim.model.losses import LOST as LOST_BATCH
from sim.model.passes import lags, seconds_per_token, together_on_average
from sim.results.timeline import (
    ABANDONED,
    ATTEMPTS,
    BUCKETS,
    DECIDED,
    DEGRADED,
    DONE,
    DONE_DEGRADED,
    FIRST_TOKEN,
    GRANTED,
    HALVES,
    IMAGES,
    IMAGES_DEGRADED,
    IN_TIME,
    INTENTS,
    JUDGED,
    KEPT,
    LATENCY,
    LEFT,
    LOADING,
    LOST,
    LOST_WORK,
    LOWEST,
    OF_INTENTS,
    OFFERED,
    OFFERED_FIRST,
    PER_TOKEN,
    REASON,
    RETRIED,
    USEFUL,
    WAIT,
    WASTED,
)
from sim.results.timeline import SERVED as INTENTS_SERVED

FIRST_BUCKET = HALVES * (1023 + LOWEST) - 1  # of the bits of a float64 that name its bucket


@njit
def bin_of(s, c, instant):  # type: ignore[no-untyped-def]
    """The bin of an instant: by its edges, to which the product is but a good guess."""
    place = min(int(instant * c.bins_a_second), len(s.signups) - 1)
    if instant < c.edges[place]:
        return place - 1
    if instant >= c.edges[place + 1] and place + 1 < len(s.signups):
        return place + 1
    return place


@njit
def bucket_of(seconds):  # type: ignore[no-untyped-def]
    """The bucket of a histogram (see sim.results.timeline): the exponent and the first seven bits after it."""
    bits = np.float64(seconds).view(np.int64) >> 45
    return min(max(bits - FIRST_BUCKET, 0), BUCKETS - 1)


@njit
def asked(s, c, cell, pool, spec, attempt, now):  # type: ignore[no-untyped-def]
    """An attempt arrives."""
    place = bin_of(s, c, now)
    row, work = s.counts[place, cell], c.work[pool, spec]
    row[ATTEMPTS] += 1
    s.seconds[place, cell, OFFERED] += work
    if attempt > 0:
        row[RETRIED] += 1
    else:
        row[INTENTS] += 1
        s.seconds[place, cell, OFFERED_FIRST] += work


@njit
def refused(s, c, cell, reason, now):  # type: ignore[no-untyped-def]
    s.counts[bin_of(s, c, now), cell, REASON + reason - 1] += 1


@njit
def granted(s, c, cell, feature, work, now):  # type: ignore[no-untyped-def]
    """An attempt is granted: it will be judged by whether its image is in time, unless the horizon comes first."""
    place = bin_of(s, c, now)
    s.seconds[place, cell, GRANTED] += work
    if c.horizon - now > c.slo[feature]:
        s.counts[place, cell, JUDGED] += 1


@njit
def dropped(s, c, cell, request):  # type: ignore[no-untyped-def]
    """A granted request is dropped: it counts as refused, and as a promise that was not kept."""
    s.counts[bin_of(s, c, request.arrived), cell, REASON + request.reason - 1] += 1


@njit
def left(s, c, cell, arrived, now):  # type: ignore[no-untyped-def]
    s.counts[bin_of(s, c, arrived), cell, ABANDONED] += 1
    s.counts[bin_of(s, c, now), cell, LEFT] += 1


@njit
def not_left(s, c, cell, request):  # type: ignore[no-untyped-def]
    """A user who had left gets the image all the same."""
    s.counts[bin_of(s, c, request.arrived), cell, ABANDONED] -= 1
    s.counts[bin_of(s, c, request.left), cell, LEFT] -= 1


@njit
def image_served(s, c, cell, request, now):  # type: ignore[no-untyped-def]
    """An attempt got its image."""
    s.counts[bin_of(s, c, now), cell, DONE_DEGRADED if request.level > 0 else DONE] += 1
    row, slo = s.counts[bin_of(s, c, request.arrived), cell], c.slo[request.feature]
    if not is_late(s, c, request, request.arrived, now):
        row[KEPT] += 1
    if not c.horizon - request.arrived > slo:
        row[JUDGED] += 1
    if request.arrived >= c.warm_up:
        s.latencies[WAIT, cell, bucket_of(request.dequeued - request.arrived)] += 1
        s.latencies[LATENCY, cell, bucket_of(now - request.arrived)] += 1
        if c.whole[s.batches[request.batch].pool]:
            stay = s.stays[request.batch]
            s.latencies[FIRST_TOKEN, cell, bucket_of(stay.first_token - request.arrived)] += 1
            if stay.tokens > 1.0:
                each = seconds_per_token(stay.first_token, now, stay.tokens)
                s.latencies[PER_TOKEN, cell, bucket_of(each)] += 1


@njit
def is_late(s, c, request, since, now):  # type: ignore[no-untyped-def]
    """Whether what is served now to somebody who has wanted it since then is not in time."""
    late, slo = now - since > c.slo[request.feature], c.token_slo[request.feature]
    if late or (slo[0] == np.inf and slo[1] == np.inf):
        return late
    stay = s.stays[request.batch]
    return lags(since, stay.first_token, now, stay.tokens, slo[0], slo[1])


@njit
def wish_over(s, c, cell, request, since, now):  # type: ignore[no-untyped-def]
    """A wish is fulfilled or given up."""
    row = s.counts[bin_of(s, c, since), cell]
    row[DECIDED] += 1
    if request.outcome != SERVED:
        row[LOST] += 1
        if since >= c.warm_up:
            s.latencies[OF_INTENTS, cell, BUCKETS - 1] += 1
        return
    row[INTENTS_SERVED] += 1
    if request.level > 0:
        row[DEGRADED] += 1
    if not is_late(s, c, request, since, now):
        row[IN_TIME] += 1
        row[IMAGES_DEGRADED if request.level > 0 else IMAGES] += c.spec_images[request.asked]
    if since >= c.warm_up:
        s.latencies[OF_INTENTS, cell, bucket_of(now - since)] += 1


@njit
def spread(s, c, cell, column, begin, end, amount):  # type: ignore[no-untyped-def]
    """Spread GPU-seconds evenly over a time, into the bins it touches."""
    last = bin_of(s, c, end)
    if begin >= c.edges[last]:
        s.seconds[last, cell, column] += amount
        return
    first = bin_of(s, c, begin)
    a_second, edge = amount / (end - begin), begin
    for place in range(first, last):
        after = c.edges[place + 1]
        s.seconds[place, cell, column] += (after - edge) * a_second
        edge = after
    s.seconds[last, cell, column] += (end - edge) * a_second


@njit
def use_of(batch, request):  # type: ignore[no-untyped-def]
    """The use of GPU-seconds that went into a request."""
    if batch.fate == LOST_BATCH:
        return LOST_WORK
    return WASTED if request.outcome == HAS_LEFT else USEFUL


@njit
def spent(s, c, batch, now):  # type: ignore[no-untyped-def]
    """A batch is over, or the horizon has come: its GPU-seconds until now, on loading a model and on images."""
    full = batch.started + batch.seconds
    end = min(full, now)
    seconds = batch.seconds if end == full else end - batch.started
    loading = 0.0 if batch.fate == LOST_BATCH else min(batch.loading, seconds)
    begins = min(batch.started + loading, end)
    row = batch.first
    while row >= 0:
        request = s.requests[row]
        cell = request.tier * len(c.slo) + request.feature
        if loading > 0.0:
            spread(s, c, cell, LOADING, batch.started, begins, loading / batch.taken)
        spread(s, c, cell, use_of(batch, request), begins, end, (seconds - loading) / batch.taken)
        row = request.next
    inside = min(seconds, max(end - c.warm_up, 0.0))
    s.busy[s.table[batch.pool, batch.gpu], batch.spec, batch.size] += inside * batch.power


@njit
def spent_together(s, c, batch, now):  # type: ignore[no-untyped-def]
    """A request leaves a GPU that runs many at once, or the horizon has come: its share of the GPU until now."""
    request, lasted = s.requests[batch.first], now - batch.started
    cell = request.tier * len(c.slo) + request.feature
    spread(s, c, cell, use_of(batch, request), batch.started, now, batch.seconds)
    most = c.most[batch.pool] if c.whole[batch.pool] else batch.size
    size = together_on_average(lasted, batch.seconds, batch.size, most)
    if lasted > 0.0:
        inside = max(now - max(batch.started, c.warm_up), 0.0) / lasted
        s.busy[s.table[batch.pool, batch.gpu], batch.spec, size] += inside * batch.seconds * batch.power


@njit
def time_passes(s, c, pool, now):  # type: ignore[no-untyped-def]
    """A pool's queue is about to change, or the horizon has come: it had its length since it last did."""
    peaks, length = s.peaks[pool], s.queued[pool]
    begin = peaks[CHANGED]
    if not now > begin:
        return
    peaks[CHANGED] = now
    if length == 0:
        if np.isnan(peaks[DRAIN]) and peaks[PEAK] > 0 and now > c.warm_up:
            peaks[DRAIN] = max(begin, c.warm_up) - peaks[PEAK_AT]
        return
    if length > peaks[PEAK] and now > c.warm_up:
        peaks[PEAK], peaks[PEAK_AT], peaks[DRAIN] = length, max(begin, c.warm_up), np.nan
    last, edge = bin_of(s, c, now), begin
    if begin < c.edges[last]:
        for place in range(bin_of(s, c, begin), last):
            after = c.edges[place + 1]
            s.queue[place, pool] += length * (after - edge)
            edge = after
    s.queue[last, pool] += length * (now - edge)


@njit
def close(s, c, batches, people):  # type: ignore[no-untyped-def]
    """The horizon has come: what is still going on is counted as far as it has got. The numbers: records in use."""
    for pool in range(len(s.gpus)):
        time_passes(s, c, pool, c.horizon)
    for number in range(batches):
        batch = s.batches[number]
        if not (batch.first >= 0 and np.isnan(batch.finished)):
            continue
        if c.many[batch.pool]:
            replica = s.replicas[batch.pool, batch.gpu]
            if c.whole[batch.pool] and np.isnan(s.stays[number].first_token):
                s.stays[number].first_token = replica.begun + replica.each
            batch.seconds = share_until(replica, c.horizon) - s.stays[number].share
            spent_together(s, c, batch, c.horizon)
        else:
            spent(s, c, batch, c.horizon)
    for place in range(people):
        person = s.people[place]
        if person.status == WISHING and c.horizon - person.since > c.slo[person.feature]:
            cell = person.tier * len(c.slo) + person.feature
            s.counts[bin_of(s, c, person.since), cell, DECIDED] += 1
            if person.since >= c.warm_up:
                s.latencies[OF_INTENTS, cell, BUCKETS - 1] += 1
