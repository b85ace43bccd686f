"""Questions about queues for plain SimPy programs: batches, orders, models and expiry."""

from collections.abc import Callable
from typing import Any

from sim.profile.profile import profile_of_sizes
from sim.results.run import Run
from sim.scenario.scenario import Scenario
from tests.oracles import simpy_queues
from tests.oracles.formulas import impatience, until
from tests.random_scenarios import plain
from tests.studies.peers.samples import MEANS, SHORT, SLOWER, Figures, Question, in_time, longer
from tests.studies.theory.closed_forms import erlang_a
from tests.studies.theory.measures import mean_batch, share_never_started, utilisation
from tests.studies.theory.queues import mean_wait_in, observed, queue, share, steady, waits

# Batches, and how long a GPU waits for one to fill.


def batching(*, rate: float, gpus: int, sizes: list[float], linger: float, horizon: float, edge: float) -> Scenario:
    return plain(
        {"slow": profile_of_sizes("slow", sizes)},
        pools={"gpus": {"gpus": gpus, "max_batch": len(sizes), "linger": f"{linger} s"}},
        demand=[steady(rate)],
        serving={"noise": {"kind": "exponential"}},
        **in_time(horizon, edge),
    )


def full_batches(run: Run) -> float:
    sizes = run.batches.query(f"started >= {run.manifest['warm_up']}")["size"]
    return float((sizes == 4).mean())


BATCHES: Figures = {**MEANS, **longer(1.0), "mean batch": mean_batch, "full batches": full_batches}


# In what order, with which model, and until when.


def last_first(*, patience: float, horizon: float, edge: float, **how: Any) -> Scenario:
    return queue(
        patience={"kind": "exponential", "mean": f"{patience} s"},
        policies=[{"kind": "last in first out"}],
        lasting=horizon,
        warm_up=edge,
        **how,
    )


def models(
    *,
    rate: float,
    share: float,
    gpus: int,
    seconds: tuple[float, float],
    load: float,
    largest: int,
    horizon: float,
    edge: float,
) -> Scenario:
    parts = {"image": ("slow", share), "edit": ("quick", 1 - share)}
    return plain(
        {
            name: profile_of_sizes(name, [one * n for n in range(1, largest + 1)])
            for name, one in zip(("slow", "quick"), seconds, strict=True)
        },
        features={
            name: {"share": part, "pool": "gpus", "slo": "60 s", "spec": {"model": model}}
            for name, (model, part) in parts.items()
        },
        pools={"gpus": {"gpus": gpus, "max_batch": largest, "model_load": {"kind": "constant", "value": f"{load} s"}}},
        demand=[steady(rate)],
        serving={"noise": {"kind": "exponential"}},
        **in_time(horizon, edge),
    )


def wait_with(feature: str) -> Callable[[Run], float]:
    return lambda run: float(waits(observed(run).query(f"feature == '{feature}'")).mean())


def seconds_of_a_batch(run: Run) -> float:
    batches = run.batches.query(f"started >= {run.manifest['warm_up']}")
    return float((batches["finished"] - batches["started"]).mean())


MODELS: Figures = {
    **MEANS,
    **longer(2.0),
    "mean wait, model 0": wait_with("image"),
    "mean wait, model 1": wait_with("edit"),
    "mean batch": mean_batch,
    "seconds of a batch": seconds_of_a_batch,
}


def expiry(*, after: float, horizon: float, edge: float, **how: Any) -> Scenario:
    drop = {"kind": "expiry", "after": f"{after} s", "foresight": False}
    return queue(policies=[drop], lasting=horizon, warm_up=edge, **how)


EXPIRY: Figures = {"mean wait": mean_wait_in, **longer(1.6), "refused": share("refused"), "utilisation": utilisation}

SIZES = [0.7, 0.9, 1.1, 1.3]
LINGER = {"gpus": 2, "sizes": SIZES, "linger": 0.6, "edge": 30.0, "horizon": 1500.0}
THREE = {"gpus": 3, "seconds": 1.0, "edge": 30.0, "horizon": 1500.0}
TWO_MODELS = {
    "rate": 2.0,
    "share": 0.6,
    "gpus": 2,
    "seconds": (0.6, 0.3),
    "load": 1.0,
    "largest": 4,
    "edge": 60.0,
    "horizon": 2500.0,
}
LATE = {"sizes": [1.05 * seconds for seconds in SIZES]}

BATCHING = Question("batches", batching, simpy_queues.batching, {**LINGER, "rate": 5.0}, BATCHES, LATE, SHORT)
LINGERING = Question(
    "linger", batching, simpy_queues.batching, {**LINGER, "rate": 1.5}, BATCHES, {"linger": 0.63}, SHORT
)


def erlang_a_whatever_the_order() -> dict[str, float]:
    """The number of people who leave or wait does not depend on the order where patience is exponential."""
    exact = erlang_a(3.6, 1.0, 3, 3.0)
    return {"never started": exact.abandoned, "queued": exact.queue, "utilisation": exact.utilisation}


def baccellis_of_expiry() -> dict[str, float]:
    """A request that is dropped when its turn comes takes nothing from the others, like one that leaves the queue."""
    known = impatience(3.6, 1.0, 3, until(2.0), beyond=1.6)
    known["refused"] = known.pop("never started")
    del known["queued"]  # there they wait until they are dropped
    return known


LAST_FIRST = Question(
    "last in, first out",
    last_first,
    simpy_queues.last_first,
    {**THREE, "rate": 3.6, "patience": 3.0},
    {**MEANS, **longer(1.0), "never started": share_never_started},
    SLOWER,
    SHORT,
    erlang_a_whatever_the_order,
)
LOADING = Question("two models", models, simpy_queues.models, TWO_MODELS, MODELS, {"load": 1.05}, SHORT)
DROPPED = Question(
    "expiry",
    expiry,
    simpy_queues.expiry,
    {**THREE, "rate": 3.6, "after": 2.0},
    EXPIRY,
    SLOWER,
    SHORT,
    baccellis_of_expiry,
)
QUESTIONS = [BATCHING, LINGERING, LAST_FIRST, LOADING, DROPPED]
