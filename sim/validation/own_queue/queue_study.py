"""A recorded queue against the simulator: its figures, as it was replayed, and as forecast from the days before."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

from sim.engine.parallel import Progress, in_parallel
from sim.errors import BadInput
from sim.results.intervals import says_nothing
from sim.validation.own_queue import queue_forecast
from sim.validation.own_queue.queue_forecast import Split, forecast_calls, recorded_calls, split_of
from sim.validation.own_queue.queue_log import QueueLog, note_on_rows, read_queue
from sim.validation.own_queue.queue_times import DAY
from sim.validation.own_queue.replay import Calls, Played, play_calls
from sim.validation.own_queue.staffing import OnDuty, on_duty, roster_of
from sim.validation.study import Row, Study

WAITS = 1.0  # s: a shorter wait counts as none
REPLAYED, FORECAST = "replayed", "forecast"
SEEDS = {REPLAYED: 5, FORECAST: queue_forecast.SEEDS}
LEVEL = 0.99  # of the prediction interval
FEW = 50_000  # requests of all runs together; fewer are not worth another process
LEAST = 20  # served requests of the test days; quantiles of fewer are those of single requests
WITHIN = 0.1  # of itself, or the figure's own least difference, the error allowed in a replay
IMPOSSIBLE = 1.5  # times the seconds that servers had: more service than that is of another unit

# The figures of each test day, and of all of them together (None).
Found = dict[int | None, dict[str, float]]


class Figure(NamedTuple):
    """A figure in words, its unit, and the least difference that counts."""

    words: str
    unit: str
    least: float


FIGURES = {
    "requests": Figure("requests", "", 1.0),
    "mean": Figure("wait, mean", "s", 1.0),
    **{f"p{p}": Figure(f"wait, p{p}", "s", 1.0) for p in (50, 90, 95, 99)},
    "waiting": Figure(f"share waiting {WAITS:g} s or more", "", 0.01),
    "abandoned": Figure("share hanging up", "", 0.01),
    "utilisation": Figure("service started, of the time on duty", "", 0.01),
}


def figures_of_log(log: QueueLog, duty: OnDuty, days: Sequence[int]) -> dict[str, float]:
    """By name as in FIGURES; nan where nobody came, or nobody was served.

    Waits are those of requests that were served. Utilisation is their service, on whatever day it ends, over the
    server-seconds on duty on these days: it can exceed 1.
    """
    n = len(log)
    waits = log.waited[~log.abandoned]
    quantiles = {f"p{p}": float(np.percentile(waits, p)) if len(waits) else math.nan for p in (50, 90, 95, 99)}
    capacity = sum(duty.seconds(day * DAY, (day + 1) * DAY) for day in days)
    return {
        "requests": float(n),
        "mean": float(waits.mean()) if len(waits) else math.nan,
        **quantiles,
        "waiting": float((log.waited >= WAITS).mean()) if n else math.nan,
        "abandoned": float(log.abandoned.mean()) if n else math.nan,
        "utilisation": float(np.nansum(log.served)) / capacity if capacity > 0 else math.nan,
    }


def departures_from_model(log: QueueLog, whole: QueueLog, duty: OnDuty, turnaround: float = 0.0) -> list[str]:
    """Notes on waits beside idle servers, overtaking and overlapping services, which the model does not have.

    log: the test days; whole: the days before too, since people who came then may still be served. turnaround: seconds
    for which a server is not ready after a service.
    """
    arrived, gone = log.arrived, log.arrived + log.waited
    began, over = (whole.arrived + whole.waited)[~whole.abandoned], whole.served[~whole.abandoned]
    start, end = np.sort(began), np.sort(began + over + turnaround)
    left = whole.arrived + whole.waited + np.nan_to_num(whole.served)
    inside = (whole.arrived < log.days[0] * DAY) & (left > log.days[0] * DAY)
    busy = np.searchsorted(start, arrived, side="left") - np.searchsorted(end, arrived, side="right")
    waited = log.waited >= WAITS
    beside = waited & (busy < duty.at(arrived))
    before = np.concatenate([[-np.inf], np.maximum.accumulate(gone)[:-1]])
    overtook = ~log.abandoned & (gone + WAITS <= before)
    return [
        *note_on_rows(inside, "Left out of the replay: came before the test days and were still there"),
        *note_on_rows(beside, f"Test days, waited {WAITS:g} s or more while a server on duty was idle"),
        *note_on_rows(overtook, f"Test days, served {WAITS:g} s or more before an earlier arrival"),
        *note_on_rows(overlaps(log), f"Test days, began {WAITS:g} s or more before their server's last had ended"),
    ]


def overlaps(log: QueueLog) -> np.ndarray:
    """Services of a server that began before an earlier one of the same server had ended: bool (n,)."""
    start = log.arrived + log.waited
    found = np.zeros(len(log), dtype=bool)
    for server in np.unique(log.server[log.server >= 0]):
        rows = np.flatnonzero(log.server == server)
        rows = rows[np.argsort(start[rows], kind="stable")]
        end = np.maximum.accumulate(start[rows] + log.served[rows])
        found[rows[1:]] = start[rows][1:] + WAITS <= end[:-1]
    return found


def queue_study(
    progress: Progress | None = None,
    *,
    file: Path,
    map: Sequence[str] = (),
    drop: Sequence[str] = (),
    servers: str | None = None,
    test_days: int | None = None,
    split: str | None = None,
) -> Study:
    """The study of a queue's log. Raises BadInput for a log that cannot be read or has too few days."""
    if split not in (None, "last", "odd-even"):
        raise BadInput("there is no such split", key="--split", value=split, expected="last or odd-even")
    if split == "odd-even" and test_days is not None:
        raise BadInput("a split by odd and even days takes no number of days", key="--test-days", value=test_days)
    log = read_queue(file, map, drop)
    duty = on_duty(log, servers, file)
    parts = split_of(log, days_to_test(log, test_days), alternate=split == "odd-even")
    return study_of(log, duty, parts, servers, file, progress)


