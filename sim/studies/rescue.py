"""The point of no return: the latest instant at which a playbook can start and still save a run.

A run is judged by all that it loses, and not by how it ends: its images in time are held against those of the same
people without the trigger. A scenario without a trigger is judged by its own definition of alive.
"""

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.errors import BadInput
from sim.policies.playbook import Step
from sim.policies.supply import ScheduledCapacity
from sim.results.metrics import counted
from sim.results.run import Run
from sim.results.storms import ENOUGH, HEALTHY, recovered
from sim.results.timeline import DECIDED, IN_TIME
from sim.results.verdict import life
from sim.scenario.scenario import Scenario
from sim.studies.executors import Executor, Report, asked, run_of, working
from sim.studies.playbook_names import name_of
from sim.studies.store import Cell
from sim.wording import names_in_words

Floats = NDArray[np.float64]

LOOKS = 4  # parts of the horizon looked at first, so that an answer that changes more than once is noticed
PARTS = 48  # of the horizon, in which trouble is looked for
HALF = 0.5  # of what a playbook can save: one that saves as much still saves the run
LITTLE = 0.1  # of what is lost: a playbook that can save no more than that saves nobody


class Images(NamedTuple):
    """Images in time and images wanted (those that can be judged) in each part of a run, at full scale."""

    in_time: Floats
    wanted: Floats
    enough: float  # the least in a part by which it can be judged
    recovered: bool
    alive: bool  # by the scenario's definition


@dataclass(frozen=True)
class Standard:
    """What a run is held against, by seed.

    promised: images that should come in time; trouble: the parts of the horizon in which the run without the playbook
    keeps too few of them; limits: the most that a saved run loses (nan: the definition of alive decides).
    """

    promised: list[Floats]
    trouble: list[NDArray[np.bool_]]
    limits: list[float]

    def lost(self, number: int, found: Images) -> float:
        """The images in time that one seed's run loses against what was promised."""
        return float(self.promised[number].sum() - found.in_time.sum())

    def saves(self, number: int, found: Images) -> bool:
        """Whether a run loses no more than its limit."""
        limit = self.limits[number]
        return found.alive if math.isnan(limit) else self.lost(number, found) <= limit

    def share_saved(self, found: list[Images]) -> float:
        return float(np.mean([self.saves(number, one) for number, one in enumerate(found)]))

    def shares_saved(self, known: dict[float, list[Images]]) -> dict[float, float]:
        return {begins: self.share_saved(found) for begins, found in known.items()}

    def mean_lost(self, found: list[Images]) -> float:
        return float(np.mean([self.lost(number, one) for number, one in enumerate(found)]))


@dataclass(frozen=True)
class Rescue:
    """What a run loses, by the instant at which the playbook begins (seconds).

    shares: one row per instant: begins, saved (share of the seeds), lost (images in time, mean over the seeds, at full
    scale), recovered (share of the seeds that serve people again at the end); the last row is the horizon, that is,
    never. latest, too_late: the neighbouring instants between which the answer changes (nan if it does not). trigger:
    in words, empty where there is none; keep: the share to be kept, where one was given; at_stake: images promised in
    the trouble (without a trigger, in all), mean over seeds; trouble: its beginning and end in the first seed (nan:
    none).
    """

    playbook: str
    shares: pd.DataFrame
    seeds: int
    latest: float
    too_late: float
    trigger: str
    keep: float | None
    at_stake: float
    trouble: tuple[float, float]
    run: Run  # of the first seed, without the playbook
    interrupted: bool = False  # the instant is known less precisely than was asked for
    ends: float = math.inf  # the first of the playbook's own ends, which no delay moves

    @property
    def hopeless(self) -> bool:
        """Whether the playbook saves the run at no instant looked at."""
        return bool((self.shares["saved"] <= 0.5).all())

    @property
    def by_life(self) -> bool:
        """Whether a run is judged by the definition of alive, which many lost images may satisfy."""
        return not self.trigger and self.keep is None

    @property
    def back_and_forth(self) -> bool:
        """Whether beginning later saves where beginning earlier does not."""
        saved = (self.shares["saved"] > 0.5).tolist()
        return any(later and not earlier for earlier, later in pairwise(saved))


