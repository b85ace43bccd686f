"""All that changes in a run of the compiled engine: arrays of records, and how they grow."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.engine.compiled.constants import Constants
from sim.engine.compiled.memory import longer, records
from sim.engine.compiled.records import (
    BATCH,
    BATCHES,
    BUCKET,
    CHUNK,
    COUNTERS,
    CURRENT,
    DRAIN,
    FORMER,
    FREE_BATCHES,
    FREE_CHUNK,
    FREE_LIMITERS,
    FREE_PEOPLE,
    FREE_REQUESTS,
    GATE_OPEN,
    KEPT,
    KEPTS,
    KILL,
    KILLS,
    LANE,
    LANES,
    LIMITERS,
    LINE_TAIL,
    MOMENT,
    MOVING,
    NOBODY,
    PAST,
    PEAK_AT,
    PEOPLE,
    PERSON,
    REPLICA,
    REQUEST,
    REQUESTS,
    RUN_END,
    SOON,
    SOONER,
    SPARE_CHUNKS,
    STAY,
    SWITCHED_OFF,
    USERS,
)
from sim.model.balancing import NO_MODEL
from sim.model.dropping import fresh_codel
from sim.model.gateway import FIRST_SLOT
from sim.model.jit import njit
from sim.model.knobs import MOST_FLOWS, PLAIN_POOL, RETRY_KNOBS
from sim.results.timeline import BUCKETS, COUNTS, SECONDS, kinds_of_latency


class State(NamedTuple):
    """All that changes. Arrays have room to spare; `n` says how much of each is used."""

    n: NDArray[np.int64]
    # The calendar.
    buckets: NDArray[Any]
    moments: NDArray[Any]  # CHUNK a chunk
    follows: NDArray[np.int32]  # the chunk after each
    run: NDArray[Any]
    places: NDArray[np.int32]
    soon: NDArray[Any]
    # People and what they ask.
    people: NDArray[Any]
    free_people: NDArray[np.int32]
    present: NDArray[np.int32]  # (people, 2), where late images are delivered: the attempt waited for, the first one
    past: NDArray[Any]  # by user, where rows are recorded
    limiters: NDArray[np.float64]  # as many rows as there are meters for each who has any
    free_limiters: NDArray[np.int32]
    line: NDArray[np.int32]  # the waitlist, in order
    requests: NDArray[Any]
    free_requests: NDArray[np.int32]
    batches: NDArray[Any]
    free_batches: NDArray[np.int32]
    stays: NDArray[Any]  # beside the batches, where a pool runs many requests at once
    kept: NDArray[Any]
    kills: NDArray[Any]
    # Queues: of each pool, or of each of its GPUs (see queues.py).
    lanes: NDArray[Any]  # (queues, lanes), in order of creation
    formers: NDArray[Any]  # beside the lanes, where batches of some pool close by themselves
    formed: NDArray[np.int32]  # beside the requests, where they do: the number of a request's batch in its lane
    lane_count: NDArray[np.int64]
    waiting_images: NDArray[np.int64]  # (queues, specs)
    waits: NDArray[np.int64]  # requests
    flow_waiting: NDArray[np.int64]  # (queues, MOST_FLOWS)
    weights: NDArray[np.float64]  # (queues, MOST_FLOWS)
    deficits: NDArray[np.float64]  # (queues, MOST_FLOWS + 1), and whose turn it is
    flows: NDArray[np.int64]
    codel: NDArray[np.float64]  # (queues, CODEL_STATE)
    stands: NDArray[np.int32]  # beside the requests, where GPUs have queues: the one that it joined
    outstanding: NDArray[np.float64]  # (pools, GPUs), where they do: requests that wait for it or are on it
    until: NDArray[np.float64]  # (pools, GPUs), where they do: when its last batch should be done
    load: NDArray[np.float64]  # (GPUs), where they do: seconds ahead of one request
    turn: NDArray[np.int64]  # by pool: requests sent to a GPU
    holds: NDArray[np.int32]  # (pools, GPUs), where they do: the model of the last request sent there, or NO_MODEL
    chosen: NDArray[np.int32]  # (GPUs), where they do: those that one request may be sent to
    # Pools.
    queued: NDArray[np.int64]
    ready: NDArray[np.int64]  # by flow: the lane that it would be served from
    running: NDArray[np.int64]  # batches
    inside: NDArray[np.int64]  # waiting or being served
    pool_knobs: NDArray[np.float64]
    retries: NDArray[np.float64]  # knobs, then the retries that the budget pays for
    dropped: NDArray[np.int32]  # requests dropped at this moment, whose users are still to go on
    gpus: NDArray[np.int64]  # in service
    region_open: NDArray[np.float64]
    fits: NDArray[np.float64]  # of the places that one request may be sent to
    idle: NDArray[np.int32]  # (pools, GPUs): a heap, the lowest number first
    idle_count: NDArray[np.int64]
    loaded: NDArray[np.int32]  # (pools, GPUs): the model served last, or SWITCHED_OFF
    pace: NDArray[np.float64]  # (pools, GPUs)
    on: NDArray[np.int32]  # (pools, GPUs): the batch on each, or the last one
    # GPUs that run many requests at once, where there are any.
    replicas: NDArray[Any]  # (pools, GPUs)
    members: NDArray[np.int32]  # (pools, GPUs, most): the batches on each, a heap
    aboard: NDArray[np.int32]  # (pools, GPUs, specs): how many of each spec
    here: NDArray[np.int64]  # by pool: images, or threads, on all of them
    joining: NDArray[np.int32]  # by spec, at one look
    joined: NDArray[np.int32]  # the batches that begin at one look
    leaving: NDArray[np.int32]  # the batches that end at one look
    # Counts since the last tick, by tier and feature.
    arrivals: NDArray[np.float64]
    refused: NDArray[np.float64]
    granted: NDArray[np.float64]
    served: NDArray[np.float64]
    started: NDArray[np.float64]
    waited: NDArray[np.float64]
    latency: NDArray[np.float64]
    # The timeline (see sim.results.timeline).
    counts: NDArray[np.int32]  # (bins, cells, COUNTS); a cell is a tier and a feature
    seconds: NDArray[np.float64]  # (bins, cells, SECONDS)
    queue: NDArray[np.float64]  # (bins, pools)
    signups: NDArray[np.int32]  # by bin
    latencies: NDArray[np.int64]  # (kinds of LATENCIES, cells, BUCKETS)
    busy: NDArray[np.float64]  # (pools, specs, images)
    peaks: NDArray[np.float64]  # (pools, 4)


MOST_LANES = int(np.iinfo(REQUEST["lane"]).max)
SPARE = 4096  # moments that can be played, at least, before arrays are looked at again


def roomy(array: NDArray[Any], used: int, spare: int = SPARE) -> NDArray[Any]:
    """The array with room for `spare` more, twice as long where it has not."""
    return array if len(array) >= used + spare else longer(array, used, used + max(used, spare))


def rows_of(count: int, width: int) -> NDArray[np.float64]:
    """Limiters: without slots for a sliding quota, a cache line each."""
    return records(count * width, np.dtype(np.float64)).reshape(count, width)


def grown(array: NDArray[Any], rows: int) -> NDArray[Any]:
    """The same table with at least this number of rows."""
    if len(array) >= rows:
        return array
    larger = np.full((rows, array.shape[1]), NOBODY, dtype=array.dtype)
    larger[: len(array)] = array
    return larger


def wider(array: NDArray[Any], used: int, fill: float) -> NDArray[Any]:
    """The same along the second axis, filled up."""
    if array.shape[1] >= used + SPARE:
        return array
    larger = np.full((array.shape[0], used + max(used, SPARE)), fill, dtype=array.dtype)
    larger[:, : array.shape[1]] = array
    return larger


def with_formed(s: State) -> State:
    """The state with a number beside each request, and a batch beside each lane, where batches close by themselves."""
    if len(s.formers) == 0:
        return s
    formers = np.zeros(s.lanes.shape, dtype=FORMER)
    formers[:, : s.formers.shape[1]] = s.formers
    return s._replace(formers=formers, formed=longer(s.formed, len(s.formed), len(s.requests)))


def with_queues(s: State, c: Constants, gpus: int) -> State:
    """The state with a queue for each GPU, in pools where it has one, and a queue's number beside each request."""
    if not c.apart.any():
        return s
    found = {"stands": longer(s.stands, len(s.stands), len(s.requests))}
    found |= {name: roomy(getattr(s, name), gpus) for name in ("load", "chosen")}
    for name, fill in (("outstanding", 0.0), ("until", 0.0), ("holds", NO_MODEL)):
        found[name] = wider(getattr(s, name), gpus, fill)
    before, queues = len(s.waits), len(s.gpus) + int(c.apart.sum()) * gpus
    if before < queues:
        fresh = tables_of_queues(queues, s.waiting_images.shape[1], s.lanes.shape[1], ahead=len(s.formers) > 0)
        for name, table in fresh.items():
            if len(table):
                table[:before] = getattr(s, name)
        found |= fresh
    return s._replace(**found)