def study_of(
    log: QueueLog, duty: OnDuty, split: Split, servers: str | None, file: Path, progress: Progress | None
) -> Study:
    """Replays and forecasts of the test days beside the log."""
    if not sum(duty.seconds(day * DAY, (day + 1) * DAY) for day in split.test.days):
        raise BadInput("nobody is on duty on the days to test", key="--servers", value=servers, expected="servers")
    served = int((~split.test.abandoned).sum())
    if served < LEAST:
        expected = f"{LEAST} or more on the days to test"
        raise BadInput("too few requests were served to compare", file=file, value=str(served), expected=expected)
    alone = split.train is split.test
    kinds = [REPLAYED] if alone else [REPLAYED, FORECAST]
    tasks = [(kind, seed) for kind in kinds for seed in range(1, SEEDS[kind] + 1)]
    few = len(split.test) * len(tasks) < FEW
    found = in_parallel(figures_of_run, (split, duty), tasks, processes=1 if few else None, progress=progress)
    actual = by_day(split.test, split, duty)
    rows = []
    for kind in kinds:
        samples = [one for (name, _), one in zip(tasks, found, strict=True) if name == kind]
        rows += agreement_rows(kind, actual, [one for one, _ in samples], log)
    unfinished = sum(left for _, left in found)
    return Study(
        name="trace",
        title=f"A recorded queue, {file.name}",
        question="Do people wait as long as they did, given the recorded arrivals, or only the days before?",
        source=str(file.name),
        rows=rows,
        apart=True,
        notes=study_notes(log, split, duty, unfinished),
    )


def days_to_test(log: QueueLog, asked: int | None) -> int:
    """The last third of the days, or as many as asked for. Raises BadInput for none, or for all of them."""
    days = len(log.days)
    if asked is None:
        return math.ceil(days / 3)
    if not 1 <= asked < days:
        expected = f"1 to {days - 1}, of the log's {days}" if days > 1 else "a log of several days"
        raise BadInput("this number of days cannot be forecast", key="--test-days", value=asked, expected=expected)
    return asked


def figures_of_run(given: tuple[Split, OnDuty], kind: str, seed: int, report: Progress) -> tuple[Found, int]:
    """The figures of one run, and the number still waiting at its end."""
    split, duty = given
    calls = recorded_calls(split, seed) if kind == REPLAYED else forecast_calls(split, seed)
    end = play_calls(calls, duty if kind == REPLAYED else roster_of(duty, split.train.days, split.test.days))
    report(1.0)
    return by_day(log_of_run(calls, end, split), split, duty), int((~end.abandoned & ~end.served).sum())


def log_of_run(calls: Calls, end: Played, split: Split) -> QueueLog:
    """The log that a run would have left; requests still waiting at its end are not in it."""
    known = end.abandoned | end.served
    served = np.where(end.abandoned, np.nan, calls.served)
    nobody = np.full(int(known.sum()), -1, dtype=np.int64)
    waited, abandoned = end.waited[known], end.abandoned[known]
    return QueueLog(calls.arrived[known], waited, served[known], abandoned, nobody, split.test.axis)


def by_day(log: QueueLog, split: Split, duty: OnDuty) -> Found:
    """The figures of each test day, and of all of them together (None)."""
    days = split.test.days
    found: Found = {day: figures_of_log(log.on([day]), duty, [day]) for day in days} if len(days) > 1 else {}
    return {None: figures_of_log(log, duty, days), **found}


