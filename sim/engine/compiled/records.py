"""The compiled engine's records, byte by byte, and the places of its counters."""

import numpy as np

NOBODY = -1

# Outcomes of a request, as numbers.
NONE, SERVED, REFUSED, ABANDONED = range(4)

# What a person's record stands for: a life, or one scripted ask (with or without retries) of the account named in
# `more`; and what they are doing.
LIFE, SCRIPT, SCRIPT_AGAIN = range(3)
AWAY, WAITLISTED, WISHING, LEAVING = range(4)  # leaving: for good, with requests still in the service

# Somebody whose life goes on, or one scripted ask: a cache line, used again when it is over.
PERSON = np.dtype(
    [
        ("key", "i8"),
        ("since", "f8"),  # when the present wish began
        ("born", "f8"),  # the account
        ("admitted", "f8"),
        ("user", "i4"),
        ("limiter", "i4"),  # the first of as many rows as there are meters
        ("ask", "i4"),
        ("more", "i4"),  # wishes left today; of a scripted ask the account
        ("in_flight", "i4"),
        ("attempt", "i2"),
        ("day", "i2"),
        ("accounts", "i2"),
        ("tier", "i1"),
        ("feature", "i1"),
        ("images", "i1"),  # the place of the number of images in those the feature offers
        ("region", "i1"),
        ("kind", "i1"),
        ("status", "i1"),
    ]
)

# One attempt: a cache line.
REQUEST = np.dtype(
    [
        ("arrived", "f8"),
        ("dequeued", "f8"),  # to a GPU, or dropped, or taken out
        ("left", "f8"),
        ("user", "i4"),  # NOBODY: the record is free
        ("person", "i4"),  # the account
        ("wish", "i4"),  # the same, or the record of the scripted ask
        ("batch", "i4"),  # once STARTED; until then the one before it in its lane
        ("next", "i4"),  # in its lane, then in its batch
        ("first", "i4"),  # the row of its intent's first attempt
        ("ask", "i4"),
        ("attempt", "i2"),
        ("asked", "i2"),
        ("lane", "i2"),  # which says priority and spec; NOBODY: refused
        ("tier", "i1"),
        ("feature", "i1"),
        ("level", "i1"),
        ("reason", "i1"),
        ("outcome", "i1"),
        ("mark", "i1"),
    ]
)
# Marks: it was taken out of its lane, where its record still stands; its linger is over; its user will try again (or
# does not know yet that it was refused); its user was asked to come back for it; it is or was on a GPU; the end of its
# user's patience is on the calendar.
GONE, WAITED_OUT, RETRY, NOTIFIED, STARTED, TIMED = 1, 2, 4, 8, 16, 32

BATCH = np.dtype(
    [
        ("started", "f8"),
        ("seconds", "f8"),
        ("loading", "f8"),  # of these, at the start
        ("finished", "f8"),
        ("power", "f8"),  # the factor on its watts
        ("first", "i4"),
        ("gpu", "i4"),
        ("size", "i4"),
        ("taken", "i4"),
        ("pool", "i2"),
        ("spec", "i2"),
        ("fate", "i2"),  # see sim.model.losses
        ("version", "i2"),  # of its end: earlier ones on the calendar are void
    ],
    align=True,
)

# One of many requests on a GPU, beside its batch of one.
STAY = np.dtype(
    [
        ("share", "f8"),  # of the GPU's, when it joined
        ("first_token", "f8"),  # when it is made; nan: the pass has not yet been made
        ("tokens", "f8"),
        ("request", "i4"),
        ("person", "i4"),
    ]
)

# The same in the heap of its GPU.
MEMBER = np.dtype(
    [
        ("end", "f8"),  # passes of the GPU when it is through
        ("key", "i8"),  # the order of joining, then the number of the batch
    ]
)

# A GPU that runs many requests at once.
REPLICA = np.dtype(
    [
        ("passes", "f8"),  # made at `begun`, since the run began
        ("begun", "f8"),
        ("each", "f8"),  # seconds of a pass
        ("due", "f8"),  # passes at its next look
        ("share", "f8"),  # GPU-seconds that somebody who was always there would have had of it
        ("since", "f8"),  # the instant that `share` is of
        ("look", "i8"),  # the number of that look: earlier ones are void
        ("joined", "i8"),
        ("until", "f8"),  # the instant at which what it runs is stopped, if it is doomed
        ("doomed", "i4"),  # it is lost: nobody joins
        ("awaited", "i4"),  # whether there is a next look
        ("size", "i4"),  # images, or threads
        ("stays", "i4"),
        ("stepless", "i4"),  # of them, those who have made no step yet
    ],
    align=True,
)

