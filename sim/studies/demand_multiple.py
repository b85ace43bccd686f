"""The largest multiple of its demand that a service carries with the fleet it has, with a promise kept."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from pydantic import ConfigDict

from sim.errors import BadInput
from sim.scenario.scenario import Scenario
from sim.studies.executors import Executor, Report
from sim.studies.looks import WITH_TABLES, Criterion, Looks, enough, mean, refuse_unusable
from sim.studies.playbook_names import name_of
from sim.studies.promise import read_promise
from sim.studies.runs import running
from sim.studies.search import Look, smallest
from sim.studies.store import Store

Passes = Callable[[Look], bool]

FINENESS = 100  # parts of a multiple
MOST = 1000  # times the demand


@dataclass(frozen=True)
class Multiple:
    """The answer: `holds` times the demand is carried, and a hundredth more is not. 0: not even a hundredth of it is.

    answer, beyond: the runs at this multiple and at the next, with seeds that the search had not seen.
    """

    promise: str
    target: float
    playbook: str
    holds: float
    answer: Look | None
    beyond: Look | None
    table: pd.DataFrame
    runs: float
    confidence: float
    interrupted: bool = False
    silent: bool = False  # no request was decided in any run
    open_end: float = 0.0  # of the answer's runs, as in Size
    kept_out: float = 0.0
    in_time: float = math.nan
    __pydantic_config__: ClassVar[ConfigDict] = WITH_TABLES


def demand_multiple(
    scenario: Scenario,
    promise: str | None = None,
    playbook: str | None = None,
    *,
    seeds: int = 10,
    runs: float = 0.9,
    confidence: float = 0.95,
    store: Store | Path | str | bool | None = None,
    executor: Executor | None = None,
    processes: int | None = None,
    progress: Report | None = None,
) -> Multiple:
    """Find the largest multiple of the demand with which at least `runs` of all runs keep a promise.

    It multiplies the people, clients and recordings of every source, so that retries follow. Other arguments are as in
    size. Raises BadInput.
    """
    name = name_of(scenario, playbook)
    refuse_unusable(seeds, runs, confidence)
    rule = Criterion(read_promise(promise, scenario), name, runs, confidence)
    first, fresh = range(1, seeds + 1), range(seeds + 1, 2 * seeds + 1)
    answer = beyond = None
    holds, interrupted, open_end, kept_out, in_time = math.nan, False, 0.0, 0.0, math.nan
    with running(executor, processes, store, progress) as study:
        looks = Looks(study, rule)
        try:
            near = largest(scenario, looks, first, stage="search")
            near = largest(scenario, looks, fresh, stage="verify", start=near, passes=enough)
            answer = look_at(scenario, near, looks, fresh, "verify") if near > 0 else None
            beyond = look_at(scenario, near + 1 / FINENESS, looks, fresh, "verify")
            holds = near
            if answer:
                behind = looks.seen(answer)
                open_end, kept_out = mean(run.open_end for run in behind), mean(run.kept_out for run in behind)
                in_time = mean(run.in_time for run in behind)
        except KeyboardInterrupt:
            interrupted = True
    target = rule.promise.target
    return Multiple(
        promise=rule.promise.text,
        target=target,
        playbook=name,
        holds=holds,
        answer=answer,
        beyond=beyond,
        table=looks.table(),
        runs=runs,
        confidence=confidence,
        interrupted=interrupted,
        open_end=open_end,
        kept_out=kept_out,
        in_time=in_time,
        silent=bool(looks.known) and not any(one.judged for _, found in looks.known.values() for one in found),
    )


def largest(
    scenario: Scenario,
    looks: Looks,
    seeds: Sequence[int],
    *,
    stage: str,
    start: float = 1.0,
    passes: Passes = lambda look: look.passes,
) -> float:
    """The largest multiple, in hundredths, that keeps a promise, where every smaller one does too; 0 for none."""

    def carried(place: int) -> bool:
        look = look_at(scenario, -place / FINENESS, looks, seeds, stage)
        return look is not None and passes(look)

    found = smallest(carried, -round(start * FINENESS), -MOST * FINENESS, -1)
    return 0.0 if found is None else -found / FINENESS


def look_at(scenario: Scenario, multiple: float, looks: Looks, seeds: Sequence[int], stage: str) -> Look | None:
    """The runs with this multiple of the demand; None where it is more than a run can hold."""
    multiple = round(multiple, 9)
    try:
        changed = with_demand(scenario, multiple)
    except BadInput:
        return None
    return looks.look(changed, seeds, stage=stage, about={"demand": multiple})


def with_demand(scenario: Scenario, multiple: float) -> Scenario:
    """The scenario with this multiple of its people, clients and recordings. Raises BadInput for too many."""
    d = scenario.demand
    changes: dict[str, Any] = {f"demand.waves.{n}.times": wave.times * multiple for n, wave in enumerate(d.waves)}
    for n, source in enumerate(d.clients):
        wanted = source.clients * multiple
        clients = max(1, round(wanted))  # whole ones, at a rate that makes theirs together the multiple
        changes[f"demand.clients.{n}.clients"] = clients
        changes[f"demand.clients.{n}.rate"] = f"{source.rate * wanted / clients!r} per s"
    changes |= {f"demand.traces.{n}.times": trace.times * multiple for n, trace in enumerate(d.traces)}
    return scenario.with_(**changes)