def agreement_rows(kind: str, actual: Found, samples: list[Found], log: QueueLog) -> list[Row]:
    """One row per figure: the mean over the seeds, and how far the log may be from it."""
    rows = []
    given = {"requests"} if log.abandoned.any() else {"requests", "abandoned", "utilisation"}  # a replay has the log's
    for day, known in actual.items():
        case = f"{kind}, {day_label(day, log)}"
        for name, figure in FIGURES.items():
            values = np.array([one[day][name] for one in samples])
            values = values[~np.isnan(values)]
            if (kind == REPLAYED and name in given) or not len(values) or math.isnan(known[name]):
                continue
            off, note = tolerance(kind, known[name], values)
            if kind == FORECAST and says_nothing(off, float(values.mean()), figure.least):
                off, note = math.nan, f"{note}: an interval that says nothing, not counted"
            off = off if math.isnan(off) else max(off, figure.least)
            low = off if math.isnan(off) else max(0.0, known[name] - off)
            mean, high = float(values.mean()), known[name] + off
            rows.append(Row(case, figure.words, figure.unit, known[name], mean, low, high, note))
    return rows


def tolerance(kind: str, known: float, values: np.ndarray) -> tuple[float, str]:
    """How far the log may be from the mean of the values, and the note that says so; nan where that is not known."""
    mean = float(values.mean())
    if kind == REPLAYED:
        return WITHIN * known, f"{mean / known - 1:+.1%}" if known else ""
    off = prediction_interval(values)
    return off, "" if math.isnan(off) else f"the log's may be {max(0.0, mean - off):.4g} to {mean + off:.4g}"


def prediction_interval(values: np.ndarray) -> float:
    """Half the width of the interval in which one more value lies with a chance of LEVEL (Student's t); nan for one."""
    n = len(values)
    if n < 2:
        return math.nan
    return float(stats.t.ppf((1 + LEVEL) / 2, n - 1) * values.std(ddof=1) * math.sqrt(1 + 1 / n))


def day_label(day: int | None, log: QueueLog) -> str:
    """A test day in words."""
    if day is None:
        return "all test days"
    if log.first is None:
        return f"day {day + 1}"
    return str(np.datetime64(log.first) + np.timedelta64(day, "D"))


def beyond_servers(log: QueueLog, duty: OnDuty) -> list[str]:
    """A note where services are longer together than the time that servers had, as those of another unit are."""
    ends = log.arrived + log.waited + np.nan_to_num(log.served)
    served, room = float(np.nansum(log.served)), duty.seconds(float(log.arrived.min()), float(ends.max()))
    if served <= IMPOSSIBLE * room:
        return []
    return [
        f"Warning: services make {served:,.0f} s, and the servers had {room:,.0f} s. Times are read in seconds unless "
        "a column's name has another unit, as served_ms has."
    ]


def study_notes(log: QueueLog, split: Split, duty: OnDuty, unfinished: int) -> list[str]:
    """Notes for the reader: the rows, the days, the servers, and where the log departs from the model."""
    test, train = split.test, split.train
    notes = [
        f"Requests: {len(log):,}; days: {len(log.days)}; hung up: {int(log.abandoned.sum()):,}.",
        *log.notes,
        f"Servers: {duty.how}.",
        *beyond_servers(log, duty),
    ]
    if len(split.turnaround):
        notes.append(
            f"Turnaround: after a service a server is not ready for {split.turnaround.mean():.3g} s on average "
            f"({len(split.turnaround):,} pauses of the train days after which the next caller had waited); it is drawn "
            "from these."
        )
    if train is test:
        notes.append(
            "A log of one day can only be replayed: patience and service that were not seen are drawn from that day."
        )
    else:
        notes.append(
            f"Tested: {len(test.days)} of {len(log.days)} days; laws, turnaround and forecast rosters are of "
            "the others. A "
            f"forecast row agrees where the log lies in the {LEVEL:.0%} prediction interval of {SEEDS[FORECAST]} "
            "seeds, or within 1 s or 0.01: up to two in a hundred miss by chance."
        )
    notes.append(
        f"A replayed row agrees within {WITHIN:.0%}, or within 1 s or 0.01. Waits are those of served requests."
    )
    if not log.abandoned.any():
        notes.append(
            "No row is marked abandoned, so that a replay has the log's own services: what it can miss are the waits."
        )
    notes += departures_from_model(test, log, duty, float(split.turnaround.mean()) if len(split.turnaround) else 0.0)
    if unfinished:
        notes.append(f"{unfinished:,} requests of all runs together still waited at the end and are in no figure.")
    return notes
