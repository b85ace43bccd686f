"""All that changes in a run of the compiled engine: arrays of records, and how they grow."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.engine.compiled.memory import records
from sim.engine.compiled.records import (
    BATCH,
    BUCKET,
    CLOSED,
    COUNTERS,
    CURRENT,
    DRAIN,
    FORMER,
    FREE_CHUNK,
    GATE_OPEN,
    KEPT,
    KILL,
    LANE,
    MEMBER,
    MOMENT,
    MOVING,
    NOBODY,
    PAST,
    PEAK_AT,
    PERSON,
    REPLICA,
    REQUEST,
    SOONER,
    STAY,
    SWITCHED_OFF,
)
from sim.model.balancing import NO_MODEL
from sim.model.dropping import fresh_codel
from sim.model.gateway import FIRST_SLOT
from sim.model.knobs import KNOBS, MOST_FLOWS, PLAIN_POOL, RETRY_KNOBS
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
    formed: NDArray[np.int32]  # beside the requests, where they do: the number of a request's batch
    forms: NDArray[np.int64]  # (pools, 2), where a free slot closes them: how many have closed, the last one taken
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
    knobs: NDArray[np.float64]  # (tiers, features, KNOBS)
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
    table: NDArray[np.int32]  # (pools, GPUs): the row of Constants.seconds that has its times
    on: NDArray[np.int32]  # (pools, GPUs): the batch on each, or the last one
    # GPUs that run many requests at once, where there are any.
    replicas: NDArray[Any]  # (pools, GPUs)
    members: NDArray[Any]  # (pools, GPUs, most): the batches on each, a heap
    taken: NDArray[np.int32]  # (pools, places): a tree over what each has or has promised (see replicas.now_takes)
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
    busy: NDArray[np.float64]  # (rows of Constants.seconds, specs, images)
    peaks: NDArray[np.float64]  # (pools, 4)


def rows_of(count: int, width: int) -> NDArray[np.float64]:
    """Limiters: without slots for a sliding quota, a cache line each."""
    return records(count * width, np.dtype(np.float64)).reshape(count, width)


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


def tree_over(taken: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
    """A row for each row of numbers: these behind as many places, each with the lesser of the two at twice its own."""
    half = 1 << max(taken.shape[1] - 1, 1).bit_length()
    tree = np.full((len(taken), 2 * half), CLOSED, dtype=np.int32)
    tree[:, half : half + taken.shape[1]] = taken
    for place in range(half - 1, 0, -1):
        tree[:, place] = tree[:, 2 * place : 2 * place + 2].min(axis=1)
    return tree


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
    times: int,
    rows: bool,
    sampled: bool,
    delivers: bool = False,
    together: int = 0,
    tokens: bool = False,
    ahead: bool = False,
    apart: bool = False,
) -> State:
    """Nothing has happened; every GPU is idle. largest: images in a batch at most; times: tables of their seconds.

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
        forms=np.zeros((pools, 2), dtype=np.int64),
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
        knobs=np.zeros((tiers, features, len(KNOBS))),
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
        table=np.full((pools, max(gpus)), NOBODY, dtype=np.int32),
        on=np.full((pools, max(gpus)), NOBODY, dtype=np.int32),
        replicas=np.zeros((shared, max(gpus)), dtype=REPLICA),
        members=np.zeros((shared, max(gpus), together), dtype=MEMBER),
        taken=tree_over(np.where(np.arange(max(gpus)) < np.array(gpus)[:, None], 0, CLOSED)[:shared]),
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
        busy=np.zeros((times, specs, largest + 1)),
        peaks=np.zeros((pools, 4)),
    )
    state.n[GATE_OPEN], state.n[MOVING] = 1, NOBODY
    state.n[CURRENT], state.n[FREE_CHUNK] = NOBODY, NOBODY
    state.peaks[:, PEAK_AT] = state.peaks[:, DRAIN] = np.nan
    return state
