"""Which playbook to choose, why, what it costs, and what the seeds do not establish: in sentences."""

import math

import numpy as np
import pandas as pd

from sim.results.fairness import WHY_NOT
from sim.results.intervals import CONFIDENCE, FEWEST, holm, precise_after
from sim.studies.compare import Comparison
from sim.studies.differences import difference_of
from sim.studies.objectives import OBJECTIVES
from sim.wording import amount, names_in_words, percent

ALPHA = 1 - CONFIDENCE
PEOPLE_DIFFER = "The people differ: configurations have other demand or behaviour, and share only their seeds."
COVERS = (
    "Intervals (95 %) are for seeds only: they cover chance, and not a wrong demand, patience, retry law, profile or "
    "price, nor that the best was picked after looking."
)


def choice(comparison: Comparison) -> list[str]:
    """Sentences: the playbook to choose and why, the runner-up, what each costs, and what is not established."""
    order = comparison.alive
    if len(comparison.playbooks) < 2:
        return []
    if comparison.table["attainment"].isna().all():
        return [f"NOTHING WAS DECIDED in any run: no request was, so no {comparison.noun} is better than another."]
    if not order:
        return [none_alive(comparison), *caveats(comparison, comparison.ranking[0])]
    best, *others = order
    found = [chosen_sentence(comparison, best, len(order)), *broken_sentence(comparison, best)]
    if others:
        found.append(runner_up_sentence(comparison, best, others[0]))
    found += [cost_sentence(comparison, name) for name in order[:2]]
    found.append(fairness_sentence(comparison, best))
    return [*found, *not_eligible(comparison), *caveats(comparison, best)]


def caveats(comparison: Comparison, best: str) -> list[str]:
    """What would change the choice, and what is not known."""
    return [
        *other_objectives(comparison, best),
        *quality_sentence(comparison, best),
        *not_established(comparison, best),
    ]


def objective_sentence(comparison: Comparison) -> str:
    """What playbooks are ranked by, for the head of a table."""
    objective = comparison.objective
    chats = " and a chat as an image" if "p95_first_token" in comparison.table else ""
    counts = f"; a degraded image counts by its stated quality{chats}" if comparison.by in ("images", "cost") else ""
    return (
        f"Ranked by {objective.says}{counts}. Staying alive with every seed is a condition: {comparison.noun}s "
        f"that do not are listed last. {who_comes(comparison)}"
    )


def who_comes(comparison: Comparison) -> str:
    """Whether all runs of a seed meet the same people."""
    if not comparison.same_people:
        return PEOPLE_DIFFER
    brought = ", apart from those whom images bring" if "growth_lost" in comparison.table else ""
    return f"All {comparison.noun}s meet the same people{brought}."


def chosen_sentence(comparison: Comparison, best: str, alive: int) -> str:
    objective = comparison.objective
    reached = f"{objective.written(comparison.mean(best, objective.figure))} {objective.got}{bounds(comparison, best)}"
    most = "the most" if objective.more_is_better else "the least"
    among = f"of the {alive} {comparison.noun}s that keep the service alive with {every_seed(comparison)}"
    why = f"{among}, it has {most} by this measure, {reached}."
    if equal := equals(comparison, best):
        means = [comparison.mean(name, "dollars") for name in (best, *equal)]
        rule = "it is the cheapest" if min(means[1:]) > means[0] else "they cost the same, and it was named first"
        all_of = names_in_words(["it", *(f"'{name}'" for name in equal)])
        why = f"{among}, {all_of} have {most} by this measure, equal with {every_seed(comparison)}, {reached}; {rule}."
    if alive == 1:
        why = f"it alone keeps the service alive with {every_seed(comparison)}, with {reached}."
    if comparison.same_people:
        return f"Choose '{best}': {why}"
    return (
        f"'{best}' comes first: {why} Not all meet the same people, so it is a choice only if demand and behaviour are "
        "yours to choose."
    )


def broken_sentence(comparison: Comparison, best: str) -> list[str]:
    """The promises of the scenario that the best breaks, and the playbooks that are alive and break none."""
    broken = comparison.broken
    if not broken[best]:
        return []
    keep = [name for name in comparison.alive if not broken[name]]
    others = (
        f"{quoted(keep)} break{'s' if len(keep) == 1 else ''} none" if keep else "no other that stays alive keeps all"
    )
    return [f"But '{best}' breaks what the scenario promises: {names_in_words(broken[best])}; {others}."]


