"""The study `peers`: scenarios in Ciw and in plain SimPy programs, and what they give there and here."""

import math
from collections.abc import Sequence

from sim.engine.parallel import Progress, in_parallel
from sim.engine.simulate import simulate
from sim.validation.study import Row, Study
from tests.studies.peers import of_ciw, of_clients, of_people, of_queues
from tests.studies.peers.samples import (
    LARGEST_Z,
    ORACLE_RUNS,
    RUNS,
    Question,
    Samples,
    all_apart,
    apart,
    ours,
    standard_error,
    theirs,
    wrong,
)
from tests.studies.theory.queues import z
from tests.studies.theory.study import same_row

PEERS = {"Ciw": of_ciw.QUESTIONS, "SimPy": [*of_queues.QUESTIONS, *of_people.QUESTIONS, *of_clients.QUESTIONS]}
QUESTIONS = [(peer, question) for peer, questions in PEERS.items() for question in questions]
SHARED = 2  # questions that must have a figure for a row of all of them together
TOGETHER = "all questions together"


def peers_study(progress: Progress | None = None) -> Study:
    """Ask every question of both simulators (a minute and a half on two cores)."""
    found = in_parallel(rows_of, None, [(number,) for number in range(len(QUESTIONS))], progress=progress)
    return Study(
        "peers",
        "The same scenarios in other simulators",
        "Do programs without a line of the simulator have the same figures?",
        "Ciw, a library of queueing networks, and short programs in plain SimPy; theory where it has the figure",
        [*(row for rows in found for row in rows), *together([row for rows in found for row in rows])],
        [
            f"Means over {RUNS} runs here and {ORACLE_RUNS} there agree within {LARGEST_Z} standard errors of their "
            "difference. 'by theory': the mean of either simulator against the exact value.",
            "'figures that show a fault': with settings of ours that are a little off, how many figures differ; "
            "at least one must.",
            f"{TOGETHER}: the sum of a figure's z over the questions that have it, over the root of their number "
            "(Stouffer); a simulator that is a little off everywhere shows here though no question does.",
        ],
    )


def rows_of(_: None, number: int, report: Progress) -> list[Row]:
    """Of one question: each figure, the exact ones again, a fault that must show, and both engines."""
    peer, question = QUESTIONS[number]
    case = f"{question.name} ({peer})"
    mine, other = ours(question), theirs(question)
    report(0.7)
    rows = [difference(case, figure, mine, other) for figure in question.figures]
    for figure, value in question.exact().items():
        rows += [by_theory(case, figure, value, who, runs) for who, runs in (("meltpoint", mine), (peer, other))]
    return [*rows, shown(case, question), engines(case, question)]


def difference(case: str, figure: str, mine: Samples, other: Samples) -> Row:
    actual, predicted = float(other[figure].mean()), float(mine[figure].mean())
    reach = LARGEST_Z * math.hypot(standard_error(mine[figure]), standard_error(other[figure]))
    note = f"z {apart(mine[figure], other[figure]):.1f}"
    return Row(case, figure, "", actual, predicted, actual - reach, actual + reach, note)


def together(rows: Sequence[Row]) -> list[Row]:
    """Stouffer's z of each figure that several questions have: they have seeds of their own, so chance cancels out."""
    found: dict[str, list[float]] = {}
    for row in rows:
        if row.high > row.low and " by theory" not in row.figure and row.note.startswith("z "):
            found.setdefault(row.figure, []).append((row.predicted - row.actual) / (row.high - row.low) * 2 * LARGEST_Z)
    return [
        Row(
            TOGETHER,
            f"z of {name}",
            "",
            0.0,
            sum(of) / math.sqrt(len(of)),
            -LARGEST_Z,
            LARGEST_Z,
            f"{len(of)} questions",
        )
        for name, of in found.items()
        if len(of) >= SHARED
    ]


def by_theory(case: str, figure: str, value: float, who: str, runs: Samples) -> Row:
    found, reach = float(runs[figure].mean()), LARGEST_Z * standard_error(runs[figure])
    note = f"z {z(runs[figure], value):.1f}"
    return Row(case, f"{figure} by theory, {who}", "", value, found, value - reach, value + reach, note)


def shown(case: str, question: Question) -> Row:
    """How many figures differ where ours has settings that are a little off."""
    far = [abs(one) for one in all_apart(wrong(question), theirs(question)).values()]
    off = ", ".join(f"{key}: {value}" for key, value in question.wrong.items())
    seen, held = float(sum(one > LARGEST_Z for one in far)), float(len(far))
    return Row(case, "figures that show a fault", "", held, seen, 1.0, held, f"{off}; largest z {max(far):.1f}")


def engines(case: str, question: Question) -> Row:
    scenario = question.scenario_with(**question.short)
    return same_row(case, simulate(scenario, seed=1, engine="simpy"), scenario)
