"""The kill switches of a playbook in order: what each does, when it begins and ends, and what it did in the run."""

import math
import re
from typing import Any, get_args

import pandas as pd
from pydantic.fields import FieldInfo

from sim.demand.sources import seconds_after
from sim.policies.playbook import KINDS, Step
from sim.policies.trigger import NAMES, Trigger
from sim.report import words
from sim.report.tables import Table
from sim.results.run import Run
from sim.units import fraction
from sim.wording import duration, names_in_words, percent

QUANTITY = re.compile(r"([0-9.e+-]+) (s|per s)")  # as a scenario in a manifest has times and rates
TARGETS = ("tiers", "features", "pool", "pools")
NONE = "This playbook has no switches: nothing is limited, refused or degraded, and no GPU is added."
OWN = "The policies of this run were given by a program, so only their decisions are known: see the table of decisions."


def steps_of(run: Run) -> list[dict[str, Any]] | None:
    """The steps in force in a run, as its scenario writes them; None for a playbook that is not in it."""
    document = run.manifest["scenario"]
    playbook = (document.get("playbooks") or {}).get(run.manifest["playbook"])
    always = list(document.get("always") or [])
    return None if playbook is None and run.manifest["playbook"] != "none" else [*always, *(playbook or [])]


def switch_table(run: Run) -> Table:
    """One row per switch, in the order in which they act."""
    head = ["", "switch", "for", "begins", "ends", "in this run", "costs", "fails"]
    rows = []
    for number, given in enumerate(steps_of(run) or [], 1):
        step = Step.model_validate(given)
        advice = KINDS[step.policy.kind].advice
        ends = [*named(given), begins(run, step), ended(run, step), in_run(run, step)]
        rows.append([str(number), *ends, advice.costs, advice.fails])
    note = "'Costs' is what a switch costs, 'fails' where it does. Dates are UTC." if rows else none(run)
    return Table("Switches in the order in which they act", head, rows, labels=len(head), note=note)


def none(run: Run) -> str:
    return OWN if steps_of(run) is None else NONE


def switch_sentences(run: Run) -> list[str]:
    """The same in one sentence for each switch."""
    found = []
    for given in steps_of(run) or []:
        step = Step.model_validate(given)
        switch, whom = named(given)
        found.append(f"{switch[:1].upper()}{switch[1:]} for {whom}: {begins(run, step)}; {ending(run, step)}.")
    return found or [none(run)]


def named(given: dict[str, Any]) -> tuple[str, str]:
    """A switch with its settings, and whom or what it is for, as the scenario writes them."""
    policy = given["policy"]
    known = KINDS[policy["kind"]].model_fields
    settings = [
        f"{name.replace('_', ' ')} {in_words(value, is_share(known[name]))}"
        for name, value in policy.items()
        if name not in (*TARGETS, "kind") and value is not None
    ]
    label = policy["kind"] + (f" ({', '.join(settings)})" if settings else "")
    whom = [in_words(policy[name]) + (" pool" if name == "pool" else "") for name in TARGETS if policy.get(name)]
    return label, ", ".join(whom) or "everybody"


def is_share(setting: FieldInfo) -> bool:
    """Whether a setting is read as a share: one, an optional one, a list of them, or one for each name."""
    marks = [*setting.metadata, *marks_of(setting.annotation)]
    return any(getattr(mark, "func", None) is fraction for mark in marks)


def marks_of(annotation: Any) -> list[Any]:
    """What stands beside a type and the types inside it."""
    inside = [mark for one in get_args(annotation) for mark in marks_of(one)]
    return [*getattr(annotation, "__metadata__", ()), *inside]


def in_words(value: Any, share: bool = False) -> str:
    """A setting as a person would write it; share: its numbers are shares."""
    if isinstance(value, list):
        return names_in_words([in_words(one, share) for one in value])
    if isinstance(value, dict):
        return ", ".join(f"{name} {in_words(one, share)}" for name, one in value.items())
    if share and isinstance(value, float | int):
        return percent(float(value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if quantity := QUANTITY.fullmatch(str(value)):
        return duration(float(quantity[1])) if quantity[2] == "s" else words.rate(float(quantity[1]))
    return f"{value:g}" if isinstance(value, float) else str(value)


def begins(run: Run, step: Step) -> str:
    """The date or threshold at which a switch is thrown, in words that follow its name."""
    since = date(run, step.from_)
    if step.when is None:
        return "from the start" if since is None else f"on {since}"
    return threshold(step.when, "above", step.when.bounds.above) + ("" if since is None else f", not before {since}")


def ending(run: Run, step: Step) -> str:
    until = ended(run, step)
    return "never ends" if until == "never" else f"ends {until}"


def ended(run: Run, step: Step) -> str:
    """What ends a switch."""
    until = date(run, step.until)
    if step.when is None:
        return "never" if until is None else f"on {until}"
    return threshold(step.when, "under", step.when.bounds.below) + ("" if until is None else f", or on {until}")


def threshold(trigger: Trigger, side: str, bound: float) -> str:
    """A threshold with how long it must hold, and how long people take to act on it."""
    figure = NAMES[trigger.watched].format(pool=trigger.pool)
    lasting = f" for {duration(trigger.for_)}" if trigger.for_ > 0 else ""
    react = f", then {duration(trigger.reaction)} to react" if trigger.reaction > 0 else ""
    return f"when {figure} is {side} {trigger.written(bound)}{lasting}{react}"


def date(run: Run, instant: Any) -> str | None:
    """An instant of a step as a date; None at the start of the run or where it never comes."""
    seconds = seconds_after(pd.Timestamp(run.manifest["start"]).to_pydatetime(), instant)
    return words.instant(run, seconds) if 0 < seconds < math.inf else None


def dates_of(run: Run) -> list[tuple[float, str]]:
    """When steps of the playbook begin and end by their dates: seconds after the start, and what happens, in order."""
    start, found = pd.Timestamp(run.manifest["start"]).to_pydatetime(), []
    for given in steps_of(run) or []:
        step, whom = Step.model_validate(given), named(given)[1]
        label = step.policy.kind + ("" if whom == "everybody" else f" of {whom}")
        for instant, word in ((step.from_, "begins"), (step.until, "ends")):
            seconds = seconds_after(start, instant)
            if 0 < seconds < run.horizon:
                found.append((seconds, f"{label} {word}"))
    return sorted(found)


def in_run(run: Run, step: Step) -> str:
    """When a switch was thrown in the run."""
    if step.when is None:
        start = seconds_after(pd.Timestamp(run.manifest["start"]).to_pydatetime(), step.from_)
        return "in force" if start < run.horizon else "never in force"
    begun = run.decisions[(run.decisions["knob"] == "step") & (run.decisions["new"] > 0)]
    of_it = begun[(begun["policy"] == step.policy.kind) & begun["reason"].str.contains(reason_of(step.when), na=False)]
    thrown = of_it["time"].drop_duplicates().to_numpy(float)
    if not len(thrown):
        return "never thrown"
    times = "" if len(thrown) == 1 else f"{len(thrown)} times, first "
    return f"thrown {times}on {words.instant(run, float(thrown[0]))}"


def reason_of(trigger: Trigger) -> str:
    """A pattern of the reason that a trigger gives; a decision names a kind of policy, which several steps may have."""
    figure, bound = NAMES[trigger.watched].format(pool=trigger.pool), trigger.written(trigger.bounds.above)
    return f"{re.escape(figure)} .* above {re.escape(bound)}(?: for |,|$)"
