"""An estimate of a run before it starts: its attempts, memory and time, from a small slice of it that is run first."""

import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.results.metrics import recorded
from sim.results.timeline import ATTEMPTS, COUNTS, SECONDS, grid
from sim.scenario.habits import asks_of_callers, by_share
from sim.scenario.scenario import Scenario
from sim.wording import amount, duration

SMALL = 100_000  # attempts, retries and all: such a run takes no longer than a slice of it
PILOT_PEOPLE = 20_000  # in the slice that is run first: a tenth of a second
LARGE = 30e6  # attempts: of so large a run the slice is larger by as much, up to
LARGEST_PILOT = 16.0  # times: two seconds
# Bytes, measured as the largest memory of `meltpoint run` with its report, less that of the smallest run.
PROCESS, A_ROW, A_PERSON, IN_PLAY = 370e6, 300.0, 150.0, 130.0
A_COUNT = 3 * (4 * len(COUNTS) + 8 * len(SECONDS))  # a bin of a tier and feature: as recorded, saved and summed
# Seconds of one core on which `slowness` is 1: of a command with its report; of a control tick; of an attempt; and to
# record, count, save and draw a row.
START_SECONDS, TICK_SECONDS, ATTEMPT_SECONDS, ROW_SECONDS = 2.2, 40e-6, 0.9e-6, 2e-6
KNOWN_WORK = 0.0225  # seconds of that core for the work of `slowness`
LONGEST = 86400.0  # seconds: what takes longer is started only when asked for


@dataclass(frozen=True)
class Estimate:
    """What a run is expected to take. seconds: of one core; memory: bytes at its largest."""

    people: float
    attempts: float
    memory: float
    seconds: float

    def sentence(self, runs: int = 1) -> str:
        each = "" if runs == 1 else " each"
        return (
            f"{amount(self.attempts)} attempts by {amount(self.people)} people, {self.memory / 1e9:.1f} GB of memory "
            f"and {duration(self.seconds)} of one core{each}"
        )


