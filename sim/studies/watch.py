"""Watch a service: from its metrics, when its GPUs will be full, the last moment to act, and the best playbook now.

Each look begins runs from now: the state as the telemetry says, the demand of the next hour drawn from the trend of the
last minutes, and the service as the scenario has it. The same futures are run under every playbook.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from sim.engine.simulate import chosen, simulate
from sim.errors import BadInput
from sim.model.controls import Telemetry
from sim.results.gateway_readings import Reading, Readings
from sim.results.intervals import paired_difference
from sim.results.metrics import recorded
from sim.results.run import Run
from sim.results.saturation import RANDOM
from sim.results.service_state import known, state_of_telemetry
from sim.results.timeline import DECIDED, IN_TIME
from sim.scenario.begin import Fleet, State, begun
from sim.scenario.parts import Pool, Recording
from sim.scenario.scenario import Scenario
from sim.scenario.slices import NEARLY, divides
from sim.studies.near_future import Trend, trend_of
from sim.studies.rescue import delayed, is_fault

Floats = NDArray[np.float64]

MEMORY = 15 * 60.0  # s: counts that the trend is made of
COUNTED = 60.0  # s from count to count, or the time between looks where that is less
FEW = 3  # of them: before, nothing is forecast
REFUSED = 0.01  # of attempts: from here on refusals hold the queue short, and playbooks are compared
LITTLE = 0.1  # a chance that the GPUs are full below which no playbook is looked for
PAIRED = 5  # of the futures, run under each playbook
DELAYS = (5, 10, 20, 30, 40)  # minutes by which the best playbook may begin later
HALF = 0.5  # of what a playbook saves now: one that still saves as much is in time
STAYS = 3  # bins of the timeline in a row
BUSY_GPUS = 8  # of a slice, at least
LOW, HIGH = 0.1, 0.9  # quantiles of the interval
QUIET = Recording(rows=False)


@dataclass(frozen=True)
class Forecast:
    """One look. Instants are seconds after the scenario's start; inf is later than `ahead` seconds from now.

    full: the instants at which the GPUs are full, one of each future, with the playbook in force; full_now: they are
    so already. refused: of the attempts since the last count (nan: not in the metrics). compared: the playbooks that
    were run; best: the one of them with the most images in time; gain: how much more of the requests
    it has in time than the playbook in force, with a 95 % interval; act_by: the latest instant at which it still saves
    half of what it saves now (nan: nothing to save).
    """

    now: float
    ahead: float
    use: float  # busy GPUs over GPUs in service
    queued: float
    refused: float
    rate: float  # people a second, by the trend
    growth: float  # a second
    full: Floats
    full_now: bool
    compared: tuple[str, ...]
    best: str
    gain: tuple[float, float, float]
    act_by: float
    notes: tuple[str, ...] = ()

    @property
    def interval(self) -> tuple[float, float, float]:
        """The median of `full`, and the bounds of its 80 % interval."""
        ordered, n = np.sort(self.full), len(self.full)
        low, high = max(math.floor(LOW * (n + 1)), 1), min(math.ceil(HIGH * (n + 1)), n)  # one more lies between these
        return float(ordered[(n - 1) // 2]), float(ordered[low - 1]), float(ordered[high - 1])

    @property
    def chance(self) -> float:
        """How likely the GPUs are full within `ahead`."""
        return float(np.isfinite(self.full).mean())

    @property
    def held_short(self) -> bool:
        """Whether refusals keep the queue short, so that the GPUs are not full however many people ask."""
        return self.refused >= REFUSED and self.chance <= LITTLE


@dataclass
class Watcher:
    """Keeps what has been counted, and forecasts at each look.

    in_force: the playbook in force (the first where None); playbooks: those to choose from (all where None); ahead:
    seconds to look ahead.
    """

    scenario: Scenario
    in_force: str | None = None
    playbooks: Sequence[str] | None = None
    ahead: float = 3600.0
    futures: int = 19  # drawn for the time at which the GPUs are full: the 2nd and the 18th bound 80 %
    seen: list[tuple[float, float, float]] = field(default_factory=list)  # until when, how long, people

    def __post_init__(self) -> None:
        self.in_force, _ = chosen(self.scenario, self.in_force)
        names = self.scenario.playbooks if self.playbooks is None else self.playbooks
        self.names = list(dict.fromkeys([self.in_force, *names]))
        for name in self.names:
            chosen(self.scenario, name)
        self.slice = coarse(self.scenario)
        self.by_signups = any(wave.newcomers for wave in self.scenario.demand.waves)

    def take(self, seen: Telemetry) -> None:
        """Count the people who came since the telemetry before."""
        before = self.seen[-1][0] if self.seen else math.nan
        people = self.people(seen)
        self.seen.append((seen.now, seen.now - before, people))
        recent = sum(one[0] > seen.now - MEMORY for one in self.seen)
        self.seen = self.seen[-max(recent, FEW + 1) :]  # readings that come seldom are kept for longer

    def people(self, seen: Telemetry) -> float:
        """People who came: signups, or, without them, first attempts by the requests that one person makes.

        Of A attempts of which R are refused, A - r R are first ones, where a refused one is repeated with chance r.
        """
        if self.by_signups:
            return float(seen.signups)
        retry = self.scenario.behaviour.retry
        again, refused = retry.probability if retry.at_most else 0.0, known(seen, "refused")
        asked = float(np.sum(seen.arrivals)) - again * float(np.sum(0.0 if refused is None else refused))
        return max(asked, 0.0) / self.scenario.behaviour.requests.average

    def forecast(self, seen: Telemetry) -> Forecast | None:
        """The forecast at this telemetry, already taken; None while too little has been counted."""
        trend = self.trend(seen.now)
        if trend is None:
            return None
        state = in_slice(state_of_telemetry(self.slice, seen), self.slice)
        futures = [self.future(state, trend, seed) for seed in range(1, self.futures + 1)]
        full_now = is_full(self.scenario, seen)
        now, in_force = seen.now, str(self.in_force)
        runs = {in_force: runs_of(futures, in_force)}
        later = [full_at(run, one) for run, one in zip(runs[in_force], futures, strict=True)]
        full = now + np.where(full_now, 0.0, later)
        refused = share_refused(seen)
        if np.isfinite(full).mean() > LITTLE or refused >= REFUSED:  # else there is nothing to choose
            runs |= {name: runs_of(futures[:PAIRED], name) for name in self.names[1:]}
        images = {name: np.array([in_time(run) for run in some[:PAIRED]]) for name, some in runs.items()}
        best = max(images, key=lambda name: float(images[name].mean()))
        gain = (0.0, 0.0, 0.0)
        if best != in_force:
            ours, theirs = ([share_in_time(run) for run in runs[name][:PAIRED]] for name in (best, in_force))
            apart = paired_difference(ours, theirs, "share")
            gain = (apart.mean, apart.low, apart.high)
        pools = [seen.pools[pool] for pool in self.scenario.pools]
        return Forecast(
            now=now,
            ahead=self.ahead,
            use=max((min(pool.busy / pool.gpus, 1.0) for pool in pools if pool.gpus), default=math.nan),
            queued=float(sum(pool.queued for pool in pools)),
            refused=refused,
            rate=math.exp(trend.level),
            growth=trend.slope,
            full=full,
            full_now=full_now,
            compared=tuple(runs),
            best=best,
            gain=gain,
            act_by=self.act_by(futures, best, images, now) if gain[1] > 0 else math.nan,
            notes=(*state.notes, *too_busy(seen)),
        )

    def trend(self, now: float) -> Trend | None:
        known_counts = np.array([one for one in self.seen if one[1] > 0])
        if len(known_counts) < FEW:
            return None
        ends, lasts, counts = known_counts.T
        return trend_of(counts, ends - lasts - now, lasts)

    def act_by(self, futures: Sequence[Scenario], best: str, images: dict[str, Floats], now: float) -> float:
        """The latest of some instants at which the best playbook still saves half of what it saves now."""
        in_force = str(self.in_force)
        never, most = images[in_force].mean(), images[best].mean()
        latest = now
        if all(is_fault(step, self.scenario) for step in self.scenario.playbooks[best]):
            return math.nan
        for minutes in DELAYS:
            if minutes * 60.0 >= self.ahead:
                break
            steps = [self.then(one, best, minutes * 60.0) for one in futures[:PAIRED]]
            if np.mean([in_time(run) for run in runs_of(steps, best)]) - never < HALF * (most - never):
                break
            latest = now + minutes * 60.0
        return latest

    def then(self, scenario: Scenario, best: str, delay: float) -> Scenario:
        """The playbook in force until an instant, and the best one from then on."""
        late = delayed(scenario, best, delay).playbooks[best]
        until = [
            step.model_copy(update={"until": min(delay, scenario.seconds(step.until))})
            for step in scenario.playbooks[str(self.in_force)]
            if scenario.seconds(step.from_) < delay
        ]
        return scenario.model_copy(update={"playbooks": {best: [*until, *late]}})

    def future(self, state: State, trend: Trend, seed: int) -> Scenario:
        """One future: the scenario from now on, with people who come as one draw of the trend says."""
        steps = np.arange(0.0, self.ahead + 60.0, 60.0)
        rates = trend.draw(steps, seed)
        points = [[f"{t:g} s", f"{rate!r} per s"] for t, rate in zip(steps.tolist(), rates.tolist(), strict=True)]
        waves = self.slice.demand.waves
        replaced = [wave for wave in waves if wave.newcomers] if self.by_signups else list(waves)
        tiers = list(replaced[0].tiers) if replaced else []
        comes = {"kind": "piecewise", "name": "the trend", "points": points, "tiers": tiers, "from": str(state.at)}
        if not self.by_signups:
            comes["account_age"] = "365 days"
        document = self.slice.document
        kept = [w for w, wave in zip(document["demand"].get("waves", []), waves, strict=True) if wave not in replaced]
        document["demand"] = {**document["demand"], "waves": [*kept, comes]}
        if not self.by_signups:
            document["demand"] |= {"clients": [], "traces": []}
        now = self.slice.seconds(state.at)
        document["horizon"], document["warm_up"] = f"{now + self.ahead!r} s", 0
        document["alive"] = {}
        return begun(self.slice.of_document(document), state)


def runs_of(futures: Sequence[Scenario], playbook: str) -> list[Run]:
    """A run of each future under a playbook."""
    return [simulate(one, playbook, seed=seed, recording=QUIET) for seed, one in enumerate(futures, 1)]


def share_refused(seen: Telemetry) -> float:
    """Refused attempts, of all since the last count; nan where the metrics lack them, or nobody asked."""
    refused, asked = known(seen, "refused"), known(seen, "arrivals")
    if refused is None or asked is None or not np.sum(asked) > 0:
        return math.nan
    return float(np.sum(refused) / np.sum(asked))


def too_busy(seen: Telemetry) -> list[str]:
    """Notes on pools whose metrics have more busy GPUs than there are."""
    return [
        f"in pool '{name}' metrics have more GPUs busy ({pool.busy:,}) than in service ({pool.gpus:,}): taken for 100 %"
        for name, pool in seen.pools.items()
        if pool.busy > pool.gpus
    ]


def coarse(scenario: Scenario) -> Scenario:
    """The smallest slice that has some GPUs of each pool and divides without rounding."""
    least = min(pool.replicas for pool in scenario.pools.values())
    for parts in range(int(least // BUSY_GPUS), 0, -1):
        if not all(divides(pool.replicas, 1 / parts) for pool in scenario.pools.values()):
            continue
        try:
            return scenario.model_copy(update={"scale": 1 / parts, "cells": 1, "record": "timeline"})
        except BadInput:
            continue  # a policy counts GPUs or requests that do not divide
    return scenario.model_copy(update={"record": "timeline"})


def in_slice(state: State, scenario: Scenario) -> State:
    """The state with fleets that the slice has whole."""
    scale = scenario.scale
    fleets = {}
    for name, fleet in state.pools.items():
        each = scenario.pools[name].gpus_per_replica
        replicas = max(round(fleet.gpus / each * scale + NEARLY), 1)
        fleets[name] = Fleet(gpus=max(round(replicas / scale), 1) * each)
    return state.model_copy(update={"pools": fleets})


def full_at(run: Run, scenario: Scenario) -> float:
    """Seconds until some pool's GPUs are full, and stay so for some minutes; inf where none is before the horizon."""
    line = recorded(run)
    length = line.queue / np.diff(line.edges)[:, None] / run.scale
    over = length > np.array([limit(pool, pool.gpus) for pool in scenario.pools.values()])
    stays = np.lib.stride_tricks.sliding_window_view(over, STAYS, axis=0).all(axis=-1)
    first = np.flatnonzero(np.any(stays, axis=1))
    return float(line.edges[first[0]]) if len(first) else math.inf


