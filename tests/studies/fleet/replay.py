"""Recorded jobs replayed through the simulator: how busy its GPUs are hour by hour, and how long jobs wait."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from sim.demand.recordings.trace import recording
from sim.engine.parallel import Progress
from sim.engine.readable.pool import Pool
from sim.engine.readable.service import Service
from sim.engine.simulate import simulate
from sim.model.request import Request
from sim.model.streams import CHECK, draws
from sim.profile.profile import constant_profile
from sim.scenario.scenario import Scenario
from sim.validation.study import Row
from tests.studies.fleet.dispatch import DISPATCHERS, central_queue
from tests.studies.fleet.files import Fleet, Floats

MINUTES = {"minutes of 60 s": 60.0, "minutes of 57 s, as recorded": 57.0}
HOUR = 60  # minutes
PLACED = 100  # the place among the draws of where in its minute a job is done
LEAD = 600.0  # seconds before the first minute in which jobs may begin
SEEDS = (1, 2, 3)
FEWER = (45, 40, 35, 30)  # GPUs that might have been
LEAST_R, LEAST_R_BY_MINUTE, MOST_OVER = 0.99, 0.95, 1.07
AGREEING = ("least loaded", "round robin")
REJECTED = ("power of two choices", "random")
MEANS_APART, TAILS_APART = 2.0, 10.0  # how far above the record a way of dispatching must be to be rejected


@dataclass(frozen=True)
class Jobs:
    """Jobs in order of arrival: when each comes (seconds), and how long it loads and computes; float64 (n,) each."""

    arrived: Floats
    load: Floats
    inference: Floats

    @property
    def seconds(self) -> Floats:
        return self.load + self.inference


class Recorded(Service):
    """A service whose batches take as long as was recorded: `took`, by the number of the ask."""

    def __init__(self, *given: Any, took: Floats, **more: Any):
        super().__init__(*given, **more)
        self.took = took.tolist()

    def seconds(self, head: Request, size: int, pool: Pool, gpu: int) -> float:
        return float(self.took[head.ask])


def jobs_of(fleet: Fleet, minute: float, seed: int) -> Jobs:
    """The recorded jobs: each is done at a random instant of its minute, and arrives as long before as it took.

    minute: seconds of one.
    """
    done = LEAD + minute * (fleet.minute + draws(seed, CHECK, np.arange(len(fleet.minute)), PLACED))
    arrived = np.maximum(done - fleet.load - fleet.inference, 0.0)
    order = np.argsort(arrived, kind="stable")
    return Jobs(arrived[order], fleet.load[order], fleet.inference[order])


def replayed(jobs: Jobs, gpus: int) -> tuple[Floats, Floats]:
    """When the simulator's pool starts and finishes each job, seconds, (jobs,) each."""
    run = simulate(scenario_of(jobs, gpus), engine="simpy", service=partial(Recorded, took=jobs.seconds))
    rows = run.requests.sort_values("ask")
    assert (rows["outcome"] == "served").all(), "the horizon is after the last job"
    return rows["started"].to_numpy(float), rows["finished"].to_numpy(float)


def scenario_of(jobs: Jobs, gpus: int) -> Scenario:
    """One pool with one queue, and a client who asks at the recorded instants and never leaves."""
    horizon = float(jobs.arrived[-1] + jobs.seconds.max() + jobs.seconds.sum() / gpus) + 1.0
    document: dict[str, Any] = {
        "title": "a recorded fleet",
        "horizon": f"{horizon!r} s",
        "control_tick": f"{horizon!r} s",
        "tiers": {"all": {"share": 1}},
        "features": {"image": {"share": 1, "pool": "pods", "slo": "1 h", "spec": {"model": "recorded"}}},
        "pools": {"pods": {"gpus": gpus}},
        "demand": {"kind": "trace", "file": "jobs"},
        "behaviour": {"patience": {"kind": "never"}},
        "serving": {"noise": {"kind": "none"}},
    }
    profiles = {"recorded": constant_profile("recorded", float(jobs.seconds.mean()))}
    return Scenario.from_dict(document, profiles=profiles, traces={"jobs": recording(jobs.arrived, "GenTD26")})


def busy(starts: Floats, ends: Floats, edges: Floats) -> Floats:
    """Seconds of work within each of the intervals between edges: float64 (edges - 1,)."""

    def until(instants: Floats) -> Floats:
        before = np.sort(instants)
        count = np.searchsorted(before, edges)
        return count * edges - np.append(0.0, np.cumsum(before))[count]

    return np.diff(until(starts) - until(ends))


def hourly(by_minute: Floats) -> Floats:
    """Means over whole hours."""
    hours = len(by_minute) // HOUR
    return np.asarray(by_minute[: hours * HOUR].reshape(hours, HOUR).mean(axis=1))


def law(fleet: Fleet, minute: float) -> Floats:
    """The utilisation law: seconds of inference in each minute over pods x time."""
    work = np.bincount(fleet.minute, fleet.inference, len(fleet.duty))
    return np.asarray(work / np.maximum(fleet.pods, 1) / minute)


def simulated(fleet: Fleet, minute: float, seed: int) -> Floats:
    """The share of time that the simulator's GPUs compute, minute by minute; while they load they do not."""
    jobs = jobs_of(fleet, minute, seed)
    _, finished = replayed(jobs, fleet.servers)
    edges = LEAD + minute * np.arange(len(fleet.duty) + 1, dtype=np.float64)
    return busy(finished - jobs.inference, finished, edges) / (fleet.servers * minute)


