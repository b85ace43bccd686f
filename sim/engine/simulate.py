"""The verb: simulate a scenario under a playbook, all its cells, and get the run as tables."""

from collections.abc import Callable, Sequence

from sim.engine.cells import play_cells
from sim.engine.parallel import Progress
from sim.engine.play import Settings, play
from sim.engine.readable.service import Service
from sim.engine.readable.users import Users
from sim.errors import LOADED, BadInput, refuse_other
from sim.model.controls import Policy
from sim.policies.playbook import Step
from sim.results.run import Run
from sim.scenario.begin import State, begun
from sim.scenario.fields import UNLIMITED
from sim.scenario.parts import Recording
from sim.scenario.scenario import Scenario

ENGINES = ("simpy", "compiled")


def simulate(
    scenario: Scenario,
    playbook: str | Sequence[Step | Policy] | None = None,
    *,
    seed: int = 1,
    engine: str = "compiled",
    unlimited: bool = False,
    begin: State | None = None,
    recording: Recording | None = None,
    users: Callable[..., Users] | None = None,
    service: Callable[..., Service] | None = None,
    processes: int | None = None,
    progress: Progress | None = None,
) -> Run:
    """One run of a scenario under a playbook, as tables.

    playbook: the name of one in the scenario (the first where None), or a list of policies, each any object with
    act(telemetry, controls). engine: 'compiled', or 'simpy', the readable definition of the same model. unlimited:
    every pool always has one GPU more, so that nobody waits. begin: the state of the service to begin with, at its
    instant (sim.scenario.begin). recording: what is written down, as the scenario says
    where None; 'simpy' writes every row. users, service: people or a service of your own, a class derived from
    Users or Service in sim.engine.readable, for 'simpy'. processes: how many cells to run at once, one per core where
    None; a scenario without cells is run in this process. progress is called with the share that is done, 0 to 1. The
    same scenario, playbook and seed give the same tables, on any machine, in any number of processes, and from both
    engines.
    """
    if begin is not None:
        scenario = begun(scenario, begin)
    name, steps = (UNLIMITED, ()) if unlimited and not playbook else chosen(scenario, playbook)
    if type(seed) is not int or not 0 <= seed < 2**63:
        raise BadInput("a seed is a whole number from 0 up", key="seed", value=seed, expected="0 to 2^63 - 1")
    if engine not in ENGINES:
        raise BadInput("there is no such engine", key="engine", value=engine, expected=" or ".join(ENGINES))
    writes = scenario.recording if recording is None else recording
    cells = scenario.played_cells
    if engine == "simpy" and cells > 1:
        raise BadInput("this engine keeps no timeline, from which cells are added up", key="engine", value=engine)
    if engine == "simpy" and not writes.rows:
        raise BadInput("this engine writes down every row", key="record", value=scenario.record, expected="rows")
    if engine == "compiled" and (users is not None or service is not None):
        why = "people and a service of your own are Python, which this engine does not run: it is compiled"
        raise BadInput(why, key="engine", value=engine, expected="engine='simpy'")
    if cells > 1 and (writes.rows or writes.sampled):
        raise BadInput("rows of several cells cannot be added up", key="recording", value=writes, expected="neither")
    how = Settings(name, steps, seed, engine, unlimited, recording, users or Users, service or Service)
    return play(scenario, how, progress) if cells == 1 else play_cells(scenario, how, processes, progress)


def chosen(scenario: Scenario, playbook: str | Sequence[Step | Policy] | None) -> tuple[str, Sequence[Step | Policy]]:
    """The playbook's name and its steps."""
    refuse_other(Scenario, scenario, LOADED)
    if playbook is None:
        playbook = next(iter(scenario.playbooks))
    if not isinstance(playbook, str):
        return "custom", playbook
    if playbook not in scenario.playbooks:
        raise BadInput(
            "the scenario has no such playbook", key="playbook", value=playbook, expected=", ".join(scenario.playbooks)
        )
    return playbook, scenario.playbooks[playbook]
