"""The faults: one-line changes of rules, of both engines at once, and of figures, each with the tests that see it.

A fault made in both engines is invisible to tests that compare them, so none of these is relied on here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

Edit = tuple[str, str, str]  # a file of the package, a text that it has exactly once, and what stands there instead


@dataclass(frozen=True)
class Fault:
    """A fault in words; the edits that make it; and the test files of which one must fail."""

    name: str
    edits: Sequence[Edit]
    tests: Sequence[str]


def fault(name: str, tests: str, *edits: Edit) -> Fault:
    """tests: names of test files without 'test_' and '.py'."""
    return Fault(name, edits, [f"tests/test_{one}.py" for one in tests.split()])


DROPPING, DISPATCH, GATEWAY = "model/dropping.py", "model/dispatch.py", "model/gateway.py"
RETRY, CHOICES, CHANCE = "model/retry.py", "model/choices.py", "model/chance.py"
# The readable engine, and beside it the compiled one.
POOL, SERVICE = "engine/readable/pool.py", "engine/readable/service.py"
POOL_2, GPUS, SERVICE_2 = "engine/compiled/pool.py", "engine/compiled/gpus.py", "engine/compiled/service.py"
STORMS, METRICS, COSTS = "results/storms.py", "results/metrics.py", "results/costs.py"
INTENTS = "results/intents.py"
LATENCIES, THEORY = "results/latencies.py", "results/theory.py"

OF_RULES = [
    fault("CoDel forgets a spell after 8 intervals", "mechanisms", (DROPPING, "< 16 * interval", "< 8 * interval")),
    fault("folly's CoDel drops at the target", "rules", (DROPPING, "> 2.0 * target", "> target")),
    fault("expiry forgets the service time", "rules", (DROPPING, "(seconds if pool[FORESIGHT] > 0 else 0.0)", "0.0")),
    fault(
        "the sharing quantum is not divided by the heaviest weight",
        "mechanisms",
        ("model/sharing.py", "weights[flow] / heaviest", "weights[flow]"),
    ),
    fault(
        "last in, first out only within a lane",
        "mechanisms",
        (DISPATCH, "return earlier != (order == LIFO)", "return earlier"),
    ),
    fault(
        "shortest first is longest first",
        "mechanisms policies sharing",
        (DISPATCH, "return work < other_work", "return work > other_work"),
    ),
    fault(
        "work of the same priority is not ahead",
        "service scaling admission",
        (DISPATCH, "if lane_priority <= priority", "if lane_priority < priority"),
    ),
    fault("a full batch waits for one more", "service", (DISPATCH, "waiting_images >= full", "waiting_images > full")),
    fault(
        "a power cap slows nothing",
        "supply faults",
        (DISPATCH, "seed, SERVICE, key, k) * slowdown", "seed, SERVICE, key, k)"),
    ),
    fault("the token bucket holds one more", "rules", (GATEWAY, "(burst - 1.0) / rate", "burst / rate")),
    fault(
        "a rolling quota grants one more",
        "rules",
        (GATEWAY, "limiter[ROLL_USED] < quota", "limiter[ROLL_USED] <= quota"),
    ),
    fault(
        "a sliding quota grants one less",
        "rules",
        (GATEWAY, "limiter[NEXT_SLOT] - quota)", "limiter[NEXT_SLOT] - quota + 1)"),
    ),
    fault(
        "a sliding counter weighs the window before wrongly",
        "rules",
        (GATEWAY, "(1.0 - elapsed) + used", "elapsed + used"),
    ),
    fault(
        "one request more at once",
        "rules access",
        (GATEWAY, "in_flight >= knobs[CONCURRENCY]", "in_flight > knobs[CONCURRENCY]"),
    ),
    fault(
        "a ration grants one more",
        "rules admission adaptive",
        (GATEWAY, "granted >= knobs[RATION]", "granted > knobs[RATION]"),
    ),
    fault(
        "a limit lets one more in",
        "rules adaptive queueing",
        (GATEWAY, "inside >= knobs[LIMIT]", "inside > knobs[LIMIT]"),
    ),
    fault(
        "a bounded queue has room for one more",
        "rules queueing",
        (GATEWAY, "queued >= knobs[QUEUE]", "queued > knobs[QUEUE]"),
    ),
    fault(
        "without room for a queue, an idle GPU takes nobody",
        "queueing",
        (GATEWAY, "return -1 if queued == 0 and idle > 0 else queued", "return queued"),
    ),
    fault(
        "regions do not matter to a roll-out",
        "access",
        (GATEWAY, "METERS * accounts) / region_open", "METERS * accounts)"),
    ),
    fault(
        "a user who is shed is drawn again each second",
        "admission rules",
        (GATEWAY, "math.floor(now / sticky)", "math.floor(now)"),
    ),
    fault("a retry budget spends half a token", "mechanisms", (RETRY, "tokens < 1.0", "tokens < 0.5")),
    fault(
        "hopeless refusals are retried as any other",
        "users clients",
        (RETRY, "when_hopeless if reason in HOPELESS else after_refusal", "after_refusal"),
    ),
    fault("pauses do not grow", "users clients", (RETRY, "growth ** float(attempt)", "growth")),
    fault("decorrelated jitter grows too slowly", "clients", (RETRY, "(3.0 * pause - base)", "(2.0 * pause - base)")),
    fault("retry-after is not spread", "clients", (RETRY, "retries[AFTER] + retries[SPREAD] * u", "retries[AFTER]")),
    fault("late images drive nobody away", "users", (CHOICES, "churn_late if late else 0.0", "0.0")),
    fault("every image is asked for once more", "users", (CHOICES, "served and level > 0 and", "served and")),
    fault(
        "degraded images are shared as any other",
        "word_of_mouth",
        (CHOICES, "(when_degraded if level > 0 else 1.0)", "1.0"),
    ),
    fault("noise is not of mean 1", "chance", (CHANCE, "entity, k) - 0.5 * sigma * sigma", "entity, k)")),
    fault("Weibull has the inverse shape", "chance", (CHANCE, "** (1.0 / b)", "** b")),
]

OF_BOTH_ENGINES = [
    fault(
        "a batch that is filled up is charged to the flow of its head",
        "mechanisms",
        (POOL, "self.deficits[request.flow] -=", "self.deficits[lane.flow] -="),
        (POOL_2, "s.deficits[pool, lane.flow] -=", "s.deficits[pool, s.lanes[pool, place].flow] -="),
    ),
    fault(
        "an attempt is still marked as retried after a late image",
        "mechanisms",
        (SERVICE, "present.retry = False", "present.retry = True"),
        (SERVICE_2, "other.mark &= ~RETRY", "other.mark |= RETRY"),
    ),
    fault(
        "a power cap saves no watts",
        "mechanisms",
        (SERVICE, "float(pool.knobs[POWER])", "1.0"),
        (GPUS, "batch.power = s.pool_knobs[pool, POWER]", "batch.power = 1.0"),
    ),
]

OF_FIGURES = [
    fault("one good bin ends a storm", "storms", (STORMS, "PATCH = 3", "PATCH = 1")),
    fault("eight of ten are recovered", "storms overload", (STORMS, "HEALTHY = 0.9 ", "HEALTHY = 0.8 ")),
    fault(
        "an image is in time however late it is",
        "metrics",
        (INTENTS, '"in_time": served & (latency <= slo)', '"in_time": served & (latency < math.inf)'),
    ),
    fault("a pool without a queue is saturated", "metrics", (METRICS, "& (queued >= 1 - ROUNDING)", "")),
    fault("GPUs that idle cost nothing", "costs", (COSTS, "joules += sum(", "joules += 0 * sum(")),
    fault(
        "latencies are a rank too low",
        "metrics",
        (LATENCIES, "math.ceil(q * len(values)) - 1", "math.ceil(q * len(values)) - 2"),
    ),
    fault(
        "retries come on top of twice their number",
        "theory storms",
        (STORMS, "capacity / (1 + retries)", "capacity / (1 + 2 * retries)"),
    ),
]

FAULTS = [*OF_RULES, *OF_BOTH_ENGINES, *OF_FIGURES]
