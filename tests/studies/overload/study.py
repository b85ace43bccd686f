"""Overload that outlives its cause: how often a run recovers, against a reference simulation of the same experiment."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import stats

from sim.engine.parallel import Progress, in_parallel
from sim.engine.simulate import simulate
from sim.scenario.scenario import Scenario
from sim.validation.study import Row, Study
from tests.studies.faults import Change, unchanged
from tests.studies.overload.spikes import at_the_end, experiment_a, experiment_d, recovered

EXPERIMENTS: dict[str, Callable[..., Scenario]] = {"A": experiment_a, "D": experiment_d}
OF = {"A": 20, "D": 10}  # runs of the reference, and of the compiled engine
# The fewest runs of which all differ from none by Fisher's test at CHANCE: the readable engine takes seconds a run.
READABLE = {"A": 3, "D": 4}
CHANCE = 0.001


@dataclass(frozen=True)
class Case:
    """One variant of an experiment. recovered: runs of the reference that did; attempts: a second, at its end."""

    experiment: str
    recovered: int
    attempts: float
    how: Mapping[str, Any] = field(default_factory=dict)

    def scenario(self, **more: Any) -> Scenario:
        return EXPERIMENTS[self.experiment](**self.how, **more)


def policies(*, begins: str = "0 s", until: str = "never", **policy: Any) -> list[dict[str, Any]]:
    """A playbook of one step."""
    return [{"policy": policy, "from": begins, "until": until}]


def jitter(most: float, longest: float) -> dict[str, Any]:
    """Pauses uniform up to `most` seconds, that bound twice as long each time, at most `longest`."""
    return {"backoff": {"kind": "uniform", "low": "0 s", "high": f"{most} s"}, "growth": 2, "longest": f"{longest} s"}


def budget(per: str = "success") -> list[dict[str, Any]]:
    return policies(kind="retry budget", ratio=0.1, bucket=10, per=per)


def expiry(after: str, *, foresight: bool) -> list[dict[str, Any]]:
    return policies(kind="expiry", after=after, foresight=foresight)


def throttle(k: float) -> list[dict[str, Any]]:
    return policies(kind="adaptive throttle", k=k)


def shed(share: float) -> list[dict[str, Any]]:
    return policies(kind="shed", share=share, final=True, begins="1200 s", until="1260 s")


def fleet(gpus: int) -> list[dict[str, Any]]:
    """A fleet of this size from the end of D's spike on."""
    return policies(kind="scheduled capacity", pool="gpus", gpus=gpus, begins="1500 s")


LIFO = policies(kind="last in first out")
CODEL = policies(kind="codel", target="1 s", interval="10 s")

