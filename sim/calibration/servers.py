"""Servers on duty, their service times and their turnaround, from a log of arrivals and ends.

Where the log has waits, services are what is left of the durations. Where it has none, queueing hides in the durations:
served first come, first served by c servers, a request begins when it has come and a server is free, so each c gives
every service time, and the likelihood of these chooses c. Too few servers give services that end before they begin; too
many count the wait as service, so that the times spread.
"""

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sim.calibration.asks import Asks
from sim.calibration.coarse_clock import possible_services
from sim.calibration.coarse_clock import surprise as coarse_surprise
from sim.demand.recordings.arrivals import on_ticks
from sim.results.intervals import t_interval

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
MOST_ROWS = 20_000  # of the busiest stretch that the number of servers is estimated from
NEAR = 2.0  # ticks of a coarse clock: of two requests within them it is not known which came first
WIDER, ROWS_WIDER = 10.0, 80  # times the likelihood ratio by a coarse clock, whose errors rows share, and rows for each
OUTLIERS, WIDEST = 0.02, 1e4  # share of services that follow no law, and the seconds over which they are spread
RATIO = float(stats.chi2.ppf(0.95, 1))  # twice the log-likelihood within which a number of servers is possible
EVERY = 32  # servers, up to which each number is tried
EDGE, LONG = 4, 40  # requests for each server at each end of a log that is cut, and in a log that can spare them
LONGER = 2.0  # services than the median, of the first ones in a log that begins at full load
BREAK = 10.0  # medians of the turnaround: a longer gap is an absence
SPELL = 0.05  # of a mean service: overlaps that are shorter on average are the clock's rounding
WAITED = 1.0  # s in the queue, from which on the server was what the next one waited for


@dataclass(frozen=True)
class Servers:
    """How many, from low to high at 95 % (high: inf where they were never all busy), and each one's service time.

    service: seconds, nan of those not served; taken_out: whether a request that left the queue was taken out of it
    (None: nobody left, or the log does not tell).
    """

    count: int
    low: int
    high: float
    service: Floats
    taken_out: bool | None
    method: str
    beside: float = 1.0  # share of the other servers that were seen to be busy as those who waited began


def servers_of(asks: Asks) -> Servers | None:
    """None where the log has no durations."""
    known = asks.served & np.isfinite(asks.lasted)
    if not known.any():
        return None
    if np.isfinite(asks.waited[known]).mean() > 0.5:
        return from_waits(asks)
    return from_ends(asks)


def from_waits(asks: Asks) -> Servers:
    """The most that were ever in service at once; all there are, if anybody waited then."""
    service = asks.service
    rows = np.isfinite(service)
    low, most, high = seen_at_once(asks, rows, SPELL * float(np.mean(service[rows])))
    waited = bool((asks.waited[rows] > max(0.01 * float(np.nanmedian(service)), 1e-3)).any())
    taken = None
    if asks.left.any():
        taken = min((True, False), key=lambda way: likely(asks, busiest(asks, inside_rows(asks)), most, way))
    method = (
        "most requests in service at once" if low == high else "the number that explains the waits, by a coarse clock"
    )
    beside = busy_beside(asks, most)
    return Servers(most, low, high if waited else math.inf, service, taken, method, beside)


def busy_beside(asks: Asks, count: int) -> float:
    """The share of the other servers that were in service, on average, when a request began that had waited.

    It is near 1 where the log has every request and there are always as many servers; 1 where the log cannot tell.
    """
    start, end = asks.arrived + asks.waited, asks.arrived + asks.lasted
    rows = ~asks.refused & (end > start)
    began = start[rows & (asks.waited > max(WAITED, 2 * asks.tick))]
    if count < 2 or len(began) < LONG or np.nanmean(asks.service) < 5 * asks.tick:
        return 1.0
    busy = np.searchsorted(np.sort(start[rows]), began, side="right") - 1.0
    busy -= np.searchsorted(np.sort(end[rows]), began, side="right")
    return float(busy.mean() / (count - 1))


def seen_at_once(asks: Asks, rows: Mask, shortest: float) -> tuple[int, int, int]:
    """The most requests in service at once: at least, most likely, and at most.

    Where all stamps are whole seconds an end is not after the start that followed it, since both are rounded down. Of
    stamps that are only sometimes whole, two may be off by a tick each: as many may be in service as seem to be, or as
    overlap by more than that, and of these numbers the one is likely that makes the waits what they were.
    """
    came, waited, lasted = asks.arrived[rows], asks.waited[rows], asks.lasted[rows]
    if asks.tick == 1.0 and on_ticks(waited, 1.0) and on_ticks(lasted, 1.0):
        came = np.floor(came + 1e-6)
    high = low = most_at_once(came + waited, came + lasted, shortest)
    if not asks.tick or (came == np.floor(came)).all():
        return low, low, low
    low = most_at_once(came + waited, np.maximum(came + lasted - 2 * asks.tick, came + waited), shortest)

    some = busiest(asks, np.flatnonzero(rows))
    came, waited, lasted = asks.arrived[some], asks.waited[some], asks.lasted[some]

    def misfit(count: int) -> float:
        turn = turns(came, came + lasted, np.ones(len(came), dtype=bool), count, taken_out=True)
        return float(np.abs(waited - np.maximum(turn - came, 0.0)).mean())

    return low, min(range(low, high + 1), key=misfit), high


