"""The control process: at every tick the playbook sees telemetry and sets the knobs, and changes are recorded."""

import math
from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol

from simpy import Event

from sim.engine.absent import Absences
from sim.engine.clock import CONTROL, Clock
from sim.model.controls import Controls, Telemetry
from sim.policies.playbook import Timed
from sim.results.log import Log

SHOWN = 200  # ticks of a run at which progress is reported, at least
FAR = 1 << 62


class Engine(Protocol):
    """Plays the people, the gateway and the GPUs."""

    def advance(self, until: float) -> None:
        """Play every moment before the control tick at `until` (seconds)."""

    def telemetry(self) -> Telemetry:
        """All that a policy may see now; counts are those since the tick before."""

    def take_over(self) -> None:
        """Put the knobs into force and begin a new control interval."""

    def let_in(self, seconds: float) -> None:
        """Let people in from the waitlist whose turn comes in the `seconds` until the next tick."""

    def log(self) -> Log:
        """Everything that happened, as columns."""


def control(
    env: Clock,
    controls: Controls,
    playbook: Sequence[Timed],
    engine: Engine,
    *,
    tick: float,
    horizon: float,
    decisions: list[dict[str, Any]],
    fleets: list[dict[str, Any]],
    progress: Callable[[float], None] | None,
) -> Generator[Event, Any, None]:
    """Run the playbook at 0, tick, 2 tick, ...; `decisions` gets one row per knob that changed.

    `fleets` gets one row per pool whose GPUs in service, or absent, changed in number: at the start, every pool. A step
    that a trigger begins or ends has a row too, before those of its knobs.

    Ticks at which no knob can change are left out, except for those at which progress is reported.
    """
    number, seen = 0, max(1, int(horizon / tick / SHOWN))
    fleet: dict[str, dict[str, int]] = {}
    while True:
        engine.advance(env.now)
        if not fleet or any(step.looks or not step.settled(env.now) for step in playbook):
            rows, absences = decisions_at(engine.telemetry(), controls, playbook)
            decisions += rows
            fleets += [] if absences is None else fleet_changes(env.now, fleet, absences.states())
        engine.take_over()
        engine.let_in(tick)
        if progress is not None:
            progress(env.now)
        number = min(next_tick(number, tick, playbook, controls), number + seen)
        yield env.at(number * tick, CONTROL, 0)


def decisions_at(
    telemetry: Telemetry, controls: Controls, playbook: Sequence[Timed]
) -> tuple[list[dict[str, Any]], Absences | None]:
    """Let the playbook act at one tick. Returns a row for each step and knob that changed, and the GPUs by state.

    No rows and None where every step would set what it set the last time: the knobs stay as they are.
    """
    now, rows = float(telemetry.now), []
    for step in playbook:
        step.look(telemetry, controls)
    if playbook and all(step.settled(now) for step in playbook):
        return [], None
    before = controls.copies()
    controls.open_all()
    absences = Absences(controls)
    for step in playbook:
        absences.act(step, telemetry)
        if step.turned:
            rows.append(step_decision(now, step))
    rows += [{"time": now, **row} for row in controls.changes(before)]
    return rows, absences


def fleet_changes(
    now: float, fleet: dict[str, dict[str, int]], states: dict[str, dict[str, int]]
) -> list[dict[str, Any]]:
    """Rows of the fleet table: by how many GPUs each pool has changed; `fleet` is brought up to date."""
    rows = []
    for pool, gpus in states.items():
        before = fleet.get(pool, {})
        changes = {state: number - before.get(state, 0) for state, number in gpus.items()}
        if any(changes.values()):
            rows.append({"time": now, "pool": pool, **changes})
    fleet.update(states)
    return rows


def next_tick(number: int, tick: float, playbook: Sequence[Timed], controls: Controls) -> int:
    """The number of the next tick at which something may change: a step begins or ends, or some policy looks."""
    now = number * tick
    until = min((step.quiet_until(now) for step in playbook), default=math.inf)
    if until <= now or controls.signup_rate < math.inf:  # a waitlist lets people in at every tick
        return number + 1
    if until == math.inf:
        return FAR
    following = max(number + 1, math.ceil(until / tick) - 1)
    while following * tick < until:
        following += 1
    return following


def step_decision(now: float, step: Timed) -> dict[str, Any]:
    """The decision-table row of a step that a trigger has started (new is 1) or ended (0)."""
    new = float(step.in_force(now))
    return {
        "time": now,
        "knob": "step",
        "tier": None,
        "feature": None,
        "old": 1.0 - new,
        "new": new,
        "policy": step.name,
        "reason": step.turned,
    }
