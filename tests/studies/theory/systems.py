"""The systems of queueing theory in the long run as scenarios, each with what is measured for its metrics."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sim.results.run import Run
from sim.scenario.scenario import Scenario
from tests.studies.theory.measures import Measure, usual, wait_of, wait_squared
from tests.studies.theory.params import EXPONENTIAL, NotExpressed, Params, batch_seconds, service_law
from tests.studies.theory.queues import CONSTANT, poisson, queue, room
from tests.studies.theory.replay import Discipline, by_tier, newest_first

REQUESTS = {"compiled": 50_000, "simpy": 2_000}  # in a run, after the warm-up


@dataclass(frozen=True)
class System:
    """A scenario, the measure for each metric of the tables, and how the queue is replayed by hand, where it can be."""

    scenario: Scenario
    measures: dict[str, Measure]
    discipline: Discipline | None = None


def steady_state(params: Params, metrics: Mapping[str, float], engine: str, warm_up: float, **how: Any) -> System:
    """A queue in the long run: the warm-up, the requests observed, and as long again unobserved.

    A run of simpy is for comparison request by request, which needs no steady state: it is short, without a warm-up.
    """
    rate, more = how.pop("rate", None) or params["lam"], how.pop("longer", 1)
    observed = more * REQUESTS[engine] / rate
    if engine == "simpy":
        observed, warm_up = max(1.0, REQUESTS[engine] / rate), 0.0
    scenario = queue(rate=rate, lasting=2 * warm_up + observed, warm_up=warm_up, **how)
    discipline = Discipline(how.get("gpus", 1), len(how.get("sizes", ())) or how.get("batch", 1))
    return System(scenario, {metric: usual(metric, value) for metric, value in metrics.items()}, discipline)


def relaxation(load: float, gpus: int) -> float:
    """Mean service times in which M/M/c forgets where it began, but for a factor e (Karlin and McGregor 1958)."""
    return 1.0 / (math.sqrt(gpus) - math.sqrt(load)) ** 2


def m_m_c(p: Params, metrics: Mapping[str, float], engine: str) -> System:
    seconds, gpus = 1 / p["mu"], p.get("c", 1)
    warm_up = seconds * (5 + 6 * relaxation(p["lam"] * seconds, gpus))
    return steady_state(p, metrics, engine, warm_up, gpus=gpus, seconds=seconds, longer=8 if gpus > 500 else 2)


def without_room(p: Params, metrics: Mapping[str, float], engine: str) -> System:
    seconds = 1 / p.get("mu", 1.0)
    how = {"rate": p["a"] / seconds, "gpus": p["c"], "seconds": seconds, "policies": [room(0)]}
    return bound(steady_state(p, metrics, engine, 20.0 * seconds, **how), 0)


def bounded(p: Params, metrics: Mapping[str, float], engine: str) -> System:
    seconds, places = 1 / p["mu"], p["K"] - p["c"]
    warm_up = seconds * (60.0 + 3 * p["K"] / p["c"])
    how = {"gpus": p["c"], "seconds": seconds, "policies": [room(places)], "longer": 2}
    return bound(steady_state(p, metrics, engine, warm_up, **how), places)


def bound(system: System, places: int) -> System:
    assert system.discipline is not None
    return replace(system, discipline=replace(system.discipline, room=places))


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
    law = service_law(p)
    policies = [{"kind": "last in first out"}] if last else []
    system = steady_state(p, {}, engine, 700.0 * law["seconds"], policies=policies, longer=4, **law)
    mean = p["lam"] * p["ES2"] / (2 * (1 - p["lam"] * p["ES"]))
    for metric, value in metrics.items():
        if "std" in metric:
            square = value**2 + mean**2
            system.measures[metric] = Measure(f"mean square of the wait, from {metric}", square, wait_squared)
        else:
            system.measures[metric] = usual(metric, value)
    return replace(system, discipline=Discipline(1, order=newest_first)) if last else system


def first(tiers: list[str]) -> list[dict[str, Any]]:
    return [{"kind": "priority", "first": tiers}]


def by_class(system: System, metrics: Mapping[str, float]) -> System:
    """The mean wait of class n is that of the tier 'n', and class 1 is the most urgent."""
    assert system.discipline is not None
    measures = {
        metric: Measure(metric, value, wait_of(metric[-1])) if "class" in metric else usual(metric, value)
        for metric, value in metrics.items()
    }
    return System(system.scenario, measures, replace(system.discipline, order=by_tier))


def priority(p: Params, metrics: Mapping[str, float], engine: str) -> System:
    rate, seconds = sum(p["lams"]), 1 / p["mu"]
    load, tiers = rate * seconds, {str(n): lam / rate for n, lam in enumerate(p["lams"], start=1)}
    warm_up = seconds * (20 + 8 * relaxation(load, p["c"]) if load < p["c"] else 60)
    how = {"gpus": p["c"], "seconds": seconds, "tiers": tiers, "policies": first(list(tiers))}
    return by_class(steady_state(p, {}, engine, warm_up, rate=rate, longer=4, **how), metrics)


def general_priority(p: Params, metrics: Mapping[str, float], engine: str) -> System:
    classes = {str(n): one for n, one in enumerate(p["classes"], start=1)}
    rate = sum(one["lam"] for one in classes.values())
    system = steady_state(
        p,
        {},
        engine,
        600.0 * max(one["ES"] for one in classes.values()),
        rate=rate,
        longer=4,
        noise=noise_of([(one["ES"], one["ES2"]) for one in classes.values()]),
        tiers={n: one["lam"] / rate for n, one in classes.items()},
        services={f"kind {n}": (one["lam"] / rate, one["ES"]) for n, one in classes.items()},
        waves=[poisson(one["lam"], tier=n, feature=f"kind {n}") for n, one in classes.items()],
        policies=first(list(classes)),
    )
    return by_class(system, metrics)


def noise_of(moments: list[tuple[float, float]]) -> dict[str, Any]:
    """The law whose mean and mean square these are: exponential or constant. Raises NotExpressed for another."""
    for noise, ratio in ((EXPONENTIAL, 2.0), (CONSTANT, 1.0)):
        if all(math.isclose(square, ratio * mean**2, rel_tol=1e-6) for mean, square in moments):
            return noise
    raise NotExpressed("classes whose service times are neither all exponential nor all constant")


def bulk(p: Params, metrics: Mapping[str, float], engine: str) -> System:
    seconds = 1 / p["mu"]
    return steady_state(p, metrics, engine, 600.0 * seconds, seconds=seconds, batch=p["b"], longer=4)


def single(p: Params, metrics: Mapping[str, float], engine: str) -> System:
    """Batches that may be joined late, of at most one: M/M/1."""
    if p["b"] != 1:
        raise NotExpressed("a batch is closed when it starts")
    return m_m_c(p, metrics, engine)


def dynamic_batching(p: Params, metrics: Mapping[str, float], engine: str) -> System:
    return steady_state(p, metrics, engine, 100.0, sizes=batch_seconds(p), noise=CONSTANT, longer=2)


def lingering(p: Params, metrics: Mapping[str, float], engine: str) -> System:
    """A GPU that is nearly always idle: a batch holds the first to come and all who follow within the linger."""
    how = {"linger": p["linger"], "sizes": [1e-4] * p["b"], "noise": CONSTANT}
    return replace(steady_state(p, metrics, engine, 10 * p["linger"], **how), discipline=None)


def retrial(p: Params, metrics: Mapping[str, float], engine: str) -> System:
    seconds = 1 / p.get("mu", 1.0)
    backoff = {"kind": "exponential", "mean": f"{1 / p['theta']} s"}
    retry = {"at_most": 1000, "probability": 1, "backoff": backoff}
    warm_up = 10 * (seconds + 1 / p["theta"]) / (1 - p["lam"] * seconds) ** 2
    return bound(steady_state(p, metrics, engine, warm_up, seconds=seconds, policies=[room(0)], retry=retry), 0)


def amplified(p: Params, metrics: Mapping[str, float], engine: str) -> System:
    retry = {"at_most": p["retries"], "probability": 1, "backoff": {"kind": "constant", "value": "1 s"}}
    how = {"gpus": 50, "seconds": 0.01, "policies": [{"kind": "shed", "share": p["p"]}], "retry": retry}
    return steady_state(p, metrics, engine, 10.0, rate=50.0, **how)


def budgeted(p: Params, metrics: Mapping[str, float], engine: str) -> System:
    """A share p of all attempts is refused at random, and a retry budget pays for some retries; its bucket is small."""
    retry = {"at_most": p["retries"], "probability": 1, "backoff": {"kind": "constant", "value": "1 s"}}
    budget = {"kind": "retry budget", "per": p["per"], "ratio": p["ratio"], "bucket": 10}
    policies = [{"kind": "shed", "share": p["p"]}, budget]
    how = {"gpus": 50, "seconds": 0.01, "policies": policies, "retry": retry}
    return steady_state(p, metrics, engine, 100.0, rate=50.0, **how)


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
    name = "E_accepted_per_user_window"
    of = {name: Measure(name, metrics[name], served_in(windows))}
    return System(scenario, of, Discipline(10))


def served_in(windows: int) -> Callable[[Run], float]:
    return lambda run: float((run.requests["outcome"] == "served").sum() / windows)


def little(p: Params, metrics: Mapping[str, float], engine: str) -> System:
    """More GPUs than are ever busy; or, where the table counts them, a hundredth of them, never idle."""
    if "gpus" in p:
        gpus, seconds = p["gpus"] // 100, float(p["batch_latency_s"])
        rate = 2.0 * gpus * p["batch"] / seconds
        how = {"gpus": gpus, "sizes": [seconds] * p["batch"], "noise": CONSTANT}
        scenario = queue(rate=rate, warm_up=8 * seconds, lasting=(25 if engine == "simpy" else 50) * seconds, **how)
        most = metrics["max_images_per_s"] / 100
        measure = Measure("max_images_per_s / 100", most, steps(seconds))
        return System(scenario, {"max_images_per_s": measure}, Discipline(gpus, p["batch"]))
    rate = p["lam"] if "lam" in p else p["images_per_s"]
    seconds = p["W_s"] if "W_s" in p else p["latency_s"]
    gpus = int(2 * rate * seconds)
    return steady_state(p, metrics, engine, 2.0 * seconds, rate=rate, gpus=gpus, seconds=seconds, noise=CONSTANT)


def steps(seconds: float) -> Callable[[Run], float]:
    """A measure: images finished a second, over a whole number of batches' times."""

    def of(run: Run) -> float:
        begins, ends = run.manifest["warm_up"], run.horizon - seconds
        finished = run.requests["finished"]
        return float(((finished > begins) & (finished <= ends)).sum() / (ends - begins))

    return of