def most_at_once(start: Floats, end: Floats, shortest: float = 0.0) -> int:
    """The most intervals that overlap, for `shortest` seconds on average: a rounded clock makes short overlaps."""
    moments = np.concatenate([end, start])
    change = np.concatenate([np.full(len(end), -1), np.full(len(start), 1)])
    order = np.lexsort((change, moments))
    level, lasts = np.cumsum(change[order]), np.diff(moments[order], append=moments.max())
    for count in range(int(level.max()), 1, -1):
        above = level >= count
        spells = int((above & ~np.append(False, above[:-1])).sum())
        if float(lasts[above].sum()) / spells > shortest:
            return count
    return 1


def from_ends(asks: Asks) -> Servers:
    """The number of servers that makes the service times most likely, in the busiest stretch."""
    every = inside_rows(asks)
    rows = busiest(asks, every)
    arrived, ended, served = asks.arrived[rows], (asks.arrived + asks.lasted)[rows], asks.served[rows]
    most = most_at_once(arrived, ended)
    ways = (True, False) if (~served).any() else (True,)
    tried: dict[tuple[int, bool], float] = {}

    def cost(count: int, taken_out: bool) -> float:
        if (count, taken_out) not in tried:
            tried[count, taken_out] = likely(asks, rows, count, taken_out)
        return tried[count, taken_out]

    best, taken = min(
        ((lowest(lambda c, way=way: cost(c, way), most), way) for way in ways), key=lambda one: cost(one[0], one[1])
    )
    limit = cost(best, taken) + RATIO / 2 * (max(WIDER, len(rows) / ROWS_WIDER) if asks.tick else 1.0)
    low = next((c + 1 for c in range(best - 1, 0, -1) if cost(c, taken) > limit), 1)
    high = next((c - 1.0 for c in range(best + 1, most) if cost(c, taken) > limit), math.inf)
    arrived, ended = asks.arrived[every], (asks.arrived + asks.lasted)[every]
    turn = turns(arrived, ended, asks.served[every], best, taken_out=taken)
    service = np.full(len(asks), np.nan)
    if asks.tick:
        service[every[asks.served[every]]] = coarse(asks, every, turn)[1]
    else:
        service[every] = np.where(asks.served[every], ended - np.maximum(arrived, turn), np.nan)
    service[~(service > 0)] = np.nan
    service[every[at_the_edges(turn, service[every], best)]] = np.nan
    method = "the most likely number, served first come, first served one at a time (no waits are logged)"
    method += f", by a clock of {asks.tick:g} s" if asks.tick else ""
    return Servers(best, low, high, service, taken if len(ways) > 1 else None, method)


def at_the_edges(turn: Floats, service: Floats, count: int) -> Mask:
    """The requests of a longer log whose turn may have been that of one outside it, as of a log cut at full load.

    Servers that none in the log has used yet may be busy with requests from before it: then the first ones seem to
    be served for longer than others. Those that are in service at the end have no row.
    """
    edge = np.zeros(len(turn), dtype=bool)
    first = service[np.isneginf(turn) & (service > 0)]
    if len(turn) > LONG * count and len(first) and np.median(first) > LONGER * np.nanmedian(service):
        edge = np.isneginf(turn)
        edge[: EDGE * count] = edge[-EDGE * count :] = True
    return edge


def inside_rows(asks: Asks) -> NDArray[np.int64]:
    """The requests that were let in, and whose end is known."""
    return np.flatnonzero(~asks.refused & np.isfinite(asks.lasted))


def likely(asks: Asks, rows: NDArray[np.int64], count: int, taken_out: bool) -> float:
    """The negative log-likelihood of the rows' ends, given a number of servers and what becomes of those who leave."""
    arrived, ended, served = asks.arrived[rows], (asks.arrived + asks.lasted)[rows], asks.served[rows]
    turn = turns(arrived, ended, served, count, taken_out=taken_out)
    if asks.tick:
        return coarse(asks, rows, turn)[0]
    return surprise((ended - np.maximum(arrived, turn))[served], asks.kind[rows][served])


def coarse(asks: Asks, rows: NDArray[np.int64], turn: Floats) -> tuple[float, Floats]:
    """The negative log-likelihood of the rows' ends by a coarse clock; and likely services of those served."""
    served, came = asks.served[rows], asks.arrived[rows]
    near = np.append(False, np.diff(came) < NEAR * asks.tick)
    late = np.maximum([turn - came, np.where(near, np.roll(turn, 1), turn) - came], -1e9)[:, served]
    services = possible_services(asks.lasted[rows][served], late, asks.tick)
    return coarse_surprise(services, asks.kind[rows][served], OUTLIERS, WIDEST)


