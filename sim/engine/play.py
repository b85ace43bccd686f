"""Wire one run of one cell: people, controls, service, users and the control process, from 0 to the horizon."""

import gc
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from sim.engine.clock import Clock
from sim.engine.compiled.engine import CompiledEngine
from sim.engine.control import Engine, control
from sim.engine.parallel import Progress
from sim.engine.readable.engine import SimpyEngine
from sim.engine.readable.service import Service
from sim.engine.readable.users import Users
from sim.model.controls import Controls, Policy
from sim.model.jit import cached_in, compiled_before
from sim.policies.playbook import Step, in_order
from sim.results.run import Run, run_from
from sim.scenario.parts import Recording
from sim.scenario.people import people_of
from sim.scenario.scenario import Scenario

LOG = logging.getLogger("meltpoint")


@dataclass(frozen=True)
class Settings:
    """How a scenario is run: all that simulate() takes besides the scenario, checked."""

    playbook: str
    steps: Sequence[Step | Policy]
    seed: int = 1
    engine: str = "compiled"
    unlimited: bool = False
    recording: Recording | None = None  # as the scenario says where None
    users: Callable[..., Users] = Users
    service: Callable[..., Service] = Service


def play(scenario: Scenario, how: Settings, progress: Progress | None = None) -> Run:
    """The run; progress is called with the share of the horizon that is simulated, at every control tick."""
    if how.engine == "compiled":
        announce_compiling()
    with without_garbage_collection():
        run = played(scenario, how, progress)
    if progress is not None:
        progress(1.0)
    return run


@cache  # once in a process: each look goes through the folder of machine code
def announce_compiling() -> None:
    """Say on standard error why the first run takes longer, where its machine code has to be made."""
    if compiled_before():
        return
    kept = "once on this machine" if cached_in() else "in every process, without a cache (no folder can be written)"
    LOG.warning("Compiling the engine: %s, one to two minutes ...", kept)


def played(scenario: Scenario, how: Settings, progress: Progress | None) -> Run:
    """The run; nothing of its engine outlives this call."""
    began = time.perf_counter()
    people, asks = people_of(scenario, how.seed)
    controls = controls_of(scenario)
    recording = scenario.recording if how.recording is None else how.recording
    rows: dict[str, list[dict[str, Any]]] = {"decisions": [], "fleets": []}
    env = Clock()
    plays: Engine
    if how.engine == "compiled":
        plays = CompiledEngine(scenario, people, asks, controls, how.seed, recording, unlimited=how.unlimited)
    else:
        own = (how.users, how.service)
        plays = SimpyEngine(env, scenario, people, asks, controls, how.seed, *own, unlimited=how.unlimited)
    timed, horizon = in_order([*scenario.always, *how.steps], scenario.seconds), scenario.horizon
    report = None if progress is None else lambda now: progress(now / horizon)
    tick = scenario.control_tick
    env.process(control(env, controls, timed, plays, tick=tick, horizon=horizon, **rows, progress=report))
    with own_errors():
        env.run(until=horizon)
    return run_from(
        scenario,
        plays.log(),
        rows["decisions"],
        rows["fleets"],
        playbook=how.playbook,
        seed=how.seed,
        engine=how.engine,
        unlimited=how.unlimited,
        recording=recording,
        wall_seconds=time.perf_counter() - began,
    )


def controls_of(scenario: Scenario, *, whole: bool = False) -> Controls:
    """The knobs of a scenario's service, all at their defaults. whole: of all its GPUs, and not of the slice."""
    gpus = {name: pool.gpus if whole else scenario.gpus(name) for name, pool in scenario.pools.items()}
    regions, replicas = list(scenario.demand.regions), {n: p.gpus_per_replica for n, p in scenario.pools.items()}
    names = (list(scenario.tiers), list(scenario.features))
    return Controls(*names, 1.0 if whole else scenario.scale, gpus, regions, replicas, scenario.apart, scenario.staying)


@contextmanager
def own_errors() -> Iterator[None]:
    """Raise the error of a process itself: SimPy raises a copy that has lost everything but its text."""
    try:
        yield
    except Exception as copy:
        if copy.__cause__ is None:
            raise
        raise copy.__cause__ from None


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Switch the collector off: it would walk millions of live objects again and again, and find no garbage.

    When the run is over, its events, processes and requests are one large cycle that only the collector can free, and
    that it would leave for many runs. So it is freed here, without looking at what was there before.
    """
    was_on, freezing = gc.isenabled(), gc.get_freeze_count() == 0
    gc.disable()
    if freezing:
        gc.freeze()
    try:
        yield
    finally:
        gc.collect()
        if freezing:
            gc.unfreeze()
        if was_on:
            gc.enable()
