"""The reports of a size and of a decision: the first screen, then everything looked at, by the frame of all reports."""

from collections.abc import Mapping, Sequence
from functools import partial

import pandas as pd

from sim.plots import regret_figure, size_figure
from sim.report import words
from sim.report.blocks import Blanks, Block, Lines, Part, Picture
from sim.report.ranking import looks_table, options_table, savings_table
from sim.report.switches import switch_sentences
from sim.results.run import Run
from sim.studies.decide import Decision
from sim.studies.decide_words import (
    at_an_end,
    basis,
    by_worst,
    cheaper,
    choice,
    information,
    mostly_dead,
    promised,
    written,
)
from sim.studies.demand_multiple import Multiple
from sim.studies.size import VERIFY, Size
from sim.studies.size_words import (
    best_of,
    multiple_sentences,
    not_about,
    of_kinds,
    passed_over,
    savings,
    sentences,
    verdict_words,
)
from sim.wording import amount, in_gpus, percent

RESTS = "What would change the answer, and what it rests on"
RUN_OF_SIZE = (
    "The sections below are of one run with this fleet, or with the scenario's own where there is no answer, and say "
    "nothing about chance. No number of runs protects against wrong inputs; 'meltpoint sensitivity' varies them."
)
RUN_OF_DECISION = (
    "The sections below are of one run of the option chosen, with every uncertain input at its median; they say "
    "nothing about chance. Options that are not on the menu, and wrong laws, are not covered."
)


def size_parts(found: list[Size], run: Run) -> list[Part]:
    """The first parts of the report of `size`: the answer with its curve, and all that was looked at."""
    best = best_of(found)
    said = sentences(best)
    several = sorted({one.runs for one in found}, reverse=True)
    besides = [*passed_over(best), *not_about(best)] if best.gpus else []
    blocks: list[Block] = [Lines([said[0], *besides, *to_do(best, run), *runner_up_size(best, found)], "answer")]
    if any(len(one.table) for one in found):
        blocks.append(curve(found, best))
    for share in several if len(found) > 1 else []:
        of_share = [one for one in found if one.runs == share]
        title = f"The smallest fleets, in {percent(share)} of runs"
        blocks.append(savings_table(savings(of_share), of_share[0].label, title))
    blocks += [Lines([line for line in said[1:] if line not in besides], "list", RESTS), Blanks()]
    return [Part("answer", "The answer", blocks), looked_at([one for one in found if len(one.table)])]


def looked_at(found: Sequence[Size | Multiple]) -> Part:
    """The tables of the searches, and what stands below them."""
    tables = [looks_table(one.table, share=one.target > 0) for one in found]
    return Part("looks", "Everything that was looked at", [*tables, Lines([RUN_OF_SIZE], "note")], fresh=True)


def to_do(found: Size, run: Run) -> list[str]:
    """How many GPUs to order, and by when they must be there."""
    lines = []
    if found.beside and found.gpus:
        ((pool, own),) = found.own.items()
        mix = of_kinds(found, pool).strip(" ()")
        order = "'meltpoint order-by' has the day to order"
        return [f"To do: have {mix} in pool '{pool}', in place of {in_gpus(own)} in this scenario; {order}."]
    for pool, gpus in found.gpus.items():
        more = gpus - found.own[pool]
        have = f"the {found.own[pool]:,} that pool '{pool}' has in this scenario"
        if more > 0:
            lines.append(f"To do: get {in_gpus(more)} more than {have}.")
        else:
            lines.append(
                f"To do: order nothing; {f'{-more:,} of {have} are to spare' if more else f'{have} are enough'}."
            )
    if not found.gpus:
        return ["To do: another playbook, promise or service; GPUs alone do not keep this one."]
    if found.needed == found.needed:
        when = words.instant(run, found.needed)
        lines.append(
            f"By when: before {when} UTC, when first requests begin to need more than the scenario's GPUs. 'meltpoint "
            "order-by' has the day to order, from a lead time."
        )
    else:
        lines.append("By when: in no window do first requests alone need more GPUs than the scenario has.")
    return lines


