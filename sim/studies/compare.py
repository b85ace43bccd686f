"""Playbooks or configurations over the same seeds: figures, paired differences with intervals, an order of merit."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from sim.engine.many import Task, simulate_all
from sim.engine.parallel import Progress
from sim.errors import BadInput
from sim.results.fairness import fairness
from sim.results.images import images_in_time
from sim.results.metrics import recorded
from sim.results.offered import with_offered_load
from sim.results.run import Run
from sim.results.verdict import run_in_bins, verdict
from sim.scenario.fields import UNLIMITED
from sim.scenario.parts import Recording
from sim.scenario.scenario import Scenario
from sim.studies.configurations import Configuration, Given, configurations, reference_of, same_people
from sim.studies.intervals import Kind, holm, mean_interval, paired_difference
from sim.studies.objectives import OBJECTIVES, Objective, objective_called

LABELS = ("playbook", "seed", "alive", "overloaded")
SIGNED = ("growth_lost", "margin", "dollars_earned")  # figures that may be negative; all others are shares or amounts
SHARES = ("attainment", "degraded_share", "gini", "jain", *(o.figure for o in OBJECTIVES.values() if o.kind == "share"))


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

    @property
    def objective(self) -> Objective:
        return objective_called(self.by)

    @property
    def noun(self) -> str:
        """What is compared."""
        return "configuration" if self.configurations else "playbook"

    @property
    def ranking(self) -> list[str]:
        """Playbooks, the best first: those alive with every seed, by the mean of the objective; then the others."""
        return list(dict.fromkeys(self.differences["playbook"]))

    @property
    def alive(self) -> list[str]:
        """The playbooks that keep the service alive with every seed, the best first."""
        return [name for name in self.ranking if self.runs(name)["alive"].all()]

    def runs(self, playbook: str) -> pd.DataFrame:
        """The rows of one playbook, indexed by seed."""
        return self.table[self.table["playbook"] == playbook].set_index("seed")

    def mean(self, playbook: str, metric: str) -> float:
        return float(self.runs(playbook)[metric].mean())

    def __repr__(self) -> str:
        return f"<Comparison over {len(self.seeds)} seeds, best first: {', '.join(self.ranking)}>"


def compare(
    scenario: Given,
    playbooks: Sequence[str] | None = None,
    *,
    seeds: int | Sequence[int] = 5,
    by: str = "images",
    engine: str = "compiled",
    processes: int | None = None,
    progress: Progress | None = None,
) -> tuple[Comparison, list[Run]]:
    """Run playbooks of a scenario, or configurations, with each seed; also the runs of the first seed.

    scenario: one, under each of its `playbooks` (all where None); or configurations with labels, as tuples or by label:
    compare([("as is", scenario, "none"), ("double", scenario.with_(...), "none")]). The first is the baseline. seeds:
    how many (1, 2, ...), or which. by: the objective that ranks them, one of sim.studies.objectives.OBJECTIVES.
    engine: as in simulate. processes: how many runs at once, one per core where None. Each seed also takes one run of
    an unlimited fleet for each scenario (one for all that differ in GPUs alone), against which images, people and
    growth are counted.
    """
    objective = objective_called(by)
    parts = configurations(scenario, playbooks)
    for part in parts:
        if objective.name == "money" and not any(tier.price.dollars for tier in part.scenario.tiers.values()):
            expected = "a tier that pays, like plus: {price: $20 per month}"
            raise BadInput(
                "the scenario has no prices, so no playbook earns anything", key="by", value=by, expected=expected
            )
    numbers = list(range(1, seeds + 1)) if isinstance(seeds, int) else list(dict.fromkeys(seeds))
    if not numbers:
        raise BadInput("a comparison takes one seed or more", key="seeds", value=seeds, expected="1, 2, ...")
    jobs = jobs_of(parts, numbers, engine)
    results = simulate_all([job.task for job in jobs], judged, processes=processes, progress=progress)
    names = [part.label for part in parts]
    done = [(job, *found, run) for job, (found, run) in zip(jobs, results, strict=True)]
    fair = [groups.assign(playbook=job.label) if len(groups) else groups for job, _, groups, _ in done if job.label]
    table = table_of([(job, row) for job, row, _, _ in done], names, numbers)
    comparison = Comparison(
        table,
        differences(table, names, objective),
        names,
        numbers,
        names[0],
        pd.concat(fair, ignore_index=True),
        by,
        {} if isinstance(scenario, Scenario) else {part.label: part.about for part in parts},
        same_people([part.scenario for part in parts]),
    )
    unlimited = {job.reference: run for job, _, _, run in done if run is not None and not job.label}
    kept = [(job, run) for job, _, _, run in done if run is not None and job.label]
    return comparison, [with_offered_load(run, unlimited[job.reference]) for job, run in kept]


@dataclass(frozen=True)
class Job:
    """A run of a comparison: of a label, or ('') of an unlimited fleet; reference: whose unlimited fleet counts."""

    label: str
    reference: Scenario
    task: Task


def jobs_of(parts: Sequence[Configuration], seeds: Sequence[int], engine: str) -> list[Job]:
    """All runs of a comparison: those of the first seed are kept."""
    held: dict[str, Scenario] = {}
    for part in parts:
        held[part.label] = reference_of(part.scenario, list(dict.fromkeys(held.values())))
    bare = Recording(rows=False) if engine == "compiled" else None  # a reference needs no rows
    jobs = []
    for seed in seeds:
        keep = seed == seeds[0]
        for part in parts:
            task = Task(part.scenario, part.playbook, seed, engine, keep=keep)
            jobs.append(Job(part.label, held[part.label], task))
        free = {one: Task(one, None, seed, engine, True, bare, keep) for one in dict.fromkeys(held.values())}
        jobs += [Job("", one, task) for one, task in free.items()]
    return jobs


def table_of(rows: Sequence[tuple[Job, dict[str, Any]]], names: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """The figures of all runs beside those of their unlimited fleets: by seed, in the order asked for."""
    tables = []
    for one in dict.fromkeys(job.reference for job, _ in rows):
        part = [{**row, "playbook": job.label or UNLIMITED} for job, row in rows if job.reference == one]
        tables.append(against_unlimited(pd.DataFrame(part), grows=one.demand.word_of_mouth is not None))
    table = pd.concat(tables, ignore_index=True)
    places = [(seeds.index(s), names.index(n)) for s, n in zip(table["seed"], table["playbook"], strict=True)]
    return table.iloc[sorted(range(len(places)), key=places.__getitem__)].reset_index(drop=True)


def judged(run: Run) -> tuple[dict[str, Any], pd.DataFrame]:
    """What is asked of each run: its figures, and who got how much (without rows where none were recorded)."""
    run = run_in_bins(run)
    groups = fairness(run)
    found = figures(run)
    if groups is None:
        return found, pd.DataFrame()
    of_all = groups.reindex(["all"]).iloc[0]  # nan where nobody asked
    found |= {name: float(of_all[name]) for name in ("images_per_person", "gini", "jain")}
    labels = {"playbook": found["playbook"], "seed": found["seed"]}
    return found, groups.reset_index().assign(**labels)


def figures(run: Run) -> dict[str, Any]:
    """The figures of one run that playbooks are compared by; counts at full scale."""
    v = verdict(run)
    images, people = images_in_time(run), recorded(run).people
    counts = ("in_time", "served", "degraded", "lost", "refused", "abandoned", "retried", "unfinished")
    in_time = images["as_asked"] + images["degraded"]
    return {
        "playbook": run.manifest["playbook"],
        "seed": run.manifest["seed"],
        "alive": v.life.alive,
        "attainment": v.life.attainment,
        **{f"images_{name}": v.full(number) for name, number in images.items()},
        "degraded_share": images["degraded"] / in_time if in_time else math.nan,
        "goodput": v.full(v.goodput),
        **{name: v.full(v.counts[name]) for name in counts},
        "p95_latency": v.latency["p95"].to_dict()["all intents", "latency", "all"],
        "wasted_gpu_hours": v.full(float(v.gpu_hours["wasted"].sum())),
        "gpu_hours": v.full(float(v.gpu_hours["total"].sum())),
        "dollars": v.dollars,
        "revenue": math.nan if v.money is None else v.money.revenue,
        "margin": math.nan if v.money is None else v.money.margin,
        "kwh": v.full(v.energy["kwh"]),
        "kg_co2e": v.full(v.energy["kg_co2e"]),
        "signups": v.full(v.signups["came"]),
        "let_in": v.full(v.signups["let_in"]),
        "invited": v.full(v.signups["invited"]),
        "signups_lost": v.full(v.signups["lost"]),
        "signups_waiting": v.full(v.signups["waiting"]),
        "churned": v.full(v.churned),
        "kept": v.full(people["everybody"] - people["came"] + people["let_in"] - people["churned"]),
        "saturated_seconds": sum(pool.saturated for pool in v.pools),
        "overloaded": v.overloaded_at_horizon,
    }


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


def differences(table: pd.DataFrame, playbooks: list[str], objective: Objective) -> pd.DataFrame:
    """Means and paired differences to the first playbook, with intervals; the best playbook by the objective first."""
    metrics = [str(name) for name in table.columns if name not in LABELS]
    by_seed = {name: table[table["playbook"] == name].set_index("seed") for name in playbooks}
    rows = []
    for name in sorted(playbooks, key=lambda name: standing(by_seed[name], objective)):
        for metric in metrics:
            values, base = (by_seed[which][metric].to_numpy(float) for which in (name, playbooks[0]))
            kind = kind_of(metric, values)
            difference = paired_difference(values, base, kind)
            rows.append((name, metric, float(values.mean()), *mean_interval(values, kind), *difference))
    columns = ["playbook", "metric", "mean", "mean_low", "mean_high", "difference", "low", "high", "p"]
    found = pd.DataFrame(rows, columns=columns)
    others = found[found["playbook"] != playbooks[0]]
    corrected = others.groupby("metric")["p"].transform(lambda p: pd.Series(holm(p), index=p.index))
    return found.assign(p_holm=corrected.reindex(found.index))


def kind_of(metric: str, values: Any) -> Kind:
    """Where a figure can lie. Where people ask again for what was degraded, more can be served than without limits."""
    if metric in SHARES and not (values > 1).any():
        return "share"
    return "any" if metric in SIGNED else "amount"


def standing(runs: pd.DataFrame, objective: Objective) -> tuple[bool, float]:
    """The key by which playbooks are ranked: alive with every seed, then the mean of the objective, the best first."""
    return not runs["alive"].all(), objective.rank_key(float(runs[objective.figure].mean()))
