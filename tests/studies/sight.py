"""What the studies can see: small faults are put into their scenarios, and the rows that miss then are counted."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from sim.engine.parallel import Progress, in_parallel
from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.validation.mlperf import SHIPPED, arrivals_of, mlperf_scenario, read_runs, reported_latencies
from sim.validation.study import MISSES, NOT_HELD, Row, Study
from tests.results import committed
from tests.studies.batcher import study as batcher
from tests.studies.batcher.load import poisson
from tests.studies.faults import BACKOFF, FAULTS, LINGER, PATIENCE, PLACE, Change
from tests.studies.live.sight import faulty_live
from tests.studies.overload import study as overload
from tests.studies.peers import study as peers
from tests.studies.peers.samples import played
from tests.studies.theory.sight import faulty_theory

LARGER = 10  # times: where a fault makes no row miss, one this much larger is tried
# Of the overload study the variants on either side of a threshold, where a fault shows first, and those with a backoff.
NEAR = (
    *("A, bound 60", "A, spike of 10 s", "A, full jitter"),
    *("D, bound 900", "D, bound 960", "D, twice the GPUs", "D, full jitter"),
)
COUNTS = "it counts recoveries, and no threshold is that near"

# The faults that a study does not see, each with the reason; any other must make a row miss.
BLIND: dict[tuple[str, str], str] = {
    ("batcher", PLACE): "one place of 40 moves a mean by less than its 2 %",
    ("overload", PATIENCE): COUNTS,
    ("overload", PLACE): COUNTS,
    ("overload", BACKOFF): "both variants that have a backoff stay down with any",
    ("mlperf", LINGER): "half of 5 s still fills every batch but the last",
}


def sight_study(progress: Progress | None = None, cases: Sequence[str] = ()) -> Study:
    """Put every fault into every study, or those named by `cases`, and count the rows that miss (five minutes)."""
    for name in cases:
        if name not in FAULTY:
            raise BadInput("there is no such study", key="--cases", value=name, expected=", ".join(FAULTY))
    tasks = [(study, words) for study in cases or FAULTY for words in FAULTS]
    found = in_parallel(rows_of_fault, None, tasks, progress=progress)
    return Study(
        "sight",
        "What the studies can see",
        "Do rows miss where the simulator is a little wrong?",
        "the other studies, with a fault put into their scenarios",
        [row for rows in found for row in rows],
        [
            "A fault is seen if at least one row misses. Seeds are those of the studies; rows are those of the cases "
            "that the fault touches. Where no row misses, one ten times as large is tried.",
            "Live: a simulation without the fault stands in for the server, so this is what the bounds alone can see. "
            "Peers, mlperf and batcher: against the actual values in docs/results.",
        ],
        apart=True,
    )


def rows_of_fault(_: None, study: str, words: str, report: Progress) -> list[Row]:
    """How many rows of a study miss under a fault; no row where it touches no case of it."""
    rows = held_rows(study, words, 1, report)
    if not rows:
        return []
    missed, why = missing(rows), BLIND.get((study, words))
    note = f"of {len(rows)} rows; {seen_in(missed) if missed else f'none: {why}'}"
    if not missed:
        larger = "no linger at all" if words == LINGER else f"{LARGER} times as much"
        note += f"; {len(missing(held_rows(study, words, LARGER, report)))} with {larger}"
    low = math.nan if why else 1.0
    held, seen = float(len(rows)), float(len(missed))
    return [Row(f"{study}, {words}", "rows that miss", "", held, seen, low, held, note)]


def held_rows(study: str, words: str, times: int, report: Progress) -> list[Row]:
    return [row for row in FAULTY[study](words, FAULTS[words](times), report) if row.fits != NOT_HELD]


def missing(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.fits == MISSES]


def seen_in(missed: list[Row]) -> str:
    """The figures that miss, those with most cases first."""
    figures = [row.figure for row in missed]
    often = sorted(dict.fromkeys(figures), key=figures.count, reverse=True)
    more = f" and {len(often) - 6} more" * (len(often) > 6)
    return ", ".join(f"{name} ({figures.count(name)})" for name in often[:6]) + more


def faulty_peers(_: str, change: Change, report: Progress) -> list[Row]:
    """The other simulators' figures as committed, and ours with a fault."""
    rows = []
    for done, (peer, question) in enumerate(peers.QUESTIONS):
        sound = question.scenario_with()
        faulty = change(sound)
        if faulty != sound:
            ours = {figure: float(values.mean()) for figure, values in played(question, faulty).items()}
            found = ours | {f"{figure} by theory, meltpoint": value for figure, value in ours.items()}
            rows += predicted_again("peers", f"{question.name} ({peer})", found)
        report((done + 1) / len(peers.QUESTIONS))
    return [*rows, *peers.together(rows)]


def faulty_overload(_: str, change: Change, report: Progress) -> list[Row]:
    """The reference's recoveries, and those of the compiled engine with a fault."""
    rows = []
    for done, name in enumerate(NEAR):
        sound = overload.CASES[name].scenario()
        if change(sound) != sound:
            rows += overload.rows_of(None, name, "compiled", lambda _: None, change=change)
        report((done + 1) / len(NEAR))
    return rows


def faulty_mlperf(_: str, change: Change, report: Progress) -> list[Row]:
    """The published latencies, and those predicted with a fault."""
    rows, runs = [], read_runs(SHIPPED).runs
    for done, run in enumerate(runs):
        sound = mlperf_scenario(run, arrivals_of(run)[0], run.service_s)
        if change(sound) != sound:
            found = reported_latencies(simulate(change(sound)))
            rows += predicted_again("mlperf", run.name, {f"latency {name}": value for name, value in found.items()})
        report((done + 1) / len(runs))
    return rows


def faulty_batcher(_: str, change: Change, report: Progress) -> list[Row]:
    """The figures of the server as they were measured, and those predicted with a fault from the same arrivals."""
    rows = []
    for done, case in enumerate(batcher.CASES):
        arrivals = [poisson(case.rates, seed) for seed in batcher.SEEDS]
        sound = batcher.scenario_of(case, arrivals[0])
        if change(sound) != sound:
            found = [batcher.figures(batcher.simulated(case, due, change)) for due in arrivals]
            means = {name: float(np.mean([one[name] for one in found])) for name in found[0]}
            rows += predicted_again("batcher", case.name, means)
        report((done + 1) / len(batcher.CASES))
    return rows


def predicted_again(study: str, case: str, found: Mapping[str, float]) -> list[Row]:
    """The rows of a case as committed, with other predictions."""
    table = committed(study)[1]
    rows = [
        Row(**{str(name): value for name, value in fields.items() if name not in ("study", "fits")})
        for fields in table[table["case"] == case].to_dict("records")
    ]
    return [replace(row, predicted=found[row.figure]) for row in rows if row.figure in found]


FAULTY: dict[str, Callable[[str, Change, Progress], list[Row]]] = {
    "theory": faulty_theory,
    "peers": faulty_peers,
    "overload": faulty_overload,
    "mlperf": faulty_mlperf,
    "batcher": faulty_batcher,
    "live": faulty_live,
}
