"""The scalar rules of flows that share a pool: dealt to users (shuffle sharding), served by deficit round robin."""

from sim.model.jit import njit
from sim.model.knobs import BY_USER, HAND, MOST_FLOWS, QUEUES, SHARING
from sim.model.streams import DEAL, draw

TURN = MOST_FLOWS  # the index, behind the deficits of all flows, of the flow whose turn it is
DEAL_BITS = 2.0**53  # the number of values of the hash that deals


@njit
def dealt(u, queues, hand, waiting):  # type: ignore[no-untyped-def]
    """The flow that a user's request joins: the one with the fewest waiting requests of the hand dealt to that user.

    u: a uniform draw, the user's; waiting: requests by flow. Shuffle sharding as in the Kubernetes API server (KEP
    1040, dealer.go): the hand is the digits of a hash in falling bases, each moved past those before it.
    """
    value = int(u * DEAL_BITS)
    best = -1
    for place in range(hand):
        card = value % (queues - place)
        value //= queues - place
        for earlier in range(place, 0, -1):
            before = int(u * DEAL_BITS)
            for skipped in range(earlier - 1):
                before //= queues - skipped
            if card >= before % (queues - earlier + 1):
                card += 1
        if best < 0 or waiting[card] < waiting[best]:
            best = card
    return best


@njit
def flow_of(pool, flow, weight, seed, key, waiting):  # type: ignore[no-untyped-def]
    """The flow that a request joins in a pool that flows share, and that flow's weight.

    pool: its knobs; flow, weight: of the request's tier and feature; key: of its user, where users are dealt out.
    """
    if pool[SHARING] == BY_USER:
        return dealt(draw(seed, DEAL, key, 0), int(pool[QUEUES]), int(pool[HAND]), waiting), 1.0
    return int(flow), weight


@njit
def whose_turn(deficits, weights, ready, waiting, flows, quantum):  # type: ignore[no-untyped-def]
    """The flow that is served next: deficit round robin (Shreedhar and Varghese 1995), as in Linux's sch_fq_codel.

    A flow is served while its deficit, in GPU-seconds, is above 0; then it gets its weight's share of a quantum, and
    the turn goes on. A flow with an empty queue loses its deficit. ready: by flow, below 0 where no request of it can
    be served now; some flow is ready. Called again, with nothing served meanwhile, it gives the same flow.
    """
    heaviest = 0.0
    for flow in range(flows):
        if ready[flow] >= 0:
            heaviest = max(heaviest, weights[flow])
    while True:
        flow = int(deficits[TURN])
        if flow < flows:
            if waiting[flow] == 0:
                deficits[flow] = 0.0
            elif ready[flow] >= 0:
                if deficits[flow] > 0.0:
                    return flow
                deficits[flow] += quantum * weights[flow] / heaviest
        deficits[TURN] = flow + 1 if flow + 1 < flows else 0
