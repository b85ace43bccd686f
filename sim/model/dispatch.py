"""The scalar rules of a pool: how much work is queued, which request is served next, how long its batch takes."""

import numpy as np

from sim.model.chance import noise, sample
from sim.model.jit import njit
from sim.model.knobs import LIFO, SHORTEST
from sim.model.standing import rest_of_noise
from sim.model.streams import LOAD, SERVICE


@njit
def work_of_request(full_seconds, images, full):  # type: ignore[no-untyped-def]
    """GPU-seconds of a request for some images, in a batch of `full` images that takes `full_seconds`."""
    return full_seconds * images / full


@njit
def work_ahead(priority, lane_priority, waiting, work):  # type: ignore[no-untyped-def]
    """GPU-seconds that the `waiting` requests of a lane, each of `work` GPU-seconds, put before one of a priority."""
    return waiting * work if lane_priority <= priority else 0.0


@njit
def time_to_start(work, gpus):  # type: ignore[no-untyped-def]
    """The expected wait, seconds: until all GPUs together have started the work ahead."""
    return work / gpus if gpus > 0 else np.inf


@njit
def comes_before(order, work, arrived, user, other_work, other_arrived, other_user):  # type: ignore[no-untyped-def]
    """Whether one request is served before another of the same priority, by the pool's order.

    By size where the order is shortest first and sizes differ; else by arrival, and at one instant by user.
    """
    if order == SHORTEST and work != other_work:
        return work < other_work
    earlier = arrived < other_arrived or (arrived == other_arrived and user < other_user)
    return earlier != (order == LIFO)


@njit
def is_ready(linger, lingered, waiting_images, full):  # type: ignore[no-untyped-def]
    """Whether a batch may start: at no linger always, else once its head has lingered or a full batch waits."""
    return linger == 0.0 or lingered or waiting_images >= full


OLDEST, LAST_CLOSE, POLLED = range(3)
TIMERS = {"from the oldest": OLDEST, "from the last close": LAST_CLOSE, "from the last close, as polled": POLLED}


@njit
def closes_with(timer, linger, first, closed, images, each, full, now):  # type: ignore[no-untyped-def]
    """Whether a batch that closes by itself does so with a request that has just come: it is full, or timed out.

    first: when the first of those in it came; closed: when the batch before it closed; images: those in it.
    """
    return images + each > full or now >= (first if timer == OLDEST else closed) + linger


@njit
def times_out(timer, linger, first, closed, came):  # type: ignore[no-untyped-def]
    """When such a batch closes if nobody comes meanwhile. came: when the last one did."""
    return linger + (first if timer == OLDEST else closed if timer == LAST_CLOSE else came)


UNFORMED = (1 << 31) - 1  # in place of the number of a batch: it waits in none that has closed


@njit
def has_slot(running, standing, slots, gpus):  # type: ignore[no-untyped-def]
    """Whether a batch may close where each GPU has slots. standing: those that have closed and wait for a GPU."""
    return running + standing < slots * gpus


@njit
def batch_seconds(measured, pace, noise_kind, noise_shape, factors, slowdown, begun, seed, key, k):  # type: ignore[no-untyped-def]
    """How long a batch takes: as measured, on a GPU of this pace, with noise, times the slowdown of a power cap.

    begun: it was under way as the run began, and what is left of it counts. key, k: of the user and the attempt that
    head the batch, which name its draws.
    """
    if begun:
        return measured * pace * rest_of_noise(noise_kind, noise_shape, factors, seed, key, k) * slowdown
    return measured * pace * noise(noise_kind, noise_shape, factors, seed, SERVICE, key, k) * slowdown


@njit
def load_seconds(kind, a, b, seed, key, k):  # type: ignore[no-untyped-def]
    """How long a GPU takes to load a model before a batch; key, k: as for batch_seconds."""
    return sample(kind, a, b, seed, LOAD, key, k)
