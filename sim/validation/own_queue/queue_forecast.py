"""The calls of a queue's test days: from their own arrivals, services and patience, or from the days before alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sim.calibration.servers import gaps
from sim.model.streams import BURST, COUNT, FIT, PATIENCE, SERVICE, SIGNUP, THINK, series, standard_normal
from sim.tables.times import Floats
from sim.validation.own_queue.queue_log import QueueLog
from sim.validation.own_queue.queue_times import DAY
from sim.validation.own_queue.replay import Calls
from sim.validation.own_queue.survival import kaplan_meier

HOURS = 24
SEEDS = 20  # of a forecast
ENOUGH_GAPS = 20  # pauses of servers while the next caller waited
ENOUGH_DAYS = 2  # of one weekday to estimate its rates; with fewer, all days are used


@dataclass(frozen=True)
class Split:
    """A log in two: the days that laws are estimated from, and the later days that are forecast."""

    train: QueueLog
    test: QueueLog
    turnaround: Floats = field(default_factory=lambda: np.empty(0))  # of servers on the train days; empty: unknown

    def turnarounds(self, seed: int, n: int) -> Floats:
        """One drawn for each of n calls; empty where none is known."""
        u = uniforms(seed, THINK, n)
        return drawn_services(self.turnaround, u) if len(self.turnaround) else self.turnaround


def uniforms(seed: int, stream: int, n: int) -> Floats:
    """n uniforms in (0, 1), the same for the same seed and stream."""
    return np.asarray(series(seed, stream, 0, 0, n))


def recorded_calls(split: Split, seed: int) -> Calls:
    """The test days as they were: arrivals, service times of those served, patience of those who hung up.

    The unseen is drawn from the laws of the train days: service times of callers who hung up, and the remaining
    patience of callers who were served.
    """
    test, train = split.test, split.train
    n = len(test)
    law = kaplan_meier(train.waited, train.abandoned)
    unseen = law.patience(uniforms(seed, PATIENCE, n), test.waited)
    patience = np.where(test.abandoned, test.waited, unseen)
    served = np.where(test.abandoned, drawn_services(services_of(train), uniforms(seed, SERVICE, n)), test.served)
    return Calls(test.arrived, served, patience, split.turnarounds(seed, n))


def forecast_calls(split: Split, seed: int) -> Calls:
    """The test days as expected from the train days; of the test days only their dates are used.

    The train days are resampled with replacement for each seed (a bootstrap within each weekday): the laws of service
    and of patience are those of the days drawn, so that the uncertainty of a few days widens the interval.
    """
    arrived = forecast_arrivals(split, seed)
    parts = [split.train.on([day]) for day in drawn_again(np.array(split.train.days), seed).tolist()]
    waited, abandoned, served = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("waited", "abandoned", "served")
    )
    law, n = kaplan_meier(waited, abandoned), len(arrived)
    lengths = served[~abandoned] if not abandoned.all() else services_of(split.train)
    patience = law.patience(uniforms(seed, PATIENCE, n), np.full(n, -1.0))
    services = drawn_services(lengths, uniforms(seed, SERVICE, n))
    return Calls(arrived, services, patience, split.turnarounds(seed, n))


def forecast_arrivals(split: Split, seed: int) -> Floats:
    """Arrivals on the test days, by the rates of the train days drawn for this seed: float64 (n,)."""
    days, tests = np.array(split.train.days), split.test.days
    again = drawn_again(days, seed)
    counts = np.array([arrivals_by_hour(split.train.on([day])) for day in days.tolist()])
    rates = np.concatenate([rates_of(day, days, counts, again) for day in tests])
    spread = spread_of_days(days, counts.sum(axis=1), float(spread_over_seeds(seed, FIT, 1)[0]))
    luck = spread_over_seeds(seed, BURST, len(tests))
    busy = [math.exp(spread * float(standard_normal.direct(u)) - spread**2 / 2) for u in luck.tolist()]
    hours = np.concatenate([day * DAY + np.arange(HOURS) * DAY / HOURS for day in tests])
    return poisson_instants(hours, rates * np.repeat(busy, HOURS), seed)


def spread_over_seeds(seed: int, stream: int, n: int) -> Floats:
    """n uniforms, stratified over seeds: from seed 1 to SEEDS, each lies in another of SEEDS equal parts of (0, 1).

    A few independent seeds would now and then be too similar for an interval.
    """
    orders = [np.argsort(series(0, stream, number, 0, SEEDS)) for number in range(n)]
    parts = np.array([order[(seed - 1) % SEEDS] for order in orders])
    return np.asarray((parts + uniforms(seed, stream, n)) / SEEDS)


def services_of(log: QueueLog) -> Floats:
    """Seconds of service of the served requests."""
    return log.served[~log.abandoned]


def drawn_services(lengths: Floats, u: Floats) -> Floats:
    """A service time for each uniform, drawn from the recorded ones; 0 where there are none."""
    if not len(lengths):
        return np.zeros(len(u))
    return np.sort(lengths)[(u * len(lengths)).astype(np.int64)]


def arrivals_by_hour(day: QueueLog) -> NDArray[np.int64]:
    """Arrivals by hour of the day: int64 (24,)."""
    return np.bincount((day.arrived % DAY // (DAY / HOURS)).astype(np.int64), minlength=HOURS)


def groups_of_weekdays(days: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Days grouped by weekday where there are ENOUGH_DAYS of it, and last a group of all others."""
    parts = [days[days % 7 == weekday] for weekday in range(7)]
    others = [part for part in parts if 0 < len(part) < ENOUGH_DAYS]
    return [part for part in parts if len(part) >= ENOUGH_DAYS] + ([np.sort(np.concatenate(others))] if others else [])


