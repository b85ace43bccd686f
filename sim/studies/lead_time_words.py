"""By when to order, in plain sentences: the last arrival, the last order, and what being late costs."""

import math
from datetime import datetime

from sim.scenario.document import is_law
from sim.studies.lead_time import OrderBy, lead_quantile
from sim.studies.rescue import HALF, Rescue
from sim.studies.rescue_sentences import ASK_KEEP, NOTHING, at_best, does, in_seeds, judged, loss, nothing_decided
from sim.wording import amount, duration, percent

LITTLE = 0.005  # a difference of chances that is not spoken of
ROUND = {3600.0: "An hour", 86400.0: "A day"}


def sentences(found: OrderBy, today: datetime | None = None) -> list[str]:
    """The answer for somebody who orders GPUs; today: when they would, where it is known."""
    what = f"{found.gpus:,} more {'GPU' if found.gpus == 1 else 'GPUs'} in pool '{found.pool}'"
    do, arrive = ("does", "arrives") if found.gpus == 1 else ("do", "arrive")
    many, one = does(found.rescue)
    if nothing_decided(found.rescue):
        return [NOTHING]
    if not found.needed:
        lines = [not_needed(found, what)]
    elif found.latest is None or found.order_by is None:
        lines = [
            f"NO DATE IS EARLY ENOUGH: {what} {do} not {many} under '{found.playbook}', whenever "
            f"{'it arrives' if found.gpus == 1 else 'they arrive'}."
        ]
    else:
        quantile = lead_quantile(found.lead, found.confidence, found.lots, found.enough)
        at_most = f" at most with a probability of {percent(found.confidence)}" if is_law(found.lead.text) else ""
        order = "An order takes" if found.lots == 1 else f"{lots(found)} {'takes' if found.enough == 1 else 'take'}"
        burn_in = f", and burn-in {duration(found.burn_in)}" if found.burn_in else ""
        lines = [
            f"ORDER BY {found.order_by:%Y-%m-%d %H:%M} UTC: {what} that {arrive} by {found.latest:%Y-%m-%d %H:%M} "
            f"still {one if found.gpus == 1 else many} under '{found.playbook}'.",
            *still_lost(found),
            *in_seeds(found.rescue),
            f"{order} {duration(quantile)}{at_most}{burn_in}.",
            *both_chances(found),
            *all_at_once(found),
        ]
        if today is not None:
            lines.append(from_today(found, today))
    rows = [{str(k): v for k, v in row.items()} for row in found.late.to_dict("records") if row["lost"] == row["lost"]]
    rows = [row for row in rows if row["arrives"] > 0]  # there from the start, they lose nothing against themselves
    if rows and not found.needed and all(amount(max(row["lost"], 0.0)) == "0" for row in rows):
        lines.append("Whenever they come, or never, no images in time are lost.")
    else:
        lines += [late(found, row) for row in rows]
    if found.interrupted:
        lines.append("INTERRUPTED: the instant is known less precisely, and some delays have no figure.")
    return [*lines, judged_by(found.rescue)]


def judged_by(found: Rescue) -> str:
    """The standard in words: a spike is no trigger here, since the launch may be one."""
    if found.trigger:
        return judged(found)
    rule = "the scenario's definition of alive" if found.keep is None else f"{percent(found.keep)} of images in time"
    return f"A run is judged by {rule}, over every image that is wanted in it."


def not_needed(found: OrderBy, what: str) -> str:
    """That a run without the order is saved, and what is lost in it all the same."""
    lost = found.rescue.shares["lost"]
    if not found.rescue.by_life:
        return f"NO ORDER NEEDED: under '{found.playbook}' the launch is saved without {what}."
    if lost.iloc[-1] <= 0:
        return f"NO ORDER NEEDED: under '{found.playbook}' the service is alive without {what}."
    them = "it" if found.gpus == 1 else "them"
    return (
        f"NO ORDER NEEDED TO STAY ALIVE: under '{found.playbook}' the service is alive without {what}. Even so "
        f"{loss(found.rescue, lost.iloc[-1])}; with {them} from the start, {loss(found.rescue, lost.iloc[0])}. "
        f"{ASK_KEEP}"
    )


