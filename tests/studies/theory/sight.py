"""The rows of the theory study with a small fault in its scenarios."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from sim.engine.parallel import Progress
from sim.engine.simulate import simulate
from sim.validation.study import Row
from tests.studies.faults import BACKOFF, LINGER, PATIENCE, PLACE, SERVICE, Change
from tests.studies.theory.catalogue import built
from tests.studies.theory.study import RUNS, cases, name_of, row_of, seeds_of, why_not

# The systems that should show a fault: of services, which all of them have, some of each kind.
SYSTEMS = {
    SERVICE: ("M/M/c", "M/M/c/c (=M/G/c/c)", "M/D/1", "Little"),
    PATIENCE: ("M/M/c+M (Erlang-A)",),
    PLACE: ("M/M/c/K",),
    BACKOFF: ("M/M/1 linear retrial",),
    LINGER: ("linger of an idle GPU",),
}


def faulty_theory(words: str, change: Change, report: Progress) -> list[Row]:
    """The rows of the cases that should show a fault. Each case has the study's runs and seeds."""
    wanted = [case for case in cases() if case.system in SYSTEMS[words] and why_not(case) == ""]
    rows = []
    for done, case in enumerate(wanted):
        rows += faulty_rows(name_of(case), case.system, case.params, case.metrics, change)
        report((done + 1) / len(wanted))
    return rows


def faulty_rows(
    name: str, system: str, params: Mapping[str, Any], metrics: Mapping[str, float], change: Change
) -> list[Row]:
    model, seed = built(system, params, metrics, "compiled"), seeds_of(name)
    scenario = change(model.scenario)
    runs = [simulate(scenario, seed=seed + number) for number in range(RUNS)]
    measures = [model.measures[metric] for metric in metrics]
    return [row_of(name, measure, np.array([measure.of(run) for run in runs])).row for measure in measures]
