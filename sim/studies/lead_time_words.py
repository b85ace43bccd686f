"""By when to order, in plain sentences: the last arrival, the last order, and what being late costs."""

import math
from datetime import datetime

from sim.scenario.document import is_law
from sim.studies.lead_time import OrderBy, enough_in_time, lead_quantile
from sim.studies.rescue_sentences import NOTHING, in_seeds, judged, nothing_decided
from sim.wording import amount, duration, percent

ROUND = {3600.0: "An hour", 86400.0: "A day"}


def sentences(found: OrderBy, today: datetime | None = None, lots: int = 1, needed: int = 1) -> list[str]:
    """The answer for somebody who orders GPUs; today: when they would, where it is known."""
    what = f"{found.gpus:,} more {'GPU' if found.gpus == 1 else 'GPUs'} in pool '{found.pool}'"
    do, arrive, save = ("does", "arrives", "saves") if found.gpus == 1 else ("do", "arrive", "save")
    if nothing_decided(found.rescue):
        return [NOTHING]
    if not found.needed:
        lines = [f"NO ORDER NEEDED: under '{found.playbook}' the launch is saved without {what}."]
    elif found.latest is None or found.order_by is None:
        lines = [
            f"NO DATE IS EARLY ENOUGH: {what} {do} not save the launch under '{found.playbook}', whenever "
            f"{'it arrives' if found.gpus == 1 else 'they arrive'}."
        ]
    else:
        quantile = lead_quantile(found.lead, found.confidence)
        at_most = f" at most with a probability of {percent(found.confidence)}" if is_law(found.lead.text) else ""
        burn_in = f", and burn-in {duration(found.burn_in)}" if found.burn_in else ""
        lines = [
            f"ORDER BY {found.order_by:%Y-%m-%d %H:%M} UTC: {what} that {arrive} by {found.latest:%Y-%m-%d %H:%M} "
            f"still {save} the launch under '{found.playbook}'.",
            *in_seeds(found.rescue),
            f"An order takes {duration(quantile)}{at_most}{burn_in}.",
        ]
        if today is not None:
            lines.append(from_today(found, today, lots, needed))
    rows = [{str(k): v for k, v in row.items()} for row in found.late.to_dict("records") if row["lost"] == row["lost"]]
    if rows and not found.needed and all(amount(max(row["lost"], 0.0)) == "0" for row in rows):
        lines.append("Whenever they come, or never, no images in time are lost.")
    else:
        lines += [late(found, row) for row in rows]
    if found.interrupted:
        lines.append("INTERRUPTED: the instant is known less precisely, and some delays have no figure.")
    return [*lines, judged(found.rescue)]


def from_today(found: OrderBy, today: datetime, lots: int, needed: int) -> str:
    """How likely an order of today is in time."""
    assert found.latest is not None
    assert found.order_by is not None
    left = (found.latest - today).total_seconds() - found.burn_in
    chance = enough_in_time(lots, needed, found.lead, max(left, 0.0)) if left >= 0 else 0.0
    whole = "it arrives" if lots == 1 else f"{needed} of {lots} lots arrive"
    head = "TOO LATE ALREADY for that confidence: ordered" if today > found.order_by else "Ordered"
    return f"{head} on {today:%Y-%m-%d %H:%M}, {whole} in time with a probability of {percent(chance)}."


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
