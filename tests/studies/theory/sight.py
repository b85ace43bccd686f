"""What the theory study can see: how many of its rows miss when a small fault is put into its scenarios."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.engine.parallel import Progress
from sim.engine.simulate import simulate
from sim.validation.study import MISSES, NOT_HELD, Row
from tests.studies.faults import BACKOFF, LINGER, PATIENCE, PLACE, SERVICE, Change, longer, one_more, slower
from tests.studies.theory.catalogue import built
from tests.studies.theory.study import RUNS, cases, name_of, row_of, seeds_of, why_not


@dataclass(frozen=True)
class Fault:
    """How a fault is put into a scenario, and the systems that should show it."""

    change: Change
    systems: tuple[str, ...]


FAULTS = {
    SERVICE: Fault(slower(0.01), ("M/M/c", "M/M/c/c (=M/G/c/c)", "M/D/1", "Little")),
    PATIENCE: Fault(longer("behaviour.patience.mean", 1.03), ("M/M/c+M (Erlang-A)",)),
    PLACE: Fault(one_more("always.0.policy.requests"), ("M/M/c/K",)),
    BACKOFF: Fault(longer("behaviour.retry.backoff.mean", 1.1), ("M/M/1 linear retrial",)),
    LINGER: Fault(longer("pools.gpus.linger", 0.5), ("linger of an idle GPU",)),
}


def seen_by_theory(words: str, report: Progress) -> Row:
    """How many rows miss under a fault, of those that are held to a bound. Each case has the study's runs and seeds."""
    fault = FAULTS[words]
    wanted = [case for case in cases() if case.system in fault.systems and why_not(case) == ""]
    seen, systems, held = 0, set(), 0
    for done, case in enumerate(wanted):
        for row in faulty_rows(case.system, case.params, case.metrics, fault.change, seeds_of(name_of(case))):
            held += row.fits != NOT_HELD
            seen += row.fits == MISSES
            systems |= {case.system} if row.fits == MISSES else set()
        report((done + 1) / len(wanted))
    note = f"of {held} rows, {RUNS} runs a case; seen by {', '.join(sorted(systems)) or 'none'}"
    return Row(f"theory, {words}", "rows that miss", "", float(held), float(seen), 1.0, float(held), note)


def faulty_rows(
    system: str, params: Mapping[str, Any], metrics: Mapping[str, float], change: Change, seed: int
) -> list[Row]:
    model = built(system, params, metrics, "compiled")
    scenario = change(model.scenario)
    runs = [simulate(scenario, seed=seed + number) for number in range(RUNS)]
    measures = [model.measures[metric] for metric in metrics]
    return [row_of("", measure, np.array([measure.of(run) for run in runs])).row for measure in measures]
