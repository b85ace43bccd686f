"""The knobs of the service by name and place: of the gateway, of each pool, and of everybody's retries.

Knobs of one (tier, feature), of one pool, and of retries are a float64 row each, indexed by the names below.
"""

import math

# Of the gateway, in the order in which it asks. inf switches a limit off.
OPEN, MIN_AGE, RATE, BURST, QUOTA, WINDOW, KIND, CONCURRENCY, QUEUE, WAIT, SHED, LEVEL, PRIORITY, LIMIT, FINAL = range(
    15
)
RATION, STICKY, MIXED, OTHER, FLOW, WEIGHT = range(15, 21)
KNOBS = (
    "open",  # share of the users of this tier for whom the feature is open, 0 to 1
    "min_age",  # seconds since signup below which it stays closed
    "rate",  # requests per second that a user may keep up
    "burst",  # requests a rested user may make at once
    "quota",  # requests a user may make in a window
    "window",  # that window's length, seconds
    "kind",  # how the window runs: one of QUOTA_KINDS
    "concurrency",  # requests of one user in the service at once
    "queue",  # requests waiting in the pool at which a new one is refused
    "wait",  # expected wait in seconds above which a request is refused
    "shed",  # share of requests refused at random, 0 to 1
    "level",  # how far down the feature's ladder of specs, 0 is as asked
    "priority",  # 0 is served first
    "limit",  # requests in the pool, waiting or being served, at which a new one is refused
    "final",  # 1: who is shed is told not to try again
    "ration",  # requests granted until the next control tick, at which a new one is refused
    "sticky",  # seconds for which the draw of who is shed is a user's own; 0: each request has its draw
    "mixed",  # share of what users want that is served at the level 'other' instead of 'level'
    "other",  # that level
    "flow",  # the number of the flow that requests are in, where flows share a pool
    "weight",  # the share of a pool that their flow has, next to the weights of others
)
UNLIMITED = (
    1.0,
    0.0,
    math.inf,
    1.0,
    math.inf,
    86400.0,
    0.0,
    math.inf,
    math.inf,
    math.inf,
    0.0,
    0.0,
    0.0,
    math.inf,
    0.0,
    math.inf,
    0.0,
    0.0,
    0.0,
    0.0,
    1.0,
)

CALENDAR, ROLLING, SLIDING, COUNTER = range(4)
QUOTA_KINDS = ("calendar", "rolling", "sliding", "sliding counter")
SLIDING_SLOTS = 16  # instants a sliding quota can remember, so the largest such quota

# Of a pool: how its queue is served, what is dropped from it when its turn has come, and its GPUs.
ORDER, EXPIRE, FORESIGHT, CODEL, TARGET, INTERVAL, SHARING, QUEUES, HAND, FLEET, SLOWDOWN, POWER = range(12)
POOL_KNOBS = (
    "order",  # one of ORDERS
    "expire",  # seconds after which a request is dropped when its turn comes
    "foresight",  # 1: its service time counts as waited
    "codel",  # one of CODELS
    "target",  # the queueing delay that CoDel defends, seconds
    "interval",  # for how long it may be exceeded, seconds
    "sharing",  # one of SHARINGS
    "queues",  # flows that users are dealt out to, where they share
    "hand",  # of them the flows that one user's requests may be in
    "fleet",  # GPUs in service; inf: as many as the scenario gives the pool
    "slowdown",  # what the seconds of a batch are multiplied by
    "power",  # what the watts of a batch are multiplied by
)
PLAIN_POOL = (0.0, math.inf, 0.0, 0.0, 1.0, 10.0, 0.0, 128.0, 6.0, math.inf, 1.0, 1.0)
ORDERS = ("first in first out", "last in first out", "shortest first")
FIFO, LIFO, SHORTEST = range(3)
CODELS = ("off", "codel", "folly")
SHARINGS = ("off", "flows", "users")
NO_SHARING, BY_FLOW, BY_USER = range(3)
MOST_FLOWS = 256  # of one pool

# Of everybody's retries.
BUDGET, RATIO, BUCKET, MOST, BACKOFF, BASE, CAP, AFTER, SPREAD = range(9)
RETRY_KNOBS = (
    "budget",  # one of BUDGETS
    "ratio",  # retries that each success, or each first attempt, pays for
    "bucket",  # retries that can be saved up
    "most",  # retries of one wish at most, whatever its user would do
    "backoff",  # one of BACKOFFS: the pause before a retry
    "base",  # seconds: the first pause, or its mean or bound
    "cap",  # seconds: no pause is longer
    "after",  # seconds: what who is refused is told to wait at least
    "spread",  # seconds: up to so much longer, at random
)
FREE_RETRIES = (0.0, 0.0, 0.0, math.inf, 0.0, 1.0, 60.0, 0.0, 0.0)
BUDGETS = ("off", "success", "first attempt")
NO_BUDGET, PER_SUCCESS, PER_FIRST = range(3)
BACKOFFS = ("own", "none", "exponential", "full jitter", "equal jitter", "decorrelated jitter")
OWN, AT_ONCE, EXPONENTIAL, FULL_JITTER, EQUAL_JITTER, DECORRELATED = range(6)
