"""The point of no return in plain sentences: the answer, what is lost with and without the playbook, the standard."""

import math

from sim.results.metrics import outcomes
from sim.results.storms import HEALTHY
from sim.studies.rescue import HALF, Rescue
from sim.wording import amount, duration, percent


def sentences(found: Rescue) -> list[str]:
    """The answer for a person on call."""
    by = found.shares.set_index("begins")
    name, never, best = found.playbook, by.iloc[-1], float(by["lost"].min())
    if nothing_decided(found):
        return [NOTHING]
    if never["saved"] > 0.5:
        lines = [nothing_to_save(found)]
    elif found.hopeless:
        lines = [
            f"NEVER: '{name}' does not save the run at any instant looked at. Without it, "
            f"{loss(found, never['lost'])}; at best {loss(found, best)}."
        ]
    else:
        lines = [
            f"UNTIL {found.run.date(found.latest)} UTC, {duration(found.latest)} after the start, '{name}' "
            f"{does(found)[1]}; started at {found.run.date(found.too_late)} UTC it does not. Without it, "
            f"{loss(found, never['lost'])}; begun at the latest instant, {loss(found, by['lost'][found.latest])}.",
            *in_seeds(found),
            *little(found),
            *at_a_price(found),
        ]
    if never["saved"] <= 0.5 and found.ends < found.run.horizon:
        lines.append(
            f"A step ends at {found.run.date(found.ends)} UTC, as dated, however late it begins: with a later end, "
            "a later beginning may save the run."
        )
    lines.append(judged(found))
    if found.back_and_forth:
        lines.append(
            "NOT MONOTONE: at some instants it saves the run although at an earlier one it does not; see the table. "
            "Between the instants looked at there may be more."
        )
    if found.interrupted:
        lines.append("INTERRUPTED: the instant is known less precisely than was asked for.")
    return lines


def does(found: Rescue) -> tuple[str, str]:
    """What several or one of the things that come in time do, by the standard of the run."""
    if found.by_life:
        return "keep the service alive", "keeps the service alive"
    if found.keep is None:
        return "save half of what they can", "saves half of what it can"
    return f"keep {percent(found.keep)} of the images", f"keeps {percent(found.keep)} of the images"


def nothing_to_save(found: Rescue) -> str:
    """That most seeds are saved without the playbook, and what is lost in them all the same."""
    lost = found.shares["lost"]
    if not found.by_life or lost.iloc[-1] <= 0:
        return f"NOTHING TO SAVE: without '{found.playbook}', {loss(found, lost.iloc[-1])}."
    return (
        f"NOTHING TO SAVE: the service is alive without '{found.playbook}'. Even so {loss(found, lost.iloc[-1])}; with "
        f"it, at best {loss(found, lost.min())}. {ASK_KEEP}"
    )


ASK_KEEP = "--keep 95% asks when 95 % of the images are still in time."
NOTHING = "NOTHING TO JUDGE: no request is decided by the horizon, so no run says anything about the service."


def nothing_decided(found: Rescue) -> bool:
    """Whether no request was decided in the run without the playbook."""
    return math.isnan(float(outcomes(found.run)["attainment"].iloc[0]))


def in_seeds(found: Rescue) -> list[str]:
    """Where the answer differs between seeds: the instants by which all of them are saved, and after which none is."""
    by = found.shares.set_index("begins")["saved"]
    if by[found.latest] == 1 and by[found.too_late] == 0:
        return ["That is of one seed, which says nothing about chance."] if found.seeds == 1 else []
    by = by.iloc[:-1]  # the last is never
    every, none = by.index[by.eq(1).cummin()], by.index[by[::-1].eq(0).cummin()[::-1]]
    safe = f"{found.run.date(every[-1])} is the last that saves all of them" if len(every) else "none saves them all"
    lost = f"{found.run.date(none[0])} the first that saves none" if len(none) else "all save some"
    saved = round(by[found.latest] * found.seeds)
    return [f"That is so in {saved} of {found.seeds} seeds. Of the instants looked at, {safe}, and {lost}."]


def at_best(found: Rescue) -> float:
    """The share of the images at stake that is lost at the best instant looked at; 0 where nothing is at stake."""
    return float(found.shares["lost"].min()) / found.at_stake if found.at_stake > 0 else 0.0


def little(found: Rescue) -> list[str]:
    """That most of what is at stake is lost whenever the playbook begins, although it saves half of what it can."""
    if found.keep is not None or at_best(found) <= HALF:
        return []
    lost = f"{percent(at_best(found))} of the images at stake are lost"
    return [f"IT SAVES LITTLE: whenever '{found.playbook}' begins, {lost}, or more."]


def at_a_price(found: Rescue) -> list[str]:
    """That a playbook which keeps the service alive loses more images than none does, whenever it begins in time."""
    lost = found.shares["lost"]
    if found.trigger or found.keep is not None or not lost[found.shares["saved"] > 0.5].min() > lost.iloc[-1]:
        return []
    return [
        f"It saves no images: begun early enough to keep the service alive, '{found.playbook}' loses more than without."
    ]


def loss(found: Rescue, lost: float) -> str:
    """Images lost, in words, with their share of what is at stake."""
    if lost <= 0:
        return "no images are lost"
    share = f" ({percent(lost / found.at_stake)} of those at stake)" if found.at_stake > 0 else ""
    return f"{amount(lost)} images are lost{share}"


def judged(found: Rescue) -> str:
    """The standard in words."""
    if not found.trigger:
        rule = "by its definition of alive" if found.keep is None else f"by {percent(found.keep)} of images in time"
        why = "The scenario has no fault or spike that could be left out, or is not alive without it"
        return f"{why}, so a run is judged {rule}."
    against = f"Losses are against the images in time of the same people without the trigger ({found.trigger})"
    if math.isnan(found.trouble[0]):
        least = HEALTHY if found.keep is None else found.keep
        return f"{against}; in no part of the run are fewer than {percent(least)} of these in time."
    begin, end = (found.run.date(at) for at in found.trouble)
    saved = "saves half of what the playbook can save" if found.keep is None else f"keeps {percent(found.keep)} of them"
    return (
        f"{against}. At stake are the {amount(found.at_stake)} of the trouble from {begin} to {end} UTC; a saved run "
        f"{saved}."
    )
