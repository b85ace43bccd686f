"""The study `live`: a real server, in real time, against the simulator, with the same people, policies and draws."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from sim.engine.parallel import Progress
from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.profile.profile import constant_profile
from sim.results.run import Run
from sim.validation.study import Row, Study
from tests.studies.known import LIVE
from tests.studies.live.cases import (
    PLAYBOOKS,
    Case,
    Figures,
    Fleet,
    overload,
    overload_figures,
    share_in_time,
    spike,
    steady,
)
from tests.studies.live.run import Gate, LiveRun, run_together

TRIES = 3  # runs of a case and seed at most, until one passes the gate
AT_ONCE = 7  # runs that share an event loop
SEEDS = range(1, 6)
BASE, EACH = 0.2, 0.1  # a batch of n images takes BASE + n EACH seconds
QUICK = ("load 0.9", "a spike of 5 times", "1.5 times capacity, none", "1.5 times capacity, queue bound")
LEVEL = 0.95  # of the intervals beyond which two playbooks differ
FEW = 100  # losses of a reason in a run; fewer are shown without a bound
GATE = Gate(shortest=BASE)


@dataclass(frozen=True)
class Pair:
    """A case with a seed: its live run, its simulated run, and why it does not count (empty if it does)."""

    case: Case
    seed: int
    live: LiveRun
    simulated: Run
    faults: list[str]


def live_study(
    progress: Progress | None = None, cases: Sequence[str] = (), seeds: int = len(SEEDS), quick: bool = False
) -> Study:
    """Run every case live with every seed (seven minutes, more if runs are discarded), and simulate it.

    cases: names of those to run, all if none; quick: the load of 0.9, the spike and two playbooks, with two seeds.
    """
    wanted = chosen_cases(cases or (QUICK if quick else ()))
    number = min(seeds, 2) if quick else seeds
    made = played([(case, seed) for case in wanted for seed in range(1, number + 1)], progress)
    rows = compared(made) + ranking([pair for pair in made if pair.case.figures is overload_figures])
    return Study(
        name="live",
        title="A live server",
        question="Does a server in real time, with real clients and GPUs that sleep, do what the simulator predicts?",
        source="an asyncio server on this machine, with the same gateway, queues, policies and people",
        rows=rows,
        notes=notes(made, GATE),
        known=LIVE,
    )


def chosen_cases(names: Sequence[str]) -> list[Case]:
    """The cases of these names; all if none. Raises BadInput for a name that no case has."""
    known = {case.name: case for case in all_cases()}
    for name in names:
        if name not in known:
            raise BadInput("there is no such case", key="--cases", value=name, expected="; ".join(known))
    return [known[name] for name in names or known]


def all_cases() -> list[Case]:
    """Loads below capacity, a spike that ends, and an overload under each playbook."""
    profiles = {
        name: constant_profile(name, BASE * share, largest_batch=4, per_image=EACH * share)
        for name, share in (("large", 1.0), ("small", 0.5))
    }
    fleet = Fleet(4, 4, profiles, {"kind": "lognormal", "cv": 0.05}, full=16 / (BASE + 4 * EACH))
    return [
        *[steady(fleet, load) for load in (0.5, 0.7, 0.9, 0.95)],
        spike(fleet),
        *[overload(fleet, playbook) for playbook in PLAYBOOKS],
    ]


def played(wanted: Sequence[tuple[Case, int]], progress: Progress | None) -> list[Pair]:
    """All runs of each case and seed: until one passes the gate, TRIES at most."""
    made: list[Pair] = []
    for first in range(0, len(wanted), AT_ONCE):
        left = list(wanted[first : first + AT_ONCE])
        for _ in range(TRIES):
            predicted = [simulated(case, seed) for case, seed in left]  # and what is compiled is so before it counts
            runs = run_together([(case.scenario, case.playbook, seed) for case, seed in left])
            pairs = [
                Pair(case, seed, live, here, GATE.faults(live.vitals))
                for (case, seed), live, here in zip(left, runs, predicted, strict=True)
            ]
            made += pairs
            left = [(pair.case, pair.seed) for pair in pairs if pair.faults]
            if not left:
                break
        if progress is not None:
            progress(min(1.0, (first + AT_ONCE) / len(wanted)))
    return made


def simulated(case: Case, seed: int) -> Run:
    """The same people and draws, simulated, every row written down."""
    return simulate(case.scenario, case.playbook, seed=seed, engine="simpy")


def compared(pairs: Sequence[Pair]) -> list[Row]:
    """Every figure of every case, a mean over its seeds; runs that failed the gate are left out."""
    rows = []
    for case in dict.fromkeys(pair.case.name for pair in pairs):
        found = [both(pair) for pair in pairs if pair.case.name == case and not pair.faults]
        seeds = {pair.seed for pair in pairs if pair.case.name == case}
        lacking = f"{len(seeds) - len(found)} of {len(seeds)} seeds have no run that counts" * (len(found) < len(seeds))
        rows += means(case, found, lacking) or [Row(case, "every figure", "", math.nan, math.nan, note=lacking)]
    return rows


def both(pair: Pair) -> tuple[Figures, Figures]:
    """The figures of the live run and of the simulated one."""
    return pair.case.figures(pair.live.run), pair.case.figures(pair.simulated)


def means(case: str, found: Sequence[tuple[Figures, Figures]], note: str = "") -> list[Row]:
    """One row per figure: its live and simulated means over the seeds in which both have it."""
    rows = []
    for name in dict.fromkeys(name for one in found for side in one for name in side):
        unit, _, within = next(side[name] for one in found for side in one if name in side)
        absent = 0.0 if unit == "attempts" else math.nan
        values = np.array([[side[name][1] if name in side else absent for side in one] for one in found])
        have = ~np.isnan(values).any(axis=1)
        if not have.any():
            continue
        there, here = values[have].mean(axis=0)
        said = [note] * bool(note) + [f"{have.sum()} of {len(found)} runs come to it"] * (not have.all())
        if unit == "attempts" and there < FEW:
            said, within = [*said, f"fewer than {FEW} a run"], math.nan
        low, high = there * (1.0 - within), there * (1.0 + within)
        words = [f"{here / there - 1.0:+.1%}"] * bool(there) + said
        rows.append(Row(case, name, unit, float(there), float(here), low, high, "; ".join(words)))
    return rows


def ranking(pairs: Sequence[Pair]) -> list[Row]:
    """The place of each playbook by the share of wishes with an image in time: predicted and live; 1 is the best.

    Playbooks whose live shares do not differ beyond noise (paired by seed) may change places.
    """
    valid = [pair for pair in pairs if not pair.faults]
    names = list(dict.fromkeys(pair.case.name for pair in pairs))
    if {pair.case.name for pair in valid} != set(names):
        return []  # a playbook was not played
    live: dict[str, dict[int, float]] = {name: {} for name in names}
    here: dict[str, dict[int, float]] = {name: {} for name in names}
    for pair in valid:
        live[pair.case.name][pair.seed] = share_in_time(pair.live.run)
        here[pair.case.name][pair.seed] = share_in_time(pair.simulated)
    mean = {name: float(np.mean(list(shares.values()))) for name, shares in here.items()}
    seen = {name: float(np.mean(list(shares.values()))) for name, shares in live.items()}
    rows = []
    for name in names:
        others = [differs(live[other], live[name]) for other in names if other != name]
        low, high = 1 + others.count(1), len(names) - others.count(-1)
        actual, predicted = (1 + sum(other > shares[name] for other in shares.values()) for shares in (seen, mean))
        note = f"in time: {seen[name]:.1%} live, {mean[name]:.1%} simulated"
        bounds = (math.nan, math.nan) if (low, high) == (1, len(names)) else (low, high)  # nan: whatever is predicted
        rows.append(Row(name, "place of the playbook", "", actual, predicted, bounds[0], bounds[1], note))
    return rows


def differs(a: dict[int, float], b: dict[int, float]) -> int:
    """1 or -1 where a is above or below b beyond the noise of their common seeds, 0 where that is not established."""
    gaps = np.array([a[seed] - b[seed] for seed in a.keys() & b.keys()])
    if len(gaps) < 2:
        return 0
    off = float(stats.t.ppf(0.5 + LEVEL / 2, len(gaps) - 1) * gaps.std(ddof=1) / math.sqrt(len(gaps)))
    return int(gaps.mean() > off) - int(gaps.mean() < -off)


def notes(pairs: Sequence[Pair], gate: Gate) -> list[str]:
    """The limits that the machine must keep, how it did, and the runs that were discarded."""
    runs = {id(pair.live): pair for pair in pairs}.values()  # one may be held against several predictions
    kept = [pair.live.vitals for pair in runs if not pair.faults]
    gone = [f"{pair.case.name}, seed {pair.seed} ({', '.join(pair.faults)})" for pair in runs if pair.faults]
    gap, late, waited = (
        max((getattr(vitals, name) for vitals in kept), default=math.nan) for name in ("gap", "lateness", "pressure")
    )
    measured = not math.isnan(waited)
    pressure = f", something waited for a core for less than {gate.pressure:.0%} of the time" * measured
    drift = f", batches took within {gate.drift:.1%} of what was planned" * math.isfinite(gate.drift)
    had = f", and had something wait for a core for {waited:.0%} of the time" * measured
    return [
        f"Played on {os.cpu_count()} cores.",
        f"A run counts if the event loop never stood still for more than {gate.gap * gate.shortest * 1e3:.0f} ms, 99 % "
        f"of attempts were sent within {gate.lateness * gate.shortest * 1e3:.0f} ms of when they were due{pressure}"
        f"{drift}.",
        f"Of those that count, the worst stood still for {gap * 1e3:.1f} ms, sent {late * 1e3:.2f} ms late{had}.",
        f"Runs discarded: {'; '.join(gone) or 'none'}."
        + " Close what else the machine does, or run fewer at once with --cases, and try again." * bool(gone),
    ]
