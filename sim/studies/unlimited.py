"""The demand behind a run: the same people and seed with an unlimited fleet, where nothing holds them back."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sim.engine.parallel import Progress
from sim.engine.simulate import simulate
from sim.results.offered import with_offered_load
from sim.results.run import Run
from sim.scenario.parts import Recording
from sim.scenario.scenario import Scenario

TIMELINE = Recording(rows=False)


def simulate_with_demand(
    scenario: Scenario,
    playbook: str | None = None,
    *,
    seed: int = 1,
    engine: str = "compiled",
    processes: int | None = None,
    progress: Progress | None = None,
) -> Run:
    """simulate() and with_demand(): both runs at once where there are cores for two, since they need no processes."""
    how: dict[str, Any] = {"seed": seed, "processes": processes}
    first, second = halves(progress)
    cores = processes or os.cpu_count() or 1
    if cores < 2 or engine != "compiled" or scenario.played_cells > 1 or not is_hidden(scenario):
        run = simulate(scenario, playbook, engine=engine, progress=first, **how)
        return with_demand(run, scenario, processes=processes, progress=second)
    ended = threading.Event()
    with ThreadPoolExecutor(1) as thread:
        demand = thread.submit(
            simulate, scenario, recording=TIMELINE, unlimited=True, progress=unless(ended, second), **how
        )
        try:
            run = simulate(scenario, playbook, progress=first, **how)
            return with_offered_load(run, demand.result())
        finally:
            ended.set()


def with_demand(run: Run, scenario: Scenario, *, processes: int | None = None, progress: Progress | None = None) -> Run:
    """The run of a scenario with its offered load at its peak (see sim.results.offered).

    That takes another run, without policies and with an unlimited fleet, about as long as this one; but none where
    demand is not hidden.
    """
    if not is_hidden(scenario):
        return with_offered_load(run, run)
    how: dict[str, Any] = {"recording": TIMELINE, "processes": processes, "progress": progress}
    return with_offered_load(run, simulate(scenario, seed=run.manifest["seed"], unlimited=True, **how))


def is_hidden(scenario: Scenario) -> bool:
    """Whether what people ask depends on how they are served. Recorded requests and clients ask at their instants."""
    return bool(scenario.demand.waves) or scenario.demand.word_of_mouth is not None


def halves(progress: Progress | None) -> tuple[Progress, Progress]:
    """What reports the progress of each of two runs as that of both."""
    shares = [0.0, 0.0]

    def half(place: int) -> Progress:
        def report(share: float) -> None:
            shares[place] = share
            if progress is not None:
                progress(sum(shares) / 2)

        return report

    return half(0), half(1)


def unless(ended: threading.Event, progress: Progress) -> Progress:
    """The same, which stops the run that reports to it when the other one has ended: by an interrupt, say."""

    def report(share: float) -> None:
        if ended.is_set():
            raise InterruptedError("the run beside this one has ended")
        progress(share)

    return report
