"""Shadow mode: a playbook's policies are fed with telemetry from elsewhere, and act on nothing but their own knobs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

from sim.engine.control import decisions_at
from sim.engine.parallel import Progress
from sim.engine.play import controls_of
from sim.engine.simulate import chosen, simulate
from sim.errors import BadInput
from sim.model.controls import Controls, Telemetry
from sim.policies.base import ROUNDING
from sim.policies.playbook import Step, in_order
from sim.results.gateway_readings import Reading, Readings
from sim.results.run import Run
from sim.scenario.scenario import Scenario


class Recorder:
    """A policy that sets nothing and keeps the telemetry of every control tick."""

    def __init__(self) -> None:
        self.seen: list[Telemetry] = []

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # a run plays copies of its policies

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.seen.append(telemetry)


def with_telemetry(
    scenario: Scenario, playbook: str | None = None, *, seed: int = 1, progress: Progress | None = None
) -> tuple[Run, list[Telemetry]]:
    """A run, and what its gateway saw at every control tick. Raises BadInput for several cells: each has a gateway."""
    name, steps = chosen(scenario, playbook)
    if scenario.played_cells > 1:
        raise BadInput("each cell has a gateway of its own", key="cells", value=scenario.cells, expected="one cell")
    recorder = Recorder()
    run = simulate(scenario, [*steps, recorder], seed=seed, progress=progress)
    return replace(run, manifest={**run.manifest, "playbook": name}), recorder.seen


@dataclass(frozen=True)
class Looked:
    """One control tick in shadow mode: what was seen (seconds after the start) and rows of a decision table."""

    seen: Telemetry
    rows: list[dict[str, Any]]


def shadow(scenario: Scenario, playbook: str | None, readings: Iterable[Reading]) -> Iterator[Looked]:
    """The ticks at which a playbook looks at readings of metrics, and what it would do; counts are at full scale.

    It looks no more often than at the scenario's control tick, and not before the scenario's start. Faults are left
    out: they are no decisions. Raises BadInput for a playbook that does not exist, for readings of another service, and
    when a policy asks for a figure that the readings lack.
    """
    _, steps = chosen(scenario, playbook)
    acting = [step for step in [*scenario.always, *steps] if not is_fault(step)]
    timed = in_order(acting, scenario.seconds)
    controls = controls_of(scenario, whole=True)
    known, origin, last = Readings(scenario), scenario.start.timestamp(), float("-inf")
    for reading in readings:
        known.take(reading)
        now = reading.time - origin
        if now < -ROUNDING or now - last < scenario.control_tick - ROUNDING:
            continue
        last = now = max(now, 0.0)
        seen = known.telemetry(now)
        yield Looked(seen, decisions_at(seen, controls, timed)[0])


def is_fault(step: Any) -> bool:
    return isinstance(step, Step) and step.policy.advice.family == "faults"
