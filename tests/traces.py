"""Runs to check by hand: people who arrive at given instants, served by a machine that takes ten seconds a batch."""

from collections.abc import Sequence
from typing import Any, Literal
from unittest import mock

import numpy as np

from sim.engine.simulate import simulate
from sim.model.controls import Policy
from sim.policies.playbook import Step
from sim.profile.profile import constant_profile
from sim.results.run import Run
from sim.scenario.people import Asks, People
from tests.random_scenarios import plain

TEN_SECONDS = {
    "slow": constant_profile("slow", 10.0, largest_batch=4),
    "quick": constant_profile("quick", 4.0, largest_batch=4),
}


def arriving(
    instants: Sequence[float] | np.ndarray,
    playbook: Sequence[Step | Policy] = (),
    *,
    tiers: Sequence[str] = (),
    ages: Sequence[float] | np.ndarray | None = None,
    seed: int = 1,
    engine: Literal["compiled", "simpy"] | None = None,
    **settings: Any,
) -> Run:
    """A run in which people arrive at these instants, of these tiers and with accounts of these ages.

    settings: of the plain scenario, merged. By default everybody makes one request and never leaves.
    """
    n, names = len(instants), list(dict.fromkeys(tiers)) or ["free"]
    age = np.zeros(n) if ages is None else np.array(ages, dtype=float)
    kinds, source = np.unique(age, return_inverse=True)
    if ages is not None:  # how old an account is, is said of a wave
        waves = [{"kind": "steady", "rate": "1 per min", "account_age": f"{kind} s"} for kind in kinds]
        settings = {"demand": waves, **settings}
    people = People(
        arrives=np.array(instants, dtype=float),
        key=np.arange(n),
        source=source.astype(np.int16),
        tier=np.array([names.index(t) for t in tiers or ["free"] * n], dtype=np.int8),
        region=np.zeros(n, dtype=np.int8),
    )
    nothing = np.empty(0, dtype=np.int64)
    asks = Asks(np.empty(0), nothing, nothing, nothing)
    scenario = plain(TEN_SECONDS, tiers={name: {"share": 1 / len(names)} for name in names}, **settings)
    chosen: dict[str, Any] = {} if engine is None else {"engine": engine}
    with mock.patch("sim.engine.play.people_of", return_value=(people, asks)):
        return simulate(scenario, playbook, seed=seed, **chosen)


def step(**line: Any) -> Step:
    """A line of a playbook as a scenario file has it ('from' is written from_)."""
    return Step.model_validate({key.rstrip("_"): value for key, value in line.items()})


def served(run: Run) -> list[tuple[float, float]]:
    """When each request started and finished, in order of arrival; nan is never."""
    return list(run.requests[["started", "finished"]].itertuples(index=False, name=None))


def outcomes(run: Run) -> list[str]:
    """How each request ended, in order of arrival: its outcome, or why it was refused."""
    return [str(r.reason) if r.outcome == "refused" else str(r.outcome) for r in run.requests.itertuples()]