def rescue(
    scenario: Scenario,
    playbook: str,
    *,
    seeds: int = 5,
    by: float = 60.0,
    keep: float | None = None,
    faults_only: bool = False,
    executor: Executor | None = None,
    processes: int | None = None,
    progress: Report | None = None,
) -> Rescue:
    """Bisect the instant at which a playbook comes into force, to within `by` seconds.

    Each step begins at that instant, or at its own `from` where that is later; its `until` stays; `always` is in force
    throughout, and so are faults in the playbook. The trigger is every fault and every spike beside other demand, or
    the faults alone (faults_only), where the people of a spike are to be served too. A run is saved if it loses,
    against the run without the trigger, so little that the playbook saves half of what it can; or, where `keep` is
    given, if it keeps that share of the images at stake. Without a trigger the scenario's definition of alive decides,
    or `keep` of all images wanted; so too where no run without it is alive. An instant saves if most seeds are saved.
    All images wanted are those of the look in which most are. Both ends and the quarters are looked at first, then the
    change between two of them is bisected; an interrupt of that gives what is known by then. Raises BadInput for an
    unknown playbook, or one without a step to delay.
    """
    name = name_of(scenario, playbook)
    if all(is_fault(step, scenario) for step in scenario.playbooks[name]):
        raise BadInput("this playbook does nothing, so it saves nobody", key="playbook", value=name, expected="steps")
    if not 0 < by < math.inf or seeds < 1:
        raise BadInput("a rescue takes a step above 0 and a seed or more", key="by", value=by, expected="like '1min'")
    if keep is not None and not 0 < keep < 1:
        raise BadInput("a part of the images is to be kept", key="keep", value=keep, expected="between 0 and 1")
    surges = [] if faults_only else spikes(scenario)
    interrupted, names = False, triggers(scenario, name, surges)
    rounds = LOOKS + 3 + max(1, math.ceil(math.log2(max(scenario.horizon / LOOKS / by, 2))))
    with working(executor, processes) as there:
        looks = Looks(there, scenario, name, seeds, rounds * seeds, progress)
        known = looks.known
        looks.at(*(scenario.horizon * part / LOOKS for part in range(LOOKS + 1)))
        (calm,) = looks.runs(without_triggers(scenario, name, surges)) if names else (known[scenario.horizon],)
        if not any(one.alive for one in calm):  # without the trigger too, so that this is not what it is saved from
            names, calm = [], known[scenario.horizon]
        standard = standard_of(bool(names), keep, calm, known[scenario.horizon], list(known.values()))
        latest, too_late = turning_point(standard.shares_saved(known))
        try:
            while too_late - latest > by:  # false where it does not turn
                looks.at((latest + too_late) / 2)
                latest, too_late = turning_point(standard.shares_saved(known))
        except KeyboardInterrupt:
            interrupted = True
    without = run_of(Cell(delayed(scenario, name, scenario.horizon), name))
    rows = [
        (begins, standard.share_saved(found), standard.mean_lost(found), np.mean([one.recovered for one in found]))
        for begins, found in sorted(known.items())
    ]
    return Rescue(
        playbook=name,
        shares=pd.DataFrame(rows, columns=["begins", "saved", "lost", "recovered"]),
        seeds=seeds,
        latest=latest,
        too_late=too_late,
        trigger=names_in_words(names),
        keep=keep,
        at_stake=float(np.mean([at_stake(*both) for both in zip(standard.promised, standard.trouble, strict=True)])),
        trouble=span(standard.trouble[0], scenario.horizon) if names else (math.nan, math.nan),
        run=without,
        interrupted=interrupted,
        ends=min(scenario.seconds(step.until) for step in scenario.playbooks[name] if not is_fault(step, scenario)),
    )


@dataclass
class Looks:
    """The runs with a playbook that begins at this or that instant (seconds), a run per seed; known: by instant."""

    executor: Executor
    scenario: Scenario
    playbook: str
    seeds: int
    planned: int  # runs
    progress: Report | None
    done: int = 0
    known: dict[float, list[Images]] = field(default_factory=dict)

    def at(self, *instants: float) -> None:
        """Make the runs of some instants, all at once. Raises KeyboardInterrupt."""
        found = self.runs(*(delayed(self.scenario, self.playbook, at) for at in instants))
        self.known.update(zip(instants, found, strict=True))

    def runs(self, *changed: Scenario) -> list[list[Images]]:
        """The runs of each scenario, all at once. Raises KeyboardInterrupt."""
        cells = [Cell(one, self.playbook, seed) for one in changed for seed in range(1, self.seeds + 1)]
        found = asked(self.executor, images, cells, self.report)
        if len(found) < len(cells):
            raise KeyboardInterrupt
        self.done += len(found)
        return [found[at : at + self.seeds] for at in range(0, len(found), self.seeds)]

    def report(self, number: int, _: int) -> None:
        if self.progress is not None:
            self.progress(self.done + number, max(self.planned, self.done + number))


