"""Scenarios as networks of Ciw with one node; figures come from its records at the end of a run."""

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ciw
import numpy as np

from tests.oracles.seen import Attempt, column, in_steady_state, nan, on_average, within

Found = dict[str, float]


def played(horizon: float, **network: Any) -> list[Attempt]:
    """Every attempt in a run of a network of one node, including those still inside at the horizon.

    Those in service then have no end and those in the queue no start, as in the runs that this is held against.
    """
    simulation = ciw.Simulation(ciw.create_network(**network))
    simulation.simulate_until_max_time(horizon)
    return [attempt_of(record) for record in simulation.get_all_records(include_incomplete=True)]


def attempt_of(record: Any) -> Attempt:
    attempt = Attempt(record.arrival_date, kind=int(record.original_customer_class == "second"))
    if record.record_type == "rejection":
        attempt.refused = "full"
    elif record.record_type == "renege":
        attempt.left = record.exit_date
    elif record.service_start_date is not None:
        attempt.started = record.service_start_date
        attempt.finished = nan if record.service_end_date is None else record.service_end_date
    return attempt


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Ciw draws from the interpreter's own generator: it is given back as it was."""
    before = random.getstate()
    ciw.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)


def lognormal(mean: float, cv: float) -> Any:
    """Ciw takes the mean and the deviation of the logarithm."""
    sigma = math.sqrt(math.log(1 + cv**2))
    return ciw.dists.Lognormal(math.log(mean) - sigma**2 / 2, sigma)


def service(seconds: float, cv: float) -> Any:
    return ciw.dists.Exponential(1 / seconds) if cv == 1 else lognormal(seconds, cv)


PATIENCE = {
    "exponential": lambda mean: ciw.dists.Exponential(1 / mean),
    "constant": ciw.dists.Deterministic,
    "weibull": lambda scale: ciw.dists.Weibull(scale, 0.7),
}


def impatient(
    seed: int, *, rate: float, gpus: int, seconds: float, law: str, patience: float, horizon: float, edge: float
) -> Found:
    """M/M/c+G: a customer whose patience is over leaves the queue."""
    with seeded(seed):
        attempts = played(
            horizon,
            arrival_distributions=[ciw.dists.Exponential(rate)],
            service_distributions=[ciw.dists.Exponential(1 / seconds)],
            reneging_time_distributions=[PATIENCE[law](patience)],
            number_of_servers=[gpus],
        )
    return in_steady_state(attempts, edge=edge, horizon=horizon, gpus=gpus, beyond=0.5)


def priorities(
    seed: int, *, rates: tuple[float, float], gpus: int, seconds: float, cv: float, horizon: float, edge: float
) -> Found:
    """M/G/c with two classes: the first before the second, nobody interrupted."""
    names = ("first", "second")
    with seeded(seed):
        attempts = played(
            horizon,
            arrival_distributions={
                name: [ciw.dists.Exponential(rate)] for name, rate in zip(names, rates, strict=True)
            },
            service_distributions={name: [service(seconds, cv)] for name in names},
            priority_classes={"first": 0, "second": 1},
            number_of_servers=[gpus],
        )
    found = in_steady_state(attempts, edge=edge, horizon=horizon, gpus=gpus, beyond=1.0)
    for name, kind in (("first", 0), ("second", 1)):
        of_class = in_steady_state(
            [attempt for attempt in attempts if attempt.kind == kind], edge=edge, horizon=horizon, gpus=gpus, beyond=1.0
        )
        found |= {f"{figure}, {name}": of_class[figure] for figure in ("mean wait", "waited longer")}
    return found


def bounded(
    seed: int, *, rate: float, gpus: int, seconds: float, cv: float, places: int, horizon: float, edge: float
) -> Found:
    """M/G/c/K: a customer who finds `places` others waiting is turned away."""
    with seeded(seed):
        attempts = played(
            horizon,
            arrival_distributions=[ciw.dists.Exponential(rate)],
            service_distributions=[service(seconds, cv)],
            queue_capacities=[places],
            number_of_servers=[gpus],
        )
    return in_steady_state(attempts, edge=edge, horizon=horizon, gpus=gpus, beyond=1.0)


def surge(
    seed: int,
    *,
    base: float,
    peak: float,
    begins: float,
    ends: float,
    until: float,
    gpus: int,
    seconds: float,
    patience: float,
) -> Found:
    """M(t)/M/c+M from an empty start: a rate of `base`, and of `peak` from `begins` to `ends`; by interval."""
    with seeded(seed):  # the intervals' arrivals are drawn as the network is made
        attempts = played(
            until,
            arrival_distributions=[ciw.dists.PoissonIntervals([base, peak, base], [begins, ends, until], until)],
            service_distributions=[ciw.dists.Exponential(1 / seconds)],
            reneging_time_distributions=[ciw.dists.Exponential(1 / patience)],
            number_of_servers=[gpus],
        )
    arrived, started, left = (column(attempts, name) for name in ("arrived", "started", "left"))
    finished, over = column(attempts, "finished"), np.where(np.isnan(started), left, started)
    found = {}
    middle = (ends + until) / 2
    for name, since, to in (("before", 0.0, begins), ("surge", begins, ends), ("after", ends, middle)):
        came = within(attempts, since, to)
        waits = column(came, "started") - column(came, "arrived")
        found[f"arrivals, {name}"] = float(len(came))
        found[f"mean wait, {name}"] = float(np.nanmean(waits))
        found[f"never started, {name}"] = float(np.isnan(waits).mean())
        found[f"queued, {name}"] = on_average(arrived, over, since, to)
        found[f"utilisation, {name}"] = on_average(started, finished, since, to) / gpus
        found[f"queued at the end, {name}"] = float(np.sum((arrived <= to) & ~(over <= to)))
    return found
