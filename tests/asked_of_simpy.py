"""What plain programs in SimPy are asked: batches, retries, storms, limits, orders, models and expiry."""

from collections.abc import Callable
from typing import Any

from sim.profile import constant_profile, profile_of_sizes
from sim.run import Run
from sim.scenario import Scenario
from sim.validation.measures import (
    attempts_an_ask,
    mean_batch,
    queued,
    share_never_started,
    share_of_asks_served,
    time_in_orbit,
    utilisation,
    waited_longer,
)
from sim.validation.queues import mean_wait_in, observed, poisson, queue, room, share, steady, waits
from sim.validation.spikes import spike
from tests.oracles import simpy_people, simpy_queues
from tests.random_scenarios import plain
from tests.two_samples import Question

Figures = dict[str, Callable[[Run], float]]
MEANS: Figures = {"mean wait": mean_wait_in, "queued": queued, "utilisation": utilisation}


def longer(seconds: float) -> Figures:
    return {"waited longer": waited_longer(seconds)}


def in_time(horizon: float, edge: float) -> dict[str, Any]:
    return {"horizon": f"{horizon} s", "warm_up": f"{edge} s", "control_tick": f"{horizon} s"}


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


# Who is refused tries again.


def refused(
    *, places: int, at_most: int, again: float, pause: float, growth: float, horizon: float, edge: float, **how: Any
) -> Scenario:
    backoff = {"kind": "exponential", "mean": f"{pause} s"}
    retry = {"at_most": at_most, "probability": again, "backoff": backoff, "growth": growth}
    return queue(retry=retry, policies=[room(places)], lasting=horizon, warm_up=edge, **how)


RETRIES: Figures = {
    **MEANS,
    **longer(1.0),
    "refused": share("refused"),
    "attempts an ask": attempts_an_ask,
    "asks served": share_of_asks_served,
    "from asking to the start": time_in_orbit,
}


# Who leaves tries again, whether or not it is noticed.


def leavers(
    *,
    rate: float,
    gpus: int,
    seconds: float,
    scale: float,
    again: float,
    pause: float,
    at_most: int,
    notices: bool,
    horizon: float,
    edge: float,
) -> Scenario:
    backoff = {"kind": "exponential", "mean": f"{pause} s"}
    return plain(
        {"slow": constant_profile("slow", seconds)},
        pools={"gpus": {"gpus": gpus}},
        demand=[steady(rate)],
        behaviour={
            "patience": {"kind": "weibull", "scale": f"{scale} s", "shape": 0.7},
            "retry": {"at_most": at_most, "after_leaving": again, "backoff": backoff},
        },
        serving={"noise": {"kind": "exponential"}, "notices_leaving": notices},
        **in_time(horizon, edge),
    )


def wasted(run: Run) -> float:
    """Of the images done after the warm-up, the share whose user had left."""
    done = run.requests[run.requests["finished"] >= run.manifest["warm_up"]]
    return float((done["outcome"] == "abandoned").mean())


LEAVERS: Figures = {
    **MEANS,
    **longer(1.0),
    "never started": share_never_started,
    "left": share("abandoned"),
    "wasted": wasted,
    "attempts an ask": attempts_an_ask,
    "asks served": share_of_asks_served,
}


def storm(*, patience: float, seconds: float, **how: Any) -> Scenario:
    return spike(timeout=f"{patience} s", seconds=seconds, noise="exponential", record="rows", **how)


def in_window(begins: float, ends: float) -> Figures:
    """What came and what was done in a window."""

    def came(run: Run) -> Any:
        return run.requests[(run.requests["arrived"] >= begins) & (run.requests["arrived"] < ends)]

    def done(run: Run) -> Any:
        return run.requests[(run.requests["finished"] >= begins) & (run.requests["finished"] < ends)]

    lasting = ends - begins
    return {
        "asks a second": lambda run: float((came(run)["attempt"] == 0).sum() / lasting),
        "attempts a second": lambda run: len(came(run)) / lasting,
        "images in time a second": lambda run: float((done(run)["outcome"] == "served").sum() / lasting),
        "wasted": lambda run: float((done(run)["outcome"] != "served").mean()),
        "refused": lambda run: float((came(run)["outcome"] == "refused").mean()),
    }


STORM = {"base": 5.0, "peak": 15.0, "quiet": 60.0, "lasting": 60.0, "after": 200.0, "gpus": 1, "seconds": 0.1}
STORM_WINDOWS: Figures = {
    f"{figure}, {name}": of
    for name, (begins, ends) in {"before": (0.0, 60.0), "spike": (60.0, 120.0), "end": (220.0, 320.0)}.items()
    for figure, of in in_window(begins, ends).items()
}


# What one client may ask for.


