"""A decision under uncertainty in plain sentences: what to choose, why nothing cheaper, and what that rests on."""

import math
from typing import Any

import pandas as pd

from sim.results.intervals import FEWEST
from sim.studies.decide import LOSSES, SAME, Decision, least
from sim.wording import amount, in_gpus, names_in_words, percent, usd

ALPHA = 0.05
OFTEN = 0.9  # of the runs, for a service that is to stay alive


def sentences(found: Decision) -> list[str]:
    """The decision for the person who has to make it, the choice first."""
    if found.futures == 0:
        return ["INTERRUPTED: no future is done yet; the same command goes on where this one stopped."]
    lines = [choice(found)]
    if found.best is not None:
        lines += [
            *mostly_dead(found),
            *promised(found),
            *runner_up(found),
            *cheaper(found),
            *by_worst(found),
            *at_an_end(found),
        ]
    return [*lines, *information(found), *basis(found)]


def by_worst(found: Decision) -> list[str]:
    """The choice of least worst regret, where it is another."""
    if found.best is None or found.minimax == found.best:
        return []
    row: Any = found.options.loc[found.minimax]
    worst = written(found, float(found.options["worst_regret"][found.best]))
    return [
        f"By the worst regret alone, the choice would be {row['label']}: its worst regret is "
        f"{written(found, row['worst_regret'])}, against {worst}."
    ]


def at_an_end(found: Decision) -> list[str]:
    """Whether the choice is the largest or the smallest of several fleets, so that one beyond may be better."""
    assert found.best is not None
    gpus = found.options["gpus"].tolist()
    ends = {max(gpus): "larger", min(gpus): "smaller"}
    side = ends.get(gpus[found.best]) if len(ends) == 2 else None
    if side is None or (side == "larger" and found.by == "images"):
        return []
    mine = found.options.loc[found.best]
    others = found.options[(found.options["playbook"] == mine["playbook"]) & (found.options["gpus"] != mine["gpus"])]
    nearest = others.loc[(others["gpus"] - mine["gpus"]).abs().sort_values().index[:1]]
    if (nearest["regret"] < mine["regret"]).any():  # towards the end it grows: the others are not alive often enough
        return []
    return [f"No {side} fleet is on the menu, and one may have less regret: name it in --fleets."]


def written(found: Decision, value: float) -> str:
    """A loss or a regret with its unit."""
    if math.isnan(value):
        return "unknown"
    return f"{amount(value)} images" if found.by == "images" else usd(value)


def choice(found: Decision) -> str:
    """The option of least expected regret."""
    if found.best is None:
        most = found.options["alive"].max()
        nearest = names_in_words(found.options[found.options["alive"] == most]["label"].tolist())
        said = (
            f"; the most, {percent(most)}, {'do' if ' and ' in nearest else 'does'} {nearest}"
            if most
            else ", or in any"
        )
        return f"NONE of these options stays alive in {percent(found.alive)} of runs{said}."
    row: Any = found.options.loc[found.best]
    bound = f" ({written(found, row['regret_low'])} to {written(found, row['regret_high'])})"
    known = bound if row["regret_low"] < row["regret_high"] else ""
    among = f" of the options that stay alive in {percent(found.alive)} of runs" if found.alive else ""
    several = found.options["gpus"].nunique() > 1
    where = f" (GPUs of pool '{found.pool}')" if found.stay and several else ""
    return (
        f"CHOOSE {row['label']}{where}: the least expected regret{among}, {written(found, row['regret'])}{known}, at "
        f"worst {written(found, row['worst_regret'])}. It {life(found, row)}, and is the best option in "
        f"{percent(row['best'])} of futures."
    )


def mostly_dead(found: Decision) -> list[str]:
    """That the choice fails in most futures, where nothing asks for more, and what would be chosen if something did."""
    assert found.best is not None
    if found.alive > 0 or found.options["alive"][found.best] >= 0.5:
        return []
    often = found.options[found.options["alive"] >= OFTEN]
    other = f"no option of the menu stays alive in {percent(OFTEN)} of runs"
    if not often.empty:
        row: Any = often.loc[least(often, "regret")]
        other = f"with --alive {100 * OFTEN:.0f}% it would be {row['label']}, whose regret is "
        other += written(found, row["regret"])
    return [f"NOT ALIVE in most futures: losses alone choose it, and no condition asks for more; {other}."]


def promised(found: Decision) -> list[str]:
    """How often the choice keeps what the scenario promises, and what would, where it seldom does."""
    assert found.best is not None
    if "promised" not in found.options:
        return []
    kept, of_all = found.options["promised"], "futures" if found.seeds == 1 else "runs"
    said = f"It keeps all that the scenario promises in {percent(kept[found.best])} of {of_all}"
    if kept[found.best] >= OFTEN:
        return [f"{said}."]
    often = found.options[(kept >= OFTEN) & (found.options["alive"] >= found.alive - SAME)]
    if often.empty:
        return [f"{said}; no option of the menu that may be chosen does so in {percent(OFTEN)}."]
    row: Any = often.loc[least(often, "regret")]
    instead = f"{row['label']} does so in {percent(row['promised'])}, with a regret of {written(found, row['regret'])}"
    return [f"{said}; of those that do in {percent(OFTEN)} or more, {instead}, has the least."]


def life(found: Decision, row: Any) -> str:
    """The chance of staying alive."""
    known = (
        f" ({percent(row['alive_low'])} to {percent(row['alive_high'])})"
        if row["alive_low"] == row["alive_low"]
        else ""
    )
    return f"stays alive in {percent(row['alive'])} of {'futures' if found.seeds == 1 else 'runs'}{known}"


