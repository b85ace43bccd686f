"""Forecasts of `watch` in words and as JSON: when the GPUs will be full, what to do until when, how good it was."""

import json
import math
from datetime import timedelta

from sim.scenario.scenario import Scenario
from sim.studies.watch import Forecast, at
from sim.studies.watch_score import ALARM, Score
from sim.wording import counted, percent


def sentence(scenario: Scenario, found: Forecast | None, now: float) -> str:
    """One line for people on call."""
    if found is None:
        return f"{at(scenario, now)}  not enough counted yet"
    busy = "no GPUs in service" if math.isnan(found.use) else f"GPUs {100 * found.use:.0f} % busy"
    load = f"{busy}, {found.queued:,.0f} queued"
    if found.refused > 0:
        load += f", {percent(found.refused)} refused"
    return " | ".join([f"{at(scenario, now)}  {load}", when_full(scenario, found), *what_to_do(scenario, found)])


def when_full(scenario: Scenario, found: Forecast) -> str:
    """When the GPUs will be full."""
    within = f"within {found.ahead / 60:.0f} min"
    middle, low, high = found.interval
    if found.full_now:
        return "full now"
    if math.isfinite(middle):
        return f"full {at(scenario, middle)} ({at(scenario, low)} to {around(scenario, high)}, 80 %)"
    if found.held_short:
        return "not full, as requests are refused"
    return f"full {within} with a chance of {100 * found.chance:.0f} %" if found.chance > 0 else f"not full {within}"


def what_to_do(scenario: Scenario, found: Forecast) -> list[str]:
    """The best playbook, and until when; nothing where no others were run."""
    gain, least, most = (100 * value for value in found.gain)
    if least > 0:
        late = math.isfinite(found.act_by) and found.act_by > found.now
        act = f"act by {at(scenario, found.act_by)}" if late else "act now"
        return [act, f"best now: {found.best} (in time {gain:+.0f} points, {least:+.0f} to {most:+.0f})"]
    return ["no playbook is clearly better"] if len(found.compared) > 1 else []


def around(scenario: Scenario, instant: float) -> str:
    return at(scenario, instant) if math.isfinite(instant) else "later"


def in_json(scenario: Scenario, found: Forecast | None, now: float) -> str:
    """The same as JSON: instants as dates, null for what is not within the time looked ahead."""
    if found is None:
        return json.dumps({"time": date(scenario, now), "forecast": None})
    facts = {
        "time": date(scenario, now),
        "busy": found.use,
        "queued": found.queued,
        "refused": found.refused,
        "people_per_second": found.rate,
        "growth_per_minute": found.growth * 60.0,
        "full_now": found.full_now,
        "chance_full": found.chance,
        **dict(zip(("full", "full_low", "full_high"), (date(scenario, t) for t in found.interval), strict=True)),
        "act_by": date(scenario, found.act_by),
        "compared": list(found.compared),
        "best": found.best if found.gain[1] > 0 else None,  # as in words: none is clearly better
        "gain": list(found.gain),
    }
    return json.dumps({key: None if value != value else value for key, value in facts.items()})


def date(scenario: Scenario, seconds: float) -> str | None:

    return (scenario.start + timedelta(seconds=seconds)).isoformat() if math.isfinite(seconds) else None


def in_words(scenario: Scenario, found: Score) -> str:
    """The score in sentences."""
    share, low, high = (100 * value for value in found.inside)
    ever = math.isfinite(found.full)
    full = f"The first look at full GPUs was at {at(scenario, found.full)}. " if ever else "The GPUs were never full. "
    alarm = ""
    if math.isfinite(found.lead):
        alarm = f"The first alarm (a chance of {100 * ALARM:g} % or more) was {found.lead / 60:.0f} min before. "
    elif not math.isfinite(found.alarm) or found.alarm > found.full:
        alarm = f"There was no alarm{' before that' if ever else ''}. "
    if not found.looks:
        return f"{full}{alarm}No forecast could be scored: its outcome is not known yet, or it was made afterwards."
    known = f"{counted(found.looks, 'forecast')}{' before' if ever else ''}"
    return (
        f"{full}{alarm}Of {known}, {share:.0f} % held the outcome in their 80 % interval "
        f"({low:.0f} to {high:.0f} %). CRPS {found.crps / 60:.1f} min, of a straight line through the load "
        f"{found.rival / 60:.1f} min. False alarms: {found.false_alarms}."
    )
