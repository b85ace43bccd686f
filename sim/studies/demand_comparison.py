"""Generated demand against recorded demand: the same statistics of both, with their standard errors.

Days begin at the quietest hour, so that an evening belongs to one day.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.demand.recordings.trace import Trace
from sim.errors import BadInput
from sim.model.streams import CHECK, draws
from sim.results.fairness import gini
from sim.results.intents import intents
from sim.results.run import Run
from sim.wording import duration, three_figures

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DAY, HOUR = 86400.0, 3600.0
SESSION_GAP = 1800.0  # seconds between arrivals that end a session
CAPS = (1, 2, 3, 5, 6, 10, 20)
BEYOND = 3.5  # standard errors: a larger difference is not chance
ROUNDING = 1e-12  # of a figure: errors below are the computer's
SAME_LENGTH = 0.1  # lengths of time that differ by a larger share are not about the same


@dataclass(frozen=True)
class Arrivals:
    """Requests of known users, sorted by user and then time. Times in seconds; done is nan where unknown."""

    times: Floats
    user: Ints
    done: Floats
    day_starts: float  # seconds after which a day begins
    ends: float  # the end of the time covered

    @property
    def day(self) -> Ints:
        return np.floor((self.times - self.day_starts) / DAY).astype(np.int64)


def recorded_arrivals(trace: Trace) -> Arrivals:
    """The arrivals of a recording. Raises BadInput where it names no users, or has too little to compare."""
    if not trace.users_known:
        raise BadInput("this recording does not say whose requests they are", file=trace.source, expected="users")
    if len(trace.times) < 100:
        raise BadInput("this recording is too short to compare", file=trace.source, expected="100 requests or more")
    done = trace.times + trace.extra.get("latency_s", np.full(len(trace.times), math.nan))
    return sorted_arrivals(trace.times, trace.user, done, quietest(trace.times), trace.length)


def generated_arrivals(run: Run) -> Arrivals:
    """The requests of a run after its warm-up, each at its first attempt; seconds after the warm-up."""
    wishes, begins = intents(run), float(run.manifest["warm_up"])
    wanted = wishes["wanted"].to_numpy(float) - begins
    done = wanted + wishes["latency"].to_numpy(float)
    done[~np.isfinite(done)] = math.nan
    return sorted_arrivals(wanted, wishes["user"].to_numpy(np.int64), done, quietest(wanted), run.horizon - begins)


def sorted_arrivals(times: Floats, user: Ints, done: Floats, day_starts: float, ends: float) -> Arrivals:
    order = np.lexsort((times, user))
    return Arrivals(times[order], user[order], done[order], day_starts, ends)


def quietest(times: Floats) -> float:
    """Where in a day of 24 hours from time 0 the fewest requests come: the middle of the quietest hour, seconds."""
    counts = np.bincount((times % DAY // HOUR).astype(np.int64), minlength=24)
    return (int(counts.argmin()) + 0.5) * HOUR


def statistics(a: Arrivals) -> dict[str, float]:
    """All statistics that the two are compared by; docs/demand.md explains each."""
    return {**of_days(a), **of_users(a), **of_sessions(a), **of_time(a)}


def day_counts(a: Arrivals, *, first: bool = False) -> Ints:
    """Requests of a user on each day of use, or on the first day of each alone."""
    (user, _), counts = np.unique(np.stack([a.user, a.day]), axis=1, return_counts=True)
    return counts[np.unique(user, return_index=True)[1]] if first else counts


def session_starts(a: Arrivals) -> Ints:
    """Rows with which a session begins: a user's first, and those after half an hour away."""
    apart = (a.user[1:] != a.user[:-1]) | (np.diff(a.times) >= SESSION_GAP)
    return np.flatnonzero(np.append(True, apart))


def session_sizes(a: Arrivals) -> Ints:
    return np.diff(np.append(session_starts(a), len(a.times)))


def pauses(a: Arrivals) -> Floats:
    """Seconds from an image to the same user's next request, inside sessions; requests before the image left out."""
    within = (a.user[1:] == a.user[:-1]) & (np.diff(a.times) < SESSION_GAP)
    found = (a.times[1:] - a.done[:-1])[within]
    return found[found >= 0]


