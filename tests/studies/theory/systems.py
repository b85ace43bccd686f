"""The systems of the tables of queueing theory as scenarios, each with what is measured for its metrics."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sim.results.run import Run
from sim.scenario.scenario import Scenario
from tests.studies.theory.measures import Measure, empty_after, usual, wait_of, wait_squared
from tests.studies.theory.queues import CONSTANT, poisson, queue, room, steady, waiting_at, waits

Params = Mapping[str, Any]
REQUESTS = {"compiled": 50_000, "simpy": 2_000}  # in a run, after the warm-up
FORGOTTEN = 17  # warm-ups, each of some six relaxation times, after which a mean hardly depends on its start
MOST = 12_000  # requests that simpy observes in a run
LARGE = 10  # a surge is a fluid in the limit of many requests: this multiplies the rates of the tables
SMALL = 40  # and this divides the rates of a long one


@dataclass(frozen=True)
class System:
    """A scenario, and the measure for each metric of the tables."""

    scenario: Scenario
    measures: dict[str, Measure]
    long: bool = True  # whether a run is long enough for its means


def steady_state(params: Params, metrics: Mapping[str, float], engine: str, warm_up: float, **how: Any) -> System:
    """A queue in the long run: the warm-up, the requests observed, and as long again unobserved."""
    rate, more = how.pop("rate", params.get("lam")), how.pop("longer", 1)
    observed, long = more * REQUESTS[engine] / rate, True
    if engine == "simpy":
        observed = max(REQUESTS[engine] / rate, FORGOTTEN * warm_up)
        long = observed * rate <= MOST
        if not long:
            observed, warm_up = REQUESTS[engine] / rate, 0.0
    scenario = queue(rate=rate, lasting=2 * warm_up + observed, warm_up=warm_up, **how)
    return System(scenario, {metric: usual(metric, value) for metric, value in metrics.items()}, long)


def relaxation(load: float, gpus: int) -> float:
    """Mean service times in which M/M/c forgets where it began, but for a factor e (Karlin and McGregor 1958)."""
    return 1.0 / (math.sqrt(gpus) - math.sqrt(load)) ** 2


def m_m_c(p: Params, metrics: Mapping[str, float], engine: str) -> System:
    seconds, gpus = 1 / p["mu"], p.get("c", 1)
    warm_up = seconds * (5 + 6 * relaxation(p["lam"] * seconds, gpus))
    return steady_state(p, metrics, engine, warm_up, gpus=gpus, seconds=seconds, longer=8 if gpus > 500 else 2)


def without_room(p: Params, metrics: Mapping[str, float], engine: str) -> System:
    return steady_state(p, metrics, engine, 20.0, rate=p["a"], gpus=p["c"], policies=[room(0)])


def bounded(p: Params, metrics: Mapping[str, float], engine: str) -> System:
    warm_up = 60.0 + 3 * p["K"] / p["c"]
    return steady_state(p, metrics, engine, warm_up, gpus=p["c"], policies=[room(p["K"] - p["c"])], longer=2)


def impatient(p: Params, metrics: Mapping[str, float], engine: str) -> System:
    seconds, mean = 1 / p["mu"], 1 / p["theta"]
    patience = {"kind": "exponential", "mean": f"{mean} s"}
    warm_up = 10 * max(seconds, mean)
    return steady_state(p, metrics, engine, warm_up, gpus=p["c"], seconds=seconds, patience=patience, longer=2)


def constant(p: Params, metrics: Mapping[str, float], engine: str) -> System:
    gpus = p.get("c", 1)
    warm_up = p["D"] * (10 + 4 * relaxation(p["lam"] * p["D"], gpus))
    return steady_state(p, metrics, engine, warm_up, gpus=gpus, seconds=p["D"], noise=CONSTANT, longer=2)


def general(p: Params, metrics: Mapping[str, float], engine: str) -> System:
    """M/G/1; the deviation of the wait is measured as its mean square, last come first served in a run of its own."""
    last = "Wq_std_LCFS_nonpreemptive" in metrics
    how: dict[str, Any] = {"noise": {"kind": "lognormal", "cv": 1.5}}
    if "p_slow" in p:
        how = {"noise": CONSTANT, "services": {"quick": (0.5, 0.1), "slow": (0.5, 1.78)}}
    system = steady_state(
        p, {}, engine, 700.0, policies=[{"kind": "last in first out"}] if last else [], longer=4, **how
    )
    for metric, value in metrics.items():
        if "std" in metric:
            mean = p["lam"] * p["ES2"] / (2 * (1 - p["lam"] * p["ES"]))
            square = value**2 + mean**2
            system.measures[metric] = Measure(f"mean square of the wait, from {metric}", square, wait_squared)
        else:
            system.measures[metric] = usual(metric, value)
    return system


def first(tiers: list[str]) -> list[dict[str, Any]]:
    return [{"kind": "priority", "first": tiers}]


def by_class(metrics: Mapping[str, float]) -> dict[str, Measure]:
    """The mean wait of class n is that of the tier 'n'."""
    return {
        metric: Measure(metric, value, wait_of(metric[-1])) if "class" in metric else usual(metric, value)
        for metric, value in metrics.items()
    }


def priority(p: Params, metrics: Mapping[str, float], engine: str) -> System:
    rate, seconds = sum(p["lams"]), 1 / p["mu"]
    load, tiers = rate * seconds, {str(n): lam / rate for n, lam in enumerate(p["lams"], start=1)}
    warm_up = seconds * (20 + 8 * relaxation(load, p["c"]) if load < p["c"] else 60)
    how = {"gpus": p["c"], "seconds": seconds, "tiers": tiers, "policies": first(list(tiers))}
    system = steady_state(p, {}, engine, warm_up, rate=rate, longer=4, **how)
    return System(system.scenario, by_class(metrics), system.long)


def general_priority(p: Params, metrics: Mapping[str, float], engine: str) -> System:
    classes = {str(n): one for n, one in enumerate(p["classes"], start=1)}
    rate = sum(one["lam"] for one in classes.values())
    exponential = all(one["ES2"] == 2 * one["ES"] ** 2 for one in classes.values())
    system = steady_state(
        p,
        {},
        engine,
        600.0,
        rate=rate,
        longer=4,
        noise={"kind": "exponential"} if exponential else CONSTANT,
        tiers={n: one["lam"] / rate for n, one in classes.items()},
        services={f"kind {n}": (one["lam"] / rate, one["ES"]) for n, one in classes.items()},
        waves=[poisson(one["lam"], tier=n, feature=f"kind {n}") for n, one in classes.items()],
        policies=first(list(classes)),
    )
    return System(system.scenario, by_class(metrics), system.long)


def bulk(p: Params, metrics: Mapping[str, float], engine: str) -> System:
    return steady_state(p, metrics, engine, 600.0, seconds=1 / p["mu"], batch=p["b"], longer=4)


MEASURED = {1: 0.10, 2: 0.15, 4: 0.22, 8: 0.41, 16: 0.77}


def batch_seconds(p: Params) -> list[float]:
    """tau(k) of a row of the tables, for k = 1 ... b."""
    sizes = range(1, p["b"] + 1)
    if "padded" in p["batch_time"]:  # up to the next size that was measured
        return [MEASURED[min(size for size in MEASURED if size >= k)] for k in sizes]
    return [1.0 + (0.0 if p["batch_time"].startswith("tau=1 ") else 0.2) * k for k in sizes]


def dynamic_batching(p: Params, metrics: Mapping[str, float], engine: str) -> System:
    return steady_state(p, metrics, engine, 100.0, sizes=batch_seconds(p), noise=CONSTANT, longer=2)


def retrial(p: Params, metrics: Mapping[str, float], engine: str) -> System:
    backoff = {"kind": "exponential", "mean": f"{1 / p['theta']} s"}
    retry = {"at_most": 1000, "probability": 1, "backoff": backoff}
    warm_up = 10 * (1 + 1 / p["theta"]) / (1 - p["lam"]) ** 2
    return steady_state(p, metrics, engine, warm_up, policies=[room(0)], retry=retry)


def amplified(p: Params, metrics: Mapping[str, float], engine: str) -> System:
    retry = {"at_most": p["retries"], "probability": 1, "backoff": {"kind": "constant", "value": "1 s"}}
    how = {"gpus": 50, "seconds": 0.01, "policies": [{"kind": "shed", "share": p["p"]}], "retry": retry}
    return steady_state({}, metrics, engine, 10.0, rate=50.0, **how)


def token_bucket(p: Params, metrics: Mapping[str, float], engine: str) -> System:
    """The limiter starts with a full burst, which is spent in the warm-up."""
    limit = {"kind": "rate limit", "rate": f"{p['rate']} per second", "burst": p["burst"]}
    how = {"gpus": 50, "seconds": 0.001, "noise": CONSTANT, "waves": [poisson(p["lam"])], "policies": [limit]}
    return steady_state(p, metrics, engine, 100.0, **how)


def quota(p: Params, metrics: Mapping[str, float], engine: str) -> System:
    window, windows = 100.0, max(1000, REQUESTS[engine] // 10)  # few windows leave a quota of three unused
    limit = {"kind": "quota", "requests": p["N"], "window": f"{window} s", "runs": "calendar"}
    waves = [poisson(p["m"] / window)]
    scenario = queue(gpus=10, seconds=0.001, noise=CONSTANT, waves=waves, policies=[limit], lasting=windows * window)
    of = {metric: Measure(metric, value, served_in(windows)) for metric, value in metrics.items()}
    return System(scenario, of)


def served_in(windows: int) -> Callable[[Run], float]:
    return lambda run: float((run.requests["outcome"] == "served").sum() / windows)


def little(p: Params, metrics: Mapping[str, float], engine: str) -> System:
    """More GPUs than are ever busy; or, where the table counts them, a hundredth of them, never idle."""
    if "gpus" in p:
        gpus, seconds = p["gpus"] // 100, float(p["batch_latency_s"])
        rate = 2.0 * gpus * p["batch"] / seconds
        how = {"gpus": gpus, "sizes": [seconds] * p["batch"], "noise": CONSTANT}
        scenario = queue(rate=rate, warm_up=8 * seconds, lasting=(25 if engine == "simpy" else 50) * seconds, **how)
        return System(
            scenario,
            {"max_images_per_s": Measure("max_images_per_s / 100", metrics["max_images_per_s"] / 100, steps(seconds))},
        )
    rate, seconds = p.get("lam", p.get("images_per_s")), p.get("W_s", p.get("latency_s"))
    gpus = int(2 * rate * seconds)
    return steady_state(p, metrics, engine, 2.0 * seconds, rate=rate, gpus=gpus, seconds=seconds, noise=CONSTANT)


def steps(seconds: float) -> Callable[[Run], float]:
    """A measure: images finished a second, over a whole number of batches' times."""

    def of(run: Run) -> float:
        begins, ends = run.manifest["warm_up"], run.horizon - seconds
        finished = run.requests["finished"]
        return float(((finished > begins) & (finished <= ends)).sum() / (ends - begins))

    return of


