"""The kill switches of a playbook in order: what each does, when it begins and ends, and what it did in the run."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sim.policies.playbook import KINDS, Step
from sim.policies.trigger import NAMES, Trigger
from sim.report import words
from sim.report.tables import Table
from sim.results.run import Run
from sim.wording import duration, names_in_words, percent, plain_value

QUANTITY = re.compile(r"([0-9.e+-]+) (s|per s)")  # as a scenario in a manifest has times and rates
TARGETS = ("tiers", "features", "pool", "pools")
NONE = "This playbook has no switches: nothing is limited, refused or degraded, and no GPU is added."
OWN = "The policies of this run were given by a program, so only their decisions are known: see the table of decisions."


@dataclass(frozen=True)
class Switch:
    """A step in force in a run, with its name: the policy with its settings, and whom or what it is for."""

    step: Step
    label: str
    whom: str

    @property
    def name(self) -> str:
        return f"{self.label} for {self.whom}"


def switches_of(run: Run) -> list[Switch]:
    """The switches of a run in the order in which they act; none for a playbook that is not in its scenario."""
    return [Switch(Step.model_validate(given), *named(given)) for given in run.steps or []]


def switch_table(run: Run) -> Table:
    """One row per switch, in the order in which they act."""
    head = ["", "switch", "for", "begins", "ends", "in this run", "costs", "fails"]
    rows = []
    for number, switch in enumerate(switches_of(run), 1):
        step, advice = switch.step, switch.step.policy.advice
        acts = [begins(run, step), ended(run, step), in_run(run, step)]
        rows.append([str(number), switch.label, switch.whom, *acts, advice.costs, advice.fails])
    note = "'Costs' says what a switch costs, 'fails' when it does not help. Dates are UTC." if rows else none(run)
    return Table("Switches in the order in which they act", head, rows, labels=len(head), note=note)


def none(run: Run) -> str:
    return OWN if run.steps is None else NONE


def switch_sentences(run: Run) -> list[str]:
    """The same in one sentence for each switch."""
    found = [(one.name, one.step) for one in switches_of(run)]
    said = [f"{name[:1].upper()}{name[1:]}: {begins(run, step)}; {ending(run, step)}." for name, step in found]
    return said or [none(run)]


def named(given: dict[str, Any]) -> tuple[str, str]:
    """A switch with its settings, and whom or what it is for, as the scenario writes them."""
    policy = given["policy"]
    shares = KINDS[policy["kind"]].shares()
    settings = [
        f"{name.replace('_', ' ')} {in_words(value, name in shares)}"
        for name, value in policy.items()
        if name not in (*TARGETS, "kind") and value is not None
    ]
    label = policy["kind"] + (f" ({', '.join(settings)})" if settings else "")
    whom = [in_words(policy[name]) + (" pool" if name == "pool" else "") for name in TARGETS if policy.get(name)]
    return label, ", ".join(whom) or "everybody"


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
    return plain_value(value)


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
    seconds = run.seconds(instant)
    return words.instant(run, seconds) if 0 < seconds < math.inf else None


def dated(run: Run) -> Iterator[tuple[float, Switch, bool]]:
    """The dates of switches after the start of the run: seconds after it, which switch, and whether it begins then."""
    for switch in switches_of(run):
        for instant, begins in ((switch.step.from_, True), (switch.step.until, False)):
            seconds = run.seconds(instant)
            if 0 < seconds < run.horizon:
                yield seconds, switch, begins


def dates_of(run: Run) -> list[tuple[float, str]]:
    """The same in order, in words."""
    found = []
    for seconds, switch, begins in dated(run):
        whom = "" if switch.whom == "everybody" else f" of {switch.whom}"
        found.append((seconds, f"{switch.step.policy.kind}{whom} {'begins' if begins else 'ends'}"))
    return sorted(found)


def in_run(run: Run, step: Step) -> str:
    """When a switch was thrown in the run."""
    if step.when is None:
        return "in force" if run.seconds(step.from_) < run.horizon else "never in force"
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
