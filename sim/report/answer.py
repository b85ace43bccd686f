"""The first screen of a comparison's report: the answer, what to do, the alternatives, and what would change it."""

from sim.report import words
from sim.report.blocks import Blanks, Block, Lines, Part
from sim.report.ranking import figures_of, mean
from sim.report.switches import switch_sentences
from sim.report.tables import Table
from sim.results.pool_verdict import from_warm_up
from sim.results.verdict import Verdict
from sim.studies.choice import (
    broken_sentence,
    chosen_sentence,
    none_alive,
    not_eligible,
    not_established,
    other_objectives,
    quality_sentence,
    runner_up_sentence,
    who_comes,
)
from sim.studies.compare import Comparison
from sim.studies.differences import title_of

MOST_SWITCHES = 8  # on the first screen
FIGURES = (
    *("in_time", "attainment", "degraded_share", "p95_latency", "p95_first_token", "p95_per_token"),
    *("people_share", "signups_lost", "churned", "dollars", "dollars_per_1000_images", "margin"),
)  # with a line each, but for figures that are 0 or not known for all


def answer(comparison: Comparison, v: Verdict, baseline: Verdict) -> Part:
    """The choice and all that a person who decides needs of it. v: of a run of the best playbook."""
    certain, *open_ = not_established(comparison, comparison.ranking[0])
    switches = switch_sentences(v.run)
    if len(switches) > MOST_SWITCHES:
        more = f"And {len(switches) - MOST_SWITCHES} more, under the switches below."
        switches = [*switches[:MOST_SWITCHES], more]
    title = f"What '{comparison.ranking[0]}' does, in order" + ("" if comparison.alive else " (not recommended)")
    blocks: list[Block] = [
        Lines([*decision(comparison), certain, *by_when(baseline)], "answer"),
        Lines(switches, "steps", title),
        alternatives(comparison),
        Lines([*changes(comparison), *open_], "list", "What would change the answer, and what is not known"),
        Blanks(),
    ]
    return Part("answer", "The answer", blocks)


def decision(comparison: Comparison) -> list[str]:
    """The playbook to choose, its number and its interval; the runner-up."""
    if not comparison.alive:
        return [none_alive(comparison)]
    best, *others = comparison.alive
    found = [chosen_sentence(comparison, best, len(comparison.alive)), *broken_sentence(comparison, best)]
    return [*found, *([runner_up_sentence(comparison, best, others[0])] if others else [])]


def by_when(baseline: Verdict) -> list[str]:
    """When help must be in force: as soon as the first pool saturates under the baseline."""
    hot = [pool for pool in baseline.pools if pool.first_saturated == pool.first_saturated]
    if not hot:
        return []
    first = min(hot, key=lambda pool: pool.first_saturated)
    since = words.instant(baseline.run, first.first_saturated)
    happens = f"pool '{first.name}' saturates"
    if from_warm_up(baseline.run, first.first_saturated):
        happens = f"the warm-up ends and pool '{first.name}' is saturated already"
    return [
        f"By when: before {since} UTC, {words.seconds(first.first_saturated)} after the start, when {happens} under "
        f"'{baseline.run.manifest['playbook']}'."
    ]


def changes(comparison: Comparison) -> list[str]:
    """What another objective or quality would choose, and what is not alive."""
    best = comparison.ranking[0]
    return [
        *other_objectives(comparison, best),
        *quality_sentence(comparison, best),
        *(not_eligible(comparison) if comparison.alive else []),
    ]


def beside(comparison: Comparison) -> dict[str, str]:
    """The playbooks that are shown beside each other, with what each is: the first two and the baseline."""
    first, baseline = comparison.ranking[:2], comparison.baseline
    names = first if baseline in first else [*first, baseline]
    return {name: role(comparison, name, place) for place, name in enumerate(names)}


def role(comparison: Comparison, name: str, place: int) -> str:
    """What a playbook is in the ranking."""
    standing = ("choice", "runner-up")[place : place + 1] if name in comparison.alive else ("not alive",)
    return ", ".join([*standing, *(["baseline"] if name == comparison.baseline else [])])


def alternatives(comparison: Comparison) -> Table:
    """What the choice, the second and the baseline give and cost; one row per figure, means over seeds."""
    shown = beside(comparison)
    columns = {name: figures_of(comparison, name) for name in shown}
    objective, runs = comparison.objective, [comparison.runs(name)["alive"] for name in shown]
    unit: words.Unit = "share" if objective.kind == "share" else "dollars"
    rows = [
        ["alive", *(f"{int(alive.sum())} of {len(alive)} seeds" for alive in runs)],
        [objective.title, *(mean(f[objective.figure], unit) for f in columns.values())],
    ]
    for metric in FIGURES:
        values = [float(found[metric]["mean"]) for found in columns.values() if metric in found]
        if metric != objective.figure and any(value == value and value != 0 for value in values):
            rows.append([title_of(metric), *(words.figure(metric, value) for value in values)])
    head = ["", *(f"{name} ({role})" for name, role in shown.items())]
    note = f"Means over the seeds, in brackets with 95 % intervals. {who_comes(comparison)}"
    return Table("What each gives and costs", head, rows, note=note)