def none_alive(comparison: Comparison) -> str:
    best, objective = comparison.ranking[0], comparison.objective
    reached = objective.written(comparison.mean(best, objective.figure))
    same = equals(comparison, best)
    first = f"{quoted([best, *same])} come first, equal," if same else f"'{best}' comes first"
    return (
        f"No {comparison.noun} keeps the service alive with {every_seed(comparison)}, so no {comparison.noun} is "
        f"recommended; {first} by the measure alone, with {reached} {objective.got}."
    )


def every_seed(comparison: Comparison) -> str:
    count = len(comparison.seeds)
    return "the one seed" if count == 1 else f"all {count} seeds"


def bounds(comparison: Comparison, name: str) -> str:
    """The interval of a playbook's mean, where there is one."""
    objective, rows = comparison.objective, comparison.differences
    row = rows[(rows["playbook"] == name) & (rows["metric"] == objective.figure)].iloc[0]
    if not row["mean_low"] < row["mean_high"]:
        return ""
    return f" ({objective.written(row['mean_low'])} to {objective.written(row['mean_high'])})"


def equals(comparison: Comparison, best: str) -> list[str]:
    """The others, alive as the best is or dead as it is, with its figure in every seed: none sets them apart."""
    figure = comparison.objective.figure
    ours = comparison.runs(best)[figure].to_numpy(float)
    as_alive = comparison.alive if best in comparison.alive else comparison.ranking
    others = [name for name in as_alive if name != best]
    return [name for name in others if np.allclose(comparison.runs(name)[figure], ours, rtol=1e-12, atol=0.0)]


def quoted(names: list[str]) -> str:
    return names_in_words([f"'{name}'" for name in names])


def runner_up_sentence(comparison: Comparison, best: str, second: str) -> str:
    if second in equals(comparison, best):
        return f"Runner-up: '{second}', which no seed sets apart from it by this measure."
    objective, figures = comparison.objective, against(comparison, best).to_dict("index")[second]
    sign = 1 if figures["difference"] >= 0 else -1
    low, high = sorted((sign * figures["low"], sign * figures["high"]))
    apart = objective.apart(abs(figures["difference"]), low, high)
    unclear = ", which these seeds do not establish" if figures["p_holm"] >= ALPHA else ""
    return (
        f"Runner-up: '{second}', with {objective.written(comparison.mean(second, objective.figure))}, {apart} behind"
        f"{unclear}."
    )


def cost_sentence(comparison: Comparison, name: str) -> str:
    """What a playbook costs in people and money."""
    mean = comparison.runs(name).drop(columns="playbook").mean()
    each = comparison.mean(name, "dollars_per_1000_images")
    in_time, degraded = mean["images_as_asked"] + mean["images_degraded"], mean["degraded_share"]
    lesser = f", {percent(degraded)} of them degraded" if degraded > 0 else ""
    return (
        f"'{name}' gives {amount(in_time)} images in time{lesser}, and keeps {percent(mean['people_share'])} of the "
        f"people whom an unlimited fleet keeps: {amount(mean['signups_lost'])} signups are lost, "
        f"{amount(mean['signups_waiting'])} still wait at the end, {amount(mean['churned'])} people leave for good. It "
        f"costs ${amount(mean['dollars'])}, {f'${amount(each)}' if math.isfinite(each) else 'no price'} for a thousand "
        "images in time."
    )


def fairness_sentence(comparison: Comparison, name: str) -> str:
    """Which part of what they asked for each group of people got, or why that is not known."""
    if comparison.fairness.empty:
        return WHY_NOT
    of_it = comparison.fairness[comparison.fairness["playbook"] == name]
    means = of_it.groupby("group", sort=False)[["served_share", "gini", "jain"]].mean()
    groups = ", ".join(f"{group} {percent(share)}" for group, share in means["served_share"].items() if group != "all")
    return (
        f"Under '{name}' a person got on average {percent(means['served_share']['all'])} of the images they asked for: "
        f"{groups}. Gini {amount(means['gini']['all'])}, Jain {amount(means['jain']['all'])}."
    )


def not_eligible(comparison: Comparison) -> list[str]:
    """The playbooks that are not alive, with their figures: some of them may give people more."""
    dead = [name for name in comparison.ranking if name not in comparison.alive]
    if not dead:
        return []
    objective = comparison.objective
    listed = ", ".join(f"'{name}' ({objective.written(comparison.mean(name, objective.figure))})" for name in dead)
    return [f"Not alive with {every_seed(comparison)}, so not to be chosen: {listed}."]