def drawn_again(days: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """As many days of each group of weekdays, drawn with replacement, in order."""
    u, found = uniforms(seed, COUNT, len(days)), []
    for part in groups_of_weekdays(days):
        place, u = (u[: len(part)] * len(part)).astype(np.int64), u[len(part) :]
        found.append(part[place])
    return np.sort(np.concatenate(found))


def rates_of(day: int, days: NDArray[np.int64], counts: NDArray[np.int64], again: NDArray[np.int64]) -> Floats:
    """Expected arrivals by hour of a day: float64 (24,), the mean over the train days of its weekday that were drawn.

    days: int64 (n,), the train days; counts: (n, 24), arrivals on each; again: (n,), the days drawn. Where there are
    fewer than ENOUGH_DAYS of its weekday, all days are used. The variance of the mean over drawn days is too small by
    (n - 1) / n, so its distance from the mean over all is enlarged.
    """
    same_weekday = (days - day) % 7 == 0
    few = same_weekday.sum() < ENOUGH_DAYS
    used = slice(None) if few else same_weekday
    drawn_days = again if few else again[(again - day) % 7 == 0]
    mean, n = counts[used].mean(axis=0), len(counts[used])
    found = counts[np.searchsorted(days, drawn_days)].mean(axis=0)
    farther = math.sqrt(n / (n - 1)) if n > 1 else 1.0
    return np.asarray(np.maximum(mean + farther * (found - mean), 0.0), dtype=np.float64)


def spread_of_days(days: NDArray[np.int64], totals: NDArray[np.int64], u: float) -> float:
    """Sigma of a lognormal factor on a day's rates: the spread of days beyond that of one Poisson rate.

    The variance of a day's total against the mean of its weekday (of all days, where no weekday has enough), less that
    of Poisson arrivals; 0 where nothing is left. A few days give a poor estimate of a variance: it is drawn, by the
    uniform u, from its distribution df s^2 / chi^2 with df degrees of freedom.
    """
    parts = [
        part
        for part in groups_of_weekdays(days)
        if len(part) > 1 and (part[0] % 7 == part[-1] % 7 or len(part) == len(days))
    ]
    if not parts:
        return 0.0
    df = sum(len(part) - 1 for part in parts)
    possible = df / float(stats.chi2.ppf(u, df))
    excess = []
    for part in parts:
        n = totals[np.searchsorted(days, part)]
        excess += [(possible * n.var(ddof=1) - n.mean()) / n.mean() ** 2] * len(part)
    return math.sqrt(math.log1p(max(0.0, float(np.mean(excess)))))


def poisson_instants(hours: Floats, expected: Floats, seed: int) -> Floats:
    """Instants of a Poisson process with `expected` arrivals in each hour from `hours` on: float64 (n,), ascending.

    By inversion: unit-rate instants, mapped by the cumulated expectation.
    """
    total = float(expected.sum())
    n = int(total + 10 * math.sqrt(total) + 50)
    unit = np.cumsum(-np.log(uniforms(seed, SIGNUP, n)))
    unit = unit[unit < total]
    upto = np.cumsum(expected)
    place = np.searchsorted(upto, unit, side="right")
    return np.asarray(hours[place] + (unit - (upto[place] - expected[place])) / expected[place] * DAY / HOURS)


def split_of(log: QueueLog, test_days: int, *, alternate: bool = False) -> Split:
    """The last `test_days` days with arrivals are forecast; laws are estimated from the others.

    alternate: every other day is, the second one first: no forecast, but a bound of what can be known. A log of one day
    is used for both.
    """
    days: Sequence[int] = log.days
    if len(days) == 1:
        return Split(log, log, turnaround_of(log))
    train, tests = (days[::2], days[1::2]) if alternate else (days[:-test_days], days[-test_days:])
    return Split(log.on(train), log.on(tests), turnaround_of(log.on(train)))


def turnaround_of(log: QueueLog) -> Floats:
    """Seconds for which servers were not ready after a service; empty where fewer than ENOUGH_GAPS are seen."""
    start = log.arrived + log.waited
    server = np.where(log.server >= 0, log.server, np.nan)
    found = gaps(log.arrived, start, start + log.served, server)
    return found if len(found) >= ENOUGH_GAPS else np.empty(0)