def of_days(a: Arrivals) -> dict[str, float]:
    """Requests of a user on the first day and on any, what daily caps would leave of them, and days of return."""
    keys, counts = np.unique(np.stack([a.user, a.day]), axis=1, return_counts=True)
    user, day = keys
    first_day = np.full(int(user.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first_day, user, day)
    since = day - first_day[user]
    first = counts[since == 0]
    found = {
        "first day: mean requests": float(first.mean()),
        "first day: share with 1": float((first == 1).mean()),
        "first day: share above 3": float((first > 3).mean()),
    }
    found |= {f"first day: cap {k} leaves": float(np.minimum(first, k).sum() / first.sum()) for k in CAPS}
    found |= {f"any day: cap {k} leaves": float(np.minimum(counts, k).sum() / counts.sum()) for k in (3, 6)}
    last = math.floor((a.ends - a.day_starts) / DAY)
    firsts = first_day[np.unique(user)]
    for d in (1, 7):
        at_risk = int((firsts + d < last).sum())
        back = int(((since == d) & (day < last)).sum())
        found[f"back on day {d}"] = back / at_risk if at_risk else math.nan
    return found


def of_users(a: Arrivals) -> dict[str, float]:
    """How unevenly requests are spread over users."""
    per_user = np.sort(np.bincount(a.user))[::-1]
    per_user = per_user[per_user > 0].astype(float)
    n, total = len(per_user), per_user.sum()
    tops = {f"of the top {p} %": float(per_user[: max(1, round(n * p / 100))].sum() / total) for p in (1, 10, 20)}
    heavy = per_user[per_user >= 10]
    tail = 1 + len(heavy) / float(np.log(heavy / 9.5).sum()) if len(heavy) else math.nan  # discrete Hill estimator
    return {
        "user: mean requests": total / n,
        **tops,
        "Gini coefficient": gini(per_user),
        "tail exponent above 10": tail,
    }


def of_sessions(a: Arrivals) -> dict[str, float]:
    """Sessions end where a user is away for longer than half an hour; pauses run from an image to the next request."""
    starts, sizes = session_starts(a), session_sizes(a)
    lengths = a.times[starts + sizes - 1] - a.times[starts]
    thoughts = np.log(np.maximum(pauses(a), 0.5))  # recordings in whole seconds have pauses of 0
    return {
        "session: requests, mean": float(sizes.mean()),
        "session: requests, p50": float(np.median(sizes)),
        "session: requests, p90": float(np.quantile(sizes, 0.9)),
        "session: variance/mean": float(sizes.var() / sizes.mean()),
        "session: length, p50 (s)": float(np.median(lengths)),
        "session: length, p90 (s)": float(np.quantile(lengths, 0.9)),
        "think time: median (s)": float(np.exp(thoughts.mean())) if len(thoughts) else math.nan,
        "think time: sigma": float(thoughts.std()) if len(thoughts) else math.nan,
    }


def of_time(a: Arrivals) -> dict[str, float]:
    """Requests by the minute and the hour, of all users together; less than a day has no peak among its hours."""
    times = np.sort(a.times)
    minutes = np.bincount((times // 60).astype(np.int64), minlength=math.ceil(a.ends / 60))
    hours = np.bincount((times % DAY // HOUR).astype(np.int64), minlength=24)
    gaps = np.diff(times)
    return {
        "a minute: mean": float(minutes.mean()),
        "a minute: Fano factor": float(minutes.var() / minutes.mean()),
        "between requests: CV": float(gaps.std() / gaps.mean()),
        "hour of day: peak/mean": float(hours.max() / hours.mean()) if a.ends >= DAY else math.nan,
    }


def compared(recorded: Arrivals, generated: Sequence[Arrivals], *, resamples: int = 60) -> pd.DataFrame:
    """One row per statistic: recorded with its standard error (bootstrap over users), generated (mean, deviation), z.

    z is the difference over the combined error (nan where neither varies and both are equal). The bootstrap keeps the
    number of users, which is as much by chance: requests a minute have the error of a compound Poisson count. Users are
    taken for independent: where the calendar or a few users dominate a figure (hour peaks, gaps between requests, the
    top 1 %), its error is too small and z too large.
    """
    values = statistics(recorded)
    made = pd.DataFrame([statistics(one) for one in generated])
    again = pd.DataFrame([statistics(resampled(recorded, number)) for number in range(resamples)])
    errors = without_rounding(again.std(), pd.Series(values))
    errors["a minute: mean"] = math.sqrt(np.square(np.bincount(recorded.user)).sum()) / math.ceil(recorded.ends / 60)
    table = pd.DataFrame(
        {
            "recorded": pd.Series(values),
            "error": errors,
            "generated": made.mean(),
            "deviation": without_rounding(made.std(), made.mean()) if len(made) > 1 else math.nan,
        }
    )
    spread = np.hypot(table["error"], table["deviation"].fillna(0.0) / math.sqrt(len(made)))
    table["z"] = without_rounding(table["generated"] - table["recorded"], table["recorded"]) / spread
    return table.rename_axis("statistic").reset_index()


def without_rounding(values: "pd.Series[float]", sizes: "pd.Series[float]") -> "pd.Series[float]":
    """0 in place of what is only rounding beside figures of these sizes."""
    return values.mask(values.abs() <= ROUNDING * sizes.abs(), 0.0)


def agreement(table: pd.DataFrame) -> str:
    """How many statistics agree, and how many say nothing, in a sentence."""
    beyond, unknown = int((table["z"].abs() >= BEYOND).sum()), table[["recorded", "generated"]].isna().any(axis=1)
    said = f"{len(table) - int(unknown.sum()) - beyond} of {len(table) - int(unknown.sum())} statistics"
    left = f"; {', '.join(table.loc[unknown, 'statistic'])}: not known of both" if unknown.any() else ""
    return f"{said} agree within {BEYOND:g} standard errors{left}."


def cautions(recorded: Arrivals, made: Arrivals, scale: float) -> list[str]:
    """Sentences about what makes the two no equals: another length of time, and a slice of the service."""
    found = []
    if abs(made.ends - recorded.ends) > SAME_LENGTH * recorded.ends:
        lengths = f"{duration(recorded.ends)} and each run {duration(made.ends)}"
        found.append(
            f"The recording covers {lengths}: in a longer time people "
            "ask more and come back more often, and other hours and waves are in it. Set horizon, or import a part."
        )
    if scale < 1:
        found.append(
            f"Runs are of a slice, {three_figures(100 * scale)} % of the people: requests a minute, their Fano factor "
            "and the gaps between requests are the slice's, and no figures of the whole service."
        )
    return found


def resampled(a: Arrivals, number: int) -> Arrivals:
    """As many users as were recorded, drawn from them with replacement."""
    users, starts, sizes = np.unique(a.user, return_index=True, return_counts=True)
    chosen = (draws(1, CHECK, np.arange(len(users)), number) * len(users)).astype(np.int64)
    n = sizes[chosen]
    user = np.repeat(np.arange(len(chosen)), n)
    within = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
    rows = np.repeat(starts[chosen], n) + within
    return Arrivals(a.times[rows], user, a.done[rows], a.day_starts, a.ends)