def busiest(asks: Asks, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """At most MOST_ROWS rows around the moment at which most requests are inside."""
    if len(rows) <= MOST_ROWS:
        return rows
    inside = np.arange(len(rows)) - np.searchsorted(
        np.sort(asks.arrived[rows] + asks.lasted[rows]), asks.arrived[rows], side="right"
    )
    first = max(int(np.argmax(inside)) - MOST_ROWS // 2, 0)
    quiet = np.flatnonzero(inside[: first + 1] <= inside[: first + 1].min())[-1] if first else 0
    return rows[max(quiet, first - MOST_ROWS // 4) :][:MOST_ROWS]


def lowest(cost: "object", most: int) -> int:
    """The count of the lowest cost: of few servers each is tried, since where services differ little only one fits."""
    assert callable(cost)
    grid = sorted(
        {
            most,
            *(n for n in range(1, EVERY) if n < most),
            *(n for k in range(200) if (n := round(EVERY * 1.1**k)) < most),
        }
    )
    place = min(range(len(grid)), key=lambda k: cost(grid[k]))
    below, above = grid[max(place - 1, 0)], grid[min(place + 1, len(grid) - 1)]
    step = max((above - below) // 16, 1)
    near = sorted({*range(below, above + 1, step), grid[place]})
    best = min(near, key=cost)
    return min(range(max(best - step, 1), min(best + step, most) + 1), key=cost)


def turns(arrived: Floats, ended: Floats, served: Mask, count: int, *, taken_out: bool) -> Floats:
    """When a server was free for each request, first come, first served: it began then, or when it came later.

    A request that left before its turn takes no server if it was taken_out, else one for the mean service so far; one
    that left in service keeps its server for that time too. The first of each server does not count in the mean: where
    a log begins at full load its wait is not known.
    """
    free = [-math.inf] * count
    turn, total, number = np.empty(len(arrived)), 0.0, 0
    for k, (came, gone, done) in enumerate(zip(arrived.tolist(), ended.tolist(), served.tolist(), strict=True)):
        turn[k] = free[0]
        start = max(came, free[0])
        if done:
            heapq.heapreplace(free, max(gone, start))
            if turn[k] > -math.inf:
                total, number = total + max(gone - start, 0.0), number + 1
        elif not taken_out or gone > start:
            heapq.heapreplace(free, max(start + (total / number if number else gone - came), start))
    return turn


def surprise(service: Floats, group: NDArray[np.int64]) -> float:
    """The negative log-likelihood of service times, lognormal within each group, but for a share of OUTLIERS."""
    found = 0.0
    for one in np.unique(group):
        times = service[group == one]
        good = times[times > 0]
        if len(good) < 3:
            found += len(times) * math.log(WIDEST)
            continue
        logs = np.log(good)
        middle = float(np.median(logs))
        spread = max(1.4826 * float(np.median(np.abs(logs - middle))), float(np.std(logs)) / 4, 1e-3)
        density = np.exp(stats.norm.logpdf(logs, logs.mean() if spread > 0.3 else middle, spread) - logs)
        found -= float(np.log((1 - OUTLIERS) * density + OUTLIERS / WIDEST).sum())
        found += (len(times) - len(good)) * math.log(WIDEST / OUTLIERS)
    return found


def mean_and_spread(service: Floats) -> tuple[tuple[float, float, float], tuple[float, float, float], str]:
    """The mean, the coefficient of variation, each with 95 % bounds, and which noise is more likely: its name."""
    times = service[np.isfinite(service) & (service > 0)]
    mean, n = float(times.mean()), len(times)
    logs = np.log(times)
    sigma2 = float(logs.var(ddof=1)) if n > 1 else 0.0
    ends = [sigma2 * (n - 1) / float(stats.chi2.ppf(q, n - 1)) if n > 1 else math.nan for q in (0.975, 0.025)]
    cv = tuple(math.sqrt(math.expm1(v)) if v < 50 else math.inf for v in (sigma2, *ends))
    lognormal = float(stats.norm.logpdf(logs, logs.mean(), max(math.sqrt(sigma2), 1e-9)).sum() - logs.sum())
    exponential = -n * (math.log(mean) + 1.0)
    kind = "exponential" if exponential - 1 > lognormal - 2 else "lognormal"
    return (mean, *t_interval(times)), (cv[0], cv[1], cv[2]), kind


def gaps(arrived: Floats, start: Floats, end: Floats, server: Floats) -> Floats:
    """Seconds from a server's end to its next start, where the next one had waited: the server was not ready sooner.

    Gaps after which the next one had not waited are idle time, of which nothing is known. Gaps of more than BREAK
    medians are absences, and left out.
    """
    found = np.array(list(each_gap(arrived, start, end, server)))
    found = found[found >= 0] if len(found) else found
    return found[found <= BREAK * max(float(np.median(found)), 1e-9)] if len(found) else found


def each_gap(arrived: Floats, start: Floats, end: Floats, server: Floats) -> Iterator[float]:
    for one in np.unique(server[np.isfinite(server)]):
        rows = np.flatnonzero((server == one) & np.isfinite(start) & np.isfinite(end))
        rows = rows[np.argsort(start[rows], kind="stable")]
        waited = (start - arrived)[rows[1:]] >= WAITED
        yield from (start[rows[1:]] - end[rows[:-1]])[waited].tolist()
