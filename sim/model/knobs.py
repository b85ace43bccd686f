"""The table of knobs: every setting of the gateway, of a pool and of retries, with its default, its unit and its range.

A constant such as RATE is the index of a knob in a row of values. It is a plain integer, which numba compiles in.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

from sim.errors import BadInput

Unit = Literal[
    "share",  # 0 to 1
    "yes or no",  # 1 or 0
    "seconds",
    "per second",
    "requests",
    "retries",
    "GPUs",
    "people per second",
    "times",  # a factor
    "",  # a number without a unit, or one of a few choices
]


@dataclass(frozen=True)
class Knob:
    """One setting. Values are kept as float64; one of a few choices is kept as its index."""

    name: str
    default: float
    unit: Unit
    about: str
    scaled: bool = False  # it counts something of the whole service, so a slice gets its part
    whole: bool = False  # a whole number, or unlimited where the default is
    positive: bool = False  # above 0 and finite
    most: float = math.inf  # the largest value that may be set
    choices: tuple[str, ...] = ()
    unset: str = "no limit"  # the value inf in words

    def number(self, value: float | str, scale: float = 1.0) -> float:
        """The value to keep for a value of the whole service. Raises BadInput for one that the knob cannot have."""
        if self.choices:
            if value not in self.choices:
                raise self.refused(value, ", ".join(self.choices))
            return float(self.choices.index(str(value)))
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if self.positive and not 0 < number < math.inf:
            raise self.refused(value, "a finite number above 0")
        if not number >= 0:
            raise self.refused(value, "a number of 0 or more")
        if self.whole and not (number.is_integer() or number == self.default == math.inf):
            raise self.refused(value, "a whole number")
        most = 1.0 if self.unit in ("share", "yes or no") else self.most
        if number > most and number != self.default:
            raise self.refused(value, f"at most {most:g}")
        if not self.scaled:
            return number
        return float(round(number * scale)) if self.unit == "GPUs" and number < math.inf else number * scale

    def refused(self, value: object, expected: str) -> BadInput:
        return BadInput("a knob cannot be set to that", key=self.name, value=value, expected=expected)


@dataclass
class Table:
    """Knobs that are set together: a row of values has one for each, in the order in which they are added here."""

    of: str  # what has these knobs
    knobs: list[Knob] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)  # the index of each by its name

    def add(self, knob: Knob) -> int:
        """Add a knob. Returns its index."""
        self.knobs.append(knob)
        return self.places.setdefault(knob.name, len(self.knobs) - 1)

    def __len__(self) -> int:
        return len(self.knobs)

    @property
    def names(self) -> list[str]:
        return [knob.name for knob in self.knobs]

    @property
    def defaults(self) -> tuple[float, ...]:
        return tuple(knob.default for knob in self.knobs)

    def index(self, name: str) -> int:
        """The index of a knob. Raises BadInput for a name that is not in this table."""
        if name in self.places:
            return self.places[name]
        raise BadInput(f"{self.of} has no such knob", key=name, expected=", ".join(self.names))


# Of the gateway, for each tier and feature, in the order in which it asks. inf switches a limit off.
QUOTA_KINDS = ("calendar", "rolling", "sliding", "sliding counter")
CALENDAR, ROLLING, SLIDING, COUNTER = range(4)
SLIDING_SLOTS = 16  # instants that a sliding quota can remember, so the largest such quota
MOST_FLOWS = 256  # of one pool

KNOBS = Table("the gateway")
OPEN = KNOBS.add(Knob("open", 1.0, "share", "users of the tier for whom the feature is open"))
MIN_AGE = KNOBS.add(Knob("min_age", 0.0, "seconds", "time since signup below which it stays closed"))
RATE = KNOBS.add(Knob("rate", math.inf, "per second", "requests that a user may keep up"))
BURST = KNOBS.add(Knob("burst", 1.0, "requests", "that a rested user may make at once", whole=True, positive=True))
QUOTA = KNOBS.add(Knob("quota", math.inf, "requests", "that a user may make in a window", whole=True))
WINDOW = KNOBS.add(Knob("window", 86400.0, "seconds", "length of that window", positive=True))
KIND = KNOBS.add(Knob("kind", CALENDAR, "", "how that window runs", choices=QUOTA_KINDS))
CONCURRENCY = KNOBS.add(Knob("concurrency", math.inf, "requests", "of one user in the service at once"))
QUEUE = KNOBS.add(Knob("queue", math.inf, "requests", "waiting in the pool at which a new one is refused", scaled=True))
WAIT = KNOBS.add(Knob("wait", math.inf, "seconds", "expected wait above which a request is refused"))
SHED = KNOBS.add(Knob("shed", 0.0, "share", "requests refused at random"))
LEVEL = KNOBS.add(Knob("level", 0.0, "", "how far down the feature's ladder of specs; 0 is as asked", whole=True))
PRIORITY = KNOBS.add(Knob("priority", 0.0, "", "lanes with a lower number are served first", whole=True))
LIMIT = KNOBS.add(Knob("limit", math.inf, "requests", "in the pool at which a new one is refused", scaled=True))
FINAL = KNOBS.add(Knob("final", 0.0, "yes or no", "whether users who are shed are asked not to try again"))
RATION = KNOBS.add(Knob("ration", math.inf, "requests", "granted until the next control tick", scaled=True))
STICKY = KNOBS.add(Knob("sticky", 0.0, "seconds", "time for which a user keeps one draw of 'shed'; 0: none"))
MIXED = KNOBS.add(Knob("mixed", 0.0, "share", "requests that are served at the level 'other' instead of 'level'"))
OTHER = KNOBS.add(Knob("other", 0.0, "", "that level", whole=True))
FLOW = KNOBS.add(Knob("flow", 0.0, "", "the flow that requests join", whole=True, most=MOST_FLOWS - 1))
WEIGHT = KNOBS.add(Knob("weight", 1.0, "", "the share of that flow, relative to the weights of others", positive=True))
UNLIMITED = KNOBS.defaults

# Of a pool: how its queue is served, what is dropped when its turn comes, and its GPUs.
ORDERS = ("first in first out", "last in first out", "shortest first")
FIFO, LIFO, SHORTEST = range(3)
CODELS = ("off", "codel", "folly")
SHARINGS = ("off", "flows", "users")
NO_SHARING, BY_FLOW, BY_USER = range(3)
MOST_GPUS = 1_000_000  # in service, of one pool

POOL_KNOBS = Table("a pool")
ORDER = POOL_KNOBS.add(Knob("order", FIFO, "", "in which a lane is served", choices=ORDERS))
EXPIRE = POOL_KNOBS.add(Knob("expire", math.inf, "seconds", "wait after which a request is dropped at its turn"))
FORESIGHT = POOL_KNOBS.add(Knob("foresight", 0.0, "yes or no", "whether its service time counts as waited"))
CODEL = POOL_KNOBS.add(Knob("codel", 0.0, "", "the kind of CoDel that drops requests", choices=CODELS))
TARGET = POOL_KNOBS.add(Knob("target", 1.0, "seconds", "queueing delay that CoDel defends", positive=True))
INTERVAL = POOL_KNOBS.add(Knob("interval", 10.0, "seconds", "time for which it may be exceeded", positive=True))
SHARING = POOL_KNOBS.add(Knob("sharing", NO_SHARING, "", "between whom GPU time is shared evenly", choices=SHARINGS))
QUEUES = POOL_KNOBS.add(Knob("queues", 128.0, "", "flows in all", whole=True, positive=True, most=MOST_FLOWS))
HAND = POOL_KNOBS.add(Knob("hand", 6.0, "", "flows that one user is dealt", whole=True, positive=True))
FLEET = POOL_KNOBS.add(
    Knob("fleet", math.inf, "GPUs", "in service", scaled=True, most=MOST_GPUS, unset="the scenario's")
)
SLOWDOWN = POOL_KNOBS.add(Knob("slowdown", 1.0, "times", "the seconds of a batch", positive=True))
POWER = POOL_KNOBS.add(Knob("power", 1.0, "times", "the watts of a batch", positive=True))
LOST = POOL_KNOBS.add(Knob("lost", 0.0, "GPUs", "lost so far with what they run: an increase is a loss", scaled=True))
NOTICE = POOL_KNOBS.add(Knob("notice", 0.0, "seconds", "from such a loss until what still runs is stopped"))
PLAIN_POOL = POOL_KNOBS.defaults

# Of everybody's retries.
BUDGETS = ("off", "success", "first attempt")
NO_BUDGET, PER_SUCCESS, PER_FIRST = range(3)
BACKOFFS = ("own", "none", "exponential", "full jitter", "equal jitter", "decorrelated jitter")
OWN, AT_ONCE, EXPONENTIAL, FULL_JITTER, EQUAL_JITTER, DECORRELATED = range(6)

RETRY_KNOBS = Table("the retry rule")
BUDGET = RETRY_KNOBS.add(Knob("budget", NO_BUDGET, "", "what pays for retries", choices=BUDGETS))
RATIO = RETRY_KNOBS.add(Knob("ratio", 0.0, "retries", "that each success, or each first attempt, pays for"))
BUCKET = RETRY_KNOBS.add(Knob("bucket", 0.0, "retries", "that can be saved up", scaled=True))
MOST = RETRY_KNOBS.add(Knob("most", math.inf, "retries", "of one wish, whatever its user would do"))
BACKOFF = RETRY_KNOBS.add(Knob("backoff", OWN, "", "the kind of pause before a retry", choices=BACKOFFS))
BASE = RETRY_KNOBS.add(Knob("base", 1.0, "seconds", "the first pause, or its mean or bound"))
CAP = RETRY_KNOBS.add(Knob("cap", 60.0, "seconds", "longest pause"))
AFTER = RETRY_KNOBS.add(Knob("after", 0.0, "seconds", "shortest pause that a refused user is asked to make"))
SPREAD = RETRY_KNOBS.add(Knob("spread", 0.0, "seconds", "added to it at random, at most"))
FREE_RETRIES = RETRY_KNOBS.defaults

# Of a region, and of the waitlist: one value each.
REGION_OPEN = Knob("open", 1.0, "share", "users of the region for whom the service is open")
SIGNUP_RATE = Knob("signup_rate", math.inf, "people per second", "let in from the waitlist", scaled=True)


def decided_name(knob: Knob, *, pool: str = "", region: str = "") -> str:
    """The name of a knob in the decision table: 'limit', 'gpus: order', 'europe: open', 'retry bucket'."""
    if pool or region:
        return f"{pool or region}: {knob.name}"
    return f"retry {knob.name}" if knob in RETRY_KNOBS.knobs else knob.name


def knob_called(name: str) -> Knob:
    """The knob of a name in the decision table: the inverse of `decided_name`."""
    whose, _, own = name.rpartition(": ")
    if whose:
        return REGION_OPEN if own == REGION_OPEN.name else POOL_KNOBS.knobs[POOL_KNOBS.index(own)]
    if name.startswith("retry "):
        return RETRY_KNOBS.knobs[RETRY_KNOBS.index(name.removeprefix("retry "))]
    return SIGNUP_RATE if name == SIGNUP_RATE.name else KNOBS.knobs[KNOBS.index(name)]