# A person's row in the table of users.
PAST = np.dtype(
    [
        ("arrives", "f8"),
        ("admitted", "f8"),
        ("left", "f8"),
        ("invited_by", "i4"),
        ("source", "i2"),
        ("tier", "i1"),
        ("region", "i1"),
        ("newcomer", "i1"),
    ]
)

# A row of the request table that is kept where records are used again.
KEPT = np.dtype(
    [
        *[(name, REQUEST[name]) for name in REQUEST.names or ()],
        ("finished", "f8"),
        ("gpu_seconds", "f8"),
        ("first_token", "f8"),
        ("tokens", "f8"),
        ("spec", "i4"),
    ]
)


def law(name: str) -> list[tuple[str, str]]:
    """A law's three fields."""
    return [(f"{name}_kind", "i8"), (f"{name}_a", "f8"), (f"{name}_b", "f8")]


# One kind of behaviour (see sim.scenario.habits).
HABIT = np.dtype(
    [
        *law("count"),  # of requests a day: kind, mean, r
        ("count_most", "i8"),
        *[(name, "f8") for name in ("sigma", "heavy", "times", "loyalty", "break_chance")],
        *[field for name in ("think", "breaks", "patience", "notified", "waitlist", "backoff") for field in law(name)],
        ("retries", "i8"),
        *[
            (name, "f8")
            for name in ("growth", "longest", "after_refusal", "after_leaving", "hopeless", "second_account")
        ],
        *[(name, "f8") for name in ("churn", "churn_late", "regenerate", "pause")],
        ("returning", "i8"),  # whether anybody ever does
        ("leaving", "i8"),  # whether anybody does for good
        ("program", "i8"),
        ("feature", "i8"),
        ("standing", "i8"),  # see sim.model.standing
        ("first", "i8"),  # the feature that they wait for as the run begins
    ]
)

LANE = np.dtype([(name, "i8") for name in ("priority", "spec", "flow", "head", "tail", "waiting", "order")])

# Beside a lane where batches close by themselves: the one that requests join now, and the last one that has closed.
FORMER = np.dtype(
    [
        ("open", "i8"),  # requests in the former
        ("closes", "i8"),  # batches that have closed
        ("room", "i8"),  # images that the last one of these still takes
        ("first", "f8"),  # when the first request joined the open one
        ("closed", "f8"),  # when the last one closed
        ("came", "f8"),
    ]
)

# A request that a GPU was working on when its work was lost; where rows are recorded.
KILL = np.dtype([("request", "i4"), ("batch", "i4")])

CHUNK = 20  # moments
BUCKET = np.dtype([("head", "i4"), ("tail", "i4"), ("filled", "i4"), ("spare", "i4")])  # first and last of its chunks
MOMENT = np.dtype([("time", "f8"), ("code", "i8"), ("load", "i8")])
SOONER = np.dtype([("time", "f8"), ("code", "i8"), ("load", "i8"), ("seq", "i8")])

assert PERSON.itemsize == REQUEST.itemsize == 64


# Places in State.n, the counters.
PEOPLE, FREE_PEOPLE, USERS, REQUESTS, FREE_REQUESTS, BATCHES, FREE_BATCHES, LIMITERS, FREE_LIMITERS, KEPTS = range(10)
CURRENT, RUN_AT, RUN_END, SOON, SEQ, FREE_CHUNK, SPARE_CHUNKS, SLACK = range(10, 18)
ARRIVAL, ARRIVED, LINE_HEAD, LINE_TAIL, WAITING, GATE_OPEN, SIGNUPS, LET_IN, GAVE_UP_WAITING, CHURNED, INVITED = range(
    18, 29
)
DROPPED, TOLD, ACTIVE, KILLS = 29, 30, 31, 32  # told: of the dropped, those who have gone on
MOVING, LANES = 33, 34  # the first request of a queue that is dissolved; the most lanes of any queue
COUNTERS = 35

DELIVERED = -3  # in place of the attempt that a wish waits for: it has its image
PRESENT, FIRST = range(2)  # places in State.present
FORMED, TAKEN = range(2)  # places in State.forms

SWITCHED_OFF = -2  # in place of the model that a GPU served last
CLOSED = 1 << 30  # in place of what a GPU has taken: nobody may join

# Places in State.peaks, of each pool: when its queue last changed, how long it was at most, since when, and how much
# later it was empty again.
CHANGED, PEAK, PEAK_AT, DRAIN = range(4)