def estimate(scenario: Scenario, playbook: str | None = None, *, seed: int = 1) -> Estimate:
    """What a run of this scenario is expected to take; memory is that of its largest process.

    A slice of some thousand people is run with its share of GPUs, one in each pool at least, so that refusals and
    retries are counted as they come. Where none can be run, people are counted from their waves, and the attempts are
    those of people who are served at once.
    """
    people, unhindered = simple_counts(scenario)
    attempts, slow, pilots = unhindered, 1.0, []
    if attempts * (1 + scenario.behaviour.retry.at_most) > SMALL:
        slow = slowness()
        parts = max(people / PILOT_PEOPLE, unhindered / SMALL)
        larger = min(max(unhindered / LARGE, 1.0), LARGEST_PILOT)
        pilots = [one for n in (4 * parts, parts / larger, 4 * parts) if (one := pilot_of(scenario, n))]
    each = slow * ATTEMPT_SECONDS
    if pilots:
        played = [(*tried(smaller, playbook, seed), times) for smaller, times in pilots]
        asked, brought, lasted, times = played[len(played) // 2]
        people, attempts = brought * times, asked * times
        unhindered = tried(pilots[len(pilots) // 2][0], None, seed, unlimited=True)[0] * times
        fewer, _, least, _ = played[-1]
        if asked > 2 * fewer:  # the rest is the same in both, like control ticks; the first also loads machine code
            measured = (lasted - least) / (asked - fewer)
            half_way = math.sqrt(each * min(max(measured, each / 2), 4 * each))  # so small a run is not measured well
            each = measured if larger == LARGEST_PILOT else half_way
    share = 1.0 if scenario.recording.rows else scenario.recording.sampled
    rows, cells = attempts * share, scenario.played_cells
    counted = len(grid(scenario.horizon)) * len(scenario.tiers) * len(scenario.features)
    memory = PROCESS + A_ROW * rows + (A_PERSON if share else IN_PLAY) * people / cells + A_COUNT * counted
    if cells > 1:  # the timelines of all, and their counts once more as they are added up
        memory = max(memory, PROCESS + cells * counted * 8.0 * (2 * len(COUNTS) + len(SECONDS)))
    ticks = 2 * cells * scenario.horizon / scenario.control_tick  # the demand is a run of its own
    known = START_SECONDS + TICK_SECONDS * ticks + ROW_SECONDS * rows
    seconds = slow * known + each * (attempts + unhindered)
    return Estimate(people, attempts, memory, seconds)


def tried(
    scenario: Scenario, playbook: str | None, seed: int, *, unlimited: bool = False
) -> tuple[float, float, float]:
    """Attempts and people of a run, and the seconds of one core that it took."""
    began = time.process_time()
    run = recorded(simulate(scenario, playbook, seed=seed, unlimited=unlimited))
    return float(run.counts[..., ATTEMPTS].sum()), run.people["everybody"], time.process_time() - began


def slowness() -> float:
    """How long this machine takes, now, for some work of arithmetic and memory, where a known one takes 1."""

    def work() -> float:
        began = time.process_time()
        np.sort(np.cos(np.arange(200_000.0)))
        sum(n * n for n in range(200_000))
        return time.process_time() - began

    return min(work() for _ in range(4)) / KNOWN_WORK


def simple_counts(scenario: Scenario) -> tuple[float, float]:
    """People and attempts in the slice, if everybody is served at once."""
    demand, horizon = scenario.demand, scenario.horizon
    people = sum(w.times * float(w.cumulative(max(horizon - scenario.seconds(w.from_), 0.0))) for w in demand.waves)
    if demand.word_of_mouth is not None:
        people = demand.word_of_mouth.market
    asked = sum(c.clients * c.rate for c in demand.clients) * horizon
    asked += sum(len(scenario.traces[t.file].times) * t.times for t in demand.traces)
    days = int(horizon / 86400.0)
    wanted = 0.0  # by one person
    for share, behaviour in by_share(scenario):
        back = behaviour.returns.using(days) * behaviour.returns.staying(days) if days else [0.0]
        visits = 1.0 + sum(float(use) * (1 - d / (days + 1)) for d, use in enumerate(back))
        wanted += share * visits * behaviour.requests.average
    asked += sum(asks_of_callers(scenario, wave) for wave in demand.waves)
    return people * scenario.scale, (people * wanted + asked) * scenario.scale


def pilot_of(scenario: Scenario, parts: float) -> tuple[Scenario, float] | None:
    """A slice of 1/parts of the service, and how many times larger the run is; None if no slice is much smaller."""
    fewest = min(pool.replicas for pool in scenario.pools.values())
    n = min(fewest, math.ceil(parts / scenario.scale))
    times = scenario.scale * n
    if times < 2:
        return None
    fleets = {
        name: {"gpus": n * max(1, round(pool.replicas / n)) * pool.gpus_per_replica}
        for name, pool in scenario.pools.items()
    }
    try:
        return scenario.with_(scale=f"1/{n}", cells=1, record="timeline", pools=fleets), times
    except BadInput:  # a fleet or a bound of its playbooks does not divide by that
        return None


def memory_at_hand() -> float:
    """Bytes that this process may still take: of the machine, of its container, of its own limit; inf if unknown."""
    return min(of_machine(), of_container(), of_process())


def of_machine() -> float:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        pass
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (OSError, ValueError, AttributeError):
        return math.inf


def of_container() -> float:
    group = Path("/sys/fs/cgroup")
    try:
        return float((group / "memory.max").read_text()) - float((group / "memory.current").read_text())
    except (OSError, ValueError):  # no container, or 'max'
        return math.inf


def of_process() -> float:
    try:
        import resource
    except ImportError:  # Windows
        return math.inf
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    if most == resource.RLIM_INFINITY:
        return math.inf
    try:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        used = 0
    return float(most - used)


def refuse_too_large(found: Estimate, *, at_once: int = 1) -> None:
    """Raise BadInput where the runs do not fit into memory, or one would take more than a day."""
    there, needed = memory_at_hand(), found.memory * at_once
    less = "a smaller 'scale', 'record: timeline', fewer --processes; or --yes to go on all the same"
    if needed > there:
        message = f"this needs about {needed / 1e9:.1f} GB of memory, and {max(there, 0.0) / 1e9:.1f} GB are free"
        raise BadInput(message, value=found.sentence(), expected=less)
    if found.seconds > LONGEST:
        raise BadInput("this takes more than a day", value=found.sentence(), expected=less)
