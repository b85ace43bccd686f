"""A queue's test days foretold: from their own arrivals, services and patience, or from the days before alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sim.model.streams import BURST, COUNT, FIT, PATIENCE, SERVICE, SIGNUP, series, standard_normal
from sim.tables.times import Floats
from sim.validation.own_queue.queue_log import QueueLog
from sim.validation.own_queue.queue_times import DAY
from sim.validation.own_queue.replay import Calls
from sim.validation.own_queue.survival import kaplan_meier

HOURS = 24
SEEDS = 20  # of a forecast
ALIKE = 2  # days of one weekday that tell its rates; with fewer, all days do


@dataclass(frozen=True)
class Split:
    """A log in two: the days that laws are estimated from, and the later ones that are foretold."""

    train: QueueLog
    test: QueueLog

    @property
    def begins(self) -> float:
        """Midnight of the first test day."""
        return self.test.days[0] * DAY


def uniforms(seed: int, stream: int, n: int) -> Floats:
    """n uniforms in (0, 1), the same for the same seed and stream."""
    return np.asarray(series(seed, stream, 0, 0, n))


def recorded_calls(split: Split, seed: int) -> Calls:
    """The test days as they were: arrivals, service times of those served, patience of those who hung up.

    What was not seen is drawn from the laws of the train days: how long those would have been served who hung up, and
    how much longer those would have waited who were served.
    """
    test, train = split.test, split.train
    n = len(test)
    law = kaplan_meier(train.waited, train.abandoned)
    unseen = law.patience(uniforms(seed, PATIENCE, n), test.waited)
    patience = np.where(test.abandoned, test.waited, unseen)
    served = np.where(test.abandoned, drawn(services_of(train), uniforms(seed, SERVICE, n)), test.served)
    return Calls(test.arrived, served, patience)


def foretold_calls(split: Split, seed: int) -> Calls:
    """The test days as the train days let expect them; nothing of the test days is used but which days they are.

    The train days are drawn anew, with replacement, for each seed (a bootstrap, each weekday for itself): the laws
    of service and of patience are those of the days drawn, so that what a few days cannot tell widens the interval.
    """
    arrived = foretold_arrivals(split, seed)
    parts = [split.train.on([day]) for day in drawn_again(np.array(split.train.days), seed).tolist()]
    waited, abandoned, served = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("waited", "abandoned", "served")
    )
    law, n = kaplan_meier(waited, abandoned), len(arrived)
    lengths = served[~abandoned] if not abandoned.all() else services_of(split.train)
    patience = law.patience(uniforms(seed, PATIENCE, n), np.full(n, -1.0))
    return Calls(arrived, drawn(lengths, uniforms(seed, SERVICE, n)), patience)


def foretold_arrivals(split: Split, seed: int) -> Floats:
    """When requests come on the test days, by the rates of the train days drawn for this seed: float64 (n,)."""
    days, tests = np.array(split.train.days), split.test.days
    again = drawn_again(days, seed)
    counts = np.array([hourly(split.train.on([day])) for day in days.tolist()])
    rates = np.concatenate([rates_of(day, days, counts, again) for day in tests])
    spread = spread_of_days(days, counts.sum(axis=1), float(spread_over_seeds(seed, FIT, 1)[0]))
    luck = spread_over_seeds(seed, BURST, len(tests))
    busy = [math.exp(spread * float(standard_normal(u)) - spread**2 / 2) for u in luck.tolist()]
    hours = np.concatenate([day * DAY + np.arange(HOURS) * DAY / HOURS for day in tests])
    return poisson(hours, rates * np.repeat(busy, HOURS), seed)


def spread_over_seeds(seed: int, stream: int, n: int) -> Floats:
    """n uniforms, each of which lies in another of SEEDS equal parts of (0, 1) for each seed from 1 to SEEDS.

    So few seeds, drawn each for itself, would now and then be too much alike for an interval.
    """
    orders = [np.argsort(series(0, stream, number, 0, SEEDS)) for number in range(n)]
    parts = np.array([order[(seed - 1) % SEEDS] for order in orders])
    return np.asarray((parts + uniforms(seed, stream, n)) / SEEDS)


def services_of(log: QueueLog) -> Floats:
    """Seconds of service of those who were served."""
    return log.served[~log.abandoned]


def drawn(lengths: Floats, u: Floats) -> Floats:
    """A service time for each uniform: one of those recorded, each as likely; 0 where none was."""
    if not len(lengths):
        return np.zeros(len(u))
    return np.sort(lengths)[(u * len(lengths)).astype(np.int64)]


def hourly(day: QueueLog) -> NDArray[np.int64]:
    """Arrivals by hour of the day: int64 (24,)."""
    return np.bincount((day.arrived % DAY // (DAY / HOURS)).astype(np.int64), minlength=HOURS)


def weekdays(days: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The days of each weekday of which there are ALIKE, and last all others: days whole weeks apart are of one."""
    parts = [days[days % 7 == weekday] for weekday in range(7)]
    others = [part for part in parts if 0 < len(part) < ALIKE]
    return [part for part in parts if len(part) >= ALIKE] + ([np.sort(np.concatenate(others))] if others else [])