def other_objectives(comparison: Comparison, best: str) -> list[str]:
    """Where another objective would choose another playbook of those that are alive."""
    found = []
    for name, other in OBJECTIVES.items():
        if name == comparison.by or not comparison.alive or other.figure not in comparison.table:
            continue
        means = {playbook: comparison.mean(playbook, other.figure) for playbook in comparison.alive}
        first = min(means, key=lambda playbook: other.rank_key(means[playbook]))
        if other.rank_key(means[first]) < other.rank_key(means[best]):
            ours, theirs = comparison.runs(first), comparison.runs(best)
            apart = difference_of(ours, theirs.reindex(ours.index), other.figure)
            unclear = ", which these seeds do not establish" if apart.p >= ALPHA else ""
            one, another = other.written(means[first]), other.written(means[best])
            by = f", {other.apart(abs(apart.mean))} apart" if one == another else ""
            said = f"'{first}' would come first: {one} against {another}{by}{unclear}"
            found.append(f"By {other.title}, {said} (--by {name}).")
    return found


def quality_sentence(comparison: Comparison, best: str) -> list[str]:
    """The quality of a degraded image at which another playbook would come first; the same for all features."""
    if comparison.by != "images":
        return []
    parts = [f"images_{part}" for part in ("as_asked", "degraded", "worth")]
    sums = {name: [comparison.mean(name, part) for part in parts] for name in comparison.alive}
    if best not in sums:
        return []
    asked, degraded, worth = sums[best]
    if not any(other[1] for other in sums.values()):
        return []
    found = []
    for name, (other_asked, other_degraded, other_worth) in sums.items():
        if other_degraded != degraded and worth > other_worth:
            at = (other_asked - asked) / (degraded - other_degraded)
            if 0 < at < 1:
                found.append((at, degraded > other_degraded, name))
    below = max(((at, name) for at, falls, name in found if falls), default=None)
    above = min(((at, name) for at, falls, name in found if not falls), default=None)
    changes = [f"below {percent(below[0])} of one as asked for, '{below[1]}' would come first"] if below else []
    changes += [f"above {percent(above[0])} of one as asked for, '{above[1]}' would come first"] if above else []
    if not changes:
        return [f"Whatever a degraded image is worth, from nothing to all of one as asked for, '{best}' stays first."]
    return [f"The choice depends on what a degraded image is worth: {'; '.join(changes)}."]


def against(comparison: Comparison, best: str) -> pd.DataFrame:
    """The best against every other playbook by the objective, paired by seed: one row each, p corrected by Holm."""
    objective, ours = comparison.objective, comparison.runs(best)
    rows = {
        name: difference_of(ours, comparison.runs(name).reindex(ours.index), objective.figure)
        for name in comparison.ranking
        if name != best
    }
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["difference", "low", "high", "p"])
    return table.assign(p_holm=holm(table["p"]))


def imprecise(comparison: Comparison, until: float | None) -> list[str]:
    """That playbooks are known less precisely than was asked for, after the most seeds or an interrupt."""
    objective = comparison.objective
    wide = [
        name
        for name in comparison.playbooks
        if until is not None and precise_after(comparison.runs(name)[objective.figure], until, objective.kind) is None
    ]
    if not wide:
        return []
    return [
        f"NOT AS PRECISE AS ASKED FOR after {len(comparison.seeds)} seeds: {quoted(wide)}; --most-seeds allows more."
    ]


def not_established(comparison: Comparison, best: str) -> list[str]:
    """Which differences from the best may be chance, and what an interval covers."""
    if len(comparison.seeds) < FEWEST:
        few = "One seed says" if len(comparison.seeds) == 1 else "Two seeds say"
        return [f"{few} nothing about chance, so no difference is established: use --seeds {FEWEST} or more."]
    rows, same = against(comparison, best), equals(comparison, best)
    unknown = [str(name) for name, p in rows["p_holm"].items() if math.isnan(p) and name not in same]
    open_ = [str(name) for name, p in rows["p_holm"].items() if p >= ALPHA and name not in same]
    found = []
    if same:
        found.append(f"No seed sets {quoted([best, *same])} apart by this measure, and more seeds may not either.")
    if open_:
        compared = len(rows) - len(unknown)
        many = "one comparison" if compared == 1 else f"{compared} comparisons"
        said = f"Differences not established (p of 5 % or more by Holm, {many}): '{best}' against {quoted(open_)}."
        found.append(f"{said} More seeds would tell.")
    if unknown:
        found.append(
            f"The difference of '{best}' from {quoted(unknown)} is not known, as in some seed there is no figure."
        )
    if len(open_) + len(same) + len(unknown) < len(rows):
        others = "all others" if not found else "the rest"
        found.append(f"The differences of '{best}' from {others} are established (p below 5 % by Holm).")
    return [*found, COVERS]
