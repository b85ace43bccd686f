"""The rows of the live study with a small fault in the simulated side.

No server is run. The simulation without the fault stands in for it: the study finds that the two agree.
"""

from sim.engine.parallel import Progress
from sim.engine.simulate import simulate
from sim.validation.study import Row
from tests.studies.faults import Change
from tests.studies.live.cases import Case
from tests.studies.live.study import SEEDS, all_cases, means


def faulty_live(words: str, change: Change, report: Progress) -> list[Row]:
    """The rows of the cases in which a fault moves any figure."""
    found, every = [], all_cases()
    for done, case in enumerate(every):
        rows = faulty_rows(case, change)
        found += rows if any(row.predicted != row.actual for row in rows) else []
        report((done + 1) / len(every))
    return found


def faulty_rows(case: Case, change: Change) -> list[Row]:
    """The rows of a case, with the sound simulation in the live server's place."""
    faulty = change(case.scenario)
    if faulty == case.scenario:
        return []
    sides = [
        tuple(case.figures(simulate(scenario, case.playbook, seed=seed)) for scenario in (case.scenario, faulty))
        for seed in SEEDS
    ]
    return means(case.name, [(sound, wrong) for sound, wrong in sides])