def limit(pool: Pool, gpus: int) -> float:
    """Requests that wait where GPUs are not full: a full batch for each, and what random arrivals leave.

    As in sim.results.saturation, but counted for the whole service, so that it holds for metrics and slices.
    """
    return gpus * pool.max_batch + RANDOM


def in_time(run: Run) -> float:
    """Images in time, of the whole service."""
    return float(recorded(run).counts[..., IN_TIME].sum()) / run.scale


def share_in_time(run: Run) -> float:
    """Images in time, of those wanted that came in time or did not."""
    return float(recorded(run).counts[..., IN_TIME].sum() / max(recorded(run).counts[..., DECIDED].sum(), 1))


def is_full(scenario: Scenario, seen: Telemetry) -> bool:
    """Whether the GPUs of some pool are full."""
    pools = [(seen.pools[name], pool) for name, pool in scenario.pools.items()]
    return any(now.queued > limit(pool, now.gpus) for now, pool in pools)


def watch(
    watcher: Watcher, readings: Iterable[Reading], every: float = 60.0, *, once: bool = False
) -> Iterator[tuple[Telemetry, Forecast | None]]:
    """A look at each reading that comes `every` seconds or more after the last; once: only at the last one.

    People are counted minute by minute, however rare looks are, and at each look.
    """
    readings_known, origin = Readings(watcher.scenario), watcher.scenario.start.timestamp()
    counted, looked, pending = -math.inf, -math.inf, None
    for reading in readings:
        readings_known.take(reading)
        now = reading.time - origin
        if now < 0 or now - counted < min(COUNTED, every) - 1e-6:
            continue
        counted = now
        pending = readings_known.telemetry(now)
        watcher.take(pending)
        if not once and now - looked >= every - 1e-6:
            looked = now
            yield pending, watcher.forecast(pending)
    if once and pending is not None:
        yield pending, watcher.forecast(pending)


def at(scenario: Scenario, seconds: float) -> str:
    """An instant as people on call read it."""
    return (scenario.start + timedelta(seconds=seconds)).strftime("%H:%M")
