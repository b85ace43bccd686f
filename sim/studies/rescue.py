"""The point of no return: the latest instant at which a playbook, begun only then, still saves a run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pandas as pd

from sim.demand.recordings.trace import Trace
from sim.engine.cells import simulate_cells
from sim.engine.first_use import compile_now
from sim.engine.parallel import Progress, in_parallel
from sim.engine.simulate import chosen
from sim.errors import BadInput
from sim.policies.playbook import Step
from sim.profile.profile import Profile
from sim.results.dates import date_of
from sim.results.run import Run
from sim.results.storms import LAST_PART, recovered, rules
from sim.scenario.scenario import Scenario
from sim.wording import duration, percent

Given = tuple[dict[str, Any], dict[str, Profile], dict[str, Trace], str]
SHORT = 5.0  # seconds of work for one instant, for which no other processes are begun
LOOKS = 4  # parts of the horizon that are looked at first, so that a second thought of the answer is seen


@dataclass(frozen=True)
class Rescue:
    """What became of a run by the instant at which the playbook began, seconds.

    shares: a row an instant: begins, saved (share of the seeds that had recovered by the horizon); the last row is the
    horizon, which is never. latest, too_late: neighbours between which it turns (nan: it does not). room: what the end
    of the run takes to show it: the last tenth, and the time in which the longest queue is worked off.
    """

    playbook: str
    shares: pd.DataFrame
    seeds: int
    latest: float
    too_late: float
    room: float
    last: float  # the latest instant after which the run has that room
    run: Run  # of the first seed, without the playbook

    @property
    def back_and_forth(self) -> bool:
        """Whether beginning later saves where beginning earlier does not."""
        saved = (self.shares["saved"] > 0.5).tolist()
        return any(later and not earlier for earlier, later in pairwise(saved))


def rescue(
    scenario: Scenario,
    playbook: str,
    *,
    seeds: int = 5,
    by: float = 60.0,
    processes: int | None = None,
    progress: Progress | None = None,
) -> Rescue:
    """Bisect the instant at which a playbook comes into force, to within `by` seconds.

    Each step begins at that instant, or at its own `from` where that is later; its `until` stays; `always` is in force
    throughout. A run is saved if it has recovered at the end (see results.storms), an instant saves if most seeds
    are. Both ends and the quarters between are looked at first. Raises BadInput for an unknown playbook, or without
    a step to delay.
    """
    name, steps = chosen(scenario, playbook)
    if not steps:
        raise BadInput("this playbook does nothing, so it saves nobody", key="playbook", value=name, expected="steps")
    if not 0 < by < math.inf or seeds < 1:
        raise BadInput("a rescue takes a step above 0 and a seed or more", key="by", value=by, expected="like '1min'")
    compile_now()
    known: dict[float, float] = {}
    rounds = LOOKS + 1 + max(1, math.ceil(math.log2(max(scenario.horizon / LOOKS / by, 2))))

    def look(instants: Sequence[float]) -> None:
        def report(share: float) -> None:
            if progress is not None:
                progress(min(1.0, (len(known) + share * len(instants)) / rounds))

        tasks = [(begins, seed) for begins in instants for seed in range(1, seeds + 1)]
        found = in_parallel(one, given(scenario, name), tasks, processes=together, progress=report)
        for begins in instants:
            ends = [saved for (at, _), (saved, _) in zip(tasks, found, strict=True) if at == begins]
            known[begins] = sum(ends) / seeds

    _, without = one(given(scenario, name), scenario.horizon, 1, lambda share: None)
    assert without is not None
    # Processes take seconds to begin, in every round.
    together = 1 if without.manifest["wall_seconds"] * seeds < SHORT else processes
    look([scenario.horizon * part / LOOKS for part in range(LOOKS + 1)])
    latest, too_late = turn(known)
    while too_late - latest > by:  # false where it does not turn
        look([(latest + too_late) / 2])
        latest, too_late = turn(known)
    shares = pd.DataFrame(sorted(known.items()), columns=["begins", "saved"])
    room = room_of(without)
    return Rescue(name, shares, seeds, latest, too_late, room, max(0.0, scenario.horizon - room), without)


def turn(known: dict[float, float]) -> tuple[float, float]:
    """The last instant that saves and the next that does not; nan where all do, or none."""
    saving = [begins for begins, share in known.items() if share > 0.5]
    late = [begins for begins in known if saving and begins > max(saving)]
    return (max(saving), min(late)) if late else (math.nan, math.nan)


def room_of(run: Run) -> float:
    """Seconds before the horizon in which a rescue does not show any more."""
    longest = max((one.recovery for one in rules(run)), default=0.0)
    return run.horizon / LAST_PART + (longest if math.isfinite(longest) else 0.0)


def given(scenario: Scenario, playbook: str) -> Given:
    return scenario.document, scenario.used_profiles, scenario.traces, playbook


def one(given: Given, begins: float, seed: int, progress: Progress) -> tuple[bool, Run | None]:
    """Whether one run recovers under the playbook begun so late; and that run itself where it begins never (seed 1)."""
    document, profiles, traces, playbook = given
    scenario = Scenario.from_dict(document, profiles=profiles, traces=traces)
    late = Scenario.from_dict(delayed(scenario, playbook, begins), profiles=profiles, traces=traces)
    run = simulate_cells(late, playbook, seed=seed, processes=1, progress=progress)
    progress(1.0)
    return recovered(run), run if begins >= scenario.horizon and seed == 1 else None


def delayed(scenario: Scenario, playbook: str, begins: float) -> dict[str, Any]:
    """The scenario's document with a playbook that does nothing before an instant, seconds after the start."""
    written, steps = scenario.document["playbooks"][playbook], scenario.playbooks[playbook]
    kept = [later(line, step, scenario, begins) for line, step in zip(written, steps, strict=True)]
    playbooks = {**scenario.document["playbooks"], playbook: [line for line in kept if line is not None]}
    return {**scenario.document, "playbooks": playbooks}


def later(line: dict[str, Any], step: Step, scenario: Scenario, begins: float) -> dict[str, Any] | None:
    """One step, begun no earlier than an instant; None where its own end comes before."""
    if scenario.seconds(step.from_) >= begins:
        return line
    return {**line, "from": f"{begins!r} s"} if begins < scenario.seconds(step.until) else None


def sentences(found: Rescue) -> list[str]:
    """What a person on call would want to know, in words."""
    saved = found.shares.set_index("begins")["saved"]
    horizon, name = float(saved.index[-1]), found.playbook
    if saved.iloc[-1] > 0.5:
        lines = [f"NOTHING TO SAVE: without '{name}' {percent(saved.iloc[-1])} of the runs recover by themselves."]
    elif (saved <= 0.5).all():
        lines = [f"NEVER: '{name}' saves the run at none of the instants looked at, not even from its beginning."]
    elif found.too_late > found.last:
        lines = [
            f"AT ANY TIME: '{name}' saves the run whenever it begins, up to {date_of(found.run, found.latest)} UTC; "
            f"the last {duration(horizon - found.latest)} before the horizon are too short to show a recovery."
        ]
    else:
        lines = [
            f"UNTIL {date_of(found.run, found.latest)} UTC, {duration(found.latest)} after the start, '{name}' saves "
            f"the run; begun at {date_of(found.run, found.too_late)} UTC it does not."
        ]
    if found.back_and_forth:
        lines.append(
            "NOT MONOTONE: at some instants it saves though at an earlier one it does not; the table has them all, and "
            "between those looked at there may be more."
        )
    return lines
