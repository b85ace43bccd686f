"""The demand behind a run: the same people and seed with an unlimited fleet, where nothing holds them back."""

from sim.engine.parallel import Progress
from sim.engine.simulate import simulate
from sim.results.offered import with_offered_load
from sim.results.run import Run
from sim.scenario.parts import Recording
from sim.scenario.scenario import Scenario

TIMELINE = Recording(rows=False)


def with_demand(run: Run, scenario: Scenario, *, processes: int | None = None, progress: Progress | None = None) -> Run:
    """The run of a scenario with its offered load at its peak (see sim.results.offered).

    That takes another run, without policies and with an unlimited fleet, about as long as this one; but none where all
    requests are recorded or of clients, who ask at their instants whatever becomes of the requests before.
    """
    if not scenario.demand.waves and scenario.demand.word_of_mouth is None:
        return with_offered_load(run, run)
    how = {"recording": TIMELINE, "processes": processes, "progress": progress}
    return with_offered_load(run, simulate(scenario, seed=run.manifest["seed"], unlimited=True, **how))  # type: ignore
