"""The wave that brings the visits of a log, its seasons, and the demand behind counts that a ceiling cut off."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sim.calibration.estimates import Findings
from sim.tables.formats.reader import CountSeries

Floats = NDArray[np.float64]
DAY, HOUR = 86400.0, 3600.0
SEASON_DAYS = 3.0  # from this length on, a steady wave has seasons of hours
WIDTHS = (1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0)
EACH = 25.0  # visits in an interval on average, at least
TURNS, DRAWS = 40, 20  # of EM, and of its bootstrap


def wave(times: Floats, length: float, first: Floats, found: Findings) -> dict[str, Any]:
    """Demand: a rate held through intervals; of a log of several days a steady one, with hours and weekends.

    times: visits, seconds after the start; first: seconds from a Monday's midnight to the start (nan: unknown).
    """
    n = len(times)
    low, high = (float(stats.chi2.ppf(q, 2 * k) / 2) for q, k in ((0.025, n), (0.975, n + 1)))
    found.add("demand: people", (float(n), low, high), "", n, "visits, as Poisson")
    offset = float(first[0]) if np.isfinite(first).all() else math.nan
    if length >= SEASON_DAYS * DAY and math.isfinite(offset):
        return seasonal(times, length, offset, found)
    width = next((w for w in WIDTHS if n * w / length >= EACH), WIDTHS[-1])
    counts = np.bincount((times // width).astype(np.int64), minlength=math.ceil(length / width))
    lasts = np.minimum(width, length - width * np.arange(len(counts)))
    points = [[f"{k * width:.10g} s", f"{c / t:.6g} per s"] for k, (c, t) in enumerate(zip(counts, lasts, strict=True))]
    points.append([f"{length:.10g} s", "0 per s"])
    found.notes.append(f"the wave is the count of each {width:g} s; how visits lie within these is by chance")
    return {"waves": [{"kind": "piecewise", "name": found.file[:60], "join": "held", "points": points}]}


def seasonal(times: Floats, length: float, offset: float, found: Findings) -> dict[str, Any]:
    """A steady rate with the 24 hours' rates, the weekend over weekdays, and what minutes vary beyond chance."""
    local = times + offset
    edges = np.arange(offset, offset + length, 60.0) + 30.0
    hour_of, weekend_of = (lambda t: (t % DAY // HOUR).astype(np.int64)), (lambda t: t // DAY % 7 >= 5)
    exposed = np.bincount(hour_of(edges), minlength=24) / 60.0  # hours that the log covers of each
    hours = np.bincount(hour_of(local), minlength=24) / exposed
    season: dict[str, Any] = {"hours": [round(float(v), 4) for v in hours]}
    many = [weekend_of(edges).sum() / 60.0, (~weekend_of(edges)).sum() / 60.0]
    if min(many) >= 24:
        rates = [weekend_of(local).sum() / many[0], (~weekend_of(local)).sum() / many[1]]
        a, b = int(weekend_of(local).sum()), int((~weekend_of(local)).sum())
        if a and b:
            ratio, half = rates[0] / rates[1], 1.96 * math.sqrt(1 / a + 1 / b)
            season["weekend"] = round(ratio, 4)
            found.add("demand.season.weekend", (ratio, ratio * math.exp(-half), ratio * math.exp(half)), "", a + b,
                      "rates of weekends over those of weekdays")  # fmt: skip
    else:
        found.unknown["demand.season.weekend"] = "the log has less than a day of weekend, or of weekdays"
    counts = np.bincount((times // 60).astype(np.int64), minlength=int(length // 60))[: int(length // 60)]
    mean = np.repeat(counts[: len(counts) // 60 * 60].reshape(-1, 60).mean(axis=1), 60)
    excess = float(((counts[: len(mean)] - mean) ** 2).sum() * 60 / 59 - mean.sum())
    burst = max(excess / float((mean**2).sum()), 0.0) if mean.any() else 0.0
    season["burstiness"] = round(burst, 4)
    found.add("demand.season.burstiness", (burst, math.nan, math.nan), "", len(mean),
              "variance of minutes within their hour beyond chance")  # fmt: skip
    rate = len(times) / length
    half = 1.96 * math.sqrt(len(times)) / length
    found.add("demand.waves.rate", (rate, rate - half, rate + half), "per s", len(times), "mean of the log, as Poisson")
    return {"waves": [{"kind": "steady", "rate": f"{rate:.6g} per s"}], "season": season}


def wave_of_counts(counts: CountSeries, found: Findings) -> tuple[dict[str, Any], float]:
    """The demand of counts per interval, those at a ceiling replaced by what was expected behind it; and its length."""
    total = counts.total
    begins = (counts.begins - counts.begins[0]) / 1e9
    full = at_ceiling(total)
    if full.any():
        total, ends = unconstrained(total, full, counts.begins / 1e9)
        found.add("demand: people", (float(total.sum()), *ends), "", len(total),
                  "log counts by day and hour, those at the ceiling as censored (EM), bootstrap over days")  # fmt: skip
        found.notes.append(
            f"{int(full.sum()):,} of {len(full):,} intervals are at the ceiling of {counts.total.max():g}"
        )
        if full.mean() > 0.5:
            found.notes.append("more than half are at the ceiling: hold on to the interval, the value is a guess")
    else:
        found.add("demand: people", (float(total.sum()), math.nan, math.nan), "", len(total), "counted")
    points: list[list[str]] = []
    for k, rate in enumerate((total / counts.lasts).tolist()):
        points.append([f"{begins[k]:.10g} s", f"{rate:.6g} per s"])
        if k + 1 == len(begins) or begins[k + 1] > begins[k] + counts.lasts[k] + 1e-3:
            points.append([f"{begins[k] + counts.lasts[k]:.10g} s", "0 per s"])
    length = float(begins[-1] + counts.lasts[-1])
    return {"waves": [{"kind": "piecewise", "name": "counted", "join": "held", "points": points}]}, length


def at_ceiling(values: Floats) -> NDArray[np.bool_]:
    """Intervals at the largest count, where enough of them share it for it to be a limit."""
    full = values == values.max()
    return full if full.sum() >= max(3, 0.02 * len(values)) else np.zeros(len(values), dtype=bool)


def unconstrained(values: Floats, full: NDArray[np.bool_], at: Floats) -> tuple[Floats, tuple[float, float]]:
    """Counts without the ceiling, and 95 % bounds of their sum: a Tobit model by EM (Dempster, Laird and Rubin, 1977).

    The logarithm of a count is the effect of its hour plus that of its day plus a normal error. A count at the ceiling
    is known to be at least that. at: seconds since 1970.
    """
    hour = (at % DAY // HOUR).astype(np.int64)
    _, day = np.unique(at // DAY, return_inverse=True)
    best, variance = expected(values, full, hour, day)
    draws = np.asarray(stats.qmc.Halton(d=int(day.max()) + 1, scramble=False).random(DRAWS + 1)[1:])
    hidden = []
    for u in draws:
        days = (u * (day.max() + 1)).astype(np.int64)
        rows = np.concatenate([np.flatnonzero(day == d) for d in days])
        again = np.repeat(np.arange(len(days)), [int((day == d).sum()) for d in days])
        made, _ = expected(values[rows], full[rows], hour[rows], again)
        hidden.append(float(made.sum() - values[rows].sum()) / max(float(full[rows].sum()), 1.0))
    spread = math.sqrt((float(np.std(hidden)) * float(full.sum())) ** 2 + variance)
    low = max(float(best.sum()) - 1.96 * spread, float(values.sum()))
    return best, (low, float(best.sum()) + 1.96 * spread)


def expected(
    values: Floats, full: NDArray[np.bool_], hour: NDArray[np.int64], day: NDArray[np.int64]
) -> tuple[Floats, float]:
    """Counts, those at the ceiling replaced by their expectation given that they are above it; its sum's variance."""
    y = np.log(np.maximum(values, 0.5))
    guess, spare, sigma = y.copy(), np.zeros(len(y)), 0.1
    mu = y
    for _ in range(TURNS):
        mu = effects(guess, hour, day)
        sigma = math.sqrt(max(float(((guess - mu) ** 2 + spare).mean()), 1e-10))
        alpha = (y[full] - mu[full]) / sigma
        ratio = np.exp(stats.norm.logpdf(alpha) - stats.norm.logsf(alpha))
        guess[full] = mu[full] + sigma * ratio
        spare[full] = sigma**2 * np.maximum(1 + alpha * ratio - ratio**2, 0.0)
    alpha = (y[full] - mu[full]) / sigma
    made = values.astype(np.float64).copy()
    made[full] = np.exp(mu[full] + sigma**2 / 2 + stats.norm.logsf(alpha - sigma) - stats.norm.logsf(alpha))
    return made, float((spare[full] * made[full] ** 2).sum())


def effects(y: Floats, hour: NDArray[np.int64], day: NDArray[np.int64]) -> Floats:
    """Fitted values of an hour's plus a day's effect, by alternating means."""
    by_day = np.zeros(int(day.max()) + 1)
    by_hour = np.zeros(24)
    for _ in range(5):
        by_hour = mean_by(y - by_day[day], hour, 24)
        by_day = mean_by(y - by_hour[hour], day, len(by_day))
    return np.asarray(by_hour[hour] + by_day[day])


def mean_by(y: Floats, group: NDArray[np.int64], groups: int) -> Floats:
    n = np.bincount(group, minlength=groups)
    return np.asarray(np.bincount(group, y, minlength=groups) / np.maximum(n, 1))