def drawn_again(days: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """As many days of each weekday, drawn with replacement, in order."""
    u, found = uniforms(seed, COUNT, len(days)), []
    for part in weekdays(days):
        place, u = (u[: len(part)] * len(part)).astype(np.int64), u[len(part) :]
        found.append(part[place])
    return np.sort(np.concatenate(found))


def rates_of(day: int, days: NDArray[np.int64], counts: NDArray[np.int64], again: NDArray[np.int64]) -> Floats:
    """Expected arrivals by hour of a day: float64 (24,), the mean over the train days of its weekday that were drawn.

    days: int64 (n,), the train days; counts: (n, 24), what came on each; again: (n,), the days drawn. Where there are
    fewer than ALIKE of its weekday, all days tell. The mean over drawn days varies too little, by (n - 1) / n: it is
    set so much farther from the mean over all.
    """
    alike = (days - day) % 7 == 0
    few = alike.sum() < ALIKE
    told = slice(None) if few else alike
    drawn_days = again if few else again[(again - day) % 7 == 0]
    mean, n = counts[told].mean(axis=0), len(counts[told])
    found = counts[np.searchsorted(days, drawn_days)].mean(axis=0)
    farther = math.sqrt(n / (n - 1)) if n > 1 else 1.0
    return np.asarray(np.maximum(mean + farther * (found - mean), 0.0), dtype=np.float64)


def spread_of_days(days: NDArray[np.int64], totals: NDArray[np.int64], u: float) -> float:
    """Sigma of a lognormal factor on a day's rates: how much more days differ than days of one Poisson rate would.

    The variance of a day's total against the mean of its weekday (of all days, where no weekday has enough), less what
    Poisson arrivals have anyway; 0 where nothing is left. A few days tell a variance badly: it is drawn, by the uniform
    u, from what they leave possible, df s^2 / chi^2 with df degrees of freedom.
    """
    parts = [
        part for part in weekdays(days) if len(part) > 1 and (part[0] % 7 == part[-1] % 7 or len(part) == len(days))
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


def poisson(hours: Floats, expected: Floats, seed: int) -> Floats:
    """Instants of a Poisson process with so many expected in each hour from `hours` on: float64 (n,), ascending.

    By inversion: unit-rate instants, mapped by the cumulated expectation.
    """
    total = float(expected.sum())
    n = int(total + 10 * math.sqrt(total) + 50)
    unit = np.cumsum(-np.log(uniforms(seed, SIGNUP, n)))
    unit = unit[unit < total]
    upto = np.cumsum(expected)
    place = np.searchsorted(upto, unit, side="right")
    return np.asarray(hours[place] + (unit - (upto[place] - expected[place])) / expected[place] * DAY / HOURS)


def split_of(log: QueueLog, test_days: int) -> Split:
    """The last `test_days` days on which anybody came are foretold; the others are learnt from.

    A log of one day is learnt from and replayed itself.
    """
    days: Sequence[int] = log.days
    if len(days) == 1:
        return Split(log, log)
    return Split(log.on(days[:-test_days]), log.on(days[-test_days:]))
