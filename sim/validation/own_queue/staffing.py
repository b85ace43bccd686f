"""How many servers are on duty when: a number, a schedule in a file, or what a log's own services tell."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.demand.recordings.rows import header
from sim.errors import BadInput
from sim.model.controls import Controls, Telemetry
from sim.model.knobs import MOST_GPUS
from sim.policies.playbook import Timed
from sim.validation.own_queue.log_times import DAY, TIME_OF_DAY, Floats, Texts, instants, numbers, times_of_day
from sim.validation.own_queue.queue_log import Column, QueueLog, texts_of

QUARTER = 900.0  # s: duty begins and ends with a quarter of an hour
BREAK = 1800.0  # s: who serves nobody for longer is off duty
TICKS = (60.0, 30.0, 15.0, 10.0, 5.0, 1.0)  # s between two looks at the schedule: the coarsest that meets all changes


@dataclass(frozen=True)
class OnDuty:
    """Servers on duty over time.

    since: float64 (k,), seconds after midnight of the log's first day, ascending, from 0 or before. servers: int64
    (k,), on duty from then on. stays: where all go home, one stays until nobody waits. how: in words.
    """

    since: Floats
    servers: NDArray[np.int64]
    how: str
    stays: bool = False

    def at(self, times: Floats) -> NDArray[np.int64]:
        """Servers at these seconds."""
        return self.servers[np.clip(np.searchsorted(self.since, times, side="right") - 1, 0, None)]

    def seconds(self, begins: float, ends: float) -> float:
        """Server-seconds on duty between two instants."""
        inner = self.since[(self.since > begins) & (self.since < ends)]
        edges = np.concatenate([[begins], inner, [ends]])
        return float((self.at(edges[:-1]) * np.diff(edges)).sum())

    def tick(self, begins: float) -> float:
        """Seconds between two ticks from `begins` on: each change is at one, or less than a second before it."""
        changes = self.since[self.since > begins] - begins
        return next((tick for tick in TICKS if not np.any(changes % tick)), TICKS[-1])


@dataclass
class Roster:
    """A policy that has as many GPUs in service as servers are on duty, in a run whose second 0 is `begins`."""

    duty: OnDuty
    begins: float

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        servers = self.servers(telemetry.now)
        (pool,) = controls.pool_names
        if self.duty.stays and servers == 0 and telemetry.pools[pool].queued > 0:
            servers = 1
        controls.set_pool([pool], fleet=servers)

    def servers(self, now: float) -> int:
        return int(self.duty.at(np.array([self.begins + now]))[0])

    def next_change(self, now: float) -> float:
        """When it must be asked again: at the next change; at every tick, while somebody may have to stay."""
        if self.duty.stays and self.servers(now) == 0:
            return now
        later = self.duty.since[self.duty.since > self.begins + now]
        return float(later[0]) - self.begins if len(later) else np.inf


@dataclass
class Shifts(Timed):
    """A roster as a step of a playbook, which is asked where it changes and not at every tick."""

    policy: Roster

    def quiet_until(self, now: float) -> float:
        return self.policy.next_change(now)


def on_duty(log: QueueLog, servers: str | None, file: Path) -> OnDuty:
    """Servers over time: of `servers`, a number or a file with the columns from and servers; else of the log itself."""
    if servers is None:
        if not (log.server >= 0).any():
            expected = "--servers 12, --servers FILE.csv (columns from, servers), or --map server=COLUMN"
            raise BadInput("nothing says how many servers there were", file=file, expected=expected)
        return derived(log)
    if not servers.isdecimal():
        return scheduled(log, Path(servers))
    if not 1 <= int(servers) <= MOST_GPUS:
        raise BadInput("so many servers cannot be", key="--servers", value=servers, expected=f"1 to {MOST_GPUS}")
    return OnDuty(np.zeros(1), np.array([int(servers)]), f"{servers} servers at all times, as given")


def derived(log: QueueLog) -> OnDuty:
    """Who serves is on duty: from the start of a first service to that of a last, without breaks of over BREAK."""
    known = log.server >= 0
    start = (log.arrived + log.waited)[known]
    table = pd.DataFrame({"server": log.server[known], "start": start, "end": start + log.served[known]})
    table = table.sort_values(["server", "start"], kind="stable")
    before = table.groupby("server")["end"].cummax().shift()
    begins = (table["server"] != table["server"].shift()) | (table["start"] - before > BREAK)
    shifts = table.groupby(begins.cumsum())["start"].agg(["min", "max"]).to_numpy(dtype=np.float64)
    since = np.floor(shifts[:, 0] / QUARTER) * QUARTER
    until = (np.floor(shifts[:, 1] / QUARTER) + 1) * QUARTER
    edges, place = np.unique(np.concatenate([[0.0], since, until]), return_inverse=True)
    steps = np.zeros(len(edges), dtype=np.int64)
    np.add.at(steps, place[1 : 1 + len(since)], 1)
    np.add.at(steps, place[1 + len(since) :], -1)
    how = (
        f"from the log's own services: a server is on duty from the quarter of an hour of a first service to that of a "
        f"last, without breaks of more than {BREAK / 60:g} min; one stays until nobody waits"
    )
    return OnDuty(edges, np.cumsum(steps), how, stays=True)


def scheduled(log: QueueLog, path: Path) -> OnDuty:
    """A schedule in a file: from an instant (as the log has them), or from a time of every day, so many servers."""
    if not path.is_file():
        expected = "a number, or a CSV with the columns from, servers"
        raise BadInput("this is neither a number nor a file", key="--servers", value=str(path), expected=expected)
    if {"from", "servers"} - set(header(path)):
        raise BadInput(
            "this is not a schedule of servers", file=path, key="--servers", expected="columns from, servers"
        )
    texts = texts_of(path, {"from": Column("from"), "servers": Column("servers")})
    daily = bool(texts["from"].match(TIME_OF_DAY).all())
    since, servers = begun(texts["from"], log, daily=daily), numbers(texts["servers"])
    wrong = np.isnan(servers) | (servers < 0) | (servers > MOST_GPUS) | (servers % 1 != 0)
    texts["servers"].refuse(wrong, f"a whole number, 0 to {MOST_GPUS}")
    texts["from"].refuse(np.isnan(since), "an instant")
    order = np.argsort(since, kind="stable")
    since, counts = since[order], servers[order].astype(np.int64)
    if (np.diff(since) == 0).any():
        raise BadInput("two rows of this schedule are of the same instant", file=path, expected="each instant once")
    if daily:
        days = np.arange(-1, log.days[-1] + 2)
        since = (days[:, None] * DAY + since).ravel()
        counts = np.tile(counts, len(days))
    else:
        since, counts = np.insert(since, 0, min(since[0], 0.0) - 1), np.insert(counts, 0, 0)
    return OnDuty(since, counts, f"from {path.name}")


def begun(texts: Texts, log: QueueLog, *, daily: bool) -> Floats:
    """Seconds after midnight: of every day, or of the log's first. The schedule of a log with dates has timestamps."""
    if daily:
        return times_of_day(texts)
    axis = log.axis
    if axis.kind == "dates":
        axis = type(axis)("stamps", axis.zero * DAY * 1e9, axis.first)
    return instants(texts, None, axis)