CASES = {
    "A, bound 150": Case("A", 0, 30.02),
    "A, bound 35": Case("A", 20, 4.98, {"bound": 35}),
    "A, no retries": Case("A", 20, 5.02, {"retries": 0}),
    "A, told at once, and trying at once": Case("A", 0, 30.05, {"tells": True}),
    "A, an answer to any attempt counts": Case("A", 0, 22.51, {"late": True}),
    "A, budget by successes": Case("A", 20, 5.03, {"policies": budget()}),
    "A, budget by first attempts": Case("A", 20, 5.02, {"policies": budget("first attempt")}),
    "A, full jitter": Case("A", 0, 29.64, jitter(1, 60)),
    "A, last in first out": Case("A", 20, 5.02, {"policies": LIFO}),
    "A, expiry": Case("A", 20, 5.03, {"policies": expiry("5 s", foresight=False)}),
    "A, expiry with foresight": Case("A", 20, 5.04, {"policies": expiry("5 s", foresight=True)}),
    "A, folly's CoDel": Case("A", 20, 5.03, {"policies": CODEL, "tells": True}),
    "A, adaptive throttle, 2": Case("A", 20, 5.06, {"policies": throttle(2)}),
    "A, adaptive throttle, 1.1": Case("A", 20, 5.02, {"policies": throttle(1.1)}),
    "A, 90 % shed for a minute": Case("A", 20, 5.0, {"policies": shed(0.9)}),
    "A, half shed for a minute": Case("A", 20, 5.04, {"policies": shed(0.5)}),
    "A, bound 45": Case("A", 20, 5.02, {"bound": 45}),
    "A, bound 50": Case("A", 20, 5.01, {"bound": 50}),
    "A, bound 55": Case("A", 20, 4.99, {"bound": 55}),
    "A, bound 60": Case("A", 10, 15.27, {"bound": 60}),
    "A, bound 80": Case("A", 0, 30.01, {"bound": 80}),
    "A, base load 1.5": Case("A", 20, 1.48, {"base": 1.5}),
    "A, base load 2.5": Case("A", 0, 15.12, {"base": 2.5}),
    "A, spike of 60 s": Case("A", 0, 30.0, {"lasting": 60.0}),
    "A, spike of 20 s": Case("A", 0, 29.99, {"lasting": 20.0}),
    "A, spike of 10 s": Case("A", 12, 15.0, {"lasting": 10.0}),
    "D, bound 2880": Case("D", 0, 31.67),
    "D, bound 640": Case("D", 10, 7.89, {"bound": 640}),
    "D, bound 860": Case("D", 10, 7.89, {"bound": 860}),
    "D, bound 900": Case("D", 10, 7.89, {"bound": 900}),
    "D, bound 960": Case("D", 0, 31.67, {"bound": 960}),
    "D, no retries": Case("D", 10, 7.89, {"retries": 0}),
    "D, budget": Case("D", 10, 7.89, {"policies": budget()}),
    "D, last in first out": Case("D", 10, 7.89, {"policies": LIFO}),
    "D, expiry": Case("D", 0, 31.67, {"policies": expiry("60 s", foresight=False)}),
    "D, expiry with foresight": Case("D", 10, 7.89, {"policies": expiry("60 s", foresight=True)}),
    "D, full jitter": Case("D", 0, 32.0, jitter(10, 300)),
    "D, base load 3.5": Case("D", 10, 3.55, {"base": 3.5}),
    "D, twice the GPUs": Case("D", 0, 31.67, {"policies": fleet(128)}),
}


def overload_study(progress: Progress | None = None) -> Study:
    """Every experiment of the reference, on both engines."""
    tasks = [(name, engine) for name in CASES for engine in ("compiled", "simpy")]
    rows = [row for found in in_parallel(rows_of, None, tasks, progress=progress) for row in found]
    return Study(
        "overload",
        "Overload that outlives its cause",
        "After a spike, retries may keep a service down. Does it recover as often as in a reference simulation?",
        "a reference simulation of experiment A of Isaacs and others (HotOS 2025; 20 runs a row), and of D, the same "
        "in the size of images (10 runs a row)",
        rows,
        [
            f"Both counts may come from one chance of recovery: Fisher's exact test, p > {CHANCE}.",
            "The readable engine has fewer runs: the fewest for which all recovering differs significantly from none.",
            "Attempts per second over the last 300 s are shown beside it; where chance decides, they vary.",
        ],
    )


def rows_of(
    _: None, name: str, engine: str, report: Progress, runs: int | None = None, change: Change = unchanged
) -> list[Row]:
    """One case on one engine; runs: as many as that engine has where None; change: made to its scenario."""
    case = CASES[name]
    of = OF[case.experiment]
    runs = runs or (OF if engine == "compiled" else READABLE)[case.experiment]
    scenario = change(case.scenario(record="timeline" if engine == "compiled" else "rows"))
    count, attempts = 0, 0.0
    for seed in range(1, runs + 1):
        run = simulate(scenario, seed=seed, engine=engine)
        count += recovered(run)
        attempts += at_the_end(run)[1] / runs
        report(seed / runs)
    allowed = [n for n in range(runs + 1) if agree(n, runs, case.recovered, of)]
    low, high = min(allowed) / runs, max(allowed) / runs
    label, note = f"{name} ({engine})", f"{count} of {runs}; reference {case.recovered} of {of}"
    return [
        Row(label, "share of runs that recover", "", case.recovered / of, count / runs, low, high, note),
        Row(label, "attempts at the end", "a second", case.attempts, attempts),
    ]


def agree(count: int, runs: int, of_reference: int, of: int) -> bool:
    """Whether two counts may come from one chance (Fisher's exact test)."""
    table = np.array([[count, runs - count], [of_reference, of - of_reference]])
    return bool(stats.fisher_exact(table).pvalue > CHANCE)