def named(options: pd.DataFrame) -> str:
    """Options in words."""
    return names_in_words([str(label) for label in options["label"]])


def runner_up(found: Decision) -> list[str]:
    """The option of the next least regret, unless its GPUs are cheaper, and whether the futures set the two apart."""
    second = found.runner_up
    if found.best is None or second is None or second in found.cheaper.index:
        return []
    row: Any = found.options.loc[second]
    if row["more_lost"] == row["more_low"] == row["more_high"] == 0:
        same = found.options[(found.options[["more_lost", "more_low", "more_high"]] == 0).all(axis=1)]
        others = same.drop(index=found.best, errors="ignore")
        free = others[others["dollars"] <= float(found.options["dollars"][found.best]) * (1 + SAME)]
        why = "the choice between them is free" if len(free) == len(others) else "its GPUs cost least"
        if 0 < len(free) < len(others):
            why = f"of those whose GPUs cost no more the choice is free: it and {named(free)}"
        return [f"No better than {named(others)}: the losses are the same in every future, and {why}."]
    bound = f" ({written(found, row['more_low'])} to {written(found, row['more_high'])})"
    known = bound if row["more_low"] < row["more_high"] else ""
    more = f"{written(found, row['more_lost'])} more on average{known}{unclear(found, row)}"
    return [f"Runner-up: {row['label']}, which loses {more}."]


def unclear(found: Decision, row: Any) -> str:
    """That these futures do not establish a difference of losses, and why; nothing where they do."""
    if row["p"] < ALPHA:
        return ""
    if found.futures < FEWEST:
        return f", which {found.futures} futures cannot establish"
    if row["more_low"] > 0:
        many = len(found.options) - 1
        return f", which is established alone, but not among {many} comparisons (p of 5 % or more by Holm)"
    return ", which these futures do not establish (p of 5 % or more by Holm)"


def cheaper(found: Decision) -> list[str]:
    """For every option with cheaper GPUs, why it is not chosen."""
    if found.cheaper.empty or found.best is None:
        return ["No option on the menu has cheaper GPUs."]
    mine = float(found.options["dollars"][found.best])
    lines = []
    for _, row in found.cheaper.sort_values("dollars", ascending=False).iterrows():
        bound = f" ({written(found, row['more_low'])} to {written(found, row['more_high'])})"
        known = row["more_low"] < row["more_high"]
        why = f"on average it loses {written(found, row['more_lost'])} more{bound if known else ''}"
        if row["alive"] < found.alive:
            why = f"it stays alive in {percent(row['alive'])} of runs only, {percent(found.alive)} are asked for"
        else:
            why += unclear(found, row)
        lines.append(
            f"Not {row['label']}, ${amount(mine - row['dollars'])} cheaper in GPUs: {why}; its worst regret is "
            f"{written(found, row['worst_regret'])}, and it {life(found, row)}."
        )
    return lines


def information(found: Decision) -> list[str]:
    """The expected value of perfect information; of no option, where none may be chosen, it is nothing to speak of."""
    if found.best is None:
        return []
    return [
        f"Knowing the future beforehand would be worth {written(found, found.evpi)} on average (expected value of "
        "perfect information): no forecast, and no measurement of an input, is worth more."
    ]


def earns_the_same(found: Decision) -> bool:
    """Whether fleets of the menu differ under the playbook that is chosen, and their losses only by what GPUs cost."""
    assert found.best is not None
    runs = found.runs[found.runs["playbook"] == found.options["playbook"][found.best]]
    earned = runs.assign(earned=runs["dollars"] - runs["loss"]).groupby(["future", "seed"])["earned"]
    apart = (earned.max() - earned.min()).max()
    several = found.options.groupby("playbook")["gpus"].nunique()[found.options["playbook"][found.best]] > 1
    return bool(several and apart <= SAME * runs["loss"].abs().max())


def basis(found: Decision) -> list[str]:
    """What a loss is, what the futures are, and the menu."""
    done = f"{found.futures} of {found.planned}" if found.futures < found.planned else f"{found.futures}"
    inputs = "; ".join(f"{key} {text}" for key, text in found.inputs.items())
    drawn = f"in which {inputs}" if inputs else "that differ by chance alone, since no input is uncertain"
    lines = [f"A loss is {LOSSES[found.by]}, of the whole service and the run. From {done} futures {drawn}."]
    if found.by != "images" and found.best is not None and earns_the_same(found):
        lines.append(
            "THE SAME IS EARNED by every fleet with the playbook that is chosen, in every future, so the cost of GPUs "
            "alone decides, whatever people get. Images that are late cost nothing unless 'churn_late' says so."
        )
    if found.by == "images":
        lines.append(
            "GPUs count nothing in these losses, so more of them never lose: state prices of tiers, or what an image "
            "in time is worth (--image-worth)."
        )
    if found.seeds > 1:
        lines.append(
            f"The loss of the option chosen differs by {written(found, found.future_sd)} between futures and by "
            f"{written(found, found.seed_sd)} between seeds of one future (standard deviations)."
        )
    menu = names_in_words([str(label) for label in found.options["label"]])
    if found.kind and found.options["gpus"].nunique() > 1:
        lines.append(f"The fleets of pool '{found.pool}' differ in GPUs of kind '{found.kind}'; the other kinds stay.")
    if found.stay and found.options["gpus"].nunique() > 1:
        others = names_in_words([f"pool '{pool}' at {in_gpus(gpus)}" for pool, gpus in found.stay.items()])
        lines.append(f"The fleets are those of pool '{found.pool}'; the rest stays: {others}.")
    lines.append(f"Regret is against the best of this menu, and another menu has other regrets: {menu}.")
    lines.append("Every option meets the same people in the same futures; whether the laws are right is not covered.")
    return lines
