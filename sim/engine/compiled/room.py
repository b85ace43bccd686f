"""Room in the compiled engine's arrays: how they grow between two moments, and how many moments there is room for."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.engine.compiled.constants import Constants
from sim.engine.compiled.memory import longer
from sim.engine.compiled.records import (
    BATCHES,
    CHUNK,
    CLOSED,
    FORMER,
    FREE_BATCHES,
    FREE_CHUNK,
    FREE_LIMITERS,
    FREE_PEOPLE,
    FREE_REQUESTS,
    KEPTS,
    KILLS,
    LANE,
    LANES,
    LIMITERS,
    LINE_TAIL,
    NOBODY,
    PEOPLE,
    REQUEST,
    REQUESTS,
    RUN_END,
    SOON,
    SPARE_CHUNKS,
    SWITCHED_OFF,
    USERS,
)
from sim.engine.compiled.state import State, rows_of, tables_of_queues, tree_over
from sim.model.balancing import NO_MODEL
from sim.model.jit import njit

MOST_LANES = int(np.iinfo(REQUEST["lane"]).max)
SPARE = 4096  # moments that can be played, at least, before arrays are looked at again


def roomy(array: NDArray[Any], used: int, spare: int = SPARE) -> NDArray[Any]:
    """The array with room for `spare` more, four times as long where it has not: memory costs when it is touched."""
    return array if len(array) >= used + spare else longer(array, used, used + max(3 * used, spare))


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


def with_stays(s: State) -> State:
    """The state with a stay beside each batch, where some GPUs run many requests at once."""
    if len(s.here) == 0 or len(s.stays) == len(s.batches):
        return s
    return s._replace(stays=longer(s.stays, len(s.stays), len(s.batches)))


def with_replicas(s: State, gpus: int, spare: int) -> State:
    """The state with room for GPUs that run many requests at once, and for some to spare."""
    if len(s.here) == 0 or s.replicas.shape[1] >= gpus + spare:
        return s
    found: dict[str, NDArray[Any]] = {}
    for name in ("replicas", "members", "aboard"):
        array = getattr(s, name)
        found[name] = np.zeros((array.shape[0], gpus + max(gpus, spare), *array.shape[2:]), dtype=array.dtype)
        found[name][:, : array.shape[1]] = array
    if s.taken.shape[1] < 2 * found["replicas"].shape[1]:
        wide: NDArray[Any] = np.full(found["replicas"].shape, CLOSED)
        before = s.taken[:, s.taken.shape[1] // 2 :][:, : wide.shape[1]]
        wide[:, : before.shape[1]] = before
        found["taken"] = tree_over(wide)
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
    s = with_stays(with_replicas(s._replace(batches=batches), gpus, SPARE if c.unlimited else 0))
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
            table=wider(s.table, gpus, NOBODY),
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
