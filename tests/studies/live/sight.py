"""What the live study can see: how many of its rows miss when a small fault is put into the simulated side.

No server is run. The simulation without the fault stands in for it: the study finds that the two agree.
"""

from sim.engine.parallel import Progress
from sim.engine.simulate import simulate
from sim.validation.study import MISSES, NOT_HELD, Row
from tests.studies.faults import BACKOFF, LINGER, PATIENCE, PLACE, SERVICE, Change, longer, one_more, slower
from tests.studies.live.cases import Case
from tests.studies.live.study import SEEDS, all_cases, means

# A fault, the first words of the cases that it touches, and how it is put into their scenarios.
FAULTS: dict[str, tuple[str, Change]] = {
    SERVICE: ("", slower(0.01)),
    PATIENCE: ("1.5 times", longer("behaviour.patience", 1.03)),
    PLACE: ("1.5 times capacity, queue bound", one_more("playbooks.queue bound.0.policy.requests")),
    BACKOFF: ("1.5 times", longer("behaviour.retry.backoff", 1.1)),
    LINGER: ("load", longer("pools.gpus.linger", 0.5)),
}
TOO_SMALL = (PATIENCE, PLACE)  # faults that bounds of 3 to 5 % are too wide to show: counted, and held to nothing


def seen_live(words: str, report: Progress) -> Row:
    """How many rows miss under a fault, of those of the cases that it touches and that are held to a bound."""
    begins, change = FAULTS[words]
    touched = [case for case in all_cases() if case.name.startswith(begins)]
    missed, held = [], 0
    for done, case in enumerate(touched):
        rows = [row for row in faulty_rows(case, change) if row.fits != NOT_HELD]
        held += len(rows)
        missed += [f"{row.figure} ({row.case})" for row in rows if row.fits == MISSES]
        report((done + 1) / len(touched))
    note = f"of {held} rows; {'; '.join(missed) or 'none'}"
    low = float("nan") if words in TOO_SMALL else 1.0
    return Row(f"live, {words}", "rows that miss", "", float(held), float(len(missed)), low, float(held), note)


def faulty_rows(case: Case, change: Change) -> list[Row]:
    """The rows of a case, with the sound simulation in the live server's place."""
    sides = [
        tuple(case.figures(simulate(scenario, case.playbook, seed=seed)) for scenario in (case.scenario, faulty))
        for faulty in [change(case.scenario)]
        for seed in SEEDS
    ]
    return means(case.name, [(sound, wrong) for sound, wrong in sides])
