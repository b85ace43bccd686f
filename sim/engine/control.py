"""The control process: at every tick the playbook sees telemetry and sets the knobs; changes are written down."""

import math
from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol

from simpy import Event

from sim.engine.clock import CONTROL, Clock
from sim.model.controls import Controls, Telemetry
from sim.model.knobs import SIGNUP_RATE
from sim.policies.playbook import Timed
from sim.results.log import Log

SHOWN = 200  # ticks of a run at which progress is told, at least
FAR = 1 << 62


class Engine(Protocol):
    """What plays the people, the gateway and the GPUs."""

    def advance(self, until: float) -> None:
        """Play every moment before the control tick at `until` (seconds)."""

    def telemetry(self) -> Telemetry:
        """What a policy may see now, counts since the tick before."""

    def take_over(self) -> None:
        """The knobs are set: they hold from now on, and a new control interval begins."""

    def let_in(self, seconds: float) -> None:
        """Let in from the waitlist those whose turn it is in the `seconds` until the next tick."""

    def log(self) -> Log:
        """All that happened."""


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
    """Run the playbook at 0, tick, 2 tick, ...; `decisions` gets a row for each knob that turned.

    `fleets` gets one for each pool of which more or fewer GPUs are in service than before: at the start, all of them.
    A step that a trigger begins or ends has a row too, before those of its knobs.

    Ticks at which nothing can turn are left out, but for so many that progress is seen.
    """
    number, seen = 0, max(1, int(horizon / tick / SHOWN))
    fleet = dict.fromkeys(controls.pool_names, 0)
    while True:
        engine.advance(env.now)
        telemetry = engine.telemetry()
        before, rate = controls.copies(), controls.signup_rate
        controls.open_all()
        for step in playbook:
            step.act(telemetry, controls)
            if step.turned:
                decisions.append(step_decision(env.now, step))
        decisions += [{"time": env.now, **row} for row in controls.changes(before)]
        if controls.signup_rate != rate:
            change = controls.change(SIGNUP_RATE.name, rate, controls.signup_rate)
            decisions.append({"time": env.now, **change})
        fleets += fleet_changes(env.now, fleet, controls)
        engine.take_over()
        engine.let_in(tick)
        if progress is not None:
            progress(env.now)
        number = min(next_tick(number, tick, playbook, controls), number + seen)
        yield env.at(number * tick, CONTROL, 0)


def fleet_changes(now: float, fleet: dict[str, int], controls: Controls) -> list[dict[str, Any]]:
    """Rows of the fleet table: by how many GPUs each pool has changed; `fleet` is brought up to date."""
    rows = []
    for pool, before in list(fleet.items()):
        fleet[pool] = controls.fleet(pool)
        if fleet[pool] != before:
            rows.append({"time": now, "pool": pool, "change": fleet[pool] - before})
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
    """The decision-table row of a step that a trigger has begun (new is 1) or ended (0)."""
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
