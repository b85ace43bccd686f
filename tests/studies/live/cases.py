"""The cases of the live studies: loads, a spike and an overload as scenarios of seconds, with their figures."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.model.request import ABANDONED, REFUSED
from sim.profile.profile import Profile
from sim.results.counting import queue_spans
from sim.results.intents import intents
from sim.results.latencies import latencies
from sim.results.metrics import peak_queue
from sim.results.run import Run
from sim.scenario.scenario import Scenario

POOL = "gpus"
SPIKE = 20.0, 10.0  # seconds: when it begins, how long it lasts
PLAYBOOKS: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "queue bound": [{"kind": "queue bound", "requests": 40}],
    "shed": [{"kind": "shed", "share": 0.5}],
    "degrade": [{"kind": "degrade"}],
    "rate limit": [{"kind": "rate limit", "rate": "5 per min"}],
    "quota": [{"kind": "quota", "requests": 1, "tiers": ["free"]}],
    "paid first": [{"kind": "priority", "first": ["paid", "free"]}, {"kind": "expiry", "after": "2 s"}],
}
STEADY: dict[str, Any] = {"requests": {"kind": "fixed", "requests": 1}, "patience": {"kind": "never"}}
WISHES = 2  # of everybody, in an overload
HASTY: dict[str, Any] = {
    "requests": {"kind": "fixed", "requests": WISHES},
    "think": {"kind": "exponential", "mean": "2 s"},
    "patience": {"kind": "exponential", "mean": "6 s"},
    "retry": {"backoff": {"kind": "uniform", "low": "1 s", "high": "6 s"}},
}
Figures = dict[str, tuple[str, float, float]]  # by name: unit, value, how far off a prediction may be, as a share


@dataclass(frozen=True)
class Fleet:
    """GPUs, and how long each takes for a batch, by model ('large', and the cheaper 'small')."""

    gpus: int
    batch: int  # the most images in one
    profiles: dict[str, Profile]
    noise: dict[str, Any]
    full: float  # images of the large model a second in full batches, of which loads are shares


@dataclass(frozen=True)
class Case:
    """A scenario that is run in real time, and the figures taken from it."""

    name: str
    scenario: Scenario
    figures: Callable[[Run], Figures]
    playbook: str = "none"


def steady(fleet: Fleet, load: float, *, lasting: float = 60.0) -> Case:
    """People who wait as long as it takes, at a constant share of capacity."""
    scenario = service(fleet, [wave(load * fleet.full)], lasting=lasting, behaviour=STEADY, linger=0.1)
    return Case(f"load {load}", scenario, quantiles)


def spike(fleet: Fleet) -> Case:
    """Five times 0.4 of capacity for ten seconds, from people who wait as long as it takes."""
    demand = [wave(0.4 * fleet.full), wave(1.6 * fleet.full, begins=SPIKE[0], lasting=SPIKE[1])]
    return Case("a spike of 5 times", service(fleet, demand, lasting=60.0, behaviour=STEADY), spike_figures)


def overload(fleet: Fleet, playbook: str) -> Case:
    """One and a half times capacity, from people who leave and try again."""
    scenario = service(fleet, [wave(1.5 * fleet.full / WISHES)], lasting=40.0, behaviour=HASTY)
    return Case(f"1.5 times capacity, {playbook}", scenario, overload_figures, playbook)


def wave(rate: float, *, begins: float = 0.0, lasting: float = math.inf) -> dict[str, Any]:
    """People at a constant rate a second."""
    shape = {"kind": "steady", "rate": f"{rate} per second", "from": f"{begins} s"}
    return shape if math.isinf(lasting) else shape | {"lasting": f"{lasting} s"}


def service(
    fleet: Fleet, demand: list[dict[str, Any]], *, lasting: float, behaviour: dict[str, Any], linger: float = 0.0
) -> Scenario:
    """A fleet with a cheaper model beside the one asked for, and people who wait seconds, not minutes."""
    document = {
        "title": "live",
        "horizon": f"{lasting} s",
        "control_tick": "2 s",
        "tiers": {"free": {"share": 0.8}, "paid": {"share": 0.2}},
        "features": {
            "image": {
                "share": 1,
                "pool": POOL,
                "slo": "4 s",
                "spec": {"model": "large"},
                "ladder": [{"model": "small"}],
            }
        },
        "pools": {POOL: {"gpus": fleet.gpus, "max_batch": fleet.batch, "linger": f"{linger} s"}},
        "demand": demand,
        "behaviour": behaviour,
        "serving": {"noise": fleet.noise, "notices_leaving": True},
        "playbooks": {name: [{"policy": policy} for policy in steps] for name, steps in PLAYBOOKS.items()},
    }
    return Scenario.from_dict(document, profiles=fleet.profiles)


def quantiles(run: Run) -> Figures:
    """Latency of the served, from when they were due."""
    found = np.asarray(latencies(run).xs(("served", "latency", "all")), dtype=float)
    bounds = {"p50": 0.02, "p95": 0.05, "p99": 0.08}
    values = zip(bounds.items(), found[:3].tolist(), strict=True)
    return {f"latency {name}": ("s", value, within) for (name, within), value in values}


def spike_figures(run: Run) -> Figures:
    """Of a spike that ends: images in time, the longest queue, the time until it has built up and until it is empty."""
    times, lengths = queue(run)
    over = sum(SPIKE)
    empty = times[(times >= over) & (lengths == 0)]
    drain = float(empty[0]) - over if len(empty) else math.nan
    return crowded(run, since=SPIKE[0]) | {"seconds from its end to an empty queue": ("s", drain, 0.05)}


def overload_figures(run: Run) -> Figures:
    """Of an overload that lasts: images in time, the queue, and attempts lost by reason."""
    rows = run.requests
    refused = rows.loc[rows["outcome"] == REFUSED, "reason"].value_counts()
    lost = {f"refused: {reason}": int(n) for reason, n in refused.items() if n}
    lost |= {"abandoned": int((rows["outcome"] == ABANDONED).sum())}
    return crowded(run, since=0.0) | {name: ("attempts", float(n), 0.05) for name, n in lost.items()}


def crowded(run: Run, *, since: float) -> Figures:
    """Goodput, the longest queue, and the time from `since` until two full batches per GPU wait (if they ever do)."""
    wishes = intents(run)
    times, lengths = queue(run)
    pool = run.manifest["pools"][POOL]
    full = times[(times >= since) & (lengths >= 2 * pool["gpus"] * pool["max_batch"])]
    return {
        "images in time": ("1/s", float(wishes["in_time"].sum()) / run.horizon, 0.03),
        "peak queue": ("requests", peak_queue(run, POOL)["peak"], 0.05),
        "time to saturation": ("s", float(full[0]) - since if len(full) else math.nan, 0.05),
    }


def queue(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """How many requests wait, after each instant at which one joins or leaves the queue."""
    starts, ends = queue_spans(run, POOL)
    ends = ends[~np.isnan(ends)]
    times = np.concatenate([starts, ends])
    order = np.argsort(times, kind="stable")
    return times[order], np.repeat([1, -1], [len(starts), len(ends)])[order].cumsum()


def share_in_time(run: Run) -> float:
    """The share of all asks, including those undecided at the end, with an image in time."""
    wishes = intents(run)
    return float(wishes["in_time"].mean())
