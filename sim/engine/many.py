"""Many runs at once: what each study asks of its runs, in as many processes as there are cores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sim.engine.first_use import compile_now
from sim.engine.parallel import Progress, in_parallel
from sim.engine.simulate import simulate
from sim.model.controls import Policy
from sim.policies.playbook import Step
from sim.results.run import Run
from sim.scenario.parts import Recording
from sim.scenario.scenario import Scenario


@dataclass(frozen=True)
class Task:
    """One run of a study, as simulate() takes it. keep: return the run itself, beside what is asked of it."""

    scenario: Scenario
    playbook: str | Sequence[Step | Policy] | None = None
    seed: int = 1
    engine: str = "compiled"
    unlimited: bool = False
    recording: Recording | None = None
    keep: bool = False


def simulate_all(
    tasks: Sequence[Task],
    ask: Callable[[Run], Any],
    *,
    processes: int | None = None,
    progress: Progress | None = None,
) -> list[tuple[Any, Run | None]]:
    """ask(run) of every task's run, in order, with the run itself where it is to be kept.

    ask must be picklable: a function of a module. processes: how many runs at once, one per core where None.
    """
    if any(task.engine == "compiled" for task in tasks):
        compile_now()  # or each process would, all at once
    return in_parallel(answer, ask, [(task,) for task in tasks], processes=processes, progress=progress)


def answer(ask: Callable[[Run], Any], task: Task, progress: Progress) -> tuple[Any, Run | None]:
    """The figures of one run, whose cells share this process."""
    how = {"seed": task.seed, "engine": task.engine, "unlimited": task.unlimited, "recording": task.recording}
    run = simulate(task.scenario, task.playbook, **how, processes=1, progress=progress)  # type: ignore[arg-type]
    return ask(run), run if task.keep else None
