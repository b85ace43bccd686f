"""A request log as readings of a gateway's metrics: each minute's attempts, refusals and answers, and what they imply.

A request is in a log once it is answered. So who was inside at the end of a minute is counted, and not guessed, but it
is known only as much later as answers take. A log without durations does not say who was inside: then the work that
came in, by the scenario's service times, is held against its GPUs.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sim.calibration.asks import Asks, asks_of
from sim.demand.recordings.findings import refuse_open_problems
from sim.demand.recordings.importing import ImportOptions, examine_recording
from sim.demand.recordings.recorded_rows import NoRows
from sim.demand.recordings.trace import Trace
from sim.errors import BadInput
from sim.results.gateway_readings import Reading, Values
from sim.results.manifest import feature_entry
from sim.scenario.parts import Pool
from sim.scenario.scenario import Scenario
from sim.tables.growing import is_text, pieces

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Gauges = dict[str, float]

MINUTE = 60.0
MOST = 0.95  # of the requests of a minute are answered when it is counted
COUNTED = "who was inside, and busy GPUs, are counted from the log, as late as answers take; GPUs are the scenario's"
COMPUTED = (
    "the log has no durations: the queue is the work that came, by the scenario's service times, less what GPUs can "
    "do; people who left are not taken off"
)


@dataclass
class LogReadings:
    """Makes readings of a log, piece by piece; `notes` says how it was read.

    options, repairs: as of an import. Raises BadInput for what is no log, and for counts.
    """

    scenario: Scenario
    options: ImportOptions = field(default_factory=ImportOptions)
    repairs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    done: float = -np.inf  # the last minute that was read, seconds since 1970

    def __post_init__(self) -> None:
        self.names = list(self.scenario.features)
        features = list(self.scenario.features.values())
        self.shares = np.array([one.share for one in features])
        self.work = np.array([feature_entry(self.scenario, one)["gpu_seconds"] for one in features])
        self.mine = {pool: np.array([one.pool == pool for one in features]) for pool in self.scenario.pools}
        self.rows = self.there = np.zeros((6 + len(self.names), 0))  # still to come, and inside: see rows_of
        self.counts = np.zeros((3, len(self.names)))  # came, refused, served
        self.backlog = dict.fromkeys(self.scenario.pools, 0.0)  # GPU-seconds
        self.each = dict.fromkeys(self.scenario.pools, float(self.work.mean()))  # of a request of late

    def readings(self, path: Path) -> Iterator[Reading]:
        """The readings of a log."""
        yield from self.minutes(self.trace(path, path))

    def following(self, path: Path) -> Iterator[Reading]:
        """The readings of a log that grows, and for ever of lines that are added. Raises BadInput for a packed file."""
        if not is_text(path):
            raise BadInput("a packed file cannot be followed", file=path, key="--follow", expected="a log as text")
        return self.of_pieces(path, pieces(path))

    def of_pieces(self, path: Path, pieces: Iterable[Path]) -> Iterator[Reading]:
        """The readings of a log from files with its lines as they were added."""
        for piece in pieces:
            try:
                trace = self.trace(piece, path)
            except NoRows:  # a quiet minute has health checks alone
                continue
            yield from self.minutes(trace)

    def trace(self, piece: Path, path: Path) -> Trace:
        done = examine_recording([piece], replace(self.options, attempts=True), self.repairs)
        refuse_open_problems(done.found, (path.name,))
        if done.trace is None or done.trace.start is None:
            what = "counts and no requests" if done.trace is None else "times without a date"
            raise BadInput(f"this log has {what}", file=path, key="--log", expected="one request per line, with dates")
        if not self.notes:
            ends = any("stamps are" in note and "ends" in note for note in done.trace.notes)
            self.options = replace(self.options, stamped=self.options.stamped or ("end" if ends else "start"))
            self.timed = bool(np.isfinite(asks_of(done.trace).lasted).any())
            self.notes = (*done.trace.notes, COUNTED if self.timed else COMPUTED)
        return done.trace

    def minutes(self, trace: Trace) -> Iterator[Reading]:
        """The readings of the minutes that are known with these further requests."""
        assert trace.start is not None
        rows = np.concatenate([self.rows, self.rows_of(asks_of(trace), trace.start.timestamp())], axis=1)
        rows = rows[:, np.argsort(rows[0], kind="stable")]
        arrived, ended, answered = rows[0], rows[2], rows[4] == 1
        until = float(ended.max())
        late = answered & (ended > until - MINUTE)
        known = until - (float(np.quantile((ended - arrived)[late], MOST)) if late.any() else 0.0)
        if not self.scenario.serving.notices_leaving:  # who hung up keeps a place until those behind have their turn
            turn = np.minimum.accumulate(np.where(answered, ended, until)[::-1])[::-1]
            rows[2] = np.where(rows[5] == 1, np.maximum(ended, turn), ended)
        self.done = max(self.done, np.floor(arrived.min() / MINUTE) * MINUTE)
        first = 0
        while self.done + MINUTE <= known:
            self.done += MINUTE
            last = int(np.searchsorted(arrived, self.done, side="right"))
            yield Reading(self.done, self.values(self.done, rows[:, first:last]))
            first = last
        self.rows = rows[:, first:]

    def rows_of(self, asks: Asks, start: float) -> Floats:
        """Requests as columns: arrived, began, ended (if unknown, arrived), refused, served, left, its features."""
        shares = np.array([self.feature_of(name) for name in asks.kinds])[asks.kind]
        at = start + asks.arrived
        return np.vstack(
            [at, at + asks.waited, at + np.nan_to_num(asks.lasted), asks.refused, asks.served, asks.left, shares.T]
        )

    def feature_of(self, kind: str) -> Floats:
        """The feature of a path, by its name or its last part; the scenario's shares where neither is one's."""
        words = "".join(c if c.isalnum() else " " for c in kind).split()
        found = [name in (" ".join(words), *words[-1:]) for name in self.names]
        if not any(found):
            found = [name == "other" for name in self.names]
        return np.array(found, dtype=float) if any(found) else self.shares

    def values(self, now: float, new: Floats) -> Values:
        """The metrics at the end of a minute in which these requests came."""
        came, turned_away = new[6:].sum(axis=1), new[6:, new[3] == 1].sum(axis=1)
        inside = np.concatenate([self.there, new[:, new[3] == 0]], axis=1)
        gone, self.there = inside[:, inside[2] <= now], inside[:, inside[2] > now]
        self.counts += [came, turned_away, gone[6:, gone[4] == 1].sum(axis=1)]
        values: Values = {
            (f"meltpoint_{name}_total", (tier, feature)): float(count) * kind.share
            for name, counts in zip(("attempts", "refused", "served"), self.counts, strict=True)
            for tier, kind in self.scenario.tiers.items()
            for feature, count in zip(self.names, counts, strict=True)
        }
        for name, pool in self.scenario.pools.items():
            mine = self.mine[name]
            found = self.counted(pool, mine, now, gone) if self.timed else self.computed(name, mine, came - turned_away)
            values |= {(f"meltpoint_pool_{figure}", (name,)): float(value) for figure, value in found.items()}
        return values

    def counted(self, pool: Pool, mine: Mask, now: float, gone: Floats) -> Gauges:
        """The state of a pool by the requests inside; without logged waits, those wait who are not in a full batch."""
        began, of = self.there[1], self.there[6:][mine].sum(axis=0)
        inside, pace = float(of.sum()), float(gone[6:][mine].sum()) / MINUTE
        queued = float(of[began > now].sum()) if np.isfinite(began).any() else max(inside - room(pool), 0.0)
        return gauges(pool, min(pool.gpus, (inside - queued) * pool.gpus_per_replica), queued, inside, pace)

    def computed(self, name: str, mine: Mask, let_in: Floats) -> Gauges:
        """The state of a pool by the GPU-seconds that came and those that its GPUs had."""
        pool, asks, work = self.scenario.pools[name], float(let_in[mine].sum()), float((let_in * self.work)[mine].sum())
        had = pool.gpus * MINUTE
        total = self.backlog[name] + work
        self.backlog[name] = max(total - had, 0.0)
        self.each[name] = work / asks if asks else self.each[name]
        queued, busy = self.backlog[name] / self.each[name], min(total, had) / MINUTE
        return gauges(pool, busy, queued, queued + busy / pool.gpus * room(pool), pool.gpus / self.each[name])


def room(pool: Pool) -> float:
    """Requests in service where each batch is full."""
    return pool.gpus / pool.gpus_per_replica * pool.max_batch


def gauges(pool: Pool, busy: float, queued: float, inside: float, pace: float) -> Gauges:
    """The gauges of a pool from which `pace` requests a second go."""
    found = {"gpus": float(pool.gpus), "gpus_busy": busy, "requests_queued": queued, "requests_inside": inside}
    return found | ({"expected_wait_seconds": queued / pace} if pace else {})
