"""The number of servers on duty over time: given, read from a schedule, or derived from the services of the log."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.errors import BadInput
from sim.model.knobs import MOST_GPUS
from sim.tables.columns import Column, read_columns
from sim.tables.headers import column_names
from sim.tables.times import TIME_OF_DAY, Floats
from sim.validation.own_queue.queue_log import QueueLog
from sim.validation.own_queue.queue_times import DAY, clock_times, instants

MINUTE, QUARTER = 60.0, 900.0  # s: a server comes and goes with a minute, a roster of days to come with quarters
WAITED, ABSENT, FEW = 1.0, 10.0, 20  # s of waiting; medians; pauses from which a median is known
BREAK = 1800.0  # s: a server that serves nobody for longer is off duty


@dataclass(frozen=True)
class OnDuty:
    """Servers on duty over time.

    since: float64 (k,), seconds after midnight of the log's first day, ascending, from 0 or before. servers: int64
    (k,), on duty from then on. stays: the last server on duty stays until nobody waits. how: in words.
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


def on_duty(log: QueueLog, servers: str | None, file: Path) -> OnDuty:
    """Servers over time: of `servers`, a number or a file with the columns from and servers; else of the log itself."""
    if servers is None:
        if not (log.server >= 0).any():
            expected = "--servers 12, --servers FILE.csv (columns from, servers), or --map server=COLUMN"
            raise BadInput("the number of servers is not known", file=file, expected=expected)
        return duty_of_services(log)
    if not servers.isdecimal():
        return duty_of_schedule(log, Path(servers))
    if not 1 <= int(servers) <= MOST_GPUS:
        raise BadInput(
            "this number of servers is not possible", key="--servers", value=servers, expected=f"1 to {MOST_GPUS}"
        )
    return OnDuty(np.zeros(1), np.array([int(servers)]), f"{servers} servers at all times, as given")


def duty_of_services(log: QueueLog) -> OnDuty:
    """A server is on duty from the start of a first service to that of a last, without breaks.

    A break is a pause longer than BREAK; or one after which the next caller had waited, and which is ABSENT times the
    median of such pauses, so that it is no work after a call.
    """
    known = log.server >= 0
    start = (log.arrived + log.waited)[known]
    waited = log.waited[known] >= WAITED
    table = pd.DataFrame(
        {"server": log.server[known], "start": start, "end": start + log.served[known], "waited": waited}
    )
    table = table.sort_values(["server", "start"], kind="stable")
    before = table.groupby("server")["end"].cummax().shift()
    pause = table["start"] - before
    worked = pause[table["waited"] & (pause >= 0)]
    absent = table["waited"] & (pause > ABSENT * worked.median()) if len(worked) >= FEW else pause > BREAK
    begins = (table["server"] != table["server"].shift()) | (pause > BREAK) | absent
    shifts = table.groupby(begins.cumsum())["start"].agg(["min", "max"]).to_numpy(dtype=np.float64)
    since = np.floor(shifts[:, 0] / MINUTE) * MINUTE
    until = (np.floor(shifts[:, 1] / MINUTE) + 1) * MINUTE
    edges, place = np.unique(np.concatenate([[0.0], since, until]), return_inverse=True)
    steps = np.zeros(len(edges), dtype=np.int64)
    np.add.at(steps, place[1 : 1 + len(since)], 1)
    np.add.at(steps, place[1 + len(since) :], -1)
    how = (
        f"from the log's own services: a server is on duty from the minute of a first service to that of a last, "
        f"without breaks of more than {BREAK / 60:g} min, or absences while people wait; one stays until nobody waits"
    )
    return OnDuty(edges, np.cumsum(steps), how, stays=True)


def duty_of_schedule(log: QueueLog, path: Path) -> OnDuty:
    """A schedule in a file: the servers from an instant on (as the log has them), or from a time of every day on."""
    if not path.is_file():
        expected = "a number, or a CSV with the columns from, servers"
        raise BadInput("this is neither a number nor a file", key="--servers", value=str(path), expected=expected)
    if {"from", "servers"} - set(column_names(path)):
        raise BadInput(
            "this is not a schedule of servers", file=path, key="--servers", expected="columns from, servers"
        )
    columns = read_columns(path, ("from", "servers"))
    daily = bool(columns["from"].match(TIME_OF_DAY).all())
    since, expected = schedule_times(columns["from"], log, daily=daily), f"a whole number, 0 to {MOST_GPUS}"
    servers = columns["servers"].numbers(expected, low=0)
    columns["servers"].refuse((servers > MOST_GPUS) | (servers % 1 != 0), expected)
    columns["from"].refuse(np.isnan(since), "an instant")
    order = np.argsort(since, kind="stable")
    since, counts = since[order], servers[order].astype(np.int64)
    if (np.diff(since) == 0).any():
        raise BadInput("two rows of this schedule have the same instant", file=path, expected="each instant once")
    if daily:
        days = np.arange(-1, log.days[-1] + 2)
        since = (days[:, None] * DAY + since).ravel()
        counts = np.tile(counts, len(days))
    else:
        since, counts = np.insert(since, 0, min(since[0], 0.0) - 1), np.insert(counts, 0, 0)
    return OnDuty(since, counts, f"from {path.name}")


def schedule_times(column: Column, log: QueueLog, *, daily: bool) -> Floats:
    """Seconds after midnight of every day, or of the log's first day; timestamps where the log has dates."""
    if daily:
        return clock_times(column)
    axis = log.axis
    if axis.kind == "dates":
        axis = type(axis)("stamps", axis.zero * DAY * 1e9, axis.first)
    return instants(column, None, axis)


def roster_of(duty: OnDuty, train: Sequence[int], tests: Sequence[int]) -> OnDuty:
    """Servers of the test days as the train days had them: by quarter of an hour, of the same weekday where it has two.

    A roster that was given is known beforehand, and stays as it is.
    """
    if not duty.stays:
        return duty
    quarters = np.arange(0.0, DAY, QUARTER)
    by_day = {day: np.array([duty.seconds(day * DAY + q, day * DAY + q + QUARTER) for q in quarters]) for day in train}
    since, servers = [-1.0], [0]
    for day in tests:
        same = [counts for other, counts in by_day.items() if (other - day) % 7 == 0]
        used = same if len(same) >= 2 else list(by_day.values())
        since += (day * DAY + quarters).tolist()
        servers += np.rint(np.mean(used, axis=0) / QUARTER).astype(int).tolist()
        since.append((day + 1) * DAY)
        servers.append(0)
    keep = np.unique(np.array(since), return_index=True)[1]
    return OnDuty(np.array(since)[keep], np.array(servers, dtype=np.int64)[keep], "as on the train days", stays=True)
