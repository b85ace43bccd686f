"""Which scenario plays which system of the tables, and what no scenario can play."""

from collections.abc import Callable, Mapping
from typing import Any

from tests.studies.theory import surges, systems
from tests.studies.theory.params import NotExpressed, NotKnown, Params
from tests.studies.theory.systems import System

BUILDERS: dict[str, Callable[[Params, Mapping[str, float], str], System]] = {
    "M/M/c": systems.m_m_c,
    "M/M/c/c (=M/G/c/c)": systems.without_room,
    "M/M/c/K": systems.bounded,
    "M/M/c+M (Erlang-A)": systems.impatient,
    "M/D/1": systems.constant,
    "M/D/c": systems.constant,
    "M/G/1": systems.general,
    "M/M/c non-preemptive priority": systems.priority,
    "M/M/c non-preemptive priority, lowest class saturated": systems.priority,
    "M/G/1 non-preemptive priority": systems.general_priority,
    "M/M^[b]/1 bulk service (late joiners allowed)": systems.single,
    "M/M^(1,b)/1 bulk service (wait for next batch)": systems.bulk,
    "M/D(k)^(1,b)/1 dynamic batching": systems.dynamic_batching,
    "linger of an idle GPU": systems.lingering,
    "fluid rectangular surge": surges.rectangular,
    "fluid exponentially decaying surge": surges.decaying,
    "M_t/M/c": surges.by_period,
    "M_t/M/c+M": surges.by_period,
    "M/M/1 linear retrial": systems.retrial,
    "Little": systems.little,
    "GCRA / token bucket with Poisson arrivals": systems.token_bucket,
    "quota of N per window, Poisson demand": systems.quota,
    "retry amplification": systems.amplified,
    "retry budget": systems.budgeted,
}

CANNOT = {
    "M/G/1 preemptive-resume priority": "a batch on a GPU is never interrupted",
    "M/M/1 constant retrial": "each person retries on their own clock, so the retrial rate grows with their number",
    "APF shuffle sharding": "too rare to be seen in runs; a test of the deal checks that every hand is equally likely",
}


def built(name: str, params: Mapping[str, Any], metrics: Mapping[str, float], engine: str) -> System:
    """The system of this name. Raises NotExpressed where the model has no such system, NotKnown where nobody knows it.

    A parameter that the builder has not read is not simulated: the case is refused, since its figures would be wrong.
    """
    if name in CANNOT:
        raise NotExpressed(CANNOT[name])
    if name not in BUILDERS:
        raise NotKnown("no scenario is written for this system")
    read = Params(params)
    try:
        system = BUILDERS[name](read, metrics, engine)
    except NotExpressed:
        raise
    except KeyError as unknown:
        raise NotKnown(f"a parameter is missing, or the metric is not known: {unknown}") from None
    except (ArithmeticError, TypeError, ValueError) as wrong:
        raise NotKnown(f"a parameter cannot be used: {wrong}") from None
    if read.unread:
        raise NotKnown(f"the parameter {read.unread[0]!r} is not simulated")
    missing = set(metrics) - set(system.measures)
    if missing:
        raise NotKnown(f"the metric {min(missing)!r} is not measured; there are {', '.join(sorted(system.measures))}")
    return system