def utilisation_rows(fleet: Fleet) -> list[Row]:
    """The recorded duty of GPUs against the law, and against the simulator's own utilisation."""
    rows = []
    for name, minute in MINUTES.items():
        rows += rows_of_duty(f"utilisation law, {name}", fleet.duty, law(fleet, minute))
        rows += rows_of_duty(f"simulated fleet, {name}", fleet.duty, simulated(fleet, minute, SEEDS[0]))
    return rows


def rows_of_duty(case: str, recorded: Floats, predicted: Floats) -> list[Row]:
    """One prediction of duty, minute by minute, against the record."""
    by_hour, forecast = hourly(recorded), hourly(predicted)
    slope, base = np.polyfit(forecast, by_hour, 1)
    whole, peak, least = 100 * float(by_hour.mean()), int(by_hour.argmax()), int(by_hour.argmin())
    over = f"recorded / predicted {by_hour.mean() / forecast.mean():.3f}, at most {MOST_OVER}"
    line = f"recorded = {100 * base:.2f} % + {slope:.2f} x predicted, hour by hour"
    return [
        Row(case, "correlation hour by hour", "", 1.0, correlation(by_hour, forecast), LEAST_R, 1.0),
        Row(case, "correlation minute by minute", "", 1.0, correlation(recorded, predicted), LEAST_R_BY_MINUTE, 1.0),
        Row(case, "GPU duty, whole day", "%", whole, 100 * float(forecast.mean()), whole / MOST_OVER, whole, over),
        Row(case, "GPU duty, busiest hour", "%", 100 * float(by_hour[peak]), 100 * float(forecast[peak]), note=line),
        Row(case, "GPU duty, quietest hour", "%", 100 * float(by_hour[least]), 100 * float(forecast[least])),
    ]


def correlation(a: Floats, b: Floats) -> float:
    return float(np.corrcoef(a, b)[0, 1])


def dispatch_rows(fleet: Fleet, progress: Progress | None = None) -> list[Row]:
    """Waits of the simulator's pool, of other ways to dispatch, and of smaller fleets."""
    minute, servers = next(iter(MINUTES.values())), fleet.servers
    jobs = [jobs_of(fleet, minute, seed) for seed in SEEDS]
    waits = []
    for number, one in enumerate(jobs):
        waits.append(pool_waits(one, servers))
        tell(progress, number + 1)
    rows = rows_of_waits(f"simulated pool, {servers} GPUs", fleet, waits, rejected=False)
    length = float(np.mean([one.sum() for one in waits])) / (len(fleet.duty) * minute)
    size = float(fleet.queue_size.mean())
    rows.append(Row(rows[0].case, "mean queue length", "requests", size, length, 0.0, size))
    for name in (*AGREEING, *REJECTED):
        found = [DISPATCHERS[name](o.arrived, o.seconds, servers, s) for s, o in zip(SEEDS, jobs, strict=True)]
        rows += rows_of_waits(f"replayed: {name}", fleet, found, rejected=name in REJECTED)
    for number, gpus in enumerate(FEWER):
        rows.append(what_if(fleet, jobs[0], gpus))
        tell(progress, len(SEEDS) + number + 1)
    return rows


def what_if(fleet: Fleet, jobs: Jobs, gpus: int) -> Row:
    """The p99 of waits in a smaller fleet; the note has it with the other length of a minute."""
    (_, (other, minute)), waits = MINUTES.items(), pool_waits(jobs, gpus)
    shorter = jobs_of(fleet, minute, SEEDS[0])
    tight = np.quantile(central_queue(shorter.arrived, shorter.seconds, gpus, SEEDS[0]), 0.99)
    note = f"what if; mean {waits.mean():.3g} s; p99 with {other}: {tight:.3g} s"
    return Row(f"simulated pool, {gpus} GPUs", "wait p99", "s", math.nan, float(np.quantile(waits, 0.99)), note=note)


def pool_waits(jobs: Jobs, gpus: int) -> Floats:
    """The waits of one replay through the simulator, seconds, (jobs,)."""
    started, _ = replayed(jobs, gpus)
    return started - jobs.arrived


def tell(progress: Progress | None, runs: int) -> None:
    if progress is not None:
        progress(runs / (len(SEEDS) + len(FEWER)))


def rows_of_waits(case: str, fleet: Fleet, waits: list[Floats], *, rejected: bool) -> list[Row]:
    """Mean and p99 of waits over seeds, against the gateway's: at most those, or far above where rejected."""
    measures: dict[str, tuple[Callable[[Floats], Any], float]] = {
        "mean": (np.mean, MEANS_APART),
        "p99": (partial(np.quantile, q=0.99), TAILS_APART),
    }
    rows = []
    for name, (measure, apart) in measures.items():
        recorded, found = float(measure(fleet.queue_time)), [float(measure(one)) for one in waits]
        low, high = (apart * recorded, math.inf) if rejected else (0.0, recorded)
        figure = f"wait {name}, must be {apart:g} times the record's or more" if rejected else f"wait {name}"
        note = f"{min(found):.3g} to {max(found):.3g} over {len(found)} seeds"
        rows.append(Row(case, figure, "s", recorded, float(np.mean(found)), low, high, note))
    return rows
