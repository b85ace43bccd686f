"""Wire one run: people, controls, service, users and the control process, from 0 to the horizon."""

import gc
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sim.engine.clock import Clock
from sim.engine.compiled.engine import CompiledEngine
from sim.engine.control import Engine, control
from sim.engine.readable.engine import SimpyEngine
from sim.engine.readable.service import Service
from sim.engine.readable.users import Users
from sim.errors import BadInput
from sim.model.controls import Controls, Policy
from sim.model.jit import compiled_before
from sim.policies.playbook import Step, in_order
from sim.results.run import Run, run_from
from sim.scenario.parts import Recording
from sim.scenario.people import people_of
from sim.scenario.fields import UNLIMITED
from sim.scenario.scenario import Scenario

ENGINES = ("simpy", "compiled")
LOG = logging.getLogger("meltpoint")


def simulate(
    scenario: Scenario,
    playbook: str | Sequence[Step | Policy] | None = None,
    *,
    seed: int = 1,
    engine: str = "compiled",
    unlimited: bool = False,
    recording: Recording | None = None,
    users: Callable[..., Users] | None = None,
    service: Callable[..., Service] | None = None,
    progress: Callable[[float], None] | None = None,
) -> Run:
    """One run of a scenario under a playbook, as tables.

    playbook: the name of one in the scenario (the first where None), or a list of policies, each any object with
    act(telemetry, controls). engine: 'compiled', or 'simpy', the readable definition of the same model. unlimited:
    every pool always has one GPU more, so that nobody waits. recording: what is written down, as the scenario says
    where None; 'simpy' writes every row. users, service: people or a service of your own, a class derived from
    Users or Service in sim.engine.readable, for 'simpy'. progress is called with the seconds simulated so far, at every
    control tick. The same scenario, playbook and seed give the same tables, on any machine, in any number of
    processes, and from both engines.
    """
    name, steps = (UNLIMITED, ()) if unlimited and not playbook else chosen(scenario, playbook)
    if type(seed) is not int or not 0 <= seed < 2**63:
        raise BadInput("a seed is a whole number from 0 up", key="seed", value=seed, expected="0 to 2^63 - 1")
    if engine not in ENGINES:
        raise BadInput("there is no such engine", key="engine", value=engine, expected=" or ".join(ENGINES))
    recording = scenario.recording if recording is None else recording
    if engine == "simpy" and not recording.rows:
        raise BadInput("this engine writes down every row", key="record", value=scenario.record, expected="rows")
    if engine == "compiled" and (users is not None or service is not None):
        why = "people and a service of your own are Python, which this engine does not run: it is compiled"
        raise BadInput(why, key="engine", value=engine, expected="engine='simpy'")
    if scenario.played_cells > 1:
        raise BadInput("several cells are run by sim.simulate_cells", key="cells", value=scenario.cells, expected="1")
    if engine == "compiled" and not compiled_before():
        LOG.warning("Compiling the engine: once on this machine, about half a minute ...")
    with without_garbage_collection():
        return played(
            scenario, name, steps, seed, engine, recording, unlimited, users or Users, service or Service, progress
        )


def played(
    scenario: Scenario,
    name: str,
    steps: Sequence[Step | Policy],
    seed: int,
    engine: str,
    recording: Recording,
    unlimited: bool,
    users: Callable[..., Users],
    service: Callable[..., Service],
    progress: Callable[[float], None] | None,
) -> Run:
    """The run; nothing of its engine outlives this call."""
    began = time.perf_counter()
    people, asks = people_of(scenario, seed)
    controls = controls_of(scenario)
    fleets: list[dict[str, Any]] = []
    decisions: list[dict[str, Any]] = []
    env = Clock()
    plays: Engine
    if engine == "compiled":
        plays = CompiledEngine(scenario, people, asks, controls, seed, recording, unlimited=unlimited)
    else:
        plays = SimpyEngine(env, scenario, people, asks, controls, seed, users, service, unlimited=unlimited)
    timed, tick = in_order([*scenario.always, *steps], scenario.seconds), scenario.control_tick
    horizon = scenario.horizon
    rows = {"decisions": decisions, "fleets": fleets}
    env.process(control(env, controls, timed, plays, tick=tick, horizon=horizon, **rows, progress=progress))
    with own_errors():
        env.run(until=scenario.horizon)
    return run_from(
        scenario,
        plays.log(),
        decisions,
        fleets,
        playbook=name,
        seed=seed,
        engine=engine,
        unlimited=unlimited,
        recording=recording,
        wall_seconds=time.perf_counter() - began,
    )


def controls_of(scenario: Scenario) -> Controls:
    """The knobs of a scenario's service, wide open."""
    gpus = {name: scenario.gpus(name) for name in scenario.pools}
    return Controls(list(scenario.tiers), list(scenario.features), scenario.scale, gpus, list(scenario.demand.regions))


def chosen(scenario: Scenario, playbook: str | Sequence[Step | Policy] | None) -> tuple[str, Sequence[Step | Policy]]:
    """The playbook's name and its steps."""
    if playbook is None:
        playbook = next(iter(scenario.playbooks))
    if not isinstance(playbook, str):
        return "custom", playbook
    if playbook not in scenario.playbooks:
        raise BadInput(
            "the scenario has no such playbook", key="playbook", value=playbook, expected=", ".join(scenario.playbooks)
        )
    return playbook, scenario.playbooks[playbook]


@contextmanager
def own_errors() -> Iterator[None]:
    """An error in a process as it was raised: SimPy raises a copy, which has lost what the error knows but its text."""
    try:
        yield
    except Exception as copy:
        if copy.__cause__ is None:
            raise
        raise copy.__cause__ from None


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Millions of live objects and no cycles worth finding: the collector would only walk them over and over.

    When the run is over all of it is one cycle of events, processes and requests, which nothing but the collector can
    free and which it would leave for many runs. So it is freed here; what was there before is not looked at.
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
