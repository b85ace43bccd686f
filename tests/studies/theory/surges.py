"""Systems of queueing theory whose demand changes with time: surges as fluids, and rates by the period."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sim.results.run import Run
from tests.studies.theory.measures import Measure, empty_after
from tests.studies.theory.params import Params
from tests.studies.theory.queues import CONSTANT, queue, steady, waiting_at, waits
from tests.studies.theory.replay import Discipline
from tests.studies.theory.systems import System

LARGE = 10  # a surge is a fluid in the limit of many requests: this multiplies the rates of the tables
SMALL = 40  # and this divides the rates of a long one

# On one GPU whose service time is constant, the queue at a fixed instant of an unbroken busy period has exactly
# the fluid's mean, but for a request or two; the largest queue has not, where the peak is rounded (a maximum of noise),
# so it is measured at the instant of the fluid's peak.


def rectangular(p: Params, metrics: Mapping[str, float], engine: str) -> System:
    size = LARGE if p["T"] < 1000 else 1 / SMALL
    before, during, lasting, capacity = p["lam0"] * size, p["lam1"] * size, p["T"], p["C"] * size
    begins = lasting / 6
    ends = begins + lasting
    spike = {"kind": "spike", "from": f"{begins} s", "people": (during - before) * lasting, "lasting": f"{lasting} s"}
    horizon = ends + 1.3 * metrics["drain_time_after_surge"]
    scenario = queue(waves=[steady(before), spike], seconds=1 / capacity, noise=CONSTANT, lasting=horizon)
    times = f", times {LARGE}" if size == LARGE else f", by {SMALL}"

    def episode(run: Run) -> Any:
        rows, until = run.requests, empty_after(run, ends)
        return waits(rows[(rows["arrived"] >= begins) & (rows["arrived"] <= until)])

    of = {
        "peak_queue": lambda run: float(waiting_at(run, [ends])[0]),
        "drain_time_after_surge": lambda run: empty_after(run, ends) - ends,
        "max_virtual_wait": lambda run: float(waits(run.requests).max()),
        "total_wait_job_seconds": lambda run: float(episode(run).sum()),
        "mean_wait_of_arrivals_during_episode": lambda run: float(episode(run).mean()),
    }
    grows = {"peak_queue", "total_wait_job_seconds"}
    measures = {
        metric: Measure(metric + times, value * size, of[metric])
        if metric in grows
        else Measure(metric, value, of[metric])
        for metric, value in metrics.items()
    }
    return System(scenario, measures, Discipline(1))


def decaying(p: Params, metrics: Mapping[str, float], engine: str) -> System:
    surge = {"kind": "weibull", "people": p["A"] * LARGE * p["tau"], "scale": f"{p['tau']} s", "shape": 1}
    waves, capacity, peak = (
        [steady(p["lam0"] * LARGE), surge],
        p["C"] * LARGE,
        p["tau"] * math.log(p["A"] / (p["C"] - p["lam0"])),
    )
    lasting = 1.3 * metrics["t_empty"] if "t_empty" in metrics else 6 * p["tau"]
    scenario = queue(waves=waves, seconds=1 / capacity, noise=CONSTANT, lasting=lasting)
    found: dict[str, Callable[[Run], float]] = {
        "peak_queue": lambda run: float(waiting_at(run, [peak])[0]) / LARGE,
        "t_empty": lambda run: empty_after(run, peak),
        "max_virtual_wait": lambda run: wait_at(run, peak),
    }
    measures = {name: Measure(name, metrics[name], of) for name, of in found.items() if name in metrics}
    return System(scenario, measures, Discipline(1))


def wait_at(run: Run, instant: float) -> float:
    """The wait in seconds of the first to arrive after an instant."""
    rows = run.requests
    row = rows[rows["arrived"] >= instant].iloc[0]
    return float(row["started"] - row["arrived"])


def by_period(p: Params, metrics: Mapping[str, float], engine: str) -> System:
    """M_t/M/c, with patience where `theta` is given: rates lams (per second), each for `each` seconds, from empty."""
    each, lams = float(p["each"]), p["lams"]
    waves = [
        {**steady(rate), "from": f"{number * each} s", "lasting": f"{each} s"}
        for number, rate in enumerate(lams)
        if rate > 0
    ]
    patience = {"kind": "exponential", "mean": f"{1 / p['theta']} s"} if "theta" in p else None
    lasting = len(lams) * each + 0.001
    scenario = queue(waves=waves, gpus=p["c"], seconds=1 / p["mu"], patience=patience, lasting=lasting)
    measures = {metric: Measure(metric, value, present_at(instant_of(metric))) for metric, value in metrics.items()}
    return System(scenario, measures, Discipline(p["c"]))


def instant_of(metric: str) -> float:
    """Seconds, from a metric's name: L_at_600."""
    return float(metric.removeprefix("L_at_"))


def present_at(instant: float) -> Callable[[Run], float]:
    """A measure: requests waiting or being served at an instant."""

    def of(run: Run) -> float:
        rows = run.requests
        over = rows["finished"].where(rows["started"].notna(), rows["left"])
        return float(np.sum((rows["arrived"] <= instant) & ~(over <= instant)))

    return of