def tables_of_queues(queues: int, specs: int, lanes: int, *, ahead: bool) -> dict[str, NDArray[Any]]:
    """Empty ones. ahead: whether batches of some pool close by themselves."""
    return {
        "lanes": np.zeros((queues, lanes), dtype=LANE),
        "formers": np.zeros((queues if ahead else 0, lanes), dtype=FORMER),
        "lane_count": np.zeros(queues, dtype=np.int64),
        "waiting_images": np.zeros((queues, specs), dtype=np.int64),
        "waits": np.zeros(queues, dtype=np.int64),
        "flow_waiting": np.zeros((queues, MOST_FLOWS), dtype=np.int64),
        "weights": np.ones((queues, MOST_FLOWS)),
        "deficits": np.zeros((queues, MOST_FLOWS + 1)),
        "flows": np.ones(queues, dtype=np.int64),
        "codel": np.tile(fresh_codel(), (queues, 1)),
    }


def with_stays(s: State) -> State:
    """The state with a stay beside each batch, where some GPUs run many requests at once."""
    if len(s.here) == 0 or len(s.stays) == len(s.batches):
        return s
    return s._replace(stays=longer(s.stays, len(s.stays), len(s.batches)))


def with_replicas(s: State, gpus: int) -> State:
    """The state with room for some more GPUs that run many requests at once."""
    if len(s.here) == 0 or s.replicas.shape[1] >= gpus + SPARE:
        return s
    found = {}
    for name in ("replicas", "members", "aboard"):
        array = getattr(s, name)
        found[name] = np.zeros((array.shape[0], gpus + max(gpus, SPARE), *array.shape[2:]), dtype=array.dtype)
        found[name][:, : array.shape[1]] = array
    return s._replace(**found)


