"""One live run from its start to its horizon, as the tables of a simulated one, with how well the machine kept time."""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from sim.clock import Clock
from sim.control import control
from sim.controls import Policy
from sim.crowd import Crowd
from sim.demand.people import people_of
from sim.live.clock import RealClock, precise_loop
from sim.live.devices import Device, SleepDevice
from sim.live.load import Load, check_playable
from sim.live.server import Server
from sim.log import Recording
from sim.policies.playbook import Step, Timed, in_order
from sim.run import Run, run_from
from sim.scenario import Scenario
from sim.simulate import chosen, controls_of, without_garbage_collection


@dataclass(frozen=True)
class Vitals:
    """How well a machine kept time in a live run. Seconds, but for the drift."""

    gap: float  # by how much the event loop was late at worst
    lateness: float  # of sent attempts behind when they were due, 99th percentile
    drift: float  # by what share batches took longer than planned, all together


@dataclass(frozen=True)
class Gate:
    """What a machine must keep for a live run to count."""

    gap: float = 0.030
    lateness: float = 0.003
    drift: float = 0.003

    def faults(self, vitals: Vitals) -> list[str]:
        """Why a run does not count; empty where it does."""
        found = []
        if vitals.gap > self.gap:
            found.append(f"the event loop stood still for {vitals.gap * 1e3:.0f} ms")
        if vitals.lateness > self.lateness:
            found.append(f"1 % of attempts were sent {vitals.lateness * 1e3:.1f} ms late or more")
        if not abs(vitals.drift) <= self.drift:
            found.append(f"batches took {vitals.drift:.2%} longer than planned")
        return found


@dataclass(frozen=True)
class LiveRun:
    """A live run's tables, and how the machine did; `waits`: seconds in the server's queue, by attempt that started."""

    run: Run
    vitals: Vitals
    waits: np.ndarray


class Ticks:
    """The clock that the control process sees: it says when it wants to be called again."""

    now = 0.0

    def at(self, time: float, _kind: int, _number: int) -> float:
        return time


def run_live(scenario: Scenario, playbook: str | Sequence[Step | Policy] | None = None, *, seed: int = 1) -> LiveRun:
    """Play a scenario in real time: as long as its horizon. Raises BadInput for what a live run cannot play."""
    return run_together([live(scenario, playbook, seed=seed)])[0]


def run_together(runs: Sequence[Coroutine[Any, Any, LiveRun]]) -> list[LiveRun]:
    """Several live runs at once, on one event loop."""

    async def everything() -> list[LiveRun]:
        return list(await asyncio.gather(*runs))

    with without_garbage_collection(), asyncio.Runner(loop_factory=precise_loop) as runner:
        return runner.run(everything())


async def live(
    scenario: Scenario,
    playbook: str | Sequence[Step | Policy] | None = None,
    *,
    seed: int = 1,
    device: Device | None = None,
) -> LiveRun:
    """Play a scenario on the running event loop; the arguments are those of sim.simulate.

    device: what serves the batches; threads that sleep where None.
    """
    check_playable(scenario)
    name, steps = chosen(scenario, playbook)
    people, _ = people_of(scenario, seed)
    crowd, controls = Crowd(scenario, people, seed), controls_of(scenario)
    began = time.perf_counter()
    own = SleepDevice() if device is None else None
    clock = RealClock()
    server = Server(clock, scenario, crowd, controls, seed, cast(Device, device or own))
    load = Load(clock, scenario, crowd, server, seed)
    decisions: list[dict[str, Any]] = []
    fleets: list[dict[str, Any]] = []
    clock.spawn(
        steer(clock, scenario, in_order([*scenario.always, *steps], scenario.seconds), server, decisions, fleets)
    )
    clock.spawn(load.play())
    clock.spawn(clock.watch())
    await clock.run_until(scenario.horizon)
    if own is not None:
        own.close()
    run = run_from(
        scenario,
        server.log(),
        decisions,
        fleets,
        playbook=name,
        seed=seed,
        engine="live",
        unlimited=False,
        recording=Recording(),
        wall_seconds=time.perf_counter() - began,
    )
    waits = np.array([a.started - a.received for a in server.attempts if a.started == a.started])
    return LiveRun(run, vitals(clock, server, load), waits)


async def steer(
    clock: RealClock,
    scenario: Scenario,
    playbook: list[Timed],
    server: Server,
    decisions: list[dict[str, Any]],
    fleets: list[dict[str, Any]],
) -> None:
    """The control process of every engine, called at its ticks in real time."""
    ticks = Ticks()
    rows: dict[str, Any] = {"decisions": decisions, "fleets": fleets, "progress": None}
    span: dict[str, Any] = {"tick": scenario.control_tick, "horizon": scenario.horizon}
    for instant in control(cast(Clock, ticks), server.controls, playbook, server, **span, **rows):
        if cast(float, instant) >= scenario.horizon:
            return
        await clock.until(cast(float, instant))
        ticks.now = cast(float, instant)


def vitals(clock: RealClock, server: Server, load: Load) -> Vitals:
    """How the machine did."""
    over = [batch for batch in server.batches if batch.finished == batch.finished]
    planned, took = sum(batch.planned for batch in over), sum(batch.seconds for batch in over)
    return Vitals(
        gap=clock.gap,
        lateness=float(np.quantile(load.lateness, 0.99)) if load.lateness else 0.0,
        drift=took / planned - 1.0 if over else 0.0,
    )
