"""Fleets for tests: pools as a gateway sees them, what a policy makes of them tick by tick, and runs that need GPUs."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from sim.model.controls import Controls, Policy, PoolTelemetry, Telemetry
from sim.results.run import Run
from sim.scenario.document import merged
from sim.scenario.scenario import Scenario
from tests.random_scenarios import plain


def pool(gpus: int, busy: int = 0, queued: int = 0, wait: float = 0.0) -> PoolTelemetry:
    return PoolTelemetry(gpus, busy, queued, queued + busy, wait)


def seen(now: float, **pools: PoolTelemetry) -> Telemetry:
    zero = np.zeros((1, 1))
    return Telemetry(now, pools, zero, zero, zero, zero, zero, zero, 0, 0)


def fleets(policy: Policy, *, gpus: int, ticks: Iterable[float], scale: float = 1.0, use: float = 1.0) -> list[int]:
    """GPUs of the slice after each tick, where a share `use` of those in service is always busy."""
    controls = Controls(["free"], ["image"], scale, {"gpus": gpus})
    found, now_there = [], gpus
    for now in ticks:
        controls.open_all()
        policy.act(seen(now, gpus=pool(now_there, round(use * now_there))), controls)
        now_there = controls.fleet("gpus")
        found.append(now_there)
    return found


def surge(**settings: Any) -> Scenario:
    """Ten GPUs of ten seconds an image; twice as many images are asked for from 5 min to 25 min, a quarter before."""
    document = {
        "horizon": "40 min",
        "control_tick": "15 s",
        "pools": {"gpus": {"gpus": 10, "max_batch": 1}},
        "demand": [
            {"kind": "steady", "rate": "15 per min"},
            {"kind": "spike", "people": 2100, "lasting": "20 min", "from": "5 min"},
        ],
    }
    return plain(**merged(document, settings))


def in_service(run: Run, name: str, at: float) -> int:
    """GPUs of a pool in service at an instant."""
    rows = run.fleet[(run.fleet["pool"] == name) & (run.fleet["time"] <= at)]
    return int(rows["change"].sum())


def changes(run: Run, name: str = "gpus") -> list[tuple[float, int]]:
    """When a pool's fleet changed, and to how many GPUs."""
    rows = run.fleet[(run.fleet["pool"] == name) & (run.fleet["change"] != 0)]  # others are of absent GPUs
    return list(zip(rows["time"].tolist(), rows["change"].cumsum().tolist(), strict=True))
