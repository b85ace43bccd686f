"""The compiled engine's fleet: how many GPUs of a pool are in service, more or fewer at a control tick."""

from sim.compiled.gpus import go_idle
from sim.compiled.pools import serve
from sim.compiled.records import NOBODY, SWITCHED_OFF
from sim.jit import njit


@njit
def resize(s, c, pool, gpus, now):  # type: ignore[no-untyped-def]
    """So many GPUs of a pool are in service. The last in number go first, each after its batch.

    Who comes holds no model.
    """
    before, idle = s.gpus[pool], s.idle_count[pool]
    s.gpus[pool], s.idle_count[pool] = gpus, 0
    for place in range(idle):
        gpu = s.idle[pool, place]
        if gpu < gpus:
            go_idle(s, pool, gpu)
        else:
            s.loaded[pool, gpu] = SWITCHED_OFF
    for gpu in range(before, gpus):
        if s.loaded[pool, gpu] == SWITCHED_OFF:
            s.loaded[pool, gpu] = NOBODY
            serve(s, c, pool, gpu, now)