def limits(
    *,
    clients: int,
    rate: float,
    refill: float,
    depth: int,
    quota: int,
    window: float,
    at_once: int,
    gpus: int,
    seconds: float,
    horizon: float,
) -> Scenario:
    return queue(
        waves=[{**poisson(rate), "clients": clients}],
        policies=[
            {"kind": "rate limit", "rate": f"{refill} per second", "burst": depth},
            {"kind": "quota", "requests": quota, "window": f"{window} s", "runs": "calendar"},
            {"kind": "concurrency", "requests": at_once},
        ],
        gpus=gpus,
        seconds=seconds,
        lasting=horizon,
    )


def refused_by(reason: str) -> Callable[[Run], float]:
    return lambda run: float((observed(run)["reason"] == reason).mean())


LIMITS: Figures = {
    **MEANS,
    **longer(1.0),
    **{reason: refused_by(reason) for reason in ("rate limit", "quota", "concurrency")},
}


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


EXPIRY: Figures = {
    "mean wait": mean_wait_in,
    **longer(1.6),
    "refused": share("refused"),
    "utilisation": utilisation,
}

SLOWER = {"seconds": 1.05}
SHORT = {"horizon": 250.0}
LAST_FIRST = Question(
    "last in, first out",
    last_first,
    simpy_queues.last_first,
    {"rate": 3.6, "gpus": 3, "seconds": 1.0, "patience": 3.0, "edge": 30.0, "horizon": 1500.0},
    {**MEANS, **longer(1.0), "never started": share_never_started},
    SLOWER,
    SHORT,
)
DROPPED = Question(
    "expiry",
    expiry,
    simpy_queues.expiry,
    {"rate": 3.6, "gpus": 3, "seconds": 1.0, "after": 2.0, "edge": 20.0, "horizon": 1500.0},
    EXPIRY,
    SLOWER,
    SHORT,
)
QUESTIONS = [
    Question(
        "batches and linger",
        batching,
        simpy_queues.batching,
        {"rate": 5.0, "gpus": 2, "sizes": [0.7, 0.9, 1.1, 1.3], "linger": 0.6, "edge": 30.0, "horizon": 1500.0},
        BATCHES,
        {"sizes": [1.05 * seconds for seconds in (0.7, 0.9, 1.1, 1.3)]},
        SHORT,
    ),
    Question(
        "batches and linger, a quieter time",
        batching,
        simpy_queues.batching,
        {"rate": 1.5, "gpus": 2, "sizes": [0.7, 0.9, 1.1, 1.3], "linger": 0.6, "edge": 30.0, "horizon": 1500.0},
        BATCHES,
        {"linger": 0.63},
        SHORT,
    ),
    Question(
        "retries after a refusal",
        refused,
        simpy_people.refused,
        {
            "rate": 3.3,
            "gpus": 3,
            "seconds": 1.0,
            "places": 4,
            "at_most": 3,
            "again": 0.8,
            "pause": 2.0,
            "growth": 2.0,
            "edge": 60.0,
            "horizon": 1500.0,
        },
        RETRIES,
        SLOWER,
        SHORT,
    ),
    *[
        Question(
            f"people who leave {'noticed' if notices else 'unnoticed'}",
            leavers,
            simpy_people.leavers,
            {
                "rate": rate,
                "gpus": 3,
                "seconds": 1.0,
                "scale": 4.0,
                "again": 0.5,
                "pause": 3.0,
                "at_most": 3,
                "notices": notices,
                "edge": 60.0,
                "horizon": 1500.0,
            },
            LEAVERS,
            SLOWER,
            SHORT,
        )
        for notices, rate in ((True, 2.6), (False, 1.5))
    ],
    Question(
        "a storm that stays",
        storm,
        simpy_people.storm,
        {**STORM, "patience": 5.0, "retries": 5, "bound": 150},
        STORM_WINDOWS,
        {"seconds": 0.105},
    ),
    Question(
        "a storm that may pass",
        storm,
        simpy_people.storm,
        {**STORM, "patience": 5.0, "retries": 5, "bound": 55},
        STORM_WINDOWS,
        {"seconds": 0.105},
    ),
    Question(
        "a storm that passes",
        storm,
        simpy_people.storm,
        {**STORM, "patience": 5.0, "retries": 5, "bound": 35},
        STORM_WINDOWS,
        {"seconds": 0.105},
    ),
    Question(
        "limits of a client",
        limits,
        simpy_people.limits,
        {
            "clients": 10,
            "rate": 0.5,
            "refill": 0.4,
            "depth": 3,
            "quota": 28,
            "window": 100.0,
            "at_once": 2,
            "gpus": 3,
            "seconds": 1.0,
            "horizon": 1500.0,
        },
        LIMITS,
        SLOWER,
        SHORT,
    ),
    LAST_FIRST,
    Question(
        "two models",
        models,
        simpy_queues.models,
        {
            "rate": 2.0,
            "share": 0.6,
            "gpus": 2,
            "seconds": (0.6, 0.3),
            "load": 1.0,
            "largest": 4,
            "edge": 60.0,
            "horizon": 2500.0,
        },
        MODELS,
        {"load": 1.05},
        SHORT,
    ),
    DROPPED,
]
