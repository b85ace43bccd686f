"""Live runs from start to horizon: the tables of a simulated run, and how well the machine kept time."""

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from sim.engine.clock import Clock
from sim.engine.control import control
from sim.engine.play import controls_of, without_garbage_collection
from sim.engine.readable.crowd import Crowd
from sim.engine.simulate import chosen
from sim.model.controls import Policy
from sim.policies.playbook import Step, in_order
from sim.results.run import Run, run_from
from sim.scenario.parts import Recording
from sim.scenario.people import people_of
from sim.scenario.scenario import Scenario
from tests.studies.live.clock import RealClock, precise_loop
from tests.studies.live.devices import Device, SleepDevice
from tests.studies.live.load import Load, check_playable
from tests.studies.live.server import Server

PRESSURE = Path("/proc/pressure/cpu")


@dataclass(frozen=True)
class Vitals:
    """How well a machine kept time in a live run. Seconds, but for the drift."""

    gap: float  # the longest delay of the event loop
    lateness: float  # of sent attempts behind when they were due, 99th percentile
    drift: float  # how much longer than planned batches took in total, as a share
    pressure: float = math.nan  # the share of the run in which something waited for a core; nan where it is not known


@dataclass(frozen=True)
class Gate:
    """The limits that a machine must keep for a live run to count."""

    shortest: float  # seconds of a short batch; the next two are shares of it
    gap: float = 0.3
    lateness: float = 0.03
    drift: float = 0.003
    pressure: float = 0.25

    def faults(self, vitals: Vitals) -> list[str]:
        """Why a run does not count; empty if it does."""
        found = []
        if vitals.gap > self.gap * self.shortest:
            found.append(f"the event loop stood still for {vitals.gap * 1e3:.0f} ms")
        if vitals.lateness > self.lateness * self.shortest:
            found.append(f"1 % of attempts were sent {vitals.lateness * 1e3:.1f} ms late or more")
        if not abs(vitals.drift) <= self.drift:
            found.append(f"batches took {vitals.drift:.2%} longer than planned")
        if vitals.pressure > self.pressure:
            found.append(f"something waited for a core for {vitals.pressure:.0%} of the time")
        return found


@dataclass(frozen=True)
class LiveRun:
    """A live run's tables, and how the machine did; `waits`: seconds in the server's queue, by attempt that started."""

    run: Run
    vitals: Vitals
    waits: np.ndarray


class Ticks:
    """The clock that the control process sees: it keeps the instant at which that wants to be called again."""

    now = 0.0

    def at(self, time: float, _kind: int, _number: int) -> float:
        return time


Playbook = str | Sequence[Step | Policy] | None


def run_together(
    wanted: Sequence[tuple[Scenario, Playbook, int]],
    *,
    device: Device | None = None,
    loop: Callable[[], asyncio.AbstractEventLoop] = precise_loop,
) -> list[LiveRun]:
    """Play scenarios in real time, each under a playbook with a seed (see sim.simulate), at once on one event loop.

    device: what serves the batches; threads that sleep where None. Tables are made when all runs are over. Raises
    BadInput for a scenario that a live run cannot play.
    """
    own = SleepDevice() if device is None else None

    async def everything() -> list[Session]:
        sessions = [Session(*one, cast(Device, device or own)) for one in wanted]
        await asyncio.gather(*[session.play() for session in sessions])
        return sessions

    try:
        with without_garbage_collection(), asyncio.Runner(loop_factory=loop) as runner:
            sessions = runner.run(everything())
    finally:
        if own is not None:
            own.close()
    return [session.result() for session in sessions]


class Session:
    """One live run: made ready, played, and turned into tables."""

    def __init__(self, scenario: Scenario, playbook: Playbook, seed: int, device: Device):
        check_playable(scenario)
        self.scenario, self.seed = scenario, seed
        self.name, steps = chosen(scenario, playbook)
        self.playbook = in_order([*scenario.always, *steps], scenario.seconds)
        crowd = Crowd(scenario, people_of(scenario, seed)[0], seed)
        self.clock = RealClock()
        self.server = Server(self.clock, scenario, crowd, controls_of(scenario), seed, device)
        self.load = Load(self.clock, scenario, crowd, self.server, seed)
        self.rows: dict[str, list[dict[str, Any]]] = {"decisions": [], "fleets": []}

    async def play(self) -> None:
        """From the start to the horizon, in real time."""
        before = waited_for_cores()
        self.clock.start()
        for work in (self.steer(), self.load.play(), self.clock.watch()):
            self.clock.spawn(work)
        await self.clock.run_until(self.scenario.horizon)
        self.pressure = (waited_for_cores() - before) / self.scenario.horizon

    async def steer(self) -> None:
        """The control process of every engine, called at its ticks in real time."""
        ticks, horizon = Ticks(), self.scenario.horizon
        span: dict[str, Any] = {"tick": self.scenario.control_tick, "horizon": horizon, "progress": None, **self.rows}
        for instant in control(cast(Clock, ticks), self.server.controls, self.playbook, self.server, **span):
            ticks.now = cast(float, instant)
            if ticks.now >= horizon:
                return
            await self.clock.until(ticks.now)

    def result(self) -> LiveRun:
        """The tables of what happened."""
        run = run_from(
            self.scenario,
            self.server.log(),
            **self.rows,
            playbook=self.name,
            seed=self.seed,
            engine="live",
            unlimited=False,
            recording=Recording(),
            wall_seconds=self.scenario.horizon,
        )
        waits = np.array([r.started - r.arrived for r in self.server.requests if r.started == r.started])
        return LiveRun(run, vitals(self.clock, self.server, self.load, self.pressure), waits)


def vitals(clock: RealClock, server: Server, load: Load, pressure: float) -> Vitals:
    """How well the machine kept time."""
    over = [batch for batch in server.batches if batch.finished == batch.finished]
    planned, took = sum(batch.seconds for batch in over), sum(batch.finished - batch.started for batch in over)
    return Vitals(
        gap=clock.gap,
        lateness=float(np.quantile(load.lateness, 0.99)) if load.lateness else 0.0,
        drift=took / planned - 1.0 if over else 0.0,
        pressure=pressure,
    )


def waited_for_cores() -> float:
    """Seconds since the machine's start in which something waited for a core, as Linux counts them; nan elsewhere."""
    try:
        some = PRESSURE.read_text(encoding="ascii").splitlines()[0]
    except OSError:
        return math.nan
    return int(some.rpartition("total=")[2]) / 1e6
