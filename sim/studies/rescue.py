"""The point of no return: the latest instant at which a playbook can start and still save a run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import pandas as pd

from sim.engine.many import Task, simulate_all
from sim.engine.parallel import Progress
from sim.engine.simulate import chosen
from sim.errors import BadInput
from sim.policies.playbook import Step
from sim.results.dates import date_of
from sim.results.run import Run
from sim.results.storms import LAST_PART, recovered, rules
from sim.scenario.scenario import Scenario
from sim.wording import duration, percent

SHORT = 5.0  # seconds of work at one instant, below which starting processes does not pay
LOOKS = 4  # parts of the horizon looked at first, so that an answer that changes more than once is noticed


@dataclass(frozen=True)
class Rescue:
    """How a run ends, by the instant at which the playbook begins (seconds).

    shares: one row per instant: begins, saved (share of the seeds that have recovered by the horizon); the last row is
    the horizon, that is, never. latest, too_late: the neighbouring instants between which the answer changes (nan if it
    does not). room: how long before the end a playbook must begin for a recovery to show: a tenth of the run, and the
    time that the longest queue takes to clear.
    """

    playbook: str
    shares: pd.DataFrame
    seeds: int
    latest: float
    too_late: float
    room: float
    last: float  # the latest instant that leaves that room
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
    throughout. A run is saved if it has recovered at the end (see results.storms); an instant saves if most seeds are
    saved. Both ends and the quarters are looked at first, then the change between two of them is bisected. Raises
    BadInput for an unknown playbook, or one without a step to delay.
    """
    name, steps = chosen(scenario, playbook)
    if not steps:
        raise BadInput("this playbook does nothing, so it saves nobody", key="playbook", value=name, expected="steps")
    if not 0 < by < math.inf or seeds < 1:
        raise BadInput("a rescue takes a step above 0 and a seed or more", key="by", value=by, expected="like '1min'")
    known: dict[float, float] = {}
    rounds = LOOKS + 1 + max(1, math.ceil(math.log2(max(scenario.horizon / LOOKS / by, 2))))

    def look(instants: Sequence[float]) -> None:
        def report(share: float) -> None:
            if progress is not None:
                progress(min(1.0, (len(known) + share * len(instants)) / rounds))

        late = [(begins, delayed(scenario, name, begins)) for begins in instants]
        tasks = [Task(changed, name, seed) for _, changed in late for seed in range(1, seeds + 1)]
        found = simulate_all(tasks, recovered, processes=together, progress=report)
        for number, begins in enumerate(instants):
            known[begins] = sum(saved for saved, _ in found[number * seeds : (number + 1) * seeds]) / seeds

    never = Task(delayed(scenario, name, scenario.horizon), name, keep=True)
    ((_, without),) = simulate_all([never], recovered)
    assert without is not None
    # Processes take seconds to start, in every round.
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
    """The last instant that saves the run and the next, which does not; nan where all save it, or none."""
    saving = [begins for begins, share in known.items() if share > 0.5]
    late = [begins for begins in known if saving and begins > max(saving)]
    return (max(saving), min(late)) if late else (math.nan, math.nan)


def room_of(run: Run) -> float:
    """Seconds before the horizon in which a rescue can no longer show."""
    longest = max((one.recovery for one in rules(run)), default=0.0)
    return run.horizon / LAST_PART + (longest if math.isfinite(longest) else 0.0)


def delayed(scenario: Scenario, playbook: str, begins: float) -> Scenario:
    """The scenario with a playbook that does nothing before an instant, seconds after the start."""
    steps = [later(step, scenario, begins) for step in scenario.playbooks[playbook]]
    return scenario.with_(playbooks={playbook: [step for step in steps if step is not None]})


def later(step: Step, scenario: Scenario, begins: float) -> Step | None:
    """One step, starting no earlier than an instant; None where its own end comes before."""
    if scenario.seconds(step.from_) >= begins:
        return step
    return step.model_copy(update={"from_": begins}) if begins < scenario.seconds(step.until) else None


def sentences(found: Rescue) -> list[str]:
    """The answer for a person on call."""
    saved = found.shares.set_index("begins")["saved"]
    horizon, name = float(saved.index[-1]), found.playbook
    if saved.iloc[-1] > 0.5:
        lines = [f"NOTHING TO SAVE: without '{name}', {percent(saved.iloc[-1])} of the runs recover by themselves."]
    elif (saved <= 0.5).all():
        lines = [f"NEVER: '{name}' does not save the run at any instant looked at, not even from its beginning."]
    elif found.too_late > found.last:
        lines = [
            f"AT ANY TIME: '{name}' saves the run whenever it begins, up to {date_of(found.run, found.latest)} UTC; "
            f"the last {duration(horizon - found.latest)} before the horizon are too short to show a recovery."
        ]
    else:
        lines = [
            f"UNTIL {date_of(found.run, found.latest)} UTC, {duration(found.latest)} after the start, '{name}' saves "
            f"the run; started at {date_of(found.run, found.too_late)} UTC it does not."
        ]
    if found.back_and_forth:
        lines.append(
            "NOT MONOTONE: at some instants it saves the run although at an earlier one it does not; see the table. "
            "Between the instants looked at there may be more."
        )
    return lines