def still_lost(found: OrderBy) -> list[str]:
    """What is lost although they come in time, and whether that is a launch saved; nothing where nothing is."""
    by = found.rescue.shares.set_index("begins")["lost"]
    lost = float(by[found.rescue.latest])
    if lost <= 0:
        return []
    them = "it" if found.gpus == 1 else "them"
    said = f"Even so {loss(found.rescue, lost)}; without {them}, {loss(found.rescue, float(by.iloc[-1]))}."
    if found.rescue.by_life:
        said += f" {ASK_KEEP}"
    if at_best(found.rescue) <= HALF:
        return [said]
    return [f"TOO FEW: the launch is not saved by {them} alone, only made less bad. {said}"]


def lots(found: OrderBy) -> str:
    """How many lots are enough."""
    if found.enough < found.lots:
        return f"At least {found.enough} of {found.lots} lots"
    return "Both lots" if found.lots == 2 else f"All {found.lots} lots"


def both_chances(found: OrderBy) -> list[str]:
    """How likely an order of the last date saves the launch, where its last instant does so in some seeds only."""
    assert found.order_by is not None
    chance = found.saves(found.order_by)
    if chance > found.confidence - LITTLE:
        return []
    surely, seeds = found.surely(), f"{found.rescue.seeds} seeds"
    early = f"{found.rescue.shares['saved'].iloc[0] * found.rescue.seeds:.0f} of {seeds}"
    more = f"order by {surely:%Y-%m-%d %H:%M}" if surely else f"no date is early enough: GPUs at the start save {early}"
    save = "it saves" if found.gpus == 1 else "they save"
    return [
        f"Ordered on that last date, {save} the launch with a probability of {percent(chance)}, by the chance of the "
        f"lead time and by these {seeds} together. For {percent(found.confidence)} {more}."
    ]


def all_at_once(found: OrderBy) -> list[str]:
    """What the runs do not show of an order in lots."""
    if found.enough == found.lots:
        return []
    return [f"The runs have all {found.gpus:,} GPUs: that {found.enough} of {found.lots} lots will do is not shown."]


def from_today(found: OrderBy, today: datetime) -> str:
    """How likely an order of today is in time, and saves the launch."""
    assert found.latest is not None
    assert found.order_by is not None
    chance, saved = found.in_time(today, found.rescue.latest), found.saves(today)
    whole = "it arrives" if found.lots == 1 else f"{lots(found).lower()} {'arrives' if found.enough == 1 else 'arrive'}"
    head = "TOO LATE ALREADY for that confidence: ordered" if today > found.order_by else "Ordered"
    launch = "" if abs(saved - chance) < LITTLE else f", and saves the launch with one of {percent(saved)}"
    return f"{head} on {today:%Y-%m-%d %H:%M}, {whole} in time with a probability of {percent(chance)}{launch}."


def late(found: OrderBy, row: dict[str, float]) -> str:
    """What one arrival costs."""
    point = "the last instant" if found.latest else "the start"
    if math.isinf(row["delay"]):
        when = "Without it" if found.gpus == 1 else "Without them"
    elif row["delay"] == 0:
        when = f"Arriving at {point}"
    else:
        when = f"{ROUND.get(row['delay'], duration(row['delay']))} later than {point}"
        when += ", when the run is over" if math.isinf(row["arrives"]) else ""
    money = "" if math.isnan(row["dollars"]) else f", and {dollars(row['dollars'])}"
    return f"{when}, {amount(max(row['lost'], 0.0))} images in time are lost against GPUs at the start{money}."


def dollars(value: float) -> str:
    return (
        f"${amount(value)} of revenue less GPUs"
        if value >= 0
        else f"${amount(-value)} of GPU cost less revenue is saved"
    )
