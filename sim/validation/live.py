"""The study `live`: a real server, in real time, against the simulator, with the same people, policies and draws."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.latencies import latencies
from sim.live.run import Gate, LiveRun, run_together
from sim.metrics import intents, peak_queue, queue_spans
from sim.parallel import Progress
from sim.profile import constant_profile
from sim.request import ABANDONED, REFUSED
from sim.run import Run
from sim.scenario import Scenario
from sim.simulate import simulate
from sim.validation.study import Row, Study

TRIES = 3  # runs of a case at most, until one passes the gate
AT_ONCE = 5  # cases that share an event loop
SEED = 1
POOL, GPUS = "gpus", 4
BATCH, EACH, BASE = 4, 0.1, 0.2  # a batch of n takes BASE + n EACH seconds
FULL = GPUS * BATCH / (BASE + BATCH * EACH)  # images a second, in full batches
FEW = 100  # losses of a reason: fewer are shown, and held to no bound
SPIKE = 20.0, 10.0  # seconds: when it begins, how long it lasts
PLAYBOOKS: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "queue bound": [{"kind": "queue bound", "requests": 40}],
    "shed": [{"kind": "shed", "share": 0.5}],
    "degrade": [{"kind": "degrade"}],
    "rate limit": [{"kind": "rate limit", "rate": "5 per min"}],
    "paid first": [{"kind": "priority", "first": ["paid", "free"]}, {"kind": "expiry", "after": "2 s"}],
}
GATE = Gate(shortest=BASE)
Figures = dict[str, tuple[str, float, float]]  # by name: unit, value, how far off a prediction may be, as a share


@dataclass(frozen=True)
class Case:
    """One run to be made for real, and what is read off it."""

    name: str
    scenario: Scenario
    figures: Callable[[Run], Figures]
    playbook: str = "none"


def study(progress: Progress | None = None) -> Study:
    """Play every case for real (in two minutes, more where runs are discarded), and simulate it."""
    made, discarded = played(cases(), progress)
    rows = [row for case, run, faults in made for row in compared(case, run, faults)]
    overloads = [(case, run.run, faults) for case, run, faults in made if case.figures is overload_figures]
    if not any(faults for _, _, faults in overloads):
        rows += ranking([(case, attainment(simulated(case)), attainment(run)) for case, run, _ in overloads])
    worst = [max(values) for values in zip(*[(r.vitals.gap, r.vitals.lateness) for _, r, _ in made], strict=True)]
    return Study(
        name="live",
        title="A live server",
        question="Does a real server, with real clients and GPUs that sleep, do what the simulator says it does?",
        source="an asyncio server on this machine, under the same policies, asked by the same people",
        rows=rows,
        notes=[
            f"A run counts if the event loop never stood still for more than {GATE.gap * BASE * 1e3:.0f} ms, 99 % of "
            f"attempts were sent within {GATE.lateness * BASE * 1e3:.0f} ms of when they were due, and batches took "
            f"within {GATE.drift:.1%} of what was planned.",
            f"Of those shown, the worst stood still for {worst[0] * 1e3:.1f} ms and sent {worst[1] * 1e3:.2f} ms late.",
            f"{len(discarded)} runs were discarded{': ' if discarded else ''}{'; '.join(discarded)}.",
        ],
    )


def cases() -> list[Case]:
    """What is played: three loads below capacity, a spike that ends, and an overload under each playbook."""
    steady = {"requests": {"kind": "fixed", "requests": 1}, "patience": {"kind": "never"}}
    alone: dict[str, Any] = {"seconds": (BASE, 0.0), "batch": 1, "lasting": 60.0, "behaviour": steady}
    spike = [wave(0.4 * FULL), wave(1.6 * FULL, begins=SPIKE[0], lasting=SPIKE[1])]
    return [
        Case("load 0.7, one by one", service([wave(0.7 * GPUS / BASE)], **alone), quantiles),
        Case("load 0.8, batches", service([wave(0.8 * FULL)], lasting=60.0, behaviour=steady, linger=0.1), quantiles),
        Case("load 0.95, random", service([wave(0.95 * GPUS / BASE)], **alone, noise="exponential"), quantiles),
        Case("a spike of 5 times", service(spike, lasting=60.0, behaviour=steady), spike_figures),
        *[
            Case(f"1.5 times capacity, {name}", service([wave(1.5 * FULL)], lasting=40.0), overload_figures, name)
            for name in PLAYBOOKS
        ],
    ]


def wave(rate: float, *, begins: float = 0.0, lasting: float = math.inf) -> dict[str, Any]:
    """People at a constant rate a second."""
    shape = {"kind": "steady", "rate": f"{rate} per second", "from": f"{begins} s"}
    return shape if math.isinf(lasting) else shape | {"lasting": f"{lasting} s"}


def service(
    demand: list[dict[str, Any]],
    *,
    lasting: float,
    seconds: tuple[float, float] = (BASE, EACH),
    batch: int = BATCH,
    linger: float = 0.0,
    noise: str = "lognormal",
    behaviour: dict[str, Any] | None = None,
) -> Scenario:
    """Four GPUs, a cheaper model that takes half as long, and people who wait seconds, not minutes."""
    hasty = {
        "requests": {"kind": "fixed", "requests": 1},
        "patience": {"kind": "exponential", "mean": "6 s"},
        "retry": {"backoff": {"kind": "uniform", "low": "1 s", "high": "6 s"}},
    }
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
        "pools": {POOL: {"gpus": GPUS, "max_batch": batch, "linger": f"{linger} s"}},
        "demand": demand,
        "behaviour": behaviour or hasty,
        "serving": {"noise": {"kind": noise}, "notices_leaving": True},
        "playbooks": {name: [{"policy": policy} for policy in steps] for name, steps in PLAYBOOKS.items()},
    }
    base, each = seconds
    profiles = {
        name: constant_profile(name, base * share, largest_batch=batch, per_image=each * share)
        for name, share in (("large", 1.0), ("small", 0.5))
    }
    return Scenario.from_dict(document, profiles=profiles)


def played(
    wanted: Sequence[Case], progress: Progress | None
) -> tuple[list[tuple[Case, LiveRun, list[str]]], list[str]]:
    """Each case with its first run that passes the gate, or its last and why it does not; and what was discarded."""
    made: list[tuple[Case, LiveRun, list[str]]] = []
    discarded: list[str] = []
    for first in range(0, len(wanted), AT_ONCE):
        left = list(wanted[first : first + AT_ONCE])
        for turn in range(TRIES):
            simulated(left[0])  # what is compiled has been, before it counts
            runs = run_together([(case.scenario, case.playbook) for case in left], seed=SEED)
            judged = [(case, run, GATE.faults(run.vitals)) for case, run in zip(left, runs, strict=True)]
            discarded += [f"{case.name} ({', '.join(faults)})" for case, _, faults in judged if faults]
            made += [one for one in judged if not one[2] or turn == TRIES - 1]
            left = [case for case, _, faults in judged if faults]
            if not left:
                break
        if progress is not None:
            progress(min(1.0, (first + AT_ONCE) / len(wanted)))
    order = [case.name for case in wanted]
    return sorted(made, key=lambda one: order.index(one[0].name)), discarded


def simulated(case: Case) -> Run:
    """The same people and draws, simulated, every row written down."""
    return simulate(case.scenario, case.playbook, seed=SEED, engine="simpy")


def compared(case: Case, run: LiveRun, faults: list[str]) -> list[Row]:
    """Every figure of a case; held to no bound where the run does not count."""
    predicted, rows = case.figures(simulated(case)), []
    actual = case.figures(run.run)
    nothing = ("attempts", 0.0, math.nan)
    for name in dict.fromkeys([*actual, *predicted]):
        (unit, there, within), (_, here, _) = actual.get(name, nothing), predicted.get(name, nothing)
        note = "" if not faults else f"no run passed the gate: {', '.join(faults)}"
        if unit == "attempts" and there < FEW:
            note = note or f"fewer than {FEW}"
        low, high = (math.nan, math.nan) if note else (there * (1.0 - within), there * (1.0 + within))
        rows.append(Row(case.name, name, unit, there, here, low, high, note))
    return rows


def quantiles(run: Run) -> Figures:
    """Latency of the served, from when they were due."""
    found = np.asarray(latencies(run).xs(("served", "latency", "all")), dtype=float)
    bounds = {"p50": 0.02, "p95": 0.05, "p99": 0.08}
    values = zip(bounds.items(), found[:3].tolist(), strict=True)
    return {f"latency {name}": ("s", value, within) for (name, within), value in values}


def spike_figures(run: Run) -> Figures:
    """Of a spike that ends: what came in time, the queue at its longest, how soon it stood, how soon it was gone."""
    times, lengths = queue(run)
    over = sum(SPIKE)
    empty = times[(times >= over) & (lengths == 0)]
    drain = float(empty[0]) - over if len(empty) else math.nan
    return crowded(run, since=SPIKE[0]) | {"seconds from its end to an empty queue": ("s", drain, 0.05)}


def overload_figures(run: Run) -> Figures:
    """Of an overload that lasts: what came in time, the queue, and attempts lost by reason."""
    rows = run.requests
    refused = rows.loc[rows["outcome"] == REFUSED, "reason"].value_counts()
    lost = {f"refused: {reason}": int(n) for reason, n in refused.items() if n}
    lost |= {"abandoned": int((rows["outcome"] == ABANDONED).sum())}
    return crowded(run, since=0.0) | {name: ("attempts", float(n), 0.05) for name, n in lost.items()}


def crowded(run: Run, *, since: float) -> Figures:
    """Goodput, the longest queue, and how soon after `since` one batch for every GPU waits (where it does)."""
    wishes = intents(run)
    found: Figures = {
        "images in time": ("1/s", float(wishes["in_time"].sum()) / run.horizon, 0.03),
        "peak queue": ("requests", peak_queue(run, POOL)["peak"], 0.05),
    }
    times, lengths = queue(run)
    full = times[(times >= since) & (lengths >= 2 * GPUS * BATCH)]
    if len(full):
        found["time to saturation"] = ("s", float(full[0]) - since, 0.05)
    return found


def queue(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """How many requests wait, after each instant at which one comes or goes."""
    starts, ends = queue_spans(run, POOL)
    ends = ends[~np.isnan(ends)]
    times = np.concatenate([starts, ends])
    order = np.argsort(times, kind="stable")
    return times[order], np.repeat([1, -1], [len(starts), len(ends)])[order].cumsum()


def attainment(run: Run) -> float:
    wishes = intents(run)
    return float(wishes["in_time"].mean())


def ranking(found: Sequence[tuple[Case, float, float]]) -> list[Row]:
    """The place of each playbook by the share of wishes with an image in time: predicted and live; 1 is the best."""
    predicted_places, places = (
        [1 + sum(other > one for other in shares) for one in shares]
        for shares in ([here for _, here, _ in found], [there for _, _, there in found])
    )
    rows = []
    for (case, here, there), predicted, actual in zip(found, predicted_places, places, strict=True):
        note = f"in time: {there:.1%} live, {here:.1%} simulated"
        rows.append(Row(case.name, "place of the playbook", "", actual, predicted, actual, actual, note))
    return rows
