"""Arrivals out of ServeGen's clients: each a renewal process with its own rate and shape in every ten minutes.

ServeGen (github.com/alibaba/ServeGen) publishes no arrivals but, for each client and window, the rate, the coefficient
of variation and a fitted law of the pauses: Gamma or Weibull with shape p1 and scale p2. Gamma's shape is 1 / cv^2 in
every row. The law's own mean leaves out what is before the first and after the last request of a window, and is off
1 / rate by up to several times where they are few. The rate is a count and is kept: shape p1, mean 1 / rate.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy
from numpy.typing import NDArray

from sim.demand.recordings.trace import Trace
from sim.errors import BadInput
from sim.model import streams
from sim.tables.columns import read_columns

Floats = NDArray[np.float64]
LONGEST, MOST_CLIENTS, MOST_ARRIVALS = 1e7, 1e9, 2e7  # seconds of a recording, numbers of clients, arrivals in all


@dataclass(frozen=True)
class Window:
    """One client for a while: rate a second, its law of pauses and the law's shape."""

    client: int
    begins: float
    lasts: float
    rate: float
    law: str
    shape: float


def generated_trace(path: Path, seed: int, sha256: str, progress: Callable[[float], None] = lambda _: None) -> Trace:
    """One day of arrivals of all clients of a file; the same seed gives the same."""
    windows, length = read_windows(path)
    parts = []
    for number, window in enumerate(windows):
        parts.append(arrivals(window, seed))
        progress((number + 1) / len(windows))
    times = np.concatenate(parts) if parts else np.empty(0)
    if not len(times):
        raise BadInput("no client asks for anything", file=path)
    client = np.repeat([window.client for window in windows], [len(part) for part in parts])
    order = np.lexsort((client, times))
    _, first, user = np.unique(client[order], return_index=True, return_inverse=True)
    user = np.argsort(np.argsort(first))[user]
    return Trace(
        times=times[order],
        user=user.astype(np.int64),
        images=np.ones(len(times), dtype=np.int16),
        kind=np.zeros(len(times), dtype=np.int16),
        kinds=("",),
        start=None,
        length=length,
        users_known=True,
        source=path.name,
        sha256=sha256,
        recorded_as="servegen",
        notes=(
            f"generated with seed {seed} from the recorded rate and fitted law of each client and window",
            "a user is a client of the service, with many people behind it",
        ),
    )


def read_windows(path: Path) -> tuple[list[Window], float]:
    """The windows in which a client sends anything, and the seconds that all of them cover. Raises BadInput."""
    columns = read_columns(path, ("client", "t_s", "rate_rps", "dist", "p1"))
    client, begins, rate = (columns[n].numbers("a number, 0 or more", low=0) for n in ("client", "t_s", "rate_rps"))
    shape = columns["p1"].numbers("a number", missing=True)
    laws = np.array(columns["dist"].texts.to_pylist(), dtype=object)
    on = rate > 0
    columns["dist"].refuse(on & ~np.isin(laws, ("Gamma", "Weibull")), "Gamma or Weibull")
    columns["p1"].refuse(on & ~(shape > 0), "a shape above 0")
    starts = np.unique(begins)
    lasts = float(np.diff(starts).min()) if len(starts) > 1 else 600.0
    rows = zip(*(values[on].tolist() for values in (client, begins, rate, laws, shape)), strict=True)
    windows = [Window(int(who), t, lasts, pace, law, form) for who, t, pace, law, form in rows]
    columns["t_s"].refuse(begins > LONGEST, f"at most {LONGEST:g} s")
    columns["client"].refuse(client > MOST_CLIENTS, f"at most {MOST_CLIENTS:g}")
    columns["rate_rps"].refuse(rate * lasts > MOST_ARRIVALS, f"at most {MOST_ARRIVALS / lasts:g} a second")
    if (rate * lasts).sum() > MOST_ARRIVALS:
        found, expected = f"{(rate * lasts).sum():.3g} arrivals", f"at most {MOST_ARRIVALS:g}"
        raise BadInput("this makes more arrivals than a trace can hold", file=path, value=found, expected=expected)
    return windows, float(starts.max()) + lasts


def arrivals(window: Window, seed: int) -> Floats:
    """The instants of one client in one window: a stationary renewal process, so that rate x time come on average.

    Each window starts afresh, at a random moment of a pause: the first pause is what is left of one (a uniform part
    of a pause drawn by its length). Whole pauses at the start would add (cv^2 - 1) / 2 arrivals a window: 112 at cv 15.
    """
    name = window.client * (1 << 24) + round(window.begins)
    u = streams.series(seed, streams.SERVEGEN, name, 0, 2)
    found = u[:1] * pauses(window, u[1:2], by_length=True)
    while found[-1] < window.lasts:
        n, k = int((window.lasts - found[-1]) * window.rate * 1.2) + 16, 1 + len(found)
        more = pauses(window, streams.series(seed, streams.SERVEGEN, name, k, n))
        found = np.append(found, found[-1] + np.cumsum(more))
    return np.asarray(window.begins + found[found < window.lasts], dtype=np.float64)


def pauses(window: Window, u: Floats, *, by_length: bool = False) -> Floats:
    """Pauses of mean 1 / rate at probabilities u; by_length: as met at a random moment, long ones more often.

    Density times length: Gamma(k) becomes Gamma(k + 1), and (x / scale)^k of a Weibull(k) becomes Gamma(1 + 1 / k).
    """
    k = window.shape
    if window.law == "Gamma":
        return np.asarray(scipy.special.gammaincinv(k + by_length, u), dtype=np.float64) / (k * window.rate)
    power = np.asarray(scipy.special.gammaincinv(1 + 1 / k, u) if by_length else -np.log1p(-u), dtype=np.float64)
    return np.asarray(power ** (1 / k) / (scipy.special.gamma(1 + 1 / k) * window.rate), dtype=np.float64)
