"""The study `torch`: a live server whose GPU computes, and how much of an error is due to its profile."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from sim.engine.parallel import Progress
from sim.engine.readable.pool import Pool
from sim.engine.readable.service import Service
from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.model.request import Request
from sim.profile.profile import profile_of_sizes
from sim.results.manifest import version_of
from sim.results.run import Run
from sim.validation.study import Study
from tests.studies.live.cases import Case, Figures, Fleet, overload, spike, steady
from tests.studies.live.run import Gate, run_together
from tests.studies.live.study import Pair, compared, notes
from tests.studies.live.torch_device import TorchDevice, Work

Made = Callable[[Fleet], Case]

WORKS = {  # by device and model: the work of one image
    "cpu": {"large": Work("tiny", 128, 96), "small": Work("tiny", 128, 48)},
    "cuda": {"large": Work("flux-schnell", 512, 2), "small": Work("flux-schnell", 512, 1)},
}
BATCH = 4
VISITS = {"cpu": 6, "cuda": 4}  # of every size of batch, before a run and after it
SEEDS = {"cpu": range(1, 4), "cuda": range(1, 2)}
TRIES = 3  # runs of a case and seed at most, until one passes the gate
LOADS: list[Made] = [partial(steady, load=load) for load in (0.5, 0.7, 0.9)]
OVERLOADS: list[Made] = [partial(overload, playbook="queue bound"), partial(overload, playbook="degrade")]
CASES: dict[str, list[Made]] = {"cpu": [*LOADS, spike, *OVERLOADS], "cuda": [*LOADS, spike]}
REPLAYED = {  # how far off a figure may be, as a share
    "latency p50": 0.02,
    "latency p99": 0.05,
    "images in time": 0.03,
    "peak queue": 0.05,
    "time to saturation": 0.05,
    "seconds from its end to an empty queue": 0.05,
    "refused: queue bound": 0.05,
    "abandoned": 0.05,
}
PROFILED: dict[str, dict[str, float]] = {
    "cpu": {},
    "cuda": {"latency p50": 0.02, "latency p95": 0.05, "latency p99": 0.08},
}
GATE = Gate(shortest=0.13, drift=math.inf)  # the study is about batches that take longer than planned

Seconds = dict[str, np.ndarray]  # of batches measured alone, by model: visits x sizes from 1


def torch_study(progress: Progress | None = None, *, device: str = "cpu") -> Study:
    """Play every case with every seed on a torch device ('cpu' or 'cuda'), between two calibrations, and simulate it.

    A quarter of an hour and more. Raises BadInput without torch, and for a device that is not there.
    """
    if device not in WORKS:
        raise BadInput("a live run has no such device", key="--device", value=device, expected=" or ".join(WORKS))
    gpu, pairs = TorchDevice(WORKS[device], device), []
    wanted = [(make, seed) for make in CASES[device] for seed in SEEDS[device]]
    try:
        for number, (make, seed) in enumerate(wanted):
            for _ in range(TRIES):
                pairs += played(gpu, make, seed)
                if not pairs[-1].faults:
                    break
            if progress is not None:
                progress((number + 1) / len(wanted))
    finally:
        gpu.close()
    return Study(
        name="torch",
        title=f"A live server with a model on {device}",
        question="Does a server whose GPU really computes do what the simulator predicts from that GPU's profile?",
        source="an asyncio server on this machine and a diffusion model with random weights, asked by the same people",
        rows=compared(pairs),
        notes=[f"torch {version_of('torch')}.", *notes(pairs, GATE)],
    )


def played(gpu: TorchDevice, make: Made, seed: int) -> list[Pair]:
    """One live run and two predictions of it: with its own service times, and from a profile of the device."""
    before = measured(gpu)
    mean = before["large"].mean(axis=0)
    fleet = fleet_of(before, full=BATCH / mean[-1])
    case = make(fleet)
    live = run_together([(case.scenario, case.playbook, seed)], device=gpu)[0]
    around = {model: np.concatenate([before[model], after]) for model, after in measured(gpu).items()}
    faults = GATE.faults(live.vitals)
    own = partial(Replayed, live=live.run)
    found = []
    for name, fleet_, service, bounds in (
        ("service times replayed", fleet, own, REPLAYED),
        ("from the profile", fleet_of(around, full=fleet.full), None, PROFILED[gpu.device]),
    ):
        one = make(fleet_)
        run = simulate(one.scenario, one.playbook, seed=seed, engine="simpy", service=service)
        case_ = replace(one, name=f"{one.name}, {name}", figures=partial(bounded, one.figures, bounds))
        found.append(Pair(case_, seed, live, run, faults))
    return found


def measured(gpu: TorchDevice) -> Seconds:
    """Every size of batch of every model, VISITS times in rounds, the first of which warms up and is left out."""
    rounds = [
        {model: [gpu.seconds(model, size) for size in range(1, BATCH + 1)] for model in gpu.works}
        for _ in range(VISITS[gpu.device] + 1)
    ]
    return {model: np.array([one[model] for one in rounds[1:]]) for model in gpu.works}


def fleet_of(seconds: Seconds, *, full: float) -> Fleet:
    """One GPU with the mean of its visits for a profile, and their spread for noise."""
    profiles = {model: profile_of_sizes(model, visits.mean(axis=0).tolist()) for model, visits in seconds.items()}
    spread = np.mean([(visits / visits.mean(axis=0)).std(axis=0, ddof=1).mean() for visits in seconds.values()])
    return Fleet(1, BATCH, profiles, {"kind": "lognormal", "cv": max(1e-4, float(spread))}, full)


def bounded(figures: Callable[[Run], Figures], bounds: dict[str, float], run: Run) -> Figures:
    """Figures with the bounds of this study."""
    return {name: (unit, value, bounds.get(name, math.nan)) for name, (unit, value, _) in figures(run).items()}


class Replayed(Service):
    """A service whose batches take as much longer than the profile says as those of a live run at the same time."""

    def __init__(self, *given: Any, live: Run, **more: Any):
        super().__init__(*given, **more)
        over = live.batches.dropna(subset=["finished"]).sort_values("started")
        if not len(over):
            raise BadInput("no batch of the live run was done before its end", expected="a faster device")
        labels = [spec.label for spec in self.specs]
        planned = [
            self.pools[0].seconds[labels.index(label)][size]
            for label, size in zip(over["spec"], over["size"], strict=True)
        ]
        self.instants = over["started"].to_numpy(float)
        self.paces = (over["finished"] - over["started"]).to_numpy(float) / np.array(planned)

    def seconds(self, head: Request, size: int, pool: Pool, gpu: int) -> float:
        after = min(int(np.searchsorted(self.instants, self.env.now)), len(self.instants) - 1)
        near = after - (after > 0 and 2 * self.env.now < self.instants[after - 1] + self.instants[after])
        return float(pool.seconds[head.spec][size] * self.paces[near])