def images(run: Run) -> Images:
    """The images in time and wanted of one run, part by part."""
    counts = counted(run, np.linspace(0.0, run.horizon, PARTS + 1)).counts.sum(axis=(1, 2)) / run.scale
    return Images(counts[:, IN_TIME], counts[:, DECIDED], ENOUGH / run.scale, recovered(run), life(run).alive)


def standard_of(
    triggered: bool, keep: float | None, calm: list[Images], hit: list[Images], looks: list[list[Images]]
) -> Standard:
    """The standard from the runs without the trigger, those without the playbook, and those at the instants looked at.

    Without a trigger all images are at stake: those of the look in which most are wanted, since people who are served
    want more than people who are refused.
    """
    promised = [
        found.in_time if triggered else max((look[number].wanted for look in looks), key=np.sum)
        for number, found in enumerate(calm)
    ]
    least = HEALTHY if keep is None else keep
    trouble = [
        (should >= found.enough) & (found.in_time < least * should) if triggered else np.ones(PARTS, dtype=bool)
        for should, found in zip(promised, hit, strict=True)
    ]
    limits = []
    for number, (should, where) in enumerate(zip(promised, trouble, strict=True)):
        lost = [float(should.sum() - found[number].in_time.sum()) for found in looks]
        worst, best = float(should.sum() - hit[number].in_time.sum()), min(lost)
        if not where.any():
            limits.append(math.inf)
        elif keep is not None:
            limits.append((1 - keep) * at_stake(should, where))
        elif not triggered:
            limits.append(math.nan)
        else:
            limits.append(worst - HALF * (worst - best) if worst - best > LITTLE * worst else -math.inf)
    return Standard(promised, trouble, limits)


def at_stake(promised: Floats, trouble: NDArray[np.bool_]) -> float:
    """The images promised in the parts in which there is trouble."""
    return float(promised[trouble].sum())


def span(flags: NDArray[np.bool_], horizon: float) -> tuple[float, float]:
    """The first and the last seconds of the parts that are flagged."""
    places = np.flatnonzero(flags)
    if not len(places):
        return math.nan, math.nan
    return horizon * float(places[0]) / PARTS, horizon * float(places[-1] + 1) / PARTS


def turning_point(known: dict[float, float]) -> tuple[float, float]:
    """The last instant that saves the run and the next, which does not; nan where all save it, or none."""
    saving = [begins for begins, share in known.items() if share > 0.5]
    late = [begins for begins in known if saving and begins > max(saving)]
    return (max(saving), min(late)) if late else (math.nan, math.nan)


def is_fault(step: Step, scenario: Scenario) -> bool:
    """Whether a step is a loss of capacity: a fault, or fewer GPUs than the pool has, for a while."""
    policy = step.policy
    if isinstance(policy, ScheduledCapacity) and policy.pool in scenario.pools:
        return policy.gpus < scenario.pools[policy.pool].gpus and math.isfinite(scenario.seconds(step.until))
    return policy.advice.family == "faults"


def spikes(scenario: Scenario) -> list[int]:
    """The places of the spikes in the list of waves, where there is other demand beside them."""
    demand = scenario.demand
    found = [number for number, wave in enumerate(demand.waves) if wave.kind == "spike"]
    return found if len(found) < len(demand.waves) + len(demand.clients) + len(demand.traces) else []


def triggers(scenario: Scenario, playbook: str, surges: list[int]) -> list[str]:
    """What is taken for the trigger of trouble, in words: these spikes, and faults."""
    waves = [scenario.demand.waves[number] for number in surges]
    faults = [step.policy for step in scenario.in_force(playbook) if is_fault(step, scenario)]
    return [*(f"'{wave.name or 'spike'}'" for wave in waves), *dict.fromkeys(f"'{fault.kind}'" for fault in faults)]


def without_triggers(scenario: Scenario, playbook: str, surges: list[int]) -> Scenario:
    """The scenario without faults, these spikes, or the playbook."""
    calm = {f"demand.waves.{number}.times": 0 for number in surges}
    always = [step for step in scenario.always if not is_fault(step, scenario)]
    return scenario.with_(**calm, always=always, playbooks={playbook: []})


def delayed(scenario: Scenario, playbook: str, begins: float) -> Scenario:
    """The scenario with a playbook that does nothing before an instant, seconds after the start; its faults stay."""
    steps = [later(step, scenario, begins) for step in scenario.playbooks[playbook]]
    return scenario.with_(playbooks={playbook: [step for step in steps if step is not None]})


def later(step: Step, scenario: Scenario, begins: float) -> Step | None:
    """One step, starting no earlier than an instant; None where its own end comes before."""
    if is_fault(step, scenario) or scenario.seconds(step.from_) >= begins:
        return step
    return step.model_copy(update={"from_": begins}) if begins < scenario.seconds(step.until) else None