def with_room(s: State, c: Constants, gpus: int = 0) -> State:
    """The state with room for some thousand moments more, or for several that bring as much as one can.

    gpus: the least number of GPUs that a pool has room for.
    """
    n = s.n
    people, requests, batches = roomy(s.people, n[PEOPLE]), roomy(s.requests, n[REQUESTS]), roomy(s.batches, n[BATCHES])
    limiters = s.limiters
    if len(limiters) < n[LIMITERS] + SPARE * c.meters:
        limiters = rows_of(2 * (int(n[LIMITERS]) + SPARE * c.meters), limiters.shape[1])
        limiters[: n[LIMITERS]] = s.limiters[: n[LIMITERS]]
    s = with_chunks(s, SPARE + 4 * c.chunks)
    lanes = s.lanes
    if n[LANES] + 32 > MOST_LANES:
        raise OverflowError(f"more than {MOST_LANES - 32} combinations of priority, spec and flow in one queue")
    if lanes.shape[1] < n[LANES] + 32:
        lanes = np.zeros((lanes.shape[0], 2 * lanes.shape[1]), dtype=LANE)
        lanes[:, : s.lanes.shape[1]] = s.lanes
    gpus = max(gpus, int(s.gpus.max()))
    s = with_stays(with_replicas(s._replace(batches=batches), gpus))
    if len(s.here):
        s = with_chunks(s, SPARE + 4 * c.chunks + gpus)  # after a change of fleet each may look
    s = with_formed(
        s._replace(
            run=roomy(s.run, n[RUN_END], int(s.buckets["filled"].max()) + CHUNK),
            soon=roomy(s.soon, n[SOON], SPARE + 4 * c.pushes + (gpus if len(s.here) else 0)),
            people=people,
            free_people=roomy(s.free_people, n[FREE_PEOPLE], len(people)),
            present=s.present if len(s.present) == 0 else grown(s.present, len(people)),
            past=roomy(s.past, n[USERS]) if len(s.past) else s.past,
            limiters=limiters,
            free_limiters=roomy(s.free_limiters, n[FREE_LIMITERS], len(limiters)),
            line=roomy(s.line, n[LINE_TAIL]),
            requests=requests,
            dropped=roomy(s.dropped, 0, len(requests)),
            free_requests=roomy(s.free_requests, n[FREE_REQUESTS], len(requests)),
            free_batches=roomy(s.free_batches, n[FREE_BATCHES], len(batches)),
            kept=roomy(s.kept, n[KEPTS], SPARE + 4 * c.largest) if len(s.kept) else s.kept,
            kills=roomy(s.kills, n[KILLS], SPARE + 4 * c.largest) if len(s.kills) else s.kills,
            lanes=lanes,
            idle=wider(s.idle, gpus, 0),
            loaded=wider(s.loaded, gpus, SWITCHED_OFF),
            pace=wider(s.pace, gpus, 1.0),
            on=wider(s.on, gpus, NOBODY),
        )
    )
    return with_queues(s, c, gpus)