def runner_up_size(best: Size, found: list[Size]) -> list[str]:
    """The next smallest fleet, under another playbook or a step fewer; and the cost of both."""
    others = [one for one in found if one is not best and one.gpus and one.runs == best.runs]
    if best.gpus and others:
        other = best_of(others)
        beside, more = f" beside {other.beside}" if other.beside else "", other.total - best.total
        count = f"{abs(more):,} {'more' if more > 0 else 'fewer'}" if more else "as many"
        return [
            f"Runner-up: under '{other.playbook}'{beside} it takes {in_gpus(other.total)}, {count}, "
            f"and ${amount(other.dollars)} for the run against ${amount(best.dollars)}."
        ]
    lines = []
    for pool, look in best.neighbours.items():
        fleet = {**best.gpus, pool: best.gpus[pool] - best.steps[pool]}
        rows, where = of_fleet(best, fleet), f" in pool '{pool}'" if len(fleet) > 1 else ""
        if len(rows):
            lines.append(
                f"Runner-up: a step fewer{where}, {in_gpus(sum(fleet.values()))}, costs "
                f"${amount(rows['dollars'].iloc[0])} for the run against ${amount(best.dollars)}, and "
                f"{verdict_words(look).replace('is undecided', 'may miss the promise')}."
            )
    return lines


def of_fleet(found: Size, fleet: Mapping[str, int]) -> pd.DataFrame:
    """The rows of the runs that judged a fleet; fleets of as many GPUs may be divided in other ways."""
    rows = found.table[(found.table["stage"] == VERIFY) & (found.table["gpus"] == sum(fleet.values()))]
    for pool, gpus in fleet.items():
        rows = rows[rows[f"gpus of {pool}"] == gpus] if f"gpus of {pool}" in rows else rows
    return rows


def curve(found: list[Size], best: Size) -> Picture:
    """The capacity curve of each search."""
    answer = f"; {in_gpus(best.total)} is the answer" if best.gpus else ""
    knee = f", the knee is at {amount(best.knee)}" if best.knee == best.knee else ""
    alt = f"Lines of what is reached against the number of GPUs, for '{best.promise}'{answer}{knee}."
    caption = (
        "What each fleet reaches, with 95 % intervals over runs. Squares: with seeds that the search had not seen. "
        "Dashed: the answer. Dotted: what is promised."
    )
    return Picture(partial(size_figure, found if len(found) > 1 else found[0]), alt, caption)


def multiple_parts(found: list[Multiple]) -> list[Part]:
    """The first parts of the report of `size --demand`."""
    best = max(found, key=lambda one: one.holds)
    said = multiple_sentences(best)
    others = [f"Under '{one.playbook}': {multiple_sentences(one)[0]}" for one in found if one is not best]
    rests = Lines(said[1:], "list", RESTS)
    return [Part("answer", "The answer", [Lines([said[0], *others], "answer"), rests, Blanks()]), looked_at(found)]


def decision_parts(found: Decision, run: Run) -> list[Part]:
    """The first parts of the report of `decide`: the choice with its regrets, and the whole menu."""
    fates = [] if found.best is None else [*mostly_dead(found), *promised(found)]
    blocks: list[Block] = [
        Lines([choice(found), *fates, *in_force(found, run), *runner_up(found)], "answer"),
        regrets(found),
        Lines(cheaper(found), "list", "Why nothing cheaper"),
    ]
    if found.best is not None:
        blocks.append(Lines(switch_sentences(run), "steps", f"What '{run.manifest['playbook']}' does, in order"))
    end = [] if found.best is None else at_an_end(found)
    rests = [*by_worst(found), *end, *found.changes, *information(found), *basis(found)]
    blocks += [Lines(rests, "list", RESTS), Blanks()]
    note = Lines([RUN_OF_DECISION], "note")
    menu = Part("options", "All options", [options_table(found), note], fresh=True)
    return [Part("answer", "The answer", blocks), menu]


def in_force(found: Decision, run: Run) -> list[str]:
    """By when the choice must be in force."""
    if found.best is None:
        return []
    return [
        f"By when: in every run the fleet is in service from the start, {words.instant(run, 0)} UTC, and the playbook "
        "is ready; 'meltpoint order-by' finds how much later GPUs may come, 'meltpoint rescue' how much later a "
        "playbook may begin."
    ]


def runner_up(found: Decision) -> list[str]:
    """The second least expected regret, and what both cost."""
    if found.best is None or found.runner_up is None:
        return []
    best, other = (found.options.loc[place].to_dict() for place in (found.best, found.runner_up))
    return [
        f"Runner-up: {other['label']}, regret {written(found, other['regret'])}; its GPUs cost "
        f"${amount(other['dollars'])}, those of the choice ${amount(best['dollars'])}."
    ]


def regrets(found: Decision) -> Picture:
    said = ", ".join(
        f"{row['label']} {written(found, row['regret'])}" for row in found.options.head(12).to_dict("records")
    )
    caption = (
        "Expected regret: how much each option loses, on average over the futures, more than the best option of the "
        "menu in the same future. Light is little; the choice is in a frame."
    )
    return Picture(partial(regret_figure, found), f"Fields of expected regret by fleet and playbook: {said}.", caption)