# Surges. On one GPU whose service time is constant, the queue at a fixed instant of an unbroken busy period has exactly
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
    return System(scenario, measures, engine == "compiled" or size == LARGE)


def decaying(p: Params, metrics: Mapping[str, float], engine: str) -> System:
    surge = {"kind": "weibull", "people": p["A"] * LARGE * p["tau"], "scale": f"{p['tau']} s", "shape": 1}
    waves, capacity, peak = (
        [steady(p["lam0"] * LARGE), surge],
        p["C"] * LARGE,
        p["tau"] * math.log(p["A"] / (p["C"] - p["lam0"])),
    )
    scenario = queue(waves=waves, seconds=1 / capacity, noise=CONSTANT, lasting=90)
    found: dict[str, Callable[[Run], float]] = {
        "peak_queue": lambda run: float(waiting_at(run, [peak])[0]) / LARGE,
        "t_empty": lambda run: empty_after(run, peak),
        "max_virtual_wait": lambda run: wait_at(run, peak),
    }
    return System(scenario, {name: Measure(name, metrics[name], of) for name, of in found.items() if name in metrics})


def wait_at(run: Run, instant: float) -> float:
    """The wait in seconds of the first to arrive after an instant."""
    rows = run.requests
    row = rows[rows["arrived"] >= instant].iloc[0]
    return float(row["started"] - row["arrived"])


SYSTEMS: dict[str, Callable[[Params, Mapping[str, float], str], System]] = {
    "M/M/c": m_m_c,
    "M/M/c/c (=M/G/c/c)": without_room,
    "M/M/c/K": bounded,
    "M/M/c+M (Erlang-A)": impatient,
    "M/D/1": constant,
    "M/D/c": constant,
    "M/G/1": general,
    "M/M/c non-preemptive priority": priority,
    "M/M/c non-preemptive priority, lowest class saturated": priority,
    "M/G/1 non-preemptive priority": general_priority,
    "M/M^[b]/1 bulk service (late joiners allowed)": m_m_c,
    "M/M^(1,b)/1 bulk service (wait for next batch)": bulk,
    "M/D(k)^(1,b)/1 dynamic batching": dynamic_batching,
    "fluid rectangular surge": rectangular,
    "fluid exponentially decaying surge": decaying,
    "M/M/1 linear retrial": retrial,
    "Little": little,
    "GCRA / token bucket with Poisson arrivals": token_bucket,
    "quota of N per window, Poisson demand": quota,
    "retry amplification": amplified,
}
