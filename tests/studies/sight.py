"""What the studies can see: small faults are put into their scenarios, and the rows that miss then are counted."""

from sim.engine.parallel import Progress, in_parallel
from sim.validation.study import Row, Study
from tests.studies.live import sight as live
from tests.studies.theory import sight as theory


def sight_study(progress: Progress | None = None) -> Study:
    """Each fault must make at least one row miss, in the theory study and, where its bounds are not too wide, live."""
    tasks = [("theory", words) for words in theory.FAULTS] + [("live", words) for words in live.FAULTS]
    return Study(
        "sight",
        "What the studies can see",
        "Do rows miss where the simulator is a little wrong?",
        "the theory and live studies, with a fault put into their scenarios",
        in_parallel(row_of_fault, None, tasks, progress=progress),
        [
            "A fault is seen if at least one row misses. Seeds are those of the studies.",
            "Live: a simulation without the fault stands in for the server, so this is what the bounds alone can see.",
        ],
        apart=True,
    )


def row_of_fault(_: None, study: str, words: str, report: Progress) -> Row:
    return (theory.seen_by_theory if study == "theory" else live.seen_live)(words, report)