def with_chunks(s: State, chunks: int) -> State:
    """The state with at least this number of spare chunks on its calendar."""
    n, before = s.n, len(s.follows)
    if n[SPARE_CHUNKS] >= chunks:
        return s
    after = 2 * before + chunks
    follows = longer(s.follows, before, after)
    follows[before:] = np.arange(before + 1, after + 1)
    follows[-1] = n[FREE_CHUNK]
    n[FREE_CHUNK] = before
    n[SPARE_CHUNKS] += after - before
    return s._replace(follows=follows, moments=longer(s.moments, before * CHUNK, after * CHUNK))


@njit
def slack(s, c):  # type: ignore[no-untyped-def]
    """How many moments can certainly be played before some array is full."""
    n = s.n
    least = min(len(s.people) - n[PEOPLE], len(s.requests) - n[REQUESTS], len(s.batches) - n[BATCHES])
    least = min(least, len(s.line) - n[LINE_TAIL], (len(s.limiters) - n[LIMITERS]) // c.meters)
    least = min(least, n[SPARE_CHUNKS] // c.chunks, (len(s.soon) - n[SOON]) // c.pushes)
    if c.rows:
        least = min(least, len(s.past) - n[USERS], (len(s.kills) - n[KILLS]) // c.largest)
    if c.sampled > 0:
        least = min(least, (len(s.kept) - n[KEPTS]) // c.largest)
    if len(s.here) > 0:
        least = min(least, (len(s.batches) - n[BATCHES]) // c.largest)
    least = min(least, s.lanes.shape[1] - n[LANES])
    for pool in range(len(s.gpus)):
        least = min(least, s.idle.shape[1] - s.gpus[pool])
    return least - 2


def fresh_state(
    pools: int,
    specs: int,
    tiers: int,
    features: int,
    gpus: list[int],
    regions: int = 0,
    *,
    buckets: int,
    bins: int,
    largest: int,
    rows: bool,
    sampled: bool,
    delivers: bool = False,
    together: int = 0,
    tokens: bool = False,
    ahead: bool = False,
    apart: bool = False,
) -> State:
    """Nothing has happened; every GPU is idle. largest: images in a batch at most.

    together: as many requests as one GPU may run at once; 0 where none does. tokens: whether some count their steps;
    apart: whether GPUs have queues.
    """
    shared, own = pools if together else 0, (pools if apart else 0, max(gpus) if apart else 0)
    ticks = [np.zeros((tiers, features)) for _ in range(7)]
    cells = tiers * features
    state = State(
        n=np.zeros(COUNTERS, dtype=np.int64),
        buckets=np.zeros(buckets, dtype=BUCKET),
        moments=records(0, MOMENT),
        follows=np.zeros(0, dtype=np.int32),
        run=records(0, MOMENT),
        places=np.zeros(8194, dtype=np.int32),
        soon=records(0, SOONER),
        people=records(0, PERSON),
        free_people=np.zeros(0, dtype=np.int32),
        present=np.full((1 if delivers else 0, 2), NOBODY, dtype=np.int32),
        past=records(1 if rows else 0, PAST),
        limiters=rows_of(0, FIRST_SLOT + 1),
        free_limiters=np.zeros(0, dtype=np.int32),
        line=np.zeros(0, dtype=np.int32),
        requests=records(0, REQUEST),
        free_requests=np.zeros(0, dtype=np.int32),
        batches=records(0, BATCH),
        free_batches=np.zeros(0, dtype=np.int32),
        stays=records(0, STAY),
        kept=records(1 if sampled else 0, KEPT),
        kills=records(1 if rows else 0, KILL),
        **tables_of_queues(pools, specs, 32, ahead=ahead),
        formed=np.zeros(0, dtype=np.int32),
        stands=np.zeros(0, dtype=np.int32),
        outstanding=np.zeros(own),
        until=np.zeros(own),
        load=np.zeros(own[1]),
        holds=np.full(own, NO_MODEL, dtype=np.int32),
        chosen=np.zeros(own[1], dtype=np.int32),
        turn=np.zeros(pools, dtype=np.int64),
        queued=np.zeros(pools, dtype=np.int64),
        ready=np.zeros(MOST_FLOWS, dtype=np.int64),
        running=np.zeros(pools, dtype=np.int64),
        inside=np.zeros(pools, dtype=np.int64),
        pool_knobs=np.tile(PLAIN_POOL, (pools, 1)),
        retries=np.zeros(len(RETRY_KNOBS) + 1),
        dropped=np.zeros(0, dtype=np.int32),
        gpus=np.array(gpus, dtype=np.int64),
        region_open=np.ones(max(regions, 1)),
        fits=np.zeros(features),
        idle=np.tile(np.arange(max(gpus), dtype=np.int32), (pools, 1)),
        idle_count=np.array(gpus, dtype=np.int64),
        loaded=np.where(np.arange(max(gpus)) < np.array(gpus)[:, None], NOBODY, SWITCHED_OFF).astype(np.int32),
        pace=np.ones((pools, max(gpus))),
        on=np.full((pools, max(gpus)), NOBODY, dtype=np.int32),
        replicas=np.zeros((shared, max(gpus)), dtype=REPLICA),
        members=np.zeros((shared, max(gpus), together), dtype=np.int32),
        aboard=np.zeros((shared, max(gpus), specs), dtype=np.int32),
        here=np.zeros(shared, dtype=np.int64),
        joining=np.zeros(specs, dtype=np.int32),
        joined=np.zeros(together, dtype=np.int32),
        leaving=np.zeros(together, dtype=np.int32),
        arrivals=ticks[0],
        refused=ticks[1],
        served=ticks[2],
        started=ticks[3],
        waited=ticks[4],
        latency=ticks[5],
        granted=ticks[6],
        counts=np.zeros((bins, cells, len(COUNTS)), dtype=np.int32),
        seconds=np.zeros((bins, cells, len(SECONDS))),
        queue=np.zeros((bins, pools)),
        signups=np.zeros(bins, dtype=np.int32),
        latencies=np.zeros((len(kinds_of_latency(tokens=tokens)), cells, BUCKETS), dtype=np.int64),
        busy=np.zeros((pools, specs, largest + 1)),
        peaks=np.zeros((pools, 4)),
    )
    state.n[GATE_OPEN], state.n[MOVING] = 1, NOBODY
    state.n[CURRENT], state.n[FREE_CHUNK] = NOBODY, NOBODY
    state.peaks[:, PEAK_AT] = state.peaks[:, DRAIN] = np.nan
    return state
