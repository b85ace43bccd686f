"""How limits adapt to latency alone: the rules of AIMD, Vegas, Gradient2 and Envoy's gradient controller.

Each rule takes what was learnt so far and the latency and the requests in flight of one window.
"""

import math
from dataclasses import dataclass, replace

WARM_UP = 10  # windows of which Gradient2's long latency is the plain mean at first


@dataclass(frozen=True)
class Learnt:
    """The state of an algorithm after some windows, and the bounds of its limit."""

    limit: float  # requests in the pool, of the whole service
    baseline: float = math.nan  # latency to compare with, seconds
    count: int = 0  # windows: since Vegas probed, in Gradient2's warm-up, at Envoy's least limit
    total: float = 0.0  # summed latency of Gradient2's warm-up
    least: float = 1.0
    most: float = 1000.0

    def bounded(self, limit: float) -> float:
        return max(self.least, min(self.most, limit))


def aimd(learnt: Learnt, rtt: float, in_flight: float, *, timeout: float = 5.0, backoff: float = 0.9) -> Learnt:
    """AIMDLimit of Netflix/concurrency-limits (78a74b9), with its constants; no request is dropped here.

    A latency above the timeout multiplies the limit by `backoff`, rounded down; otherwise it grows by one if
    at least half of it is in use.
    """
    grown = learnt.limit + 1 if 2 * in_flight >= learnt.limit else learnt.limit
    limit = math.floor(learnt.limit * backoff) if rtt > timeout else grown
    return replace(learnt, limit=learnt.bounded(limit))


def vegas(learnt: Learnt, rtt: float, in_flight: float, *, probe: float = 30.0) -> Learnt:
    """VegasLimit of Netflix/concurrency-limits (78a74b9), with its constants.

    The queue is taken to be limit (1 - baseline / rtt); the baseline is the least latency seen since the last probe.
    With g = log10(limit), rounded down and at least 1: a queue of up to g adds 6 g, one below 3 g adds g, one above 6 g
    subtracts g. Every 0.75 `probe` limit windows the baseline is set to the latency of that window; the original draws
    the factor from 0.5 to 1, and this is its mean.
    """
    learnt = replace(learnt, count=learnt.count + 1)
    probes = learnt.count >= 0.75 * probe * learnt.limit
    if probes or not rtt >= learnt.baseline:  # also where there is none yet
        return replace(learnt, baseline=rtt, count=0 if probes else learnt.count)
    limit, g = learnt.limit, max(1, len(str(int(learnt.limit))) - 1)  # log10, exactly
    queue = math.ceil(limit * (1 - learnt.baseline / rtt) - 1e-9)  # not 6 for 5 and a rounding error
    if 2 * in_flight < limit:
        return learnt
    if queue > 6 * g:
        limit -= g
    elif queue < 3 * g:
        limit += 6 * g if queue <= g else g
    return replace(learnt, limit=learnt.bounded(limit))


def gradient2(
    learnt: Learnt,
    rtt: float,
    in_flight: float,
    *,
    smoothing: float = 0.2,
    queue: float = 4.0,
    long: int = 600,
    tolerance: float = 1.5,
) -> Learnt:
    """Gradient2Limit of Netflix/concurrency-limits (78a74b9), with its constants.

    The limit is multiplied by tolerance baseline / rtt, within 0.5 to 1, and `queue` is added; a share `smoothing` of
    that change is made, and none while less than half of the limit is in use. The baseline is a moving average over
    `long` windows (the plain mean of the first ten); it shrinks by 5 % per window while it is over twice the latency.
    """
    if learnt.count < WARM_UP:
        learnt = replace(learnt, count=learnt.count + 1, total=learnt.total + rtt)
        usual = learnt.total / learnt.count
    else:
        usual = learnt.baseline + (rtt - learnt.baseline) * 2 / (long + 1)
    learnt = replace(learnt, baseline=usual * 0.95 if usual / rtt > 2 else usual)
    if in_flight < learnt.limit / 2:
        return learnt
    gradient = min(1.0, max(0.5, tolerance * usual / rtt))
    wanted = (1 - smoothing) * learnt.limit + smoothing * (learnt.limit * gradient + queue)
    return replace(learnt, limit=learnt.bounded(wanted))


def envoy(learnt: Learnt, rtt: float, in_flight: float, *, buffer: float = 0.25) -> Learnt:
    """GradientController of envoyproxy/envoy (gradient_controller.cc, 054694f), with its constants.

    The limit is multiplied by (1 + buffer) baseline / rtt, within 0.5 to 2; its square root is added, for bursts; the
    result is rounded down. The baseline is the least latency, measured beforehand. The rule ignores how much of
    the limit is in use: an idle service has the highest limit.
    """
    grown = learnt.limit * min(2.0, max(0.5, (1 + buffer) * learnt.baseline / rtt))
    limit = learnt.bounded(math.floor(grown + math.sqrt(grown)))
    return replace(learnt, limit=limit, count=learnt.count + 1 if limit == learnt.limit == learnt.least else 0)
