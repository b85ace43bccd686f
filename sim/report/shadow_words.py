"""Shadow mode in words: what a playbook would do at an instant, and the figure and threshold that made it."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any

from sim.model.controls import UNSET
from sim.policies.playbook import KINDS, Step
from sim.report import words
from sim.report.switches import named
from sim.scenario.scenario import Scenario
from sim.studies.shadow import Looked
from sim.wording import amount, counted, duration, in_gpus, percent

NOT_DONE = "Nothing was changed in the service, so its metrics do not show what these decisions would have done to it."
NONE_MADE = "None of the playbook's steps would have done anything on these metrics."
NO_STEPS = "This playbook has no steps, so it decides nothing on any metrics: --playbook names another one."


def lines(scenario: Scenario, steps: Sequence[Step], looked: Looked) -> list[str]:
    """One line for each decision of a tick; equal ones for several tiers and features share a line."""
    turned = {str(row["policy"]): str(row["reason"]) for row in looked.rows if row["knob"] == "step"}
    groups: dict[tuple[Any, ...], list[str]] = {}
    for row in looked.rows:
        whom = f"{row['tier']}/{row['feature']}" if row["tier"] is not None else ""
        groups.setdefault((row["policy"], row["knob"], row["old"], row["new"]), []).append(whom)
    every = len(scenario.tiers) * len(scenario.features)
    found, when = [], instant(scenario, looked.seen.now)
    for (policy, knob, old, new), names in groups.items():
        whom = " for everybody" if len(names) == every else f" for {', '.join(names)}"
        values = " -> ".join(words.full_knob(knob, value) for value in (old, new))
        of = knob if names == [""] else f"{knob}{whom}"
        found.append(f"{when}  {policy}: {of} {values}  ({why(policy, steps, turned, looked)})")
    return found


def why(policy: str, steps: Sequence[Step], turned: dict[str, str], looked: Looked) -> str:
    """The trigger's reason, the date, or the figures that the policy saw and the settings it holds them against."""
    if policy in turned:
        return turned[policy]
    if policy == UNSET:
        return "; ".join(dict.fromkeys(turned.values())) or "its policy no longer sets it"
    if KINDS[policy].steady:
        return "its date" if looked.seen.now > 0 else "from the start"
    mine = [step for step in steps if step.policy.kind == policy]
    pools = {str(step.policy.pool) for step in mine if hasattr(step.policy, "pool")} or set(looked.seen.pools)
    settings = [named(step.model_dump(mode="json", exclude_unset=True, by_alias=True))[0] for step in mine]
    return f"it saw {'; '.join(seen(looked, pool) for pool in sorted(pools))}; {'; '.join(settings)}"


def seen(looked: Looked, name: str) -> str:
    """The figures of a pool, as far as they are known."""
    pool = looked.seen.pools[name]
    known = vars(pool)
    parts = [f"expected wait {duration(pool.expected_wait)}"] if "expected_wait" in known else []
    parts += [f"{amount(pool.queued)} queued"] if "queued" in known else []
    if {"gpus", "busy", "inside"} <= set(known):
        parts.append(f"{percent(pool.utilisation)} of {in_gpus(str(pool.gpus))} busy")
    return f"{name}: {', '.join(parts) or 'nothing'}"


def instant(scenario: Scenario, seconds: float) -> str:
    return (scenario.start + timedelta(seconds=seconds)).strftime("%a %d %b %Y %H:%M:%S")


def caveat(scenario: Scenario, steps: Sequence[Step], ticks: list[float], decisions: int) -> list[str]:
    """What was looked at, and what shadow mode cannot know.

    steps: those of the playbook; decisions: how many of its knobs were turned.
    """
    gaps = sorted(later - earlier for earlier, later in pairwise(ticks))
    typical = gaps[len(gaps) // 2] if gaps else scenario.control_tick
    found = [
        f"{counted(decisions, 'decision')} at {counted(len(ticks), 'look')}, from {instant(scenario, ticks[0])} to "
        f"{instant(scenario, ticks[-1])} UTC.",
        NOT_DONE if decisions else NONE_MADE if steps else NO_STEPS,
    ]
    if typical > 1.5 * scenario.control_tick:
        tick = duration(scenario.control_tick)
        found.append(f"Metrics come every {duration(typical)}, and the control tick is {tick}: decisions come later.")
    return found
