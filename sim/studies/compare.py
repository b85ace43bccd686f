"""Playbooks or configurations over the same seeds: figures, paired differences with intervals, an order of merit."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from sim.engine.simulate import chosen
from sim.errors import BadInput
from sim.results.intervals import AHEAD, precise_after, refuse_imprecise
from sim.results.offered import with_offered_load
from sim.results.run import Run
from sim.scenario.fields import UNLIMITED
from sim.scenario.parts import Recording
from sim.scenario.scenario import Scenario
from sim.studies.configurations import Configuration, Given, Playbook, configurations, reference_of, same_people
from sim.studies.differences import differences, mean_of
from sim.studies.executors import Executor, Report, Shard, itself
from sim.studies.objectives import OBJECTIVES, Objective, objective_called
from sim.studies.promise_findings import NOT_JUDGED, own_findings, own_promises
from sim.studies.run_record import Record
from sim.studies.runs import Runs, running
from sim.studies.store import Cell, Store


@dataclass(frozen=True, repr=False)
class Comparison:
    """Playbooks of a scenario, or configurations, compared over the same seeds, so over the same people.

    table: one row per playbook and seed, with its figures; counts at full scale. images_share and people_share are
        against an unlimited fleet with the same people; where there is word of mouth, growth_lost is how many fewer
        people were let in than there.
    differences: one row per playbook and metric, the best playbook first: the mean with its interval, and the
        difference from the baseline paired by seed, with its interval (95 %, over seeds only; nan for fewer than three
        seeds), p, and p_holm, corrected for the number of playbooks.
    fairness: one row per playbook, seed and group of people (see sim.results.fairness); empty where no rows of people
        were recorded.
    promises: one row per playbook and promise of its scenario: kept in how many of the runs, what they reached, the
        limit, and what that passes over.
    configurations: title, playbook and digest of the scenario by label; empty where playbooks of one scenario are
        compared. Labels are then what 'playbook' means in all tables. same_people: False where their demand differs.
    """

    table: pd.DataFrame
    differences: pd.DataFrame
    playbooks: list[str]  # in the order asked for
    seeds: list[int]
    baseline: str
    fairness: pd.DataFrame
    by: str = "images"  # the objective
    configurations: dict[str, dict[str, Any]] = field(default_factory=dict)
    same_people: bool = True
    promises: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def objective(self) -> Objective:
        return objective_called(self.by)

    @property
    def broken(self) -> dict[str, list[str]]:
        """By playbook, the promises of its scenario that some run breaks, each with how many runs keep it."""
        found: dict[str, list[str]] = {name: [] for name in self.playbooks}
        for row in self.promises.to_dict("records"):
            if row["held"] < row["seeds"] and row["reached"] != NOT_JUDGED:
                kept = f"kept with {row['held']} of {row['seeds']} seeds"
                found[row["playbook"]].append(f"'{row['promise']}' ({kept})")
        return found

    @property
    def noun(self) -> str:
        return "configuration" if self.configurations else "playbook"

    @cached_property
    def ranking(self) -> list[str]:
        """Playbooks, the best first: those alive with every seed, by the mean of the objective; then the others."""
        return list(dict.fromkeys(self.differences["playbook"]))

    @cached_property
    def alive(self) -> list[str]:
        """The playbooks that keep the service alive with every seed, the best first."""
        return [name for name in self.ranking if self.runs(name)["alive"].all()]

    def runs(self, playbook: str) -> pd.DataFrame:
        """The rows of one playbook, indexed by seed."""
        return self.table[self.table["playbook"] == playbook].set_index("seed")

    def mean(self, playbook: str, metric: str) -> float:
        """Over the seeds; of a ratio, that of the sums."""
        return mean_of(self.runs(playbook), metric)

    def __repr__(self) -> str:
        return f"<Comparison over {len(self.seeds)} seeds, best first: {', '.join(self.ranking)}>"


def compare(
    scenario: Given,
    playbooks: str | Sequence[str] | None = None,
    *,
    seeds: int | Sequence[int] = 5,
    by: str = "images",
    until: float | None = None,
    most: int = 100,
    engine: str = "compiled",
    store: Store | Path | str | bool | None = None,
    executor: Executor | None = None,
    processes: int | None = None,
    progress: Report | None = None,
) -> tuple[Comparison, list[Run]]:
    """Run playbooks of a scenario, or configurations, with each seed; also the runs of the first seed.

    scenario: one, under each of its `playbooks` (all where None); or configurations with labels, as tuples or by label:
    compare([("as is", scenario, "none"), ("double", scenario.with_(...), "none")]). The first is the baseline. seeds:
    how many (1, 2, ...), or which. by: the objective that ranks them, one of sim.studies.objectives.OBJECTIVES.
    until: add seeds, to `most`, until the objective's 95 % interval of every playbook is within this to each side: in
    points for a share (0.02: 2), else relative to the mean. engine: as in simulate. store: where the figures of runs
    are kept, False for nowhere; those of the first seed are made each time, as their tables are returned. processes:
    how many runs at once, one per core where None. Each seed also takes one run of an unlimited fleet for each scenario
    (one for all that differ in GPUs alone), against which images, people and growth are counted. An interrupt gives the
    seeds that are done, if there is one. Raises BadInput.
    """
    objective = objective_called(by)
    refuse_imprecise(until)
    parts = configurations(scenario, playbooks)
    refuse_without_prices(parts, by)
    for part in parts:
        own_promises(part.scenario)  # refused now if one cannot be read
    numbers = numbers_of(seeds)
    if not numbers:
        raise BadInput("a comparison takes one seed or more", key="seeds", value=seeds, expected="1, 2, ...")
    jobs = jobs_of(parts, numbers, engine)
    found: dict[int, Record] = {}
    runs: dict[int, Run] = {}
    with running(executor, processes, store, progress) as study:
        study.planned = len(jobs)
        first = [] if isinstance(study.executor, Shard) else [job.cell for job in jobs if job.cell.seed == numbers[0]]
        for place, record, run in study.whole(first, itself):  # those of the first seed stand first
            found[place], runs[place] = record, run
        try:
            make_missing(study, jobs, found)
            while until is not None and len(numbers) < most and not settled(jobs, found, parts, until, objective):
                new = range(max(numbers) + 1, max(numbers) + 1 + min(AHEAD, most - len(numbers)))
                numbers += new
                jobs += jobs_of(parts, new, engine)
                make_missing(study, jobs, found)
        except KeyboardInterrupt:
            lacking = {job.cell.seed for place, job in enumerate(jobs) if place not in found}
            numbers = [seed for seed in numbers if seed not in lacking]
    done = [(job, found[place]) for place, job in enumerate(jobs) if job.cell.seed in numbers]
    about = {} if isinstance(scenario, Scenario) else {part.label: part.about for part in parts}
    unlimited = {jobs[place].reference: run for place, run in runs.items() if not jobs[place].label}
    kept = [(jobs[place], run) for place, run in sorted(runs.items()) if jobs[place].label]
    shown = [with_offered_load(run, unlimited[job.reference]) for job, run in kept]
    return compared(parts, done, numbers, by, about), shown


def make_missing(study: Runs, jobs: Sequence["Job"], found: dict[int, Record]) -> None:
    """Make the runs that are not among those found, by their places."""
    missing = [place for place in range(len(jobs)) if place not in found]
    for number, record in study.each([jobs[place].cell for place in missing], itself):
        found[missing[number]] = record


def numbers_of(seeds: Any) -> list[int]:
    """The seeds, each once: how many, or which; none where it is neither."""
    if type(seeds) is int:
        return list(range(1, seeds + 1))
    return list(dict.fromkeys(seeds)) if isinstance(seeds, Sequence) and not isinstance(seeds, str) else []


def compared(
    parts: Sequence[Configuration],
    done: Sequence[tuple["Job", Record]],
    seeds: list[int],
    by: str,
    about: dict[str, dict[str, Any]],
) -> Comparison:
    """The tables of a comparison, from the records of its runs with these seeds."""
    names = [part.label for part in parts]
    table = table_of(done, names, seeds)
    return Comparison(
        table,
        differences(table, names, objective_called(by)),
        names,
        seeds,
        names[0],
        fairness_of(done),
        by,
        about,
        same_people([part.scenario for part in parts]),
        promises_of(parts, done),
    )


def promises_of(parts: Sequence[Configuration], done: Sequence[tuple["Job", Record]]) -> pd.DataFrame:
    """How the runs of each label keep the promises of its scenario; empty where none makes any."""
    rows = []
    for part in parts:
        found = own_findings(part.scenario, [record for job, record in done if job.label == part.label])
        columns = ("promise", "held", "seeds", "reached", "limit", "note")
        rows += [{"playbook": part.label, **{name: getattr(one, name) for name in columns}} for one in found]
    return pd.DataFrame(rows)


def refuse_without_prices(parts: Sequence[Configuration], by: str) -> None:
    """Raise BadInput where playbooks are to be ranked by money, and nobody pays."""
    if by == "money" and not all(part.scenario.has_prices for part in parts):
        expected = "a tier that pays, like plus: {price: $20 per month}"
        message = "the scenario has no prices, so no playbook earns anything"
        raise BadInput(message, key="by", value=by, expected=expected)


@dataclass(frozen=True)
class Job:
    """A run of a comparison: of a label, or ('') of an unlimited fleet; reference: whose unlimited fleet counts."""

    label: str
    reference: Scenario
    cell: Cell

    def row(self, record: Record) -> dict[str, Any]:
        """Its row in the table of all runs."""
        labels = {"playbook": self.label or UNLIMITED, "seed": self.cell.seed}
        return {**labels, **record.figures}


def jobs_of(parts: Sequence[Configuration], seeds: Sequence[int], engine: str, *, bare: bool = False) -> list[Job]:
    """All runs of a comparison, seed by seed; bare: without rows of people."""
    held: dict[str, Scenario] = {}
    for part in parts:
        held[part.label] = reference_of(part.scenario, list(dict.fromkeys(held.values())))
    free_of_rows = Recording(rows=False) if engine == "compiled" else None  # a reference needs no rows
    jobs = []
    for seed in seeds:
        for part in parts:
            s = part.scenario
            writes = (
                s.recording if engine == "compiled" and not bare and (s.recording.rows or s.recording.sampled) else None
            )
            cell = Cell(s, chosen_name(part), seed, engine=engine, recording=writes)
            jobs.append(Job(part.label, held[part.label], cell))
        free = {one: Cell(one, None, seed, True, engine, free_of_rows) for one in dict.fromkeys(held.values())}
        jobs += [Job("", one, cell) for one, cell in free.items()]
    return jobs


def settled(
    jobs: Sequence[Job], found: dict[int, Record], parts: Sequence[Configuration], until: float, objective: Objective
) -> bool:
    """Whether the objective of every playbook is known as precisely as that."""
    seeds = list(dict.fromkeys(job.cell.seed for job in jobs))
    names = [part.label for part in parts]
    rows = table_of([(job, found[place]) for place, job in enumerate(jobs)], names, seeds).groupby("playbook")
    return all(precise_after(some[objective.figure], until, objective.kind) for _, some in rows)


def chosen_name(part: Configuration) -> Playbook:
    """Its playbook, by name where it has one."""
    name, _ = chosen(part.scenario, part.playbook)
    return part.playbook if part.playbook is not None and not isinstance(part.playbook, str) else name


def fairness_of(done: Sequence[tuple[Job, Record]]) -> pd.DataFrame:
    """Who got how much, by playbook and seed; empty where no rows of people were recorded."""
    rows = [
        {**group, "playbook": job.label, "seed": job.cell.seed}
        for job, record in done
        if job.label
        for group in record.groups
    ]
    return pd.DataFrame(rows)


def table_of(rows: Sequence[tuple[Job, Record]], names: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """The figures of all runs beside those of their unlimited fleets: by seed, in the order asked for."""
    tables = []
    for one in dict.fromkeys(job.reference for job, _ in rows):
        part = [job.row(record) for job, record in rows if job.reference == one]
        tables.append(against_unlimited(pd.DataFrame(part), grows=one.demand.word_of_mouth is not None))
    table = pd.concat(tables, ignore_index=True)
    places = [(seeds.index(s), names.index(n)) for s, n in zip(table["seed"], table["playbook"], strict=True)]
    return table.iloc[sorted(range(len(places)), key=places.__getitem__)].reset_index(drop=True)


def against_unlimited(table: pd.DataFrame, *, grows: bool) -> pd.DataFrame:
    """Every objective of each run against the unlimited fleet of its seed, whose rows go; and the growth lost."""
    free = table["playbook"] == UNLIMITED
    rest = table[~free].reset_index(drop=True)
    rows: list[Any] = rest.to_dict("records")
    references: dict[int, Any] = {row["seed"]: row for row in table[free].to_dict("records")}
    pairs = [(row, references[row["seed"]]) for row in rows]
    found = {o.figure: [o.of(row, reference) for row, reference in pairs] for o in OBJECTIVES.values()}
    if grows:
        found["growth_lost"] = [reference["let_in"] - row["let_in"] for row, reference in pairs]
    return rest.assign(**found)
