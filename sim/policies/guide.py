"""What each policy protects, what it costs and when it fails, in a planner's words; and settings to see it at work."""

from dataclasses import dataclass, field
from typing import Any

from sim.errors import BadInput
from sim.policies import KINDS
from sim.policies.playbook import Step


@dataclass(frozen=True)
class Advice:
    """One policy. settings: its fields on the shipped scenario 'surge'; what is not given is its default."""

    family: str
    protects: str
    costs: str
    fails: str
    settings: dict[str, Any] = field(default_factory=dict)
    claims: bool = False  # to keep goodput up under any load: so it is tested on it ('meltpoint policies --loads')


QUICK_LEARNER = {"pool": "gpus", "window": "10 s"}

ADVICE = {
    # Who may use a feature at all.
    "feature gate": Advice(
        "access",
        "everything behind it, at no GPU time",
        "whoever is kept out",
        "opened too fast, all come at once",
        {"tiers": ["free"], "open": "30 %"},
    ),
    "roll-out": Advice(
        "access",
        "a launch: more people are let in only while all is well",
        "those who wait for their turn",
        "a step that is too large, or steps that come faster than trouble shows",
        {"tiers": ["free"], "pool": "gpus", "every": "10 min"},
    ),
    "region gate": Advice(
        "access",
        "the service, region by region",
        "everybody in the regions that are closed",
        "people who travel, or say they do",
        {"open": {"americas": "0 %"}},
    ),
    "waitlist": Advice(
        "access",
        "the service from signups",
        "newcomers, some for good",
        "when demand comes from people who are in already",
        {"rate": "8 per second"},
    ),
    "waiting room": Advice(
        "access",
        "the service from more people than it can hold at once",
        "newcomers, who wait outside",
        "when those inside ask for more than they used to; people who come back do not pass it",
        {"total_active": 600, "new_per_minute": 540},
    ),
    # What one user may use.
    "rate limit": Advice(
        "limits",
        "users from each other",
        "the busy ones",
        "it does not bound their sum: a million newcomers have a million bursts",
        {"rate": "1 per 10 min"},
    ),
    "quota": Advice(
        "limits",
        "cost, and the service from heavy users",
        "heavy users, on good days too",
        "for the first hours, until people have used theirs up; at midnight, when they reset",
        {"requests": 1},
    ),
    "concurrency": Advice(
        "limits", "the queue from scripts", "those who ask for several at once", "where everybody asks for one"
    ),
    "limit": Advice(
        "limits",
        "latency: what is inside a pool is bounded",
        "refusals at a burst",
        "where the limit is guessed wrongly: too low idles GPUs, too high protects nothing",
        {"requests": 200},
        claims=True,
    ),
    "aimd": Advice(
        "limits",
        "latency, where capacity is not known",
        "some goodput while it learns, and a saw-tooth for ever",
        "pools that batch (latency grows with the batch), few images a window",
        {**QUICK_LEARNER, "timeout": "20 s"},
        claims=True,
    ),
    "vegas": Advice(
        "limits",
        "latency, where capacity is not known, by the least latency seen",
        "some goodput while it learns",
        "a least latency measured under load; pools that batch",
        {**QUICK_LEARNER, "probe": None},
        claims=True,
    ),
    "gradient2": Advice(
        "limits",
        "latency, where capacity is not known, by the long run's",
        "some goodput while it learns",
        "long overload, which becomes what it takes as usual",
        QUICK_LEARNER,
        claims=True,
    ),
    "envoy gradient": Advice(
        "limits",
        "latency, where capacity is not known, by measuring it with next to nobody inside",
        "goodput while it measures: nearly everybody is refused",
        "a measurement in the midst of a surge",
        QUICK_LEARNER,
        claims=True,
    ),
    # What the service takes on.
    "queue bound": Advice(
        "shedding",
        "patience: nobody waits longer than bound / capacity",
        "refusals at a burst",
        "above capacity x (patience - service): then what is served has been given up",
        {"requests": 500},
        claims=True,
    ),
    "wait bound": Advice(
        "shedding",
        "patience, in seconds",
        "refusals at a burst",
        "where the work queued is misjudged",
        {"longest": "30 s"},
        claims=True,
    ),
    "shed": Advice(
        "shedding",
        "the service from retries too, if people are told not to try again",
        "a share of everybody, needed or not",
        "without 'final', people who try again at once undo it; a share that is too small",
        {"share": "60 %", "final": True},
    ),
    "random early": Advice(
        "shedding",
        "the queue, before it is long: a few are refused at random, more the longer it is",
        "some requests that would have been served",
        "ticks longer than the queue takes to fill: at ten times the load it swings between all and nobody",
        {"pool": "gpus", "low": "5 s", "high": "40 s"},
    ),
    "priority shedding": Advice(
        "shedding",
        "the important tiers, in order",
        "the others, gradually (a cubic curve)",
        "scores that everybody claims",
        {"pool": "gpus", "tiers": {"plus": 10, "free": 90}, "begins": "5 s", "full": "40 s"},
        claims=True,
    ),
    "reserved share": Advice(
        "shedding",
        "critical tiers: the last fifth of the pool is theirs",
        "the others, at 80 % use",
        "small pools, whose use jumps; a burst between two control ticks",
        {"pool": "gpus", "tiers": ["free"]},
    ),
    "utilisation shedding": Advice(
        "shedding",
        "critical tiers, ramping up and down",
        "the others, for as long as it ramps down",
        "an autoscaler that waits for utilisation",
        {"pool": "gpus", "tiers": ["plus", "free"]},
    ),
    "dagor": Advice(
        "shedding",
        "the wait, by refusing whole users for an hour instead of single requests of all",
        "the same users, all hour",
        "surges: it lets in 5 % less a window, so ten times the load takes three quarters of an hour; few users",
        {"tiers": ["plus", "free"]},
    ),
    "admission control": Advice(
        "shedding",
        "a failing service",
        "a share of everybody",
        "above five times capacity (it refuses 80 % at most); behind a queue bound, which hides failures",
    ),
    # The queue.
    "last in first out": Advice(
        "queue",
        "goodput under overload: some get theirs in time",
        "who came first waits longest",
        "patient people, and anybody's sense of fairness",
        claims=True,
    ),
    "adaptive lifo": Advice(
        "queue",
        "goodput under overload, and everybody's place while all is well",
        "who came first waits longest, during the surge",
        "patient people, whose turn comes after the surge",
        {"pool": "gpus", "above": "10 s"},
        claims=True,
    ),
    "controlled delay": Advice(
        "queue",
        "freshness: after a while with a queue, requests expire soon",
        "bursts that outlast it",
        "bounds longer than people's patience",
        {"pool": "gpus", "short": "8 s", "long": "40 s"},
        claims=True,
    ),
    "expiry": Advice(
        "queue",
        "GPU time from images nobody waits for",
        "those who would have waited on",
        "without foresight: who is on the edge is served, and comes too late",
        {"after": "50 s"},
        claims=True,
    ),
    "codel": Advice(
        "queue",
        "the wait, where bursts are to be let through",
        "those dropped after having waited",
        "the standard's kind against people who do not slow down",
        {"target": "4 s", "interval": "40 s"},
        claims=True,
    ),
    # Who is served first.
    "priority": Advice(
        "sharing",
        "paying users, even from endless free demand",
        "everybody else",
        "once the paid load itself is near capacity",
        {"first": ["plus"]},
    ),
    "weighted sharing": Advice(
        "sharing",
        "each tier's share of the GPUs, by weight; what one leaves idle the others use",
        "the surging tier waits for itself",
        "a surge within a tier: it does not bound the queue",
        {"weights": {"plus": 1, "free": 1}},
    ),
    "fair per user": Advice(
        "sharing",
        "the many from a few who flood the queue",
        "the few",
        "a crowd in which everybody asks for little",
    ),
    "shortest first": Advice(
        "sharing",
        "the mean wait: cheap requests go first",
        "dear requests, perhaps for ever",
        "where all cost the same",
    ),
    # Serving less.
    "degrade": Advice(
        "quality",
        "everybody, with less",
        "quality, and what is asked for again because of it",
        "where the cheap image is not cheap enough: load x cost must fall under capacity",
    ),
    "degrade under load": Advice(
        "quality",
        "everybody, with less, while it must be",
        "quality, only while the queue is long",
        "where the cheap image is not cheap enough; bounds close together make it flap",
        {"pool": "gpus", "above": "20 s", "below": "4 s", "calm": "2 min"},
    ),
    "brownout": Advice(
        "quality",
        "latency, with as many full images as it allows",
        "quality, now and then",
        "where waiting is all of the latency it swings; less must still be cheap enough",
        {"set_point": "20 s"},
    ),
    "cascade": Advice(
        "quality",
        "capacity: a light model answers first, a heavy one only where that is not good enough",
        "the time of the light model for what is made again",
        "hard prompts, which all go on to the heavy model",
        {"light": 1, "heavy": 0, "threshold": 0.02},
    ),
    "approximate cache": Advice(
        "quality",
        "capacity: what is like an earlier image skips steps",
        "variety",
        "when a new style goes viral, nothing is in the cache",
        {"hits": "40 %", "level": 1},
    ),
    # What clients do.
    "retry budget": Advice(
        "clients",
        "against retry storms, whatever their cause",
        "a retry that would have helped, in a real outage",
        "nothing but retries: first asks may still be too many",
    ),
    "backoff": Advice(
        "clients",
        "against retries that come together",
        "those who come back later than they could",
        "long overload: each wish still makes all its attempts",
        {"pause": "full jitter", "base": "30 s", "cap": "10 min"},
    ),
    "retry after": Advice(
        "clients",
        "the minutes after a refusal",
        "people who leave instead",
        "without spread all come back at the same instant",
        {"after": "5 min", "spread": "5 min"},
    ),
    "circuit breaker": Advice(
        "clients",
        "a failing service, which gets a pause",
        "everybody, also those who would have been served",
        "overload in part: it is all or nothing",
    ),
    "adaptive throttle": Advice(
        "clients",
        "a service whose clients refuse themselves",
        "a few successes even in good times, at k near 1",
        "per person: it needs many requests to judge by",
        {"k": 1.1},
    ),
    # How many GPUs there are.
    "hpa": Advice(
        "supply",
        "capacity, as the load asks for it",
        "GPUs, also after the surge; minutes until they are there",
        "surges faster than provisioning; a metric that is full at 100 %; shedding, which hides demand",
        {"pool": "gpus", "most": 160, "utilisation": "70 %"},
    ),
    "step scaling": Advice(
        "supply",
        "capacity, in steps that a planner has chosen",
        "GPUs, also after the surge; minutes until they are there",
        "steps too small for the surge",
        {
            "pool": "gpus",
            "most": 160,
            "expected_wait": [{"above": "10 s", "gpus": 32}, {"below": "2 s", "gpus": 16}],
        },
    ),
    "scheduled capacity": Advice(
        "supply",
        "a launch whose hour is known",
        "GPUs that idle if nobody comes",
        "when everybody comes an hour earlier",
        {"pool": "gpus", "gpus": 128},
    ),
    "move gpus": Advice(
        "supply",
        "one pool with another's GPUs",
        "the other pool",
        "models that take minutes to load; two surges at once",
        {"from": "research", "to": "gpus", "gpus": 32, "moving": "2 min"},
    ),
    "failures": Advice(
        "faults",
        "nothing: it takes GPUs away as breakdowns do",
        "capacity",
        "where the fleet has nothing to spare: then it can begin a storm of retries",
        {"pool": "gpus", "mtbf": "20 h", "mttr": "1 h"},
    ),
    "power cap": Advice(
        "faults",
        "the power contract",
        "speed, just when it is needed",
        "with retries it can begin a storm",
        {"cap": "70 %"},
    ),
    "thermal throttling": Advice(
        "faults",
        "GPUs from melting",
        "speed, after minutes of full load",
        "with retries it can begin a storm",
        {"pool": "gpus"},
    ),
}


def advice(kind: str) -> Advice:
    """What there is to say of one policy. Raises BadInput for a kind that there is not."""
    if kind not in ADVICE:
        raise BadInput("there is no such policy", key="name", value=kind, expected=", ".join(ADVICE))
    return ADVICE[kind]


def example(kind: str) -> Step:
    """The policy with the settings of its advice, from the start on."""
    return Step.model_validate({"policy": {"kind": kind, **advice(kind).settings}})


def first_words(kind: str) -> str:
    """The first sentence of the docstring of a policy's class."""
    return str(KINDS[kind].__doc__).split("\n\n")[0].replace("\n    ", " ").strip()


def table_rows() -> list[str]:
    """The rows of the table in docs/policies.md."""
    return [f"| `{kind}` | {a.protects} | {a.costs} | {a.fails} |" for kind, a in ADVICE.items()]
